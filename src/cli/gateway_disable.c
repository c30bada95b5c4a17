/* Taking a link out of service, and putting it back. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "cli/gateway_watch.h"
#include "wan/confirm.h"

static enum exit_code fail(const struct cli_verb *verb, const char *what, int error)
{
    fprintf(stderr, "mpquic %s: %s%s%s\n", verb->name, what ? what : "", what ? ": " : "",
            gatewaycli_strerror(-error));
    return EXIT_CODE_FILES;
}

/* --- for a while ----------------------------------------------------------------------- */

/* The configuration stays what it is, so it has to be the confirmed one: that is gone back to. */
static bool is_confirmed(const char *dir, const char *text)
{
    _cleanup_free_ char *confirmed = NULL;
    size_t len;

    return !confirm_load(dir, &confirmed, &len) && !strcmp(confirmed, text);
}

/* A trial of the same configuration, with the link disabled. It is on disk, and watched, before
 * anything changes. */
static enum exit_code begin_trial(const struct cli_verb *verb, const struct gatewaycli *v,
                                  struct confirm_trial *t)
{
    char dir[PLACE_PATH_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));

    if (!rv && !is_confirmed(dir, v->text)) {
        fprintf(stderr,
                "mpquic %s: this configuration is not the confirmed one, to which "
                "--confirm would go back\n",
                verb->name);
        return EXIT_CODE_CONFIG;
    }
    if (!rv)
        rv = confirm_trial_begin(dir, v->text, v->confirm_s, true, v->args[0], t);
    if (!rv) {
        rv = gatewaywatch_start(dir, t);
        if (rv)
            confirm_trial_end(dir, t->id);
    }
    if (rv == -EBUSY)
        fprintf(stderr,
                "mpquic %s: something is on trial already: mpquic gateway confirm, or "
                "mpquic gateway confirm --reject\n",
                verb->name);
    else if (rv)
        return fail(verb, "nothing was changed", rv);
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

/* The gateway that runs ends it, so it has to know of it. */
static void tell_daemon(void)
{
    pid_t daemon = gatewaycli_daemon();

    if (daemon > 0)
        kill(daemon, SIGUSR1);
}

/* --- the change ------------------------------------------------------------------------ */

/* Without a gateway that runs the change is put in force here, where the rest is in force: else
 * this verb would apply a whole configuration. */
static bool is_done_here(const struct gateway *g, int lock)
{
    return lock >= 0 && !gateway_plan(g)->n;
}

static enum exit_code check(const struct cli_verb *verb, const struct gatewaycli *v,
                            struct gateway *g, bool off)
{
    int rv = gateway_plan_disabled(g, (unsigned)gateway_config_link(v->config, v->args[0]), off);

    if (rv)
        return fail(verb, NULL, rv);
    return gatewaycli_check_ssh(verb, g, NULL, v->force || v->confirm_s,
                                "--force does it all the same");
}

static enum exit_code put(const struct cli_verb *verb, const struct gatewaycli *v,
                          struct gateway *g, bool off, int lock, bool takes_effect)
{
    const char *link = v->args[0];
    enum exit_code code = EXIT_CODE_OK;
    int rv = gateway_disable(g, link, off);

    if (rv < 0)
        return fail(verb, NULL, rv);
    if (v->confirm_s)
        tell_daemon();
    if (takes_effect)
        code = gatewaycli_realign(verb, g, lock);
    if (code != EXIT_CODE_OK)
        return code;
    printf("link %s is %s%s%s\n", link, rv ? "" : "already ", off ? "disabled" : "enabled",
           takes_effect ? "" : "; nothing else is in force: mpquic gateway apply");
    if (v->confirm_s)
        printf("for %u s on trial; to keep it: mpquic gateway confirm\n", v->confirm_s);
    return EXIT_CODE_OK;
}

static enum exit_code change_locked(const struct cli_verb *verb, struct gatewaycli *v,
                                    struct gateway *g, bool off, int lock)
{
    bool was_off = disabled_find(gateway_disabled(g), v->args[0]) != NULL;
    bool takes_effect = lock < 0 || is_done_here(g, lock);
    struct confirm_trial trial = {0};
    enum exit_code code = takes_effect ? check(verb, v, g, off) : EXIT_CODE_OK;

    if (was_off == off)
        v->confirm_s = 0; /* there is nothing to go back to */
    if (code == EXIT_CODE_OK && v->confirm_s)
        code = begin_trial(verb, v, &trial);
    confirm_trial_done(&trial);
    return code == EXIT_CODE_OK ? put(verb, v, g, off, lock, takes_effect) : code;
}

static enum exit_code change(const struct cli_verb *verb, struct gatewaycli *v, struct gateway *g,
                             bool off)
{
    pid_t pid = 0;
    _cleanup_close_ int lock = gatewaycli_lock_wait(&pid);
    enum exit_code code;

    if (lock < 0 && lock != -EAGAIN)
        return fail(verb, NULL, lock);
    code = gatewaycli_look(verb, g);
    return code == EXIT_CODE_OK ? change_locked(verb, v, g, off, lock) : code;
}

static int run_change(const struct cli_verb *verb, int argc, char **argv, bool off)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(verb, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.n_args != 1)
        return cli_usage_error(verb, "exactly one link is needed");
    if (gateway_config_link(v.config, v.args[0]) < 0)
        return cli_usage_error(verb, "%s has no link '%s'", v.file, v.args[0]);
    g = gatewaycli_open(verb, v.config);
    code = g ? change(verb, &v, g, off) : EXIT_CODE_START;
    gateway_close(g);
    return (int)code;
}

static int run_disable(int argc, char **argv)
{
    return run_change(&cli_gateway_disable, argc, argv, true);
}

static int run_enable(int argc, char **argv)
{
    return run_change(&cli_gateway_enable, argc, argv, false);
}

#define FORCE                                                                     \
    {                                                                             \
        .letter = 'f', .name = "force",                                           \
        .text = "Do it even if that cuts the SSH session that it is called from." \
    }

static const struct cli_option disable_options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {.letter = 't',
     .name = "confirm",
     .arg = "SECONDS",
     .text = "Enable it again unless mpquic gateway confirm comes within so many seconds."},
    FORCE,
    {0},
};

static const struct cli_option enable_options[] = {GATEWAYCLI_FILE_OR_CONFIRMED, FORCE, {0}};

const struct cli_verb cli_gateway_disable = {
    .name = "gateway disable",
    .summary = "take a link out of service",
    .args = "LINK",
    .text = "What is pinned to LINK is closed, as if the link were down, and so is what is pinned "
            "to tunnels over it. It stays so over restarts, until mpquic gateway enable. A gateway "
            "that runs follows at once, and the verb ends when it has; without one the verb does "
            "it itself, when the configuration is in force. With --confirm it is on trial, as what "
            "mpquic gateway apply --confirm puts in force.",
    .options = disable_options,
    .run = run_disable,
};

const struct cli_verb cli_gateway_enable = {
    .name = "gateway enable",
    .summary = "put a link back into service",
    .args = "LINK",
    .text =
        "Ends what mpquic gateway disable has begun. Whether the link is up depends on it again.",
    .options = enable_options,
    .run = run_enable,
};
