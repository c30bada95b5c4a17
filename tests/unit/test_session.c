/* The data plane of one session, with a tunnel that the test plays itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bond/session.h"
#include "packet/ip.h"
#include "super_packets.h"

enum { BUFFERS = 4096, MAX = 1400 };
static const uint64_t T0 = 100 * NS_PER_S;

struct fixture {
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct session s;
    unsigned kicks, delivered, received;
    uint8_t last[2048]; /* the packet delivered last */
    uint32_t last_len;
};

static void on_deliver(void *user, struct pkt *pkt)
{
    struct fixture *f = user;

    f->delivered++;
    f->last_len = pkt->len;
    memcpy(f->last, pkt->data, pkt->len);
    pkt_free(f->pool, pkt);
}

static void on_kick(void *user)
{
    struct fixture *f = user;

    assert_true(f->s.attached);
    f->kicks++;
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct session_opts o = {.drops = &f->drops,
                             .own = {addr("10.0.0.254"), addr("2001:db8::fe")},
                             .deliver = on_deliver,
                             .deliver_user = f,
                             .kick = on_kick,
                             .kick_user = f};

    f->pool = o.pool = pkt_pool_new(BUFFERS, 8);
    session_init(&f->s, &o);
    session_attach(&f->s);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    session_done(&f->s);
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
    pkt_pool_free(f->pool);
    free(f);
    return 0;
}

static uint64_t all_drops(const struct fixture *f)
{
    uint64_t n = 0;

    for (int i = 0; i < DROP_COUNT; i++)
        n += f->drops.n[i];
    return n;
}

/* One packet was dropped, for this reason. */
static void expect_drop(struct fixture *f, enum drop_reason why)
{
    if (f->drops.n[why] != 1 || all_drops(f) != 1)
        fail_msg("not one %s", drop_name(why));
    f->drops.n[why] = 0;
}

static struct pkt *packet(struct fixture *f, const uint8_t *data, size_t len)
{
    struct pkt *pkt = pkt_new(f->pool, len);

    assert_non_null(pkt);
    memcpy(pkt->data, data, len);
    pkt->len = (uint32_t)len;
    return pkt;
}

/* An IPv4 packet of the usual addresses from the TUN. */
static void send4(struct fixture *f, size_t len, uint16_t frag_field)
{
    uint8_t p[2048] = {0};

    put_ip4(p, (unsigned)len, 17, frag_field);
    for (size_t i = 20; i < len; i++)
        p[i] = (uint8_t)i;
    session_send(&f->s, T0, packet(f, p, len));
}

static void send6(struct fixture *f, size_t len)
{
    uint8_t p[2048] = {0};

    put_ip6(p, (unsigned)len - 40, 17);
    session_send(&f->s, T0, packet(f, p, len));
}

static struct pkt *pull(struct fixture *f, size_t max)
{
    return session_pull(&f->s, T0, max, true);
}

/* --- out ------------------------------------------------------------------------------- */

static void packets_are_pulled_in_order(void **state)
{
    struct fixture *f = *state;

    for (size_t len = 100; len <= 300; len += 100)
        send4(f, len, 0);
    assert_int_equal(f->kicks, 3);
    for (size_t len = 100; len <= 300; len += 100) {
        struct pkt *pkt = pull(f, MAX);

        assert_int_equal(pkt->len, len);
        assert_int_equal(pkt->data[len - 1], (uint8_t)(len - 1));
        pkt_free(f->pool, pkt);
    }
    assert_null(pull(f, MAX));
    assert_int_equal(f->s.stats.tx_packets, 3);
    assert_int_equal(f->s.stats.tx_bytes, 600);
    assert_int_equal(all_drops(f), 0);
}

static void bytes_behind_the_packet_do_not_travel(void **state)
{
    struct fixture *f = *state;
    uint8_t p[64] = {0};
    struct pkt *pkt;

    put_ip4(p, 40, 17, 0);
    session_send(&f->s, T0, packet(f, p, sizeof(p)));
    pkt = pull(f, MAX);
    assert_int_equal(pkt->len, 40);
    pkt_free(f->pool, pkt);
}

