/* What the verbs of `mpquic gateway` share. */
#ifndef CLI_GATEWAY_H
#define CLI_GATEWAY_H

#include "base/exitcode.h"
#include "cli/cli.h"
#include "config/gateway.h"
#include "wan/eventlog.h"
#include "wan/gateway.h"

extern const struct cli_verb cli_gateway_check, cli_gateway_plan, cli_gateway_apply,
    cli_gateway_confirm, cli_gateway_down, cli_gateway_status, cli_gateway_run, cli_gateway_guard,
    cli_gateway_links, cli_gateway_disable, cli_gateway_enable, cli_gateway_use, cli_gateway_why,
    cli_gateway_health, cli_gateway_lan, cli_gateway_flows, cli_gateway_event;

/* What was asked for. Start from {0}; gatewaycli_done() frees. */
struct gatewaycli {
    const char *file;
    bool is_kept; /* no file was named: the configuration is the one on trial or confirmed */
    bool json, batch, repair, all;
    unsigned confirm_s; /* 0: not asked for */
    bool take_over, force, reject;
    const char *in;   /* an interface; NULL: not given */
    const char *link; /* the name of one; NULL: not given */
    unsigned limit;   /* 0: not given */
    bool flush;
    char **args; /* the operands, of a verb that has some */
    int n_args;
    struct gateway_config *config;
    char *text; /* that the configuration was read from */
};

/* The option -c FILE, and nothing else. */
extern const struct cli_option gatewaycli_file_option[];

/* The option -c FILE of the verbs for which what is confirmed does without it. */
#define GATEWAYCLI_FILE_OR_CONFIRMED                                                              \
    {                                                                                             \
        'c', NULL, "FILE", "The configuration; without it, the one on trial or confirmed.", false \
    }

/* Parse the options of the verb, of whichever it has; one that is required must be there; and the
 * operands, of a verb that has some. Says what is wrong. Returns EXIT_CODE_OK or EXIT_CODE_USAGE.
 */
enum exit_code gatewaycli_options(const struct cli_verb *verb, int argc, char **argv,
                                  struct gatewaycli *ret);

/* The same, and read the configuration; its problems go to out. Without a file it is what is on
 * trial, or confirmed, and one of these must be there. */
enum exit_code gatewaycli_begin(const struct cli_verb *verb, int argc, char **argv,
                                struct gatewaycli *ret, FILE *out);
void gatewaycli_done(struct gatewaycli *v);

/* Read the configuration that the options name; its problems go to out. */
enum exit_code gatewaycli_load(struct gatewaycli *v, FILE *out);

/* Look at the kernel, or say why that cannot be done. */
enum exit_code gatewaycli_look(const struct cli_verb *verb, struct gateway *g);

/* Wait until the plan is empty, some seconds at most, because somebody else works on it. Returns
 * EXIT_CODE_NOT_UP when it is not, after having said so. */
enum exit_code gatewaycli_settle(const struct cli_verb *verb, struct gateway *g);

/* A gateway is to do what the configuration wants after a change of something else: the one that
 * runs, which has been signalled, or, with lock >= 0, this process. note may be NULL. */
enum exit_code gatewaycli_realign(const struct cli_verb *verb, struct gateway *g, int lock);

/* After a look: have what is not in force put in force, by the gateway that runs, which is told to
 * look, or by this process, which repairs what is confirmed or on trial, and never begins:
 * EXIT_CODE_NOT_UP. After it the last look is of what came of it. */
enum exit_code gatewaycli_repair(const struct cli_verb *verb, const struct gatewaycli *v,
                                 struct gateway *g);

/* What is taken away from others besides the plan, or given back to them; NULL: nothing. */
struct gatewaycli_others {
    const struct wan_objects *taken, *given;
};

/* Would the plan, with what others lose and get (NULL: nothing), cut the SSH session of the caller?
 * Says so: go_on: as a warning; else with the remedy, and returns EXIT_CODE_CONFIG. */
