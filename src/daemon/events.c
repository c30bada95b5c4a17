/* What edge and hub report: log lines, the MTU, and the end. */
#include <stdio.h>
#include <string.h>

#include "daemon/instance.h"

#define BAD_SOURCE_LINE_INTERVAL_NS (30 * NS_PER_S)
#define ASSIGN_INTERVAL_NS NS_PER_S
#define CONTESTED_LINE_INTERVAL_NS (60 * NS_PER_S)

/* Lines about peers, of each kind: all of them when a hub starts with some hundred peers, few when
 * one of them comes and goes all the time. */
#define PEER_LINE_INTERVAL_NS (200 * NS_PER_MS)
enum { PEER_LINES_AT_ONCE = 500 };

/* Lines about a path that is in trouble, and no longer. */
#define TROUBLE_LINE_INTERVAL_NS (5 * NS_PER_S)
enum { TROUBLE_LINES_AT_ONCE = 20 };

static void addresses_str(const struct capsule_addrs *addrs, char *text, size_t size)
{
    char buf[IP_PREFIX_STR_MAX];
    size_t n = 0;

    snprintf(text, size, "none");
    for (unsigned i = 0; i < addrs->n && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "",
                              ip_prefix_str(&addrs->v[i].prefix, buf));
}

/* --- edge ------------------------------------------------------------------------------ */

/* Nobody but us connects in our place, unless another has what is ours. */
static const char *with_hint(const char *why, char buf[static STATUS_TEXT_MAX])
{
    if (!strstr(why, HUB_TAKEN_OVER))
        return why;
    snprintf(buf, STATUS_TEXT_MAX,
             "%.100s: another machine or instance uses our certificate or token with our instance "
             "id: give each its own",
             why);
    return buf;
}

/* "waiting: no carrier on lte0" says more than that there is no address. */
static const char *path_why(const struct instance_path *p, enum edge_state state, const char *why,
                            char buf[static STATUS_TEXT_MAX])
{
    if (state != EDGE_IDLE || !*p->waiting_for)
        return why;
    snprintf(buf, STATUS_TEXT_MAX, "waiting: %s", p->waiting_for);
    return buf;
}

static void on_edge_path_state(void *user, unsigned path, enum edge_state state, const char *reason)
{
    struct instance *inst = user;
    struct instance_path *p = inst->by_number[path];
    bool was_up = p->state == EDGE_UP;
    char buf[STATUS_TEXT_MAX], title[PATH_TITLE_MAX];
    const char *why = path_why(p, state, reason, buf);
    struct ip_addr local = net_addr_ip(&p->bound);

    p->state = state;
    trail_add(&p->trail, state, why, clock_real_s(), loop_now_ns(inst->loop));
    if (state == EDGE_UP)
        path_proven(p, &local);
    if (state == EDGE_PAUSE && !was_up && edge_heard_nothing(inst->edge) &&
        remote_on_silence(&p->remotes))
        local_on_silence(&p->local);
    if (state == EDGE_PAUSE)
        path_resolve(p); /* the hub may have moved to another address, or we have to */
    if (*p->name)
        log_info("%s: %s%s%s", path_title(p, title), edge_state_name(state), *why ? ": " : "", why);
}

static const char *trouble_why(const struct instance_path *p, enum path_trouble trouble)
{
    const struct path_step *last = trail_at(&p->trail, 0);

    if (trouble == TROUBLE_SUSPECT)
        return "it gets no answers";
    if (trouble == TROUBLE_LOSSY)
        return "it loses many packets";
    return last && last->state == TRAIL_LOSSY ? "it loses few packets again"
                                              : "it gets answers again";
}

/* It may be so many times a second on a line that is lost again and again. */
static void on_edge_path_trouble(void *user, unsigned path, enum path_trouble trouble)
{
    struct instance *inst = user;
    struct instance_path *p = inst->by_number[path];
    const char *why = trouble_why(p, trouble);
    unsigned state = trail_state(EDGE_UP, trouble);
    char title[PATH_TITLE_MAX], more[LOG_MORE_MAX];
    uint64_t held, now_ns = loop_now_ns(inst->loop);

    trail_add(&p->trail, state, why, clock_real_s(), now_ns);
    if (log_burst_ok(&p->trouble_limit, now_ns, TROUBLE_LINE_INTERVAL_NS, TROUBLE_LINES_AT_ONCE,
                     &held))
        log_info("%s: %s: %s%s", path_title(p, title), trail_state_name(state), why,
                 log_more_str(held, more));
}

