/* The life of one QUIC connection: made, fed, timed, freed. What ngtcp2 reports is in lane_cb.c,
 * sending in lane_tx.c, the end in lane_close.c. */
#include "quic/lane.h"

#include <errno.h>

static uint64_t opt_ns(uint64_t given, uint64_t fallback)
{
    return given ? given : fallback;
}

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
    return ((struct quic_lane *)ref->user_data)->conn;
}

/* --- life ------------------------------------------------------------------------------ */

static ngtcp2_path make_path(struct quic_lane *lane)
{
    return (ngtcp2_path){
        .local = {.addr = &lane->local.sa, .addrlen = lane->local.len},
        .remote = {.addr = &lane->remote.sa, .addrlen = lane->remote.len},
    };
}

static const uint16_t pmtud_none[] = {UINT16_MAX};

static void fill_settings(struct quic_endpoint *ep, ngtcp2_settings *s, size_t udp_max)
{
    ngtcp2_settings_default(s);
    s->initial_ts = ep->now_ns;
    s->cc_algo = ep->opts.cc == QUIC_CC_BBR ? NGTCP2_CC_ALGO_BBR : NGTCP2_CC_ALGO_CUBIC;
    s->rand_ctx.native_handle = ep;
    s->handshake_timeout = opt_ns(ep->opts.handshake_timeout_ns, 10 * NS_PER_S);
    s->max_tx_udp_payload_size = udp_max;
    s->no_tx_udp_payload_size_shaping = 1; /* the size is ours to choose: pmtu.h */
    /* Nor is a size looked for. no_pmtud would say so, but ngtcp2 1.11 looks for one all the same,
     * and aborts, when the peer's packets come from a new address and at once from the old one
     * again, which anybody on the way can bring about. A size that no path has is never tried. */
    s->pmtud_probes = pmtud_none;
    s->pmtud_probeslen = ARRAY_LEN(pmtud_none);
}

static void fill_params(struct quic_endpoint *ep, ngtcp2_transport_params *p)
{
    ngtcp2_transport_params_default(p);
    p->initial_max_data = 256 * 1024;
    p->initial_max_stream_data_bidi_local = 64 * 1024;
    p->initial_max_stream_data_bidi_remote = 64 * 1024;
    p->initial_max_stream_data_uni = 64 * 1024;
    p->initial_max_streams_bidi = ep->opts.server ? 8 : 0;
    p->initial_max_streams_uni = 8;
    p->max_idle_timeout = opt_ns(ep->opts.idle_timeout_ns, 30 * NS_PER_S);
    p->max_datagram_frame_size = 65535;
    p->max_udp_payload_size = 65527;
    p->active_connection_id_limit = 4;
    p->max_ack_delay = 10 * NS_PER_MS;
    /* An edge's changed local address opens a new connection. A hub does not say so: ngtcp2 would
     * then drop what comes from a NAT that has changed its address, not only its port. */
    p->disable_active_migration = !ep->opts.server;
    p->grease_quic_bit = 1;
}

static int new_client_conn(struct quic_lane *lane, const ngtcp2_callbacks *cb,
                           const ngtcp2_settings *settings, const ngtcp2_transport_params *params)
{
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_cid dcid = {.datalen = 16}, scid = {.datalen = LANE_CID_BYTES};
    ngtcp2_path path = make_path(lane);

    ep->opts.random(ep->opts.random_user, dcid.data, dcid.datalen);
    ep->opts.random(ep->opts.random_user, scid.data, scid.datalen);
    if (endpoint_cid_add(ep, lane, scid.data, scid.datalen))
        return -ENOMEM;
    return ngtcp2_conn_client_new(&lane->conn, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, cb,
                                  settings, params, NULL, lane)
               ? -ENOMEM
               : 0;
}

static int new_server_conn(struct quic_lane *lane, const ngtcp2_callbacks *cb,
                           ngtcp2_settings *settings, ngtcp2_transport_params *params,
                           const struct lane_birth *birth)
{
    const ngtcp2_pkt_hd *hd = birth->hd;
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_cid scid = {.datalen = LANE_CID_BYTES};
    ngtcp2_path path = make_path(lane);

    ep->opts.random(ep->opts.random_user, scid.data, scid.datalen);
    params->original_dcid = birth->odcid ? *birth->odcid : hd->dcid;
    params->original_dcid_present = 1;
    if (birth->odcid) {
        params->retry_scid = hd->dcid;
        params->retry_scid_present = 1;
        settings->token = hd->token;
        settings->tokenlen = hd->tokenlen;
        settings->token_type = NGTCP2_TOKEN_TYPE_RETRY;
    }
    if (endpoint_reset_token(ep, &lane->local, &scid, params->stateless_reset_token))
        return -EIO;
    params->stateless_reset_token_present = 1;
    if (endpoint_cid_add(ep, lane, scid.data, scid.datalen) ||
        endpoint_cid_add(ep, lane, hd->dcid.data, hd->dcid.datalen))
        return -ENOMEM;
    return ngtcp2_conn_server_new(&lane->conn, &hd->scid, &scid, &path, hd->version, cb, settings,
                                  params, NULL, lane)
               ? -ENOMEM
               : 0;
}

