#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/gateway.h"
#include "status/status.h"

static const char *const families[WAN_FAMILIES] = {"IPv4", "IPv6"};
static const char *const types[] = {[GATEWAY_LINK_WAN] = "wan", [GATEWAY_LINK_TUNNEL] = "tunnel"};

static struct wan_link_state state_of(const struct gateway *g, unsigned link)
{
    struct wan_link_state s;

    wan_state_of(gateway_config(g), &gateway_mirror(g)->facts, link, &s);
    return s;
}

/* The state of the link that a policy leads to. */
static struct wan_link_state state_of_pin(const struct gateway *g, const struct gateway_policy *p)
{
    return state_of(g, (unsigned)gateway_config_link(gateway_config(g), p->pin));
}

/* --- text ------------------------------------------------------------------------------ */

static const char *why_of(const struct gateway *g, unsigned link, enum wan_family f,
                          char buf[static WAN_WHY_MAX])
{
    return wan_state_why(gateway_config(g), &gateway_mirror(g)->facts, link, f, buf);
}

/* Since when it is in the state that it is in, as who keeps the gateway says; 0: it does not. */
static int64_t since(const struct gateway *g, unsigned link, enum wan_family f, enum wan_state now)
{
    const struct wan_link_health *h = &gateway_health(g)->link[link];

    return h->last[f] == now ? h->since_s[f] : 0;
}

static void print_family(const struct gateway *g, unsigned link, const struct wan_link_state *s,
                         enum wan_family f)
{
    char via[IP_ADDR_STR_MAX], why[WAN_WHY_MAX], time[32] = "";
    int64_t at = since(g, link, f, s->state[f]);

    if (s->reason[f] == WAN_REASON_OFF)
        return;
    printf("  %s %s: %s", families[f], wan_state_name(s->state[f]), why_of(g, link, f, why));
    if (s->reason[f] == WAN_REASON_UP && s->hop[f].via.family)
        printf(", via %s", ip_addr_str(&s->hop[f].via, via));
    if (at)
        printf(", since %s", status_time_str(at, time));
}

static void print_links(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];
        struct wan_link_state s = state_of(g, i);

        printf("link %s: %s %s", l->name, types[l->type], l->device);
        if (l->table)
            printf(" table %u", l->table);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
            print_family(g, i, &s, f);
        printf("\n");
    }
}

static void print_policies(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);

    for (unsigned i = 0; i < c->n_policies; i++) {
        struct wan_link_state s = state_of_pin(g, &c->policies[i]);

        printf("policy %s -> %s:", c->policies[i].ingress, c->policies[i].pin);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
            printf("%s %s %s", f ? "," : "", families[f],
                   s.reason[f] == WAN_REASON_UP ? "open" : "closed");
        printf("\n");
    }
}

static void print_text(const struct gateway *g, const char *file, pid_t pid)
{
    unsigned n = gateway_plan(g)->n;

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
    gatewaycli_write_conflicts(g, stdout, file);
}

/* --- JSON ------------------------------------------------------------------------------ */

/* What the last rounds of its probe were. */
static json_t *probe_json(const struct wan_verdict *v)
{
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f}", "state", wan_state_name(v->state),
                     "answering", v->answering, "targets", v->targets, "need", v->need,
                     "loss_percent", v->loss_percent, "latency_ms", v->latency_us / 1000.0);
}

/* {"state": "unhealthy", "up": false, "reason": "no carrier"}; up: what is pinned to it goes there.
 */
static json_t *family_json(const struct gateway *g, unsigned link, const struct wan_link_state *s,
                           enum wan_family f)
{
    bool up = s->reason[f] == WAN_REASON_UP;
    char via[IP_ADDR_STR_MAX], why[WAN_WHY_MAX];
    int64_t at = since(g, link, f, s->state[f]);
    json_t *all = json_pack("{s:s, s:b, s:s}", "state", wan_state_name(s->state[f]), "up", up,
                            "reason", why_of(g, link, f, why));

    if (up && s->hop[f].via.family)
        json_object_set_new(all, "via", json_string(ip_addr_str(&s->hop[f].via, via)));
    if (at)
        json_object_set_new(all, "since", json_integer(at));
    if (wan_has_probe(gateway_config(g), link, f))
        json_object_set_new(all, "probe", probe_json(&gateway_health(g)->link[link].probe[f]));
    return all;
}

static json_t *links_json(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    json_t *all = json_array();

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];
        struct wan_link_state s = state_of(g, i);

        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "name", l->name, "type",
                                        types[l->type], "device", l->device, "table",
                                        (json_int_t)l->table, "ipv4", family_json(g, i, &s, WAN_V4),
                                        "ipv6", family_json(g, i, &s, WAN_V6)));
    }
    return all;
}

static json_t *policies_json(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    json_t *all = json_array();

    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];
        struct wan_link_state s = state_of_pin(g, p);

        json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:b, s:b}", "ingress", p->ingress,
                                             "pin", p->pin, "priority", (json_int_t)p->priority,
                                             "ipv4_open", s.reason[WAN_V4] == WAN_REASON_UP,
                                             "ipv6_open", s.reason[WAN_V6] == WAN_REASON_UP));
    }
    return all;
}

static json_t *conflicts_json(const struct gateway *g)
{
    const struct wan_mirror *m = gateway_mirror(g);
    json_t *all = json_array();

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        json_array_append_new(all, json_string(m->conflict[i]));
    return all;
}

static enum exit_code print_json(const struct gateway *g, pid_t pid)
{
    unsigned n = gateway_plan(g)->n;
    json_t *all =
        json_pack("{s:b, s:i, s:b, s:i, s:o, s:o, s:o}", "running", pid > 0, "process",
                  (int)MAX(pid, 0), "in_force", !n, "differences", (int)n, "links", links_json(g),
                  "policies", policies_json(g), "conflicts", conflicts_json(g));
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;

    json_decref(all);
    if (!text)
        return EXIT_CODE_INTERNAL;
    printf("%s\n", text);
    free(text);
    return EXIT_CODE_OK;
}

/* --- the verb -------------------------------------------------------------------------- */

static enum exit_code tell(const struct gateway *g, const struct gatewaycli *v)
{
    pid_t pid = gatewaycli_holder();
    enum exit_code code = EXIT_CODE_OK;

    if (v->json)
        code = print_json(g, pid);
    else
        print_text(g, v->file, pid);
    if (code != EXIT_CODE_OK)
        return code;
    if (gateway_plan(g)->n)
        return EXIT_CODE_NOT_UP;
    return pid > 0 ? EXIT_CODE_OK : EXIT_CODE_NOT_RUNNING;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_status, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_status, v.config);
    code = g ? gatewaycli_look(&cli_gateway_status, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = tell(g, &v);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    {'c', NULL, "FILE", "The configuration of the gateway; see mpquic-gateway.yaml(5).", true},
    {.letter = 'j', .name = "json", .text = "Print JSON instead of text."},
    {0},
};

const struct cli_verb cli_gateway_status = {
    .name = "gateway status",
    .summary = "tell whether a configuration is in force",
    .args = "",
    .text = "Looks at the kernel itself, so it is right whether the gateway runs or not. Prints "
            "whether it runs, whether everything that FILE wants is there, and the state of each "
            "link and policy. Exits with 4 when something differs, otherwise with 3 when the "
            "gateway does not run.",
    .options = options,
    .run = run,
};
