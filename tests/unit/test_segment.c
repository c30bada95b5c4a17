/* Super-packets and their segments. Each segment is compared, byte by byte, with the packet that
 * a host would have made for that piece of the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "packet/segment.h"
#include "packet/super.h"
#include "super_packets.h"

static struct pkt_pool *pool;

static int setup(void **state)
{
    pool = pkt_pool_new(4, 2);
    return pool ? 0 : -1;
}

static int teardown(void **state)
{
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
    return 0;
}

static int settle(struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), 0);
    return super_settle(pkt, &v);
}

/* The packet that carries the payload from `at` on, as its sender would have made it. */
static uint32_t expected(const struct super_spec *super, uint32_t gso_size, uint32_t at,
                         uint8_t *out)
{
    struct super_spec s = *super;

    s.payload = MIN(super->payload - at, gso_size);
    s.first += at;
    s.id = (uint16_t)(s.id + at / gso_size);
    s.seq += at;
    if (at)
        s.flags &= 0x7f;
    if (at + s.payload < super->payload)
        s.flags &= 0xf6;
    if (s.flags & 0x20 && s.urgent > at) {
        s.urgent = (uint16_t)(s.urgent - at);
    } else if (at) {
        s.urgent = 0;
        s.flags &= 0xdf;
    }
    return super_build(&s, out);
}

static void check_all_segments(const struct super_spec *s, uint16_t gso_size)
{
    static uint8_t want[SUPER_BYTES_MAX];
    struct pkt *super = super_pkt(pool, s, gso_size), *pkt;
    uint32_t at = 0;

    super->queued_ns = 7;
    super->flow = 8;
    assert_int_equal(settle(super), 0);
    if (s->payload <= gso_size) {
        assert_int_equal(super->gso, PKT_GSO_NONE);
        assert_int_equal(super->csum_start, 0);
        assert_int_equal(super->len, expected(s, gso_size, 0, want));
        assert_memory_equal(super->data, want, super->len);
        pkt_free(pool, super);
        return;
    }
    assert_int_equal(super->hdr_len, super_hdr_len(s));
    for (; segment_left(super); at += gso_size) {
        assert_int_equal(super->taken, at);
        assert_int_equal(segment_left(super), s->payload - at);
        pkt = segment_take(pool, super);
        assert_int_equal(pkt->len, expected(s, gso_size, at, want));
        assert_true(pkt->len <= segment_max(super));
        assert_memory_equal(pkt->data, want, pkt->len);
        assert_int_equal(pkt->gso, PKT_GSO_NONE);
        assert_int_equal(pkt->csum_start, 0);
        assert_int_equal(pkt->queued_ns, 7);
        assert_int_equal(pkt->flow, 8);
        pkt_free(pool, pkt);
    }
    assert_true(at >= s->payload);
    pkt_free(pool, super);
}

static void random_super_packets(void **state)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (int i = 0; i < 600; i++) {
        struct super_spec s = super_random(&rng, i % 8 ? 6000 : 65000);
        uint16_t gso_size = (uint16_t)(1 + rng_below(&rng, i % 8 ? 1460 : 9000));

        if (s.version == 6)
            s.ext = (uint8_t)(8 * rng_below(&rng, 4));
        check_all_segments(&s, gso_size);
    }
}

static struct super_spec plain_tcp(void)
{
    return (struct super_spec){.version = 4,
                               .proto = IP_PROTO_TCP,
                               .ttl = 64,
                               .flags = 0x10,
                               .options = 12,
                               .payload = 5000};
}

static void the_largest_super_packet(void **state)
{
    struct super_spec s = plain_tcp();

    s.payload = 65535 - super_hdr_len(&s);
    check_all_segments(&s, 1188);
    s.payload = 65535 - super_hdr_len(&s);
    check_all_segments(&s, 65000);
}

static void sequence_numbers_wrap(void **state)
{
    struct super_spec s = plain_tcp();

    s.seq = 0xfffffc00;
    s.id = 0xffff;
    check_all_segments(&s, 1000);
}

static void an_urgent_pointer_moves_along(void **state)
{
    struct super_spec s = plain_tcp();

    s.flags |= 0x20;
    for (s.urgent = 999; s.urgent < 5003; s.urgent = (uint16_t)(s.urgent + 1001))
        check_all_segments(&s, 1000);
}

