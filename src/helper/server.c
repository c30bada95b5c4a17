#include "helper/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "helper/last.h"

/* Two readings of one clock. */
enum { SAVE_AHEAD_MAX_S = 60 };

#define REFUSED_LINE_INTERVAL_NS (10 * NS_PER_S)

void server_init(struct server *s, const struct helper_opts *opts, const struct server_effects *fx,
                 void *fx_user)
{
    *s = (struct server){
        .opts = opts, .config = opts->config, .fx = fx, .fx_user = fx_user, .tun_fd = -1};
    clock_floor_init(&s->known, 0, fx->now_ns(fx_user));
}

static void config_free(struct tunnel_config *c)
{
    if (!c)
        return;
    config_done(c);
    free(c);
}

void server_done(struct server *s)
{
    if (s->tun_fd >= 0)
        s->fx->close(s->fx_user, s->tun_fd);
    s->tun_fd = -1;
    config_free(s->staged);
    config_free(s->committed);
    s->staged = s->committed = NULL;
    policy_routes_done(&s->routes);
}

static void reply_fd(struct server_reply *ret, int fd)
{
    ret->answer.error = MIN(fd, 0);
    ret->fd = MAX(fd, -1);
    ret->close_fd = fd >= 0;
}

/* --- addresses that are not configured ------------------------------------------------- */

static int find_assigned(const struct server *s, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < s->n_assigned; i++)
        if (ip_prefix_equal(&s->assigned[i], p))
            return (int)i;
    return -1;
}

static unsigned count_assigned(const struct server *s, uint8_t family)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_assigned; i++)
        n += s->assigned[i].addr.family == family;
    return n;
}

/* The TUN keeps what was put on it while it is closed, and so does the count: what we made, and
 * what we remember where the kernel does not keep who made it. */
static int count_kept(struct server *s, int ifindex)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    int n = s->fx->addr_all(s->fx_user, ifindex, &v);
    struct server old = *s;

    if (n < 0)
        return n;
    s->n_assigned = 0;
    for (int i = 0; i < n; i++) {
        const struct ip_prefix *p = &v[i].prefix;
        bool known = ifindex == old.ifindex && find_assigned(&old, p) >= 0;

        if ((v[i].ours || known) && !policy_addr_is_configured(s->config, p) &&
            count_assigned(s, p->addr.family) < HELPER_AUTO_ADDRS_MAX)
            s->assigned[s->n_assigned++] = *p;
    }
    return 0;
}

/* --- the TUN --------------------------------------------------------------------------- */

static int tun_open_op(struct server *s, struct server_reply *ret)
{
    int fd, r;

    /* Ours would keep the name busy, if it is still alive. */
    if (s->tun_fd >= 0)
        s->fx->close(s->fx_user, s->tun_fd);
    s->tun_fd = -1;
    fd = s->fx->tun_open(s->fx_user, s->config->tun_name, &ret->answer.tun);
    if (fd < 0)
        return fd;
    r = count_kept(s, ret->answer.tun.ifindex);
    if (r) {
        s->fx->close(s->fx_user, fd);
        return r;
    }
    s->tun_fd = fd;
    s->ifindex = ret->answer.tun.ifindex;
    ret->fd = fd;
    return 0;
}

/* The kernel may give the index of a deleted interface to another one, the descriptor tells. */
static int require_tun(struct server *s)
{
    return s->tun_fd >= 0 && s->fx->tun_is_alive(s->fx_user, s->tun_fd) ? 0 : -ENODEV;
}

static int mtu_op(struct server *s, uint32_t mtu)
{
    if (mtu < POLICY_MTU_MIN || mtu > POLICY_MTU_MAX)
        return -EPERM;
    return s->fx->link_mtu(s->fx_user, s->ifindex, mtu);
}

/* --- addresses ------------------------------------------------------------------------- */

static int addr_add_op(struct server *s, const struct ip_prefix *p)
{
    bool assigned = !policy_addr_is_configured(s->config, p), known;
    int r;

    if (!policy_prefix_is_valid(p))
        return -EPERM;
    known = find_assigned(s, p) >= 0;
    if (assigned && (!policy_addr_is_assignable(s->config, p) ||
                     (!known && count_assigned(s, p->addr.family) >= HELPER_AUTO_ADDRS_MAX)))
        return -EPERM;
    r = s->fx->addr_add(s->fx_user, s->ifindex, p);
    if (!r && assigned && !known)
        s->assigned[s->n_assigned++] = *p;
    return r;
}

