/* An endpoint: connection IDs to lanes, acceptance, timers, and bursts out of packets. */
#include "quic/lane.h"

#include <errno.h>

enum {
    RESET_MIN_BYTES = 21,   /* RFC 9000, 10.3: less is no QUIC packet */
    RESET_MAX_BYTES = 42,   /* and looks like one; 10.3.3: always smaller than what it answers */
    ANSWERS_PER_SECOND = 50 /* stateless answers, so that junk cannot make us a reflector */
};

int quic_endpoint_new(const struct quic_endpoint_opts *opts, struct quic_endpoint **ret)
{
    struct quic_endpoint *ep;

    if (!opts->tls || !opts->pool || !opts->drops || !opts->random ||
        (opts->server && !opts->accept) || opts->udp_payload_max > QUIC_UDP_PAYLOAD_MAX)
        return -EINVAL;
    ep = calloc(1, sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    ep->opts = *opts;
    if (!ep->opts.udp_payload_max)
        ep->opts.udp_payload_max = 1472;
    if (!ep->opts.max_handshakes)
        ep->opts.max_handshakes = 256;
    if (!ep->opts.max_lanes)
        ep->opts.max_lanes = 16384;
    ep->server_name = strdup(opts->server_name ? opts->server_name : "");
    if (opts->server)
        ep->answer = malloc(sizeof(*ep->answer));
    if (!ep->server_name || (opts->server && !ep->answer)) {
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
    quic_endpoint_shutdown(ep, ep->now_ns);
    while (ep->lanes)
        lane_free(ep->lanes);
    while (ep->paths)
        path_free(ep->paths);
    heap_done(&ep->timers);
    free(ep->answer);
    free(ep->server_name);
    free(ep);
}

void quic_endpoint_shutdown(struct quic_endpoint *ep, uint64_t now_ns)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_LOCAL, .app = true, .code = 0x100};

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
    struct lane_cid *c = calloc(1, sizeof(*c)), *same;

    if (!c || len > sizeof(c->data)) {
        free(c);
        return -ENOMEM;
    }
    memcpy(c->data, cid, len);
    c->len = (uint8_t)len;
    c->lane = lane;
    HASH_FIND(hh, ep->cids, c->data, sizeof(c->data), same);
    if (same) {
        free(c);
        return -EEXIST;
    }
    HASH_ADD(hh, ep->cids, data, sizeof(c->data), c);
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
        HASH_DELETE(hh, ep->cids, c);
        free(c);
        return;
    }
}

static struct quic_lane *find_lane(struct quic_endpoint *ep, const uint8_t *cid, size_t len)
{
    uint8_t key[NGTCP2_MAX_CIDLEN] = {0};
    struct lane_cid *c;

    if (len > sizeof(key))
        return NULL;
    memcpy(key, cid, len);
    HASH_FIND(hh, ep->cids, key, sizeof(key), c);
    return c && c->len == len ? c->lane : NULL;
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

/* A token bucket of one second for answers that no connection stands behind. */
static bool may_answer(struct quic_endpoint *ep)
{
    uint64_t step = NS_PER_S / ANSWERS_PER_SECOND;

    if (ep->answer_due)
        return false;
    if (ep->answer_tokens_ns + NS_PER_S < ep->now_ns)
        ep->answer_tokens_ns = ep->now_ns - NS_PER_S;
    if (ep->answer_tokens_ns + step > ep->now_ns)
        return false;
    ep->answer_tokens_ns += step;
    return true;
}

static void answer(struct quic_endpoint *ep, const struct quic_rx *rx, ngtcp2_ssize len)
{
    if (len <= 0)
        return;
    ep->answer->local = rx->local;
    ep->answer->remote = rx->remote;
    ep->answer->socket = rx->socket;
    ep->answer->ecn = 0;
    ep->answer->len = ep->answer->seg_size = (size_t)len;
    ep->answer_due = true;
}

static void answer_version(struct quic_endpoint *ep, const struct quic_rx *rx,
                           const ngtcp2_version_cid *vc)
{
    static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    uint8_t random;

    if (rx->len < QUIC_UDP_PAYLOAD_BASE || !may_answer(ep))
        return;
    ep->opts.random(ep->opts.random_user, &random, 1);
    answer(ep, rx,
           ngtcp2_pkt_write_version_negotiation(ep->answer->buf, 256, random, vc->scid, vc->scidlen,
                                                vc->dcid, vc->dcidlen, versions,
                                                ARRAY_LEN(versions)));
}

static void answer_reset(struct quic_endpoint *ep, const struct quic_rx *rx,
                         const ngtcp2_version_cid *vc)
{
    uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], random[RESET_MAX_BYTES];
    size_t len = MIN(rx->len - 1, (size_t)RESET_MAX_BYTES);
    ngtcp2_cid cid;

    if (len < RESET_MIN_BYTES || !may_answer(ep))
        return;
    len -= NGTCP2_STATELESS_RESET_TOKENLEN;
    ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
    if (ngtcp2_crypto_generate_stateless_reset_token(token, ep->opts.reset_secret,
                                                     sizeof(ep->opts.reset_secret), &cid))
        return;
    ep->opts.random(ep->opts.random_user, random, len);
    answer(ep, rx, ngtcp2_pkt_write_stateless_reset(ep->answer->buf, 256, token, random, len));
}

