/* The simulator's link and the laboratory's emulator play the same trace: packets that are sent at
 * the same times arrive at the same times, and the same ones vanish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "lab/wanlink.h"
#include "sim/link.h"

enum { PACKETS = 2000, PAYLOAD = 1000, GAP_US = 901 };

static const char trace_text[] = "0s both rate=20m queue=500k delay=10ms\n"
                                 "300ms up rate=5m\n"
                                 "500ms up down=1\n"
                                 "650ms up down=0 rate=40m delay=3ms\n"
                                 "800ms up rate=9m delay=14ms\n"
                                 "1s repeat\n";

struct arrivals {
    uint64_t at_ns[PACKETS]; /* 0 = never */
    unsigned n;
};

static struct wan_trace load(void)
{
    struct wan_trace t;
    unsigned line;

    assert_int_equal(wan_trace_parse(&t, trace_text, strlen(trace_text), &line), 0);
    return t;
}

static uint64_t sent_ns(unsigned i)
{
    return (uint64_t)(i + 1) * GAP_US * NS_PER_US;
}

/* --- the simulator --------------------------------------------------------------------- */

struct scene {
    struct sim *sim;
    struct sim_sink sink;
    struct link *link;
    struct sim_event send;
    unsigned sent;
    struct arrivals seen;
};

static void scene_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct scene *s = container_of(sink, struct scene, sink);
    unsigned i;

    memcpy(&i, d->data, sizeof(i));
    s->seen.at_ns[i] = s->sim->now_ns - SIM_START_NS;
    s->seen.n++;
    sim_dgram_free(s->sim, d);
}

static void scene_send(struct sim_event *ev)
{
    struct scene *s = container_of(ev, struct scene, send);
    struct sim_dgram *d = sim_dgram_new(s->sim, PAYLOAD);

    memset(d->data, 0, PAYLOAD);
    memcpy(d->data, &s->sent, sizeof(s->sent));
    link_sink(s->link)->put(link_sink(s->link), d);
    if (++s->sent < PACKETS)
        sim_set(s->sim, &s->send, SIM_START_NS + sent_ns(s->sent));
}

static void play_in_simulator(const struct wan_trace *t, struct arrivals *ret)
{
    struct scene s = {.sim = sim_new(1), .sink.put = scene_put, .send.fire = scene_send};
    struct link_opts opts = link_opts_of(&t->step[0].dir[WAN_UP]);

    s.link = link_new(s.sim, "line", &opts, &s.sink);
    link_play(s.link, t, WAN_UP, 0);
    sim_set(s.sim, &s.send, SIM_START_NS + sent_ns(0));
    sim_run_for(s.sim, sent_ns(PACKETS) + 5 * NS_PER_S);
    *ret = s.seen;
    assert_int_equal(s.seen.n + link_stats(s.link)->drop[LINK_DROP_OFF], PACKETS);
    link_free(s.link);
    sim_free(s.sim);
}

/* --- the emulator ---------------------------------------------------------------------- */

static void take_until(struct wan_link *l, uint64_t now_ns, struct arrivals *ret)
{
    struct wan_packet *p;
    bool lost;

    while ((p = wan_link_pop(l, now_ns, &lost))) {
        unsigned i;

        memcpy(&i, p->data, sizeof(i));
        if (!lost) {
            ret->at_ns[i] = p->due_ns;
            ret->n++;
        }
        free(p);
    }
}

static void play_in_emulator(const struct wan_trace *t, struct arrivals *ret)
{
    uint64_t now_ns = 0, end_ns = sent_ns(PACKETS) + 5 * NS_PER_S, change_ns = 0;
    struct wan_link l;

    assert_int_equal(wan_link_init(&l, PACKETS, 1), 0);
    for (unsigned i = 0; now_ns < end_ns;) {
        uint64_t send_ns = i < PACKETS ? sent_ns(i) : end_ns;

        take_until(&l, now_ns, ret);
        if (change_ns == now_ns) {
            l.params = t->step[wan_trace_step(t, now_ns)].dir[WAN_UP];
            change_ns = wan_trace_next_ns(t, now_ns);
        }
        if (i < PACKETS && send_ns == now_ns) {
            struct wan_packet *p = calloc(1, sizeof(*p));

            assert_non_null(p);
            memcpy(p->data, &i, sizeof(i));
            p->len = PAYLOAD + WAN_ETHER_HEADER;
            if (!wan_link_push(&l, p, now_ns))
                free(p);
            i++;
            send_ns = i < PACKETS ? sent_ns(i) : end_ns;
        }
        now_ns = MIN(send_ns, change_ns);
    }
    take_until(&l, end_ns, ret);
    wan_link_done(&l);
}