static void without_a_tunnel_nothing_waits(void **state)
{
    struct fixture *f = *state;

    send4(f, 100, 0);
    send4(f, 100, 0);
    session_detach(&f->s);
    assert_int_equal(f->drops.n[DROP_NO_SESSION], 2); /* stale when the next tunnel is up */
    send4(f, 100, 0);
    assert_int_equal(f->drops.n[DROP_NO_SESSION], 3);
    assert_int_equal(f->kicks, 2);
    assert_null(pull(f, MAX));
    session_attach(&f->s);
    send4(f, 100, 0);
    assert_int_equal(f->kicks, 3);
}

static void the_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    unsigned fit = SESSION_QUEUE_BYTES / 1400;

    for (unsigned i = 0; i < fit + 10; i++)
        send4(f, 1400, 0);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 10);
    assert_int_equal(pkt_pool_in_use(f->pool), fit);
    pkt_free(f->pool, pull(f, MAX));
    send4(f, 1400, 0);
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 10);
}

/* What must not leave, by IPv4 and IPv6. */
static void scopes_stay_out(void **state)
{
    static const struct {
        const char *src, *dst;
        enum drop_reason why;
    } bad[] = {
        {"169.254.1.1", "10.0.0.2", DROP_LINK_LOCAL},
        {"10.0.0.1", "169.254.255.255", DROP_LINK_LOCAL},
        {"10.0.0.1", "224.0.0.5", DROP_MULTICAST},
        {"10.0.0.1", "239.255.255.250", DROP_MULTICAST},
        {"224.0.0.1", "10.0.0.2", DROP_MULTICAST},
        {"fe80::1", "2001:db8::2", DROP_LINK_LOCAL},
        {"2001:db8::1", "febf::1", DROP_LINK_LOCAL},
        {"2001:db8::1", "ff02::1", DROP_MULTICAST},
        {"ff05::2", "2001:db8::2", DROP_MULTICAST},
        {"fe80::1", "ff02::16", DROP_LINK_LOCAL},
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct ip_addr src = addr(bad[i].src), dst = addr(bad[i].dst);
        uint8_t p[100] = {0};

        if (src.family == 4) {
            put_ip4(p, sizeof(p), 17, 0);
            memcpy(p + 12, src.b, 4);
            memcpy(p + 16, dst.b, 4);
        } else {
            put_ip6(p, sizeof(p) - 40, 17);
            memcpy(p + 8, src.b, 16);
            memcpy(p + 24, dst.b, 16);
        }
        session_send(&f->s, T0, packet(f, p, sizeof(p)));
        expect_drop(f, bad[i].why);
        session_rx(&f->s, p, sizeof(p));
        expect_drop(f, bad[i].why);
    }
    assert_int_equal(f->kicks, 0);
    assert_int_equal(f->delivered, 0);
}

static void what_is_no_packet_is_dropped(void **state)
{
    struct fixture *f = *state;
    uint8_t p[100] = {0};

    session_send(&f->s, T0, packet(f, p, 0));
    expect_drop(f, DROP_NOT_IP);
    session_rx(&f->s, p, 0);
    expect_drop(f, DROP_NOT_IP);
    p[0] = 0x55;
    session_rx(&f->s, p, 40);
    expect_drop(f, DROP_NOT_IP);
    put_ip4(p, 100, 17, 0);
    session_rx(&f->s, p, 99);
    expect_drop(f, DROP_TRUNCATED);
    session_send(&f->s, T0, packet(f, p, 19));
    expect_drop(f, DROP_TRUNCATED);
    p[0] = 0x44;
    session_rx(&f->s, p, 100);
    expect_drop(f, DROP_BAD_HEADER);
    assert_int_equal(f->delivered, 0);
}

