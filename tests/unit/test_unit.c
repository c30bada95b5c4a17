/* What becomes of a unit that has come: a packet, a super-packet, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "bond/unit.h"
#include "super_packets.h"
#include "wire/packed.h"

enum { PACKET_MAX = 1500 };

static struct pkt_pool *pool;

static int setup(void **state)
{
    pool = pkt_pool_new(4, 4);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(pkt_pool_in_use(pool), 0);
    pkt_pool_free(pool);
    return 0;
}

/* A run as it comes: nothing but its kind and its segments is known. */
static struct pkt *run(const struct super_spec *s, uint16_t segment)
{
    struct pkt *pkt = super_pkt(pool, s, segment);

    pkt->csum_start = pkt->csum_offset = 0;
    return pkt;
}

static struct pkt *packet(uint32_t len)
{
    const struct super_spec s = {.version = 4, .proto = IP_PROTO_UDP, .payload = len - 28};
    struct pkt *pkt = run(&s, 0);

    pkt->len = super_build(&s, pkt->data);
    pkt->gso = PKT_GSO_NONE;
    return pkt;
}

static void assert_refused(struct pkt *pkt, enum drop_reason want)
{
    enum drop_reason why = DROP_COUNT;
    struct ip_view v;

    assert_int_equal(unit_settle(pkt, PACKET_MAX, &v, &why), -EBADMSG);
    assert_int_equal(why, want);
    pkt_free(pool, pkt);
}

static void assert_taken(struct pkt *pkt, enum pkt_gso gso)
{
    enum drop_reason why;
    struct ip_view v;

    assert_int_equal(unit_settle(pkt, PACKET_MAX, &v, &why), 0);
    assert_int_equal(pkt->gso, gso);
    assert_int_equal(v.total_len, pkt->len);
    pkt_free(pool, pkt);
}

static void a_packet_has_its_bound(void **state)
{
    assert_taken(packet(60), PKT_GSO_NONE);
    assert_taken(packet(PACKET_MAX), PKT_GSO_NONE);
    assert_refused(packet(PACKET_MAX + 1), DROP_TOO_BIG);
    assert_refused(packet(65535), DROP_TOO_BIG);
}

static void what_is_behind_a_packet_is_cut_off(void **state)
{
    struct pkt *pkt = packet(PACKET_MAX);

    pkt->len += 100;
    assert_taken(pkt, PKT_GSO_NONE);
}

static void a_run_has_segments_that_fit(void **state)
{
    struct super_spec s = {
        .version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 10 * 1460};

    assert_taken(run(&s, 1460), PKT_GSO_TCP4);
    assert_refused(run(&s, 1461), DROP_TOO_BIG);
    s.payload = 1460;
    assert_taken(run(&s, 1460), PKT_GSO_NONE);
    assert_taken(run(&s, 2000), PKT_GSO_NONE); /* one that is shorter */
    s.payload = 1461;
    assert_refused(run(&s, 2000), DROP_TOO_BIG);
}

static void a_run_has_so_many_segments(void **state)
{
    struct super_spec s = {.version = 6,
                           .proto = IP_PROTO_TCP,
                           .flags = 0x10,
                           .payload = PACKED_SEGMENTS_MAX * PACKED_SEGMENT_MIN};

    assert_taken(run(&s, PACKED_SEGMENT_MIN), PKT_GSO_TCP6);
    s.payload++;
    assert_refused(run(&s, PACKED_SEGMENT_MIN), DROP_MALFORMED);
}

static void a_run_is_what_its_headers_say(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 5000};
    struct pkt *pkt = run(&s, 1000);

    pkt->gso = PKT_GSO_UDP;
    assert_refused(pkt, DROP_MALFORMED);
    pkt = run(&s, 1000);
    pkt->len++;
    assert_refused(pkt, DROP_MALFORMED);
    s.flags = 0x02; /* SYN */
    assert_refused(run(&s, 1000), DROP_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_has_its_bound),
        cmocka_unit_test(what_is_behind_a_packet_is_cut_off),
        cmocka_unit_test(a_run_has_segments_that_fit),
        cmocka_unit_test(a_run_has_so_many_segments),
        cmocka_unit_test(a_run_is_what_its_headers_say),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
