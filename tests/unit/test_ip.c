#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "packet/ip.h"
#include "packets.h"

/* Parse a copy of exactly len bytes, so that a sanitizer sees any read behind it. */
static int parse_exact(const uint8_t *p, size_t len, struct ip_view *v, enum drop_reason *why)
{
    uint8_t *copy = malloc(len ? len : 1);
    int r;

    memcpy(copy, p, len);
    r = ip_view_parse(copy, len, v, why);
    free(copy);
    return r;
}

static void expect_drop(const uint8_t *p, size_t len, enum drop_reason expected)
{
    struct ip_view v;
    enum drop_reason why = DROP_COUNT;

    memset(&v, 0x5a, sizeof(v));
    assert_int_equal(parse_exact(p, len, &v, &why), -EBADMSG);
    assert_string_equal(drop_name(why), drop_name(expected));
    for (size_t i = 0; i < sizeof(v); i++)
        assert_int_equal(((uint8_t *)&v)[i], 0x5a);
}

static void ipv4_fields(void **state)
{
    uint8_t p[64];
    size_t n = hex_bytes("45b9 001c abcd 4000 3f11 0000 c0000201 c6336407  1388 0035 0008 0000", p,
                         sizeof(p));
    struct ip_view v;
    enum drop_reason why;
    char buf[IP_ADDR_STR_MAX];

    assert_int_equal(parse_exact(p, n, &v, &why), 0);
    assert_int_equal(v.version, 4);
    assert_string_equal(ip_addr_str(&v.src, buf), "192.0.2.1");
    assert_string_equal(ip_addr_str(&v.dst, buf), "198.51.100.7");
    assert_int_equal(v.proto, IP_PROTO_UDP);
    assert_int_equal(v.dscp, 46);
    assert_int_equal(v.ecn, 1);
    assert_int_equal(v.ttl, 63);
    assert_true(v.df);
    assert_false(v.frag);
    assert_int_equal(v.frag_id, 0xabcd);
    assert_int_equal(v.ip_hdr_len, 20);
    assert_int_equal(v.l4_off, 20);
    assert_int_equal(v.total_len, 28);
    assert_true(v.has_ports);
    assert_int_equal(v.sport, 5000);
    assert_int_equal(v.dport, 53);
}

static void ipv4_options_move_the_transport_header(void **state)
{
    uint8_t p[64];
    size_t n = hex_bytes("4600 001c 0000 0000 4006 0000 0a000001 0a000002 94040000 0016 01bb", p,
                         sizeof(p));
    struct ip_view v;
    enum drop_reason why;

    assert_int_equal(parse_exact(p, n, &v, &why), 0);
    assert_int_equal(v.ip_hdr_len, 24);
    assert_int_equal(v.l4_off, 24);
    assert_true(v.has_ports);
    assert_int_equal(v.sport, 22);
    assert_int_equal(v.dport, 443);
}

static void ipv4_lengths_are_checked(void **state)
{
    uint8_t p[64] = {0};

    expect_drop(p, 0, DROP_NOT_IP);
    expect_drop(p, 20, DROP_NOT_IP);
    put_ip4(p, 40, IP_PROTO_TCP, 0);
    expect_drop(p, 19, DROP_TRUNCATED);
    expect_drop(p, 39, DROP_TRUNCATED);
    p[0] = 0x44; /* header of 16 bytes */
    expect_drop(p, 40, DROP_BAD_HEADER);
    p[0] = 0x4b; /* header of 44 bytes in a packet of 40 */
    expect_drop(p, 40, DROP_BAD_HEADER);
    put_ip4(p, 19, IP_PROTO_TCP, 0);
    expect_drop(p, 40, DROP_BAD_HEADER);
    p[0] = 0x55;
    expect_drop(p, 40, DROP_NOT_IP);
}

static void trailing_bytes_are_cut_off(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = pkt_new(pool, 64);
    struct ip_view v;
    enum drop_reason why;

    put_ip4(pkt->data, 28, IP_PROTO_ICMP4, 0);
    pkt->len = 46; /* an Ethernet sender's padding */
    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), 0);
    assert_int_equal(v.total_len, 28);
    assert_int_equal(pkt->len, 28);
    pkt->len = 27;
    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), -EBADMSG);
    assert_int_equal(pkt->len, 27);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

