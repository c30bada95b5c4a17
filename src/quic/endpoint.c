/* An endpoint: connection IDs to lanes, acceptance, timers, and bursts out of packets. */
#include "quic/lane.h"

#include <errno.h>

/* What only a server has. */
static int init_server(struct quic_endpoint *ep)
{
    struct siphash_key key;

    ep->opts.random(ep->opts.random_user, &key, sizeof(key));
    ep->opts.random(ep->opts.random_user, ep->token_secret, sizeof(ep->token_secret));
    ep->answers = answers_new();
    ep->sources = source_table_new(&key);
    return ep->answers && ep->sources ? 0 : -ENOMEM;
}

static void default_opts(struct quic_endpoint_opts *o)
{
    if (!o->aead)
        o->aead = &aead_gnutls;
    if (!o->udp_payload_max)
        o->udp_payload_max = 1472;
    if (!o->max_handshakes)
        o->max_handshakes = 1024;
    if (!o->max_lanes)
        o->max_lanes = 16384;
    if (!o->retry_handshakes)
        o->retry_handshakes = 64;
    if (!o->source_handshakes)
        o->source_handshakes = 400;
    if (!o->handshake_rate)
        o->handshake_rate = 1000;
}

int quic_endpoint_new(const struct quic_endpoint_opts *opts, struct quic_endpoint **ret)
{
    struct siphash_key key;
    struct quic_endpoint *ep;

    if (!opts->tls || !opts->pool || !opts->drops || !opts->random ||
        (opts->server && !opts->accept) || opts->udp_payload_max > QUIC_UDP_PAYLOAD_MAX)
        return -EINVAL;
    ep = calloc(1, sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    ep->opts = *opts;
    default_opts(&ep->opts);
    ep->opts.random(ep->opts.random_user, &key, sizeof(key));
    ep->server_name = strdup(opts->server_name ? opts->server_name : "");
    if (!ep->server_name || cidmap_init(&ep->cids, &key) || (opts->server && init_server(ep))) {
        quic_endpoint_free(ep);
        return -ENOMEM;
    }
    *ret = ep;
    return 0;
}

void quic_endpoint_free(struct quic_endpoint *ep)
{
    if (!ep)
        return;
    quic_endpoint_shutdown(ep, ep->now_ns, H3_NO_ERROR);
    while (ep->lanes)
        lane_free(ep->lanes);
    while (ep->paths)
        path_free(ep->paths);
    heap_done(&ep->timers);
    cidmap_done(&ep->cids);
    answers_free(ep->answers);
    source_table_free(ep->sources);
    explicit_bzero(ep->token_secret, sizeof(ep->token_secret));
    free(ep->server_name);
    free(ep);
}

void quic_endpoint_shutdown(struct quic_endpoint *ep, uint64_t now_ns, uint64_t app_error)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_LOCAL, .app = true, .code = app_error};

    ep->now_ns = now_ns;
    for (struct quic_lane *l = ep->lanes; l; l = l->next)
        lane_fail(l, &why, true);
}

unsigned quic_endpoint_lanes(const struct quic_endpoint *ep)
{
    return ep->n_lanes;
}

void quic_endpoint_set_tls(struct quic_endpoint *ep, void *tls_ctx)
{
    ep->opts.tls_ctx = tls_ctx;
}

/* --- connection IDs -------------------------------------------------------------------- */

int endpoint_cid_add(struct quic_endpoint *ep, struct quic_lane *lane, const uint8_t *cid,
                     size_t len)
{
    struct lane_cid *c = len <= CID_BYTES_MAX ? calloc(1, sizeof(*c)) : NULL;
    int rv;

    if (!c)
        return -ENOMEM;
    memcpy(c->data, cid, len);
    c->len = (uint8_t)len;
    c->lane = lane;
    rv = cidmap_add(&ep->cids, c);
    if (rv) {
        free(c);
        return rv;
    }
    c->next = lane->cids;
    lane->cids = c;
    return 0;
}

