/* The parts of the simulator against what they claim to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/util.h"
#include "sim/net.h"

/* --- events ---------------------------------------------------------------------------- */

struct probe {
    struct sim_event ev;
    struct sim *sim;
    int number;
};

static int order[64];
static unsigned n_order;

static void probe_fire(struct sim_event *ev)
{
    order[n_order++] = container_of(ev, struct probe, ev)->number;
}

/* By time; at one time in the order of setting; moved and removed ones as last said. */
static void events_in_order(void **state)
{
    static const uint64_t delay[] = {5, 3, 5, 1, 3, 5, 9, 1};
    static const int want[] = {3, 4, 0, 5, 2, 1};
    struct sim *sim = sim_new(1);
    struct probe p[8];

    n_order = 0;
    for (int i = 0; i < 8; i++) {
        p[i] = (struct probe){.ev.fire = probe_fire, .sim = sim, .number = i};
        sim_set(sim, &p[i].ev, sim->now_ns + delay[i]);
    }
    sim_set(sim, &p[2].ev, sim->now_ns + 5); /* set anew: behind the others of its time */
    sim_set(sim, &p[1].ev, sim->now_ns + 7);
    sim_unset(sim, &p[7].ev);
    sim_unset(sim, &p[7].ev);
    sim_run_for(sim, 8);
    assert_int_equal(n_order, 6);
    assert_memory_equal(order, want, sizeof(want));
    assert_int_equal(sim->now_ns, SIM_START_NS + 8);
    sim_run_for(sim, 10);
    assert_int_equal(n_order, 7);
    assert_int_equal(order[6], 6);
    sim_free(sim);
}

/* --- links ----------------------------------------------------------------------------- */

/* A sink that notes what arrives. */
struct ear {
    struct sim_sink sink;
    struct sim *sim;
    unsigned n, disorder, ce;
    uint64_t bytes, last_ns, first_ns;
    uint32_t last_seq;
};

static void ear_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct ear *e = container_of(sink, struct ear, sink);
    uint32_t seq = 0;

    if (d->len >= 4)
        memcpy(&seq, d->data, 4);
    e->disorder += e->n && seq < e->last_seq;
    e->last_seq = seq;
    e->ce += (d->ecn & 3) == 3;
    e->n++;
    e->bytes += sim_dgram_wire_bytes(d);
    if (!e->first_ns)
        e->first_ns = e->sim->now_ns;
    e->last_ns = e->sim->now_ns;
    sim_dgram_free(e->sim, d);
}

struct bench {
    struct sim *sim;
    struct ear ear;
    struct link *link;
    uint32_t seq;
};

static void bench_init(struct bench *b, uint64_t seed, const struct link_opts *opts)
{
    memset(b, 0, sizeof(*b));
    b->sim = sim_new(seed);
    b->ear = (struct ear){.sink.put = ear_put, .sim = b->sim};
    b->link = link_new(b->sim, "link", opts, &b->ear.sink);
}

static void bench_done(struct bench *b)
{
    link_free(b->link);
    sim_free(b->sim);
}

static void bench_send(struct bench *b, size_t len, uint8_t ecn)
{
    struct sim_dgram *d = sim_dgram_new(b->sim, len);

    memset(d->data, 0, len);
    memcpy(d->data, &b->seq, MIN(len, (size_t)4));
    b->seq++;
    d->ecn = ecn;
    link_sink(b->link)->put(link_sink(b->link), d);
}

/* n packets of 1250 bytes, one each interval. */
static void bench_stream(struct bench *b, unsigned n, uint64_t interval_ns)
{
    for (unsigned i = 0; i < n; i++) {
        bench_send(b, 1250, 0);
        sim_run_for(b->sim, interval_ns);
    }
    sim_run_for(b->sim, NS_PER_S);
}

