/* Coalescing: what comes out, cut again, is what went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "packet/coalesce.h"
#include "packet/segment.h"
#include "packet/super.h"
#include "super_packets.h"

enum { OUT_MAX = 4096 };

/* What came out: ordinary packets, super-packets cut. */
struct fixture {
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct coalesce c;
    struct super_spec spec;  /* of what goes in next */
    unsigned n_out, n_super; /* pieces that came out, super-packets among them */
    uint32_t last_len;       /* of the last piece */
    uint8_t last_gso;
    uint16_t last_gso_size;
    unsigned n;
    struct pkt *v[OUT_MAX]; /* malloc'ed */
};

static struct pkt *keep(struct fixture *f, uint32_t len)
{
    struct pkt *pkt = malloc(sizeof(*pkt) + len);

    assert_true(f->n < OUT_MAX);
    pkt->data = pkt->buf;
    pkt->len = len;
    f->v[f->n++] = pkt;
    return pkt;
}

/* The kernel's part: a super-packet as it takes it, and cut as it does. */
static void cut(struct fixture *f, const struct pkt *super)
{
    uint32_t l4 = super->csum_start, payload = super->len - super->hdr_len;
    size_t n = super->data[0] >> 4 == 4 ? 4 : 16;
    const uint8_t *src = super->data + (n == 4 ? 12 : 8);
    uint32_t sum =
        plain_pseudo(src, src + n, n, super->gso == PKT_GSO_UDP ? 17 : 6, super->len - l4);

    assert_true(payload > super->gso_size);
    assert_int_equal(load_be16(super->data + l4 + super->csum_offset), sum);
    assert_int_equal(n == 4 ? load_be16(super->data + 2) : load_be16(super->data + 4) + 40u,
                     super->len);
    if (n == 4)
        assert_int_equal(plain_csum(0, super->data, 20), 0);
    for (uint32_t at = 0; at < payload; at += super->gso_size) {
        struct pkt *pkt = keep(f, super->hdr_len + MIN(payload - at, (uint32_t)super->gso_size));

        assert_int_equal(segment_write(super, at, pkt->data), pkt->len);
    }
}

static void on_out(void *user, struct pkt *pkt)
{
    struct fixture *f = user;

    f->n_out++;
    f->last_len = pkt->len;
    f->last_gso = pkt->gso;
    f->last_gso_size = pkt->gso_size;
    if (pkt->gso != PKT_GSO_NONE) {
        f->n_super++;
        cut(f, pkt);
    } else {
        assert_int_equal(pkt->csum_start, 0);
        memcpy(keep(f, pkt->len)->data, pkt->data, pkt->len);
    }
    pkt_free(f->pool, pkt);
}

static void forget(struct fixture *f)
{
    while (f->n)
        free(f->v[--f->n]);
    f->n_out = f->n_super = 0;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct coalesce_opts o = {
        .drops = &f->drops, .tcp = true, .udp = true, .out = on_out, .user = f};

    f->pool = o.pool = pkt_pool_new(4, COALESCE_FLOWS);
    coalesce_init(&f->c, &o);
    f->spec = (struct super_spec){.version = 4,
                                  .proto = IP_PROTO_TCP,
                                  .df = true,
                                  .ttl = 60,
                                  .options = 12,
                                  .flags = 0x10,
                                  .payload = 1000};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->c.n, 0);
    assert_int_equal(pkt_pool_in_use(f->pool), 0);
    assert_int_equal(f->drops.n[DROP_NO_BUFFER], 0);
    forget(f);
    pkt_pool_free(f->pool);
    free(f);
    return 0;
}

static void add_bytes(struct fixture *f, const uint8_t *p, uint32_t len)
{
    enum drop_reason why;
    struct ip_view v;

    assert_int_equal(ip_view_parse(p, len, &v, &why), 0);
    coalesce_add(&f->c, p, &v);
}

/* Put in the packet of the spec, and move the spec on to the next one of its stream. */
static void add(struct fixture *f)
{
    static uint8_t p[SUPER_BYTES_MAX];

    add_bytes(f, p, super_build(&f->spec, p));
    f->spec.seq += f->spec.payload;
    f->spec.first += f->spec.payload;
    f->spec.id++;
}

/* n packets of the spec in a row, then the end of the batch: what came out. */
static void expect_out(struct fixture *f, unsigned n_out, unsigned n_super)
{
    coalesce_flush(&f->c);
    assert_int_equal(f->n_out, n_out);
    assert_int_equal(f->n_super, n_super);
    forget(f);
}

