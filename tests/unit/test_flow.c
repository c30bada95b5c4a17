#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "packet/flow.h"
#include "packets.h"

static const struct siphash_key key = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

/* The vectors of the SipHash paper (15 bytes) and of its reference code. */
static void siphash24_vectors(void **state)
{
    uint8_t in[64];

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    assert_int_equal(siphash24(&key, in, 0), UINT64_C(0x726fdb47dd0e0e31));
    assert_int_equal(siphash24(&key, in, 8), UINT64_C(0x93f5f5799a932462));
    assert_int_equal(siphash24(&key, in, 15), UINT64_C(0xa129ca6149be45e5));
}

/* Key 0; the values are those of Python 3.11's hash() of bytes(range(n)) with hash seed 0. */
static void siphash13_vectors(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } v[] = {
        {1, UINT64_C(0x68a914128e01e473)},  {7, UINT64_C(0x2f098ab0c751325a)},
        {8, UINT64_C(0xead411e67ebe2eea)},  {15, UINT64_C(0xf30eb725bb91c9ea)},
        {16, UINT64_C(0x8972188433a5c5b7)}, {40, UINT64_C(0x95bc321ab41d8206)},
    };
    static const struct siphash_key zero;
    uint8_t in[64];

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    for (unsigned i = 0; i < ARRAY_LEN(v); i++)
        assert_int_equal(siphash13(&zero, in, v[i].len), v[i].hash);
}

static uint64_t hash(const uint8_t *p, size_t len)
{
    struct ip_view v;
    enum drop_reason why;

    assert_int_equal(ip_view_parse(p, len, &v, &why), 0);
    return flow_hash(&key, p, &v);
}

static void the_five_tuple_decides(void **state)
{
    uint8_t p[60], q[60];
    uint64_t h;

    put_ip4(p, 60, IP_PROTO_UDP, 0);
    memset(p + 20, 1, 40);
    h = hash(p, 60);
    memcpy(q, p, 60);
    q[1] = 0xff, q[8] = 3, q[4] = 9, q[50] = 77; /* TOS, TTL, id, payload: the same flow */
    assert_int_equal(hash(q, 60), h);
    static const unsigned parts[] = {9, 12, 15, 16, 19, 20, 21, 22, 23};
    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        memcpy(q, p, 60);
        q[parts[i]] ^= parts[i] == 9 ? IP_PROTO_UDP ^ IP_PROTO_TCP : 1;
        assert_int_not_equal(hash(q, 60), h);
    }
    memcpy(q + 12, p + 16, 4); /* the other direction is another flow */
    memcpy(q + 16, p + 12, 4);
    assert_int_not_equal(hash(q, 60), h);
}

static void fragments_of_one_packet_stay_together(void **state)
{
    uint8_t first[60], later[60];

    put_ip4(first, 60, IP_PROTO_UDP, 0x2000);
    put_ip4(later, 60, IP_PROTO_UDP, 0x0005);
    memset(first + 20, 1, 40);
    memset(later + 20, 2, 40);
    assert_int_equal(hash(first, 60), hash(later, 60));

    put_ip4(first, 60, IP_PROTO_ICMP4, 0x2000); /* a large ping: its identifier does not count */
    put_ip4(later, 60, IP_PROTO_ICMP4, 0x0005);
    hex_bytes("0800 0000 abcd 0001", first + 20, 8);
    assert_int_equal(hash(first, 60), hash(later, 60));

    put_ip6(first, 20, IP_PROTO_FRAGMENT);
    hex_bytes("3c00 0001 00000001 1100 010400000000 00000000", first + 40, 20);
    put_ip6(later, 20, IP_PROTO_FRAGMENT);
    hex_bytes("3c00 0008 00000001 0102 030405060708 090a0b0c", later + 40, 20);
    assert_int_equal(hash(first, 60), hash(later, 60));
}

static void icmp_goes_by_identifier(void **state)
{
    uint8_t p[28], q[48];
    uint64_t h;

    put_ip4(p, 28, IP_PROTO_ICMP4, 0);
    hex_bytes("0800 0000 abcd 0001", p + 20, 8);
    h = hash(p, 28);
    p[27] = 2; /* next sequence number */
    assert_int_equal(hash(p, 28), h);
    p[25] ^= 1; /* another ping */
    assert_int_not_equal(hash(p, 28), h);
    p[20] = 3; /* an error has no identifier there */
    h = hash(p, 28);
    p[25] ^= 1;
    assert_int_equal(hash(p, 28), h);

    put_ip6(q, 8, IP_PROTO_ICMP6);
    hex_bytes("8000 0000 abcd 0001", q + 40, 8);
    h = hash(q, 48);
    q[44] ^= 1;
    assert_int_not_equal(hash(q, 48), h);
    put_ip6(q, 7, IP_PROTO_ICMP6); /* too short to hold one */
    h = hash(q, 47);
    q[44] ^= 1;
    assert_int_equal(hash(q, 47), h);
}

/* Flows that differ in one port fill buckets evenly: chi-squared over 64 buckets, whose 99.9 %
 * quantile for 63 degrees of freedom is 103. */
static void flows_spread_evenly(void **state)
{
    enum { BUCKETS = 64, FLOWS = 6400 };
    unsigned n[BUCKETS] = {0};
    double expected = (double)FLOWS / BUCKETS, chi2 = 0;
    uint8_t p[60];

    put_ip4(p, 60, IP_PROTO_TCP, 0);
    memset(p + 20, 0, 40);
    for (unsigned i = 0; i < FLOWS; i++) {
        store_be16(p + 20, (uint16_t)(1024 + i));
        n[hash(p, 60) % BUCKETS]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        chi2 += (n[i] - expected) * (n[i] - expected) / expected;
    assert_true(chi2 < 103);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash24_vectors),
        cmocka_unit_test(siphash13_vectors),
        cmocka_unit_test(the_five_tuple_decides),
        cmocka_unit_test(fragments_of_one_packet_stay_together),
        cmocka_unit_test(icmp_goes_by_identifier),
        cmocka_unit_test(flows_spread_evenly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