static void ipv4_fragments(void **state)
{
    uint8_t p[64] = {0};
    struct ip_view v;
    enum drop_reason why;

    put_ip4(p, 44, IP_PROTO_UDP, 0x2000); /* the first one */
    assert_int_equal(parse_exact(p, 44, &v, &why), 0);
    assert_true(v.frag && v.more_frags && v.has_ports);
    assert_int_equal(v.frag_off, 0);
    put_ip4(p, 44, IP_PROTO_UDP, 0x2003); /* one in the middle */
    assert_int_equal(parse_exact(p, 44, &v, &why), 0);
    assert_true(v.frag && v.more_frags && !v.has_ports);
    assert_int_equal(v.frag_off, 24);
    put_ip4(p, 44, IP_PROTO_UDP, 0x0003); /* the last one */
    assert_int_equal(parse_exact(p, 44, &v, &why), 0);
    assert_true(v.frag && !v.more_frags && !v.has_ports);
    /* 65512 + 23 bytes end at byte 65535, one more is behind it. */
    put_ip4(p, 43, IP_PROTO_UDP, 65512 / 8);
    assert_int_equal(parse_exact(p, 43, &v, &why), 0);
    put_ip4(p, 44, IP_PROTO_UDP, 65512 / 8);
    expect_drop(p, 44, DROP_BAD_HEADER);
}

static void ports_need_four_bytes(void **state)
{
    uint8_t p[24] = {0};
    struct ip_view v;
    enum drop_reason why;

    put_ip4(p, 23, IP_PROTO_TCP, 0);
    assert_int_equal(parse_exact(p, 23, &v, &why), 0);
    assert_false(v.has_ports);
    put_ip4(p, 24, IP_PROTO_ICMP4, 0);
    assert_int_equal(parse_exact(p, 24, &v, &why), 0);
    assert_false(v.has_ports);
}

static void ipv6_fields(void **state)
{
    uint8_t p[64];
    size_t n = hex_bytes("6b9 fffff 0004 06 3e 20010db8000000000000000000000001"
                         "20010db8000000000000000000000002 1388 0035",
                         p, sizeof(p));
    struct ip_view v;
    enum drop_reason why;
    char buf[IP_ADDR_STR_MAX];

    assert_int_equal(parse_exact(p, n, &v, &why), 0);
    assert_int_equal(v.version, 6);
    assert_string_equal(ip_addr_str(&v.src, buf), "2001:db8::1");
    assert_string_equal(ip_addr_str(&v.dst, buf), "2001:db8::2");
    assert_int_equal(v.dscp, 46);
    assert_int_equal(v.ecn, 1);
    assert_int_equal(v.ttl, 62);
    assert_int_equal(v.proto, IP_PROTO_TCP);
    assert_int_equal(v.ip_hdr_len, 40);
    assert_int_equal(v.l4_off, 40);
    assert_int_equal(v.total_len, 44);
    assert_true(v.df && v.has_ports && !v.frag);
    assert_int_equal(v.dport, 53);
    expect_drop(p, 43, DROP_TRUNCATED);
    expect_drop(p, 39, DROP_TRUNCATED);
}

static void ipv6_extension_chain(void **state)
{
    uint8_t p[160];
    struct ip_view v;
    enum drop_reason why;

    /* Hop-by-hop (8), routing (24), authentication (24), destination (8), UDP */
    put_ip6(p, 8 + 24 + 24 + 8 + 8, IP_PROTO_HOPOPTS);
    memset(p + 40, 0, sizeof(p) - 40);
    p[40] = IP_PROTO_ROUTING, p[41] = 0;
    p[48] = IP_PROTO_AH, p[49] = 2;
    p[72] = IP_PROTO_DSTOPTS, p[73] = 4; /* in units of 4 bytes, minus 2 */
    p[96] = IP_PROTO_UDP, p[97] = 0;
    hex_bytes("0202 0303 0008 0000", p + 104, 8);
    assert_int_equal(parse_exact(p, 112, &v, &why), 0);
    assert_int_equal(v.proto, IP_PROTO_UDP);
    assert_int_equal(v.l4_off, 104);
    assert_int_equal(v.sport, 0x0202);
    assert_int_equal(v.dport, 0x0303);

    p[97] = 1; /* now the last one reaches the end: no transport header, no ports */
    assert_int_equal(parse_exact(p, 112, &v, &why), 0);
    assert_int_equal(v.l4_off, 112);
    assert_false(v.has_ports);
    p[97] = 2; /* and now past it */
    expect_drop(p, 112, DROP_TRUNCATED);
}