/* 1250 bytes at 10 Mbit/s take 1 ms; then the delay. */
static void rate_and_delay(void **state)
{
    struct link_opts o = {.rate_bps = 10000000, .delay_ns = 7 * NS_PER_MS, .queue_bytes = 100000};
    struct bench b;

    bench_init(&b, 1, &o);
    for (int i = 0; i < 10; i++)
        bench_send(&b, 1250, 0);
    sim_run_for(b.sim, NS_PER_S);
    assert_int_equal(b.ear.n, 10);
    assert_int_equal(b.ear.first_ns - SIM_START_NS, 8 * NS_PER_MS);
    assert_int_equal(b.ear.last_ns - SIM_START_NS, 17 * NS_PER_MS);
    /* they waited 0, 1, ... 9 ms */
    assert_true(fabs(link_wait_mean_ms(b.link) - 4.5) < 0.01);
    assert_true(fabs(link_wait_quantile_ms(b.link, 0.95) - 9) < 0.2);
    /* and the queue stood at 9, 8, ... 0 packets for 1 ms each, of 1000 ms */
    assert_true(fabs(link_backlog_mean_ms(b.link) - 0.045) < 0.001);
    bench_done(&b);
}

/* The rate holds exactly where a packet does not take a whole number of nanoseconds. */
static void rate_is_exact(void **state)
{
    struct link_opts o = {.rate_bps = 900000000, .queue_bytes = 100000000};
    struct bench b;

    bench_init(&b, 1, &o);
    for (int i = 0; i < 9001; i++)
        bench_send(&b, 1250, 0);
    sim_run_for(b.sim, NS_PER_S);
    assert_int_equal(b.ear.last_ns - SIM_START_NS, 9001ull * 1250 * 8 * NS_PER_S / 900000000);
    bench_done(&b);
}

static void drop_tail_mtu_and_outage(void **state)
{
    struct link_opts o = {.rate_bps = 10000000, .queue_bytes = 5000, .mtu = 1300};
    struct bench b;
    const struct link_stats *s;

    bench_init(&b, 1, &o);
    s = link_stats(b.link);
    for (int i = 0; i < 10; i++)
        bench_send(&b, 1250, 0); /* one is being sent, four wait */
    assert_int_equal(s->drop[LINK_DROP_TAIL], 5);
    assert_int_equal(link_backlog_bytes(b.link), 5000);
    bench_send(&b, 1301, 0);
    assert_int_equal(s->drop[LINK_DROP_MTU], 1);
    link_set_on(b.link, false);
    assert_int_equal(link_backlog_bytes(b.link), 0);
    bench_send(&b, 100, 0);
    sim_run_for(b.sim, NS_PER_S);
    assert_int_equal(b.ear.n, 0);
    assert_int_equal(s->drop[LINK_DROP_OFF], 6);
    link_set_on(b.link, true);
    bench_send(&b, 100, 0);
    sim_run_for(b.sim, NS_PER_S);
    assert_int_equal(b.ear.n, 1);
    bench_done(&b);
}

static void random_loss_has_its_rate(void **state)
{
    struct link_opts o = {.rate_bps = 100000000, .loss = 0.02};
    struct bench b;
    double lost;

    bench_init(&b, 1, &o);
    bench_stream(&b, 50000, NS_PER_MS);
    lost = (double)link_stats(b.link)->drop[LINK_DROP_LOSS] / 50000;
    assert_true(fabs(lost - 0.02) < 4 * sqrt(0.02 * 0.98 / 50000));
    assert_int_equal(b.ear.n + link_stats(b.link)->drop[LINK_DROP_LOSS], 50000);
    bench_done(&b);
}

/* Bad state for a share p / (p + r) of the packets, in runs of 1/r: here 1/11 and 10. */
static void gilbert_elliott_comes_in_bursts(void **state)
{
    struct link_opts o = {
        .rate_bps = 100000000, .ge_to_bad = 0.01, .ge_to_good = 0.1, .ge_loss_bad = 1};
    struct bench b;
    unsigned bursts = 0, n = 100000;
    bool was_lost = false;
    double lost;

    bench_init(&b, 1, &o);
    for (unsigned i = 0; i < n; i++) {
        uint64_t before = link_stats(b.link)->drop[LINK_DROP_LOSS];
        bool is_lost;

        bench_send(&b, 1250, 0);
        sim_run_for(b.sim, NS_PER_MS);
        is_lost = link_stats(b.link)->drop[LINK_DROP_LOSS] > before;
        bursts += is_lost && !was_lost;
        was_lost = is_lost;
    }
    lost = (double)link_stats(b.link)->drop[LINK_DROP_LOSS];
    assert_true(fabs(lost / n - 1.0 / 11) < 0.01);
    assert_true(fabs(lost / bursts - 10) < 1);
    bench_done(&b);
}