/* The kernel hands out packets whose checksum is the device's to complete. */
static void checksums_are_completed(void **state)
{
    struct fixture *f = *state;
    uint8_t p[28] = {0};
    struct pkt *pkt;

    put_ip4(p, sizeof(p), 17, 0);
    pkt = packet(f, p, sizeof(p));
    pkt->csum_start = 20;
    pkt->csum_offset = 6;
    session_send(&f->s, T0, pkt);
    pkt = pull(f, MAX);
    assert_int_equal(pkt->csum_start, 0);
    assert_int_equal(load_be16(pkt->data + 26), 0xffff); /* the sum over zeros, never sent as 0 */
    pkt_free(f->pool, pkt);

    pkt = packet(f, p, sizeof(p));
    pkt->csum_start = 20;
    pkt->csum_offset = 60; /* outside */
    session_send(&f->s, T0, pkt);
    expect_drop(f, DROP_MALFORMED);
}

/* --- a peer that does not take what it is sent ------------------------------------------- */

/* What is too large for the path as far as it is known waits aside, as a share of the buffers: not
 * by its bytes, of which small packets have few. */
static void what_is_held_is_a_share_of_the_buffers(void **state)
{
    struct fixture *f = *state;
    unsigned least = BUFFERS;

    for (unsigned i = 0; i < 2 * BUFFERS; i++) {
        send4(f, 60, 0);
        assert_null(session_pull(&f->s, T0, 57, false));
        least = MIN(least, BUFFERS - pkt_pool_in_use(f->pool));
    }
    assert_true(least >= BUFFERS * 3 / 4);
    assert_int_equal(pkt_pool_in_use(f->pool) + f->drops.n[DROP_QUEUE_FULL], 2 * BUFFERS);
}

static void what_is_held_becomes_stale(void **state)
{
    struct fixture *f = *state;
    struct pkt *pkt;

    for (unsigned i = 0; i < 10; i++)
        send4(f, MAX, 0x4000);
    assert_null(session_pull(&f->s, T0, 1200, false));
    assert_int_equal(session_queued(&f->s), 10);
    assert_true(session_age(&f->s, T0 + SESSION_AGE_MAX_NS));
    assert_int_equal(f->drops.n[DROP_STALE], 0);
    send4(f, 100, 0);
    pkt = session_pull(&f->s, T0 + NS_PER_MS, 1200, false);
    assert_int_equal(pkt->len, 100);
    pkt_free(f->pool, pkt);
    assert_false(session_age(&f->s, T0 + SESSION_AGE_MAX_NS + 1));
    assert_int_equal(f->drops.n[DROP_STALE], 10);
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
}

/* Nobody pulls: a lane whose peer acknowledges nothing. */
static void the_queue_becomes_stale_unasked(void **state)
{
    struct fixture *f = *state;

    send4(f, 1600, 0);
    send6(f, 700);
    pkt_free(f->pool, pull(f, 800)); /* the first piece; the others are next */
    assert_int_equal(session_queued(&f->s), 3);
    assert_true(session_age(&f->s, T0 + SESSION_AGE_MAX_NS));
    assert_false(session_age(&f->s, T0 + SESSION_AGE_MAX_NS + 1));
    assert_int_equal(f->drops.n[DROP_STALE], 3);
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
    send4(f, 100, 0);
    pkt_free(f->pool, pull(f, MAX));
}

/* One packet makes many pieces where datagrams are tiny. */
static void pieces_are_a_share_of_the_buffers(void **state)
{
    struct fixture *f = *state;
    struct pkt *others[BUFFERS - 60];

    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        others[i] = pkt_new(f->pool, 100);
    send4(f, 1400, 0);
    assert_null(pull(f, 68)); /* 29 of them */
    assert_int_equal(f->drops.n[DROP_QUEUE_FULL], 29);
    assert_int_equal(session_queued(&f->s), 0);
    for (unsigned i = 0; i < ARRAY_LEN(others); i++)
        pkt_free(f->pool, others[i]);
}

/* --- too large ------------------------------------------------------------------------- */

static void a_packet_of_the_maximum_passes(void **state)
{
    struct fixture *f = *state;
    struct pkt *pkt;

    send4(f, MAX, 0x4000);
    pkt = pull(f, MAX);
    assert_int_equal(pkt->len, MAX);
    pkt_free(f->pool, pkt);
    assert_int_equal(f->s.stats.too_big_answers, 0);
}

