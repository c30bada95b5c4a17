#include "cli/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "wan/eventlog.h"
#include "wan/healthfile.h"

const struct cli_option gatewaycli_file_option[] = {
    {'c', NULL, "FILE", "The configuration of the gateway; see mpquic-gateway.yaml(5).", true},
    {0},
};

enum exit_code gatewaycli_options(const struct cli_verb *verb, int argc, char **argv,
                                  struct gatewaycli *ret)
{
    int c;

    while ((c = cli_getopt(verb, argc, argv)) != -1) {
        if (c == 'c')
            ret->file = optarg;
        else if (c == 'j')
            ret->json = true;
        else
            return EXIT_CODE_USAGE;
    }
    if (optind < argc) {
        cli_usage_error(verb, "unexpected argument '%s'", argv[optind]);
        return EXIT_CODE_USAGE;
    }
    if (verb->options && !ret->file) {
        cli_usage_error(verb, "option -c FILE is missing");
        return EXIT_CODE_USAGE;
    }
    return EXIT_CODE_OK;
}

static enum exit_code load(const char *file, struct gateway_config *ret, FILE *out)
{
    struct config_report report = {0};
    int rv = gateway_config_load(file, ret, &report);

    config_report_write(&report, file, out);
    config_report_done(&report);
    return rv ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}

int gatewaycli_state_file(char *buf, size_t size)
{
    char dir[PLACE_PATH_MAX];
    int rv = place_state_dir(dir, sizeof(dir));

    if (rv)
        return rv;
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    return snprintf(buf, size, "%s/gateway.settings", dir) < (int)size ? 0 : -ENAMETOOLONG;
}

/* What the gateway that runs, or has just run, knows of the links; nothing else when there is none:
 * what is not known keeps no link down. */
static void take_health(struct gateway *g)
{
    char dir[PLACE_PATH_MAX], path[PLACE_PATH_MAX + 16];
    struct wan_health h = {0};

    if (place_run_dir(dir, sizeof(dir)))
        return;
    snprintf(path, sizeof(path), "%s/gateway.health", dir);
    if (healthfile_read(path, gateway_config(g), clock_mono_ns(), &h) == 0)
        gateway_set_health(g, &h);
}

/* What a verb does goes into the log of events, which it opens when it does something. */
static void watch(void *user, const struct wan_op *op, int error)
{
    static struct eventlog events;
    const struct gateway *g = user;
    const char *why = op->kind == WAN_OP_NFT ? gateway_nft_error(g) : strerror(-error);
    char text[GATEWAY_TEXT_MAX];

    if (error && wan_op_may_fail(op, error))
        return;
    if (!*events.run) {
        eventlog_init(&events, EVENTLOG_APPLY);
        if (eventlog_open(&events, gateway_config(g)->event_log))
            fprintf(stderr, "mpquic gateway: %s: events are not written\n",
                    gateway_config(g)->event_log);
    }
    gateway_op_str(op, text);
    eventlog_write(&events, "change", "{s:s, s:b, s:s*}", "operation", text, "repair", 0, "error",
                   error ? why : NULL);
}

struct gateway *gatewaycli_open(const struct cli_verb *verb, const struct gateway_config *c)
{
    char state[PLACE_PATH_MAX + 32];
    struct gateway *g = NULL;
    int rv = gatewaycli_state_file(state, sizeof(state));

    if (!rv)
        rv = gateway_open(c, state, &g);
    if (!rv) {
        take_health(g);
        gateway_set_watch(g, watch, g);
    }
    if (rv)
        fprintf(stderr, "mpquic %s: %s\n", verb->name, strerror(-rv));
    return g;
}

enum exit_code gatewaycli_begin(const struct cli_verb *verb, int argc, char **argv,
                                struct gatewaycli *ret, FILE *out)
{
    enum exit_code code = gatewaycli_options(verb, argc, argv, ret);

    if (code != EXIT_CODE_OK)
        return code;
    ret->config = calloc(1, sizeof(*ret->config));
    return ret->config ? load(ret->file, ret->config, out) : EXIT_CODE_INTERNAL;
}

void gatewaycli_done(struct gatewaycli *v)
{
    free(v->config);
}

enum exit_code gatewaycli_look(const struct cli_verb *verb, struct gateway *g)
{
    int rv = gateway_look(g);

    if (!rv)
        return EXIT_CODE_OK;
    fprintf(stderr, "mpquic %s: cannot read the kernel: %s\n", verb->name,
            rv == -EINVAL ? gateway_nft_error(g) : strerror(-rv));
    return EXIT_CODE_START;
}

unsigned gatewaycli_write_conflicts(const struct gateway *g, FILE *out, const char *file)
{
    const struct wan_mirror *m = gateway_mirror(g);

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        fprintf(out, "%s: error: this machine: %s\n", file, m->conflict[i]);
    return m->n_conflicts;
}

/* --- the lock -------------------------------------------------------------------------- */

static int open_lock(void)
{
    char dir[PLACE_PATH_MAX], path[PLACE_PATH_MAX + 16];
    int rv = place_run_dir(dir, sizeof(dir)), fd;

    if (rv)
        return rv;
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof(path), "%s/gateway.lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd < 0 ? -errno : fd;
}

static pid_t read_pid(int fd)
{
    char text[16] = "";

    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    return (pid_t)strtol(text, NULL, 10);
}

int gatewaycli_lock(pid_t *ret_pid)
{
    int fd = open_lock();

    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = errno;

        *ret_pid = read_pid(fd);
        close(fd);
        return err == EWOULDBLOCK ? -EAGAIN : -err;
    }
    if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

pid_t gatewaycli_holder(void)
{
    pid_t pid = 0;
    int fd = open_lock();

    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_SH | LOCK_NB))
        pid = read_pid(fd);
    close(fd);
    return pid;
}

int gatewaycli_lock_or_say(const struct cli_verb *verb)
{
    pid_t pid = 0;
    int fd = gatewaycli_lock(&pid);

    if (fd == -EAGAIN)
        fprintf(
            stderr,
            "mpquic %s: the gateway is at work (process %d): stop it first, or have it read its "
            "configuration again: kill -HUP %d\n",
            verb->name, (int)pid, (int)pid);
    else if (fd < 0)
        fprintf(stderr, "mpquic %s: cannot lock the gateway: %s\n", verb->name, strerror(-fd));
    return fd;
}

/* --- the verb -------------------------------------------------------------------------- */

static const struct cli_verb *const subs[] = {
    &cli_gateway_check,
    &cli_gateway_plan,
    &cli_gateway_apply,
    &cli_gateway_run,
    &cli_gateway_down,
    &cli_gateway_status,
    NULL,
};

const struct cli_verb cli_gateway = {
    .name = "gateway",
    .summary = "pin what comes from an interface to a WAN or tunnel",
    .args = "",
    .text =
        "The gateway sees that what comes from an interface leaves by one link, a WAN or a tunnel, "
        "and by no other way: not while the link is down, at boot, during a change, or while "
        "somebody else empties nftables. It makes routes, rules and a table of nftables of its "
        "own, and touches nothing that others have made. What it made stays in force when it "
        "stops; mpquic gateway down removes it.",
    .subs = subs,
};
