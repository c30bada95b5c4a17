/* Input: first packets for a server that asks for Retry tokens: header fields, tokens that are
 * nearly right, addresses, and time. A token counts as good only as it was given: unchanged, for
 * its address and connection ID, in time. Every datagram that begins no connection is counted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "quic/quic.h"
#include "sim/tls_dummy.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum {
    PACKET_BYTES = 1200,
    TOKEN_MAX = 256,
    RETRY_TAG_BYTES = 16,
    STEPS_MAX = 16,
    RUNS_OF_A_WORLD = 4096
};

struct world {
    struct rng rng;
    struct tls_dummy tls;
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct quic_endpoint *ep;
    struct net_addr local, remote;
    uint64_t now_ns, token_ns;
    uint8_t cid[8]; /* of the Retry */
    uint8_t token[TOKEN_MAX];
    size_t token_len;
    struct quic_tx tx;
};

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    return -1;
}

static void on_random(void *user, void *dst, size_t len)
{
    rng_bytes(user, dst, len);
}

static uint64_t total(const struct drop_counters *c)
{
    uint64_t n = 0;

    for (int i = 0; i < DROP_COUNT; i++)
        n += c->n[i];
    return n;
}

static struct quic_endpoint_stats stats(const struct world *w)
{
    struct quic_endpoint_stats s;

    quic_endpoint_stats(w->ep, &s);
    return s;
}

/* --- packets --------------------------------------------------------------------------- */

/* An Initial with these IDs and this token; what is behind them is nothing. Returns its length. */
static size_t make_initial(uint8_t *p, const uint8_t *dcid, size_t dcid_len, const uint8_t *token,
                           size_t token_len)
{
    static const uint8_t head[] = {0xc3, 0, 0, 0, 1};
    size_t at = sizeof(head);

    memset(p, 0, PACKET_BYTES);
    memcpy(p, head, sizeof(head));
    p[at++] = (uint8_t)dcid_len;
    memcpy(p + at, dcid, dcid_len);
    at += dcid_len;
    p[at++] = 8;
    at += 8;
    store_be16(p + at, (uint16_t)(0x4000 | token_len));
    at += 2;
    memcpy(p + at, token, token_len);
    at += token_len;
    store_be16(p + at, (uint16_t)(0x4000 | (PACKET_BYTES - at - 2)));
    return PACKET_BYTES;
}

/* A copy of exactly that size, so that a sanitizer sees a read behind it. Returns how many
 * connections it was tried for: 0 or 1. */
static unsigned receive(struct world *w, const struct net_addr *remote, const uint8_t *data,
                        size_t len)
{
    uint64_t dropped = total(&w->drops), taken = stats(w).junk + stats(w).begun;
    uint8_t *copy = malloc(len ? len : 1);
    struct quic_rx rx = {.local = w->local, .remote = *remote, .data = copy, .len = len};

    CHECK(copy);
    memcpy(copy, data, len);
    quic_endpoint_rx(w->ep, w->now_ns, &rx);
    free(copy);
    CHECK(total(&w->drops) - dropped <= 1);
    return (unsigned)(stats(w).junk + stats(w).begun - taken);
}

/* Let the server send, and keep the last Retry to our address. */
static void take_answers(struct world *w)
{
    while (quic_endpoint_tx(w->ep, w->now_ns, &w->tx)) {
        const uint8_t *p = w->tx.buf;
        size_t at;

        CHECK(w->tx.len <= 3 * PACKET_BYTES);
        if (p[0] >> 4 != 0xf || !load_be32(p + 1) || !net_addr_equal(&w->tx.remote, &w->remote))
            continue;
        at = 5 + 1 + (size_t)p[5]; /* our ID, which the input may have changed */
        CHECK(w->tx.len >= at + 9 + RETRY_TAG_BYTES + 1 && p[at] == 8);
        memcpy(w->cid, p + at + 1, 8);
        at += 9;
        w->token_len = w->tx.len - at - RETRY_TAG_BYTES;
        CHECK(w->token_len <= TOKEN_MAX);
        memcpy(w->token, p + at, w->token_len);
        w->token_ns = w->now_ns;
    }
}

/* --- life ------------------------------------------------------------------------------ */

