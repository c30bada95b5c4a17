/* Input: an MTU in two bytes, then one IP packet. Whatever parses goes through everything that
 * reads a packet by its view; what those make must parse again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "packet/csum.h"
#include "packet/flow.h"
#include "packet/frag.h"
#include "packet/icmp.h"
#include "packet/ip.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static const struct siphash_key key = {{1, 2}};

static void check_view(const struct ip_view *v, size_t len)
{
    CHECK(v->total_len <= len);
    CHECK(v->ip_hdr_len <= v->l4_off && v->l4_off <= v->total_len);
    CHECK(!v->has_ports || v->l4_off + 4u <= v->total_len);
    CHECK(v->frag_off + v->total_len - v->l4_off <= 65535);
}

static void check_answer(struct pkt_pool *pool, const uint8_t *data, const struct ip_view *v,
                         uint32_t mtu)
{
    struct ip_addr src = {.family = v->version, .b = {10, 9, 8, 7}};
    struct ip_view got;
    enum drop_reason why;
    struct pkt *a;

    if (icmp_too_big(pool, data, v, &src, mtu, &a))
        return;
    CHECK(ip_view_parse(a->data, a->len, &got, &why) == 0);
    CHECK(got.total_len == a->len && !got.frag);
    CHECK(!icmp_may_answer(a->data, &got)); /* an error begets no error */
    pkt_free(pool, a);
}

static void check_fragments(struct pkt_pool *pool, struct pkt *pkt, const struct ip_view *v,
                            uint32_t mtu)
{
    uint32_t payload = v->total_len - v->ip_hdr_len, end = v->frag_off;
    struct pkt_batch batch = {0};

    if (frag_ipv4(pool, pkt, v, mtu, &batch)) {
        pkt_free(pool, pkt);
        return;
    }
    for (unsigned i = 0; i < batch.n; i++) {
        struct ip_view f;
        enum drop_reason why;

        CHECK(ip_view_parse(batch.v[i]->data, batch.v[i]->len, &f, &why) == 0);
        CHECK(f.total_len == batch.v[i]->len && f.total_len <= mtu);
        CHECK(f.frag_off == end);
        CHECK(f.more_frags == (v->more_frags || i + 1 < batch.n));
        end += f.total_len - f.ip_hdr_len;
    }
    CHECK(end == v->frag_off + payload);
    pkt_batch_free(pool, &batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pkt_pool *pool;
    struct ip_view v;
    enum drop_reason why;
    struct pkt *pkt;
    uint32_t mtu;

    if (!pool)
        pool = pkt_pool_new(PKT_BATCH_MAX + 2, 2);
    if (size < 2 || size - 2 > PKT_LARGE_MAX)
        return 0;
    mtu = load_be16(data);
    data += 2;
    size -= 2;
    if (ip_view_parse(data, size, &v, &why))
        return 0;
    check_view(&v, size);
    flow_hash(&key, data, &v);
    check_answer(pool, data, &v, mtu);
    pkt = pkt_new(pool, size);
    memcpy(pkt->data, data, size);
    pkt->len = (uint32_t)size;
    CHECK(ip_view_parse_pkt(pkt, &v, &why) == 0 && pkt->len == v.total_len);
    check_fragments(pool, pkt, &v, mtu);
    CHECK(pkt_pool_in_use(pool) == 0);
    return 0;
}