static void a_stream_becomes_one(void **state)
{
    static const uint8_t kinds[][2] = {{4, 6}, {4, 17}, {6, 6}, {6, 17}};
    static const uint8_t gso[] = {PKT_GSO_TCP4, PKT_GSO_UDP, PKT_GSO_TCP6, PKT_GSO_UDP};
    struct fixture *f = *state;

    for (unsigned k = 0; k < 4; k++) {
        f->spec.version = kinds[k][0];
        f->spec.proto = kinds[k][1];
        for (int i = 0; i < 10; i++)
            add(f);
        assert_int_equal(f->n_out, 0);
        coalesce_flush(&f->c);
        assert_int_equal(f->last_gso, gso[k]);
        assert_int_equal(f->last_gso_size, 1000);
        assert_int_equal(f->last_len, super_hdr_len(&f->spec) + 10000);
        assert_int_equal(f->n, 10);
        expect_out(f, 1, 1);
    }
    assert_int_equal(f->c.merged, 36);
}

/* Without the kernel's USO only TCP is put together. */
static void only_what_is_wanted(void **state)
{
    struct fixture *f = *state;

    f->c.opts.udp = false;
    f->spec.proto = IP_PROTO_UDP;
    add(f);
    add(f);
    assert_int_equal(f->n_out, 2);
    expect_out(f, 2, 0);
    f->c.opts.tcp = false;
    f->spec.proto = IP_PROTO_TCP;
    add(f);
    add(f);
    assert_int_equal(f->n_out, 2);
    expect_out(f, 2, 0);
}

static void one_alone_stays_as_it_is(void **state)
{
    struct fixture *f = *state;
    static uint8_t want[2048];
    uint32_t len = super_build(&f->spec, want);

    add(f);
    coalesce_flush(&f->c);
    assert_int_equal(f->v[0]->len, len);
    assert_memory_equal(f->v[0]->data, want, len);
    expect_out(f, 1, 0);
}

static void the_kernel_s_limits(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 70; i++) /* 65 fit 65535 bytes */
        add(f);
    assert_int_equal(f->n, 65);
    expect_out(f, 2, 2);
    f->spec.proto = IP_PROTO_UDP;
    f->spec.payload = 100;
    for (int i = 0; i < COALESCE_UDP_MAX + 2; i++)
        add(f);
    assert_int_equal(f->n, COALESCE_UDP_MAX);
    expect_out(f, 2, 2);
}

static void a_short_one_is_the_last(void **state)
{
    struct fixture *f = *state;

    add(f);
    f->spec.payload = 400;
    add(f);
    assert_int_equal(f->n_out, 1);
    add(f);
    add(f);
    f->spec.payload = 401; /* longer than the first of its kind */
    add(f);
    expect_out(f, 3, 2);
}

static void push_is_the_end(void **state)
{
    struct fixture *f = *state;

    add(f);
    f->spec.flags = 0x18;
    add(f);
    assert_int_equal(f->n_out, 1);
    assert_int_equal(f->v[0]->data[33], 0x10);
    assert_int_equal(f->v[1]->data[33], 0x18);
    add(f); /* and alone nothing may follow it */
    f->spec.flags = 0x10;
    assert_int_equal(f->n_out, 2);
    add(f);
    expect_out(f, 3, 1);
}

/* Each of these makes a difference that a super-packet cannot say. */
static void what_differs_stays_apart(void **state)
{
    struct fixture *f = *state;
    struct super_spec base = f->spec;

#define APART(change)                                         \
    do {                                                      \
        for (f->spec = base; f->spec.seq < 2000;) {           \
            if (f->spec.seq) {                                \
                change;                                       \
            }                                                 \
            add(f);                                           \
        }                                                     \
        if (f->c.n > 1)                                       \
            coalesce_flush(&f->c);                            \
        coalesce_flush(&f->c);                                \
        if (f->n_out != 2 || f->n_super)                      \
            fail_msg("put together in spite of %s", #change); \
        forget(f);                                            \
    } while (0)

    for (int six = 0; six < 2; six++) {
        base.version = six ? 6 : 4;
        APART(f->spec.tos = 4);
        APART(f->spec.tos = 1); /* ECN */
        APART(f->spec.ttl = 59);
        APART(f->spec.flow = 1);
        APART(f->spec.ack = 1);
        APART(f->spec.window = 1);
        APART(f->spec.options = 16);
        APART(f->spec.flags = 0x50); /* ECE */
        APART(f->spec.flags = 0x11);
        APART(f->spec.flags = 0x12);
        APART(f->spec.flags = 0x14);
        APART(f->spec.flags = 0x30);
        APART(f->spec.flags = 0x90);
        APART(f->spec.flags = 0x00);
        APART(f->spec.payload = 1001);
        APART(f->spec.seq += 1);
        APART(f->spec.seq -= 1000; f->spec.first -= 1000; f->spec.seq += 1000000);
    }
    base.version = 4;
    APART(f->spec.df = false);
    base.df = false;
    APART(f->spec.id += 1);
    APART(f->spec.id -= 1);
    f->spec = base;
    add(f);
    add(f); /* the next number is right */
    expect_out(f, 1, 1);
    base.df = true;
    f->spec = base;
    add(f);
    f->spec.id = 0; /* means nothing with DF */
    add(f);
    expect_out(f, 1, 1);
}

/* Never held: nothing may wait behind these, and nothing follows them. */
static void some_are_never_held(void **state)
{
    struct fixture *f = *state;
    static const uint8_t flags[] = {0x02, 0x11, 0x14, 0x30, 0x90, 0x00};
    struct super_spec base = f->spec;

    for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
        f->spec.flags = flags[i];
        add(f);
        assert_int_equal(f->n_out, i + 1);
    }
    f->spec = base;
    f->spec.payload = 0;
    add(f);
    f->spec.version = 6;
    f->spec.ext = 8;
    f->spec.payload = 100;
    add(f);
    expect_out(f, 8, 0);
}