/* A datagram that no lane claims: a new connection, or nothing of ours. */
static struct quic_lane *accept_lane(struct quic_endpoint *ep, const struct quic_rx *rx,
                                     const ngtcp2_version_cid *vc)
{
    ngtcp2_pkt_hd hd;
    struct quic_lane *lane;

    if (!ep->opts.server || !vc->version) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        if (ep->opts.server && rx->len && !(rx->data[0] & 0x80))
            answer_reset(ep, rx, vc);
        return NULL;
    }
    if (ngtcp2_accept(&hd, rx->data, rx->len)) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return NULL;
    }
    if (ep->n_handshakes >= ep->opts.max_handshakes || ep->n_lanes >= ep->opts.max_lanes) {
        drop_count(ep->opts.drops, DROP_QUIC_LIMIT);
        return NULL;
    }
    lane = lane_new(ep, NULL, rx->socket, &rx->local, &rx->remote, &hd);
    if (!lane)
        drop_count(ep->opts.drops, DROP_NO_BUFFER);
    return lane;
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

void quic_endpoint_rx(struct quic_endpoint *ep, uint64_t now_ns, const struct quic_rx *rx)
{
    ngtcp2_version_cid vc;
    struct quic_lane *lane;
    int rv;

    ep->now_ns = now_ns;
    if (!rx->len) { /* ngtcp2 takes no empty one */
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return;
    }
    rv = ngtcp2_pkt_decode_version_cid(&vc, rx->data, rx->len, LANE_CID_BYTES);
    if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        if (ep->opts.server)
            answer_version(ep, rx, &vc);
        return;
    }
    if (rv) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return;
    }
    lane = find_lane(ep, vc.dcid, vc.dcidlen);
    if (!lane)
        lane = lane_to_reset(ep, rx);
    if (!lane)
        lane = accept_lane(ep, rx, &vc);
    if (lane)
        lane_rx(lane, rx);
}

/* --- time ------------------------------------------------------------------------------ */

uint64_t quic_endpoint_deadline_ns(const struct quic_endpoint *ep)
{
    const struct heap_node *top = heap_top(&ep->timers);

    if (ep->ready_head || ep->answer_due || ep->carry_lane)
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
        if (lane->state == LANE_DEAD)
            lane_free(lane);
        else if (lane->timer.place && lane->timer.key_ns <= now_ns)
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

/* Bytes of one burst: no more than about a millisecond of the lane's rate, so that what leaves
 * at once never stands long in the first queue; at least two packets, at most what fits. */
static size_t burst_bytes(const struct quic_lane *lane)
{
    ngtcp2_conn_info info;
    uint64_t per_ms;

    ngtcp2_conn_get_conn_info(lane->conn, &info);
    per_ms = info.smoothed_rtt ? info.cwnd * NS_PER_MS / info.smoothed_rtt : 0;
    per_ms = MAX(per_ms, 2 * lane->pmtu.size);
    return MIN(per_ms, (uint64_t)QUIC_BURST_BYTES);
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

/* Put the packet at buf + len into the burst, or keep it as the beginning of the next one. True
 * when the burst can take more. */
static bool add_to_burst(struct quic_endpoint *ep, struct quic_tx *tx, struct quic_lane *lane,
                         const ngtcp2_path_storage *ps, uint8_t ecn, size_t len)
{
    struct net_addr local, remote;

    if (!tx->len) {
        start_burst(tx, lane, ps, ecn, len);
        return true;
    }
    to_net_addr(&ps->path.local, &local);
    to_net_addr(&ps->path.remote, &remote);
    if (len <= tx->seg_size && ecn == tx->ecn && net_addr_equal(&remote, &tx->remote) &&
        net_addr_equal(&local, &tx->local)) {
        tx->len += len;
        return len == tx->seg_size;
    }
    memcpy(ep->carry, tx->buf + tx->len, len);
    ep->carry_lane = lane;
    ep->carry_len = len;
    ep->carry_ecn = ecn;
    ep->carry_local = local;
    ep->carry_remote = remote;
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
    size_t budget = burst_bytes(lane);
    bool more = true, wrote = false;

    while (more && tx->len < budget && tx->len + QUIC_UDP_PAYLOAD_MAX <= sizeof(tx->buf) &&
           (!tx->len || tx->len / tx->seg_size < QUIC_BURST_SEGMENTS)) {
        ngtcp2_path_storage ps;
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
    }
    return lane->close_due;
}

bool quic_endpoint_tx(struct quic_endpoint *ep, uint64_t now_ns, struct quic_tx *tx)
{
    ep->now_ns = now_ns;
    tx->len = 0;
    if (ep->answer_due) {
        ep->answer_due = false;
        tx->local = ep->answer->local;
        tx->remote = ep->answer->remote;
        tx->socket = ep->answer->socket;
        tx->ecn = 0;
        tx->len = tx->seg_size = ep->answer->len;
        memcpy(tx->buf, ep->answer->buf, tx->len);
        return true;
    }
    while (ep->ready_head || ep->carry_lane) {
        struct quic_lane *lane = ep->carry_lane ? ep->carry_lane : ep->ready_head;

        endpoint_unready(ep, lane);
        if (ep->carry_lane)
            take_carry(ep, tx);
        if (serve_lane(ep, lane, tx))
            endpoint_ready(ep, lane);
        if (lane->state == LANE_DEAD)
            lane_free(lane);
        if (tx->len)
            return true;
    }
    return false;
}
