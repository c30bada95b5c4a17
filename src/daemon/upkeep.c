/* The TUN as the configuration wants it: there, up, with its MTU, addresses, rules and routes.
 *
 * Others may change it: an administrator's slip, a network manager that tidies up, a script. The
 * tunnel then looks healthy and carries nothing. So every kernel event about the TUN leads to a
 * comparison of all of it with what it should be, and what differs is put back, with a line in the
 * log. Sessions do not notice: packets meanwhile are dropped, as on a link that is down.
 *
 * Whoever changes it on purpose and again and again must not be fought at full speed. After each
 * repair there is a pause: a second for the first three, then twice as long each time up to half a
 * minute, so that there are at most nine repairs in the first minute and two in any later one. It
 * begins anew when the TUN was left alone for ten seconds longer than the pause.
 *
 * Only what we made ourselves is ever taken away: addresses, rules and routes carry our protocol
 * number.
 */
#include "daemon/upkeep.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/instance.h"
#include "daemon/rules.h"
#include "daemon/usable.h"

enum { QUICK_REPAIRS = 3, PAUSE_MAX_S = 30 };
#define CHECK_INTERVAL_NS (30 * NS_PER_S)
#define CHECK_PAUSE_NS (50 * NS_PER_MS)
#define QUIET_NS (10 * NS_PER_S)
#define ERROR_LINE_INTERVAL_NS (30 * NS_PER_S)

static const char *name_of(const struct instance *inst)
{
    return inst->config->tun_name;
}

static void say_added(const struct instance *inst, enum upkeep_reason why, const char *what)
{
    if (why == REASON_REPAIR)
        log_error("tun %s: %s was removed by somebody else: put back", name_of(inst), what);
    else if (why == REASON_CHANGE)
        log_info("tun %s: added %s", name_of(inst), what);
}

void upkeep_say_failed(struct instance *inst, const char *what, const char *object, int rv)
{
    char more[LOG_MORE_MAX];
    uint64_t held;

    if (log_limit_ok(&inst->upkeep.error_limit, loop_now_ns(inst->loop), ERROR_LINE_INTERVAL_NS,
                     &held))
        log_error("tun %s: cannot %s%s: %s%s", name_of(inst), what, object, strerror(-rv),
                  log_more_str(held, more));
}

/* The worse of two results: 1 when something was put right, 0 when all was well, -errno. */
static int both(int a, int b)
{
    return a < 0 ? a : b < 0 ? b : a | b;
}

/* --- link ------------------------------------------------------------------------------ */

/* Each returns 1 when something was put right, 0 when all was well, -errno. */

static int sync_name(struct instance *inst, const struct netlink_link *link)
{
    int rv;

    if (!strcmp(link->name, name_of(inst)))
        return 0;
    rv = helper_tun_name(inst->helper);
    if (rv) {
        upkeep_say_failed(inst, "have its name again: it is now called ", link->name, rv);
        return rv;
    }
    log_error("tun %s: was renamed to %s by somebody else: %s again", name_of(inst), link->name,
              name_of(inst));
    return 1;
}

static int sync_mtu(struct instance *inst, const struct netlink_link *link, enum upkeep_reason why)
{
    int rv;

    if (link->mtu == inst->tun_mtu)
        return 0;
    rv = helper_tun_mtu(inst->helper, inst->tun_mtu);
    if (rv)
        return rv;
    if (why == REASON_REPAIR)
        log_error("tun %s: mtu was set to %u by somebody else: %u again", name_of(inst), link->mtu,
                  inst->tun_mtu);
    return 1;
}

static int sync_up(struct instance *inst, const struct netlink_link *link, enum upkeep_reason why)
{
    int rv;

    if (link->flags & IFF_UP)
        return 0;
    rv = helper_tun_up(inst->helper);
    if (rv)
        return rv;
    if (why == REASON_REPAIR)
        log_error("tun %s: was set down by somebody else: up again", name_of(inst));
    return 1;
}

static int sync_link(struct instance *inst, enum upkeep_reason why)
{
    struct netlink_link link;
    int rv = netlink_link_by_index(inst->netlink, tun_ifindex(inst->tun), &link);

    if (rv)
        return rv;
    rv = sync_name(inst, &link);
    rv = both(rv, sync_mtu(inst, &link, why));
    return both(rv, sync_up(inst, &link, why));
}

/* --- addresses ------------------------------------------------------------------------- */

unsigned upkeep_addresses(const struct instance *inst, const struct ip_prefix **ret)
{
    const struct tunnel_config *c = inst->config;
    bool automatic = c->role == CONFIG_ROLE_CLIENT && !c->n_tun_addr;

    *ret = automatic ? inst->upkeep.assigned : c->tun_addr;
    return automatic ? inst->upkeep.n_assigned : c->n_tun_addr;
}