/* A sum that happens to be 0 is written as 0xffff (for UDP 0 would mean "none"): the two bytes of
 * payload are chosen to make it so. */
static void a_zero_checksum_is_not_written(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_UDP, .ttl = 1, .payload = 4};
    struct pkt *super = super_pkt(pool, &s, 2);
    uint8_t out[64];

    assert_int_equal(settle(super), 0);
    store_be16(super->data + 28, 0);
    segment_write(super, 0, out);
    store_be16(super->data + 28, load_be16(out + 26));
    segment_write(super, 0, out);
    assert_int_equal(load_be16(out + 26), 0xffff);
    assert_int_equal(super_l4_csum(out, 20, 30, 17), 0);
    pkt_free(pool, super);
}

static void one_segment_is_marked(void **state)
{
    struct super_spec s = plain_tcp();
    struct pkt *super, *pkt;

    for (s.version = 4; s.version <= 6; s.version += 2) {
        s.tos = 0x42; /* ECT(0) */
        super = super_pkt(pool, &s, 1000);
        assert_int_equal(settle(super), 0);
        for (unsigned i = 0; i < 5; i++) {
            super->mark = i == 2;
            pkt = segment_take(pool, super);
            assert_int_equal((s.version == 4 ? pkt->data[1] : pkt->data[1] >> 4) & 3,
                             i == 2 ? 3 : 2);
            if (s.version == 4)
                assert_int_equal(plain_csum(0, pkt->data, 20), 0);
            assert_false(super->mark);
            pkt_free(pool, pkt);
        }
        pkt_free(pool, super);
    }
}

static void without_a_buffer_nothing_is_taken(void **state)
{
    struct super_spec s = plain_tcp();
    struct pkt *super = super_pkt(pool, &s, 1000), *held[4];

    assert_int_equal(settle(super), 0);
    for (unsigned i = 0; i < 4; i++)
        held[i] = pkt_new(pool, 1);
    super->mark = true;
    assert_null(segment_take(pool, super));
    assert_int_equal(super->taken, 0);
    assert_true(super->mark);
    for (unsigned i = 0; i < 4; i++)
        pkt_free(pool, held[i]);
    pkt_free(pool, super);
}

/* What comes back from segments is a super-packet as the kernel takes it. */
static void finishing_is_for_all_of_it(void **state)
{
    struct super_spec s = {.version = 6, .proto = IP_PROTO_UDP, .ttl = 9, .payload = 3000};
    struct pkt *super = super_pkt(pool, &s, 1000);
    uint32_t sum;

    super->len -= 500;
    super_finish(super);
    assert_int_equal(load_be16(super->data + 4), super->len - 40);
    assert_int_equal(load_be16(super->data + 44), super->len - 40);
    sum = plain_pseudo(super->data + 8, super->data + 24, 16, 17, super->len - 40);
    assert_int_equal(load_be16(super->data + 46), sum);
    pkt_free(pool, super);
}

/* --- what is no super-packet ------------------------------------------------------------ */

static void refused(const struct super_spec *s, uint16_t gso_size, void (*spoil)(struct pkt *pkt),
                    const char *what)
{
    struct pkt *super = super_pkt(pool, s, gso_size);

    if (spoil)
        spoil(super);
    if (settle(super) != -EINVAL)
        fail_msg("accepted: %s", what);
    pkt_free(pool, super);
}

