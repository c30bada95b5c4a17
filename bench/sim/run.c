#include "bench/sim/run.h"

#include <math.h>
#include <stdio.h>

#include "base/util.h"
#include "sim/duo.h"
#include "sim/tcp.h"

#define NS(s) ((uint64_t)((s)*1e9))
#define STEP_S (BULK_BIN_MS / 1e3)

struct run {
    const struct scenario *sc;
    const struct policy *po;
    struct sim *sim;
    struct wan wan;
    struct link *link; /* the bottleneck in the direction of the data */
    struct duo *own, *other;
    struct tcp *tcp;
    struct bulk *from, *to; /* own ends */
    double t0, ceiling_bps; /* ceiling at the full rate */
    double capacity;        /* ceiling over the measured span, in bits */
    double doubled_at;      /* < 0: not waiting */
    uint64_t last_rate;
    bool warm;
};

static double at(const struct run *r)
{
    return sim_seconds(r->sim) - r->t0;
}

/* --- the cast --------------------------------------------------------------------------- */

static void start_own(void *user)
{
    bulk_send(((struct run *)user)->from, UINT64_MAX);
}

static void start_other(void *user)
{
    struct run *r = user;

    if (r->tcp)
        tcp_start(r->tcp);
    else
        bulk_send(&r->other->at_edge, UINT64_MAX);
}

static void stop_other(void *user)
{
    struct run *r = user;

    if (r->other)
        bulk_stop(&r->other->at_edge);
}

static void make_tcp(struct run *r)
{
    struct tcp_opts o = {.src = net_addr_lit("198.18.9.1", 1000),
                         .dst = net_addr_lit("198.18.9.2", 2000)};

    r->tcp = tcp_new(r->sim, &o, link_sink(r->wan.up), link_sink(r->wan.down));
    router_add(&r->wan.at_hub, &o.dst, &r->tcp->rcv.sink);
    router_add(&r->wan.at_edge, &o.src, &r->tcp->snd.sink);
}

static struct duo_opts own_opts(const struct policy *po)
{
    return (struct duo_opts){.lanes = MAX(po->lanes, 1u),
                             .cc = po->cc,
                             .bound = po->bound,
                             .bound_queue_ns = NS(po->queue_ms / 1e3)};
}

static void make_foreign(struct run *r)
{
    struct duo_opts o = {.lanes = 1, .cc = QUIC_CC_CUBIC};

    if (r->sc->foreign == FOREIGN_NONE)
        return;
    if (r->sc->foreign == FOREIGN_TCP) {
        make_tcp(r);
        return;
    }
    if (r->sc->foreign == FOREIGN_BBR)
        o.cc = QUIC_CC_BBR;
    else if (r->sc->foreign == FOREIGN_SAME)
        o = own_opts(r->po);
    o.name = "foreign";
    o.number = 1;
    r->other = duo_new(&r->wan, &o);
    duo_wait_up(r->other, o.lanes, NS(10));
}

static void make_line(struct run *r)
{
    const struct scenario *sc = r->sc;
    struct link_opts data = {.rate_bps = (uint64_t)(sc->rate_mbps * 1e6),
                             .delay_ns = NS(sc->rtt_ms / 2e3),
                             .jitter_ns = NS(sc->jitter_ms / 1e3),
                             .queue_bytes =
                                 MAX((uint64_t)(sc->buffer_ms * sc->rate_mbps * 125), 6000u),
                             .loss = sc->loss};
    struct link_opts acks = {.rate_bps = data.rate_bps, .delay_ns = data.delay_ns};

    wan_init(&r->wan, r->sim, "wan", sc->reverse ? &acks : &data, sc->reverse ? &data : &acks);
    r->link = sc->reverse ? r->wan.down : r->wan.up;
    r->last_rate = data.rate_bps;
}

static void set_up(struct run *r)
{
    const struct scenario *sc = r->sc;
    struct duo_opts o = own_opts(r->po);

    make_line(r);
    r->own = duo_new(&r->wan, &o);
    r->from = sc->reverse ? &r->own->at_hub : &r->own->at_edge;
    r->to = sc->reverse ? &r->own->at_edge : &r->own->at_hub;
    duo_wait_up(r->own, o.lanes, NS(10));
    make_foreign(r);
    r->t0 = sim_seconds(r->sim);
    r->ceiling_bps = sc->rate_mbps * 1e6 * bulk_ceiling(1500);
    r->doubled_at = -1;
    sim_call(r->sim, NS(sc->own_at_s), start_own, r);
    if (r->other || r->tcp)
        sim_call(r->sim, NS(sc->foreign_at_s), start_other, r);
    if (sc->foreign_until_s > 0)
        sim_call(r->sim, NS(sc->foreign_until_s), stop_other, r);
    if (sc->halve_s > 0)
        link_alternate_rate(r->link, r->last_rate, r->last_rate / 2, NS(sc->halve_s));
}

