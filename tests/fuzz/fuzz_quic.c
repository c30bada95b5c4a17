/* Input: what happens to the datagrams between an edge and a hub (src/peer, with the dummy TLS of
 * the simulator): delivered, damaged, cut, doubled, lost, passed on from another address, or
 * followed by bytes of the input's own from anywhere; and time. Tags and header protection are
 * switched off, so that damage reaches frames, transport parameters and HTTP/3 instead of ending at
 * a checksum.
 *
 * Nothing may crash or leak, the number of connections stays within its limits, every datagram
 * that no connection takes is counted, and all packets come home. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer/edge.h"
#include "peer/hub.h"
#include "sim/tls_dummy.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum {
    HANDSHAKES_MAX = 8,
    LANES_MAX = 12,
    WIRE_MAX = 64, /* datagrams under way in one direction */
    PACKETS = 64
};

/* Datagrams under way in one direction, oldest first; when there are too many the newest is lost.
 */
struct wire {
    unsigned n;
    struct {
        size_t len;
        uint8_t data[2048];
    } dgram[WIRE_MAX];
};

struct world {
    struct rng rng;
    struct tls_dummy tls_edge, tls_hub;
    struct pkt_pool *pool;
    struct drop_counters drops_edge, drops_hub;
    struct edge *edge;
    struct hub *hub;
    struct net_addr edge_addr, hub_addr;
    struct net_addr
        from[2]; /* where the datagrams of hub and edge seem to come from, to the other */
    uint64_t now_ns;
    struct wire up, down;
    struct quic_tx tx;
};

/* --- TLS without tags ------------------------------------------------------------------ */

enum { TAG_BYTES = 16 };

static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    if (len < TAG_BYTES)
        return NGTCP2_ERR_DECRYPT;
    memmove(dest, text, len - TAG_BYTES);
    return 0;
}

static int on_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                      const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
    memset(dest, 0, NGTCP2_HP_MASKLEN);
    return 0;
}

static void fill_callbacks(ngtcp2_callbacks *cb)
{
    quic_tls_dummy.callbacks(cb);
    cb->decrypt = on_decrypt;
    cb->hp_mask = on_hp_mask;
}

static void on_random(void *user, void *dst, size_t len)
{
    rng_bytes(user, dst, len);
}

/* --- what edge and hub report ---------------------------------------------------------- */

static void on_deliver(void *user, struct pkt *pkt)
{
    pkt_free(((struct world *)user)->pool, pkt);
}

static void on_state(void *user, enum edge_state state, const char *why)
{
    CHECK(state < EDGE_STATE_COUNT && strlen(why) < 256);
}

static void on_addrs(void *user, const struct capsule_addrs *addrs)
{
    CHECK(addrs->n <= CAPSULE_ADDRS_MAX);
}

static void on_peer_addrs(void *user, const struct hub_peer_id *id,
                          const struct capsule_addrs *addrs)
{
    CHECK(addrs->n <= HUB_ADDRS_MAX);
}

static void on_mtu(void *user, size_t packet_max)
{
    CHECK(packet_max < 65536);
}

static void on_failed(void *user, const struct edge_failure *f)
{
    CHECK(memchr(f->quic.detail, 0, sizeof(f->quic.detail)));
}

static void on_peer_up(void *user, const struct hub_peer_id *id, const struct net_addr *remote)
{
    CHECK(strlen(id->name) < HUB_NAME_MAX);
}

static void on_peer_down(void *user, const struct hub_peer_id *id, const char *why)
{
    CHECK(strlen(id->name) < HUB_NAME_MAX);
}

static void on_refused(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                       const char *why)
{
    CHECK(strlen(why) < 256);
}

static const struct edge_events edge_events = {
    .deliver = on_deliver,
    .state = on_state,
    .assigned = on_addrs,
    .mtu = on_mtu,
    .failed = on_failed,
};

static const struct hub_events hub_events = {
    .deliver = on_deliver,
    .peer_up = on_peer_up,
    .peer_down = on_peer_down,
    .refused = on_refused,
    .assigned = on_peer_addrs,
    .mtu = on_mtu,
};

/* --- the wire -------------------------------------------------------------------------- */

static void put(struct wire *w, const struct quic_tx *tx)
{
    for (size_t at = 0; at < tx->len; at += tx->seg_size) {
        size_t len = MIN(tx->seg_size, tx->len - at);

        if (w->n == WIRE_MAX || len > sizeof(w->dgram[0].data))
            continue;
        w->dgram[w->n].len = len;
        memcpy(w->dgram[w->n++].data, tx->buf + at, len);
    }
}

static void pump(struct world *w)
{
    for (unsigned i = 0; i < 100 && edge_tx(w->edge, w->now_ns, &w->tx); i++)
        put(&w->up, &w->tx);
    for (unsigned i = 0; i < 100 && hub_tx(w->hub, w->now_ns, &w->tx); i++)
        put(&w->down, &w->tx);
}