/* A wrong checksum is the receiver's to find; put together it would look right. */
static void a_wrong_checksum_passes_by(void **state)
{
    struct fixture *f = *state;
    static uint8_t p[2048];
    uint32_t len;

    for (int udp = 0; udp < 2; udp++) {
        f->spec.proto = udp ? IP_PROTO_UDP : IP_PROTO_TCP;
        add(f);
        len = super_build(&f->spec, p);
        p[len - 1] ^= 1;
        add_bytes(f, p, len);
        assert_int_equal(f->n_out, 2); /* and what was before it is before it */
        assert_memory_equal(f->v[1]->data, p, len);
        expect_out(f, 2, 0);
    }
    len = super_build(&f->spec, p); /* UDP over IPv4 may have none */
    store_be16(p + 26, 0);
    add_bytes(f, p, len);
    assert_int_equal(f->n_out, 1);
    expect_out(f, 1, 0);
}

static void order_within_a_flow(void **state)
{
    struct fixture *f = *state;

    add(f);
    add(f);
    f->spec.payload = 0; /* a bare ACK behind data */
    add(f);
    assert_int_equal(f->n_out, 2);
    assert_int_equal(f->v[2]->len, 52);
    expect_out(f, 2, 1);
    f->spec.payload = 1000;
    f->spec.proto = IP_PROTO_UDP;
    add(f);
    f->spec.flow = 1;
    f->spec.payload = 10;
    f->spec.proto = IP_PROTO_TCP;
    add(f); /* of another flow: nothing has to come out */
    f->spec.flags = 0x11;
    add(f);
    assert_int_equal(f->n_out, 2);
    assert_int_equal(f->v[0]->data[9], IP_PROTO_TCP);
    expect_out(f, 3, 0);
}

/* Of a fragment only the hosts are known: their flows come out first. */
static void a_fragment_waits_for_its_hosts(void **state)
{
    struct fixture *f = *state;
    static uint8_t p[600];

    add(f);
    f->spec.flow = 1;
    add(f);
    put_ip4(p, 600, 17, 0x2000);
    add_bytes(f, p, 600);
    assert_int_equal(f->n_out, 3);
    assert_int_equal(f->v[2]->len, 600);
    add(f);
    put_ip4(p, 600, 17, 0);
    p[16] = 11; /* to somebody else */
    add_bytes(f, p, 600);
    assert_int_equal(f->n_out, 4);
    expect_out(f, 5, 0);
}

static void passing_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    enum drop_reason why;
    struct ip_view v;
    struct pkt *pkt;

    add(f);
    add(f);
    pkt = pkt_new(f->pool, 2000);
    pkt->len = super_build(&f->spec, pkt->data);
    assert_int_equal(ip_view_parse_pkt(pkt, &v, &why), 0);
    coalesce_pass(&f->c, pkt, &v);
    assert_int_equal(f->n, 3);
    expect_out(f, 2, 1);
}

static void with_too_many_flows_the_oldest_leaves(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < COALESCE_FLOWS + 2; i++) {
        f->spec.flow = (uint8_t)i;
        add(f);
    }
    assert_int_equal(f->n_out, 2);
    assert_int_equal(load_be16(f->v[0]->data + 20), 1000);
    assert_int_equal(load_be16(f->v[1]->data + 20), 1001);
    expect_out(f, COALESCE_FLOWS + 2, 0);
}

static void without_large_buffers_nothing_is_held(void **state)
{
    struct fixture *f = *state;
    struct pkt *held[COALESCE_FLOWS];

    for (unsigned i = 0; i < COALESCE_FLOWS; i++)
        held[i] = pkt_new(f->pool, PKT_LARGE_MAX);
    add(f);
    assert_int_equal(f->n_out, 1);
    pkt_free(f->pool, held[0]);
    add(f);
    f->spec.flow = 1;
    add(f); /* takes the buffer of the other flow */
    assert_int_equal(f->n_out, 2);
    for (unsigned i = 1; i < COALESCE_FLOWS; i++)
        pkt_free(f->pool, held[i]);
    expect_out(f, 3, 0);
}

