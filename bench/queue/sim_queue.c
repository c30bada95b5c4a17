/* What a sparse flow feels beside bulk TCP flows, bare and through the tunnel, in virtual time: the
 * egress queue's benchmark (doc/decisions/0004).
 *
 * A run: the tunnel is up for a second; a ping (50 packets a second, answered at the other end)
 * runs alone for 2 s, which gives the path's own round trip; then the bulk flows start, and after
 * 5 s the figures count for as long as asked.
 */
#include <getopt.h>
#include <stdlib.h>

#include "base/util.h"
#include "sim/tunnel.h"

enum { FLOWS_MAX = 16, IDLE_S = 2, SETTLE_S = 5, SAMPLE_MS = 100 };

struct options {
    double rate_mbps, rtt_ms, queue_ms, loss;
    const char *carrier; /* none, cubic or bbr */
    unsigned flows, seeds, seconds, lanes;
    bool down, packed, tso;
};

struct scene {
    struct sim *sim;
    struct wan wan;
    struct tunnel *tunnel; /* NULL: bare */
    struct tcp *tcp[FLOWS_MAX];
    struct cbr *ping;
    struct echo echo; /* bare */
};

struct result {
    double goodput, fairness, idle_ms, mean_ms, p50_ms, p95_ms, p99_ms, lost, tcp_rtt_ms, line_ms,
        line_use, retransmits;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){.rate_mbps = 100,
                          .rtt_ms = 20,
                          .queue_ms = 40,
                          .carrier = "bbr",
                          .flows = 1,
                          .seeds = 1,
                          .seconds = 20};
    while ((c = getopt(argc, argv, "r:t:q:l:c:f:n:s:L:dpT")) != -1) {
        switch (c) {
        case 'r':
            o->rate_mbps = strtod(optarg, NULL);
            break;
        case 't':
            o->rtt_ms = strtod(optarg, NULL);
            break;
        case 'q':
            o->queue_ms = strtod(optarg, NULL);
            break;
        case 'l':
            o->loss = strtod(optarg, NULL);
            break;
        case 'c':
            o->carrier = optarg;
            break;
        case 'f':
            o->flows = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            o->seeds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'L':
            o->lanes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'p':
            o->packed = true;
            break;
        case 'T':
            o->tso = true;
            break;
        case 'd':
            o->down = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->rate_mbps > 0 && o->rtt_ms >= 0 && o->queue_ms > 0 &&
           o->loss >= 0 && o->loss < 1 && o->seeds && o->seconds && o->flows <= FLOWS_MAX;
}

/* --- the cast -------------------------------------------------------------------------- */

static struct link *there(const struct scene *s, const struct options *o)
{
    return o->down ? s->wan.down : s->wan.up;
}

static struct link *back(const struct scene *s, const struct options *o)
{
    return o->down ? s->wan.up : s->wan.down;
}

static struct router *far(struct scene *s, const struct options *o)
{
    return o->down ? &s->wan.at_edge : &s->wan.at_hub;
}

static struct router *near(struct scene *s, const struct options *o)
{
    return o->down ? &s->wan.at_hub : &s->wan.at_edge;
}

static struct tcp *bare_tcp(struct scene *s, const struct options *o, uint16_t port)
{
    struct tcp_opts to = {.tso = o->tso ? TCP_TSO_CUT : TCP_TSO_OFF,
                          .src = net_addr_lit("10.0.0.1", port),
                          .dst = net_addr_lit("10.0.0.2", port)};
    struct tcp *t = tcp_new(s->sim, &to, link_sink(there(s, o)), link_sink(back(s, o)));

    router_add(far(s, o), &to.dst, &t->rcv.sink);
    router_add(near(s, o), &to.src, &t->snd.sink);
    return t;
}

static struct cbr *bare_ping(struct scene *s, const struct options *o)
{
    struct cbr_opts co = {.src = net_addr_lit("10.0.0.1", 999),
                          .dst = net_addr_lit("10.0.0.2", 999)};
    struct cbr *c = cbr_new(s->sim, &co, link_sink(there(s, o)));

    echo_init(&s->echo, link_sink(back(s, o)));
    router_add(far(s, o), &co.dst, &s->echo.sink);
    router_add(near(s, o), &co.src, &c->sink);
    return c;
}

static void scene_init(struct scene *s, const struct options *o, uint64_t seed)
{
    struct link_opts line = {.rate_bps = (uint64_t)(o->rate_mbps * 1e6),
                             .delay_ns = (uint64_t)(o->rtt_ms / 2 * 1e6),
                             .queue_bytes = (uint64_t)(o->rate_mbps * 1e3 / 8 * o->queue_ms),
                             .loss = o->loss};
    struct tunnel_opts t = {.cc = o->carrier[0] == 'b' ? QUIC_CC_BBR : QUIC_CC_CUBIC,
                            .packed = o->packed,
                            .lanes = o->lanes,
                            .n_pkts = 8192,
                            .n_large = o->tso ? 512 : 0};
    struct tcp_opts to = {.tso = o->tso ? TCP_TSO_WHOLE : TCP_TSO_OFF};

    *s = (struct scene){.sim = sim_new(seed)};
    wan_init(&s->wan, s->sim, "wan", &line, &line);
    if (o->carrier[0] != 'n') {
        s->tunnel = tunnel_new(&s->wan, &t);
        if (!tunnel_wait_up(s->tunnel, 30 * NS_PER_S)) {
            fprintf(stderr, "sim-queue: no tunnel with seed %llu\n", (unsigned long long)seed);
            exit(1);
        }
        sim_run_for(s->sim, NS_PER_S);
    }
    s->ping = s->tunnel ? tunnel_ping(s->tunnel, !o->down, NULL) : bare_ping(s, o);
    for (unsigned i = 0; i < o->flows; i++)
        s->tcp[i] =
            s->tunnel ? tunnel_tcp(s->tunnel, !o->down, &to) : bare_tcp(s, o, (uint16_t)(1000 + i));
}

static void scene_done(struct scene *s)
{
    for (unsigned i = 0; i < FLOWS_MAX; i++)
        tcp_free(s->tcp[i]);
    cbr_free(s->ping);
    tunnel_free(s->tunnel);
    wan_done(&s->wan);
    sim_free(s->sim);
}

/* --- one run --------------------------------------------------------------------------- */

static double quantile_ms(const struct cbr *c, double q)
{
    return (double)hist_quantile_ns(&c->stats.delay, q) / 1e6;
}

/* Goodput as a share of the line, and Jain's index of the flows. */
static void count_flows(const struct scene *s, const struct options *o, struct result *r)
{
    double sum = 0, squares = 0;

    for (unsigned i = 0; i < o->flows; i++) {
        double bps = tcp_goodput_bps(s->tcp[i]);

        sum += bps;
        squares += bps * bps;
        r->retransmits += (double)s->tcp[i]->stats.retransmits;
    }
    r->goodput = sum / (o->rate_mbps * 1e6);
    r->fairness = squares > 0 ? sum * sum / (o->flows * squares) : 1;
}

static struct result run(const struct options *o, uint64_t seed)
{
    unsigned samples = o->seconds * 1000 / SAMPLE_MS;
    struct result r = {0};
    struct scene s;

    scene_init(&s, o, seed);
    cbr_start(s.ping);
    sim_run_for(s.sim, IDLE_S * NS_PER_S);
    r.idle_ms = quantile_ms(s.ping, 0.5);
    for (unsigned i = 0; i < o->flows; i++)
        tcp_start(s.tcp[i]);
    sim_run_for(s.sim, SETTLE_S * NS_PER_S);
    cbr_stats_reset(s.ping);
    link_stats_reset(there(&s, o));
    for (unsigned i = 0; i < o->flows; i++)
        tcp_stats_reset(s.tcp[i]);
    for (unsigned i = 0; i < samples; i++) {
        sim_run_for(s.sim, SAMPLE_MS * NS_PER_MS);
        for (unsigned j = 0; j < o->flows; j++)
            r.tcp_rtt_ms += (double)s.tcp[j]->snd.srtt_ns / 1e6 / o->flows / samples;
    }
    r.mean_ms = hist_mean_ns(&s.ping->stats.delay) / 1e6;
    r.p50_ms = quantile_ms(s.ping, 0.5);
    r.p95_ms = quantile_ms(s.ping, 0.95);
    r.p99_ms = quantile_ms(s.ping, 0.99);
    r.lost = 1 - (double)s.ping->stats.rx / (double)s.ping->stats.tx;
    r.line_ms = link_wait_mean_ms(there(&s, o));
    r.line_use = link_utilisation(there(&s, o));
    count_flows(&s, o, &r);
    scene_done(&s);
    return r;
}

int main(int argc, char **argv)
{
    struct options o;

    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr,
                "usage: sim-queue [-r MBPS] [-t RTT_MS] [-q QUEUE_MS] [-l LOSS] "
                "[-c none|cubic|bbr] [-d] [-p]\n                 [-T] [-L LANES] [-f FLOWS] "
                "[-n SEEDS] [-s SECONDS]\n");
        return 2;
    }
    for (unsigned i = 1; i <= o.seeds; i++) {
        struct result r = run(&o, i);

        printf("%-5s %5.1f Mbit/s %3.0f ms loss %.3f %u flows: goodput %.3f fair %.2f | ping idle "
               "%.1f, +mean %.1f +p50 %.1f +p95 %.1f +p99 %.1f lost %.3f | tcp rtt %.0f line "
               "%.1f use %.3f rexmit %.0f\n",
               o.carrier, o.rate_mbps, o.rtt_ms, o.loss, o.flows, r.goodput, r.fairness, r.idle_ms,
               r.mean_ms - r.idle_ms, r.p50_ms - r.idle_ms, r.p95_ms - r.idle_ms,
               r.p99_ms - r.idle_ms, r.lost, r.tcp_rtt_ms, r.line_ms, r.line_use, r.retransmits);
    }
    return 0;
}
