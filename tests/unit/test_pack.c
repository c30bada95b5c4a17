/* The sender against the receiver: what goes in as packets and super-packets comes out as the same
 * ordinary packets, whatever happens to the datagrams between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/pack.h"
#include "bond/reasm.h"
#include "bond/unit.h"
#include "packet/flow.h"
#include "packet/segment.h"
#include "packet/super.h"
#include "super_packets.h"

enum { LANES = 3, FLIGHT = 64, TUNNEL_MTU = 1500, FLOWS = 8, PER_FLOW = 8192 };

/* Ordinary packets of a flow: hashes of their bytes. */
struct stream {
    uint64_t hash[PER_FLOW];
    unsigned n;
};

struct dgram {
    unsigned lane, life; /* which lane, and which after how many deaths of it */
    uint64_t id;
    uint32_t len;
    uint8_t data[2048];
};

struct fixture {
    struct pkt_pool *pkts;
    struct drop_counters drops;
    struct fq_flows *flows;
    struct fq fq;
    struct pack pack;
    struct pack_lane lane[LANES];
    unsigned life[LANES];
    uint64_t next_id;
    struct reasm_pool *pool;
    struct reasm reasm;
    struct stream in[FLOWS], out[FLOWS];
    uint64_t now_ns;
    struct dgram flight[FLIGHT];
    unsigned n_flight;
    struct rng rng;
};

static const struct siphash_key key = {{1, 2}};

static uint64_t hash_of(const uint8_t *p, uint32_t len)
{
    return siphash24(&key, p, len);
}

static unsigned flow_of(const uint8_t *p, const struct ip_view *v)
{
    return (v->sport - 1000u) + (v->proto == IP_PROTO_UDP ? 4 : 0);
}

static void note(struct stream *s, const uint8_t *p, uint32_t len)
{
    assert_true(s->n < PER_FLOW);
    s->hash[s->n++] = hash_of(p, len);
}

static bool on_accept(void *user, struct pkt *pkt, enum drop_reason *ret_why)
{
    struct ip_view v;

    return unit_settle(pkt, TUNNEL_MTU, &v, ret_why) == 0;
}

static void on_deliver(void *user, struct pkt *pkt)
{
    static uint8_t buf[SUPER_BYTES_MAX];
    struct fixture *x = user;
    enum drop_reason why;
    struct ip_view v;

    assert_int_equal(ip_view_parse(pkt->data, pkt->len, &v, &why), 0);
    if (pkt->gso == PKT_GSO_NONE) {
        note(&x->out[flow_of(pkt->data, &v)], pkt->data, pkt->len);
    } else {
        for (uint32_t at = 0; at < pkt->len - pkt->hdr_len; at += pkt->gso_size)
            note(&x->out[flow_of(pkt->data, &v)], buf, segment_write(pkt, at, buf));
    }
    pkt_free(x->pkts, pkt);
}

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    x->pkts = pkt_pool_new(16384, 512);
    x->flows = fq_flows_new(64, &key);
    x->pool = reasm_pool_new(64, 4096, 256 << 20);
    rng_seed(&x->rng, 3);
    fq_init(&x->fq, &(struct fq_opts){.flows = x->flows,
                                      .pool = x->pkts,
                                      .drops = &x->drops,
                                      .max_bytes = 64 << 20,
                                      .max_age_ns = 100 * NS_PER_S});
    assert_int_equal(
        pack_init(&x->pack, &(struct pack_opts){.fq = &x->fq, .pool = x->pkts, .drops = &x->drops}),
        0);
    reasm_init(&x->reasm, &(struct reasm_opts){.pool = x->pool,
                                               .pkts = x->pkts,
                                               .drops = &x->drops,
                                               .max_bytes = 256 << 20,
                                               .accept = on_accept,
                                               .deliver = on_deliver,
                                               .user = x});
    pack_set_class(&x->pack, 0, &(struct pack_class){true, NS_PER_S, true});
    pack_set_class(&x->pack, 1, &(struct pack_class){true, NS_PER_S, false});
    reasm_set_class(&x->reasm, 0,
                    &(struct reasm_class){REASM_ORDER_RECOVER, NS_PER_S, 2 * NS_PER_S});
    reasm_set_class(&x->reasm, 1, &(struct reasm_class){REASM_ORDER_NONE, 0, 2 * NS_PER_S});
    reasm_set_class(&x->reasm, 7, &(struct reasm_class){REASM_ORDER_NONE, 0, 2 * NS_PER_S});
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    for (unsigned i = 0; i < LANES; i++)
        pack_lane_done(&x->pack, &x->lane[i], x->now_ns);
    pack_done(&x->pack);
    assert_int_equal(x->pack.kept, 0);
    fq_flush(&x->fq, DROP_NO_SESSION);
    fq_flows_free(x->flows);
    reasm_done(&x->reasm);
    assert_int_equal(x->reasm.bytes, 0);
    reasm_pool_free(x->pool);
    pkt_pool_free(x->pkts);
    free(x);
    return 0;
}