/* A copy of exactly that size, so that a sanitizer sees a read behind it. */
static void receive(struct world *w, bool at_hub, const struct net_addr *remote,
                    const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    struct quic_rx rx = {
        .local = at_hub ? w->hub_addr : w->edge_addr, .remote = *remote, .data = copy, .len = len};

    CHECK(copy);
    if (len)
        memcpy(copy, data, len);
    if (at_hub)
        hub_rx(w->hub, w->now_ns, &rx);
    else
        edge_rx(w->edge, w->now_ns, &rx);
    free(copy);
}

/* Deliver the oldest datagram, after doing to it what `how` says. */
static void deliver(struct world *w, bool at_hub, uint8_t how, const uint8_t *data, size_t len)
{
    struct wire *wire = at_hub ? &w->up : &w->down;
    uint8_t d[2048 + 256];
    size_t n, at;

    if (!wire->n)
        return;
    n = wire->dgram[0].len;
    memcpy(d, wire->dgram[0].data, n);
    if (how % 8 != 6) { /* 6: again the next time */
        wire->n--;
        memmove(&wire->dgram[0], &wire->dgram[1], wire->n * sizeof(wire->dgram[0]));
    }
    at = len ? data[0] * 8u + how / 8 : 0;
    switch (how % 8) {
    case 1: /* damaged somewhere */
        for (size_t i = 1; i < len && at + i - 1 < n; i++)
            d[at + i - 1] ^= data[i];
        break;
    case 2: /* overwritten from a place */
        for (size_t i = 1; i < len && at + i - 1 < n; i++)
            d[at + i - 1] = data[i];
        break;
    case 3: /* cut */
        n = MIN(n, at);
        break;
    case 4: /* longer */
        memcpy(d + n, data, len);
        n += len;
        break;
    case 5: /* lost */
        return;
    case 7: /* frames of the input instead of those in a packet with a short header */
        if (n > 64 && !(d[0] & 0x80) && len <= n - 13 - TAG_BYTES) {
            memcpy(d + 13, data, len);
            n = 13 + len + TAG_BYTES;
        }
        break;
    default:
        break;
    }
    receive(w, at_hub, &w->from[at_hub], d, n);
}

/* As from a NAT that has forgotten the flow, or from somebody on the way: another port, or another
 * address, or the one that it was. */
static void come_from(struct world *w, bool at_hub, uint8_t which)
{
    w->from[at_hub] = at_hub ? w->edge_addr : w->hub_addr;
    w->from[at_hub].in.sin_port = (uint16_t)(w->from[at_hub].in.sin_port + (which & 1));
    w->from[at_hub].in.sin_addr.s_addr += htonl(which & 2);
}

/* One datagram is passed on from elsewhere; those that come after it are not. */
static void pass_on(struct world *w, bool at_hub)
{
    struct net_addr before = w->from[at_hub];

    come_from(w, at_hub, 3);
    deliver(w, at_hub, 0, NULL, 0);
    w->from[at_hub] = before;
}

static uint64_t total(const struct drop_counters *c)
{
    uint64_t n = 0;

    for (int i = 0; i < DROP_COUNT; i++)
        n += c->n[i];
    return n;
}

/* A stranger's datagram. When there is no connection that could take it, it makes one or is
 * counted. */
static void inject(struct world *w, bool at_hub, uint8_t from, const uint8_t *data, size_t len)
{
    struct net_addr remote = w->edge_addr;
    uint64_t dropped = total(&w->drops_hub);
    unsigned lanes = hub_lanes(w->hub);
    uint8_t d[1300] = {0};

    remote.in.sin_port = (uint16_t)(remote.in.sin_port + (from >> 4));
    memcpy(d, data, len);
    receive(w, at_hub, &remote, d, from & 1 ? sizeof(d) : len);
    if (at_hub && !lanes)
        CHECK(hub_lanes(w->hub) + total(&w->drops_hub) - dropped == 1);
}

static void pass_time(struct world *w, uint8_t how)
{
    uint64_t at_ns = MIN(edge_deadline_ns(w->edge), hub_deadline_ns(w->hub));

    if (how & 1 && at_ns != TIME_NEVER_NS)
        w->now_ns = MAX(w->now_ns, at_ns);
    else
        w->now_ns += (uint64_t)how * how * NS_PER_MS;
    edge_timeout(w->edge, w->now_ns);
    hub_timeout(w->hub, w->now_ns);
}

