/* The links one by one, and taking one out of service. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/gateway.h"
#include "netlink/netlink.h"

/* One link, and all that is told of it. */
struct told {
    const struct gateway *g;
    unsigned i;
    const struct gateway_config *c;
    const struct gateway_link *l;
    const struct wan_link_facts *f;
    const struct disabled_link *off; /* NULL: it is in service */
    struct netlink_link device;
    bool there;
};

static void gather(const struct gateway *g, struct netlink *nl, unsigned i, struct told *ret)
{
    *ret = (struct told){
        .c = gateway_config(g), .f = &gateway_mirror(g)->facts.link[i], .g = g, .i = i};
    ret->l = &ret->c->links[i];
    ret->off = disabled_find(gateway_disabled(g), ret->l->name);
    ret->there = !netlink_link_by_name(nl, ret->l->device, &ret->device);
}

/* May the policy use this link: one that it names, or the WAN that carries that? */
static bool is_used(const struct told *t, const struct gateway_policy *p)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(t->c, p, m);

    for (unsigned i = 0; i < n; i++)
        if (m[i].link == t->i || !strcmp(t->c->links[m[i].link].over, t->l->name))
            return true;
    return !strcmp(p->last_resort, t->l->name);
}

/* --- text ------------------------------------------------------------------------------ */

static void print_link(const struct told *t)
{
    char text[GATEWAYCLI_STATE_MAX], addr[IP_PREFIX_STR_MAX];
    const char *word = "  addresses";

    printf("%s: %s %s", t->l->name, gatewaycli_types[t->l->type], t->l->device);
    if (t->l->table)
        printf(", table %u", t->l->table);
    if (*t->l->over)
        printf(", over %s", t->l->over);
    printf("\n");
    for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
        if (f == WAN_V4 || t->c->ipv6)
            printf("  %s %s\n", gatewaycli_families[f], gatewaycli_state_str(t->g, t->i, f, text));
    for (unsigned i = 0; i < t->f->n_net; i++, word = "")
        printf("%s %s", word, ip_prefix_str(&t->f->net[i], addr));
    if (!*word)
        printf("\n");
    word = "  policies of";
    for (unsigned i = 0; i < t->c->n_policies; i++)
        if (is_used(t, &t->c->policies[i])) {
            printf("%s %s", word, t->c->policies[i].ingress);
            word = "";
        }
    if (!*word)
        printf("\n");
    if (t->there)
        printf("  received %" PRIu64 " packets, %" PRIu64 " bytes; sent %" PRIu64
               " packets, %" PRIu64 " bytes, %" PRIu64 " dropped; MTU %u\n",
               t->device.rx_packets, t->device.rx_bytes, t->device.tx_packets, t->device.tx_bytes,
               t->device.tx_dropped, t->device.mtu);
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_t *device_json(const struct told *t)
{
    const struct netlink_link *d = &t->device;

    if (!t->there)
        return json_null();
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I}", "mtu", (int)d->mtu, "received_packets",
                     (json_int_t)d->rx_packets, "received_bytes", (json_int_t)d->rx_bytes,
                     "sent_packets", (json_int_t)d->tx_packets, "sent_bytes",
                     (json_int_t)d->tx_bytes, "dropped_packets", (json_int_t)d->tx_dropped);
}

static json_t *link_json(const struct told *t)
{
    json_t *addresses = json_array(), *policies = json_array();
    char text[IP_PREFIX_STR_MAX];
    json_t *o;

    for (unsigned i = 0; i < t->f->n_net; i++)
        json_array_append_new(addresses, json_string(ip_prefix_str(&t->f->net[i], text)));
    for (unsigned i = 0; i < t->c->n_policies; i++)
        if (is_used(t, &t->c->policies[i]))
            json_array_append_new(policies, json_string(t->c->policies[i].ingress));
    o = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "name", t->l->name, "type",
                  gatewaycli_types[t->l->type], "device", t->l->device, "table",
                  (json_int_t)t->l->table, "ipv4", gatewaycli_state_json(t->g, t->i, WAN_V4),
                  "ipv6", gatewaycli_state_json(t->g, t->i, WAN_V6), "addresses", addresses,
                  "policies", policies, "interface", device_json(t));
    json_object_set_new(o, "over", *t->l->over ? json_string(t->l->over) : json_null());
    json_object_set_new(o, "disabled_since", t->off ? json_integer(t->off->since_s) : json_null());
    return o;
}

/* --- links ----------------------------------------------------------------------------- */

static enum exit_code tell(const struct gateway *g, bool json)
{
    struct netlink *nl = NULL;
    json_t *all = json ? json_array() : NULL;
    struct told t;
    int rv = netlink_open(&nl);

    for (unsigned i = 0; i < gateway_config(g)->n_links && !rv; i++) {
        gather(g, nl, i, &t);
        if (json)
            json_array_append_new(all, link_json(&t));
        else
            print_link(&t);
    }
    netlink_close(nl);
    if (rv) {
        json_decref(all);
        fprintf(stderr, "mpquic gateway links: %s\n", strerror(-rv));
        return EXIT_CODE_START;
    }
    return json ? gatewaycli_print_json(all) : EXIT_CODE_OK;
}

static int run_links(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_links, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_links, v.config);
    code = g ? gatewaycli_look(&cli_gateway_links, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = tell(g, v.json);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option links_options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'j', "json", NULL, "Print JSON.", false},
    {0},
};

const struct cli_verb cli_gateway_links = {
    .name = "gateway links",
    .summary = "tell of each link what is known of it",
    .args = "",
    .text = "Prints for each link the state in either family with its reason, the addresses of its "
            "interface, the interfaces with a policy that needs it, directly or because it carries "
            "their tunnel, and what the interface has received and sent since it exists.",
    .options = links_options,
    .run = run_links,
};
