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

/* Does the policy need this link: the one that it names, or the WAN that carries that? */
static bool is_used(const struct told *t, const struct gateway_policy *p)
{
    int i = gateway_config_link(t->c, p->pin);

    return !strcmp(p->pin, t->l->name) || (i >= 0 && !strcmp(t->c->links[i].over, t->l->name));
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

/* --- disable and enable ---------------------------------------------------------------- */

/* Without a gateway that runs the change is put in force here, where the rest is in force: else
 * this verb would apply a whole configuration. */
static enum exit_code change_locked(const struct cli_verb *verb, const struct gatewaycli *v,
                                    struct gateway *g, bool off, int lock)
{
    const char *link = v->args[0];
    bool here = lock >= 0 && !gateway_plan(g)->n;
    enum exit_code code = EXIT_CODE_OK;
    int rv = 0;

    if (lock < 0 || here) {
        rv = gateway_plan_disabled(g, (unsigned)gateway_config_link(v->config, link), off);
        if (!rv)
            code = gatewaycli_check_ssh(verb, g, NULL, v->force, "--force does it all the same");
    }
    if (code != EXIT_CODE_OK)
        return code;
    if (!rv)
        rv = gateway_disable(g, link, off);
    if (rv < 0) {
        fprintf(stderr, "mpquic %s: %s\n", verb->name, strerror(-rv));
        return EXIT_CODE_FILES;
    }
    if (lock < 0 || here)
        code = gatewaycli_realign(verb, g, lock);
    if (code == EXIT_CODE_OK)
        printf("link %s is %s%s%s\n", link, rv ? "" : "already ", off ? "disabled" : "enabled",
               lock < 0 || here ? "" : "; nothing else is in force: mpquic gateway apply");
    return code;
}

static enum exit_code change(const struct cli_verb *verb, const struct gatewaycli *v,
                             struct gateway *g, bool off)
{
    pid_t pid = 0;
    _cleanup_close_ int lock = gatewaycli_lock_wait(&pid);
    enum exit_code code;

    if (lock < 0 && lock != -EAGAIN) {
        fprintf(stderr, "mpquic %s: %s\n", verb->name, strerror(-lock));
        return EXIT_CODE_FILES;
    }
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

static const struct cli_option change_options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {.letter = 'f',
     .name = "force",
     .text = "Do it even if that cuts the SSH session that it is called from."},
    {0},
};

const struct cli_verb cli_gateway_disable = {
    .name = "gateway disable",
    .summary = "take a link out of service",
    .args = "LINK",
    .text = "What is pinned to LINK is closed, as if the link were down, and so is what is pinned "
            "to tunnels over it. It stays so over restarts, until mpquic gateway enable. A gateway "
            "that runs follows at once, and the verb ends when it has; without one the verb does "
            "it itself, when the configuration is in force.",
    .options = change_options,
    .run = run_disable,
};

const struct cli_verb cli_gateway_enable = {
    .name = "gateway enable",
    .summary = "put a link back into service",
    .args = "LINK",
    .text =
        "Ends what mpquic gateway disable has begun. Whether the link is up depends on it again.",
    .options = change_options,
    .run = run_enable,
};