/* Put a packet, or super-packet for gso_size != 0, into the queue, and note the ordinary packets
 * that it stands for. */
static void send_packet(struct fixture *x, const struct super_spec *s, uint16_t gso_size)
{
    static uint8_t buf[SUPER_BYTES_MAX];
    struct pkt *pkt = super_pkt(x->pkts, s, gso_size);
    struct stream *in = &x->in[s->flow + (s->proto == IP_PROTO_UDP ? 4u : 0)];
    enum drop_reason why;
    struct ip_view v;

    if (!gso_size) {
        super_build(s, pkt->data);
        pkt->gso = PKT_GSO_NONE;
        pkt->csum_start = 0;
    }
    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), 0);
    assert_int_equal(super_settle(pkt, &v), 0);
    if (pkt->gso == PKT_GSO_NONE) {
        note(in, pkt->data, pkt->len);
    } else {
        for (uint32_t at = 0; at < s->payload; at += gso_size)
            note(in, buf, segment_write(pkt, at, buf));
    }
    fq_push(&x->fq, x->now_ns, pkt, &v);
}

/* The next piece of a flow's stream. */
static void send_random(struct fixture *x)
{
    bool super = rng_below(&x->rng, 2);
    struct super_spec s = super_random(&x->rng, super ? 60000 : 1400);
    uint32_t hdr;

    s.version = s.flow % 2 ? 6 : 4;
    hdr = super_hdr_len(&s);
    if (!super && hdr + s.payload > TUNNEL_MTU)
        s.payload = TUNNEL_MTU - hdr;
    send_packet(x, &s, super ? (uint16_t)(48 + rng_below(&x->rng, TUNNEL_MTU - hdr - 47)) : 0);
}

static void receive(struct fixture *x, const uint8_t *data, uint32_t len)
{
    struct packed_reader r;
    struct packed_head head;
    struct packed_frame f;
    int rv;

    assert_int_equal(packed_open(&r, data, len, &head), 0);
    while ((rv = packed_next(&r, &f)) > 0)
        reasm_rx(&x->reasm, x->now_ns, head.class, &f);
    assert_int_equal(rv, 0);
}

/* Pull one datagram on a lane; false: there is none. */
static bool pull(struct fixture *x, unsigned lane, size_t max, size_t run_max)
{
    struct pkt *p = pack_pull(&x->pack, &x->lane[lane], x->now_ns, max, run_max);
    struct dgram *d = &x->flight[x->n_flight];

    if (!p)
        return false;
    assert_in_range(pkt_total(p), 1, max);
    d->lane = lane;
    d->life = x->life[lane];
    d->id = x->next_id++;
    d->len = pkt_total(p);
    memcpy(d->data, p->data, p->len);
    if (p->rest_len)
        memcpy(d->data + p->len, p->rest, p->rest_len);
    x->n_flight++;
    pack_sent(&x->pack, &x->lane[lane], d->id, p);
    return true;
}

