#include "peer/edge_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

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

/* From the session: there is something to pull. */
static void on_kick(void *user)
{
    struct edge *e = user;

    for (unsigned i = 0; i < e->n_paths; i++)
        if (e->path[i].quic)
            quic_path_kick(e->path[i].quic);
}

/* From the session: look which lanes wait too long for an answer while another path works. */
static void on_watch(void *user)
{
    struct edge *e = user;

    for (unsigned k = 0; k < e->n_paths; k++)
        for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
            if (edge_lane_is_up(&e->path[k].lane[i]) && session_other_path_works(&e->session, k))
                quic_lane_suspect_after(e->path[k].lane[i].quic, SESSION_SUSPECT_NS);
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
    free(e->path);
    free(e);
}

/* Every lane from now on joins one session, which is ours until this process ends. */
static void offer_session(struct edge *e)
{
    const struct quic_endpoint_opts *q = &e->opts.quic;

    e->join.version = MASQUE_SESSION_VERSION;
    q->random(q->random_user, e->join.session, sizeof(e->join.session));
}

static bool are_valid(const struct edge_opts *o)
{
    return o->max_lanes <= EDGE_LANES_MAX && o->n_paths <= EDGE_PATHS_MAX &&
           treatment_is_valid(&o->treatment, o->n_paths) && edge_paths_valid(o->paths, o->n_paths);
}

