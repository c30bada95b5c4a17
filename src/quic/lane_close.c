/* The end of a connection: why, in what words to the peer, and how long it lingers. */
#include "quic/lane.h"

#include <stdio.h>

static void tell_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    const struct quic_path_ops *ops = lane_listener(lane);

    if (lane->down_told)
        return;
    lane->down_told = true;
    if (!lane->path && lane->ep->opts.server)
        lane->ep->stats.failed++;
    if (ops)
        ops->lane_down(lane, why);
    else if (!lane->path && lane->ep->opts.refused)
        lane->ep->opts.refused(lane->ep->opts.accept_user, lane, why);
}

/* The TLS alert that says what we found wrong (RFC 8446, 6.2). */
static uint8_t alert_of(enum quic_fail f, uint8_t otherwise)
{
    switch (f) {
    case QUIC_FAIL_CERT_UNTRUSTED:
        return 48; /* unknown_ca */
    case QUIC_FAIL_CERT_EXPIRED:
        return 45; /* certificate_expired */
    case QUIC_FAIL_CERT_REVOKED:
        return 44; /* certificate_revoked */
    case QUIC_FAIL_CERT_MISSING:
        return 116; /* certificate_required */
    case QUIC_FAIL_CERT_NAME:
    case QUIC_FAIL_CERT_INVALID:
        return 42; /* bad_certificate */
    case QUIC_FAIL_CLIENT_UNKNOWN:
        return 49; /* access_denied */
    default:
        return otherwise;
    }
}

static void copy_reason(char *dst, size_t size, const uint8_t *src, size_t len)
{
    size_t n = MIN(len, size - 1);

    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] >= 0x20 && src[i] < 0x7f ? (char)src[i] : '?';
    dst[n] = 0;
}

/* What the peer's CONNECTION_CLOSE means. */
static struct quic_fail_info peer_close(struct quic_lane *lane)
{
    const ngtcp2_ccerr *e = ngtcp2_conn_get_ccerr(lane->conn);
    struct quic_fail_info why = {.fail = QUIC_FAIL_PEER, .code = e->error_code};

    why.app = e->type == NGTCP2_CCERR_TYPE_APPLICATION;
    copy_reason(why.detail, sizeof(why.detail), e->reason, e->reasonlen);
    if (why.app || e->error_code < NGTCP2_CRYPTO_ERROR || e->error_code > 0x1ff)
        return why;
    why.fail = QUIC_FAIL_TLS;
    if (!*why.detail)
        snprintf(why.detail, sizeof(why.detail), "TLS alert %u (%s)",
                 (unsigned)(e->error_code & 0xff), quic_tls_alert_name(e->error_code & 0xff));
    /* Before the handshake is complete anybody on the way can write this: Initial packets are
     * protected by keys that everybody can compute (RFC 9001, 5). */
    if (!lane->ep->opts.server && !ngtcp2_conn_get_handshake_completed(lane->conn))
        return why;
    switch (e->error_code & 0xff) {
    case 42:  /* bad_certificate */
    case 46:  /* certificate_unknown */
    case 48:  /* unknown_ca */
    case 49:  /* access_denied */
    case 116: /* certificate_required */
        why.fail = QUIC_FAIL_REJECTED;
        break;
    case 45: /* certificate_expired */
        why.fail = QUIC_FAIL_REJECTED_EXPIRED;
        break;
    case 44: /* certificate_revoked */
        why.fail = QUIC_FAIL_REJECTED_REVOKED;
        break;
    case 120: /* no_application_protocol */
        why.fail = QUIC_FAIL_ALPN;
        break;
    default:
        break;
    }
    return why;
}

/* Never more than three bytes for one to an address that may be somebody else's (RFC 9000, 8.1):
 * ngtcp2 sees to that for its packets, but not for this one. */
static bool may_send_close(const struct quic_lane *lane, size_t len)
{
    return !lane->ep->opts.server || lane->proven || lane->settled ||
           lane->stats.udp_tx_bytes + len <= 3 * lane->stats.udp_rx_bytes;
}

/* Write the CONNECTION_CLOSE that the next transmission sends. */
static void prepare_close(struct quic_lane *lane, const ngtcp2_ccerr *err)
{
    ngtcp2_pkt_info pi;
    ngtcp2_ssize n;

    if (lane->ep->opts.server && lane->state == LANE_HANDSHAKE && lane->stats.udp_rx == 0)
        return;
    n = ngtcp2_conn_write_connection_close(lane->conn, NULL, &pi, lane->close_pkt,
                                           sizeof(lane->close_pkt), err, lane->ep->now_ns);
    if (n > 0 && may_send_close(lane, (size_t)n)) {
        lane->close_len = (size_t)n;
        lane->close_due = true;
        endpoint_ready(lane->ep, lane);
    }
}

static void linger(struct quic_lane *lane, enum lane_state state)
{
    struct quic_endpoint *ep = lane->ep;

    lane_handshake_over(lane);
    lane->state = state;
    if (lane->path)
        path_lane_ended(lane->path, lane);
    lane->linger_until_ns = ep->now_ns + 3 * ngtcp2_conn_get_pto(lane->conn);
    if (ep->n_lingering >= LANES_LINGERING_MAX)
        lane->linger_until_ns = ep->now_ns;
    lane->lingering = true;
    ep->n_lingering++;
    lane_return_stash(lane, DROP_NO_SESSION);
    lane_set_timer(lane);
}

