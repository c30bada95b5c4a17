#include "wan/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "wan/delegation.h"
#include "wan/desired.h"
#include "wan/moveflows.h"
#include "wan/settings.h"
#include "wan/sweep.h"

#define DISABLED_NAME "gateway.disabled"

enum { ROUNDS_MAX = 5, STATE_FILE_MAX = 256, EVENT_BYTES = 4096 };

struct gateway {
    struct gateway_config config;
    struct wan_health health;
    char state_file[STATE_FILE_MAX];
    struct netlink *nl;
    struct nftable *nft;
    struct fib_signal *signal;
    char dir[STATE_FILE_MAX], disabled_file[STATE_FILE_MAX];
    int disabled_fd; /* tells that it, or what is delegated, has changed */
    struct disabled disabled;
    struct delegations delegated;
    struct wan_mirror mirror;
    struct wan_objects want;
    struct wan_plan plan;
    char *good;      /* the listing after we set the table last; NULL: not known */
    unsigned n_done; /* operations that have succeeded */
    gateway_note_fn *note, *watch;
    void *user, *watch_user;
};

/* The files, and a signal of changes to that of the links out of service: it is made anew each
 * time, so that its directory is watched. */
static int set_files(struct gateway *g, const char *state_file)
{
    const char *slash = strrchr(state_file, '/');
    int dir_len = slash ? (int)(slash - state_file) : 1;
    char *dir = g->dir;

    if (snprintf(g->state_file, sizeof(g->state_file), "%s", state_file) >=
            (int)sizeof(g->state_file) ||
        snprintf(dir, sizeof(g->dir), "%.*s", dir_len, slash ? state_file : ".") >=
            (int)sizeof(g->dir) ||
        snprintf(g->disabled_file, sizeof(g->disabled_file), "%s/" DISABLED_NAME, dir) >=
            (int)sizeof(g->disabled_file))
        return -ENAMETOOLONG;
    g->disabled_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (g->disabled_fd < 0 ||
        inotify_add_watch(g->disabled_fd, dir, IN_MOVED_TO | IN_DELETE | IN_ATTRIB) < 0)
        return -errno;
    return 0;
}