static void without_any_buffer_it_is_counted(void **state)
{
    struct fixture *f = *state;
    struct pkt *held[4];

    for (unsigned i = 0; i < 4; i++)
        held[i] = pkt_new(f->pool, 1);
    f->spec.payload = 0;
    add(f);
    assert_int_equal(f->drops.n[DROP_NO_BUFFER], 1);
    f->drops.n[DROP_NO_BUFFER] = 0;
    for (unsigned i = 0; i < 4; i++)
        pkt_free(f->pool, held[i]);
}

/* --- against a model --------------------------------------------------------------------- */

/* Per flow (version, protocol, ports) the packets that went in and have not been seen again. */
struct model {
    unsigned n_in, n_seen;
    struct pkt *v[OUT_MAX];
};

static unsigned flow_of(const uint8_t *p)
{
    const uint8_t *l4 = p + (p[0] >> 4 == 4 ? 20 : 40);
    uint8_t proto = p[0] >> 4 == 4 ? p[9] : p[6];

    return (load_be16(l4) - 1000u) * 4 + (p[0] >> 4 == 4) * 2 + (proto == 6);
}

/* Everything that came out is the next of its flow, bit for bit, but for what a super-packet
 * cannot say: the Identification with DF. */
static void compare(struct fixture *f, struct model *m)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct pkt *got = f->v[i], *want;
        struct model *flow = &m[flow_of(got->data)];

        assert_true(flow->n_seen < flow->n_in);
        want = flow->v[flow->n_seen++];
        if (got->data[0] >> 4 == 4 && got->data[6] & 0x40) {
            assert_int_equal(plain_csum(0, got->data, 20), 0);
            memcpy(got->data + 4, want->data + 4, 2);
            memcpy(got->data + 10, want->data + 10, 2);
        }
        assert_int_equal(got->len, want->len);
        assert_memory_equal(got->data, want->data, got->len);
        free(want);
    }
    forget(f);
}

static void random_streams(void **state)
{
    enum { FLOWS = 16, TURNS = 400 };
    struct fixture *f = *state;
    static struct model m[FLOWS];
    struct super_spec spec[FLOWS];
    struct rng rng;
    unsigned supers = 0;

    rng_seed(&rng, 2);
    for (unsigned i = 0; i < FLOWS; i++) {
        spec[i] = super_random(&rng, 1400);
        spec[i].flow = (uint8_t)(i / 4);
        spec[i].version = i & 2 ? 4 : 6;
        spec[i].proto = i & 1 ? IP_PROTO_TCP : IP_PROTO_UDP;
    }
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned n = (unsigned)rng_below(&rng, 60); n > 0; n--) {
            unsigned i = (unsigned)rng_below(&rng, 1 + rng_below(&rng, FLOWS));
            struct super_spec *s = &spec[i];
            struct pkt *pkt = malloc(sizeof(*pkt) + 2048);

            if (rng_below(&rng, 8) == 0)
                s->payload = (uint32_t)rng_below(&rng, 1400);
            if (rng_below(&rng, 10) == 0)
                s->flags = (uint8_t)rng_below(&rng, 256);
            else if (rng_below(&rng, 3))
                s->flags = 0x10;
            if (rng_below(&rng, 20) == 0)
                s->tos = (uint8_t)rng_below(&rng, 256);
            if (rng_below(&rng, 20) == 0)
                s->seq += (uint32_t)rng_below(&rng, 3000);
            if (rng_below(&rng, 20) == 0)
                s->df = !s->df;
            pkt->data = pkt->buf;
            pkt->len = super_build(s, pkt->data);
            if (rng_below(&rng, 30) == 0)
                pkt->data[pkt->len - 1] ^= 4;
            s->seq += s->payload;
            s->id++;
            m[i].v[m[i].n_in++] = pkt;
            add_bytes(f, pkt->data, pkt->len);
        }
        coalesce_flush(&f->c);
        supers += f->n_super;
        compare(f, m);
        for (unsigned i = 0; i < FLOWS; i++) {
            assert_int_equal(m[i].n_seen, m[i].n_in);
            m[i].n_seen = m[i].n_in = 0;
        }
    }
    assert_true(supers > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stream_becomes_one, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_is_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(one_alone_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(the_kernel_s_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_short_one_is_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(push_is_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_differs_stays_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(some_are_never_held, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_checksum_passes_by, setup, teardown),
        cmocka_unit_test_setup_teardown(order_within_a_flow, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fragment_waits_for_its_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(passing_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(with_too_many_flows_the_oldest_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(without_large_buffers_nothing_is_held, setup, teardown),
        cmocka_unit_test_setup_teardown(without_any_buffer_it_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(random_streams, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