static bool is_among(const struct ip_prefix *v, unsigned n, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_prefix_equal(&v[i], p))
            return true;
    return false;
}

static bool is_there(const struct netlink_addr *v, int n, const struct ip_prefix *p)
{
    for (int i = 0; i < n; i++)
        if (ip_prefix_equal(&v[i].prefix, p))
            return true;
    return false;
}

static int sync_addresses(struct instance *inst, enum upkeep_reason why)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    const struct ip_prefix *want;
    unsigned n_want = upkeep_addresses(inst, &want);
    int n = netlink_addr_all(inst->netlink, tun_ifindex(inst->tun), &v), done = 0;
    char buf[IP_PREFIX_STR_MAX];

    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        if (!v[i].ours || is_among(want, n_want, &v[i].prefix) ||
            helper_addr_del(inst->helper, &v[i].prefix))
            continue;
        log_info("tun %s: removed %s: no longer ours", name_of(inst),
                 ip_prefix_str(&v[i].prefix, buf));
        done = 1;
    }
    for (unsigned i = 0; i < n_want; i++) {
        int rv = is_there(v, n, &want[i]) ? 1 : helper_addr_add(inst->helper, &want[i]);

        ip_prefix_str(&want[i], buf);
        if (rv < 0) {
            upkeep_say_failed(inst, "add ", buf, rv);
            return rv;
        }
        if (!rv)
            say_added(inst, why, buf);
        done |= !rv;
    }
    return done;
}

/* --- all of it ------------------------------------------------------------------------- */

/* Returns 1 when something was put right, 0 when all was well, -errno of the first that could not
 * be. What can be done is done. */
static int sync_interface(struct instance *inst, enum upkeep_reason why)
{
    int rv = sync_link(inst, why);

    if (rv < 0)
        return rv;
    rv = both(rv, sync_addresses(inst, why));
    return both(rv, rules_sync(inst, why));
}

/* What the kernel has dropped since the last look, in *ret; false: it does not tell. */
static bool dropped_since(struct instance *inst, uint64_t *ret)
{
    struct upkeep *u = &inst->upkeep;
    struct netlink_link link;

    if (!inst->tun || netlink_link_by_index(inst->netlink, tun_ifindex(inst->tun), &link))
        return false;
    *ret = link.tx_dropped >= u->tx_dropped ? link.tx_dropped - u->tx_dropped : 0;
    u->tx_dropped = link.tx_dropped;
    return true;
}

void upkeep_count_drops(struct instance *inst)
{
    uint64_t n;

    if (dropped_since(inst, &n))
        drop_count_n(&inst->drops, DROP_TUN_OVERFLOW, n);
}

static int open_tun(struct instance *inst)
{
    int rv = helper_tun_open(inst->helper, &inst->drops, &inst->tun);
    uint64_t before;

    if (rv)
        return rv;
    inst->upkeep.tx_dropped = 0;
    dropped_since(inst, &before); /* while nobody had it open */
    rv = instance_watch_tun(inst);
    if (rv) {
        tun_close(inst->tun);
        inst->tun = NULL;
    }
    return rv;
}

static const char *open_error(int rv)
{
    switch (rv) {
    case -EBUSY:
        return "another process has it open: is this instance running already?";
    case -EEXIST:
        return "the name belongs to an interface that is not a TUN: choose another tun_name";
    case -EPERM:
    case -EACCES:
        return "not permitted: run as root or with CAP_NET_ADMIN";
    case -ENOENT:
    case -ENXIO:
        return "the kernel has no TUN driver: modprobe tun";
    default:
        return strerror(-rv);
    }
}

/* --- repair ---------------------------------------------------------------------------- */

static int reopen(struct instance *inst)
{
    int rv = open_tun(inst);

    if (rv == -EPERM || rv == -EPIPE) { /* nobody will ever make it again */
        log_error("tun %s: cannot be made anew: %s", name_of(inst), open_error(rv));
        loop_stop(inst->loop, EXIT_CODE_START);
        return rv;
    }
    if (rv) {
        upkeep_say_failed(inst, "be made anew", "", rv);
        return rv;
    }
    inst->upkeep.deletions++;
    log_error("tun %s: was deleted by somebody else: made anew", name_of(inst));
    sync_interface(inst, REASON_START);
    return 1;
}

