#include "peer/edge_internal.h"

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

const char *edge_state_name(enum edge_state s)
{
    static const char *const names[EDGE_STATE_COUNT] = {"idle", "connecting", "up", "pause",
                                                        "failed"};

    return (unsigned)s < EDGE_STATE_COUNT ? names[s] : "?";
}

void edge_change_state(struct edge *e, enum edge_state state, const char *why)
{
    e->state = state;
    e->opts.events->state(e->opts.user, state, why);
}

/* The sockets of its lanes are given back now, or when the last words have left. */
static void drop_path(struct edge *e, bool at_once)
{
    struct quic_path *path = e->path;

    e->path = NULL;
    e->over = false;
    session_detach(&e->session);
    edge_lanes_end(e, at_once);
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
    edge_change_state(e, EDGE_PAUSE, why);
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

/* Do what the end of the tunnel asks for: pause, or give up. */
static void settle(struct edge *e)
{
    struct edge_failure end = e->end;
    bool held = e->state == EDGE_UP && e->now_ns - e->up_ns >= HELD_NS;
    char text[256];

    if (!e->over) {
        edge_lanes_adapt(e);
        return;
    }
    drop_path(e, false);
    describe(&end, text, sizeof(text));
    if (is_permanent(&end)) {
        edge_change_state(e, EDGE_FAILED, text);
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

static void fail(struct edge *e, const struct quic_fail_info *why)
{
    e->over = true;
    e->end = (struct edge_failure){.quic = *why};
}

static void connect_hub(struct edge *e)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_INTERNAL};

    edge_change_state(e, EDGE_CONNECTING, "");
    e->path = quic_path_new(e->ep, &masque_path_ops, &e->side);
    if (!e->path)
        back_off(e, PAUSE_SILENT_MAX_NS, quic_fail_meaning(why.fail));
    else if (edge_lanes_begin(e))
        fail(e, &why);
}

/* From the session: there is something to pull. */
static void on_kick(void *user)
{
    struct edge *e = user;

    if (e->path)
        quic_path_kick(e->path);
}

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

    e->join.version = MASQUE_SESSION_VERSION;
    q->random(q->random_user, e->join.session, sizeof(e->join.session));
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
    e->side = (struct masque_side){.ops = &edge_tunnel_ops,
                                   .user = e,
                                   .pool = opts->quic.pool,
                                   .drops = opts->quic.drops,
                                   .authority = opts->authority,
                                   .token = opts->token,
                                   .instance = opts->instance,
                                   .lane_failed = edge_on_lane_failed};
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
    edge_lanes_end(e, true);
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
    drop_path(e, true);
    e->pause_ns = PAUSE_FIRST_NS;
    if (local->len && remote->len)
        connect_hub(e);
    else if (e->state != EDGE_IDLE)
        edge_change_state(e, EDGE_IDLE, "no local address");
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
    at = MIN(at, edge_lanes_deadline_ns(e));
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

int edge_set_classes(struct edge *e, const struct class_table *table)
{
    int rv = session_set_classes(&e->session, table, true);

    for (unsigned i = 0; !rv && i < EDGE_LANES_MAX; i++)
        if (edge_lane_is_up(&e->lane[i]))
            edge_tell_classes(e, e->lane[i].tunnel);
    return rv;
}

void edge_set_token(struct edge *e, const char *token)
{
    e->side.token = token;
}

void edge_set_lanes(struct edge *e, uint64_t now_ns, unsigned min, unsigned max)
{
    e->now_ns = now_ns;
    e->opts.min_lanes = min;
    e->opts.max_lanes = MIN(MAX(max, 1u), (unsigned)EDGE_LANES_MAX);
    e->look_ns = 0;
    edge_lanes_adapt(e);
}

void edge_set_tls(struct edge *e, void *tls_ctx)
{
    quic_endpoint_set_tls(e->ep, tls_ctx);
}

void edge_shutdown(struct edge *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    drop_path(e, false);
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

/* The lane with the lowest number that is up, or NULL. */
static const struct edge_lane *first_up(const struct edge *e)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        if (edge_lane_is_up(&e->lane[i]))
            return &e->lane[i];
    return NULL;
}

const struct masque *edge_tunnel(const struct edge *e)
{
    const struct edge_lane *l = first_up(e);

    return l ? l->tunnel : NULL;
}

bool edge_lane_stats(const struct edge *e, struct quic_lane_stats *ret)
{
    const struct edge_lane *first = first_up(e);

    if (!first)
        return false;
    quic_lane_stats(first->quic, ret);
    quic_lane_stats_add(ret, &e->past);
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        struct quic_lane_stats more;

        if (&e->lane[i] == first || !edge_lane_is_up(&e->lane[i]))
            continue;
        quic_lane_stats(e->lane[i].quic, &more);
        quic_lane_stats_add(ret, &more);
    }
    return true;
}

unsigned edge_lanes(const struct edge *e)
{
    return edge_lanes_up(e);
}

unsigned edge_lanes_wanted(const struct edge *e, uint64_t now_ns)
{
    return edge_lanes_target(e, now_ns);
}

bool edge_lane_info(const struct edge *e, unsigned lane, struct edge_lane_info *ret)
{
    const struct edge_lane *l = lane < EDGE_LANES_MAX ? &e->lane[lane] : NULL;

    if (!l || !edge_lane_is_up(l))
        return false;
    ret->socket = l->socket;
    ret->local = l->local;
    quic_lane_stats(l->quic, &ret->stats);
    return true;
}
