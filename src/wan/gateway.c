#include "wan/gateway.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/desired.h"
#include "wan/settings.h"

enum { ROUNDS_MAX = 5, STATE_FILE_MAX = 256 };

struct gateway {
    struct gateway_config config;
    struct wan_health health;
    char state_file[STATE_FILE_MAX];
    struct netlink *nl;
    struct nftable *nft;
    struct fib_signal *signal;
    struct wan_mirror mirror;
    struct wan_objects want;
    struct wan_plan plan;
    char *good;      /* the listing after we set the table last; NULL: not known */
    unsigned n_done; /* operations that have succeeded */
    gateway_note_fn *note, *watch;
    void *user, *watch_user;
};

int gateway_open(const struct gateway_config *c, const char *state_file, struct gateway **ret)
{
    struct gateway *g = calloc(1, sizeof(*g));
    int rv;

    if (!g)
        return -ENOMEM;
    if (c)
        g->config = *c;
    rv = snprintf(g->state_file, sizeof(g->state_file), "%s", state_file) <
                 (int)sizeof(g->state_file)
             ? 0
             : -ENAMETOOLONG;
    if (!rv)
        rv = fib_signal_open(&g->signal);
    if (!rv)
        rv = netlink_open(&g->nl);
    if (!rv)
        rv = nftable_open(&g->nft);
    if (rv) {
        gateway_close(g);
        return rv;
    }
    *ret = g;
    return 0;
}

void gateway_close(struct gateway *g)
{
    if (!g)
        return;
    wan_plan_done(&g->plan);
    wan_objects_done(&g->want);
    wan_mirror_done(&g->mirror);
    nftable_close(g->nft);
    netlink_close(g->nl);
    fib_signal_close(g->signal);
    free(g->good);
    free(g);
}

void gateway_set_config(struct gateway *g, const struct gateway_config *c)
{
    g->config = *c;
}

const struct gateway_config *gateway_config(const struct gateway *g)
{
    return &g->config;
}

void gateway_set_health(struct gateway *g, const struct wan_health *h)
{
    g->health = *h;
}

const struct wan_health *gateway_health(const struct gateway *g)
{
    return &g->health;
}

const struct wan_plan *gateway_plan(const struct gateway *g)
{
    return &g->plan;
}

const struct wan_mirror *gateway_mirror(const struct gateway *g)
{
    return &g->mirror;
}

const char *gateway_nft_error(const struct gateway *g)
{
    return nftable_error(g->nft);
}

/* --- looking --------------------------------------------------------------------------- */

/* What the settings are that there is something to say of. */
static int read_settings(struct gateway *g)
{
    int rv = 0;

    for (unsigned i = 0; i < g->want.n_settings && !rv; i++) {
        const char *name = g->want.settings[i].name;
        int value = setting_read(name);

        rv = wan_objects_add_setting(&g->mirror.ours, name, MAX(value, -1));
    }
    return rv;
}

int gateway_look(struct gateway *g)
{
    int rv;

    wan_plan_done(&g->plan);
    wan_objects_done(&g->want);
    wan_mirror_done(&g->mirror);
    rv = wan_mirror_read(g->nl, g->nft, &g->config, g->good, &g->mirror);
    for (unsigned i = 0; i < g->config.n_links; i++)
        g->mirror.facts.link[i].health = g->health.link[i];
    if (!rv)
        rv = wan_desired(&g->config, &g->mirror.facts, &g->want);
    if (!rv)
        rv = read_settings(g);
    return rv ? rv : wan_plan_make(&g->mirror.ours, &g->want, &g->plan);
}

/* --- doing ----------------------------------------------------------------------------- */

/* The table as it is listed when it is right: what is listed otherwise later was changed. */
static int set_nft(struct gateway *g, const struct wan_op *op)
{
    int rv = op->nft.text ? nftable_set(g->nft, op->nft.text) : nftable_remove(g->nft);

    free(g->good);
    g->good = NULL;
    return rv ? rv : nftable_list(g->nft, &g->good);
}

static int do_one(struct gateway *g, const struct wan_op *op)
{
    switch (op->kind) {
    case WAN_OP_RULE_ADD:
        return fib_rule_add(g->nl, op->rule);
    case WAN_OP_RULE_DEL:
        return fib_rule_del(g->nl, op->rule);
    case WAN_OP_ROUTE_ADD:
        return fib_route_add(g->nl, op->route);
    case WAN_OP_ROUTE_DEL:
        return fib_route_del(g->nl, op->route);
    case WAN_OP_NFT:
        return set_nft(g, op);
    case WAN_OP_SETTING:
        return setting_write(g->state_file, op->setting.name, op->setting.value);
    default:
        return -EINVAL;
    }
}

