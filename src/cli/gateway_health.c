#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/gateway_look.h"
#include "control/client.h"
#include "status/status.h"

#define ANSWER_NS (2 * NS_PER_S)

enum { MTU_QUIC = 1280, MTU_INNER = 1280 };

/* A hub has policies for what comes out of tunnels; an edge, for LANs. */
static bool is_hub(const struct gateway_config *c)
{
    for (unsigned i = 0; i < c->n_policies; i++)
        for (unsigned j = 0; j < c->n_links; j++)
            if (c->links[j].type == GATEWAY_LINK_TUNNEL &&
                !strcmp(c->links[j].device, c->policies[i].ingress))
                return true;
    return false;
}

/* --- the gateway itself ---------------------------------------------------------------- */

static void check_daemon(struct findings *ret)
{
    pid_t pid = gatewaycli_daemon();

    if (pid > 0)
        findings_add(ret, FINDING_OK, "gateway", "", NULL, "runs (process %d)", (int)pid);
    else
        findings_add(ret, FINDING_FAILED, "gateway", "",
                     "systemctl start mpquic-gateway, or mpquic gateway run",
                     "it does not run: nobody follows what happens to the links");
}

/* --- links ----------------------------------------------------------------------------- */

static void check_mtu(const struct gateway_world *w, const struct gateway_link *l,
                      struct findings *ret)
{
    bool wan = l->type == GATEWAY_LINK_WAN;
    uint32_t least = wan ? MTU_QUIC : MTU_INNER;
    struct netlink_link d;

    if (netlink_link_by_name(w->nl, l->device, &d))
        return;
    if (d.mtu >= least)
        findings_add(ret, FINDING_OK, "mtu", l->device, NULL, "%u bytes", d.mtu);
    else
        findings_add(ret, wan ? FINDING_FAILED : FINDING_WARNING, "mtu", l->device,
                     wan ? "raise the MTU of the interface"
                         : "see the mtu of the tunnel, and its path with mpquic paths",
                     "%u bytes: %s", d.mtu,
                     wan ? "no tunnel can be carried: QUIC needs 1280" : "IPv6 inside needs 1280");
}

/* --- tunnels --------------------------------------------------------------------------- */

static void check_certificate(const struct status *s, const struct status_cert *cert,
                              const char *whose, struct findings *ret)
{
    if (!cert->present)
        return;
    findings_add(ret,
                 cert->days_left < 0                         ? FINDING_FAILED
                 : cert->days_left < STATUS_EXPIRY_WARN_DAYS ? FINDING_WARNING
                                                             : FINDING_OK,
                 "certificate", s->instance, "mpquic pki renew, and mpquic reload",
                 "%s: %lld days are left", whose, (long long)cert->days_left);
}

static void check_instance(const struct status *s, bool hub, struct findings *ret)
{
    if (!status_is_up(s))
        findings_add(ret, FINDING_FAILED, "tunnel", s->instance, "mpquic status tells more of it",
                     "%s: %.200s", s->state, s->reason);
    else if (hub && !s->n_peers_up)
        findings_add(ret, FINDING_WARNING, "tunnel", s->instance,
                     "look at the edge: mpquic status there", "listening, and nobody is connected");
    else if (hub)
        findings_add(ret, FINDING_OK, "tunnel", s->instance, NULL, "%llu connected",
                     (unsigned long long)s->n_peers_up);
    else
        findings_add(ret, FINDING_OK, "tunnel", s->instance, NULL, "up, the hub %s is reached",
                     *s->server.address ? s->server.address : s->server.host);
    check_certificate(s, &s->certificate, "our own", ret);
    check_certificate(s, &s->server.certificate, "the hub's", ret);
}

/* Whose interface it is, of those that answer. */
static bool check_tunnel_of(const char *name, const struct gateway_link *l, bool hub,
                            struct findings *ret)
{
    char *text = NULL;
    struct status s;
    size_t len;
    bool its;

    if (control_ask(name, CONTROL_STATUS, ANSWER_NS, &text, &len))
        return false;
    if (status_from_json(text, len, &s)) {
        free(text);
        return false;
    }
    its = !strcmp(s.tunnel.interface, l->device);
    if (its)
        check_instance(&s, hub, ret);
    status_done(&s);
    free(text);
    return its;
}