static void on_edge_path_gone(void *user, unsigned path)
{
    instance_path_gone(user, path);
}

static void on_edge_state(void *user, enum edge_state state, const char *reason)
{
    struct instance *inst = user;
    char buf[STATUS_TEXT_MAX];
    const char *why = with_hint(reason, buf);

    instance_note_state(user, state, why);
    if (state == EDGE_UP)
        inst->assign.known = false; /* what another tunnel assigns is looked at anew */
    if (state != EDGE_FAILED)       /* that line is on_edge_failed()'s */
        log_info("tunnel: %s%s%s", edge_state_name(state), *why ? ": " : "", why);
}

static bool is_assigned(const struct capsule_addrs *addrs, const struct ip_addr *a)
{
    for (unsigned i = 0; i < addrs->n; i++)
        if (ip_prefix_contains(&addrs->v[i].prefix, a))
            return true;
    return false;
}

static void put_in_force(struct instance *inst, const struct capsule_addrs *addrs)
{
    char text[sizeof(inst->assigned)], buf[IP_ADDR_STR_MAX];

    addresses_str(addrs, text, sizeof(text));
    if (strcmp(text, inst->assigned) != 0)
        log_info("tunnel: assigned %s", text);
    memcpy(inst->assigned, text, sizeof(text));
    upkeep_on_assigned(inst, addrs);
    for (unsigned i = 0; i < inst->config->n_tun_addr; i++) {
        const struct ip_addr *own = &inst->config->tun_addr[i].addr;
        bool answered = false;

        for (unsigned k = 0; k < addrs->n; k++)
            answered |= addrs->v[k].request_id == i + 1;
        if (answered && !is_assigned(addrs, own))
            log_error("tunnel: the hub does not give us %s: it will drop packets from there; "
                      "check tun_cidr here, and tun_cidr and peers there",
                      ip_addr_str(own, buf));
    }
}

static void on_assign_pause(struct loop_timer *timer)
{
    struct instance *inst = timer->user;

    if (!inst->assign.changed || inst->stopping)
        return;
    inst->assign.changed = false;
    loop_timer_set(inst->loop, timer, loop_now_ns(inst->loop) + ASSIGN_INTERVAL_NS);
    put_in_force(inst, &inst->history.assigned);
}

static bool same_addresses(const struct capsule_addrs *a, const struct capsule_addrs *b)
{
    if (a->n != b->n)
        return false;
    for (unsigned i = 0; i < a->n; i++)
        if (a->v[i].request_id != b->v[i].request_id ||
            !ip_prefix_equal(&a->v[i].prefix, &b->v[i].prefix))
            return false;
    return true;
}

/* A hub may say this as often as it likes. What changes is put in force at once, and then once a
 * second at most: the last that it said counts. */
static void on_edge_assigned(void *user, const struct capsule_addrs *addrs)
{
    struct instance *inst = user;

    if (inst->assign.known && same_addresses(addrs, &inst->history.assigned))
        return;
    inst->history.assigned = *addrs;
    inst->assign.known = inst->assign.changed = true;
    if (loop_timer_is_set(&inst->assign.pause))
        return;
    inst->assign.pause.cb = on_assign_pause;
    inst->assign.pause.user = inst;
    on_assign_pause(&inst->assign.pause);
}

void instance_recheck_assigned(struct instance *inst)
{
    if (!inst->edge || inst->config->n_tun_addr || !inst->history.assigned.n)
        return;
    inst->assign.changed = true;
    if (loop_timer_is_set(&inst->assign.pause))
        return;
    inst->assign.pause.cb = on_assign_pause;
    inst->assign.pause.user = inst;
    loop_timer_set(inst->loop, &inst->assign.pause, loop_now_ns(inst->loop) + ASSIGN_INTERVAL_NS);
}

