#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/confirm.h"
#include "wan/keeper.h"
#include "wan/networkd.h"
#include "wan/takeover.h"

/* --- check ----------------------------------------------------------------------------- */

static int run_check(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_check, argc, argv, &v, stdout);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (geteuid() != 0) {
        printf("%s: ok; this machine was not looked at, which needs root\n", v.file);
        return EXIT_CODE_OK;
    }
    g = gatewaycli_open(&cli_gateway_check, v.config);
    code = g ? gatewaycli_look(&cli_gateway_check, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        gatewaycli_write_warnings(v.config, stdout, v.file);
    if (code == EXIT_CODE_OK && gatewaycli_write_conflicts(g, stdout, v.file))
        code = EXIT_CODE_CONFIG;
    if (code == EXIT_CODE_OK)
        printf("%s: ok\n", v.file);
    gateway_close(g);
    return (int)code;
}

const struct cli_verb cli_gateway_check = {
    .name = "gateway check",
    .summary = "check a configuration of the gateway, and this machine",
    .args = "",
    .text =
        "Prints all problems of FILE, one a line, as FILE:LINE:COLUMN: error: TEXT; HINT. As "
        "root it also looks for what others have on this machine that is in the way: routes in "
        "the tables of the links, and rules that come before those of the gateway; and warns of "
        "interfaces and instances that FILE names and that are not there.",
    .options = gatewaycli_file_option,
    .run = run_check,
};

/* --- down ------------------------------------------------------------------------------ */

/* First what others had: it comes before ours, so that nothing is without a way meanwhile. What
 * cannot be done keeps nothing else from being done. Returns 0 or the first -errno. */
static int take_down(struct gateway *g, const char *dir)
{
    struct gatewaycli_told t = {&cli_gateway_down, g};
    int back = takeover_restore(dir, gateway_netlink(g), NULL, gatewaycli_note_foreign, &t);
    int down = gateway_down(g, gatewaycli_note, &t);
    int forgotten = down ? down : confirm_forget(dir), released;

    if (back) /* perhaps ours were in its way */
        back = takeover_restore(dir, gateway_netlink(g), NULL, gatewaycli_note_foreign, &t);
    if (back)
        fprintf(stderr,
                "mpquic gateway down: %s/" TAKEOVER_FILE ": what was taken over from others is not "
                "given back: %s\n",
                dir, back == -EBADMSG ? "it cannot be understood" : strerror(-back));
    released = forgotten ? 0 : networkd_release("");
    if (released > 0)
        printf("- " NETWORKD_DROP_IN "\n");
    return forgotten ? forgotten : back ? back : MIN(released, 0);
}

/* The ways of this machine itself may be ours, too: those to networks behind links. */
static enum exit_code check_down(struct gateway *g, const char *dir, bool force)
{
    struct wan_objects given = {0};
    struct gatewaycli_others others = {.given = &given};
    struct takeover t = {0};
    enum exit_code code = gatewaycli_look(&cli_gateway_down, g);

    if (!takeover_load(dir, &t)) /* else it is told when it should be given back */
        (void)takeover_objects(&t, &given);
    if (code == EXIT_CODE_OK)
        code = gatewaycli_check_ssh(&cli_gateway_down, g, &others, force,
                                    "--force does it all the same");
    wan_objects_done(&given);
    takeover_done(&t);
    return code;
}

static enum exit_code down(struct gateway *g, bool force)
{
    char dir[PLACE_PATH_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));
    enum exit_code code = rv ? EXIT_CODE_OK : check_down(g, dir, force);

    if (code != EXIT_CODE_OK)
        return code;
    gatewaycli_watch_events(g, EVENTLOG_DOWN);
    gatewaycli_write_event("down", "{}");
    if (!rv)
        rv = take_down(g, dir);
    if (rv)
        fprintf(stderr, "mpquic gateway down: not everything was removed: %s\n", strerror(-rv));
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

static int run_down(int argc, char **argv)
{
    struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_down, argc, argv, &v);
    _cleanup_close_ int lock = -1;
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock_or_say(&cli_gateway_down);
    g = lock < 0 ? NULL : gatewaycli_open(&cli_gateway_down, NULL);
    code = g ? down(g, v.force) : EXIT_CODE_START;
    gateway_close(g);
    return (int)code;
}

static const struct cli_option down_options[] = {
    {.letter = 'f',
     .name = "force",
     .text = "Do it even if that cuts the SSH session that it is called from."},
    {0},
};

const struct cli_verb cli_gateway_down = {
    .name = "gateway down",
    .summary = "remove everything that the gateway has made",
    .args = "",
    .text = "Gives settings of the kernel the values that they had before, and removes the rules, "
            "routes and the table of nftables that are the gateway's, whatever configuration they "
            "are from; what --take-over took away from others is given back. What others have made "
            "stays. The interfaces that had a policy are open then, and no configuration is "
            "confirmed. A gateway that runs has to be stopped first.",
    .options = down_options,
    .run = run_down,
};

/* --- run ------------------------------------------------------------------------------- */

/* What to begin with: what is on trial or confirmed, and FILE only where nothing ever was. That
 * FILE has errors, or says something else, is told, and changes nothing. */
static enum exit_code choose(struct gatewaycli *v, const char *dir, bool *ret_new)
{
    _cleanup_free_ char *text = NULL;
    enum exit_code code = gatewaycli_load(v, stderr);
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    int rv = v->config ? confirm_choose(dir, true, v->config, &source, &text) : -ENOMEM;