/* --- tests ----------------------------------------------------------------------------- */

static void test_both_players_agree(void **state)
{
    struct wan_trace t = load();
    struct arrivals sim = {.n = 0}, lab = {.n = 0};

    play_in_simulator(&t, &sim);
    play_in_emulator(&t, &lab);
    assert_int_equal(sim.n, lab.n);
    assert_in_range(sim.n, PACKETS / 2, PACKETS - 200); /* an outage of 15 % */
    for (unsigned i = 0; i < PACKETS; i++) {
        int64_t apart_ns = (int64_t)(sim.at_ns[i] - lab.at_ns[i]);

        /* The emulator rounds each packet's time of transmission down to a nanosecond. */
        if (llabs(apart_ns) > 2 * PACKETS)
            fail_msg("packet %u: %llu and %llu ns", i, (unsigned long long)sim.at_ns[i],
                     (unsigned long long)lab.at_ns[i]);
    }
    wan_trace_done(&t);
}

static void test_a_run_may_begin_anywhere_in_a_trace(void **state)
{
    struct wan_trace t = load();
    struct sim *sim = sim_new(1);
    struct link_opts opts = link_opts_of(&t.step[0].dir[WAN_UP]);
    struct link *l = link_new(sim, "line", &opts, NULL);

    link_play(l, &t, WAN_UP, 5700 * NS_PER_MS);
    assert_int_equal(link_rate(l), 40000000);
    sim_run_for(sim, 100 * NS_PER_MS);
    assert_int_equal(link_rate(l), 9000000);
    sim_run_for(sim, 200 * NS_PER_MS);
    assert_int_equal(link_rate(l), 20000000);
    link_play(l, NULL, WAN_UP, 0);
    sim_run_for(sim, 2 * NS_PER_S);
    assert_int_equal(link_rate(l), 20000000);
    link_free(l);
    sim_free(sim);
    wan_trace_done(&t);
}

static void count_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct scene *s = container_of(sink, struct scene, sink);

    s->seen.at_ns[s->seen.n++] = s->sim->now_ns;
    sim_dgram_free(s->sim, d);
}

/* Wandering jitter delays up to its maximum, moves slowly, and overtakes nothing. */
static void test_wandering_jitter(void **state)
{
    struct scene s = {.sim = sim_new(3), .sink.put = count_put};
    struct link_opts opts = {
        .delay_ns = 5 * NS_PER_MS, .jitter_ns = 10 * NS_PER_MS, .jitter_period_ns = 20 * NS_PER_MS};
    struct link *l = link_new(s.sim, "line", &opts, &s.sink);
    uint64_t least = UINT64_MAX, most = 0, last = 0, start = s.sim->now_ns;

    for (unsigned i = 0; i < 1000; i++) {
        link_sink(l)->put(link_sink(l), sim_dgram_new(s.sim, 100));
        sim_run_for(s.sim, NS_PER_MS);
    }
    sim_run_for(s.sim, NS_PER_S);
    assert_int_equal(s.seen.n, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t extra = s.seen.at_ns[i] - start - (uint64_t)i * NS_PER_MS - opts.delay_ns;

        least = MIN(least, extra);
        most = MAX(most, extra);
        if (i) /* half of the maximum in a period's twentieth would be a jump */
            assert_true(extra < last + opts.jitter_ns / 8 && last < extra + NS_PER_MS + 1);
        last = extra;
    }
    assert_true(least < NS_PER_MS);
    assert_in_range(most, 9 * NS_PER_MS, opts.jitter_ns);
    link_free(l);
    sim_free(s.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_players_agree),
        cmocka_unit_test(test_a_run_may_begin_anywhere_in_a_trace),
        cmocka_unit_test(test_wandering_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
