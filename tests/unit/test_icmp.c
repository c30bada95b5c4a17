#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "packet/icmp.h"
#include "packets.h"

static struct ip_view view_of(const uint8_t *p, size_t len)
{
    struct ip_view v;
    enum drop_reason why;

    assert_int_equal(ip_view_parse(p, len, &v, &why), 0);
    return v;
}

static struct ip_addr addr(const char *s)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(s, &a), 0);
    return a;
}

static void fill(uint8_t *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        p[i] = (uint8_t)(i * 31 + 5);
}

static void ipv4_fragmentation_needed(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct ip_addr me = addr("10.9.9.9");
    static uint8_t p[1500];

    for (unsigned len = 20; len <= 1500; len += 37) {
        struct pkt *a;
        struct ip_view v;
        unsigned quote = MIN(len, 576u - 28);

        put_ip4(p, len, IP_PROTO_UDP, 0x4000);
        fill(p, 20, len);
        v = view_of(p, len);
        assert_int_equal(icmp_too_big(pool, p, &v, &me, 1400, &a), 0);
        assert_int_equal(a->len, 28 + quote);
        assert_int_equal(a->csum_start, 0);
        v = view_of(a->data, a->len);
        assert_int_equal(v.total_len, a->len);
        assert_int_equal(v.proto, IP_PROTO_ICMP4);
        assert_true(ip_addr_equal(&v.src, &me));
        assert_memory_equal(v.dst.b, p + 12, 4);
        assert_int_equal(v.dscp, 48); /* CS6, internetwork control */
        assert_int_equal(plain_csum(0, a->data, 20), 0);
        assert_int_equal(plain_csum(0, a->data + 20, a->len - 20), 0);
        assert_int_equal(a->data[20], 3);
        assert_int_equal(a->data[21], 4);
        assert_int_equal(load_be16(a->data + 24), 0); /* unused (RFC 1191, 4) */
        assert_int_equal(load_be16(a->data + 26), 1400);
        assert_memory_equal(a->data + 28, p, quote);
        pkt_free(pool, a);
    }
    pkt_pool_free(pool);
}

static void ipv6_packet_too_big(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct ip_addr me = addr("2001:db8:9::9");
    static uint8_t p[2000];

    for (unsigned len = 40; len <= 2000; len += 49) {
        struct pkt *a;
        struct ip_view v;
        unsigned quote = MIN(len, 1280u - 48);

        put_ip6(p, len - 40, IP_PROTO_TCP);
        fill(p, 40, len);
        v = view_of(p, len);
        assert_int_equal(icmp_too_big(pool, p, &v, &me, 1380, &a), 0);
        assert_int_equal(a->len, 48 + quote);
        v = view_of(a->data, a->len);
        assert_int_equal(v.total_len, a->len);
        assert_int_equal(v.proto, IP_PROTO_ICMP6);
        assert_true(ip_addr_equal(&v.src, &me));
        assert_memory_equal(v.dst.b, p + 8, 16);
        assert_int_equal(plain_csum(plain_pseudo(a->data + 8, a->data + 24, 16, 58, a->len - 40),
                                    a->data + 40, a->len - 40),
                         0);
        assert_int_equal(a->data[40], 2);
        assert_int_equal(a->data[41], 0);
        assert_int_equal(load_be32(a->data + 44), 1380);
        assert_memory_equal(a->data + 48, p, quote);
        pkt_free(pool, a);
    }
    pkt_pool_free(pool);
}