static int do_op(void *user, const struct wan_op *op)
{
    struct gateway *g = user;
    int rv = do_one(g, op);

    g->n_done += !rv;
    if (g->note)
        g->note(g->user, op, rv);
    if (g->watch)
        g->watch(g->watch_user, op, rv);
    return rv;
}

void gateway_set_watch(struct gateway *g, gateway_note_fn *fn, void *user)
{
    g->watch = fn;
    g->watch_user = user;
}

int gateway_apply(struct gateway *g, bool undo, gateway_note_fn *note, void *user)
{
    g->note = note;
    g->user = user;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        int rv = gateway_look(g);

        if (rv || !g->plan.n)
            return rv;
        g->n_done = 0;
        rv = wan_plan_run(&g->plan, undo, do_op, g, NULL);
        if (rv || !g->n_done)
            return rv; /* what is left cannot be done as things are */
    }
    return -EAGAIN;
}

int gateway_down(struct gateway *g, gateway_note_fn *note, void *user)
{
    static const struct gateway_config nothing;
    int rv = settings_restore(g->state_file);

    gateway_set_config(g, &nothing);
    return rv ? rv : gateway_apply(g, false, note, user);
}

/* A family that this kernel does not have needs none. */
static int add_guard(struct netlink *nl, const struct fib_rule *r, gateway_note_fn *note,
                     void *user)
{
    struct wan_op op = {.kind = WAN_OP_RULE_ADD, .rule = r};
    int rv = fib_rule_add(nl, r);

    if (rv == -EEXIST || rv == -EAFNOSUPPORT || rv == -EOPNOTSUPP)
        return 0;
    note(user, &op, rv);
    return rv;
}

int gateway_guard(const struct gateway_config *c, gateway_note_fn *note, void *user)
{
    static const struct wan_facts no_facts;
    struct netlink *nl = NULL;
    struct wan_objects want;
    int first = wan_desired(c, &no_facts, &want), rv;

    if (!first)
        first = netlink_open(&nl);
    for (unsigned i = 0; nl && i < want.n_rules; i++) {
        if (want.rules[i].priority != c->last_priority)
            continue;
        rv = add_guard(nl, &want.rules[i], note, user);
        first = first ? first : rv;
    }
    netlink_close(nl);
    wan_objects_done(&want);
    return first;
}

struct netlink *gateway_netlink(struct gateway *g)
{
    return g->nl;
}

/* --- signals --------------------------------------------------------------------------- */

int gateway_signal_fd(const struct gateway *g, unsigned i)
{
    return i ? nftable_fd(g->nft) : fib_signal_fd(g->signal);
}

int gateway_signal_take(struct gateway *g, unsigned i)
{
    return i ? nftable_take(g->nft) : fib_signal_take(g->signal);
}

/* --- telling --------------------------------------------------------------------------- */

const char *gateway_op_str(const struct wan_op *op, char buf[static GATEWAY_TEXT_MAX])
{
    char text[FIB_TEXT_MAX], name[IFNAMSIZ] = "?";
    bool add = op->kind == WAN_OP_RULE_ADD || op->kind == WAN_OP_ROUTE_ADD;

    switch (op->kind) {
    case WAN_OP_RULE_ADD:
    case WAN_OP_RULE_DEL:
        snprintf(buf, GATEWAY_TEXT_MAX, "%c rule %s", add ? '+' : '-',
                 fib_rule_str(op->rule, text));
        break;
    case WAN_OP_ROUTE_ADD:
    case WAN_OP_ROUTE_DEL:
        if (op->route->index && !if_indextoname((unsigned)op->route->index, name))
            snprintf(name, sizeof(name), "?");
        snprintf(buf, GATEWAY_TEXT_MAX, "%c route %s", add ? '+' : '-',
                 fib_route_str(op->route, name, text));
        break;
    case WAN_OP_NFT:
        snprintf(buf, GATEWAY_TEXT_MAX, "%c nft table " NFTABLE_FAMILY " " NFTABLE_NAME,
                 !op->nft.text    ? '-'
                 : op->nft.before ? '~'
                                  : '+');
        break;
    default:
        snprintf(buf, GATEWAY_TEXT_MAX, "~ setting %s %d -> %d", op->setting.name,
                 op->setting.before, op->setting.value);
    }
    return buf;
}
