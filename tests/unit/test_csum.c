#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/rng.h"
#include "packet/csum.h"
#include "packets.h"

static void the_example_of_rfc_1071(void **state)
{
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    assert_int_equal(csum_fold_partial(csum_add(0, data, sizeof(data))), 0xddf2);
    assert_int_equal(csum_fold(csum_add(0, data, sizeof(data))), 0x220d);
    assert_int_equal(csum_fold(0), 0xffff);
}

static void a_known_ipv4_header(void **state)
{
    uint8_t p[20];

    hex_bytes("4500 0073 0000 4000 4011 0000 c0a80001 c0a800c7", p, 20);
    assert_int_equal(csum_fold(csum_add(0, p, 20)), 0xb861);
    store_be16(p + 10, 0xb861);
    assert_int_equal(csum_fold(csum_add(0, p, 20)), 0);
}

/* Every length and alignment against the plain loop, random bytes and all ones. */
static void agrees_with_the_plain_loop(void **state)
{
    static uint8_t buf[2100];
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 2; round++) {
        if (round)
            memset(buf, 0xff, sizeof(buf));
        else
            rng_bytes(&rng, buf, sizeof(buf));
        for (size_t len = 0; len < 2000; len += len < 200 ? 1 : 37)
            for (size_t off = 0; off < 9; off++)
                assert_int_equal(csum_fold(csum_add(0, buf + off, len)),
                                 plain_csum(0, buf + off, len));
    }
}

static void pieces_add_up(void **state)
{
    uint8_t buf[300];
    struct rng rng;

    rng_seed(&rng, 8);
    rng_bytes(&rng, buf, sizeof(buf));
    for (size_t cut = 0; cut <= sizeof(buf); cut += 2) {
        uint64_t sum = csum_add(csum_add(0, buf, cut), buf + cut, sizeof(buf) - cut);

        assert_int_equal(csum_fold(sum), plain_csum(0, buf, sizeof(buf)));
    }
    /* A sum near overflow keeps its carry. */
    assert_int_equal(csum_fold_partial(csum_add(UINT64_MAX, buf, sizeof(buf))),
                     (uint16_t)~plain_csum(0, buf, sizeof(buf)));
}

static void pseudo_headers(void **state)
{
    struct ip_addr a, b;

    ip_addr_parse("192.0.2.1", &a);
    ip_addr_parse("198.51.100.255", &b);
    assert_int_equal(csum_fold_partial(csum_pseudo(&a, &b, 17, 0x12345)),
                     plain_pseudo(a.b, b.b, 4, 17, 0x12345));
    ip_addr_parse("2001:db8::ffff:1", &a);
    ip_addr_parse("fe80::1", &b);
    assert_int_equal(csum_fold_partial(csum_pseudo(&a, &b, 58, 65536)),
                     plain_pseudo(a.b, b.b, 16, 58, 65536));
}

/* 0x0000 and 0xffff are the same number in ones' complement. */
static bool same_csum(uint16_t a, uint16_t b)
{
    return a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0);
}

static void incremental_update(void **state)
{
    uint8_t buf[40];
    struct rng rng;

    /* RFC 1624, 4: the header's old checksum 0xdd2f, a field 0x5555 becomes 0x3285: 0x0000. */
    assert_int_equal(csum_update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    rng_seed(&rng, 9);
    for (int i = 0; i < 20000; i++) {
        size_t at = rng_below(&rng, 20) * 2;
        uint16_t was, is, csum;

        rng_bytes(&rng, buf, sizeof(buf));
        csum = plain_csum(0, buf, sizeof(buf));
        was = load_be16(buf + at);
        is = i % 3 ? (uint16_t)rng_next(&rng) : (uint16_t) - (i % 2);
        store_be16(buf + at, is);
        assert_true(same_csum(csum_update16(csum, was, is), plain_csum(0, buf, sizeof(buf))));
    }
}

static struct pkt *partial_udp(struct pkt_pool *pool, unsigned payload)
{
    struct pkt *pkt = pkt_new(pool, 28 + payload);
    uint8_t *p = pkt->data;

    put_ip4(p, 28 + payload, 17, 0);
    hex_bytes("1388 0035 0000 0000", p + 20, 8);
    store_be16(p + 24, (uint16_t)(8 + payload));
    store_be16(p + 26, (uint16_t)plain_pseudo(p + 12, p + 16, 4, 17, 8 + payload));
    for (unsigned i = 0; i < payload; i++)
        p[28 + i] = (uint8_t)(i * 7 + 3);
    pkt->len = 28 + payload;
    pkt->csum_start = 20;
    pkt->csum_offset = 6;
    return pkt;
}

static void a_partial_checksum_is_completed(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);

    for (unsigned payload = 0; payload < 100; payload++) {
        struct pkt *pkt = partial_udp(pool, payload);
        uint8_t *p = pkt->data;

        assert_int_equal(csum_complete(pkt), 0);
        assert_int_equal(pkt->csum_start, 0);
        assert_int_equal(
            plain_csum(plain_pseudo(p + 12, p + 16, 4, 17, 8 + payload), p + 20, 8 + payload), 0);
        store_be16(p + 24, 1); /* a second call finds nothing to do */
        assert_int_equal(csum_complete(pkt), 0);
        assert_int_equal(load_be16(p + 24), 1);
        pkt_free(pool, pkt);
    }
    pkt_pool_free(pool);
}

static void a_zero_udp_checksum_is_sent_as_ones(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = partial_udp(pool, 2);
    uint8_t *p = pkt->data;

    /* Choose the payload such that the sum is 0xffff. */
    store_be16(p + 28, 0);
    store_be16(p + 28, plain_csum(0, p + 20, 10));
    assert_int_equal(csum_complete(pkt), 0);
    assert_int_equal(load_be16(p + 26), 0xffff);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

static void a_bad_partial_checksum_is_refused(void **state)
{
    static const uint16_t bad[][2] = {{20, 24}, {44, 6}, {60000, 6}, {65535, 65535}, {20, 5}};
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = partial_udp(pool, 16); /* 44 bytes */

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        pkt->csum_start = bad[i][0];
        pkt->csum_offset = bad[i][1];
        assert_int_equal(csum_complete(pkt), -EINVAL);
        assert_int_equal(pkt->csum_start, bad[i][0]);
    }
    pkt->csum_start = 20;
    pkt->csum_offset = 22; /* the last two bytes */
    assert_int_equal(csum_complete(pkt), 0);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_1071),
        cmocka_unit_test(a_known_ipv4_header),
        cmocka_unit_test(agrees_with_the_plain_loop),
        cmocka_unit_test(pieces_add_up),
        cmocka_unit_test(pseudo_headers),
        cmocka_unit_test(incremental_update),
        cmocka_unit_test(a_partial_checksum_is_completed),
        cmocka_unit_test(a_zero_udp_checksum_is_sent_as_ones),
        cmocka_unit_test(a_bad_partial_checksum_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