/* An IP packet into the tunnel. */
static void send_packet(struct world *w, bool from_edge, uint8_t len)
{
    static const uint8_t hdr[20] = {0x45, 0, 0,  0, 0, 0, 0,  0, 64, 17,
                                    0,    0, 10, 0, 0, 1, 10, 0, 0,  2};
    size_t total = 20 + len * 5u;
    struct pkt *pkt = pkt_new(w->pool, total);

    if (!pkt)
        return;
    memset(pkt->data, 0, total);
    memcpy(pkt->data, hdr, sizeof(hdr));
    store_be16(pkt->data + 2, (uint16_t)total);
    pkt->len = (uint32_t)total;
    if (from_edge)
        edge_send(w->edge, w->now_ns, pkt);
    else
        hub_send(w->hub, w->now_ns, pkt);
}

/* --- life ------------------------------------------------------------------------------ */

static struct net_addr address(const char *ip, uint16_t port)
{
    struct ip_addr a;

    CHECK(!ip_addr_parse(ip, &a));
    return net_addr_make(&a, port);
}

static void fill_quic(struct world *w, struct quic_endpoint_opts *o, const struct quic_tls_ops *tls,
                      bool server)
{
    o->server = server;
    o->tls = tls;
    o->tls_ctx = server ? &w->tls_hub : &w->tls_edge;
    o->server_name = "hub.example";
    o->pool = w->pool;
    o->drops = server ? &w->drops_hub : &w->drops_edge;
    o->random = on_random;
    o->random_user = &w->rng;
    o->max_handshakes = HANDSHAKES_MAX;
    o->max_lanes = LANES_MAX;
}

static void start(struct world *w, const struct quic_tls_ops *tls)
{
    struct edge_opts e = {.authority = "hub.example:443", .events = &edge_events, .user = w};
    struct hub_opts h = {.events = &hub_events, .user = w, .n_own = 1};

    rng_seed(&w->rng, 1);
    w->tls_edge = (struct tls_dummy){.rng = &w->rng, .name = "edge.example"};
    w->tls_hub = (struct tls_dummy){.rng = &w->rng, .name = "hub.example"};
    w->pool = pkt_pool_new(PACKETS, 0);
    w->edge_addr = address("198.18.0.1", 45001);
    w->hub_addr = address("198.18.0.2", 443);
    come_from(w, true, 0);
    come_from(w, false, 0);
    w->now_ns = 100 * NS_PER_S;
    CHECK(!ip_prefix_parse("10.0.0.1/30", &e.want[0]));
    e.n_want = 1;
    CHECK(!ip_prefix_parse("10.0.0.2/30", &h.own[0]));
    fill_quic(w, &e.quic, tls, false);
    fill_quic(w, &h.quic, tls, true);
    CHECK(w->pool && !edge_new(&e, &w->edge) && !hub_new(&h, &w->hub));
    edge_set_addrs(w->edge, w->now_ns, 0, &w->edge_addr, &w->hub_addr, 0);
    pump(w);
}

static void stop(struct world *w)
{
    edge_free(w->edge);
    hub_free(w->hub);
    CHECK(pkt_pool_in_use(w->pool) == 0);
    pkt_pool_free(w->pool);
}

/* Nothing else happens for a while. */
static void undisturbed(struct world *w, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        deliver(w, true, 0, NULL, 0);
        deliver(w, false, 0, NULL, 0);
        if (!w->up.n && !w->down.n)
            pass_time(w, 1);
        pump(w);
    }
}

static void act(struct world *w, uint8_t op, uint8_t how, const uint8_t *data, size_t len)
{
    switch (op % 8) {
    case 0:
    case 1:
        deliver(w, op & 1, how, data, len);
        break;
    case 2:
    case 3:
        inject(w, op & 1, how, data, len);
        break;
    case 4:
        pass_time(w, how);
        break;
    case 5:
        undisturbed(w, how % 64);
        break;
    case 6:
        send_packet(w, how & 1, how);
        break;
    case 7:
        if (how == 0xff)
            edge_set_addrs(w->edge, w->now_ns, 0, &(struct net_addr){0}, &w->hub_addr, 0);
        else if (how == 0xfe)
            edge_set_addrs(w->edge, w->now_ns, 0, &w->edge_addr, &w->hub_addr, 0);
        else if (how == 0xfd)
            hub_shutdown(w->hub, w->now_ns);
        else if (how >= 0xe0 && how < 0xe8)
            come_from(w, how & 1, (uint8_t)(how >> 1));
        else if (how >= 0xe8 && how < 0xea)
            pass_on(w, how & 1);
        break;
    }
    pump(w);
    CHECK(hub_lanes(w->hub) <= LANES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct quic_tls_ops tls = quic_tls_dummy;

    memset(&w, 0, sizeof(w));
    tls.callbacks = fill_callbacks;
    start(&w, &tls);
    for (unsigned i = 0; i < 200 && size >= 2; i++) {
        size_t len = size >= 3 && data[0] % 8 < 4 ? MIN((size_t)data[2], size - 3) : 0;
        size_t used = MIN(size, data[0] % 8 < 4 ? 3 + len : 2);

        act(&w, data[0], data[1], data + used - len, len);
        data += used;
        size -= used;
    }
    stop(&w);
    return 0;
}