static void df_is_answered_with_the_mtu(void **state)
{
    struct fixture *f = *state;
    struct ip_addr src = addr("10.0.0.2"); /* the destination: a kernel drops its own source */

    send4(f, MAX + 1, 0x4000);
    send4(f, 100, 0);
    pkt_free(f->pool, pull(f, MAX)); /* the next one comes at once */
    assert_int_equal(f->s.stats.tx_packets, 1);
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 1);
    assert_memory_equal(f->last + 12, src.b, 4);
    assert_memory_equal(f->last + 16, "\x0a\0\0\x01", 4); /* to the sender */
    assert_int_equal(f->last[20], 3);                     /* RFC 1191: unreachable, needs */
    assert_int_equal(f->last[21], 4);                     /* fragmentation, next-hop MTU */
    assert_int_equal(load_be16(f->last + 26), MAX);
}

static void ipv6_is_answered_with_the_mtu(void **state)
{
    struct fixture *f = *state;

    send6(f, MAX + 1);
    assert_null(pull(f, MAX));
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->last[40], 2); /* RFC 4443, 3.2: packet too big */
    assert_int_equal(load_be16(f->last + 46), MAX);
}

/* Below 1280 no honest answer is possible (RFC 8200, 5). */
static void ipv6_needs_1280(void **state)
{
    struct fixture *f = *state;

    send6(f, 1280);
    assert_null(pull(f, 1279));
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 0);
}

static void answers_have_a_rate(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 5; i++)
        send4(f, 1500, 0x4000);
    assert_null(session_pull(&f->s, T0, MAX, true));
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->drops.n[DROP_TOO_BIG], 5);
    send4(f, 1500, 0x4000);
    assert_null(session_pull(&f->s, T0 + NS_PER_MS, MAX, true));
    assert_int_equal(f->delivered, 1);
    send4(f, 1500, 0x4000);
    assert_null(session_pull(&f->s, T0 + 2 * NS_PER_MS, MAX, true));
    assert_int_equal(f->delivered, 2);
    assert_int_equal(f->s.stats.too_big_answers, 2);
}

static void without_an_address_no_answer(void **state)
{
    struct fixture *f = *state;

    f->s.opts.own[0].family = 0;
    send4(f, 1500, 0x4000);
    assert_null(pull(f, MAX));
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 0);
}

static void ipv4_without_df_is_fragmented_in_place(void **state)
{
    struct fixture *f = *state;
    uint8_t whole[1480];
    size_t got = 0;
    struct pkt *pkt;

    send4(f, 1500, 0);
    send4(f, 100, 0);
    while ((pkt = pull(f, 600)) && pkt->len != 100) {
        unsigned off = (load_be16(pkt->data + 6) & 0x1fff) * 8u;

        assert_true(pkt->len <= 600);
        assert_int_equal(off, got);
        memcpy(whole + off, pkt->data + 20, pkt->len - 20);
        got += pkt->len - 20;
        pkt_free(f->pool, pkt);
    }
    assert_int_equal(got, 1480);
    for (size_t i = 0; i < got; i++)
        assert_int_equal(whole[i], (uint8_t)(i + 20));
    assert_non_null(pkt); /* the packet behind it comes behind its fragments */
    pkt_free(f->pool, pkt);
    assert_int_equal(all_drops(f), 0);
}

static void fragments_need_buffers(void **state)
{
    struct fixture *f = *state;
    struct pkt *all[BUFFERS];
    unsigned n = 0;

    send4(f, 1500, 0);
    while ((all[n] = pkt_new(f->pool, 100)))
        n++;
    assert_null(pull(f, 600));
    expect_drop(f, DROP_NO_BUFFER);
    while (n > 0)
        pkt_free(f->pool, all[--n]);
}

static void a_tunnel_too_small_for_fragments(void **state)
{
    struct fixture *f = *state;

    send4(f, 1500, 0);
    assert_null(pull(f, 67)); /* below the least MTU of IPv4 (RFC 791) */
    expect_drop(f, DROP_TOO_BIG);
    send4(f, 1500, 0);
    assert_null(pull(f, 0));
    expect_drop(f, DROP_TOO_BIG);
}

