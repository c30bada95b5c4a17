#include "peer/edge.h"

#include "peer/lane_rtt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

/* Pauses between attempts: doubled each time, with a random part, so that a thousand edges do not
 * come back to a restarted hub in one moment. A hub that says nothing may be back any moment, and
 * is asked again after 5 s at most; one that answers and does not want us is left alone for longer.
 */
#define PAUSE_FIRST_NS (250 * NS_PER_MS)
#define PAUSE_SILENT_MAX_NS (5 * NS_PER_S)
#define PAUSE_MAX_NS (20 * NS_PER_S)

/* A hub that ended a tunnel which had held has most likely been restarted, and all its edges know
 * it in the same moment: they come back spread over this time. */
#define PAUSE_SPREAD_NS (2 * NS_PER_S)

/* A tunnel that held this long was a success: the next pause is the first one again. One that ends
 * sooner counts as one more failed attempt, so that two edges with the same identity do not take
 * the tunnel from each other several times a second. */
#define HELD_NS (10 * NS_PER_S)

/* Flows of the queue: as many as one session may have, and as many remembered. */
enum { FLOWS = 2 * FQ_FLOWS_MAX };

/* What the receiver may have open: flows, units, bytes. */
enum { OPEN_FLOWS = 1024, OPEN_UNITS = 8192, OPEN_BYTES = 2 * REASM_BYTES_MAX };

struct edge {
    struct edge_opts opts;
    struct masque_side side;
    struct quic_endpoint *ep;
    struct quic_path *path;
    struct fq_flows *flows;
    struct reasm_pool *reasm;
    struct session session;
    struct pack_lane lane; /* packed: of the tunnel */
    uint8_t epoch[MASQUE_EPOCH];
    struct masque *tunnel;
    enum edge_state state;
    struct net_addr local, remote;
    unsigned socket;
    struct ip_addr had[2]; /* that the hub gave us last, IPv4 and IPv6; family 0: none */
    uint64_t now_ns;
    uint64_t up_ns;    /* EDGE_UP: since when */
    uint64_t retry_ns; /* EDGE_PAUSE: until when */
    uint64_t pause_ns; /* the next pause */

    /* The tunnel or the attempt is over. Events from below only record it; what follows from it is
     * done by settle() when the call into the endpoint is over, because closing the path frees
     * what is still at work on the way up. */
    bool over;
    struct edge_failure end;
};

const char *edge_state_name(enum edge_state s)
{
    static const char *const names[EDGE_STATE_COUNT] = {"idle", "connecting", "up", "pause",
                                                        "failed"};

    return (unsigned)s < EDGE_STATE_COUNT ? names[s] : "?";
}

static struct edge *of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

static void change_state(struct edge *e, enum edge_state state, const char *why)
{
    e->state = state;
    e->opts.events->state(e->opts.user, state, why);
}

static void drop_path(struct edge *e)
{
    struct quic_path *path = e->path;

    e->path = NULL;
    e->tunnel = NULL;
    e->over = false;
    session_detach(&e->session);
    session_lane_done(&e->session, &e->lane, e->now_ns);
    if (path)
        quic_path_close(path, e->now_ns);
}

static void describe(const struct edge_failure *f, char *buf, size_t len)
{
    const char *detail = f->quic.detail;

    if (f->quic.fail != QUIC_FAIL_NONE)
        snprintf(buf, len, "%s%s%s%s", quic_fail_meaning(f->quic.fail), *detail ? " (" : "", detail,
                 *detail ? ")" : "");
    else if (f->http_status)
        snprintf(buf, len, "the hub refused the request (HTTP status %d)", f->http_status);
    else
        snprintf(buf, len, "the peer speaks no CONNECT-IP");
}

/* Whether the hub may say otherwise later: Request Timeout, Too Early, Too Many Requests, and all
 * that is the hub's own trouble (RFC 9110, 15.5 and 15.6; RFC 6585, 4; RFC 8470, 5.2). */
