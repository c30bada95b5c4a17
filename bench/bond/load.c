#include "bench/bond/load.h"

#include <math.h>
#include <stdlib.h>

#include "base/util.h"

enum { FIRST_PORT = 6001, STREAM_PORT = 5999, IP_TCP = 40, IP_UDP_TCP = 48 };

const struct load loads[] = {
    {.name = "tcp1", .flows = 1},
    {.name = "tcp4", .flows = 4},
    {.name = "tcp16", .flows = 16},
    {.name = "quic", .flows = 1, .quic = true},
    {.name = "stream"},
    {.name = NULL},
};

const char *const figure_names[FIGURE_COUNT] = {
    [FIGURE_GOODPUT] = "goodput_mbps",
    [FIGURE_P5] = "p5_mbps",
    [FIGURE_P50] = "p50_ms",
    [FIGURE_P95] = "p95_ms",
    [FIGURE_P99] = "p99_ms",
    [FIGURE_LOST] = "lost",
    [FIGURE_LATE] = "late",
    [FIGURE_RETRANSMITS] = "retransmits",
};

/* The flows of a run; in is where the sender's packets go, back where the receiver's do. */
struct cast {
    const struct load_opts *o;
    struct scene *scene;
    struct sim_sink *in, *back;
    struct router *out, *home;
    struct ip_addr from, to;
    struct tcp *tcp[LOAD_FLOWS_MAX];
    struct cbr *small; /* ping or stream */
    struct echo echo;
};

static struct tcp *make_flow(struct cast *c, unsigned i)
{
    bool whole = c->scene->takes_supers;
    struct tcp_opts o = {
        .src = net_addr_make(&c->from, (uint16_t)(FIRST_PORT + i)),
        .dst = net_addr_make(&c->to, (uint16_t)(FIRST_PORT + i)),
        .quic = c->o->load->quic,
    };
    struct tcp *t;

    if (!o.quic)
        o.mss = c->scene->packet_max - IP_TCP;
    else if (c->scene->packet_max < 1330 + IP_UDP_TCP)
        o.mss = c->scene->packet_max - IP_UDP_TCP;
    if (!o.quic && !c->o->no_tso)
        o.tso = whole ? TCP_TSO_WHOLE : TCP_TSO_CUT;
    t = tcp_new(c->scene->sim, &o, c->in, c->back);
    router_add(c->out, &o.dst, &t->rcv.sink);
    router_add(c->home, &o.src, &t->snd.sink);
    return t;
}

/* 50 packets a second: sent back by the other end beside bulk, one way when alone. */
static void make_small(struct cast *c)
{
    struct cbr_opts o = {.src = net_addr_make(&c->from, STREAM_PORT),
                         .dst = net_addr_make(&c->to, STREAM_PORT)};

    c->small = cbr_new(c->scene->sim, &o, c->in);
    if (c->o->load->flows) {
        echo_init(&c->echo, c->back);
        router_add(c->out, &o.dst, &c->echo.sink);
        router_add(c->home, &o.src, &c->small->sink);
    } else {
        router_add(c->out, &o.dst, &c->small->sink);
    }
}

static void cast_init(struct cast *c, struct scene *s, const struct load_opts *o)
{
    *c = (struct cast){.o = o, .scene = s};
    c->in = o->up ? s->edge_in : s->hub_in;
    c->back = o->up ? s->hub_in : s->edge_in;
    c->out = o->up ? s->hub_out : s->edge_out;
    c->home = o->up ? s->edge_out : s->hub_out;
    c->from = o->up ? s->edge : s->hub;
    c->to = o->up ? s->hub : s->edge;
    make_small(c);
    for (unsigned i = 0; i < o->load->flows; i++)
        c->tcp[i] = make_flow(c, i);
}

static void cast_done(struct cast *c)
{
    for (unsigned i = 0; i < c->o->load->flows; i++)
        tcp_free(c->tcp[i]);
    cbr_free(c->small);
}