/* While the search for the path MTU runs, a large packet waits for its end. */
static void before_the_mtu_is_known_it_waits(void **state)
{
    struct fixture *f = *state;
    struct pkt *pkt;

    send4(f, 1400, 0x4000);
    assert_null(session_pull(&f->s, T0, 1166, false));
    assert_int_equal(all_drops(f), 0);
    assert_int_equal(f->delivered, 0);
    pkt = session_pull(&f->s, T0, MAX, true);
    assert_int_equal(pkt->len, 1400);
    pkt_free(f->pool, pkt);
}

/* --- super-packets --------------------------------------------------------------------- */

static struct super_spec super_tcp(uint8_t version, bool df)
{
    return (struct super_spec){.version = version,
                               .proto = IP_PROTO_TCP,
                               .df = df,
                               .ttl = 64,
                               .flags = 0x18,
                               .payload = 10 * 1340 + 40};
}

/* Ten segments of 1380 (IPv4) or 1400 bytes, and a short one. */
static void send_super(struct fixture *f, const struct super_spec *spec)
{
    struct pkt *pkt = super_pkt(f->pool, spec, 1340);

    assert_int_equal(pkt_pool_in_use(f->pool), 1);
    session_send(&f->s, T0, pkt);
}

/* All that can be pulled is the super-packet's payload, in order, from `from` on: returns the
 * number of packets. */
static unsigned pull_stream(struct fixture *f, const struct super_spec *spec, uint32_t from)
{
    uint32_t hdr = super_hdr_len(spec), l4 = super_l4_off(spec);
    struct pkt *pkt;
    unsigned n = 0;

    for (; (pkt = pull(f, MAX)); n++) {
        assert_int_equal(pkt->gso, PKT_GSO_NONE);
        assert_int_equal(super_l4_csum(pkt->data, l4, pkt->len, 6), 0);
        assert_int_equal(load_be32(pkt->data + l4 + 4), from);
        for (uint32_t i = hdr; i < pkt->len; i++)
            assert_int_equal(pkt->data[i], super_byte(from++));
        pkt_free(f->pool, pkt);
    }
    assert_int_equal(from, spec->payload);
    return n;
}

static void a_super_packet_is_cut_late(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(6, true);

    for (spec.version = 4; spec.version <= 6; spec.version += 2) {
        f->kicks = 0;
        send_super(f, &spec);
        assert_int_equal(f->kicks, 1);
        assert_int_equal(session_queued(&f->s), 1);
        assert_int_equal(pull_stream(f, &spec, 0), 11);
    }
    assert_int_equal(f->s.stats.tx_packets, 22);
    assert_int_equal(f->s.stats.tx_bytes, 2 * spec.payload + 11 * 40 + 11 * 60);
    assert_int_equal(all_drops(f), 0);
}

static void a_super_packet_must_be_one(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(4, true);
    struct pkt *pkt = super_pkt(f->pool, &spec, 0);

    session_send(&f->s, T0, pkt);
    expect_drop(f, DROP_BAD_SUPER);
    assert_int_equal(f->kicks, 0);
}

/* The answer is that to the first segment, and nothing of it goes. */
static void a_super_packet_is_answered_once(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(6, true);

    send_super(f, &spec);
    assert_null(pull(f, MAX - 1));
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(load_be16(f->last + 46), MAX - 1);
    assert_int_equal(load_be16(f->last + 48 + 4), 1360); /* the length of what is quoted */
    f->delivered = 0;
    send_super(f, &spec); /* the path shrinks within one */
    for (unsigned i = 0; i < 3; i++)
        pkt_free(f->pool, pull(f, MAX));
    assert_null(session_pull(&f->s, T0 + NS_PER_S, MAX - 1, true));
    expect_drop(f, DROP_TOO_BIG);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->s.stats.too_big_answers, 2);
}