static void ipv6_extension_chain_is_bounded(void **state)
{
    uint8_t p[40 + 8 * (IP_EXT_MAX + 1)];
    struct ip_view v;
    enum drop_reason why;

    for (unsigned n = IP_EXT_MAX; n <= IP_EXT_MAX + 1; n++) {
        put_ip6(p, 8 * n, IP_PROTO_DSTOPTS);
        memset(p + 40, 0, 8 * n);
        for (unsigned i = 0; i < n; i++)
            p[40 + 8 * i] = i + 1 < n ? IP_PROTO_DSTOPTS : IP_PROTO_NONE;
        if (n == IP_EXT_MAX) {
            assert_int_equal(parse_exact(p, 40 + 8 * n, &v, &why), 0);
            assert_int_equal(v.proto, IP_PROTO_NONE);
        } else {
            expect_drop(p, 40 + 8 * n, DROP_BAD_HEADER);
        }
    }
    /* Hop-by-hop options only come first. */
    put_ip6(p, 24, IP_PROTO_DSTOPTS);
    memset(p + 40, 0, 24);
    p[48] = IP_PROTO_NONE;
    expect_drop(p, 64, DROP_BAD_HEADER);
}

static void ipv6_fragments(void **state)
{
    uint8_t p[80];
    struct ip_view v;
    enum drop_reason why;

    put_ip6(p, 24, IP_PROTO_FRAGMENT);
    hex_bytes("1100 0001 deadbeef  0016 01bb 0010 0000 0000000000000000", p + 40, 24);
    assert_int_equal(parse_exact(p, 64, &v, &why), 0); /* first */
    assert_true(v.frag && v.more_frags && v.has_ports);
    assert_int_equal(v.frag_hdr, 40);
    assert_int_equal(v.frag_id, 0xdeadbeef);
    assert_int_equal(v.l4_off, 48);

    store_be16(p + 42, 0x0598); /* last, offset 1432, and its header names an extension header */
    p[40] = IP_PROTO_DSTOPTS;
    assert_int_equal(parse_exact(p, 64, &v, &why), 0);
    assert_true(v.frag && !v.more_frags && !v.has_ports);
    assert_int_equal(v.frag_off, 1432);
    assert_int_equal(v.proto, IP_PROTO_DSTOPTS);
    assert_int_equal(v.l4_off, 48);

    store_be16(p + 42, 0); /* atomic (RFC 6946) */
    p[40] = IP_PROTO_TCP;
    assert_int_equal(parse_exact(p, 64, &v, &why), 0);
    assert_true(!v.frag && v.has_ports);

    p[40] = IP_PROTO_FRAGMENT; /* twice */
    p[48] = IP_PROTO_NONE;
    expect_drop(p, 64, DROP_BAD_HEADER);
    put_ip6(p, 7, IP_PROTO_FRAGMENT);
    expect_drop(p, 47, DROP_TRUNCATED);
}

/* Whatever the bytes are, what the view says lies inside the packet. */
static void the_view_never_points_outside(void **state)
{
    static const uint8_t nexts[] = {0, 43, 44, 51, 60, 135, 6, 17, 58, 59};
    struct rng rng;
    unsigned parsed = 0;

    rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint8_t p[120];
        size_t len = rng_below(&rng, sizeof(p) + 1);
        struct ip_view v;
        enum drop_reason why;

        rng_bytes(&rng, p, sizeof(p));
        p[0] = (uint8_t)(i % 2 ? 0x60 | (p[0] & 15) : 0x40 | (p[0] % 8));
        store_be16(p + (i % 2 ? 4 : 2), (uint16_t)rng_below(&rng, 130));
        for (int k = 6; k < 120 && i % 2; k++)
            if (k == 6 || (k >= 40 && k % 8 == 0))
                p[k] = nexts[rng_below(&rng, ARRAY_LEN(nexts))], p[k + 1] &= 1;
        if (parse_exact(p, len, &v, &why)) {
            assert_true(why == DROP_TRUNCATED || why == DROP_BAD_HEADER || why == DROP_NOT_IP);
            continue;
        }
        parsed++;
        assert_in_range(v.total_len, v.ip_hdr_len, len);
        assert_in_range(v.l4_off, v.ip_hdr_len, v.total_len);
        if (v.has_ports)
            assert_true(v.l4_off + 4u <= v.total_len);
        assert_true(v.frag_off + (v.total_len - v.l4_off) <= 65535);
    }
    assert_true(parsed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_fields),
        cmocka_unit_test(ipv4_options_move_the_transport_header),
        cmocka_unit_test(ipv4_lengths_are_checked),
        cmocka_unit_test(trailing_bytes_are_cut_off),
        cmocka_unit_test(ipv4_fragments),
        cmocka_unit_test(ports_need_four_bytes),
        cmocka_unit_test(ipv6_fields),
        cmocka_unit_test(ipv6_extension_chain),
        cmocka_unit_test(ipv6_extension_chain_is_bounded),
        cmocka_unit_test(ipv6_fragments),
        cmocka_unit_test(the_view_never_points_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
