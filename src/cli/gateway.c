#include "cli/gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "wan/confirm.h"
#include "wan/healthfile.h"
#include "wan/networkd.h"

enum { LIMIT_MAX = 1000000 };

const struct cli_option gatewaycli_file_option[] = {
    {'c', NULL, "FILE", "The configuration of the gateway; see mpquic-gateway.yaml(5).", true},
    {0},
};

static bool parse_number(const char *text, long max, unsigned *ret)
{
    char *end;
    long v = strtol(text, &end, 10);

    *ret = (unsigned)v;
    return end != text && !*end && v > 0 && v <= max;
}

static enum exit_code take_option(const struct cli_verb *verb, int c, struct gatewaycli *ret)
{
    switch (c) {
    case 'c':
        ret->file = optarg;
        return EXIT_CODE_OK;
    case 'j':
        ret->json = true;
        return EXIT_CODE_OK;
    case 'o':
        ret->take_over = true;
        return EXIT_CODE_OK;
    case 'f':
        ret->force = true;
        return EXIT_CODE_OK;
    case 'r':
        ret->reject = true;
        return EXIT_CODE_OK;
    case 'R':
        ret->repair = true;
        return EXIT_CODE_OK;
    case 'a':
        ret->all = true;
        return EXIT_CODE_OK;
    case 'b':
        ret->batch = true;
        return EXIT_CODE_OK;
    case 'i':
        ret->in = optarg;
        return EXIT_CODE_OK;
    case 'l':
        ret->link = optarg;
        return EXIT_CODE_OK;
    case 'F':
        ret->flush = true;
        return EXIT_CODE_OK;
    case 'n':
        if (parse_number(optarg, LIMIT_MAX, &ret->limit))
            return EXIT_CODE_OK;
        return cli_usage_error(verb, "'%s' is not a number from 1 to %d", optarg, LIMIT_MAX);
    case 't':
        if (parse_number(optarg, CONFIRM_SECONDS_MAX, &ret->confirm_s))
            return EXIT_CODE_OK;
        return cli_usage_error(verb, "'%s' is not a number of seconds from 1 to %d", optarg,
                               CONFIRM_SECONDS_MAX);
    default:
        return EXIT_CODE_USAGE;
    }
}

static const struct cli_option *file_option(const struct cli_verb *verb)
{
    for (const struct cli_option *o = verb->options; o && o->letter; o++)
        if (o->letter == 'c')
            return o;
    return NULL;
}

/* Is there a file to be named that was not? */
static bool is_file_missing(const struct cli_verb *verb, const struct gatewaycli *v)
{
    return !v->file && file_option(verb);
}

enum exit_code gatewaycli_options(const struct cli_verb *verb, int argc, char **argv,
                                  struct gatewaycli *ret)
{
    enum exit_code code = EXIT_CODE_OK;
    int c;

    while (code == EXIT_CODE_OK && (c = cli_getopt(verb, argc, argv)) != -1)
        code = take_option(verb, c, ret);
    if (code != EXIT_CODE_OK)
        return code;
    ret->args = argv + optind;
    ret->n_args = argc - optind;
    if (optind < argc && !*verb->args)
        return cli_usage_error(verb, "unexpected argument '%s'%s%s", argv[optind],
                               is_file_missing(verb, ret) ? "; a file is named by -c " : "",
                               is_file_missing(verb, ret) ? argv[optind] : "");
    if (is_file_missing(verb, ret) && file_option(verb)->required)
        return cli_usage_error(verb, "option -c FILE is missing");
    return EXIT_CODE_OK;
}

int gatewaycli_state_dir(char *buf, size_t size)
{
    int rv = place_state_dir(buf, size);

    if (rv)
        return rv;
    return mkdir(buf, 0755) && errno != EEXIST ? -errno : 0;
}

int gatewaycli_state_file(char *buf, size_t size)
{
    char dir[PLACE_PATH_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));

    if (rv)
        return rv;
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

const char *gatewaycli_strerror(int err)
{
    static char text[96];

    snprintf(text, sizeof(text), "%s%s", strerror(err),
             (err == EPERM || err == EACCES) && geteuid() != 0 ? ": run it as root" : "");
    return text;
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
        gatewaycli_watch_events(g, EVENTLOG_APPLY);
    }
    if (rv)
        fprintf(stderr, "mpquic %s: %s\n", verb->name, gatewaycli_strerror(-rv));
    return g;
}