/* IPv4 without DF: segments, and fragments of these. */
static void segments_are_fragmented(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(4, false);
    uint32_t payload = 0;
    struct pkt *pkt;
    unsigned n;

    send_super(f, &spec);
    for (n = 0; (pkt = pull(f, 1000)); n++) {
        bool first = !(load_be16(pkt->data + 6) & 0x1fff);

        assert_true(pkt->len <= 1000);
        payload += pkt->len - 20 - (first ? 20 : 0);
        pkt_free(f->pool, pkt);
    }
    assert_int_equal(payload, spec.payload);
    assert_int_equal(n, 2 * 10 + 1);
    assert_int_equal(all_drops(f), 0);
}

static void a_super_packet_waits_for_the_mtu(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(4, true);
    struct pkt *pkt;

    send_super(f, &spec);
    pkt = session_pull(&f->s, T0, MAX, false);
    assert_int_equal(pkt->len, 1380);
    pkt_free(f->pool, pkt);
    assert_null(session_pull(&f->s, T0, 1166, false));
    assert_int_equal(session_queued(&f->s), 1);
    assert_int_equal(pull_stream(f, &spec, 1340), 10);
    assert_int_equal(all_drops(f), 0);
}

static void a_segment_needs_a_buffer(void **state)
{
    struct fixture *f = *state;
    struct super_spec spec = super_tcp(4, true);
    static struct pkt *all[BUFFERS];

    send_super(f, &spec);
    for (unsigned i = 0; i < BUFFERS; i++)
        all[i] = pkt_new(f->pool, 1);
    assert_null(pull(f, MAX));
    assert_int_equal(f->drops.n[DROP_NO_BUFFER], 11);
    assert_int_equal(session_queued(&f->s), 0);
    for (unsigned i = 0; i < BUFFERS; i++)
        pkt_free(f->pool, all[i]);
}

/* --- in -------------------------------------------------------------------------------- */

static void on_receive(void *user, const uint8_t *data, const struct ip_view *v)
{
    struct fixture *f = user;

    f->received++;
    f->last_len = v->total_len;
    memcpy(f->last, data, v->total_len);
}

static void what_came_in_need_not_be_copied(void **state)
{
    struct fixture *f = *state;
    uint8_t p[100] = {0};

    f->s.opts.receive = on_receive;
    put_ip4(p, 98, 17, 0);
    session_rx(&f->s, p, 100);
    assert_int_equal(f->received, 1);
    assert_int_equal(f->delivered, 0);
    assert_int_equal(f->last_len, 98);
    assert_memory_equal(f->last, p, 98);
    assert_int_equal(f->s.stats.rx_packets, 1);
    assert_int_equal(f->s.stats.rx_bytes, 98);
    put_ip4(p, 100, 17, 0);
    p[16] = 224; /* multicast */
    session_rx(&f->s, p, 100);
    expect_drop(f, DROP_MULTICAST);
    assert_int_equal(f->received, 1);
}

static void packets_are_delivered(void **state)
{
    struct fixture *f = *state;
    uint8_t p[1500];

    memset(p, 0xee, sizeof(p));
    put_ip4(p, 1000, 17, 0);
    session_rx(&f->s, p, 1003); /* three bytes too many */
    assert_int_equal(f->delivered, 1);
    assert_int_equal(f->last_len, 1000);
    assert_memory_equal(f->last, p, 1000);
    put_ip6(p, 60, 17);
    session_rx(&f->s, p, 100);
    assert_int_equal(f->delivered, 2);
    assert_int_equal(f->s.stats.rx_packets, 2);
    assert_int_equal(f->s.stats.rx_bytes, 1100);
}

static void without_a_buffer_it_is_dropped(void **state)
{
    struct fixture *f = *state;
    uint8_t p[100] = {0};
    struct pkt *all[BUFFERS];

    for (unsigned i = 0; i < BUFFERS; i++)
        all[i] = pkt_new(f->pool, 1);
    put_ip4(p, sizeof(p), 17, 0);
    session_rx(&f->s, p, sizeof(p));
    expect_drop(f, DROP_NO_BUFFER);
    assert_int_equal(f->s.stats.rx_packets, 0);
    for (unsigned i = 0; i < BUFFERS; i++)
        pkt_free(f->pool, all[i]);
}