static bool status_may_pass(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static bool is_permanent(const struct edge_failure *f)
{
    if (f->quic.fail != QUIC_FAIL_NONE)
        return quic_fail_permanent(f->quic.fail);
    return !status_may_pass(f->http_status);
}

static void pause_for(struct edge *e, uint64_t least_ns, uint64_t most_ns, const char *why)
{
    uint64_t random;

    e->opts.quic.random(e->opts.quic.random_user, &random, sizeof(random));
    e->retry_ns = e->now_ns + least_ns + random % (most_ns - least_ns + 1);
    change_state(e, EDGE_PAUSE, why);
}

/* Pause for the next in the row of pauses, of which none is longer than max_ns. */
static void back_off(struct edge *e, uint64_t max_ns, const char *why)
{
    uint64_t pause_ns = MIN(e->pause_ns, max_ns);

    e->pause_ns = MIN(e->pause_ns * 2, PAUSE_MAX_NS);
    pause_for(e, pause_ns / 2, pause_ns, why);
}

/* Whether it was the hub that ended it, and not silence. */
static bool hub_spoke(const struct edge_failure *f)
{
    return f->quic.fail != QUIC_FAIL_HANDSHAKE_TIMEOUT && f->quic.fail != QUIC_FAIL_IDLE &&
           f->quic.fail != QUIC_FAIL_INTERNAL && f->quic.fail != QUIC_FAIL_LOCAL;
}

/* Note the end of the tunnel or of the attempt; the first one counts. */
static void lost(struct edge *e, const struct edge_failure *why)
{
    if (!e->path || e->over)
        return; /* closed by ourselves */
    e->over = true;
    e->end = *why;
    e->tunnel = NULL;
    session_detach(&e->session);
    session_lane_done(&e->session, &e->lane, e->now_ns);
}

static void lost_quic(struct edge *e, const struct quic_fail_info *why)
{
    lost(e, &(struct edge_failure){.quic = *why});
}

/* Do what the end of the tunnel asks for: pause, or give up. */
static void settle(struct edge *e)
{
    struct edge_failure end = e->end;
    bool held = e->state == EDGE_UP && e->now_ns - e->up_ns >= HELD_NS;
    char text[256];

    if (!e->over)
        return;
    drop_path(e);
    describe(&end, text, sizeof(text));
    if (is_permanent(&end)) {
        change_state(e, EDGE_FAILED, text);
        e->opts.events->failed(e->opts.user, &end);
        return;
    }
    if (held)
        e->pause_ns = PAUSE_FIRST_NS;
    if (held && hub_spoke(&end))
        pause_for(e, 0, PAUSE_SPREAD_NS, text);
    else
        back_off(e, hub_spoke(&end) ? PAUSE_MAX_NS : PAUSE_SILENT_MAX_NS, text);
}

static void connect_hub(struct edge *e)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_INTERNAL};

    change_state(e, EDGE_CONNECTING, "");
    e->path = quic_path_new(e->ep, &masque_path_ops, &e->side);
    if (!e->path)
        back_off(e, PAUSE_SILENT_MAX_NS, quic_fail_meaning(why.fail));
    else if (quic_path_open_lane(e->path, e->now_ns, &e->local, &e->remote, e->socket, NULL))
        lost_quic(e, &why);
}

/* --- tunnel events --------------------------------------------------------------------- */

static void ask_for(struct capsule_addrs *list, const struct ip_addr *a)
{
    unsigned i = list->n++;

    list->v[i] = (struct assigned_addr){.request_id = i + 1,
                                        .prefix = {.addr = *a, .len = (uint8_t)ip_addr_bits(a)}};
}