/* One of those on their way meets its fate. */
static void fate(struct fixture *x, unsigned i, bool arrives, bool lost)
{
    struct dgram d = x->flight[i];
    bool alive = d.life == x->life[d.lane];

    memmove(&x->flight[i], &x->flight[i + 1], (--x->n_flight - i) * sizeof(d));
    if (arrives)
        receive(x, d.data, d.len);
    if (alive && lost)
        pack_lost(&x->pack, &x->lane[d.lane], x->now_ns, d.id, false);
    else if (alive)
        pack_acked(&x->pack, &x->lane[d.lane], d.id);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void assert_all_came(struct fixture *x)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        if (i >= 4) { /* UDP: in any order */
            qsort(x->in[i].hash, x->in[i].n, sizeof(uint64_t), by_value);
            qsort(x->out[i].hash, x->out[i].n, sizeof(uint64_t), by_value);
        }
        assert_int_equal(x->in[i].n, x->out[i].n);
        assert_memory_equal(x->in[i].hash, x->out[i].hash, x->in[i].n * sizeof(uint64_t));
    }
}

struct channel {
    double loss, spurious, death;
    unsigned disorder; /* how far from the oldest a datagram may be taken */
    bool resize;
};

static void run_channel(struct fixture *x, const struct channel *c, unsigned packets)
{
    bool more = true;

    while (packets || more || x->n_flight) {
        unsigned lane = (unsigned)rng_below(&x->rng, LANES);
        size_t max = c->resize ? 200 + rng_below(&x->rng, 1250) : 1438;

        if (packets && x->fq.n < 16) {
            send_random(x);
            packets--;
        }
        more = x->n_flight < FLIGHT && pull(x, lane, max, 1000 + rng_below(&x->rng, 80000));
        for (unsigned i = 0; !more && i < LANES && x->n_flight < FLIGHT; i++)
            more = pull(x, i, max, 4000);
        if (x->n_flight == FLIGHT || !more) {
            for (unsigned k = x->n_flight / 2 + 1; k && x->n_flight; k--) {
                unsigned i = (unsigned)rng_below(&x->rng, MIN(c->disorder, x->n_flight));
                bool arrives = rng_double(&x->rng) >= c->loss;

                fate(x, i, arrives, !arrives || rng_double(&x->rng) < c->spurious);
            }
            more = true;
        }
        if (rng_double(&x->rng) < c->death) {
            lane = (unsigned)rng_below(&x->rng, LANES);
            pack_lane_done(&x->pack, &x->lane[lane], x->now_ns);
            x->life[lane]++;
        }
        if (!packets && !x->fq.n && !x->n_flight) {
            more = false;
            for (unsigned i = 0; i < LANES; i++)
                more |= pack_pending(&x->pack, &x->lane[i]);
        }
    }
}

static void everything_comes_through(void **state)
{
    static const struct channel channels[] = {
        {.disorder = 1},
        {.disorder = 20},
        {.disorder = 1, .loss = 0.05},
        {.disorder = 30, .loss = 0.2, .spurious = 0.05},
        {.disorder = 5, .loss = 0.1, .resize = true},
        {.disorder = 10, .loss = 0.1, .spurious = 0.1, .death = 0.002, .resize = true},
    };
    struct fixture *x = *state;

    for (unsigned i = 0; i < ARRAY_LEN(channels); i++) {
        memset(x->in, 0, sizeof(x->in));
        memset(x->out, 0, sizeof(x->out));
        run_channel(x, &channels[i], 400);
        assert_all_came(x);
        assert_int_equal(x->pack.kept, 0);
        assert_int_equal(x->drops.n[DROP_MALFORMED], 0);
        assert_int_equal(x->drops.n[DROP_INCOMPLETE], 0);
        assert_int_equal(x->drops.n[DROP_NO_BUFFER], 0);
    }
}