void endpoint_cid_remove(struct quic_endpoint *ep, struct quic_lane *lane, const uint8_t *cid,
                         size_t len)
{
    for (struct lane_cid **at = &lane->cids; *at; at = &(*at)->next) {
        struct lane_cid *c = *at;

        if (c->len != len || memcmp(c->data, cid, len) != 0)
            continue;
        *at = c->next;
        cidmap_remove(&ep->cids, c);
        free(c);
        return;
    }
}

/* --- lanes with something to do -------------------------------------------------------- */

void endpoint_ready(struct quic_endpoint *ep, struct quic_lane *lane)
{
    if (lane->ready)
        return;
    lane->ready = true;
    lane->ready_next = NULL;
    lane->ready_prev = ep->ready_tail;
    if (ep->ready_tail)
        ep->ready_tail->ready_next = lane;
    else
        ep->ready_head = lane;
    ep->ready_tail = lane;
}

void endpoint_unready(struct quic_endpoint *ep, struct quic_lane *lane)
{
    if (!lane->ready)
        return;
    lane->ready = false;
    if (lane->ready_prev)
        lane->ready_prev->ready_next = lane->ready_next;
    else
        ep->ready_head = lane->ready_next;
    if (lane->ready_next)
        lane->ready_next->ready_prev = lane->ready_prev;
    else
        ep->ready_tail = lane->ready_prev;
}

/* --- receiving ------------------------------------------------------------------------- */

/* A datagram that no lane claims: a new connection, or nothing of ours. */
static struct quic_lane *stranger(struct quic_endpoint *ep, const struct quic_rx *rx,
                                  const ngtcp2_version_cid *vc)
{
    if (ep->opts.server && vc->version)
        return endpoint_accept(ep, rx);
    drop_count(ep->opts.drops, DROP_NOT_QUIC);
    if (ep->opts.server && !(rx->data[0] & 0x80))
        answer_reset(ep, rx, vc);
    return NULL;
}

/* A stateless reset carries a random connection ID: what may be one goes to the lane that talks to
 * its sender from this socket. */
static struct quic_lane *lane_to_reset(struct quic_endpoint *ep, const struct quic_rx *rx)
{
    struct quic_lane *l = ep->opts.server || rx->data[0] & 0x80 ? NULL : ep->lanes;

    while (l && (l->state >= LANE_CLOSING || l->socket != rx->socket ||
                 !net_addr_equal(&l->remote, &rx->remote)))
        l = l->next;
    return l;
}

/* The lane that a datagram is for, NULL when it is dropped. */
static struct quic_lane *find_lane(struct quic_endpoint *ep, const struct quic_rx *rx)
{
    ngtcp2_version_cid vc;
    struct lane_cid *cid;
    struct quic_lane *lane;
    int rv;

    if (!rx->len) { /* ngtcp2 takes no empty one */
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return NULL;
    }
    rv = ngtcp2_pkt_decode_version_cid(&vc, rx->data, rx->len, LANE_CID_BYTES);
    if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        if (ep->opts.server)
            answer_version(ep, rx, &vc);
        return NULL;
    }
    if (rv) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return NULL;
    }
    cid = cidmap_find(&ep->cids, vc.dcid, vc.dcidlen);
    lane = cid ? cid->lane : lane_to_reset(ep, rx);
    return lane ? lane : stranger(ep, rx, &vc);
}

/* The connection ID of a packet with a short header; 0: it has another one, or is too short. */
static uint64_t short_cid(const struct quic_rx *rx)
{
    _Static_assert(LANE_CID_BYTES == sizeof(uint64_t), "a connection ID is a number here");
    uint64_t cid = 0;

    if (rx->len > LANE_CID_BYTES && !(rx->data[0] & 0x80))
        memcpy(&cid, rx->data + 1, sizeof(cid));
    return cid;
}

