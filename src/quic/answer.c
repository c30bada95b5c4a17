/* What a server says without a connection behind it: version negotiation, stateless reset, Retry,
 * and "your token is no good". All of it can be provoked by anybody under anybody's address, so
 *
 * - an answer is never longer than what it answers: a Retry is 200 bytes for 1200, a reset shorter
 *   than the packet for it (RFC 9000, 10.3.3), a version negotiation is for 1200 bytes or more;
 * - each kind has a budget for all together and one for each source (source.h).
 *
 * The budgets are made so that 1,000 peers behind one NAT, which is one source, still get what
 * they need within seconds when the hub has restarted: all of them are told to begin anew by 1000
 * resets at once and 500 a second (those not answered at once send again), and pass Retry by 1,000
 * at once and 500 a second. Somebody who floods gets no more than 20 Mbit/s out of all this, in
 * exchange for more than what he sends.
 */
#include "quic/lane.h"

#include <errno.h>

enum {
    RESET_MIN_BYTES = 21, /* RFC 9000, 10.3: less is no QUIC packet */
    RESET_MAX_BYTES = 42, /* and looks like one */
    VERSION_NEGOTIATIONS = 100,
    ERROR_INVALID_TOKEN = 0xb /* RFC 9000, 20.1 */
};

static const struct bucket_rate retry_rate = {.step_ns = NS_PER_S / 4000, .burst = 4000},
                                retry_source_rate = {.step_ns = NS_PER_S / 500, .burst = 1000},
                                reset_rate = {.step_ns = NS_PER_S / 1000, .burst = 1000},
                                version_rate = {.step_ns = NS_PER_S / 100, .burst = 100},
                                answer_source_rate = {.step_ns = NS_PER_S / 500, .burst = 1000};

struct answer {
    struct net_addr local, remote;
    unsigned socket;
    size_t len;
    uint8_t data[ANSWER_BYTES_MAX];
};

struct answers {
    struct bucket retries, resets, versions;
    unsigned first, n;
    struct answer v[ANSWERS_MAX];
};

struct answers *answers_new(void)
{
    return calloc(1, sizeof(struct answers));
}

void answers_free(struct answers *a)
{
    free(a);
}

bool answers_waiting(const struct answers *a)
{
    return a && a->n;
}

void answers_tx(struct answers *a, struct quic_tx *tx)
{
    const struct answer *one = &a->v[a->first];

    tx->local = one->local;
    tx->remote = one->remote;
    tx->socket = one->socket;
    tx->ecn = 0;
    tx->len = tx->seg_size = one->len;
    memcpy(tx->buf, one->data, one->len);
    a->first = (a->first + 1) % ANSWERS_MAX;
    a->n--;
}

/* --- whether there may be one ---------------------------------------------------------- */

/* A place for an answer to rx, which goes out once its length is set by put(); NULL when there is
 * no more room or budget. The source's budget is asked first: what one source is refused is not
 * taken from the others. */
static struct answer *begin(struct quic_endpoint *ep, const struct quic_rx *rx, struct bucket *own,
                            const struct bucket_rate *own_rate, struct bucket *all,
                            const struct bucket_rate *all_rate)
{
    struct answers *a = ep->answers;
    struct answer *one = &a->v[(a->first + a->n) % ANSWERS_MAX];

    if (a->n == ANSWERS_MAX || !bucket_take(own, own_rate, ep->now_ns) ||
        !bucket_take(all, all_rate, ep->now_ns)) {
        ep->stats.unanswered++;
        return NULL;
    }
    one->local = rx->local;
    one->remote = rx->remote;
    one->socket = rx->socket;
    return one;
}

static bool put(struct quic_endpoint *ep, struct answer *one, ngtcp2_ssize len)
{
    if (len <= 0)
        return false;
    one->len = (size_t)len;
    ep->answers->n++;
    return true;
}

/* --- the answers ----------------------------------------------------------------------- */

