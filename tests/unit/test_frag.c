#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/rng.h"
#include "packet/frag.h"
#include "packets.h"

static struct ip_view view_of(const struct pkt *pkt)
{
    struct ip_view v;
    enum drop_reason why;

    assert_int_equal(ip_view_parse(pkt->data, pkt->len, &v, &why), 0);
    return v;
}

static struct pkt *make(struct pkt_pool *pool, unsigned total, uint16_t frag_field)
{
    struct pkt *pkt = pkt_new(pool, total);

    put_ip4(pkt->data, total, IP_PROTO_UDP, frag_field);
    for (unsigned i = 20; i < total; i++)
        pkt->data[i] = (uint8_t)(i * 13 + i / 256);
    pkt->len = total;
    return pkt;
}

/* What a receiver does (RFC 791, 3.2): copy each payload to its offset; the packet is whole when
 * every byte up to the end of the last fragment is there exactly once. */
struct reassembly {
    uint8_t bytes[65536];
    uint8_t seen[65536];
    unsigned end, n_last;
};

static void reassemble(struct reassembly *a, const struct pkt_batch *batch, unsigned from,
                       unsigned mtu)
{
    for (unsigned i = from; i < batch->n; i++) {
        struct ip_view v = view_of(batch->v[i]);
        unsigned len = v.total_len - v.ip_hdr_len;

        assert_true(batch->v[i]->len <= mtu);
        assert_int_equal(v.total_len, batch->v[i]->len);
        assert_int_equal(plain_csum(0, batch->v[i]->data, v.ip_hdr_len), 0);
        assert_int_equal(v.frag_id, 0x1234);
        assert_int_equal(v.proto, IP_PROTO_UDP);
        if (v.more_frags) {
            assert_int_equal(len % 8, 0);
        } else {
            assert_int_equal(a->n_last++, 0);
            a->end = v.frag_off + len;
        }
        for (unsigned k = 0; k < len; k++) {
            assert_int_equal(a->seen[v.frag_off + k], 0);
            a->seen[v.frag_off + k] = 1;
            a->bytes[v.frag_off + k] = batch->v[i]->data[v.ip_hdr_len + k];
        }
    }
}

static struct reassembly whole;

static void expect_payload(const uint8_t *payload, unsigned len)
{
    assert_int_equal(whole.end, len);
    for (unsigned i = 0; i < len; i++)
        assert_int_equal(whole.seen[i], 1);
    assert_memory_equal(whole.bytes, payload, len);
}