enum exit_code gatewaycli_load(struct gatewaycli *v, FILE *out)
{
    struct config_report report = {0};
    int rv;

    free(v->text);
    v->text = NULL;
    if (!v->config)
        v->config = calloc(1, sizeof(*v->config));
    if (!v->config)
        return EXIT_CODE_INTERNAL;
    rv = gateway_config_load_text(v->file, v->config, &report, &v->text);
    config_report_write(&report, v->file, out);
    config_report_done(&report);
    return rv ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}

static enum exit_code load_confirmed(const struct cli_verb *verb, struct gatewaycli *v)
{
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    char dir[PLACE_PATH_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));

    v->file = "the confirmed configuration";
    v->is_kept = true;
    v->config = calloc(1, sizeof(*v->config));
    if (!v->config)
        return EXIT_CODE_INTERNAL;
    if (!rv)
        rv = confirm_choose(dir, true, v->config, &source, &v->text);
    if (rv) {
        fprintf(stderr, "mpquic %s: the confirmed configuration cannot be read: %s\n", verb->name,
                strerror(-rv));
        return EXIT_CODE_START;
    }
    if (source < CONFIRM_SOURCE_CONFIRMED && confirm_is_understood(dir))
        return cli_usage_error(verb,
                               "option -c FILE is missing, and no configuration is confirmed");
    if (source < CONFIRM_SOURCE_CONFIRMED) {
        fprintf(stderr,
                "mpquic %s: the confirmed configuration cannot be understood; -c FILE takes "
                "another one\n",
                verb->name);
        return EXIT_CODE_START;
    }
    return EXIT_CODE_OK;
}

enum exit_code gatewaycli_begin(const struct cli_verb *verb, int argc, char **argv,
                                struct gatewaycli *ret, FILE *out)
{
    enum exit_code code = gatewaycli_options(verb, argc, argv, ret);

    if (code != EXIT_CODE_OK)
        return code;
    return ret->file ? gatewaycli_load(ret, out) : load_confirmed(verb, ret);
}

void gatewaycli_done(struct gatewaycli *v)
{
    free(v->config);
    free(v->text);
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
    char text[NETWORKD_TEXT_MAX];
    struct networkd n;

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        fprintf(out, "%s: error: this machine: %s\n", file, m->conflict[i]);
    if (networkd_read("", &n) || !networkd_is_in_the_way(&n))
        return m->n_conflicts;
    fprintf(out,
            "%s: error: this machine: %s; ManageForeignRoutes=no and "
            "ManageForeignRoutingPolicyRules=no keep it from that\n",
            file, networkd_str(&n, text));
    return m->n_conflicts + 1;
}

void gatewaycli_note(void *told, const struct wan_op *op, int error)
{
    const struct gatewaycli_told *t = told;
    char text[GATEWAY_TEXT_MAX];

    gateway_op_str(op, text);
    if (!error)
        printf("%s\n", text);
    else if (!wan_op_may_fail(op, error))
        fprintf(stderr, "mpquic %s: %s: %s\n", t->verb->name, text,
                op->kind == WAN_OP_NFT ? gateway_nft_error(t->g) : strerror(-error));
}

void gatewaycli_note_foreign(void *told, bool taken, const char *text, int error)
{
    const struct gatewaycli_told *t = told;

    gatewaycli_write_event("foreign", "{s:s, s:b, s:s*}", "object", text, "taken", taken, "error",
                           error ? strerror(-error) : NULL);
    if (error)
        fprintf(stderr, "mpquic %s: %s: %s\n", t->verb->name, text, strerror(-error));
    else
        printf("%c of somebody else: %s\n", taken ? '-' : '+', text);
}

/* --- the verb -------------------------------------------------------------------------- */

static const struct cli_verb *const subs[] = {
    &cli_gateway_check,   &cli_gateway_plan,   &cli_gateway_apply,
    &cli_gateway_confirm, &cli_gateway_run,    &cli_gateway_guard,
    &cli_gateway_down,    &cli_gateway_status, &cli_gateway_links,
    &cli_gateway_disable, &cli_gateway_enable, &cli_gateway_use,
    &cli_gateway_why,     &cli_gateway_health, &cli_gateway_lan,
    &cli_gateway_flows,   &cli_gateway_event,  NULL,
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