void answer_version(struct quic_endpoint *ep, const struct quic_rx *rx,
                    const ngtcp2_version_cid *vc)
{
    static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    struct source *s = source_get(ep->sources, &rx->remote);
    struct answer *one;
    uint8_t random;

    if (!s || rx->len < QUIC_UDP_PAYLOAD_BASE || vc->dcidlen > NGTCP2_MAX_CIDLEN ||
        vc->scidlen > NGTCP2_MAX_CIDLEN)
        return;
    one = begin(ep, rx, &s->answer, &answer_source_rate, &ep->answers->versions, &version_rate);
    if (!one)
        return;
    ep->opts.random(ep->opts.random_user, &random, 1);
    ep->stats.version_negotiations +=
        put(ep, one,
            ngtcp2_pkt_write_version_negotiation(one->data, sizeof(one->data), random, vc->scid,
                                                 vc->scidlen, vc->dcid, vc->dcidlen, versions,
                                                 ARRAY_LEN(versions)));
}

int endpoint_reset_token(const struct quic_endpoint *ep, const struct net_addr *local,
                         const ngtcp2_cid *cid, uint8_t *ret)
{
    struct siphash_key key;
    ngtcp2_cid bound = *cid;
    uint8_t where[19] = {0};
    struct ip_addr a = net_addr_ip(local);
    uint64_t tag;

    if (cid->datalen + sizeof(tag) > NGTCP2_MAX_CIDLEN)
        return -EINVAL;
    where[0] = a.family;
    memcpy(where + 1, a.b, sizeof(a.b));
    store_be16(where + 17, net_addr_port(local));
    memcpy(&key, ep->opts.reset_secret, sizeof(key));
    tag = siphash24(&key, where, sizeof(where));
    memcpy(bound.data + bound.datalen, &tag, sizeof(tag));
    bound.datalen += sizeof(tag);
    return ngtcp2_crypto_generate_stateless_reset_token(ret, ep->opts.reset_secret,
                                                        sizeof(ep->opts.reset_secret), &bound)
               ? -EIO
               : 0;
}

void answer_reset(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_version_cid *vc)
{
    uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], random[RESET_MAX_BYTES];
    size_t len = MIN(rx->len - 1, (size_t)RESET_MAX_BYTES);
    struct source *s = source_get(ep->sources, &rx->remote);
    struct answer *one;
    ngtcp2_cid cid;

    if (!s || len < RESET_MIN_BYTES)
        return;
    one = begin(ep, rx, &s->answer, &answer_source_rate, &ep->answers->resets, &reset_rate);
    if (!one)
        return;
    len -= NGTCP2_STATELESS_RESET_TOKENLEN;
    ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
    if (endpoint_reset_token(ep, &rx->local, &cid, token))
        return;
    ep->opts.random(ep->opts.random_user, random, len);
    ep->stats.resets +=
        put(ep, one,
            ngtcp2_pkt_write_stateless_reset(one->data, sizeof(one->data), token, random, len));
}

bool answer_retry(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_pkt_hd *hd,
                  struct source *s)
{
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
    ngtcp2_cid scid = {.datalen = LANE_CID_BYTES};
    struct answer *one =
        begin(ep, rx, &s->retry, &retry_source_rate, &ep->answers->retries, &retry_rate);
    ngtcp2_ssize len;
    bool sent;

    if (!one)
        return false;
    ep->opts.random(ep->opts.random_user, scid.data, scid.datalen);
    len = ngtcp2_crypto_generate_retry_token2(token, ep->token_secret, sizeof(ep->token_secret),
                                              hd->version, &rx->remote.sa, rx->remote.len, &scid,
                                              &hd->dcid, ep->now_ns);
    if (len < 0)
        return false;
    sent = put(ep, one,
               ep->opts.tls->write_retry(one->data, sizeof(one->data), hd->version, &hd->scid,
                                         &scid, &hd->dcid, token, (size_t)len));
    ep->stats.retried += sent;
    return sent;
}

void answer_bad_token(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_pkt_hd *hd,
                      struct source *s)
{
    struct answer *one;

    if (!ep->opts.tls->write_close)
        return;
    one = begin(ep, rx, &s->retry, &retry_source_rate, &ep->answers->retries, &retry_rate);
    if (one)
        put(ep, one,
            ep->opts.tls->write_close(one->data, sizeof(one->data), hd->version, &hd->scid,
                                      &hd->dcid, ERROR_INVALID_TOKEN, NULL, 0));
}