static void jitter_reorders_only_when_it_may(void **state)
{
    struct link_opts o = {.rate_bps = 100000000, .delay_ns = NS_PER_MS, .jitter_ns = 5 * NS_PER_MS};
    struct bench b;

    bench_init(&b, 1, &o);
    bench_stream(&b, 2000, NS_PER_MS);
    assert_int_equal(b.ear.n, 2000);
    assert_int_equal(b.ear.disorder, 0);
    bench_done(&b);
    o.reorder = true;
    bench_init(&b, 1, &o);
    bench_stream(&b, 2000, NS_PER_MS);
    assert_int_equal(b.ear.n, 2000);
    assert_in_range(b.ear.disorder, 500, 1000);
    bench_done(&b);
}

static void marks_what_waited(void **state)
{
    struct link_opts o = {
        .rate_bps = 10000000, .queue_bytes = 100000, .ecn_mark_ns = 5 * NS_PER_MS + 1};
    struct bench b;

    bench_init(&b, 1, &o);
    for (int i = 0; i < 20; i++)
        bench_send(&b, 1250, i % 2 ? 2 : 0); /* every second one ECT(0) */
    sim_run_for(b.sim, NS_PER_S);
    assert_int_equal(b.ear.ce, 7); /* numbers 7, 9, ... 19 waited 6 ms and more */
    assert_int_equal(link_stats(b.link)->marked, 7);
    bench_done(&b);
}

static void rate_alternates(void **state)
{
    struct link_opts o = {.rate_bps = 1, .queue_bytes = 100000000};
    struct bench b;

    bench_init(&b, 1, &o);
    link_alternate_rate(b.link, 20000000, 10000000, NS_PER_S);
    for (int i = 0; i < 10000; i++)
        bench_send(&b, 1250, 0);
    sim_run_for(b.sim, NS_PER_S);
    assert_in_range(b.ear.n, 1999, 2000);
    sim_run_for(b.sim, NS_PER_S);
    assert_in_range(b.ear.n, 2998, 3000);
    sim_run_for(b.sim, NS_PER_S);
    assert_in_range(b.ear.n, 4997, 5000);
    bench_done(&b);
}

static void damages_and_duplicates(void **state)
{
    struct link_opts o = {.duplicate = 0.1, .corrupt = 0.1, .truncate = 0.1};
    const struct link_stats *s;
    struct bench b;

    bench_init(&b, 1, &o);
    bench_stream(&b, 10000, NS_PER_US);
    s = link_stats(b.link);
    assert_in_range(s->duplicated, 900, 1100);
    assert_in_range(s->corrupted, 900, 1100);
    assert_in_range(s->truncated, 900, 1100);
    assert_int_equal(b.ear.n, 10000 + s->duplicated);
    bench_done(&b);
}

/* --- histogram ------------------------------------------------------------------------- */

static void quantiles_within_two_percent(void **state)
{
    static struct hist h;

    hist_reset(&h);
    for (uint64_t i = 1; i <= 100000; i++)
        hist_add(&h, i * 977);
    for (int q = 1; q < 100; q++) {
        double want = q * 1000 * 977.0, got = (double)hist_quantile_ns(&h, q / 100.0);

        assert_true(fabs(got / want - 1) < 0.02);
    }
    assert_true(fabs(hist_mean_ns(&h) / (50000.5 * 977) - 1) < 1e-9);
    hist_add(&h, UINT64_MAX / 4); /* beyond the last step: kept, not lost */
    assert_int_equal(h.n, 100001);
}