int gateway_open(const struct gateway_config *c, const char *state_file, struct gateway **ret)
{
    struct gateway *g = calloc(1, sizeof(*g));
    int rv;

    if (!g)
        return -ENOMEM;
    if (c)
        g->config = *c;
    g->disabled_fd = -1;
    rv = set_files(g, state_file);
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
    if (g->disabled_fd >= 0)
        close(g->disabled_fd);
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

const struct wan_objects *gateway_want(const struct gateway *g)
{
    return &g->want;
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

static int read_disabled(struct gateway *g)
{
    int rv = disabled_read(g->disabled_file, &g->disabled);

    for (unsigned i = 0; i < g->config.n_links; i++)
        g->mirror.facts.link[i].health.disabled |=
            disabled_find(&g->disabled, g->config.links[i].name) != NULL;
    return rv;
}

static int read_delegated(struct gateway *g)
{
    int rv = delegations_read(g->dir, &g->delegated);

    for (unsigned i = 0; i < g->config.n_links; i++) {
        const struct delegation *d =
            delegations_find(&g->delegated, g->config.links[i].device, (int64_t)time(NULL));

        if (d)
            g->mirror.facts.link[i].delegated = d->prefix;
    }
    return rv;
}

uint64_t gateway_ends_in_ns(const struct gateway *g)
{
    int64_t now = (int64_t)time(NULL), first = INT64_MAX;

    for (unsigned i = 0; i < g->delegated.n; i++)
        if (g->delegated.v[i].until_s > now)
            first = MIN(first, g->delegated.v[i].until_s);
    return first == INT64_MAX || first - now > INT32_MAX ? UINT64_MAX
                                                         : (uint64_t)(first - now) * NS_PER_S;
}

static int make_plan(struct gateway *g)
{
    int rv = wan_desired(&g->config, &g->mirror.facts, &g->want);

    if (!rv)
        rv = read_settings(g);
    return rv ? rv : wan_plan_make(&g->mirror.ours, &g->want, &g->plan);
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
        rv = read_disabled(g);
    if (!rv)
        rv = read_delegated(g);
    return rv ? rv : make_plan(g);
}

int gateway_plan_disabled(struct gateway *g, unsigned link, bool off)
{
    wan_plan_done(&g->plan);
    wan_objects_done(&g->want);
    g->mirror.facts.link[link].health.disabled = off;
    return make_plan(g);
}

/* --- doing ----------------------------------------------------------------------------- */

/* Those that would go on as it was before. What cannot be ended ends by itself. */
static void end_flows(struct gateway *g)
{
    (void)sweep_flows(&g->config, &g->mirror.facts, NULL);
    (void)moveflows_end(&g->config, &g->mirror.facts, NULL);
}

/* The table as it is listed when it is right: what is listed otherwise later was changed. Of a flow
 * that is left although it is not translated as it should be nothing leaves, so that is no error.
 */
static int set_nft(struct gateway *g, const struct wan_op *op)
{
    int rv = op->nft.text ? nftable_set(g->nft, op->nft.text) : nftable_remove(g->nft);

    free(g->good);
    g->good = NULL;
    if (!rv && op->nft.text)
        end_flows(g);
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
    case WAN_OP_ADDRESS_ADD:
        return fib_address_add(g->nl, op->address->index, &op->address->prefix);
    case WAN_OP_ADDRESS_DEL:
        return fib_address_del(g->nl, op->address->index, &op->address->prefix);
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
    int first = settings_restore(g->state_file), rv;

    gateway_set_config(g, &nothing);
    rv = gateway_apply(g, false, note, user);
    return first ? first : rv;
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
        if (want.rules[i].priority != c->last_priority || want.rules[i].action == FIB_ACTION_TABLE)
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

/* Is a file of this directory that has changed the one that tells of links? */
static int take_disabled(struct gateway *g)
{
    union {
        struct inotify_event e;
        char b[EVENT_BYTES];
    } buf;
    ssize_t n = read(g->disabled_fd, &buf, sizeof(buf));
    int changed = 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    for (ssize_t at = 0; at + (ssize_t)sizeof(buf.e) <= n;) {
        struct inotify_event e;

        memcpy(&e, buf.b + at, sizeof(e));
        changed |= (e.mask & IN_Q_OVERFLOW) ||
                   (e.len && (!strcmp(buf.b + at + sizeof(e), DISABLED_NAME) ||
                              !strcmp(buf.b + at + sizeof(e), DELEGATION_NAME)));
        at += (ssize_t)(sizeof(e) + e.len);
    }
    return changed;
}

int gateway_signal_fd(const struct gateway *g, unsigned i)
{
    return i == 0 ? fib_signal_fd(g->signal) : i == 1 ? nftable_fd(g->nft) : g->disabled_fd;
}

int gateway_signal_take(struct gateway *g, unsigned i)
{
    return i == 0 ? fib_signal_take(g->signal) : i == 1 ? nftable_take(g->nft) : take_disabled(g);
}

/* --- links out of service -------------------------------------------------------------- */

const struct disabled *gateway_disabled(const struct gateway *g)
{
    return &g->disabled;
}

int gateway_disable(struct gateway *g, const char *link, bool off)
{
    return disabled_set(g->disabled_file, link, off, (int64_t)time(NULL));
}

int gateway_poke(struct gateway *g)
{
    _cleanup_close_ int fd =
        open(g->disabled_file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0)
        return -errno;
    return futimens(fd, NULL) ? -errno : 0;
}

/* --- telling --------------------------------------------------------------------------- */

static const char *name_of(int index, char name[static IFNAMSIZ])
{
    if (!index || !if_indextoname((unsigned)index, name))
        snprintf(name, IFNAMSIZ, "?");
    return name;
}

const char *gateway_op_str(const struct wan_op *op, char buf[static GATEWAY_TEXT_MAX])
{
    char text[FIB_TEXT_MAX], name[IFNAMSIZ];
    bool add = op->kind == WAN_OP_RULE_ADD || op->kind == WAN_OP_ROUTE_ADD ||
               op->kind == WAN_OP_ADDRESS_ADD;

    switch (op->kind) {
    case WAN_OP_RULE_ADD:
    case WAN_OP_RULE_DEL:
        snprintf(buf, GATEWAY_TEXT_MAX, "%c rule %s", add ? '+' : '-',
                 fib_rule_str(op->rule, text));
        break;
    case WAN_OP_ROUTE_ADD:
    case WAN_OP_ROUTE_DEL:
        snprintf(buf, GATEWAY_TEXT_MAX, "%c route %s", add ? '+' : '-',
                 fib_route_str(op->route, name_of(op->route->index, name), text));
        break;
    case WAN_OP_ADDRESS_ADD:
    case WAN_OP_ADDRESS_DEL:
        snprintf(buf, GATEWAY_TEXT_MAX, "%c address -%u %s dev %s", add ? '+' : '-',
                 op->address->prefix.addr.family, ip_prefix_str(&op->address->prefix, text),
                 name_of(op->address->index, name));
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