/* The pause after a repair, or after one that failed. */
static uint64_t pause_ns(struct instance *inst, uint64_t now_ns)
{
    struct upkeep *u = &inst->upkeep;
    unsigned doublings;

    if (now_ns > u->next_ns + QUIET_NS)
        u->in_a_row = 0;
    u->in_a_row++;
    if (u->in_a_row == QUICK_REPAIRS + 1)
        log_error("tun %s: somebody else keeps changing it: we put it back more and more rarely",
                  name_of(inst));
    doublings = u->in_a_row > QUICK_REPAIRS ? u->in_a_row - QUICK_REPAIRS : 0;
    return NS_PER_S * (doublings >= 5 ? (uint64_t)PAUSE_MAX_S : 1ull << doublings);
}

static void finish(struct instance *inst, int rv)
{
    struct upkeep *u = &inst->upkeep;
    uint64_t now_ns = loop_now_ns(inst->loop);
    bool again = u->again;

    u->at_work = u->again = false;
    if (rv == -ENODEV && inst->tun)
        upkeep_on_lost(inst, rv);
    u->repairs += rv > 0;
    u->next_ns = now_ns + (rv ? pause_ns(inst, now_ns) : CHECK_PAUSE_NS);
    loop_timer_set(inst->loop, &u->timer,
                   inst->tun && !again ? now_ns + CHECK_INTERVAL_NS : u->next_ns);
}

static void on_upkeep(struct loop_timer *timer)
{
    struct instance *inst = timer->user;
    struct upkeep *u = &inst->upkeep;
    bool there = inst->tun;
    int rv, more = 0;

    if (routes_busy(inst)) { /* a change of the configuration is being put in force */
        u->again = true;
        return;
    }
    rv = there ? sync_interface(inst, REASON_REPAIR) : reopen(inst);
    if (inst->tun && rv != -ENODEV)
        more = routes_begin(inst, there ? REASON_REPAIR : REASON_START);
    if (more != -EINPROGRESS) {
        finish(inst, both(rv, more));
        return;
    }
    u->at_work = true;
    u->so_far = rv;
}

/* Compare as soon as the pause permits. */
static void kick(struct instance *inst)
{
    struct upkeep *u = &inst->upkeep;
    uint64_t due_ns = MAX(u->next_ns, loop_now_ns(inst->loop));

    if (!loop_timer_is_set(&u->timer) || u->timer.node.key_ns > due_ns)
        loop_timer_set(inst->loop, &u->timer, due_ns);
}

void upkeep_on_routes(struct instance *inst, enum upkeep_reason why, int rv)
{
    struct upkeep *u = &inst->upkeep;

    if (u->at_work)
        finish(inst, both(u->so_far, why == REASON_CHANGE ? MIN(rv, 0) : rv));
    else if (rv < 0 || u->again)
        kick(inst);
    u->again = false;
}

void upkeep_on_lost(struct instance *inst, int err)
{
    if (!inst->tun || inst->stopping)
        return;
    log_debug("tun %s: lost: %s", name_of(inst), strerror(-err));
    routes_stop(inst);
    inst->upkeep.at_work = inst->upkeep.again = false;
    loop_io_remove(inst->loop, &inst->tun_io);
    tun_close(inst->tun);
    inst->tun = NULL;
    kick(inst);
}

/* The interface that an event is about; 0: any. */
static int event_ifindex(const struct netlink_event *ev)
{
    switch (ev->type) {
    case NETLINK_EVENT_LINK:
    case NETLINK_EVENT_LINK_GONE:
        return ev->link.index;
    case NETLINK_EVENT_ADDR:
    case NETLINK_EVENT_ADDR_GONE:
        return ev->addr.index;
    case NETLINK_EVENT_ROUTE_GONE:
        return ev->route.index;
    default:
        return 0;
    }
}

void upkeep_on_event(struct instance *inst, const struct netlink_event *ev)
{
    int ifindex = event_ifindex(ev);

    if (inst->stopping)
        return;
    if (!inst->tun || !ifindex)
        kick(inst);
    else if (ifindex != tun_ifindex(inst->tun))
        return;
    else if (ev->type == NETLINK_EVENT_LINK_GONE)
        upkeep_on_lost(inst, -ENODEV);
    else
        kick(inst);
}

/* --- start and change ------------------------------------------------------------------ */

enum exit_code upkeep_start(struct instance *inst)
{
    int rv;