/* Our own addresses; or those that we had, else any (all zeros: RFC 9484, 4.7.2). */
static void fill_request(const struct edge *e, struct capsule_addrs *ret)
{
    for (unsigned i = 0; i < e->opts.n_want; i++)
        ask_for(ret, &e->opts.want[i].addr);
    for (unsigned i = 0; i < 2 && !e->opts.n_want; i++) {
        struct ip_addr any = {.family = i ? 6 : 4};

        ask_for(ret, e->had[i].family ? &e->had[i] : &any);
    }
}

/* The hub takes part in the session extension or does not; and it may have forgotten us. */
static int settle_session(struct edge *e, const struct masque *m)
{
    const uint8_t *epoch;

    if (!masque_is_packed(m, &epoch)) {
        session_set_plain(&e->session);
        return 0;
    }
    if (memcmp(epoch, e->epoch, MASQUE_EPOCH) != 0)
        session_begin_anew(&e->session);
    memcpy(e->epoch, epoch, MASQUE_EPOCH);
    return session_set_packed(&e->session, e->reasm);
}

static void on_open(struct masque *m)
{
    struct edge *e = of(m);
    struct capsule_addrs want = {.n = 0};

    if (settle_session(e, m)) {
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "out of memory");
        return;
    }
    e->tunnel = m;
    e->up_ns = e->now_ns;
    session_attach(&e->session);
    session_lane_begin(&e->session, &e->lane, 0);
    fill_request(e, &want);
    if (!e->opts.no_addresses && masque_send_addrs(m, CAPSULE_ADDRESS_REQUEST, &want))
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "cannot ask for addresses");
    change_state(e, EDGE_UP, "");
}

static void on_refused(struct masque *m, int status)
{
    lost(of(m), &(struct edge_failure){.http_status = status});
}

/* The first address of each family is ours. */
static void take_addresses(struct edge *e, const struct capsule_addrs *addrs)
{
    for (unsigned i = addrs->n; i-- > 0;) {
        const struct ip_addr *a = &addrs->v[i].prefix.addr;

        if (assigned_addr_is_refusal(&addrs->v[i]))
            continue;
        e->had[a->family == 6] = *a;
        session_set_own(&e->session, a);
    }
}

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    struct edge *e = of(m);

    if (!e->opts.n_want)
        take_addresses(e, addrs);
    e->opts.events->assigned(e->opts.user, addrs);
}

static int on_addr_request(struct masque *m, const struct capsule_addrs *addrs)
{
    struct capsule_addrs none = {.n = addrs->n};

    for (unsigned i = 0; i < addrs->n; i++) { /* an edge has no addresses to give */
        none.v[i].request_id = addrs->v[i].request_id;
        none.v[i].prefix.addr.family = addrs->v[i].prefix.addr.family;
        none.v[i].prefix.len = (uint8_t)ip_addr_bits(&addrs->v[i].prefix.addr);
    }
    return masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &none);
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    /* Which traffic goes into the tunnel is decided by the edge's own routing. */
}

static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    session_rx(&of(m)->session, data, len);
}

static void on_packed(struct masque *m, const uint8_t *data, size_t len)
{
    struct edge *e = of(m);

    lane_rtt_tell(&e->session, &e->lane, masque_lane(m));
    session_rx_packed(&e->session, &e->lane, e->now_ns, data, len);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct quic_lane *lane = masque_lane(m);
    struct edge *e = of(m);

    if (e->session.pack)
        return session_pull_packed(&e->session, &e->lane, quic_lane_now_ns(lane), max,
                                   quic_lane_burst_bytes(lane));
    return session_pull(&e->session, quic_lane_now_ns(lane), max, quic_lane_mtu_known(lane));
}

static void on_sent(struct masque *m, uint64_t id, struct pkt *pkt)
{
    session_sent(&of(m)->session, &of(m)->lane, id, pkt);
}

static void on_unsent(struct masque *m, struct pkt *pkt)
{
    session_unsent(&of(m)->session, quic_lane_now_ns(masque_lane(m)), pkt);
}

