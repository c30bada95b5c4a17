#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/keeper.h"

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
    .text = "Prints all problems of FILE, one a line, as FILE:LINE:COLUMN: error: TEXT; HINT. As "
            "root it also looks for what others have on this machine that is in the way: routes in "
            "the tables of the links, and rules that come before those of the gateway.",
    .options = gatewaycli_file_option,
    .run = run_check,
};

/* --- plan ------------------------------------------------------------------------------ */

static void print_plan(const struct wan_plan *p)
{
    char text[GATEWAY_TEXT_MAX];

    for (unsigned i = 0; i < p->n; i++)
        printf("%s\n", gateway_op_str(&p->ops[i], text));
    if (!p->n)
        printf("nothing to do\n");
}

static int run_plan(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_plan, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_plan, v.config);
    code = g ? gatewaycli_look(&cli_gateway_plan, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK) {
        gatewaycli_write_conflicts(g, stderr, v.file);
        print_plan(gateway_plan(g));
    }
    gateway_close(g);
    return (int)code;
}

const struct cli_verb cli_gateway_plan = {
    .name = "gateway plan",
    .summary = "tell what mpquic gateway apply would do",
    .args = "",
    .text = "Prints what there is to add (+), to remove (-) and to change (~), in the order in "
            "which it would be done, and changes nothing.",
    .options = gatewaycli_file_option,
    .run = run_plan,
};

/* --- apply ----------------------------------------------------------------------------- */

struct told {
    const struct cli_verb *verb;
    const struct gateway *g;
};

static void note(void *user, const struct wan_op *op, int error)
{
    const struct told *t = user;
    char text[GATEWAY_TEXT_MAX];

    gateway_op_str(op, text);
    if (!error)
        printf("%s\n", text);
    else if (!wan_op_may_fail(op, error))
        fprintf(stderr, "mpquic %s: %s: %s\n", t->verb->name, text,
                op->kind == WAN_OP_NFT ? gateway_nft_error(t->g) : strerror(-error));
}

static enum exit_code apply(struct gateway *g, const char *file)
{
    struct told t = {&cli_gateway_apply, g};
    enum exit_code code = gatewaycli_look(&cli_gateway_apply, g);
    int rv;

    if (code != EXIT_CODE_OK)
        return code;
    if (gatewaycli_write_conflicts(g, stderr, file)) {
        fprintf(stderr, "mpquic gateway apply: nothing was changed\n");
        return EXIT_CODE_CONFIG;
    }
    rv = gateway_apply(g, true, note, &t);
    if (!rv)
        return EXIT_CODE_OK;
    fprintf(stderr, "mpquic gateway apply: %s; what was done is taken back\n", strerror(-rv));
    return EXIT_CODE_START;
}

static int run_apply(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_apply, argc, argv, &v, stderr);
    _cleanup_close_ int lock = -1;
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock_or_say(&cli_gateway_apply);
    g = lock < 0 ? NULL : gatewaycli_open(&cli_gateway_apply, v.config);
    code = g ? apply(g, v.file) : EXIT_CODE_START;
    gateway_close(g);
    return (int)code;
}

const struct cli_verb cli_gateway_apply = {
    .name = "gateway apply",
    .summary = "put a configuration in force, once",
    .args = "",
    .text = "Makes what the configuration wants as the links are now, prints each step, and ends. "
            "Nobody follows the links then: that is what mpquic gateway run does. A step that "
            "fails takes back those before it. Where something of others is in the way nothing is "
            "changed.",
    .options = gatewaycli_file_option,
    .run = run_apply,
};

/* --- down ------------------------------------------------------------------------------ */

static int run_down(int argc, char **argv)
{
    struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_down, argc, argv, &v);
    struct told t = {&cli_gateway_down, NULL};
    _cleanup_close_ int lock = -1;
    struct gateway *g;
    int rv;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock_or_say(&cli_gateway_down);
    g = lock < 0 ? NULL : gatewaycli_open(&cli_gateway_down, NULL);
    if (!g)
        return EXIT_CODE_START;
    t.g = g;
    rv = gateway_down(g, note, &t);
    if (rv)
        fprintf(stderr, "mpquic gateway down: not everything was removed: %s\n", strerror(-rv));
    gateway_close(g);
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

const struct cli_verb cli_gateway_down = {
    .name = "gateway down",
    .summary = "remove everything that the gateway has made",
    .args = "",
    .text = "Gives settings of the kernel the values that they had before, and removes the rules, "
            "routes and the table of nftables that are the gateway's, whatever configuration they "
            "are from. What others have made stays. The interfaces that had a policy are open "
            "then. A gateway that runs has to be stopped first.",
    .run = run_down,
};

/* --- run ------------------------------------------------------------------------------- */

static int run_run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_run, argc, argv, &v, stderr);
    char state[PLACE_PATH_MAX + 32];
    _cleanup_close_ int lock = -1;
    int rv;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock_or_say(&cli_gateway_run);
    if (lock < 0)
        return EXIT_CODE_START;
    rv = gatewaycli_state_file(state, sizeof(state));
    if (rv) {
        fprintf(stderr, "mpquic gateway run: no directory of state: %s\n", strerror(-rv));
        return EXIT_CODE_START;
    }
    log_set_level(v.config->log_level);
    return (int)keeper_run(v.config, strcmp(v.file, "-") != 0 ? v.file : NULL, state);
}

const struct cli_verb cli_gateway_run = {
    .name = "gateway run",
    .summary = "keep a configuration in force",
    .args = "",
    .text =
        "Runs in the foreground until it is told to stop. Puts the configuration in force, follows "
        "the kernel's events about interfaces, addresses, routes, rules and nftables, and at each "
        "one, and every 30 seconds, makes what should be there of what is there. Neither hooks nor "
        "timers are needed. SIGHUP has it read FILE again: one with errors changes nothing. When "
        "it stops, by whatever cause, everything stays in force as it is; started again it goes on "
        "from there.",
    .options = gatewaycli_file_option,
    .run = run_run,
};