    inst->upkeep.timer = (struct loop_timer){.cb = on_upkeep, .user = inst};
    rv = open_tun(inst);
    if (rv) {
        log_error("tun %s: %s", name_of(inst), open_error(rv));
        return EXIT_CODE_START;
    }
    rv = sync_link(inst, REASON_START);
    if (rv < 0)
        log_error("tun %s: cannot set up: %s", name_of(inst), strerror(-rv));
    else
        rv = sync_addresses(inst, REASON_START);
    if (rv < 0)
        return EXIT_CODE_START;
    rv = rules_sync(inst, REASON_START);
    if (rv < 0)
        upkeep_say_failed(inst, "set rules", "", rv);
    log_info("tun %s: %s, mtu %u%s", name_of(inst),
             tun_was_created(inst->tun) ? "created" : "found", inst->tun_mtu,
             inst->config->mtu ? "" : " until the path is known");
    rv = routes_at_once(inst, REASON_START);
    if (rv < 0)
        upkeep_say_failed(inst, "set routes", "", rv);
    loop_timer_set(inst->loop, &inst->upkeep.timer, loop_now_ns(inst->loop) + CHECK_INTERVAL_NS);
    return EXIT_CODE_OK;
}

/* An assigned address has the length of the network that it is said to lie in, else its own. */
static uint8_t assigned_len(const struct tunnel_config *c, const struct ip_addr *a)
{
    for (unsigned i = 0; i < c->n_tun_network; i++)
        if (ip_prefix_contains(&c->tun_network[i], a))
            return c->tun_network[i].len;
    return (uint8_t)ip_addr_bits(a);
}

void upkeep_apply(struct instance *inst)
{
    struct upkeep *u = &inst->upkeep;
    int rv, more;

    for (unsigned i = 0; i < u->n_assigned; i++)
        u->assigned[i].len = assigned_len(inst->config, &u->assigned[i].addr);
    if (inst->config->mtu)
        inst->tun_mtu = inst->config->mtu;
    if (!inst->tun)
        return;
    rv = sync_interface(inst, REASON_CHANGE);
    more = routes_begin(inst, REASON_CHANGE);
    if (u->at_work && more != -EINPROGRESS) /* it was begun anew, and is over */
        finish(inst, both(u->so_far, MIN(more, 0)));
    if (rv < 0 || (more < 0 && more != -EINPROGRESS))
        kick(inst);
}

/* Why an address cannot be ours; NULL: it can. */
static const char *in_the_way(struct instance *inst, const struct ip_addr *a)
{
    int index = inst->tun ? tun_ifindex(inst->tun) : 0;
    const char *what = NULL;

    for (unsigned i = 0; i < inst->n_paths && !what; i++) {
        struct ip_addr remote = net_addr_ip(&inst->paths[i]->remote);

        what = usable_check(inst->netlink, &remote, index, a);
    }
    return what;
}

static bool is_usable(struct instance *inst, const struct ip_addr *a)
{
    const char *what = in_the_way(inst, a);
    char buf[IP_ADDR_STR_MAX], more[LOG_MORE_MAX];
    uint64_t held;

    if (what && log_limit_ok(&inst->upkeep.unusable_limit, loop_now_ns(inst->loop),
                             ERROR_LINE_INTERVAL_NS, &held))
        log_error("tunnel: the hub gives us %s, which is %s: not used%s", ip_addr_str(a, buf), what,
                  log_more_str(held, more));
    return !what;
}

void upkeep_on_assigned(struct instance *inst, const struct capsule_addrs *addrs)
{
    struct upkeep *u = &inst->upkeep;
    struct ip_prefix v[UPKEEP_ASSIGNED_MAX];
    unsigned of_family[2] = {0}, n = 0;
    bool same;

    if (inst->config->n_tun_addr)
        return;
    for (unsigned i = 0; i < addrs->n; i++) {
        struct ip_prefix p = addrs->v[i].prefix;

        if (of_family[p.addr.family == 6]++ >= HELPER_AUTO_ADDRS_MAX || !is_usable(inst, &p.addr))
            continue;
        v[n++] = p;
    }
    same = n == u->n_assigned;
    for (unsigned i = 0; i < n && same; i++)
        same = ip_addr_equal(&v[i].addr, &u->assigned[i].addr);
    if (same)
        return;
    memcpy(u->assigned, v, n * sizeof(*v));
    u->n_assigned = n;
    upkeep_apply(inst);
}

void upkeep_set_mtu(struct instance *inst, uint32_t mtu)
{
    int rv = 0;

    if (mtu == inst->tun_mtu)
        return;
    if (inst->tun)
        rv = helper_tun_mtu(inst->helper, mtu);
    if (rv && rv != -ENODEV) {
        upkeep_say_failed(inst, "set the mtu", "", rv);
        return;
    }
    inst->tun_mtu = mtu;
    log_info("tun %s: mtu %u", name_of(inst), mtu);
}
