/* One modelled TCP flow over one line, bare or through the tunnel, as JSON: what spot.py holds
 * against the laboratory. With super-packets unless -T, with the session extension unless -p, as
 * the real ones.
 *
 * A run is what `iperf3 -O 1 -t SECONDS` does on a machine: the flow begins on a line at rest (the
 * tunnel has been up for a second), its first second does not count, and the smoothed round trip
 * is looked at every 100 ms.
 */
#include <getopt.h>
#include <stdlib.h>

#include "base/util.h"
#include "sim/tunnel.h"

enum { SAMPLE_MS = 100, OMIT_S = 1 };

struct options {
    double rate_mbps, rtt_ms, queue_ms, loss;
    const char *cc; /* none, cubic or bbr */
    bool down, plain, no_tso;
    unsigned seeds, seconds, frame_bytes, jitter_us;
};

/* A line, perhaps a tunnel over it, and the flow. */
struct scene {
    struct sim *sim;
    struct wan wan;
    struct tunnel *tunnel; /* NULL: bare */
    struct tcp *tcp;
};

struct result {
    double goodput_bps, rtt_ms, wait_ms;
    uint64_t retransmits, timeouts;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){.rate_mbps = 50,
                          .rtt_ms = 20,
                          .queue_ms = 40,
                          .cc = "none",
                          .seeds = 20,
                          .seconds = 10,
                          .frame_bytes = 14};
    while ((c = getopt(argc, argv, "r:t:q:l:c:dpTn:s:f:j:")) != -1) {
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
            o->cc = optarg;
            break;
        case 'd':
            o->down = true;
            break;
        case 'p':
            o->plain = true;
            break;
        case 'T':
            o->no_tso = true;
            break;
        case 'n':
            o->seeds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            o->frame_bytes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            o->jitter_us = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->rate_mbps > 0 && o->rtt_ms >= 0 && o->queue_ms > 0 &&
           o->loss >= 0 && o->loss < 1 && o->seeds && o->seconds && o->frame_bytes < 100;
}

static struct tcp *bare_flow(struct scene *s, bool up, enum tcp_tso tso)
{
    struct tcp_opts o = {
        .tso = tso, .src = net_addr_lit("10.0.0.1", 1000), .dst = net_addr_lit("10.0.0.2", 1000)};
    struct link *there = up ? s->wan.up : s->wan.down, *back = up ? s->wan.down : s->wan.up;
    struct tcp *t = tcp_new(s->sim, &o, link_sink(there), link_sink(back));

    router_add(up ? &s->wan.at_hub : &s->wan.at_edge, &o.dst, &t->rcv.sink);
    router_add(up ? &s->wan.at_edge : &s->wan.at_hub, &o.src, &t->snd.sink);
    return t;
}

static void scene_init(struct scene *s, const struct options *o, uint64_t seed)
{
    struct link_opts line = {.rate_bps = (uint64_t)(o->rate_mbps * 1e6),
                             .delay_ns = (uint64_t)(o->rtt_ms / 2 * 1e6),
                             .queue_bytes = (uint64_t)(o->rate_mbps * 1e3 / 8 * o->queue_ms),
                             .jitter_ns = o->jitter_us * NS_PER_US,
                             .frame_bytes = o->frame_bytes,
                             .loss = o->loss};
    struct tunnel_opts t = {.cc = o->cc[0] == 'b' ? QUIC_CC_BBR : QUIC_CC_CUBIC,
                            .packed = !o->plain,
                            .n_pkts = 8192,
                            .n_large = 64};
    struct tcp_opts flow = {.tso = o->no_tso ? TCP_TSO_OFF : TCP_TSO_WHOLE};

    *s = (struct scene){.sim = sim_new(seed)};
    wan_init(&s->wan, s->sim, "wan", &line, &line);
    if (o->cc[0] == 'n') {
        s->tcp = bare_flow(s, !o->down, o->no_tso ? TCP_TSO_OFF : TCP_TSO_CUT);
        return;
    }
    s->tunnel = tunnel_new(&s->wan, &t);
    if (!tunnel_wait_up(s->tunnel, 30 * NS_PER_S)) {
        fprintf(stderr, "sim-spot: no tunnel with seed %llu\n", (unsigned long long)seed);
        exit(1);
    }
    sim_run_for(s->sim, NS_PER_S);
    s->tcp = tunnel_tcp(s->tunnel, !o->down, &flow);
}

static void scene_done(struct scene *s)
{
    tcp_free(s->tcp);
    tunnel_free(s->tunnel);
    wan_done(&s->wan);
    sim_free(s->sim);
}

static struct result run(const struct options *o, uint64_t seed)
{
    struct scene s;
    struct result r = {0};
    unsigned samples = o->seconds * 1000 / SAMPLE_MS;
    struct link *there;

    scene_init(&s, o, seed);
    there = o->down ? s.wan.down : s.wan.up;
    tcp_start(s.tcp);
    sim_run_for(s.sim, OMIT_S * NS_PER_S);
    tcp_stats_reset(s.tcp);
    link_stats_reset(there);
    for (unsigned i = 0; i < samples; i++) {
        sim_run_for(s.sim, SAMPLE_MS * NS_PER_MS);
        r.rtt_ms += (double)s.tcp->snd.srtt_ns / 1e6 / samples;
    }
    r.goodput_bps = tcp_goodput_bps(s.tcp);
    r.wait_ms = link_wait_mean_ms(there);
    r.retransmits = s.tcp->stats.retransmits;
    r.timeouts = s.tcp->stats.timeouts;
    scene_done(&s);
    return r;
}

static void usage(void)
{
    fprintf(stderr, "usage: sim-spot [-r MBPS] [-t RTT_MS] [-q QUEUE_MS] [-l LOSS] "
                    "[-c none|cubic|bbr] [-d]\n                [-p] [-T] [-n SEEDS] [-s SECONDS] "
                    "[-f FRAME_BYTES] [-j JITTER_US]\n");
}

int main(int argc, char **argv)
{
    struct options o;

    if (!parse_options(argc, argv, &o)) {
        usage();
        return 2;
    }
    printf("[");
    for (unsigned i = 1; i <= o.seeds; i++) {
        struct result r = run(&o, i);

        printf("%s{\"seed\":%u,\"goodput_mbps\":%.3f,\"rtt_ms\":%.2f,\"wait_ms\":%.2f,"
               "\"retransmits\":%llu,\"timeouts\":%llu}",
               i > 1 ? ",\n " : "", i, r.goodput_bps / 1e6, r.rtt_ms, r.wait_ms,
               (unsigned long long)r.retransmits, (unsigned long long)r.timeouts);
    }
    printf("]\n");
    return 0;
}
