/* Input: datagrams of a session as a hostile peer could send them: a byte of time (in ms), two of
 * length, the payload of a packed datagram; repeated. What is held stays within its bound, what is
 * delivered is a packet that a TUN takes, and in the end every buffer is given back. */
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/reasm.h"
#include "bond/unit.h"
#include "packet/super.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum { MTU = 1500, HELD_MAX = 1 << 20, GAPS_MAX = 8 };

static struct pkt_pool *pkts;

static bool on_accept(void *user, struct pkt *pkt, enum drop_reason *ret_why)
{
    struct ip_view v;

    return unit_settle(pkt, MTU, &v, ret_why) == 0;
}

static void on_deliver(void *user, struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    CHECK(pkt->len && ip_view_parse(pkt->data, pkt->len, &v, &why) == 0);
    CHECK(v.total_len == pkt->len);
    if (pkt->gso == PKT_GSO_NONE)
        CHECK(pkt->len <= MTU);
    else
        CHECK(pkt->gso_size >= PACKED_SEGMENT_MIN && pkt->hdr_len + pkt->gso_size <= MTU &&
              pkt->len - pkt->hdr_len > pkt->gso_size &&
              pkt->len - pkt->hdr_len <= (uint32_t)pkt->gso_size * PACKED_SEGMENTS_MAX);
    pkt_free(pkts, pkt);
}

static void receive(struct reasm *r, uint64_t now_ns, const uint8_t *data, size_t len)
{
    struct packed_reader reader;
    struct packed_head head;
    struct packed_frame f;

    if (packed_open(&reader, data, len, &head))
        return;
    while (packed_next(&reader, &f) > 0) {
        if (f.type == PACKED_PACKET || f.type == PACKED_RANGE || f.type == PACKED_GONE)
            reasm_rx(r, now_ns, head.class, &f);
        CHECK(r->bytes <= HELD_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reasm_pool *pool;
    static struct drop_counters drops;
    struct packed_gap gaps[GAPS_MAX];
    uint64_t now_ns = 0;
    struct reasm r;

    if (!pool) {
        pkts = pkt_pool_new(256, 32);
        pool = reasm_pool_new(4, 64, HELD_MAX);
    }
    reasm_init(&r, &(struct reasm_opts){.pool = pool,
                                        .pkts = pkts,
                                        .drops = &drops,
                                        .max_bytes = HELD_MAX,
                                        .accept = on_accept,
                                        .deliver = on_deliver});
    for (unsigned c = 0; c < PACKED_CLASSES; c++)
        reasm_set_class(&r, c,
                        &(struct reasm_class){(enum reasm_order)(c % 3), c % 3 * 20 * NS_PER_MS,
                                              100 * NS_PER_MS});
    reasm_set_patience(&r, &(struct reasm_patience){30 * NS_PER_MS, 50 * NS_PER_MS});
    while (size > 3) {
        size_t len = MIN((size_t)load_be16(data + 1), size - 3);

        now_ns += data[0] * NS_PER_MS;
        reasm_timeout(&r, now_ns);
        receive(&r, now_ns, data + 3, len);
        CHECK(reasm_gaps(&r, gaps, GAPS_MAX) <= GAPS_MAX);
        data += 3 + len;
        size -= 3 + len;
    }
    for (unsigned i = 0; i < 10000 && reasm_deadline_ns(&r) != TIME_NEVER_NS; i++) {
        now_ns = MAX(now_ns, reasm_deadline_ns(&r));
        reasm_timeout(&r, now_ns);
    }
    CHECK(reasm_deadline_ns(&r) == TIME_NEVER_NS && r.bytes == 0);
    reasm_done(&r);
    CHECK(pkt_pool_in_use(pkts) == 0);
    return 0;
}