static int addr_del_op(struct server *s, const struct ip_prefix *p)
{
    int at, r;

    if (!policy_prefix_is_valid(p))
        return -EPERM;
    at = find_assigned(s, p);
    if (at < 0 && !policy_addr_is_configured(s->config, p)) {
        r = s->fx->addr_is_ours(s->fx_user, s->ifindex, p);
        if (r <= 0)
            return r ? r : -EPERM;
    }
    r = s->fx->addr_del(s->fx_user, s->ifindex, p);
    if (at >= 0 && (!r || r == -EADDRNOTAVAIL))
        s->assigned[at] = s->assigned[--s->n_assigned];
    return r;
}

/* --- routes ---------------------------------------------------------------------------- */

/* What is deleted carries our protocol and leads into our TUN: that is check enough. */
static int check_routes(struct server *s, const struct helper_routes_request *q)
{
    int r = q->flag ? policy_routes_need(&s->routes, s->config) : 0;

    for (unsigned i = 0; i < q->n && !r; i++) {
        const struct ip_prefix *dst = &q->v[i].dst;

        if (q->flag ? !policy_routes_allow(&s->routes, dst) : !policy_prefix_is_valid(dst))
            r = -EPERM;
    }
    return r;
}

static int routes_op(struct server *s, const struct helper_routes_request *q,
                     struct helper_routes_result *ret)
{
    struct netlink_route v[HELPER_ROUTES_MAX];
    int err[HELPER_ROUTES_MAX], r;

    if (q->op != HELPER_OP_ROUTES || q->flag > 1 || q->n > HELPER_ROUTES_MAX)
        return -EPERM;
    r = require_tun(s);
    if (!r)
        r = check_routes(s, q);
    if (r)
        return r;
    for (unsigned i = 0; i < q->n; i++)
        v[i] = (struct netlink_route){
            .dst = q->v[i].dst,
            .index = s->ifindex,
            .table = q->flag ? policy_route_table(s->config) : q->v[i].table,
            .metric = q->flag ? (uint32_t)HELPER_ROUTE_METRIC : q->v[i].metric,
        };
    r = s->fx->routes(s->fx_user, q->flag, v, q->n, err);
    for (unsigned i = 0; i < q->n && !r; i++) {
        ret->done += err[i] == 0;
        if (!err[i] || ret->error)
            continue;
        ret->at = i;
        ret->error = err[i];
    }
    return r;
}

/* --- rules ----------------------------------------------------------------------------- */

static bool is_own(const struct server *s, const struct ip_addr *a)
{
    const struct tunnel_config *c = s->config;
    bool own = false;

    for (unsigned i = 0; i < c->n_tun_addr && c->role == CONFIG_ROLE_CLIENT; i++)
        own |= ip_addr_equal(&c->tun_addr[i].addr, a);
    for (unsigned i = 0; i < s->n_assigned; i++)
        own |= ip_addr_equal(&s->assigned[i].addr, a);
    return own;
}

/* Does any interface of this machine have it? 1, 0 or -errno. */
static int is_on_machine(struct server *s, const struct ip_addr *a)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    int n = s->fx->addr_all(s->fx_user, 0, &v);

    for (int i = 0; i < n; i++)
        if (ip_addr_equal(&v[i].prefix.addr, a))
            return 1;
    return MIN(n, 0);
}

static int rule_add_op(struct server *s, const struct ip_addr *src, uint32_t kind)
{
    struct netlink_rule r = {.src = *src, .priority = HELPER_RULE_PRIORITY + kind};
    uint32_t table = config_source_table(s->config);

    if (!ip_addr_bits(src) || kind >= NETLINK_RULE_OTHER || !table || !is_own(s, src))
        return -EPERM;
    r.kind = (enum netlink_rule_kind)kind;
    r.table = r.kind == NETLINK_RULE_TABLE ? table : 0;
    return s->fx->rule_add(s->fx_user, &r);
}

static int rule_del_op(struct server *s, const struct helper_rule *q)
{
    int there;

    if (!ip_addr_bits(&q->src))
        return -EPERM;
    there = is_own(s, &q->src) ? 0 : is_on_machine(s, &q->src);
    if (there)
        return there < 0 ? there : -EPERM;
    return s->fx->rule_del(s->fx_user, &q->src, q->priority);
}

/* --- sockets and files ----------------------------------------------------------------- */