static void who_gets_no_answer_ipv4(void **state)
{
    static const char *const bad_src[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1",
                                          "224.0.0.1", "255.255.255.255", "240.0.0.1"};
    static const char *const bad_dst[] = {"224.0.0.251", "239.1.1.1", "255.255.255.255"};
    static const uint8_t errors[] = {3, 4, 5, 11, 12}, infos[] = {0, 8, 13, 14};
    uint8_t p[60] = {0};
    struct ip_view v;

    put_ip4(p, 60, IP_PROTO_UDP, 0);
    v = view_of(p, 60);
    assert_true(icmp_may_answer(p, &v));
    for (unsigned i = 0; i < ARRAY_LEN(bad_src); i++) {
        memcpy(p + 12, addr(bad_src[i]).b, 4);
        v = view_of(p, 60);
        assert_false(icmp_may_answer(p, &v));
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad_dst); i++) {
        put_ip4(p, 60, IP_PROTO_UDP, 0);
        memcpy(p + 16, addr(bad_dst[i]).b, 4);
        v = view_of(p, 60);
        assert_false(icmp_may_answer(p, &v));
    }
    put_ip4(p, 60, IP_PROTO_UDP, 0x2000);
    v = view_of(p, 60);
    assert_true(icmp_may_answer(p, &v)); /* the first fragment */
    put_ip4(p, 60, IP_PROTO_UDP, 0x0001);
    v = view_of(p, 60);
    assert_false(icmp_may_answer(p, &v)); /* a later one */

    put_ip4(p, 60, IP_PROTO_ICMP4, 0);
    v = view_of(p, 60);
    for (unsigned i = 0; i < ARRAY_LEN(errors); i++) {
        p[20] = errors[i];
        assert_false(icmp_may_answer(p, &v));
    }
    for (unsigned i = 0; i < ARRAY_LEN(infos); i++) {
        p[20] = infos[i];
        assert_true(icmp_may_answer(p, &v));
    }
    put_ip4(p, 20, IP_PROTO_ICMP4, 0); /* no type to look at */
    v = view_of(p, 20);
    assert_false(icmp_may_answer(p, &v));
}

static void who_gets_no_answer_ipv6(void **state)
{
    static const char *const bad_src[] = {"::", "::1", "ff02::1"};
    uint8_t p[60] = {0};
    struct ip_view v;

    put_ip6(p, 20, IP_PROTO_ICMP6);
    v = view_of(p, 60);
    for (unsigned type = 0; type < 256; type++) {
        p[40] = (uint8_t)type;
        assert_int_equal(icmp_may_answer(p, &v), type >= 128 && type != 137);
    }
    put_ip6(p, 20, IP_PROTO_UDP);
    v = view_of(p, 60);
    assert_true(icmp_may_answer(p, &v));
    memcpy(p + 24, addr("ff05::2").b, 16);
    v = view_of(p, 60);
    assert_false(icmp_may_answer(p, &v));
    for (unsigned i = 0; i < ARRAY_LEN(bad_src); i++) {
        put_ip6(p, 20, IP_PROTO_UDP);
        memcpy(p + 8, addr(bad_src[i]).b, 16);
        v = view_of(p, 60);
        assert_false(icmp_may_answer(p, &v));
    }
    /* An ICMPv6 error behind an extension header is still an error. */
    put_ip6(p, 20, IP_PROTO_DSTOPTS);
    memset(p + 40, 0, 20);
    p[40] = IP_PROTO_ICMP6, p[48] = 1;
    v = view_of(p, 60);
    assert_false(icmp_may_answer(p, &v));
    p[48] = 128;
    assert_true(icmp_may_answer(p, &v));
}

static void failures_leave_the_output(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct ip_addr me4 = addr("10.9.9.9"), me6 = addr("2001:db8:9::9");
    struct pkt *a = NULL, *b = NULL;
    uint8_t p[60] = {0};
    struct ip_view v;

    put_ip4(p, 60, IP_PROTO_UDP, 0);
    v = view_of(p, 60);
    assert_int_equal(icmp_too_big(pool, p, &v, &me6, 1400, &a), -EINVAL);
    assert_int_equal(icmp_too_big(pool, p, &v, &me4, 67, &a), -EINVAL);
    assert_null(a);
    assert_int_equal(icmp_too_big(pool, p, &v, &me4, 70000, &a), 0);
    assert_int_equal(load_be16(a->data + 26), 65535);
    assert_int_equal(icmp_too_big(pool, p, &v, &me4, 1400, &b), -ENOBUFS);
    pkt_free(pool, a);
    put_ip6(p, 20, IP_PROTO_UDP);
    v = view_of(p, 60);
    assert_int_equal(icmp_too_big(pool, p, &v, &me6, 1279, &b), -EINVAL);
    put_ip6(p, 20, IP_PROTO_ICMP6);
    p[40] = 1;
    v = view_of(p, 60);
    assert_int_equal(icmp_too_big(pool, p, &v, &me6, 1280, &b), -EPERM);
    assert_null(b);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_fragmentation_needed), cmocka_unit_test(ipv6_packet_too_big),
        cmocka_unit_test(who_gets_no_answer_ipv4),   cmocka_unit_test(who_gets_no_answer_ipv6),
        cmocka_unit_test(failures_leave_the_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
