#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/settle.h"

#define WAIT_NS (20 * NS_PER_S)
#define POLL_NS (20 * NS_PER_MS)

static const char *const name = "gateway confirm";

static enum exit_code fail(int error)
{
    fprintf(stderr, "mpquic %s: %s\n", name,
            error == -ENOENT  ? "nothing is on trial"
            : error == -ETIME ? "too late: the former configuration is back, or is being put back"
                              : strerror(-error));
    return error == -ENOENT  ? EXIT_CODE_NOT_RUNNING
           : error == -ETIME ? EXIT_CODE_NOT_UP
                             : EXIT_CODE_START;
}

static enum exit_code accept_it(const char *dir, pid_t daemon)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(dir, &t);

    if (rv == -EBADMSG)
        rv = -ETIME;
    if (!rv)
        rv = confirm_trial_accept(dir);
    if (!rv)
        rv = takeover_confirm(dir, t.id);
    confirm_trial_done(&t);
    if (rv)
        return fail(rv);
    if (daemon > 0)
        kill(daemon, SIGUSR1);
    printf("confirmed\n");
    return EXIT_CODE_OK;
}

static int take_back(const char *dir)
{
    struct gatewaycli_told told = {&cli_gateway_confirm, NULL};
    struct settle s = {.dir = dir,
                       .note = gatewaycli_note,
                       .note_foreign = gatewaycli_note_foreign,
                       .user = &told};
    int rv;

    s.g = gatewaycli_open(&cli_gateway_confirm, NULL);
    told.g = s.g;
    if (s.g)
        gatewaycli_watch_events(s.g, EVENTLOG_TRIAL);
    rv = s.g ? settle_return(&s) : -EIO;
    if (!rv)
        gatewaycli_write_event("trial", "{s:s}", "is", "taken back");
    gateway_close(s.g);
    return rv;
}

/* Somebody takes it back: the gateway that runs, the watcher, or we, who come to the lock first. */
static int see_it_gone(const char *dir)
{
    static const struct timespec pause = {0, POLL_NS};
    uint64_t until_ns = clock_mono_ns() + WAIT_NS;
    int rv;

    do {
        struct confirm_trial t = {0};
        pid_t holder;
        int lock;

        rv = confirm_trial_load(dir, &t);
        confirm_trial_done(&t);
        if (rv && rv != -EBADMSG)
            return rv == -ENOENT ? 0 : rv;
        lock = gatewaycli_lock(&holder);
        rv = lock >= 0 ? take_back(dir) : lock;
        if (lock >= 0)
            close(lock);
        if (rv == -EAGAIN)
            nanosleep(&pause, NULL);
    } while (rv == -EAGAIN && clock_mono_ns() < until_ns);
    return rv;
}

static enum exit_code reject_it(const char *dir, pid_t daemon)
{
    int rv = confirm_trial_reject(dir);

    if (!rv && daemon > 0)
        kill(daemon, SIGUSR1);
    if (!rv)
        rv = see_it_gone(dir);
    if (rv)
        return fail(rv);
    printf("the former configuration is back\n");
    return EXIT_CODE_OK;
}

static int run(int argc, char **argv)
{
    struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_confirm, argc, argv, &v);
    char dir[PLACE_PATH_MAX];
    pid_t daemon;
    int rv;

    if (code != EXIT_CODE_OK)
        return (int)code;
    rv = gatewaycli_state_dir(dir, sizeof(dir));
    if (rv)
        return (int)fail(rv);
    daemon = gatewaycli_daemon();
    return (int)(v.reject ? reject_it(dir, daemon) : accept_it(dir, daemon));
}

static const struct cli_option options[] = {
    {.letter = 'r', .name = "reject", .text = "Go back to the former configuration now."},
    {0},
};

const struct cli_verb cli_gateway_confirm = {
    .name = "gateway confirm",
    .summary = "keep the configuration that is on trial",
    .args = "",
    .text = "What mpquic gateway apply --confirm has put in force becomes the confirmed "
            "configuration. Exits with 3 when nothing is on trial, with 4 when it is too late.",
    .options = options,
    .run = run,
};
