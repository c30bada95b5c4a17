/* What the verbs of `mpquic gateway` share. */
#ifndef CLI_GATEWAY_H
#define CLI_GATEWAY_H

#include "base/exitcode.h"
#include "cli/cli.h"
#include "config/gateway.h"
#include "wan/gateway.h"

extern const struct cli_verb cli_gateway_check, cli_gateway_plan, cli_gateway_apply,
    cli_gateway_confirm, cli_gateway_down, cli_gateway_status, cli_gateway_run, cli_gateway_guard;

/* What was asked for. Start from {0}; gatewaycli_done() frees. */
struct gatewaycli {
    const char *file;
    bool json;
    unsigned confirm_s; /* 0: not asked for */
    bool take_over, force, reject;
    struct gateway_config *config;
    char *text; /* that the configuration was read from */
};

/* The option -c FILE, and nothing else. */
extern const struct cli_option gatewaycli_file_option[];

/* Parse the options of the verb, of whichever it has; one that is required must be there. Says what
 * is wrong. Returns EXIT_CODE_OK or EXIT_CODE_USAGE. */
enum exit_code gatewaycli_options(const struct cli_verb *verb, int argc, char **argv,
                                  struct gatewaycli *ret);

/* The same, and read the configuration; its problems go to out. */
enum exit_code gatewaycli_begin(const struct cli_verb *verb, int argc, char **argv,
                                struct gatewaycli *ret, FILE *out);
void gatewaycli_done(struct gatewaycli *v);

/* Read the configuration that the options name; its problems go to out. */
enum exit_code gatewaycli_load(struct gatewaycli *v, FILE *out);

/* Look at the kernel, or say why that cannot be done. */
enum exit_code gatewaycli_look(const struct cli_verb *verb, struct gateway *g);

/* A line for each thing of others that is in the way. Returns how many there are. */
unsigned gatewaycli_write_conflicts(const struct gateway *g, FILE *out, const char *file);

/* A gateway for a verb, NULL after having said why. c NULL: as in gateway_open(). */
struct gateway *gatewaycli_open(const struct cli_verb *verb, const struct gateway_config *c);

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