/* --- wiring ---------------------------------------------------------------------------- */

static struct sim_dgram *dgram(struct sim *sim, const struct net_addr *src,
                               const struct net_addr *dst)
{
    struct sim_dgram *d = sim_dgram_new(sim, 100);

    memset(d->data, 0, 100);
    d->src = *src;
    d->dst = *dst;
    return d;
}

struct mirror {
    struct ear ear;
    struct net_addr src, dst; /* of the last one */
};

static void mirror_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct mirror *m = container_of(sink, struct mirror, ear.sink);

    m->src = d->src;
    m->dst = d->dst;
    ear_put(sink, d);
}

static void nat_translates_and_rebinds(void **state)
{
    struct net_addr a = net_addr_lit("10.0.0.1", 1000), b = net_addr_lit("10.0.0.1", 1001);
    struct net_addr hub = net_addr_lit("192.0.2.1", 443);
    struct net_addr out = net_addr_lit("203.0.113.1", 60000), first;
    struct sim *sim = sim_new(1);
    struct mirror inside = {.ear = {.sim = sim}}, outside = {.ear = {.sim = sim}};
    struct nat nat;

    inside.ear.sink.put = outside.ear.sink.put = mirror_put;
    nat_init(&nat, sim, &out, &inside.ear.sink, &outside.ear.sink);
    nat.inside.put(&nat.inside, dgram(sim, &a, &hub));
    first = outside.src;
    assert_int_equal(net_addr_port(&first), 60000);
    nat.inside.put(&nat.inside, dgram(sim, &b, &hub));
    assert_int_equal(net_addr_port(&outside.src), 60001);
    nat.inside.put(&nat.inside, dgram(sim, &a, &hub));
    assert_true(net_addr_equal(&outside.src, &first));
    nat.outside.put(&nat.outside, dgram(sim, &hub, &first));
    assert_int_equal(inside.ear.n, 1);
    assert_true(net_addr_equal(&inside.dst, &a));
    nat_rebind(&nat, NULL);
    nat.outside.put(&nat.outside, dgram(sim, &hub, &first));
    assert_int_equal(nat.unknown, 1);
    nat.inside.put(&nat.inside, dgram(sim, &a, &hub));
    assert_int_equal(net_addr_port(&outside.src), 60002);
    sim_free(sim);
}

static void router_takes_the_destination(void **state)
{
    struct net_addr src = net_addr_lit("10.0.0.1", 1), any = net_addr_lit("10.0.0.2", 0);
    struct net_addr one = net_addr_lit("10.0.0.3", 7), other = net_addr_lit("10.0.0.3", 8);
    struct net_addr some = net_addr_lit("10.0.0.2", 999);
    struct sim *sim = sim_new(1);
    struct ear x = {.sink.put = ear_put, .sim = sim}, y = x;
    struct router r;

    router_init(&r, sim);
    router_add(&r, &any, &x.sink);
    router_add(&r, &one, &y.sink);
    r.sink.put(&r.sink, dgram(sim, &src, &some));
    r.sink.put(&r.sink, dgram(sim, &src, &one));
    r.sink.put(&r.sink, dgram(sim, &src, &other));
    assert_int_equal(x.n, 1);
    assert_int_equal(y.n, 1);
    assert_int_equal(r.unroutable, 1);
    sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_order),
        cmocka_unit_test(rate_and_delay),
        cmocka_unit_test(rate_is_exact),
        cmocka_unit_test(drop_tail_mtu_and_outage),
        cmocka_unit_test(random_loss_has_its_rate),
        cmocka_unit_test(gilbert_elliott_comes_in_bursts),
        cmocka_unit_test(jitter_reorders_only_when_it_may),
        cmocka_unit_test(marks_what_waited),
        cmocka_unit_test(rate_alternates),
        cmocka_unit_test(damages_and_duplicates),
        cmocka_unit_test(quantiles_within_two_percent),
        cmocka_unit_test(nat_translates_and_rebinds),
        cmocka_unit_test(router_takes_the_destination),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