/* A server pings less often than its clients, so that it is theirs which keep a lane up. */
static uint64_t keepalive_ns(struct quic_endpoint *ep)
{
    uint64_t ns = opt_ns(ep->opts.keepalive_ns, ep->opts.server ? 10 * NS_PER_S : 5 * NS_PER_S);
    uint64_t random;

    if (ep->opts.server)
        return ns;
    ep->opts.random(ep->opts.random_user, &random, sizeof(random));
    return ns - ns / 5 + random % (2 * (ns / 5) + 1);
}

static int make_conn(struct quic_lane *lane, const struct lane_birth *birth)
{
    struct quic_endpoint *ep = lane->ep;
    ngtcp2_callbacks cb = lane_callbacks;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    size_t udp_max = ep->opts.udp_payload_max;
    int rv;

    if (lane->remote.sa.sa_family == AF_INET6)
        udp_max -= 20;
    ep->opts.tls->callbacks(&cb);
    fill_settings(ep, &settings, udp_max);
    fill_params(ep, &params);
    pmtu_init(&lane->pmtu, QUIC_UDP_PAYLOAD_BASE, udp_max);
    rv = birth ? new_server_conn(lane, &cb, &settings, &params, birth)
               : new_client_conn(lane, &cb, &settings, &params);
    if (rv)
        return rv;
    lane->ref = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = lane};
    lane->protect = (struct protect){.backend = ep->opts.aead, .drops = ep->opts.drops};
    lane->tls = ep->opts.tls->session_new(ep->opts.tls_ctx, ep->opts.server, ep->server_name,
                                          &lane->ref, &lane->protect);
    if (!lane->tls)
        return -EIO;
    ngtcp2_conn_set_tls_native_handle(lane->conn, ep->opts.tls->native(lane->tls));
    lane->keepalive_ns = keepalive_ns(ep);
    ngtcp2_conn_set_keep_alive_timeout(lane->conn, lane->keepalive_ns);
    return 0;
}

static void handshake_begins(struct quic_lane *lane, const struct lane_birth *birth)
{
    struct quic_endpoint *ep = lane->ep;

    lane->source = birth->source;
    lane->proven = birth->odcid;
    lane->open_since_ns = ep->now_ns;
    lane->open_older = ep->open_newest;
    *(lane->open_older ? &lane->open_older->open_newer : &ep->open_oldest) = lane;
    ep->open_newest = lane;
    ep->n_handshakes++;
    ep->n_unproven += !lane->proven;
    *(lane->proven ? &lane->source->proven : &lane->source->unproven) += 1;
}

void lane_handshake_over(struct quic_lane *lane)
{
    struct quic_endpoint *ep = lane->ep;

    if (!lane->source)
        return;
    ep->n_handshakes--;
    ep->n_unproven -= !lane->proven;
    *(lane->proven ? &lane->source->proven : &lane->source->unproven) -= 1;
    *(lane->open_newer ? &lane->open_newer->open_older : &ep->open_newest) = lane->open_older;
    *(lane->open_older ? &lane->open_older->open_newer : &ep->open_oldest) = lane->open_newer;
    lane->source = NULL;
}

struct quic_lane *lane_new(struct quic_endpoint *ep, struct quic_path *path, unsigned socket,
                           const struct net_addr *local, const struct net_addr *remote,
                           const struct lane_birth *birth)
{
    struct quic_lane *lane = calloc(1, sizeof(*lane));

    if (!lane)
        return NULL;
    lane->ep = ep;
    lane->socket = socket;
    lane->local = *local;
    lane->remote = *remote;
    lane->next = ep->lanes;
    if (ep->lanes)
        ep->lanes->prev = lane;
    ep->lanes = lane;
    ep->n_lanes++;
    if (birth)
        handshake_begins(lane, birth);
    if (make_conn(lane, birth) || (path && path_add_lane(path, lane))) {
        lane_free(lane);
        return NULL;
    }
    lane->write_due = true;
    endpoint_ready(ep, lane);
    lane_set_timer(lane);
    return lane;
}

static void free_protocol(struct quic_lane *lane)
{
    if (lane->conn)
        ngtcp2_conn_del(lane->conn);
    if (lane->tls)
        lane->ep->opts.tls->session_free(lane->tls);
    lane->conn = NULL;
    lane->tls = NULL;
}

bool lane_tidy(struct quic_lane *lane)
{
    if (lane->state == LANE_DEAD) {
        lane_free(lane);
        return false;
    }
    if (lane->state >= LANE_CLOSING)
        free_protocol(lane);
    return true;
}