/* Nearly always all datagrams are for one lane, which is found once, and is settled once. */
void quic_endpoint_rx(struct quic_endpoint *ep, uint64_t now_ns, const struct quic_rx *rx)
{
    size_t seg = rx->seg_size ? rx->seg_size : rx->len, at = 0;
    struct quic_lane *lane = NULL;
    struct quic_rx one = *rx;
    uint64_t last = 0;

    ep->now_ns = now_ns;
    do {
        uint64_t cid;

        one.data = rx->data + at;
        one.len = MIN(seg, rx->len - at);
        cid = short_cid(&one);
        if (!lane || !cid || cid != last) {
            if (lane)
                lane_rx_end(lane);
            lane = find_lane(ep, &one);
        }
        last = cid;
        if (lane && !lane_rx(lane, &one)) {
            lane_tidy(lane);
            lane = NULL;
        }
        at += seg;
    } while (at < rx->len);
    if (lane)
        lane_rx_end(lane);
}

/* --- time ------------------------------------------------------------------------------ */

uint64_t quic_endpoint_deadline_ns(const struct quic_endpoint *ep)
{
    const struct heap_node *top = heap_top(&ep->timers);

    if (ep->ready_head || ep->carry_lane || answers_waiting(ep->answers))
        return ep->now_ns;
    return top ? top->key_ns : TIME_NEVER_NS;
}

void quic_endpoint_timeout(struct quic_endpoint *ep, uint64_t now_ns)
{
    struct heap_node *top;

    ep->now_ns = now_ns;
    while ((top = heap_top(&ep->timers)) && top->key_ns <= now_ns) {
        struct quic_lane *lane = container_of(top, struct quic_lane, timer);

        heap_remove(&ep->timers, top);
        lane_timeout(lane);
        if (lane_tidy(lane) && lane->timer.place && lane->timer.key_ns <= now_ns)
            heap_set(&ep->timers, &lane->timer, now_ns + 1); /* it has had its turn */
    }
}

/* --- sending --------------------------------------------------------------------------- */

static void to_net_addr(const ngtcp2_addr *a, struct net_addr *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(&ret->ss, a->addr, MIN((size_t)a->addrlen, sizeof(ret->ss)));
    ret->len = a->addrlen;
}

/* What leaves at once never stands long in the first queue. */
static size_t burst_bytes(const struct quic_lane *lane)
{
    ngtcp2_conn_info info;
    uint64_t per_ms;

    ngtcp2_conn_get_conn_info(lane->conn, &info);
    per_ms = info.smoothed_rtt ? info.cwnd * NS_PER_MS / info.smoothed_rtt : 0;
    per_ms = MAX(per_ms, 2 * lane->pmtu.size);
    return MIN(per_ms, (uint64_t)QUIC_BURST_BYTES);
}

size_t quic_lane_burst_bytes(const struct quic_lane *lane)
{
    return lane->burst_bytes;
}

static void start_burst(struct quic_tx *tx, const struct quic_lane *lane,
                        const ngtcp2_path_storage *ps, uint8_t ecn, size_t len)
{
    to_net_addr(&ps->path.local, &tx->local);
    to_net_addr(&ps->path.remote, &tx->remote);
    tx->socket = lane->socket;
    tx->ecn = ecn;
    tx->len = tx->seg_size = len;
}

/* Byte by byte, because the burst's addresses were copied from such ones, and for each packet. */
static bool same_addr(const ngtcp2_addr *a, const struct net_addr *b)
{
    return a->addrlen == b->len && !memcmp(a->addr, &b->ss, a->addrlen);
}

/* Put the packet at buf + len into the burst, or keep it as the beginning of the next one. True
 * when the burst can take more: a probe of the path MTU ends it, because an interface for which the
 * probe is too large, and which sees the burst before it is cut into packets, refuses all of it. */