static void on_edge_mtu(void *user, size_t packet_max)
{
    instance_set_mtu(user, packet_max);
}

enum exit_code instance_exit_code(const struct edge_failure *f)
{
    switch (f->quic.fail) {
    case QUIC_FAIL_CERT_UNTRUSTED:
    case QUIC_FAIL_CERT_MISSING:
    case QUIC_FAIL_CERT_INVALID:
        return EXIT_CODE_SERVER_UNTRUSTED;
    case QUIC_FAIL_CERT_EXPIRED:
    case QUIC_FAIL_REJECTED_EXPIRED:
        return EXIT_CODE_CERT_TIME;
    case QUIC_FAIL_CERT_REVOKED:
    case QUIC_FAIL_REJECTED_REVOKED:
        return EXIT_CODE_CERT_REVOKED;
    case QUIC_FAIL_CERT_NAME:
        return EXIT_CODE_SERVER_NAME;
    case QUIC_FAIL_REJECTED:
    case QUIC_FAIL_CLIENT_UNKNOWN:
        return EXIT_CODE_CLIENT_REJECTED;
    case QUIC_FAIL_NONE:
        return f->http_status == 401 || f->http_status == 403 ? EXIT_CODE_TOKEN_REJECTED
                                                              : EXIT_CODE_NO_CONNECT_IP;
    default:
        return EXIT_CODE_NO_CONNECT_IP;
    }
}

static void on_edge_failed(void *user, const struct edge_failure *f)
{
    struct instance *inst = user;
    char status[32] = "";

    if (f->quic.fail == QUIC_FAIL_NONE && f->http_status)
        snprintf(status, sizeof(status), " (HTTP status %d)", f->http_status);
    if (f->quic.fail == QUIC_FAIL_NONE)
        log_error("tunnel: giving up: %s%s",
                  f->http_status == 401 ? "the hub does not accept our bearer token"
                  : f->http_status      ? "the hub refused the request"
                                        : "the peer does not speak CONNECT-IP",
                  status);
    else
        log_error("tunnel: giving up: %s%s%s%s", quic_fail_meaning(f->quic.fail),
                  *f->quic.detail ? " (" : "", f->quic.detail, *f->quic.detail ? ")" : "");
    loop_stop(inst->loop, instance_exit_code(f));
}

const struct edge_events instance_edge_events = {
    .deliver = instance_deliver,
    .receive = instance_receive,
    .state = on_edge_state,
    .path_state = on_edge_path_state,
    .path_trouble = on_edge_path_trouble,
    .path_gone = on_edge_path_gone,
    .assigned = on_edge_assigned,
    .mtu = on_edge_mtu,
    .failed = on_edge_failed,
};

/* --- hub ------------------------------------------------------------------------------- */

static bool peer_line_ok(const struct instance *inst, struct log_limit *limit,
                         char more[static LOG_MORE_MAX])
{
    uint64_t held;

    if (!log_burst_ok(limit, loop_now_ns(inst->loop), PEER_LINE_INTERVAL_NS, PEER_LINES_AT_ONCE,
                      &held))
        return false;
    log_more_str(held, more);
    return true;
}

static void on_peer_up(void *user, const struct hub_peer_id *id, const struct net_addr *remote)
{
    struct instance *inst = user;
    char buf[NET_ADDR_STR_MAX], who[HUB_ID_STR_MAX], more[LOG_MORE_MAX];

    instance_look_at_expiry(inst);
    instance_tell_manager(inst);
    if (peer_line_ok(inst, &inst->up_limit, more))
        log_info("peer %s: up from %s%s", hub_peer_id_str(id, who), net_addr_str(remote, buf),
                 more);
}

static void on_peer_down(void *user, const struct hub_peer_id *id, const char *why)
{
    struct instance *inst = user;
    char who[HUB_ID_STR_MAX], more[LOG_MORE_MAX];

    instance_tell_manager(inst);
    if (peer_line_ok(inst, &inst->down_limit, more))
        log_info("peer %s: down: %s%s", hub_peer_id_str(id, who), why, more);
}