void lane_free(struct quic_lane *lane)
{
    struct quic_endpoint *ep = lane->ep;

    lane_handshake_over(lane);
    ep->n_lingering -= lane->lingering;
    if (ep->carry_lane == lane)
        ep->carry_lane = NULL;
    endpoint_unready(ep, lane);
    heap_remove(&ep->timers, &lane->timer);
    while (lane->cids)
        endpoint_cid_remove(ep, lane, lane->cids->data, lane->cids->len);
    lane_return_stash(lane, DROP_NO_SESSION);
    free_protocol(lane);
    if (lane->path)
        path_remove_lane(lane->path, lane);
    if (lane->prev)
        lane->prev->next = lane->next;
    else
        ep->lanes = lane->next;
    if (lane->next)
        lane->next->prev = lane->prev;
    ep->n_lanes--;
    free(lane);
}

/* --- events ---------------------------------------------------------------------------- */

void lane_set_timer(struct quic_lane *lane)
{
    uint64_t at = lane->linger_until_ns;

    if (lane->state == LANE_HANDSHAKE || lane->state == LANE_UP) {
        uint64_t pmtu_at = lane->state == LANE_UP ? pmtu_deadline_ns(&lane->pmtu) : TIME_NEVER_NS;

        at = ngtcp2_conn_get_expiry(lane->conn);
        at = MIN(at, pmtu_at);
    }
    if (at == TIME_NEVER_NS)
        heap_remove(&lane->ep->timers, &lane->timer);
    else if (heap_set(&lane->ep->timers, &lane->timer, at))
        lane->state = LANE_DEAD; /* without its timer it would stay for ever */
}

void lane_mtu_check(struct quic_lane *lane)
{
    size_t now = quic_lane_dgram_max(lane);
    const struct quic_path_ops *ops = lane_listener(lane);

    lane->stats.udp_payload = lane->pmtu.size;
    if (lane->state != LANE_UP ||
        (now == lane->dgram_max_told && lane->pmtu.settled == lane->mtu_known_told))
        return;
    lane->dgram_max_told = now;
    lane->mtu_known_told = lane->pmtu.settled;
    if (ops && ops->mtu_changed)
        ops->mtu_changed(lane, now);
}

/* After NAT rebinding the peer has another address (RFC 9000, 9.3). */
static void follow_remote(struct quic_lane *lane)
{
    const ngtcp2_path *path = ngtcp2_conn_get_path(lane->conn);

    memcpy(&lane->remote.ss, path->remote.addr, path->remote.addrlen);
    lane->remote.len = path->remote.addrlen;
}

/* On a server the handshake is confirmed when it is complete (RFC 9001, 4.1.2). */
static void settle(struct quic_lane *lane)
{
    const struct quic_tls_ops *tls = lane->ep->opts.tls;

    if (!lane->ep->opts.server || lane->state != LANE_UP || lane->settled)
        return;
    lane->settled = true;
    tls->settle(lane->tls);
    ngtcp2_conn_set_tls_native_handle(lane->conn, tls->native(lane->tls));
}

bool lane_rx(struct quic_lane *lane, const struct quic_rx *rx)
{
    ngtcp2_path path = {
        .local = {.addr = (ngtcp2_sockaddr *)&rx->local.sa, .addrlen = rx->local.len},
        .remote = {.addr = (ngtcp2_sockaddr *)&rx->remote.sa, .addrlen = rx->remote.len},
    };
    ngtcp2_pkt_info pi = {.ecn = rx->ecn};
    int rv;

    lane->stats.heard_ns = lane->ep->now_ns;
    lane->stats.udp_rx++;
    lane->stats.udp_rx_bytes += rx->len;
    if (lane->state == LANE_CLOSING)
        lane_answer_straggler(lane);
    if (lane->state >= LANE_CLOSING)
        return false;
    rv = ngtcp2_conn_read_pkt(lane->conn, &path, &pi, rx->data, rx->len, lane->ep->now_ns);
    if (rv)
        lane_fail_liberr(lane, rv);
    else
        lane_close_if_wanted(lane);
    return lane->state < LANE_CLOSING;
}

void lane_rx_end(struct quic_lane *lane)
{
    settle(lane);
    follow_remote(lane);
    lane_mtu_check(lane);
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
    lane_set_timer(lane);
    lane_tidy(lane);
}

void lane_timeout(struct quic_lane *lane)
{
    uint64_t now_ns = lane->ep->now_ns;
    int rv = 0;

    if (lane->state >= LANE_CLOSING) {
        lane->state = LANE_DEAD;
        return;
    }
    if (pmtu_on_timer(&lane->pmtu, now_ns))
        lane_mtu_check(lane);
    if (ngtcp2_conn_get_expiry(lane->conn) <= now_ns)
        rv = ngtcp2_conn_handle_expiry(lane->conn, now_ns);
    if (rv)
        lane_fail_liberr(lane, rv);
    else
        lane_close_if_wanted(lane);
    if (lane->state >= LANE_CLOSING)
        return;
    if (lane->path)
        path_on_timeout(lane->path, lane);
    lane->write_due = true;
    endpoint_ready(lane->ep, lane);
    lane_set_timer(lane);
}
