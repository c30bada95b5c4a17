/* Whether a server begins a connection for a first packet (an Initial that no lane claims).
 *
 * A connection costs memory and signatures before anything is known about who asks, and the address
 * that he asks from may not be his. So there are two ways in:
 *
 *      without a token   a few at a time and a few a second, of each source and of all; enough for
 *                        quiet times, when nobody should pay a round trip for this;
 *      with a token      from a Retry (RFC 9000, 8.1.2), which proves the address. Limits here are
 *                        for each source first, because nobody can spend those of another one, and
 *                        then for all, so that many hosts who act together leave the established
 *                        connections half a processor.
 *
 *      Initial --- token? -- no --> below the limits? -- no --> Retry (answer.c), no state
 *                    | yes             | yes
 *                    ok? - no -> closed|
 *                    | yes             |
 *        source, all below limits?     |
 *               | no        `----------+--> lane
 *               `-> dropped; the client sends again
 *
 * What has been accepted once is found by its connection ID and never comes here: no limit touches
 * an established connection.
 *
 * Numbers. One source may be a carrier's NAT with 1,000 edges that lost their hub at the same time:
 * 400 handshakes at once and 200 a second bring them up in 3 to 4 seconds. A
 * handshake that ends with a refused certificate costs a server some 0.5 ms (doc/decisions/0005),
 * so a single source cannot use up more than a tenth of a processor, and all together not more than
 * half of one; 1,000 edges of a hub that comes back take a second of that rate.
 */
#include "quic/lane.h"

enum { TOKEN_NONE, TOKEN_GOOD, TOKEN_BAD };

#define TOKEN_LIFETIME_NS (10 * NS_PER_S)
#define STALLED_NS (2 * NS_PER_S)

static const struct bucket_rate first_rate = {.step_ns = NS_PER_S / 200, .burst = 400},
                                first_source_rate = {.step_ns = NS_PER_S / 20, .burst = 40},
                                handshake_source_rate = {.step_ns = NS_PER_S / 200, .burst = 400};

enum { SOURCE_UNPROVEN_MAX = 8 }; /* handshakes without a token that one source may have open */

/* Tokens that are not ours (another server's, for another purpose) are none (RFC 9000, 8.1.3). */
static int check_token(struct quic_endpoint *ep, const struct quic_rx *rx, const ngtcp2_pkt_hd *hd,
                       ngtcp2_cid *ret_odcid)
{
    if (!hd->tokenlen || hd->token[0] != NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2)
        return TOKEN_NONE;
    if (hd->dcid.datalen != LANE_CID_BYTES ||
        ngtcp2_crypto_verify_retry_token2(ret_odcid, hd->token, hd->tokenlen, ep->token_secret,
                                          sizeof(ep->token_secret), hd->version, &rx->remote.sa,
                                          rx->remote.len, &hd->dcid, TOKEN_LIFETIME_NS, ep->now_ns))
        return TOKEN_BAD;
    return TOKEN_GOOD;
}

/* Whether a connection may begin without proof of its address. */
static bool trusts(struct quic_endpoint *ep, struct source *s)
{
    return !ep->opts.retry_always && ep->n_unproven < ep->opts.retry_handshakes &&
           s->unproven < SOURCE_UNPROVEN_MAX &&
           bucket_take(&s->first, &first_source_rate, ep->now_ns) &&
           bucket_take(&ep->first, &first_rate, ep->now_ns);
}

/* Whether one more may begin from an address that has been proved. */
static bool has_budget(struct quic_endpoint *ep, struct source *s)
{
    const struct bucket_rate rate = {.step_ns = NS_PER_S / ep->opts.handshake_rate,
                                     .burst = ep->opts.handshake_rate};

    return s->proven < ep->opts.source_handshakes &&
           bucket_take(&s->handshake, &handshake_source_rate, ep->now_ns) &&
           bucket_take(&ep->proven, &rate, ep->now_ns);
}

/* The oldest handshake makes room, unless it may still be on its way. Without a word: who has not
 * said anything for that long does not listen. */
static bool make_room(struct quic_endpoint *ep)
{
    struct quic_lane *oldest = ep->open_oldest;

    if (!oldest || oldest->open_since_ns + STALLED_NS > ep->now_ns)
        return false;
    ep->stats.failed++;
    lane_free(oldest);
    return true;
}

static bool is_full(struct quic_endpoint *ep)
{
    return ep->n_lanes - ep->n_lingering >= ep->opts.max_lanes ||
           (ep->n_handshakes >= ep->opts.max_handshakes && !make_room(ep));
}

static void refuse(struct quic_endpoint *ep, enum drop_reason why)
{
    drop_count(ep->opts.drops, why);
    ep->stats.refused++;
}

struct quic_lane *endpoint_accept(struct quic_endpoint *ep, const struct quic_rx *rx)
{
    struct lane_birth birth = {.source = source_get(ep->sources, &rx->remote)};
    struct quic_lane *lane;
    ngtcp2_cid odcid;
    ngtcp2_pkt_hd hd;
    int token;

    if (ngtcp2_accept(&hd, rx->data, rx->len)) {
        drop_count(ep->opts.drops, DROP_NOT_QUIC);
        return NULL;
    }
    if (!birth.source || is_full(ep)) {
        refuse(ep, DROP_QUIC_LIMIT);
        return NULL;
    }
    token = check_token(ep, rx, &hd, &odcid);
    if (token == TOKEN_BAD) {
        refuse(ep, DROP_BAD_TOKEN);
        answer_bad_token(ep, rx, &hd, birth.source);
        return NULL;
    }
    if (token == TOKEN_NONE && !trusts(ep, birth.source)) {
        bool sent = answer_retry(ep, rx, &hd, birth.source);

        drop_count(ep->opts.drops, sent ? DROP_RETRY : DROP_SOURCE_LIMIT);
        ep->stats.refused += !sent;
        return NULL;
    }
    if (token == TOKEN_GOOD && !has_budget(ep, birth.source)) {
        refuse(ep, DROP_SOURCE_LIMIT);
        return NULL;
    }
    birth.hd = &hd;
    birth.odcid = token == TOKEN_GOOD ? &odcid : NULL;
    lane = lane_new(ep, NULL, rx->socket, &rx->local, &rx->remote, &birth);
    if (lane)
        ep->stats.begun++;
    else
        refuse(ep, DROP_NO_BUFFER);
    return lane;
}

void quic_endpoint_stats(const struct quic_endpoint *ep, struct quic_endpoint_stats *ret)
{
    *ret = ep->stats;
    ret->lanes = ep->n_lanes - ep->n_lingering;
    ret->handshakes = ep->n_handshakes;
    ret->unproven = ep->n_unproven;
    ret->sources = ep->sources ? source_table_used(ep->sources) : 0;
}