static int udp_op(struct server *s, const struct helper_udp *u, struct server_reply *ret)
{
    struct udp_socket_opts opts = {.device = u->device};
    bool check;
    int r;

    if (strnlen(u->device, sizeof(u->device)) == sizeof(u->device) ||
        !policy_udp(s->config, &u->addr, u->port, u->device, &check))
        return -EPERM;
    if (check) {
        r = s->fx->device_holds(s->fx_user, u->device, &u->addr);
        if (r <= 0)
            return r ? r : -EADDRNOTAVAIL;
    }
    opts.bind = net_addr_make(&u->addr, u->port);
    reply_fd(ret, s->fx->udp_open(s->fx_user, &opts));
    return ret->answer.error;
}

static int file_op(struct server *s, const struct helper_request *q, struct server_reply *ret)
{
    const struct tunnel_config *c = q->flag ? s->staged : s->config;
    const char *path;

    if (q->which >= HELPER_FILE_COUNT || q->flag > 1)
        return -EPERM;
    if (!c)
        return -ENOENT;
    path = q->which == HELPER_FILE_CONFIG ? s->opts->file : policy_file(c, q->which);
    if (!path)
        return -ENOENT;
    if (q->op == HELPER_OP_FILE_STAT)
        return s->fx->file_stat(s->fx_user, path, &ret->answer.stamp);
    reply_fd(ret, s->fx->file_open(s->fx_user, path));
    return ret->answer.error;
}

/* --- configuration --------------------------------------------------------------------- */

static int stage_op(struct server *s, struct server_reply *ret)
{
    struct tunnel_config *next = NULL;

    if (!s->opts->file)
        return -ENOENT;
    config_free(s->staged);
    s->staged = NULL;
    reply_fd(ret, s->fx->config_read(s->fx_user, s->opts->file, &next));
    s->staged = next;
    return ret->answer.error;
}

static int commit_op(struct server *s, uint32_t commit)
{
    if (commit > 1)
        return -EPERM;
    if (!s->staged)
        return -ENOENT;
    if (commit) {
        policy_routes_done(&s->routes);
        s->config = s->staged;
        config_free(s->committed);
        s->committed = s->staged;
    } else {
        config_free(s->staged);
    }
    s->staged = NULL;
    return 0;
}

/* --- time ------------------------------------------------------------------------------ */

static int load_op(struct server *s, int64_t *ret)
{
    int r = s->fx->time_load(s->fx_user, s->opts->name, ret);

    if (!r && !s->time_loaded) /* once: what is saved later is no more than that */
        clock_floor_init(&s->known, *ret, s->fx->now_ns(s->fx_user));
    s->time_loaded |= !r;
    return r;
}

/* Nobody has a time to save that is ahead of the system's clock and of what was saved before.
 * A disk that is full stays so for a while: one line, until it works again. */
static int save_op(struct server *s, int64_t now_s)
{
    int r;

    if (now_s < 0 ||
        now_s > clock_floor_now_s(&s->known, s->fx->real_s(s->fx_user), s->fx->now_ns(s->fx_user)) +
                    SAVE_AHEAD_MAX_S)
        return -EPERM;
    r = s->fx->time_save(s->fx_user, s->opts->name, now_s);
    if (r && !s->save_failed)
        log_error("state: cannot save the time: %s", strerror(-r));
    s->save_failed = r != 0;
    return r;
}

/* --- texts ----------------------------------------------------------------------------- */

static int text_op(struct server *s, const struct helper_text_request *q)
{
    char text[HELPER_TEXT_MAX];

    if (q->op != HELPER_OP_TEXT || q->which >= HELPER_TEXT_COUNT)
        return -EPERM;
    snprintf(text, sizeof(text), "%.*s", (int)sizeof(q->text) - 1, q->text);
    last_text_clean(text);
    if (q->which == HELPER_TEXT_STATUS)
        return s->fx->notify_status(s->fx_user, text);
    memcpy(s->end, text, sizeof(s->end));
    return 0;
}

/* --- dispatch -------------------------------------------------------------------------- */

static bool is_about_tun(uint32_t op)
{
    return op >= HELPER_OP_TUN_UP && op <= HELPER_OP_TUN_NAME;
}