static void on_acked(struct masque *m, uint64_t id)
{
    session_acked(&of(m)->session, &of(m)->lane, id);
}

static void on_lost(struct masque *m, uint64_t id)
{
    session_lost(&of(m)->session, &of(m)->lane, quic_lane_now_ns(masque_lane(m)), id);
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    struct edge *e = of(m);

    if (e->session.pack)
        e->opts.events->mtu(e->opts.user, SESSION_MTU);
    else if (known)
        e->opts.events->mtu(e->opts.user, packet_max);
    masque_kick(m);
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    lost_quic(of(m), why);
}

static void on_lane_failed(struct masque_side *side, const struct quic_fail_info *why)
{
    lost_quic(side->user, why);
}

/* From the session: there is something to pull. */
static void on_kick(void *user)
{
    masque_kick(((struct edge *)user)->tunnel);
}

static const struct masque_ops tunnel_ops = {
    .open = on_open,
    .refused = on_refused,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .packet = on_packet,
    .packed = on_packed,
    .pull = on_pull,
    .sent = on_sent,
    .unsent = on_unsent,
    .acked = on_acked,
    .lost = on_lost,
    .mtu_changed = on_mtu,
    .down = on_down,
};

/* --- life and events ------------------------------------------------------------------- */

static struct fq_flows *make_flows(const struct quic_endpoint_opts *q)
{
    struct siphash_key key;

    q->random(q->random_user, &key, sizeof(key));
    return fq_flows_new(FLOWS, &key);
}

static void free_parts(struct edge *e)
{
    fq_flows_free(e->flows);
    reasm_pool_free(e->reasm);
    free(e);
}

/* Every lane from now on joins one session, which is ours until this process ends. */
static void offer_session(struct edge *e)
{
    const struct quic_endpoint_opts *q = &e->opts.quic;

    e->side.join.version = MASQUE_SESSION_VERSION;
    q->random(q->random_user, e->side.join.session, sizeof(e->side.join.session));
}

int edge_new(const struct edge_opts *opts, struct edge **ret)
{
    struct session_opts so = {.pool = opts->quic.pool, .drops = opts->quic.drops};
    struct edge *e;
    int rv;

    if (opts->max_lanes > EDGE_LANES_MAX)
        return -EINVAL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->opts = *opts;
    if (!e->opts.max_lanes)
        e->opts.max_lanes = EDGE_LANES_MAX;
    e->pause_ns = PAUSE_FIRST_NS;
    e->flows = so.flows = make_flows(&opts->quic);
    e->reasm = reasm_pool_new(OPEN_FLOWS, OPEN_UNITS, OPEN_BYTES);
    if (!e->flows || !e->reasm) {
        free_parts(e);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < opts->n_want; i++)
        so.own[opts->want[i].addr.family == 6] = opts->want[i].addr;
    so.deliver = opts->events->deliver;
    so.receive = opts->events->receive;
    so.deliver_user = opts->user;
    so.kick = on_kick;
    so.kick_user = e;
    session_init(&e->session, &so);
    e->side = (struct masque_side){.ops = &tunnel_ops,
                                   .user = e,
                                   .pool = opts->quic.pool,
                                   .drops = opts->quic.drops,
                                   .authority = opts->authority,
                                   .token = opts->token,
                                   .instance = opts->instance,
                                   .lane_failed = on_lane_failed};
    if (!opts->plain)
        offer_session(e);
    rv = quic_endpoint_new(&opts->quic, &e->ep);
    if (rv) {
        free_parts(e);
        return rv;
    }
    *ret = e;
    return 0;
}

void edge_free(struct edge *e)
{
    if (!e)
        return;
    e->path = NULL;
    session_detach(&e->session);
    session_lane_done(&e->session, &e->lane, e->now_ns);
    quic_endpoint_free(e->ep);
    session_done(&e->session);
    free_parts(e);
}

