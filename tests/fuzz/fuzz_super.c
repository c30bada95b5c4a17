/* Input: a virtio_net_hdr and what the kernel hands over with it. What is accepted is cut; every
 * segment must be a packet of its own with right checksums, and all of them together the payload.
 * Then the segments are put together again, as if they had come from a tunnel, and so is the input
 * itself, taken for packets each behind a length in two bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/coalesce.h"
#include "packet/csum.h"
#include "packet/segment.h"
#include "packet/super.h"
#include "tun/vnet.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static struct pkt_pool *pool;
static uint32_t out_bytes;

static void check_l4(const uint8_t *p, const struct ip_view *v)
{
    uint32_t len = v->total_len - v->l4_off;
    uint64_t sum = csum_pseudo(&v->src, &v->dst, v->proto, len);

    CHECK(csum_fold(csum_add(sum, p + v->l4_off, len)) == 0);
    if (v->version == 4)
        CHECK(csum_fold(csum_add(0, p, v->ip_hdr_len)) == 0);
}

/* What the kernel would be given. */
static void on_out(void *user, struct pkt *pkt)
{
    struct virtio_net_hdr h;

    CHECK(vnet_from_pkt(pkt, &h));
    if (pkt->gso == PKT_GSO_NONE) {
        CHECK(!h.flags);
        out_bytes += pkt->len;
    } else {
        struct ip_view v;
        enum drop_reason why;

        CHECK(ip_view_parse(pkt->data, pkt->len, &v, &why) == 0 && v.total_len == pkt->len);
        CHECK(h.hdr_len == pkt->hdr_len && h.csum_start == v.l4_off);
        CHECK(super_settle(pkt, &v) == 0 && pkt->gso != PKT_GSO_NONE);
        out_bytes += pkt->len - pkt->hdr_len +
                     pkt->hdr_len * ((pkt->len - pkt->hdr_len - 1) / pkt->gso_size + 1);
    }
    pkt_free(pool, pkt);
}

static void check_segment(struct coalesce *c, const struct pkt *super, uint32_t at)
{
    static uint8_t seg[PKT_LARGE_MAX];
    uint32_t len = segment_write(super, at, seg);
    enum drop_reason why;
    struct ip_view v;

    CHECK(len <= segment_max(super));
    CHECK(ip_view_parse(seg, len, &v, &why) == 0 && v.total_len == len);
    CHECK(v.l4_off == super->csum_start);
    check_l4(seg, &v);
    CHECK(!memcmp(seg + super->hdr_len, super->data + super->hdr_len + at, len - super->hdr_len));
    out_bytes -= len;
    coalesce_add(c, seg, &v);
}

static void check_super(struct coalesce *c, struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    if (ip_view_parse_pkt(pkt, &v, &why) || super_settle(pkt, &v))
        return;
    CHECK(ip_view_parse(pkt->data, pkt->len, &v, &why) == 0);
    if (pkt->gso == PKT_GSO_NONE) {
        CHECK(!pkt->csum_start);
        return;
    }
    CHECK(pkt->len - pkt->hdr_len > pkt->gso_size && pkt->hdr_len > pkt->csum_start);
    out_bytes = 0;
    for (uint32_t at = 0; at < segment_left(pkt); at += pkt->gso_size)
        check_segment(c, pkt, at);
    coalesce_flush(c);
    CHECK(out_bytes == 0);
}

static void check_packets(struct coalesce *c, const uint8_t *data, size_t size)
{
    enum drop_reason why;
    struct ip_view v;

    out_bytes = 0;
    while (size > 2) {
        size_t len = MIN((size_t)load_be16(data), size - 2);

        if (!ip_view_parse(data + 2, len, &v, &why)) {
            out_bytes -= v.total_len;
            coalesce_add(c, data + 2, &v);
        }
        data += 2 + len;
        size -= 2 + len;
    }
    coalesce_flush(c);
    CHECK(out_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct drop_counters drops;
    struct coalesce_opts opts = {.drops = &drops, .tcp = true, .udp = true, .out = on_out};
    struct virtio_net_hdr h;
    struct coalesce c;
    struct pkt *pkt;

    if (!pool)
        pool = pkt_pool_new(4, COALESCE_FLOWS + 2);
    opts.pool = pool;
    coalesce_init(&c, &opts);
    check_packets(&c, data, size);
    if (size <= sizeof(h) || size - sizeof(h) > PKT_LARGE_MAX)
        return 0;
    memcpy(&h, data, sizeof(h));
    pkt = pkt_new(pool, PKT_LARGE_MAX);
    pkt->len = (uint32_t)(size - sizeof(h));
    memcpy(pkt->data, data + sizeof(h), pkt->len);
    if (vnet_to_pkt(&h, pkt))
        check_super(&c, pkt);
    pkt_free(pool, pkt);
    CHECK(pkt_pool_in_use(pool) == 0);
    return 0;
}