static int dispatch(struct server *s, const struct helper_request *q, struct server_reply *ret)
{
    int r = is_about_tun(q->op) ? require_tun(s) : 0;

    if (r)
        return r;
    switch (q->op) {
    case HELPER_OP_TUN_OPEN:
        return tun_open_op(s, ret);
    case HELPER_OP_TUN_UP:
        return s->fx->link_up(s->fx_user, s->ifindex);
    case HELPER_OP_TUN_MTU:
        return mtu_op(s, q->which);
    case HELPER_OP_ADDR_ADD:
        return addr_add_op(s, &q->prefix);
    case HELPER_OP_ADDR_DEL:
        return addr_del_op(s, &q->prefix);
    case HELPER_OP_TUN_NAME:
        return s->fx->link_name(s->fx_user, s->ifindex, s->config->tun_name);
    case HELPER_OP_RULE_ADD:
        return rule_add_op(s, &q->rule.src, q->which);
    case HELPER_OP_RULE_DEL:
        return rule_del_op(s, &q->rule);
    case HELPER_OP_UDP_OPEN:
        return udp_op(s, &q->udp, ret);
    case HELPER_OP_FILE_OPEN:
    case HELPER_OP_FILE_STAT:
        return file_op(s, q, ret);
    case HELPER_OP_CONFIG_STAGE:
        return stage_op(s, ret);
    case HELPER_OP_CONFIG_COMMIT:
        return commit_op(s, q->flag);
    case HELPER_OP_CONTROL_SOCKET:
        if (require_tun(s))
            return -EPERM;
        reply_fd(ret, s->fx->control_socket(s->fx_user, s->opts->name));
        return ret->answer.error;
    case HELPER_OP_CONTROL_LOOK:
        return s->fx->control_look(s->fx_user);
    case HELPER_OP_NOTIFY:
        return q->which < HELPER_NOTIFY_COUNT
                   ? s->fx->notify(s->fx_user, (enum helper_notify)q->which)
                   : -EPERM;
    case HELPER_OP_TIME_LOAD:
        return load_op(s, &ret->answer.time_s);
    case HELPER_OP_TIME_SAVE:
        return save_op(s, q->time_s);
    case HELPER_OP_RESET_SECRET:
        return s->fx->reset_secret(s->fx_user, s->opts->name, ret->answer.secret);
    default:
        return -EPERM;
    }
}

static const char *op_name(uint32_t op)
{
    static const char *const names[HELPER_OP_COUNT] = {
        [HELPER_OP_TUN_OPEN] = "tun-open",
        [HELPER_OP_TUN_UP] = "tun-up",
        [HELPER_OP_TUN_MTU] = "tun-mtu",
        [HELPER_OP_ADDR_ADD] = "address-add",
        [HELPER_OP_ADDR_DEL] = "address-delete",
        [HELPER_OP_TUN_NAME] = "tun-name",
        [HELPER_OP_ROUTES] = "routes",
        [HELPER_OP_RULE_ADD] = "rule-add",
        [HELPER_OP_RULE_DEL] = "rule-delete",
        [HELPER_OP_UDP_OPEN] = "udp-open",
        [HELPER_OP_FILE_OPEN] = "file-open",
        [HELPER_OP_FILE_STAT] = "file-stat",
        [HELPER_OP_CONFIG_STAGE] = "config-stage",
        [HELPER_OP_CONFIG_COMMIT] = "config-commit",
        [HELPER_OP_CONTROL_SOCKET] = "control-socket",
        [HELPER_OP_CONTROL_LOOK] = "control-look",
        [HELPER_OP_NOTIFY] = "notify",
        [HELPER_OP_TIME_LOAD] = "time-load",
        [HELPER_OP_TIME_SAVE] = "time-save",
        [HELPER_OP_RESET_SECRET] = "reset-secret",
        [HELPER_OP_TEXT] = "text",
    };

    return op < HELPER_OP_COUNT ? names[op] : "unknown";
}

void server_handle(struct server *s, const void *msg, size_t len, struct server_reply *ret)
{
    struct helper_request q = {.op = HELPER_OP_COUNT};
    union {
        struct helper_text_request text;
        struct helper_routes_request routes;
    } other;
    char more[LOG_MORE_MAX];
    uint64_t held;

    *ret = (struct server_reply){.fd = -1};
    if (len == sizeof(other.text)) {
        memcpy(&other.text, msg, sizeof(other.text));
        q.op = other.text.op;
        ret->answer.error = text_op(s, &other.text);
    } else if (len == sizeof(other.routes)) {
        memcpy(&other.routes, msg, sizeof(other.routes));
        q.op = other.routes.op;
        ret->answer.error = routes_op(s, &other.routes, &ret->answer.routes);
    } else {
        if (len == sizeof(q))
            memcpy(&q, msg, sizeof(q));
        ret->answer.error = dispatch(s, &q, ret);
    }
    if (ret->answer.error == -EPERM &&
        log_limit_ok(&s->refused_limit, s->fx->now_ns(s->fx_user), REFUSED_LINE_INTERVAL_NS, &held))
        log_error("helper: %s refused: not allowed by the configuration or the kernel%s",
                  op_name(q.op), log_more_str(held, more));
}