/* Bulk TCP fills every datagram, and the headers are there once per run. */
static void little_is_added(void **state)
{
    const struct super_spec s = {
        .version = 4, .proto = IP_PROTO_TCP, .options = 12, .flags = 0x10, .payload = 46 * 1396};
    struct fixture *x = *state;
    size_t bytes = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < 10; i++) {
        struct super_spec next = s;

        next.first = i * s.payload;
        next.seq = next.first;
        send_packet(x, &next, 1396);
    }
    while (pull(x, 0, 1438, PACKED_UNIT_MAX)) {
        bytes += x->flight[0].len;
        n++;
        fate(x, 0, true, false);
    }
    assert_all_came(x);
    assert_int_equal(n, (bytes + 1437) / 1438); /* all full but the last */
    assert_true((double)bytes / (10.0 * s.payload) < 1.008);
}

static void small_packets_share_a_datagram(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_UDP, .payload = 132};
    struct fixture *x = *state;

    for (unsigned i = 0; i < 16; i++, s.first++)
        send_packet(x, &s, 0);
    assert_true(pull(x, 0, 1438, 0));
    fate(x, 0, true, false);
    assert_int_equal(x->out[4].n, 8); /* 160 bytes and 8 of head each */
    assert_true(pull(x, 0, 1438, 0));
    assert_false(pull(x, 0, 1438, 0));
    fate(x, 0, true, false);
    assert_all_came(x);
}

/* A lane that is in the middle of a unit lets a flow in between that begins to send: in a datagram
 * of another class, or before the rest in the same. */
static void what_is_sparse_goes_before_the_rest_of_a_unit(void **state)
{
    struct super_spec bulk = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 14000};
    struct super_spec call = {.version = 4, .proto = IP_PROTO_UDP, .payload = 132};
    struct super_spec shell = {
        .version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .flow = 2, .payload = 50};
    struct fixture *x = *state;

    send_packet(x, &bulk, 1400);
    assert_true(pull(x, 0, 1438, 60000));
    assert_non_null(x->lane[0].unit);
    send_packet(x, &call, 0);
    assert_true(pull(x, 0, 1438, 60000));
    assert_in_range(x->flight[1].len, 160, 200);
    fate(x, 1, true, false);
    assert_int_equal(x->out[4].n, 1);
    send_packet(x, &shell, 0);
    assert_true(pull(x, 0, 1438, 60000));
    assert_int_equal(x->flight[1].len, 1438);
    fate(x, 1, true, false);
    assert_int_equal(x->out[2].n, 1);
    assert_int_equal(x->out[0].n, 0);
    while (x->n_flight || pull(x, 0, 1438, 60000))
        fate(x, 0, true, false);
    assert_all_came(x);
}

/* A packet that would fit the next datagram is cut only where its class permits it. */
static void only_bulk_is_cut(void **state)
{
    struct super_spec udp = {.version = 4, .proto = IP_PROTO_UDP, .payload = 900};
    struct super_spec tcp = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 900};
    struct fixture *x = *state;

    send_packet(x, &udp, 0);
    send_packet(x, &udp, 0);
    assert_true(pull(x, 0, 1438, 0));
    assert_true(x->flight[0].len < 950);
    assert_true(pull(x, 0, 1438, 0));
    assert_true(x->flight[1].len < 950);
    send_packet(x, &tcp, 0);
    send_packet(x, &tcp, 0);
    assert_true(pull(x, 0, 1438, 0));
    assert_int_equal(x->flight[2].len, 1438);
    while (x->n_flight || pull(x, 0, 1438, 0))
        fate(x, 0, true, false);
    assert_all_came(x);
}