static void tear_down(struct run *r)
{
    duo_free(r->own);
    duo_free(r->other);
    if (r->tcp)
        tcp_free(r->tcp);
    wan_done(&r->wan);
    sim_free(r->sim);
}

/* --- watching --------------------------------------------------------------------------- */

static void reset_figures(struct run *r)
{
    r->warm = true;
    bulk_stats_reset(r->to);
    if (r->other)
        bulk_stats_reset(&r->other->at_hub);
    if (r->tcp)
        tcp_stats_reset(r->tcp);
    link_stats_reset(r->link);
}

/* At most one lane more in STEP_S. */
static void adapt_lanes(struct run *r)
{
    unsigned have = quic_path_lanes(r->own->path);

    if (have < quic_path_lanes_wanted(r->own->path, r->sim->now_ns))
        duo_open_lane(r->own);
}

static void watch(struct run *r, struct result *ret)
{
    double t = sim_seconds(r->sim), rate = (double)link_rate(r->link);
    double now_ceiling = rate * bulk_ceiling(1500);
    double share = bulk_goodput_between_bps(r->to, t - STEP_S, t) / now_ceiling;

    if (ret->startup_s < 0 && share > 0.9)
        ret->startup_s = at(r) - r->sc->own_at_s;
    if (link_rate(r->link) > r->last_rate)
        r->doubled_at = at(r) - STEP_S;
    r->last_rate = link_rate(r->link);
    if (r->doubled_at >= 0) {
        ret->recover_s = MAX(ret->recover_s, at(r) - r->doubled_at);
        if (share > 0.85)
            r->doubled_at = -1;
    }
    if (r->warm)
        r->capacity += STEP_S * now_ceiling;
}

static void trace_line(struct run *r)
{
    double t = sim_seconds(r->sim);

    printf("%7.1f s  own %7.2f  other %7.2f Mbit/s  queue %6.1f ms  lanes %u\n", at(r),
           bulk_goodput_between_bps(r->to, t - STEP_S, t) / 1e6,
           r->other ? bulk_goodput_between_bps(&r->other->at_hub, t - STEP_S, t) / 1e6
           : r->tcp ? tcp_goodput_bps(r->tcp) / 1e6
                    : 0,
           (double)link_backlog_bytes(r->link) * 8e3 / (double)link_rate(r->link),
           quic_path_lanes(r->own->path));
}

static void read_figures(struct run *r, struct result *ret)
{
    const struct scenario *sc = r->sc;
    double span = sc->span_s * r->ceiling_bps;

    ret->share = bulk_goodput_bps(r->to) * sc->span_s / (r->capacity > 0 ? r->capacity : span);
    if (r->other)
        ret->foreign = bulk_goodput_bps(&r->other->at_hub) / r->ceiling_bps;
    if (r->tcp)
        ret->foreign = tcp_goodput_bps(r->tcp) / (sc->rate_mbps * 1e6 * 1460 / 1500);
    ret->queue_ms = link_wait_mean_ms(r->link);
    ret->queue_p95_ms = link_wait_quantile_ms(r->link, 0.95);
    if (ret->startup_s < 0)
        ret->startup_s = sc->span_s;
}

void run_one(const struct scenario *sc, const struct policy *po, uint64_t seed, bool trace,
             struct result *ret)
{
    struct run r = {.sc = sc, .po = po, .sim = sim_new(seed)};
    unsigned steps = (unsigned)lround((sc->warm_s + sc->span_s) / STEP_S);
    unsigned warm = (unsigned)lround(sc->warm_s / STEP_S);

    *ret = (struct result){.startup_s = -1};
    set_up(&r);
    for (unsigned i = 1; i <= steps; i++) {
        sim_run_for(r.sim, NS(STEP_S));
        watch(&r, ret);
        if (!po->lanes && !sc->reverse)
            adapt_lanes(&r);
        if (trace)
            trace_line(&r);
        ret->lanes += (double)quic_path_lanes(r.own->path) / steps;
        if (i == warm)
            reset_figures(&r);
    }
    read_figures(&r, ret);
    tear_down(&r);
}