static void fragments_reassemble(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(200, 1);
    struct rng rng;

    rng_seed(&rng, 3);
    for (int i = 0; i < 2000; i++) {
        unsigned total = 20 + (unsigned)rng_below(&rng, 1800);
        unsigned mtu = MAX(68 + (unsigned)rng_below(&rng, 1500), total / 40 + 20);
        struct pkt *pkt = make(pool, total, 0);
        struct ip_view v = view_of(pkt);
        struct pkt_batch batch = {0};
        uint8_t copy[2000];

        memcpy(copy, pkt->data, total);
        assert_int_equal(frag_ipv4(pool, pkt, &v, mtu, &batch), 0);
        assert_int_equal(batch.n == 1, total <= mtu);
        assert_int_equal(pkt_pool_in_use(pool), batch.n);
        memset(&whole, 0, sizeof(whole));
        reassemble(&whole, &batch, 0, mtu);
        expect_payload(copy + 20, total - 20);
        pkt_batch_free(pool, &batch);
    }
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

/* A first and a last fragment of 1500 and 700 bytes cross a link of 576, then one of 96. */
static void fragments_are_cut_further(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(200, 0);
    struct pkt *first = make(pool, 1500, 0x2000), *last = make(pool, 700, 1480 / 8);
    uint8_t payload[1480 + 680];
    struct pkt_batch once = {0}, twice = {0};
    struct ip_view v = view_of(first);

    memcpy(payload, first->data + 20, 1480);
    memcpy(payload + 1480, last->data + 20, 680);
    assert_int_equal(frag_ipv4(pool, first, &v, 576, &once), 0);
    v = view_of(last);
    assert_int_equal(frag_ipv4(pool, last, &v, 576, &once), 0);
    assert_int_equal(once.n, 3 + 2);
    for (unsigned i = 0; i < once.n; i++) {
        v = view_of(once.v[i]);
        assert_int_equal(frag_ipv4(pool, once.v[i], &v, 96, &twice), 0);
    }
    memset(&whole, 0, sizeof(whole));
    reassemble(&whole, &twice, 0, 96);
    expect_payload(payload, sizeof(payload));
    pkt_batch_free(pool, &twice);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

/* Router alert (0x94) has the copied flag, timestamp (0x44) and NOP have not. */
static void options_without_the_copied_flag_stay_on_the_first(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(8, 0);
    struct pkt *pkt = make(pool, 320, 0);
    struct pkt_batch batch = {0};
    struct ip_view v;
    uint8_t copy[320];

    pkt->data[0] = 0x49; /* 36 bytes of header */
    hex_bytes("01 44040500 94040000 830704aabbccdd", pkt->data + 20, 16);
    store_be16(pkt->data + 10, 0);
    store_be16(pkt->data + 10, plain_csum(0, pkt->data, 36));
    memcpy(copy, pkt->data, 320);
    v = view_of(pkt);
    assert_int_equal(frag_ipv4(pool, pkt, &v, 150, &batch), 0);
    assert_int_equal(batch.n, 3);
    v = view_of(batch.v[0]);
    assert_int_equal(v.ip_hdr_len, 36);
    assert_memory_equal(batch.v[0]->data + 20, copy + 20, 16);
    for (unsigned i = 1; i < 3; i++) {
        static const uint8_t kept[] = {0x94, 4, 0, 0, 0x83, 7, 4, 0xaa, 0xbb, 0xcc, 0xdd, 0};

        v = view_of(batch.v[i]);
        assert_int_equal(v.ip_hdr_len, 32);
        assert_memory_equal(batch.v[i]->data + 20, kept, 12);
    }
    memset(&whole, 0, sizeof(whole));
    reassemble(&whole, &batch, 0, 150);
    expect_payload(copy + 36, 320 - 36);
    pkt_batch_free(pool, &batch);
    pkt_pool_free(pool);
}

static void options_that_lie_about_their_length(void **state)
{
    static const char *const bad[] = {"94000000", "94010000", "94ff0000", "01010194", "94050000"};
    struct pkt_pool *pool = pkt_pool_new(8, 0);

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct pkt *pkt = make(pool, 300, 0);
        struct pkt_batch batch = {0};
        struct ip_view v;

        pkt->data[0] = 0x46;
        hex_bytes(bad[i], pkt->data + 20, 4);
        v = view_of(pkt);
        assert_int_equal(frag_ipv4(pool, pkt, &v, 200, &batch), 0);
        assert_int_equal(batch.n, 2);
        v = view_of(batch.v[1]);
        assert_int_equal(v.ip_hdr_len, 20);
        pkt_batch_free(pool, &batch);
    }
    pkt_pool_free(pool);
}

static void a_partial_checksum_is_completed_before_the_cut(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(8, 0);
    struct pkt *pkt = make(pool, 528, 0);
    struct pkt_batch batch = {0};
    struct ip_view v = view_of(pkt);
    uint32_t pseudo = plain_pseudo(pkt->data + 12, pkt->data + 16, 4, 17, 508);

    store_be16(pkt->data + 26, (uint16_t)pseudo);
    pkt->csum_start = 20;
    pkt->csum_offset = 6;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 300, &batch), 0);
    memset(&whole, 0, sizeof(whole));
    reassemble(&whole, &batch, 0, 300);
    assert_int_equal(plain_csum(pseudo, whole.bytes, 508), 0);
    for (unsigned i = 0; i < batch.n; i++)
        assert_int_equal(batch.v[i]->csum_start, 0);
    pkt_batch_free(pool, &batch);
    pkt_pool_free(pool);
}

static void failures_change_nothing(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(3, 0);
    struct pkt *pkt = make(pool, 1500, 0x4000), *other = make(pool, 100, 0);
    struct pkt_batch batch = {.n = 1, .v = {other}};
    struct ip_view v = view_of(pkt);

    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -EMSGSIZE);
    v.df = false;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 67, &batch), -EINVAL);
    pkt->gso = PKT_GSO_UDP;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -EINVAL);
    pkt->gso = PKT_GSO_NONE;
    pkt->csum_start = 1499;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -EINVAL);
    pkt->csum_start = 0;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -ENOBUFS); /* one buffer left of two */
    batch.n = PKT_BATCH_MAX - 1;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -E2BIG);
    batch.n = 1;
    assert_ptr_equal(batch.v[0], other);
    assert_int_equal(pkt_pool_in_use(pool), 2);
    assert_int_equal(pkt->len, 1500);
    v.version = 6;
    assert_int_equal(frag_ipv4(pool, pkt, &v, 1400, &batch), -EMSGSIZE);
    pkt_free(pool, pkt);
    pkt_free(pool, other);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_reassemble),
        cmocka_unit_test(fragments_are_cut_further),
        cmocka_unit_test(options_without_the_copied_flag_stay_on_the_first),
        cmocka_unit_test(options_that_lie_about_their_length),
        cmocka_unit_test(a_partial_checksum_is_completed_before_the_cut),
        cmocka_unit_test(failures_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
