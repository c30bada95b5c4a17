/* The receiver of a modelled TCP flow. */
#include "sim/tcp_send.h"

#include <stdlib.h>

#include "base/util.h"
#include "sim/tcp_packet.h"

#define DELACK_NS (40 * NS_PER_MS)
#define QUIC_DELACK_NS (25 * NS_PER_MS)

/* --- what came out of order ------------------------------------------------------------ */

static void insert_block(struct tcp_receiver *r, size_t at, struct tcp_block b)
{
    if (r->n_ooo == r->cap_ooo) {
        r->cap_ooo = r->cap_ooo ? 2 * r->cap_ooo : 64;
        r->ooo = realloc(r->ooo, r->cap_ooo * sizeof(*r->ooo));
        if (!r->ooo)
            abort();
    }
    memmove(&r->ooo[at + 1], &r->ooo[at], (r->n_ooo - at) * sizeof(*r->ooo));
    r->ooo[at] = b;
    r->n_ooo++;
}

static void remove_blocks(struct tcp_receiver *r, size_t at, size_t n)
{
    if (n)
        memmove(&r->ooo[at], &r->ooo[at + n], (r->n_ooo - at - n) * sizeof(*r->ooo));
    r->n_ooo -= n;
}

/* Add [left, right), joined with the blocks that it touches. */
static void add_block(struct tcp_receiver *r, struct tcp_block b)
{
    size_t end = r->n_ooo, first;

    while (end && r->ooo[end - 1].left > b.right)
        end--;
    for (first = end; first && r->ooo[first - 1].right >= b.left; first--) {
        b.left = MIN(b.left, r->ooo[first - 1].left);
        b.right = MAX(b.right, r->ooo[first - 1].right);
    }
    remove_blocks(r, first, end - first);
    insert_block(r, first, b);
}

static const struct tcp_block *block_with(const struct tcp_receiver *r, uint64_t byte)
{
    for (size_t i = r->n_ooo; i-- > 0;)
        if (r->ooo[i].left <= byte)
            return byte < r->ooo[i].right ? &r->ooo[i] : NULL;
    return NULL;
}

/* --- acknowledging --------------------------------------------------------------------- */

/* RFC 2018, 4: the block of the newest segment first, then those reported most recently. */
static void put_sack(struct tcp_receiver *r, struct tcp_header *h)
{
    uint64_t keep[TCP_BLOCKS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < r->n_recent; i++) {
        const struct tcp_block *b = block_with(r, r->recent[i]);
        bool known = false;

        for (unsigned k = 0; b && k < n; k++)
            known |= b->left + 1 == h->block[k].left;
        if (!b || known)
            continue;
        keep[n] = r->recent[i];
        h->block[n++] = (struct tcp_block){b->left + 1, b->right + 1};
    }
    h->n_blocks = r->n_recent = n;
    memcpy(r->recent, keep, n * sizeof(keep[0]));
}

static void remember(struct tcp_receiver *r, uint64_t byte)
{
    memmove(&r->recent[1], &r->recent[0], (TCP_BLOCKS_MAX - 1) * sizeof(r->recent[0]));
    r->recent[0] = byte;
    r->n_recent = MIN(r->n_recent + 1, (unsigned)TCP_BLOCKS_MAX);
}

static void send_ack(struct tcp *t, uint8_t flags)
{
    struct tcp_receiver *r = &t->rcv;
    struct tcp_header h = {
        .src = t->opts.dst,
        .dst = t->opts.src,
        .seq = flags & TCP_SYN ? 0 : 1,
        .ack = (uint32_t)r->next + 1,
        .flags = flags,
        .window_bytes = t->opts.rwnd_bytes,
        .mss = t->opts.mss,
        .udp = t->opts.quic,
    };

    put_sack(r, &h);
    r->unacked = 0;
    sim_unset(t->sim, &r->delack);
    r->out->put(r->out, tcp_packet_make(t->sim, &h, t->ip_id++));
    r->acks++;
}

static void delack_fire(struct sim_event *ev)
{
    send_ack(container_of(ev, struct tcp, rcv.delack), TCP_ACK);
}

/* --- receiving ------------------------------------------------------------------------- */

static void count_delivered(struct tcp *t, uint64_t bytes)
{
    size_t i = (size_t)sim_seconds(t->sim);

    t->stats.delivered_bytes += bytes;
    if (i >= t->n_bins) {
        size_t n = i + 64;

        t->bin = realloc(t->bin, n * sizeof(*t->bin));
        if (!t->bin)
            abort();
        memset(t->bin + t->n_bins, 0, (n - t->n_bins) * sizeof(*t->bin));
        t->n_bins = n;
    }
    t->bin[i] += bytes;
}

/* In order: deliver, and with it what waited behind it. True when that filled a hole. */
static bool advance(struct tcp *t, uint64_t to)
{
    struct tcp_receiver *r = &t->rcv;
    uint64_t from = r->next;
    size_t n = 0;

    r->next = to;
    for (; n < r->n_ooo && r->ooo[n].left <= r->next; n++)
        r->next = MAX(r->next, r->ooo[n].right);
    remove_blocks(r, 0, n);
    count_delivered(t, r->next - from);
    return n > 0;
}

static void on_data(struct tcp *t, uint64_t from, uint64_t to)
{
    struct tcp_receiver *r = &t->rcv;

    if (to <= r->next || to > r->next + t->opts.rwnd_bytes) {
        send_ack(t, TCP_ACK); /* not new, or outside the window */
        return;
    }
    if (from > r->next) {
        add_block(r, (struct tcp_block){from, to});
        remember(r, from);
        send_ack(t, TCP_ACK);
        return;
    }
    r->unacked += (unsigned)((to - from + t->opts.mss - 1) / t->opts.mss);
    if (advance(t, to) || r->n_ooo || r->unacked >= 2 || r->acks < TCP_QUICK_ACKS)
        send_ack(t, TCP_ACK);
    else
        sim_set(t->sim, &r->delack, t->sim->now_ns + (t->opts.quic ? QUIC_DELACK_NS : DELACK_NS));
}

static void receiver_put(struct sim_sink *sink, struct sim_dgram *d)
{
    struct tcp *t = container_of(sink, struct tcp, rcv.sink);
    struct tcp_header h;
    int rv = tcp_packet_parse(d, &h);
    uint64_t from;

    sim_dgram_free(t->sim, d);
    if (rv || h.udp != t->opts.quic || !net_addr_equal(&h.dst, &t->opts.dst) ||
        !net_addr_equal(&h.src, &t->opts.src)) {
        t->stats.rx_bad++;
        return;
    }
    if (h.flags & TCP_SYN) {
        send_ack(t, TCP_SYN | TCP_ACK);
        return;
    }
    if (!h.payload)
        return;
    from = t->rcv.next + (uint64_t)(int64_t)(int32_t)(h.seq - 1 - (uint32_t)t->rcv.next);
    on_data(t, from, from + h.payload);
}

void tcp_receiver_init(struct tcp *t)
{
    t->rcv.sink.put = receiver_put;
    t->rcv.delack.fire = delack_fire;
}

void tcp_receiver_done(struct tcp *t)
{
    sim_unset(t->sim, &t->rcv.delack);
    free(t->rcv.ooo);
}
