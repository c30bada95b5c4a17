#include "sim/tcp.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/tcp_send.h"

struct tcp *tcp_new(struct sim *sim, const struct tcp_opts *opts, struct sim_sink *to_receiver,
                    struct sim_sink *to_sender)
{
    struct tcp *t = sim_alloc(sizeof(*t));

    t->sim = sim;
    t->opts = *opts;
    if (!t->opts.mss)
        t->opts.mss = t->opts.quic ? 1330 : 1460;
    if (t->opts.quic && t->opts.tso)
        abort();
    if (!t->opts.rwnd_bytes)
        t->opts.rwnd_bytes = 16 << 20;
    if (!t->opts.initial_cwnd)
        t->opts.initial_cwnd = 10;
    tcp_sender_init(t);
    tcp_receiver_init(t);
    t->snd.out = to_receiver;
    t->rcv.out = to_sender;
    tcp_stats_reset(t);
    return t;
}

void tcp_free(struct tcp *t)
{
    if (!t)
        return;
    tcp_sender_done(t);
    tcp_receiver_done(t);
    free(t->bin);
    free(t);
}

void tcp_start(struct tcp *t)
{
    tcp_sender_start(t);
}

void tcp_stats_reset(struct tcp *t)
{
    memset(&t->stats, 0, sizeof(t->stats));
    t->stats.since_ns = t->sim->now_ns;
}

double tcp_goodput_bps(const struct tcp *t)
{
    uint64_t ns = t->sim->now_ns - t->stats.since_ns;

    return ns ? (double)t->stats.delivered_bytes * 8e9 / (double)ns : 0;
}

double tcp_goodput_between_bps(const struct tcp *t, unsigned from_s, unsigned to_s)
{
    uint64_t bytes = 0;

    for (size_t i = from_s; i < to_s && i < t->n_bins; i++)
        bytes += t->bin[i];
    return to_s > from_s ? (double)bytes * 8 / (to_s - from_s) : 0;
}