/* Lets in what comes from 10.0.0.1 and counts what it was asked. */
static bool on_admit(void *user, const struct ip_view *v, enum drop_reason *ret_why)
{
    struct ip_addr only = addr("10.0.0.1");

    ++*(unsigned *)user;
    *ret_why = DROP_SOURCE_TAKEN;
    return ip_addr_equal(&v->src, &only);
}

static void only_what_is_admitted_comes_in(void **state)
{
    struct fixture *f = *state;
    unsigned asked = 0;
    uint8_t p[100];

    f->s.opts.admit = on_admit;
    f->s.opts.admit_user = &asked;
    put_ip4(p, sizeof(p), 17, 0); /* from 10.0.0.1 */
    session_rx(&f->s, p, sizeof(p));
    assert_int_equal(f->delivered, 1);
    p[15] = 2; /* 10.0.0.2 */
    session_rx(&f->s, p, sizeof(p));
    expect_drop(f, DROP_SOURCE_TAKEN);
    put_ip6(p, sizeof(p) - 40, 17);
    session_rx(&f->s, p, sizeof(p));
    expect_drop(f, DROP_SOURCE_TAKEN);
    assert_int_equal(f->delivered, 1);
    assert_int_equal(asked, 3);
    p[0] = 0; /* no IP packet: nobody is asked */
    session_rx(&f->s, p, sizeof(p));
    expect_drop(f, DROP_NOT_IP);
    assert_int_equal(asked, 3);
}

/* Sessions that nobody serves: each may queue a quarter of what is left, so that the first cannot
 * leave nothing to the others. */
static void sessions_share_the_pool(void **state)
{
    enum { SESSIONS = 20 };
    struct fixture *f = *state;
    struct session s[SESSIONS];
    uint8_t p[100];

    put_ip4(p, sizeof(p), 17, 0);
    for (unsigned i = 0; i < SESSIONS; i++) {
        session_init(&s[i], &f->s.opts);
        s[i].opts.kick_user = f;
        session_attach(&s[i]);
        for (unsigned k = 0; k < BUFFERS; k++)
            session_send(&s[i], T0, packet(f, p, sizeof(p)));
    }
    assert_in_range(session_queued(&s[0]), BUFFERS / 5, BUFFERS / 5 + 1);
    for (unsigned i = 1; i < SESSIONS; i++) {
        assert_in_range(session_queued(&s[i]), 2, session_queued(&s[i - 1]));
        assert_true(pkt_pool_in_use(f->pool) < BUFFERS - 2);
    }
    for (unsigned i = 0; i < SESSIONS; i++)
        session_done(&s[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(packets_are_pulled_in_order),
        T(bytes_behind_the_packet_do_not_travel),
        T(without_a_tunnel_nothing_waits),
        T(the_queue_is_bounded),
        T(scopes_stay_out),
        T(what_is_no_packet_is_dropped),
        T(checksums_are_completed),
        T(what_is_held_is_a_share_of_the_buffers),
        T(what_is_held_becomes_stale),
        T(the_queue_becomes_stale_unasked),
        T(pieces_are_a_share_of_the_buffers),
        T(a_packet_of_the_maximum_passes),
        T(df_is_answered_with_the_mtu),
        T(ipv6_is_answered_with_the_mtu),
        T(ipv6_needs_1280),
        T(answers_have_a_rate),
        T(without_an_address_no_answer),
        T(ipv4_without_df_is_fragmented_in_place),
        T(fragments_need_buffers),
        T(a_tunnel_too_small_for_fragments),
        T(before_the_mtu_is_known_it_waits),
        T(a_super_packet_is_cut_late),
        T(a_super_packet_must_be_one),
        T(a_super_packet_is_answered_once),
        T(segments_are_fragmented),
        T(a_super_packet_waits_for_the_mtu),
        T(a_segment_needs_a_buffer),
        T(what_came_in_need_not_be_copied),
        T(packets_are_delivered),
        T(without_a_buffer_it_is_dropped),
        T(only_what_is_admitted_comes_in),
        T(sessions_share_the_pool),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