static void on_path_up(void *user, const struct hub_peer_id *id, const char *path,
                       const struct net_addr *remote)
{
    struct instance *inst = user;
    char buf[NET_ADDR_STR_MAX], who[HUB_ID_STR_MAX], more[LOG_MORE_MAX];

    if (peer_line_ok(inst, &inst->path_limit, more))
        log_info("peer %s: path %s: up from %s%s", hub_peer_id_str(id, who), path,
                 net_addr_str(remote, buf), more);
}

static void on_path_down(void *user, const struct hub_peer_id *id, const char *path,
                         const char *why)
{
    struct instance *inst = user;
    char who[HUB_ID_STR_MAX], more[LOG_MORE_MAX];

    if (peer_line_ok(inst, &inst->path_limit, more))
        log_info("peer %s: path %s: down: %s%s", hub_peer_id_str(id, who), path, why, more);
}

static void on_contested(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                         unsigned n)
{
    struct instance *inst = user;
    char buf[NET_ADDR_STR_MAX], who[HUB_ID_STR_MAX], more[LOG_MORE_MAX];
    uint64_t held;

    if (log_limit_ok(&inst->contested_limit, loop_now_ns(inst->loop), CONTESTED_LINE_INTERVAL_NS,
                     &held))
        log_info("peer %s: its place was taken %u times in a row, the last time from %s: do two "
                 "machines have one certificate? Give each its own, or another instance_id%s",
                 hub_peer_id_str(id, who), n, net_addr_str(remote, buf), log_more_str(held, more));
}

static void on_refused(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                       const char *why)
{
    struct instance *inst = user;
    char buf[NET_ADDR_STR_MAX], who[HUB_ID_STR_MAX];
    uint64_t held;

    if (!log_limit_ok(&inst->refused_limit, loop_now_ns(inst->loop), NS_PER_S, &held))
        return;
    log_info("peer %s: refused from %s: %s", *id->name ? hub_peer_id_str(id, who) : "(unknown)",
             net_addr_str(remote, buf), why);
    if (held)
        log_info("peer: %llu more were refused since the last line", (unsigned long long)held);
}

static void on_hub_assigned(void *user, const struct hub_peer_id *id,
                            const struct capsule_addrs *addrs)
{
    struct instance *inst = user;
    char who[HUB_ID_STR_MAX], text[HUB_ADDRS_MAX * IP_PREFIX_STR_MAX], more[LOG_MORE_MAX];

    if (!peer_line_ok(inst, &inst->has_limit, more))
        return;
    addresses_str(addrs, text, sizeof(text));
    log_info("peer %s: has %s%s", hub_peer_id_str(id, who), text, more);
}

static void on_hub_mtu(void *user, size_t packet_max)
{
    instance_set_mtu(user, packet_max);
}

void instance_note_bad_sources(struct instance *inst)
{
    uint64_t all = inst->drops.n[DROP_SOURCE] + inst->drops.n[DROP_SOURCE_TAKEN], held;
    uint64_t n = all - inst->bad_sources;
    char buf[IP_ADDR_STR_MAX], who[HUB_ID_STR_MAX];
    struct hub_peer_id id;
    struct ip_addr src;

    if (!n || !hub_bad_source(inst->hub, &id, &src) ||
        !log_limit_ok(&inst->bad_source_limit, loop_now_ns(inst->loop), BAD_SOURCE_LINE_INTERVAL_NS,
                      &held))
        return;
    inst->bad_sources += n;
    log_info(
        "peer %s: dropped a packet from %s, a source that it may not use (%llu such packets of "
        "all peers): if that is a network behind it, add it to the prefixes of the peer, or to "
        "peer_prefixes",
        hub_peer_id_str(&id, who), ip_addr_str(&src, buf), (unsigned long long)n);
}

const struct hub_events instance_hub_events = {
    .deliver = instance_deliver,
    .receive = instance_receive,
    .peer_up = on_peer_up,
    .peer_down = on_peer_down,
    .path_up = on_path_up,
    .path_down = on_path_down,
    .refused = on_refused,
    .contested = on_contested,
    .assigned = on_hub_assigned,
    .mtu = on_hub_mtu,
};