static void open_world(struct world *w)
{
    struct quic_endpoint_opts o = {.server = true,
                                   .tls = &quic_tls_dummy,
                                   .tls_ctx = &w->tls,
                                   .drops = &w->drops,
                                   .random = on_random,
                                   .random_user = &w->rng,
                                   .retry_always = true,
                                   .accept = on_accept};
    struct ip_addr a = {.family = 4, .b = {192, 0, 2, 1}}, b = {.family = 4, .b = {192, 0, 2, 2}};

    *w = (struct world){.now_ns = NS_PER_S};
    rng_seed(&w->rng, 1);
    w->tls = (struct tls_dummy){.rng = &w->rng, .name = "hub.example"};
    w->pool = o.pool = pkt_pool_new(4, 0);
    w->local = net_addr_make(&a, 443);
    w->remote = net_addr_make(&b, 1000);
    CHECK(w->pool && !quic_endpoint_new(&o, &w->ep));
}

static void close_world(struct world *w)
{
    quic_endpoint_free(w->ep);
    pkt_pool_free(w->pool);
}

/* Begin a run. The world outlives it, because its tables are large; what a run left there is past
 * by the next: no connection stays, and every limit is full and every token too old after less time
 * than this. */
static void start(struct world *w)
{
    uint8_t p[PACKET_BYTES], cid[8] = {0};

    w->now_ns += 100 * NS_PER_S;
    w->token_len = 0;
    rng_seed(&w->rng, 2);
    quic_endpoint_timeout(w->ep, w->now_ns);
    CHECK(!quic_endpoint_lanes(w->ep) && !pkt_pool_in_use(w->pool));
    receive(w, &w->remote, p, make_initial(p, cid, sizeof(cid), cid, 0));
    take_answers(w);
    CHECK(w->token_len);
}

static void knock(struct world *w, uint8_t how, const uint8_t *data, size_t len)
{
    uint8_t p[PACKET_BYTES + 256], token[TOKEN_MAX + 256];
    struct net_addr remote = w->remote;
    uint8_t cid[20] = {0};
    size_t token_len = w->token_len, n, cid_len = 8;
    unsigned taken;
    bool same;

    memcpy(cid, w->cid, 8);
    memcpy(token, w->token, token_len);
    switch (how % 8) {
    case 1: /* the token damaged */
        for (size_t i = 1; i < len; i++)
            token[(data[0] + i - 1) % token_len] ^= data[i];
        break;
    case 2: /* cut, or longer */
        token_len = len ? data[0] : 0;
        break;
    case 3: /* another address */
        remote.in.sin_port ^= len ? data[0] : 1;
        break;
    case 4: /* another ID */
        cid_len = len ? MIN((size_t)data[0] % 21, sizeof(cid)) : 9;
        cid[0] ^= len > 1 ? data[1] : 0;
        break;
    case 5: /* bytes of the input, behind the mark of a token of ours or not */
        memcpy(token, data, len);
        token_len = len;
        break;
    default:
        break;
    }
    same = token_len == w->token_len && !memcmp(token, w->token, token_len) &&
           net_addr_equal(&remote, &w->remote) && cid_len == 8 && !memcmp(cid, w->cid, 8);
    n = make_initial(p, cid, cid_len, token, token_len);
    if (how % 8 == 6) /* anything at all */
        for (size_t i = 1; i < len; i++)
            p[(data[0] * 4u + i - 1) % n] ^= data[i];
    if (how % 8 == 7)
        n = len ? data[0] * 5u % (n + 1) : 0;
    taken = receive(w, &remote, p, n);
    if (how % 8 < 6 && taken)
        CHECK(same && w->now_ns <= w->token_ns + 10 * NS_PER_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    static unsigned runs;

    if (runs++ % RUNS_OF_A_WORLD == 0) {
        close_world(&w);
        open_world(&w);
    }
    start(&w);
    for (unsigned i = 0; i < STEPS_MAX && size >= 2; i++) {
        size_t len = data[0] & 0x80 ? 0 : MIN((size_t)data[1], size - 2);

        if (data[0] & 0x80)
            w.now_ns += data[1] * NS_PER_S / 16;
        else
            knock(&w, data[0], data + 2, len);
        quic_endpoint_timeout(w.ep, w.now_ns);
        take_answers(&w);
        data += 2 + len;
        size -= 2 + len;
    }
    return 0;
}