static bool add_to_burst(struct quic_endpoint *ep, struct quic_tx *tx, struct quic_lane *lane,
                         const ngtcp2_path_storage *ps, uint8_t ecn, size_t len)
{
    if (!tx->len) {
        start_burst(tx, lane, ps, ecn, len);
        return !lane->probe_out;
    }
    if (len <= tx->seg_size && ecn == tx->ecn && same_addr(&ps->path.remote, &tx->remote) &&
        same_addr(&ps->path.local, &tx->local)) {
        tx->len += len;
        return len == tx->seg_size && !lane->probe_out;
    }
    memcpy(ep->carry, tx->buf + tx->len, len);
    ep->carry_lane = lane;
    ep->carry_len = len;
    ep->carry_ecn = ecn;
    to_net_addr(&ps->path.local, &ep->carry_local);
    to_net_addr(&ps->path.remote, &ep->carry_remote);
    return false;
}

static void take_carry(struct quic_endpoint *ep, struct quic_tx *tx)
{
    memcpy(tx->buf, ep->carry, ep->carry_len);
    tx->local = ep->carry_local;
    tx->remote = ep->carry_remote;
    tx->ecn = ep->carry_ecn;
    tx->socket = ep->carry_lane->socket;
    tx->len = tx->seg_size = ep->carry_len;
    ep->carry_lane = NULL;
}

/* Fill *tx from a lane. True when the lane has more for another burst. */
static bool fill_burst(struct quic_endpoint *ep, struct quic_lane *lane, struct quic_tx *tx)
{
    size_t budget = lane->burst_bytes = burst_bytes(lane);
    ngtcp2_path_storage ps;
    bool more = !(tx->len && lane->probe_out), wrote = false; /* the packet kept may be a probe */

    ngtcp2_path_storage_zero(&ps);
    while (more && tx->len < budget && tx->len + QUIC_UDP_PAYLOAD_MAX <= sizeof(tx->buf) &&
           (!tx->len || tx->len / tx->seg_size < QUIC_BURST_SEGMENTS)) {
        uint8_t ecn = 0;
        ssize_t n = lane_write(lane, tx->buf + tx->len, QUIC_UDP_PAYLOAD_MAX, &ps, &ecn);

        if (n <= 0)
            goto out;
        wrote = true;
        more = add_to_burst(ep, tx, lane, &ps, ecn, (size_t)n);
    }
    if (wrote)
        ngtcp2_conn_update_pkt_tx_time(lane->conn, ep->now_ns);
    return true;
out:
    if (wrote)
        ngtcp2_conn_update_pkt_tx_time(lane->conn, ep->now_ns);
    return false;
}

/* One burst of a lane, whatever its state. True when it has more. */
static bool serve_lane(struct quic_endpoint *ep, struct quic_lane *lane, struct quic_tx *tx)
{
    bool more = false;

    if (lane->state < LANE_CLOSING)
        lane_close_if_wanted(lane);
    if (lane->state < LANE_CLOSING)
        more = fill_burst(ep, lane, tx);
    if (lane->state < LANE_CLOSING) {
        lane_set_timer(lane);
        return more;
    }
    if (lane->close_due && !tx->len) {
        lane->close_due = false;
        memcpy(tx->buf, lane->close_pkt, lane->close_len);
        tx->local = lane->local;
        tx->remote = lane->remote;
        tx->socket = lane->socket;
        tx->ecn = 0;
        tx->len = tx->seg_size = lane->close_len;
        lane->stats.udp_tx++;
        lane->stats.udp_tx_bytes += tx->len;
    }
    return lane->close_due;
}

bool quic_endpoint_tx(struct quic_endpoint *ep, uint64_t now_ns, struct quic_tx *tx)
{
    ep->now_ns = now_ns;
    tx->len = 0;
    if (answers_waiting(ep->answers)) {
        answers_tx(ep->answers, tx);
        return true;
    }
    while (ep->ready_head || ep->carry_lane) {
        struct quic_lane *lane = ep->carry_lane ? ep->carry_lane : ep->ready_head;

        endpoint_unready(ep, lane);
        if (ep->carry_lane)
            take_carry(ep, tx);
        if (serve_lane(ep, lane, tx))
            endpoint_ready(ep, lane);
        lane_tidy(lane);
        if (tx->len)
            return true;
    }
    return false;
}
