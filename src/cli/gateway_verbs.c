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

static const struct cli_option file_option[] = {
    {'c', NULL, "FILE", "The configuration of the gateway; see mpquic-gateway.yaml(5).", true},
    {0},
};

/* Begin a verb: options, and the configuration on the heap, which the caller frees. */
static enum exit_code begin(const struct cli_verb *verb, int argc, char **argv,
                            const char **ret_file, struct gateway_config **ret, FILE *out)
{
    const char *file = NULL;
    enum exit_code code = gatewaycli_options(verb, argc, argv, &file);

    *ret = NULL;
    if (code != EXIT_CODE_OK)
        return code;
    *ret = calloc(1, sizeof(**ret));
    if (!*ret)
        return EXIT_CODE_INTERNAL;
    *ret_file = file;
    return gatewaycli_load(file, *ret, out);
}

/* Look at the kernel, or say why not. */
static enum exit_code look(const struct cli_verb *verb, struct gateway *g)
{
    int rv = gateway_look(g);

    if (!rv)
        return EXIT_CODE_OK;
    fprintf(stderr, "mpquic %s: cannot read the kernel: %s\n", verb->name,
            rv == -EINVAL ? gateway_nft_error(g) : strerror(-rv));
    return EXIT_CODE_START;
}

static unsigned write_conflicts(const struct gateway *g, FILE *out, const char *file)
{
    const struct wan_mirror *m = gateway_mirror(g);

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        fprintf(out, "%s: error: this machine: %s\n", file, m->conflict[i]);
    return m->n_conflicts;
}

/* --- check ----------------------------------------------------------------------------- */

static int run_check(int argc, char **argv)
{
    _cleanup_free_ struct gateway_config *config = NULL;
    const char *file = NULL;
    enum exit_code code = begin(&cli_gateway_check, argc, argv, &file, &config, stdout);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (geteuid() != 0) {
        printf("%s: ok; this machine was not looked at, which needs root\n", file);
        return EXIT_CODE_OK;
    }
    g = gatewaycli_open(&cli_gateway_check, config);
    code = g ? look(&cli_gateway_check, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK && write_conflicts(g, stdout, file))
        code = EXIT_CODE_CONFIG;
    if (code == EXIT_CODE_OK)
        printf("%s: ok\n", file);
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
    .options = file_option,
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
    _cleanup_free_ struct gateway_config *config = NULL;
    const char *file = NULL;
    enum exit_code code = begin(&cli_gateway_plan, argc, argv, &file, &config, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_plan, config);
    code = g ? look(&cli_gateway_plan, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK) {
        write_conflicts(g, stderr, file);
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
    .options = file_option,
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
    enum exit_code code = look(&cli_gateway_apply, g);
    int rv;

    if (code != EXIT_CODE_OK)
        return code;
    if (write_conflicts(g, stderr, file)) {
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
    _cleanup_free_ struct gateway_config *config = NULL;
    const char *file = NULL;
    enum exit_code code = begin(&cli_gateway_apply, argc, argv, &file, &config, stderr);
    _cleanup_close_ int lock = -1;
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    lock = gatewaycli_lock_or_say(&cli_gateway_apply);
    g = lock < 0 ? NULL : gatewaycli_open(&cli_gateway_apply, config);
    code = g ? apply(g, file) : EXIT_CODE_START;
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
    .options = file_option,
    .run = run_apply,
};

/* --- down ------------------------------------------------------------------------------ */

static int run_down(int argc, char **argv)
{
    const char *file = NULL;
    enum exit_code code = gatewaycli_options(&cli_gateway_down, argc, argv, &file);
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
    _cleanup_free_ struct gateway_config *config = NULL;
    const char *file = NULL;
    enum exit_code code = begin(&cli_gateway_run, argc, argv, &file, &config, stderr);
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
    log_set_level(config->log_level);
    return (int)keeper_run(config, strcmp(file, "-") != 0 ? file : NULL, state);
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
    .options = file_option,
    .run = run_run,
};

/* --- status ---------------------------------------------------------------------------- */

static void print_family(const struct wan_link_state *s, enum wan_family f)
{
    char via[IP_ADDR_STR_MAX];

    if (s->reason[f] == WAN_REASON_OFF)
        return;
    printf("  %s %s%s%s%s", f == WAN_V4 ? "IPv4" : "IPv6",
           s->reason[f] == WAN_REASON_UP ? "" : "down: ", wan_reason_name(s->reason[f]),
           s->reason[f] == WAN_REASON_UP && s->hop[f].via.family ? " via " : "",
           s->reason[f] == WAN_REASON_UP && s->hop[f].via.family ? ip_addr_str(&s->hop[f].via, via)
                                                                 : "");
}

static void print_links(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];
        struct wan_link_state s;

        wan_state_of(c, &gateway_mirror(g)->facts, i, &s);
        printf("link %s: %s %s", l->name, l->type == GATEWAY_LINK_TUNNEL ? "tunnel" : "wan",
               l->device);
        if (l->table)
            printf(" table %u", l->table);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
            print_family(&s, f);
        printf("\n");
    }
}

static void print_policies(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);

    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];
        int link = gateway_config_link(c, p->pin);
        struct wan_link_state s;

        wan_state_of(c, &gateway_mirror(g)->facts, (unsigned)link, &s);
        printf("policy %s -> %s: IPv4 %s", p->ingress, p->pin,
               s.reason[WAN_V4] == WAN_REASON_UP ? "open" : "closed");
        printf(", IPv6 %s\n", s.reason[WAN_V6] == WAN_REASON_UP ? "open" : "closed");
    }
}

static enum exit_code print_status(const struct gateway *g, const char *file)
{
    unsigned n = gateway_plan(g)->n;
    pid_t pid = gatewaycli_holder();

    if (pid > 0)
        printf("gateway: running (process %d)\n", (int)pid);
    else
        printf("gateway: not running\n");
    if (n)
        printf("not in force: %u differences; mpquic gateway plan -c %s tells them\n", n, file);
    else
        printf("in force\n");
    print_links(g);
    print_policies(g);
    write_conflicts(g, stdout, file);
    if (n)
        return EXIT_CODE_NOT_UP;
    return pid > 0 ? EXIT_CODE_OK : EXIT_CODE_NOT_RUNNING;
}

static int run_status(int argc, char **argv)
{
    _cleanup_free_ struct gateway_config *config = NULL;
    const char *file = NULL;
    enum exit_code code = begin(&cli_gateway_status, argc, argv, &file, &config, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_status, config);
    code = g ? look(&cli_gateway_status, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = print_status(g, file);
    gateway_close(g);
    return (int)code;
}

const struct cli_verb cli_gateway_status = {
    .name = "gateway status",
    .summary = "tell whether a configuration is in force",
    .args = "",
    .text = "Looks at the kernel itself, so it is right whether the gateway runs or not. Prints "
            "whether it runs, whether everything that FILE wants is there, and the state of each "
            "link and policy. Exits with 4 when something differs, otherwise with 3 when the "
            "gateway does not run.",
    .options = file_option,
    .run = run_status,
};