int edge_new(const struct edge_opts *opts, struct edge **ret)
{
    struct session_opts so = {.pool = opts->quic.pool, .drops = opts->quic.drops};
    struct edge *e;
    int rv;

    if (!are_valid(opts))
        return -EINVAL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->opts = *opts;
    if (!e->opts.max_lanes)
        e->opts.max_lanes = EDGE_LANES_MAX;
    e->flows = so.flows = make_flows(&opts->quic);
    e->reasm = reasm_pool_new(OPEN_FLOWS, OPEN_UNITS, OPEN_BYTES);
    if (!e->flows || !e->reasm || edge_paths_make(e)) {
        free_parts(e);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < opts->n_want; i++)
        so.own[opts->want[i].addr.family == 6] = opts->want[i].addr;
    so.deliver = opts->events->deliver;
    so.receive = opts->events->receive;
    so.deliver_user = opts->user;
    so.kick = on_kick;
    so.watch = on_watch;
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
    rv = edge_paths_tell_treatment(e);
    if (!rv)
        rv = quic_endpoint_new(&opts->quic, &e->ep);
    if (rv) {
        session_done(&e->session);
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
    session_detach(&e->session);
    for (unsigned i = 0; i < e->n_paths; i++) {
        e->path[i].quic = NULL;
        edge_lanes_end(&e->path[i], true);
    }
    quic_endpoint_free(e->ep);
    session_done(&e->session);
    free_parts(e);
}

void edge_set_addrs(struct edge *e, uint64_t now_ns, unsigned path, const struct net_addr *local,
                    const struct net_addr *remote, unsigned socket)
{
    e->now_ns = now_ns;
    edge_path_set_addrs(&e->path[path], local, remote, socket);
    edge_settle(e);
}

void edge_rx(struct edge *e, uint64_t now_ns, const struct quic_rx *rx)
{
    e->now_ns = now_ns;
    quic_endpoint_rx(e->ep, now_ns, rx);
    edge_settle(e);
}

bool edge_tx(struct edge *e, uint64_t now_ns, struct quic_tx *tx)
{
    bool sent;

    e->now_ns = now_ns;
    sent = quic_endpoint_tx(e->ep, now_ns, tx);
    edge_settle(e);
    return sent;
}

uint64_t edge_deadline_ns(const struct edge *e)
{
    uint64_t at = quic_endpoint_deadline_ns(e->ep);

    at = MIN(at, masque_deadline_ns(&e->side));
    at = MIN(at, session_deadline_ns(&e->session));
    for (unsigned i = 0; i < e->n_paths; i++)
        at = MIN(at, edge_path_deadline_ns(&e->path[i]));
    return at;
}

void edge_timeout(struct edge *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    quic_endpoint_timeout(e->ep, now_ns);
    masque_timeout(&e->side, now_ns);
    session_timeout(&e->session, now_ns);
    edge_settle(e);
    edge_retry(e);
    edge_settle(e);
}

void edge_send(struct edge *e, uint64_t now_ns, struct pkt *pkt)
{
    session_send(&e->session, now_ns, pkt);
}

int edge_set_classes(struct edge *e, const struct class_table *table)
{
    int rv = session_set_classes(&e->session, table, true);

    for (unsigned i = 0; !rv && i < e->n_paths * EDGE_LANES_MAX; i++) {
        struct edge_lane *l = &e->path[i / EDGE_LANES_MAX].lane[i % EDGE_LANES_MAX];

        if (edge_lane_is_up(l))
            edge_tell_classes(e, l->tunnel);
    }
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
    for (unsigned i = 0; i < e->n_paths; i++) {
        e->path[i].look_ns = 0;
        edge_lanes_adapt(&e->path[i]);
    }
}

void edge_set_tls(struct edge *e, void *tls_ctx)
{
    quic_endpoint_set_tls(e->ep, tls_ctx);
}

/* The hub keeps the session of a client that is gone, unless this client says that it ends. */
void edge_shutdown(struct edge *e, uint64_t now_ns)
{
    e->now_ns = now_ns;
    quic_endpoint_shutdown(e->ep, now_ns,
                           e->session.pack ? MASQUE_SESSION_END : MASQUE_H3_NO_ERROR);
    for (unsigned i = 0; i < e->n_paths; i++) {
        edge_path_drop(&e->path[i], false);
        e->path[i].state = EDGE_IDLE;
    }
    e->state = EDGE_IDLE;
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

bool edge_has_path(const struct edge *e, unsigned path)
{
    return path < e->n_paths && e->path[path].there && !e->path[path].leaving;
}

void edge_path_info(const struct edge *e, unsigned path, struct edge_path_info *ret)
{
    const struct edge_path *p = &e->path[path];
    const struct edge_path_opts *o = &e->opts.paths[path];

    *ret = (struct edge_path_info){.name = o->name,
                                   .priority = o->priority,
                                   .weight = MAX(o->weight, 1u),
                                   .state = p->state,
                                   .since_ns = p->since_ns,
                                   .why = p->why,
                                   .trouble = edge_path_trouble(p),
                                   .local = p->local,
                                   .remote = p->remote};
    session_path_info(&e->session, path, &ret->session);
    ret->in_use = e->n_paths > 1 ? ret->session.in_use : p->state == EDGE_UP;
}

/* The lane with the lowest number that is up, or NULL. */
static const struct edge_lane *first_up(const struct edge_path *p)
{
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++)
        if (edge_lane_is_up(&p->lane[i]))
            return &p->lane[i];
    return NULL;
}

const struct masque *edge_path_tunnel(const struct edge *e, unsigned path)
{
    const struct edge_lane *l = first_up(&e->path[path]);

    return l ? l->tunnel : NULL;
}

const struct masque *edge_tunnel(const struct edge *e)
{
    const struct masque *m = NULL;

    for (unsigned i = 0; i < e->n_paths && !m; i++)
        m = edge_path_tunnel(e, i);
    return m;
}

bool edge_lane_stats(const struct edge *e, unsigned path, struct quic_lane_stats *ret)
{
    const struct edge_path *p = &e->path[path];
    const struct edge_lane *first = first_up(p);

    if (!first)
        return false;
    quic_lane_stats(first->quic, ret);
    quic_lane_stats_add(ret, &p->past);
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        struct quic_lane_stats more;

        if (&p->lane[i] == first || !edge_lane_is_up(&p->lane[i]))
            continue;
        quic_lane_stats(p->lane[i].quic, &more);
        quic_lane_stats_add(ret, &more);
    }
    return true;
}

unsigned edge_lanes(const struct edge *e, unsigned path)
{
    return edge_lanes_up(&e->path[path]);
}

unsigned edge_lanes_wanted(const struct edge *e, unsigned path, uint64_t now_ns)
{
    return edge_lanes_target(&e->path[path], now_ns);
}

bool edge_lane_info(const struct edge *e, unsigned path, unsigned lane, struct edge_lane_info *ret)
{
    const struct edge_lane *l = lane < EDGE_LANES_MAX ? &e->path[path].lane[lane] : NULL;

    if (!l || !edge_lane_is_up(l))
        return false;
    ret->socket = l->socket;
    ret->local = l->local;
    quic_lane_stats(l->quic, &ret->stats);
    return true;
}