    if (rv)
        log_error("gateway: the confirmed configuration cannot be read: %s", strerror(-rv));
    *ret_new = source == CONFIRM_SOURCE_NONE;
    if (*ret_new && !rv && !confirm_is_understood(dir))
        log_error("gateway: what is confirmed cannot be understood: %s takes its place", v->file);
    if (*ret_new)
        return code;
    log_set_level(v->config->log_level);
    if (code != EXIT_CODE_OK)
        log_error("gateway: %s has errors: the confirmed configuration stays in force", v->file);
    else if (!text || strcmp(text, v->text) != 0)
        log_error("gateway: %s is not what was confirmed, which stays in force; mpquic gateway "
                  "apply, or a reload, takes it",
                  v->file);
    return EXIT_CODE_OK;
}

static enum exit_code keep(struct gatewaycli *v, const char *dir)
{
    char state[PLACE_PATH_MAX + 32];
    struct keeper_opts opts = {.config = NULL,
                               .file = strcmp(v->file, "-") != 0 ? v->file : NULL,
                               .state_dir = dir,
                               .state_file = state};
    bool is_new;
    enum exit_code code = choose(v, dir, &is_new);

    if (code != EXIT_CODE_OK)
        return code;
    if (gatewaycli_state_file(state, sizeof(state)))
        return EXIT_CODE_START;
    opts.config = v->config;
    opts.text = is_new ? v->text : NULL;
    log_set_level(v->config->log_level);
    return keeper_run(&opts);
}

static int run_run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_run, argc, argv, &v);
    char dir[PLACE_PATH_MAX];
    _cleanup_close_ int lock = -1;
    int rv;

    if (code != EXIT_CODE_OK)
        return (int)code;
    signal(SIGUSR1, SIG_IGN); /* a trial that is told of too early is found on the disk */
    lock = gatewaycli_lock_or_say(&cli_gateway_run);
    if (lock < 0)
        return EXIT_CODE_START;
    rv = gatewaycli_state_dir(dir, sizeof(dir));
    if (!rv)
        rv = gatewaycli_lock_set_daemon(lock);
    if (rv) {
        fprintf(stderr, "mpquic gateway run: no directory of state: %s\n", strerror(-rv));
        return EXIT_CODE_START;
    }
    return (int)keep(&v, dir);
}

const struct cli_verb cli_gateway_run = {
    .name = "gateway run",
    .summary = "keep the confirmed configuration in force",
    .args = "",
    .text =
        "Runs in the foreground until it is told to stop. Puts in force what was confirmed last, "
        "or FILE where nothing was yet, which is confirmed once it is; a FILE that has changed "
        "since is taken by mpquic gateway apply, or by SIGHUP. Follows the kernel's events about "
        "interfaces, addresses, routes, rules and nftables, and at each one, and every 30 seconds, "
        "makes what should be there of what is there. Neither hooks nor timers are needed. SIGHUP "
        "has it read FILE again: one with errors changes nothing, nor does one that would cut an "
        "SSH session with this machine; another one is confirmed. When "
        "it stops, by whatever cause, everything stays in force as it is; started again it goes on "
        "from there.",
    .options = gatewaycli_file_option,
    .run = run_run,
};

/* --- guard ----------------------------------------------------------------------------- */

/* 0, also when there is nothing to guard; -errno. */
static int guard(struct gatewaycli *v, const char *dir)
{
    struct gatewaycli_told t = {&cli_gateway_guard, NULL};
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    int rv;

    v->config = calloc(1, sizeof(*v->config));
    rv = v->config ? confirm_choose(dir, true, v->config, &source, NULL) : -ENOMEM;
    if (!rv && source == CONFIRM_SOURCE_NONE && v->file)
        rv = gatewaycli_load(v, stderr) == EXIT_CODE_OK ? 0 : -EINVAL;
    if (!rv && source == CONFIRM_SOURCE_NONE && !v->file)
        return confirm_is_understood(dir) ? 0 : -EBADMSG;
    if (rv)
        return rv;
    return gateway_guard(v->config, gatewaycli_note, &t);
}

static int run_guard(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_guard, argc, argv, &v);
    char dir[PLACE_PATH_MAX];
    _cleanup_close_ int lock = -1;
    pid_t pid = 0;
    int rv;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock(&pid);
    if (lock == -EAGAIN)
        return EXIT_CODE_OK;                     /* who has it does more than this */
    rv = gatewaycli_state_dir(dir, sizeof(dir)); /* without a lock, too: it only closes */
    if (!rv)
        rv = guard(&v, dir);
    if (rv)
        fprintf(stderr, "mpquic gateway guard: not everything is closed: %s\n",
                rv == -EBADMSG ? "what is confirmed cannot be understood" : strerror(-rv));
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

static const struct cli_option guard_options[] = {
    {'c', NULL, "FILE", "What to close where no configuration was confirmed yet.", false},
    {0},
};

const struct cli_verb cli_gateway_guard = {
    .name = "gateway guard",
    .summary = "close what has a policy, before the network is up",
    .args = "",
    .text = "For the beginning of the boot: adds the rules that end whatever comes from an "
            "interface with a policy of the confirmed configuration. They need neither links nor "
            "nftables, and are those that the gateway itself has, which then opens the ways. Where "
            "a gateway is at work, or nothing was ever confirmed, there is nothing to do.",
    .options = guard_options,
    .run = run_guard,
};