/* --- figures --------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* All flows together in each second of the span. */
static void read_bulk(const struct cast *c, double *figure)
{
    double second[SPAN_MAX_S] = {0}, sum = 0;
    unsigned n = c->o->seconds, rank = (unsigned)ceil(0.05 * n);

    for (unsigned i = 0; i < n; i++) {
        unsigned at = WARM_S + SETTLE_S + i;

        for (unsigned k = 0; k < c->o->load->flows; k++)
            second[i] += tcp_goodput_between_bps(c->tcp[k], at, at + 1) / 1e6;
        sum += second[i];
    }
    qsort(second, n, sizeof(second[0]), by_size);
    figure[FIGURE_GOODPUT] = sum / n;
    figure[FIGURE_P5] = second[rank ? rank - 1 : 0];
    for (unsigned k = 0; k < c->o->load->flows; k++)
        figure[FIGURE_RETRANSMITS] += (double)c->tcp[k]->stats.retransmits;
}

/* Share of those that took longer: the quantiles of the histogram, halved down. */
static double share_later(const struct hist *h, double ms)
{
    double low = 0, high = 1;

    if (!h->n || (double)h->max_ns / 1e6 <= ms)
        return 0;
    for (unsigned i = 0; i < 40; i++) {
        double middle = (low + high) / 2;

        if ((double)hist_quantile_ns(h, middle) / 1e6 <= ms)
            low = middle;
        else
            high = middle;
    }
    return 1 - low;
}

static void read_small(const struct cast *c, double *figure)
{
    const struct cbr_stats *s = &c->small->stats;
    double came = (double)(s->rx - MIN(s->rx, s->duplicated));

    figure[FIGURE_P50] = (double)hist_quantile_ns(&s->delay, 0.5) / 1e6;
    figure[FIGURE_P95] = (double)hist_quantile_ns(&s->delay, 0.95) / 1e6;
    figure[FIGURE_P99] = (double)hist_quantile_ns(&s->delay, 0.99) / 1e6;
    figure[FIGURE_LOST] = s->tx ? MAX(1 - came / (double)s->tx, 0) : 0;
    if (!c->o->load->flows && s->tx)
        figure[FIGURE_LATE] = share_later(&s->delay, c->o->late_ms) * MIN(came / (double)s->tx, 1);
}

/* --- a run ----------------------------------------------------------------------------- */

static uint64_t at_s(unsigned s)
{
    return SIM_START_NS + s * NS_PER_S;
}

/* The stream's last packets arrive after the span: nothing is sent then, all is counted. */
static void run_span(struct cast *c)
{
    struct sim *sim = c->scene->sim;

    cbr_start(c->small);
    for (unsigned i = 0; i < c->o->load->flows; i++)
        tcp_start(c->tcp[i]);
    sim_run_until(sim, at_s(WARM_S + SETTLE_S));
    cbr_stats_reset(c->small);
    for (unsigned i = 0; i < c->o->load->flows; i++)
        tcp_stats_reset(c->tcp[i]);
    sim_run_until(sim, at_s(WARM_S + SETTLE_S + c->o->seconds));
    cbr_stop(c->small);
    sim_run_for(sim, 3 * NS_PER_S);
}

struct result load_run(const struct scene_opts *so, const struct carrier *carrier,
                       const struct load_opts *o)
{
    struct result r = {.valid = false};
    struct scene s;
    struct cast c;

    scene_init(&s, so);
    if (carrier->open(&s) && s.sim->now_ns <= at_s(WARM_S)) {
        sim_run_until(s.sim, at_s(WARM_S));
        cast_init(&c, &s, o);
        run_span(&c);
        read_bulk(&c, r.figure);
        read_small(&c, r.figure);
        cast_done(&c);
        r.valid = true;
    }
    carrier->close(&s);
    scene_done(&s);
    return r;
}