static void check_tunnels(const struct gateway_config *c, bool hub, struct findings *ret)
{
    char(*names)[PLACE_NAME_MAX] = NULL;
    int n = control_instances(&names);

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];
        bool found = false;

        if (l->type != GATEWAY_LINK_TUNNEL)
            continue;
        for (int j = 0; j < n && !found; j++)
            found = check_tunnel_of(names[j], l, hub, ret);
        if (!found)
            findings_add(ret, FINDING_FAILED, "tunnel", l->name,
                         "mpquic status, and systemctl start mpquic@NAME",
                         "no instance that answers has the interface %s", l->device);
    }
    free(names);
}

/* --- the whole ------------------------------------------------------------------------- */

static int check_all(const struct gateway *g, bool hub, struct findings *ret)
{
    const struct gateway_config *c = gateway_config(g);
    struct gateway_world w;
    int rv = gateway_world_read(g, &w);

    if (!rv) {
        check_daemon(ret);
        gateway_look_differences(g, NULL, ret);
        gateway_look_networkd(ret);
        gateway_look_filter(c, ret);
        for (unsigned i = 0; i < c->n_links; i++) {
            gateway_look_link(g, i, ret);
            check_mtu(&w, &c->links[i], ret);
        }
        for (unsigned i = 0; i < c->n_policies; i++) {
            gateway_look_ingress(&w, &c->policies[i], ret);
            gateway_look_way(&w, &c->policies[i], ret);
        }
        check_tunnels(c, hub, ret);
    }
    gateway_world_done(&w);
    return rv;
}

static enum exit_code tell(const struct findings *f, bool hub, const struct gatewaycli *v)
{
    unsigned count[FINDING_LEVEL_COUNT] = {0};
    enum finding_level worst = findings_worst(f);

    for (unsigned i = 0; i < f->n; i++)
        count[f->v[i].level]++;
    if (v->json) {
        enum exit_code code = gatewaycli_print_json(
            json_pack("{s:s, s:s, s:o}", "role", hub ? "hub" : "edge", "level",
                      finding_level_name(worst), "findings", findings_json(f)));

        if (code != EXIT_CODE_OK)
            return code;
    } else {
        findings_write(f, v->all, stdout);
        printf("%s: %s: %u ok, %u warnings, %u failed\n", hub ? "hub" : "edge",
               finding_level_name(worst), count[FINDING_OK], count[FINDING_WARNING],
               count[FINDING_FAILED]);
    }
    return worst == FINDING_FAILED ? EXIT_CODE_NOT_UP : EXIT_CODE_OK;
}

static enum exit_code check(struct gateway *g, const struct gatewaycli *v)
{
    bool hub = is_hub(v->config);
    struct findings f = {0};
    enum exit_code code = gatewaycli_look(&cli_gateway_health, g);
    int rv;

    if (code == EXIT_CODE_OK && v->repair && gateway_plan(g)->n)
        code = gatewaycli_repair(&cli_gateway_health, v, g);
    if (code != EXIT_CODE_OK && code != EXIT_CODE_NOT_UP)
        return code;
    rv = check_all(g, hub, &f);
    if (rv)
        fprintf(stderr, "mpquic gateway health: cannot read the kernel: %s\n", strerror(-rv));
    code = rv ? EXIT_CODE_START : tell(&f, hub, v);
    findings_done(&f);
    return code;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_health, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.n_args)
        return cli_usage_error(&cli_gateway_health, "unexpected argument '%s'", v.args[0]);
    g = gatewaycli_open(&cli_gateway_health, v.config);
    code = g ? check(g, &v) : EXIT_CODE_START;
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'R', "repair", NULL, "First put in force what is not, then check.", false},
    {'a', "all", NULL, "Print what is right, too.", false},
    {'j', "json", NULL, "Print JSON.", false},
    {0},
};

const struct cli_verb cli_gateway_health = {
    .name = "gateway health",
    .summary = "check all that this machine needs as a gateway",
    .args = "",
    .text =
        "Checks, at an edge and at a hub, whatever of it there is: that the gateway runs; that "
        "rules, routes, nftables and settings of the kernel are in force, and nothing of others "
        "is in the way; each link and its MTU; each interface with a policy, and where a packet "
        "from there goes, by the configuration and by the kernel; that an instance runs on each "
        "tunnel and is connected; how long its certificates are valid. Each is ok, a warning, or "
        "failed, with what helps. The exit status is 0 when nothing has failed, else 4.\n\n"
        "--repair has the gateway put in force what is not: the one that runs or, without one, "
        "this verb, which does so with what is confirmed, or on trial, only. It starts no "
        "services.",
    .options = options,
    .run = run,
};