void edge_set_addrs(struct edge *e, uint64_t now_ns, const struct net_addr *local,
                    const struct net_addr *remote, unsigned socket)
{
    e->now_ns = now_ns;
    if (net_addr_equal(local, &e->local) && net_addr_equal(remote, &e->remote) &&
        socket == e->socket && e->state != EDGE_IDLE)
        return;
    e->local = *local;
    e->remote = *remote;
    e->socket = socket;
    if (e->state == EDGE_FAILED)
        return;
    drop_path(e);
    e->pause_ns = PAUSE_FIRST_NS;
    if (local->len && remote->len)
        connect_hub(e);
    else if (e->state != EDGE_IDLE)
        change_state(e, EDGE_IDLE, "no local address");
    settle(e);
}

void edge_rx(struct edge *e, uint64_t now_ns, const struct quic_rx *rx)
{
    e->now_ns = now_ns;
    quic_endpoint_rx(e->ep, now_ns, rx);
    settle(e);
}

bool edge_tx(struct edge *e, uint64_t now_ns, struct quic_tx *tx)
{
    bool sent;

    e->now_ns = now_ns;
    sent = quic_endpoint_tx(e->ep, now_ns, tx);
    settle(e);
    return sent;
}

uint64_t edge_deadline_ns(const struct edge *e)
{
    uint64_t at = quic_endpoint_deadline_ns(e->ep);

    at = MIN(at, masque_deadline_ns(&e->side));
    at = MIN(at, session_deadline_ns(&e->session));
    return e->state == EDGE_PAUSE ? MIN(at, e->retry_ns) : at;
}

void edge_timeout(struct edge *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    quic_endpoint_timeout(e->ep, now_ns);
    masque_timeout(&e->side, now_ns);
    session_timeout(&e->session, now_ns);
    settle(e);
    if (e->state == EDGE_PAUSE && now_ns >= e->retry_ns)
        connect_hub(e);
    settle(e);
}

void edge_send(struct edge *e, uint64_t now_ns, struct pkt *pkt)
{
    session_send(&e->session, now_ns, pkt);
}

void edge_set_token(struct edge *e, const char *token)
{
    e->side.token = token;
}

void edge_set_max_lanes(struct edge *e, uint64_t now_ns, unsigned n)
{
    e->now_ns = now_ns;
    e->opts.max_lanes = n;
}

void edge_set_tls(struct edge *e, void *tls_ctx)
{
    quic_endpoint_set_tls(e->ep, tls_ctx);
}

void edge_shutdown(struct edge *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    drop_path(e);
    e->state = EDGE_IDLE;
    quic_endpoint_shutdown(e->ep, now_ns);
}

enum edge_state edge_state(const struct edge *e)
{
    return e->state;
}

bool edge_heard_nothing(const struct edge *e)
{
    return e->end.quic.fail == QUIC_FAIL_HANDSHAKE_TIMEOUT || e->end.quic.fail == QUIC_FAIL_IDLE;
}

const struct session *edge_session(const struct edge *e)
{
    return &e->session;
}

const struct masque *edge_tunnel(const struct edge *e)
{
    return e->tunnel;
}

bool edge_lane_stats(const struct edge *e, struct quic_lane_stats *ret)
{
    if (!e->tunnel)
        return false;
    quic_lane_stats(masque_lane(e->tunnel), ret);
    return true;
}

unsigned edge_lanes(const struct edge *e)
{
    return e->tunnel ? 1 : 0;
}

unsigned edge_lanes_wanted(const struct edge *e, uint64_t now_ns)
{
    return e->path ? quic_path_lanes_wanted(e->path, now_ns) : 1;
}

bool edge_lane_info(const struct edge *e, unsigned lane, struct edge_lane_info *ret)
{
    if (lane || !edge_lane_stats(e, &ret->stats))
        return false;
    ret->socket = e->socket;
    ret->local = e->local;
    return true;
}