/* What is too late is not sent again, and the receiver is told. */
static void too_late_is_gone(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 1300};
    struct fixture *x = *state;

    for (unsigned i = 0; i < 4; i++, s.first++)
        send_packet(x, &s, 0);
    while (pull(x, 0, 1438, 0))
        ;
    assert_int_equal(x->n_flight, 4);
    x->now_ns = NS_PER_S + 1;
    fate(x, 1, false, true);
    fate(x, 0, false, true);
    fate(x, 0, true, false);
    fate(x, 0, true, false);
    assert_int_equal(x->out[0].n, 0); /* waits for what was lost */
    assert_true(pull(x, 0, 1438, 0));
    assert_false(pull(x, 0, 1438, 0));
    assert_true(x->flight[0].len < 40);
    fate(x, 0, true, false);
    assert_int_equal(x->out[0].n, 1);
    assert_true(x->pack.stats.gone >= 2);
    assert_int_equal(x->pack.stats.again, 0);
}

/* The bytes of a super-packet are not copied, unless that would keep too many large buffers. */
static void a_super_packet_is_lent_while_it_can_be_spared(void **state)
{
    enum { LARGE = 512 };
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 40000};
    struct fixture *x = *state;
    struct pkt *p, *hold[LARGE / 2], *dgram[64];
    unsigned n = 0, lent = 0;

    send_packet(x, &s, 1400);
    while ((p = pack_pull(&x->pack, &x->lane[0], x->now_ns, 1438, 65535))) {
        assert_true(pkt_total(p) <= 1438);
        lent += p->rest_len > 1000;
        dgram[n++] = p;
    }
    assert_true(n > 27 && lent == n - 1);
    assert_int_equal(pkt_pool_in_use(x->pkts), n + 1);
    for (unsigned i = 0; i < n; i++)
        pack_sent(&x->pack, &x->lane[0], i, dgram[i]);
    for (unsigned i = 0; i + 1 < n; i++)
        pack_acked(&x->pack, &x->lane[0], i);
    assert_int_equal(pkt_pool_in_use(x->pkts), 1); /* the end of the unit was copied */
    pack_acked(&x->pack, &x->lane[0], n - 1);
    assert_int_equal(pkt_pool_in_use(x->pkts), 0);

    for (unsigned i = 0; i < LARGE / 2; i++)
        hold[i] = pkt_new(x->pkts, PKT_LARGE_MAX);
    x->in[0].n = 0;
    send_packet(x, &s, 1400);
    p = pack_pull(&x->pack, &x->lane[0], x->now_ns, 1438, 65535);
    assert_non_null(p);
    assert_int_equal(p->len, pkt_total(p));
    pkt_free(x->pkts, p);
    for (unsigned i = 0; i < LARGE / 2; i++)
        pkt_free(x->pkts, hold[i]);
}

/* A peer that acknowledges nothing: half of the buffers stay for what passes, and what could not be
 * sent again any more is not kept. */
static void what_is_kept_is_a_share_and_has_an_age(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 1300};
    struct fixture *x = *state;
    unsigned kept;

    for (unsigned i = 0; i < 16384; i++) {
        struct pkt *p;

        x->in[0].n = 0;
        send_packet(x, &s, 0);
        p = pack_pull(&x->pack, &x->lane[0], x->now_ns, 1438, 0);
        assert_non_null(p);
        pack_sent(&x->pack, &x->lane[0], x->next_id++, p);
    }
    kept = pkt_pool_in_use(x->pkts);
    assert_in_range(kept, 16384 / 4, 16384 / 2);
    pack_age(&x->pack, &x->lane[0], NS_PER_S);
    assert_int_equal(pkt_pool_in_use(x->pkts), kept);
    pack_age(&x->pack, &x->lane[0], NS_PER_S + 1);
    assert_int_equal(pkt_pool_in_use(x->pkts), 0);
    assert_int_equal(x->pack.stats.forgotten, 16384);
}

