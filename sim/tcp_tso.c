#include "sim/tcp_tso.h"

#include "base/util.h"
#include "sim/tcp_packet.h"
#include "sim/tcp_send.h"

enum { SUPER_MAX = 65535 - 40, WINDOW_SHARE = 3, SHORT_RTT_NS = 512 * 1000, SHIFTS = 17 };

/* Segments in a super-packet. */
static unsigned goal(const struct tcp *t)
{
    const struct tcp_sender *s = &t->snd;
    unsigned most = SUPER_MAX / t->opts.mss;
    uint64_t shift = s->rtt_min_ns / SHORT_RTT_NS;
    double factor = s->cubic.cwnd < s->cubic.ssthresh / 2 ? 2 : 1.2, bytes = 0;

    if (t->opts.tso == TCP_TSO_OFF)
        return 1;
    if (s->srtt_ns)
        bytes = factor * s->cubic.cwnd * t->opts.mss * NS_PER_S / 1024 / (double)s->srtt_ns;
    if (shift < SHIFTS)
        bytes += SUPER_MAX >> shift;
    return (unsigned)MIN(MAX(bytes / t->opts.mss, 2), most);
}

void tcp_tso_put(struct tcp *t, uint8_t flags, uint64_t byte, size_t payload)
{
    struct tcp_header h = {
        .src = t->opts.src,
        .dst = t->opts.dst,
        .seq = (uint32_t)byte + (flags & TCP_SYN ? 0 : 1),
        .ack = flags & TCP_SYN ? 0 : 1,
        .flags = flags,
        .window_bytes = 65535,
        .mss = t->opts.mss,
        .payload = payload,
        .gso_size = payload > t->opts.mss ? t->opts.mss : 0,
        .udp = t->opts.quic,
    };

    t->snd.out->put(t->snd.out, tcp_packet_make(t->sim, &h, t->ip_id));
    t->ip_id += (uint16_t)(payload ? (payload + t->opts.mss - 1) / t->opts.mss : 1);
}

void tcp_tso_flush(struct tcp *t)
{
    struct tcp_sender *s = &t->snd;
    uint64_t from = s->burst_from, to = s->burst_to;

    if (from == to)
        return;
    s->burst_from = s->burst_to = 0;
    s->last_write_ns = t->sim->now_ns;
    t->stats.supers += to - from > t->opts.mss;
    while (from < to) {
        uint64_t each = t->opts.tso == TCP_TSO_WHOLE ? to - from : t->opts.mss;

        each = MIN(each, to - from);
        tcp_tso_put(t, TCP_ACK, from, (size_t)each);
        from += each;
    }
}

void tcp_tso_add(struct tcp *t, uint64_t from, uint64_t to)
{
    struct tcp_sender *s = &t->snd;

    if (s->burst_to != from || to - s->burst_from > (uint64_t)goal(t) * t->opts.mss)
        tcp_tso_flush(t);
    if (s->burst_from == s->burst_to)
        s->burst_from = from;
    s->burst_to = to;
}

bool tcp_tso_defer(const struct tcp *t, double room)
{
    const struct tcp_sender *s = &t->snd;
    uint64_t now_ns = t->sim->now_ns, oldest_ns;

    if (t->opts.tso == TCP_TSO_OFF || s->burst_from != s->burst_to || s->in_recovery ||
        s->in_loss || now_ns - s->last_write_ns > NS_PER_MS)
        return false;
    if (room >= goal(t) || room >= s->cubic.cwnd / WINDOW_SHARE)
        return false;
    oldest_ns = tcp_sender_oldest_ns(t);
    return oldest_ns && now_ns - oldest_ns >= s->srtt_ns / 2;
}