static void is_tcp6(struct pkt *p)
{
    p->gso = PKT_GSO_TCP6;
}
static void is_udp(struct pkt *p)
{
    p->gso = PKT_GSO_UDP;
}
static void is_unknown(struct pkt *p)
{
    p->gso = PKT_GSO_COUNT;
}
static void no_checksum(struct pkt *p)
{
    p->csum_start = 0;
}
static void checksum_elsewhere(struct pkt *p)
{
    p->csum_start += 4;
}
static void other_field(struct pkt *p)
{
    p->csum_offset -= 2;
}
static void short_offset(struct pkt *p)
{
    p->data[32] = 0x40;
}
static void long_offset(struct pkt *p)
{
    p->len = 60;
    store_be16(p->data + 2, 60);
}
static void is_fragment(struct pkt *p)
{
    p->data[6] = 0x20;
}
static void later_fragment(struct pkt *p)
{
    p->data[7] = 1;
}
static void has_syn(struct pkt *p)
{
    p->data[33] |= 2;
}
static void has_rst(struct pkt *p)
{
    p->data[33] |= 4;
}
static void is_headers_only(struct pkt *p)
{
    p->len = 52;
    store_be16(p->data + 2, 52);
}
static void udp_too_long(struct pkt *p)
{
    store_be16(p->data + 24, (uint16_t)(p->len - 19));
}
static void udp_too_short(struct pkt *p)
{
    store_be16(p->data + 24, (uint16_t)(p->len - 21));
}
static void routing(struct pkt *p)
{
    p->data[6] = 43;
}
static void mobility(struct pkt *p)
{
    p->data[6] = 135;
}
static void atomic_fragment(struct pkt *p)
{
    p->data[6] = 44;
    memset(p->data + 41, 0, 7);
}

static void contradictions(void **state)
{
    struct super_spec tcp = plain_tcp(), udp = tcp, six = tcp;

    udp.proto = IP_PROTO_UDP;
    six.version = 6;
    six.ext = 8;
    refused(&tcp, 0, NULL, "no segment size");
    refused(&tcp, 1000, is_tcp6, "IPv4 as IPv6");
    refused(&tcp, 1000, is_udp, "TCP as UDP");
    refused(&udp, 1000, is_tcp6, "UDP as TCP");
    refused(&tcp, 1000, is_unknown, "unknown kind");
    refused(&tcp, 1000, no_checksum, "without a checksum to complete");
    refused(&tcp, 1000, checksum_elsewhere, "another start of the checksum");
    refused(&tcp, 1000, other_field, "another checksum field");
    refused(&tcp, 1000, short_offset, "a TCP header of 16 bytes");
    refused(&tcp, 1000, is_headers_only, "no payload");
    refused(&tcp, 1000, is_fragment, "a first fragment");
    refused(&tcp, 1000, later_fragment, "a later fragment");
    refused(&tcp, 1000, has_syn, "SYN");
    refused(&tcp, 1000, has_rst, "RST");
    refused(&udp, 1000, udp_too_long, "a UDP length behind the packet");
    refused(&udp, 1000, udp_too_short, "a UDP length inside the packet");
    refused(&six, 1000, mobility, "a mobility header");
    refused(&six, 1000, atomic_fragment, "a fragment header");
    refused(&six, 1000, routing, "a routing header in use");
    tcp.options = 40;
    refused(&tcp, 1, long_offset, "a TCP header longer than the packet");
}

static void a_used_routing_header_is_repeated(void **state)
{
    struct super_spec s = plain_tcp();
    struct pkt *super;

    s.version = 6;
    s.ext = 8;
    super = super_pkt(pool, &s, 1000);
    super->data[6] = 43;
    super->data[43] = 0;
    assert_int_equal(settle(super), 0);
    assert_int_equal(super->hdr_len, 80);
    pkt_free(pool, super);
}

static void ordinary_packets_are_completed(void **state)
{
    struct super_spec s = plain_tcp();
    struct pkt *pkt;

    s.payload = 501;
    pkt = super_pkt(pool, &s, 0);
    pkt->gso = PKT_GSO_NONE;
    super_finish(pkt);
    assert_int_equal(settle(pkt), 0);
    assert_int_equal(super_l4_csum(pkt->data, 20, pkt->len, 6), 0);
    assert_int_equal(pkt->csum_start, 0);
    pkt->csum_start = 12; /* inside the IP header */
    pkt->csum_offset = 4;
    assert_int_equal(settle(pkt), -EINVAL);
    pkt->csum_start = 20;
    pkt->csum_offset = 600;
    assert_int_equal(settle(pkt), -EINVAL);
    pkt->csum_start = 0; /* nothing to do */
    assert_int_equal(settle(pkt), 0);
    pkt_free(pool, pkt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_super_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(the_largest_super_packet, setup, teardown),
        cmocka_unit_test_setup_teardown(sequence_numbers_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(an_urgent_pointer_moves_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_zero_checksum_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(one_segment_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_buffer_nothing_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(finishing_is_for_all_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(contradictions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_used_routing_header_is_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(ordinary_packets_are_completed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