enum exit_code gatewaycli_check_ssh(const struct cli_verb *verb, struct gateway *g,
                                    const struct gatewaycli_others *others, bool go_on,
                                    const char *remedy);

/* Print JSON, and free it; NULL is taken for the memory that was not there. */
struct json_t;
enum exit_code gatewaycli_print_json(struct json_t *json);

extern const char *const gatewaycli_families[WAN_FAMILIES];
extern const char *const gatewaycli_types[];

/* The state of a link, as of the last look: as data; since when, in seconds since 1970, as far as
 * that is known, else 0; as {"state": "unhealthy", "up": false, "reason": "no carrier"}, where up
 * says that what is pinned to it goes there; and as "healthy: up, via 10.0.0.1". */
int64_t gatewaycli_since(const struct gateway *g, unsigned link, enum wan_family f);
struct wan_link_state gatewaycli_state(const struct gateway *g, unsigned link);
struct json_t *gatewaycli_state_json(const struct gateway *g, unsigned link, enum wan_family f);
enum { GATEWAYCLI_STATE_MAX = 192 };
const char *gatewaycli_state_str(const struct gateway *g, unsigned link, enum wan_family f,
                                 char buf[static GATEWAYCLI_STATE_MAX]);

/* A line for each interface and instance that the configuration names and this machine does not
 * have. */
void gatewaycli_write_warnings(const struct gateway_config *c, FILE *out, const char *file);

/* A line for each thing of others that is in the way. Returns how many there are. */
unsigned gatewaycli_write_conflicts(const struct gateway *g, FILE *out, const char *file);

/* strerror() of a positive errno, with what helps where that is to be root. */
const char *gatewaycli_strerror(int err);

/* A gateway for a verb, NULL after having said why. c NULL: as in gateway_open(). */
struct gateway *gatewaycli_open(const struct cli_verb *verb, const struct gateway_config *c);

/* Whatever is done with the gateway from now on is written to the log of events, as following from
 * that cause: gatewaycli_open() says APPLY. gatewaycli_write_event(): one event, as of
 * eventlog_write(). */
void gatewaycli_watch_events(struct gateway *g, enum eventlog_cause cause);
void gatewaycli_write_event(const char *event, const char *fmt, ...);

/* In a new process, whose descriptors are closed: it writes events of its own. */
void gatewaycli_forget_events(void);

/* The directory of the state, which is made when it is not there; and, in it, where the values are
 * that settings had before. Return 0 or -errno. */
int gatewaycli_state_dir(char *buf, size_t size);
int gatewaycli_state_file(char *buf, size_t size);

/* There is one gateway on a machine, or in a network namespace with a run directory of its own: who
 * changes the kernel holds this lock. Returns a descriptor, which keeps it until it is closed;
 * -EAGAIN: the process *ret_pid (0: not known) has it; other -errno. gatewaycli_holder(): that
 * process, 0 when nobody has it, or -errno. */
int gatewaycli_lock(pid_t *ret_pid);
pid_t gatewaycli_holder(void);

/* As gatewaycli_lock(), waiting some seconds for a verb that has it, not for mpquic gateway run;
 * and saying what is wrong. */
int gatewaycli_lock_wait(pid_t *ret_pid);
int gatewaycli_lock_or_say(const struct cli_verb *verb);

/* Who holds the lock is mpquic gateway run, and takes signals. gatewaycli_daemon(): that process, 0
 * when there is none, or -errno. */
int gatewaycli_lock_set_daemon(int lock);
pid_t gatewaycli_daemon(void);

/* Operations of a plan as they are done, to standard output, and what fails to standard error. */
struct gatewaycli_told {
    const struct cli_verb *verb;
    const struct gateway *g;
};
void gatewaycli_note(void *told, const struct wan_op *op, int error);
void gatewaycli_note_foreign(void *told, bool taken, const char *text, int error);

#endif