static void numbers_are_lent_again(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_UDP, .payload = 100};
    struct fixture *x = *state;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            s.flow = (uint8_t)i;
            s.ttl = (uint8_t)(round + 1);
            send_packet(x, &s, 0);
        }
        while (pull(x, 0, 1438, 0))
            fate(x, 0, true, false);
        x->now_ns += PACK_FLOW_QUIET_NS;
    }
    assert_int_equal(x->pack.n_flows, 4);
    assert_all_came(x);
}

/* With more flows than numbers, the others travel without. */
static void without_a_number(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 100};
    struct fixture *x = *state;

    x->pack.n_flows = PACKED_FLOWS;
    send_packet(x, &s, 0);
    assert_true(pull(x, 0, 1438, 0));
    fate(x, 0, false, true);
    assert_false(pull(x, 0, 1438, 0)); /* nobody could tell whether it came twice */
    send_packet(x, &s, 0);
    assert_true(pull(x, 0, 1438, 0));
    fate(x, 0, true, false);
    assert_int_equal(x->out[0].n, 1);
    assert_int_equal(x->pack.stats.unnumbered, 2);
    x->pack.n_flows = 0;
}

/* A packet that has to be cut cannot go without a number: it gets the one that has been idle for
 * longest, though not for long. */
static void who_has_to_be_cut_gets_a_number(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_TCP, .flags = 0x10, .payload = 100};
    struct fixture *x = *state;

    for (s.flow = 0; s.flow < 2; s.flow++) {
        x->now_ns++;
        send_packet(x, &s, 0);
        assert_true(pull(x, 0, 1200, 0));
        fate(x, 0, true, false);
    }
    x->pack.n_flows = PACKED_FLOWS;
    s.payload = 1400;
    send_packet(x, &s, 0);
    s.flow = 3;
    send_packet(x, &s, 1000);
    while (pull(x, 0, 1200, 65535))
        fate(x, 0, true, false);
    x->pack.n_flows = 2;
    assert_all_came(x);
    assert_int_equal(x->pack.stats.unnumbered, 0);
    assert_int_equal(x->drops.n[DROP_TOO_BIG], 0);
    assert_int_equal(x->reasm.n_places, 8);
}

/* A peer that acknowledges nothing gets no more of the pool than is left to others, and sending
 * goes on without a free buffer. */
static void kept_within_a_share(void **state)
{
    struct super_spec s = {.version = 4, .proto = IP_PROTO_UDP, .payload = 1300};
    struct fixture *x = *state;
    const struct pkt small = {.pool_class = 0};
    struct pkt *others = NULL, *pkt;

    while (pkt_pool_left(x->pkts, &small) > 40) {
        pkt = pkt_new(x->pkts, 100);
        pkt->next = others;
        others = pkt;
    }
    for (unsigned i = 0; i < 200; i++, s.first++) {
        send_packet(x, &s, 0);
        assert_true(pull(x, 0, 1438, 0));
        x->n_flight = 0;
        assert_true(x->pack.n_kept <= 20);
    }
    assert_true(x->pack.stats.forgotten >= 180);
    while (pkt_pool_left(x->pkts, &small) > 1) {
        pkt = pkt_new(x->pkts, 100);
        pkt->next = others;
        others = pkt;
    }
    for (unsigned i = 0; i < 20; i++, s.first++) {
        send_packet(x, &s, 0);
        assert_true(pull(x, 0, 1438, 0));
        x->n_flight = 0;
    }
    while ((pkt = others)) {
        others = pkt->next;
        pkt_free(x->pkts, pkt);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(everything_comes_through),
        T(little_is_added),
        T(small_packets_share_a_datagram),
        T(what_is_sparse_goes_before_the_rest_of_a_unit),
        T(only_bulk_is_cut),
        T(too_late_is_gone),
        T(what_is_kept_is_a_share_and_has_an_age),
        T(numbers_are_lent_again),
        T(without_a_number),
        T(who_has_to_be_cut_gets_a_number),
        T(kept_within_a_share),
        T(a_super_packet_is_lent_while_it_can_be_spared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