/* Packets of a peer that has not heard of the end: the close again, for the first of them, the
 * second, the fourth and so on (RFC 9000, 10.2.1). */
void lane_answer_straggler(struct quic_lane *lane)
{
    unsigned n = ++lane->close_rx;

    if (n & (n - 1) || !may_send_close(lane, lane->close_len))
        return;
    lane->close_due = true;
    endpoint_ready(lane->ep, lane);
}

static void fail_with(struct quic_lane *lane, const struct quic_fail_info *why,
                      const ngtcp2_ccerr *err)
{
    lane->why = *why;
    if (err)
        prepare_close(lane, err);
    linger(lane, lane->close_len ? LANE_CLOSING : LANE_DRAINING);
    tell_down(lane, &lane->why);
}

void lane_fail(struct quic_lane *lane, const struct quic_fail_info *why, bool send_close)
{
    ngtcp2_ccerr err;

    if (lane->state >= LANE_CLOSING)
        return;
    ngtcp2_ccerr_set_application_error(&err, why->code, (const uint8_t *)why->detail,
                                       strlen(why->detail));
    fail_with(lane, why, send_close ? &err : NULL);
}

static void fail_alert(struct quic_lane *lane, struct quic_fail_info *why, uint8_t alert)
{
    ngtcp2_ccerr err;

    why->code = NGTCP2_CRYPTO_ERROR | alert;
    ngtcp2_ccerr_set_tls_alert(&err, alert, NULL, 0);
    fail_with(lane, why, &err);
}

static void fail_crypto(struct quic_lane *lane)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_NONE};
    uint8_t alert = ngtcp2_conn_get_tls_alert(lane->conn);

    why.fail = lane->ep->opts.tls->refusal(lane->tls, why.detail, sizeof(why.detail));
    alert = alert_of(why.fail, alert);
    if (why.fail == QUIC_FAIL_NONE) {
        why.fail = alert == 116   ? QUIC_FAIL_CERT_MISSING
                   : alert == 120 ? QUIC_FAIL_ALPN
                                  : QUIC_FAIL_TLS;
        snprintf(why.detail, sizeof(why.detail), "%s", quic_tls_alert_name(alert));
    }
    fail_alert(lane, &why, alert);
}

void lane_fail_liberr(struct quic_lane *lane, int liberr)
{
    struct quic_fail_info why = {.fail = QUIC_FAIL_PROTOCOL};
    ngtcp2_ccerr err;

    if (lane->close_wanted) {
        lane_close_if_wanted(lane);
        return;
    }
    switch (liberr) {
    case NGTCP2_ERR_DRAINING:
        why = lane->why.fail == QUIC_FAIL_RESET ? lane->why : peer_close(lane);
        fail_with(lane, &why, NULL);
        return;
    case NGTCP2_ERR_CRYPTO:
        fail_crypto(lane);
        return;
    case NGTCP2_ERR_IDLE_CLOSE:
        why.fail = QUIC_FAIL_IDLE;
        break;
    case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
        why.fail = QUIC_FAIL_HANDSHAKE_TIMEOUT;
        break;
    case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
        why.fail = QUIC_FAIL_VERSION;
        break;
    case NGTCP2_ERR_DROP_CONN:
    case NGTCP2_ERR_RETRY: /* a server's first packet was none: nothing has happened */
        drop_count(lane->ep->opts.drops, DROP_NOT_QUIC);
        lane->ep->stats.begun--;
        lane->ep->stats.junk++;
        lane->state = LANE_DEAD;
        return;
    case NGTCP2_ERR_CALLBACK_FAILURE:
    case NGTCP2_ERR_NOMEM:
    case NGTCP2_ERR_INTERNAL:
        why.fail = QUIC_FAIL_INTERNAL;
        /* fall through */
    default:
        ngtcp2_ccerr_set_liberr(&err, liberr, NULL, 0);
        snprintf(why.detail, sizeof(why.detail), "%s", ngtcp2_strerror(liberr));
        fail_with(lane, &why, &err);
        return;
    }
    fail_with(lane, &why, NULL);
}

void lane_close_if_wanted(struct quic_lane *lane)
{
    struct quic_fail_info why = lane->why;

    if (!lane->close_wanted || lane->state >= LANE_CLOSING)
        return;
    lane->close_wanted = false;
    if (why.app)
        lane_fail(lane, &why, true);
    else
        fail_alert(lane, &why, (uint8_t)why.code);
}

void quic_lane_close(struct quic_lane *lane, uint64_t app_error, const char *reason)
{
    if (lane->close_wanted || lane->state >= LANE_CLOSING)
        return;
    lane->close_wanted = true;
    lane->why = (struct quic_fail_info){.fail = QUIC_FAIL_LOCAL, .app = true, .code = app_error};
    snprintf(lane->why.detail, sizeof(lane->why.detail), "%s", reason);
    endpoint_ready(lane->ep, lane);
}

void quic_lane_reject(struct quic_lane *lane, enum quic_fail why)
{
    if (lane->close_wanted || lane->state >= LANE_CLOSING)
        return;
    lane->close_wanted = true;
    lane->why = (struct quic_fail_info){.fail = why, .code = alert_of(why, 49)};
    endpoint_ready(lane->ep, lane);
}
