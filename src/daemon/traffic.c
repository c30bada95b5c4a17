/* Packets and datagrams between the descriptors and the tunnel stack. Each wake-up of a
 * descriptor handles one batch; what remains comes back in the next turn of the loop.
 *
 * A turn takes in more from the TUN (1 MiB) than it sends (4 bursts of up to 64 KiB): so packets
 * wait in the egress queue, where flows take turns, not in the ring of the TUN, which is first in
 * first out. And it is short, a few hundred microseconds, because it is what a ping waits for on a
 * machine whose processor is the bottleneck. */
#include <errno.h>
#include <string.h>

#include "daemon/instance.h"

enum { BURSTS_PER_TURN = 4, FLUSH_BURSTS_MAX = 65536 };
#define ERROR_LINE_INTERVAL_NS (10 * NS_PER_S)

/* --- out: tunnel stack to UDP ---------------------------------------------------------- */

static bool stack_tx(struct instance *inst, uint64_t now_ns)
{
    return inst->edge ? edge_tx(inst->edge, now_ns, inst->tx) : hub_tx(inst->hub, now_ns, inst->tx);
}

static uint64_t stack_deadline_ns(const struct instance *inst)
{
    return inst->edge ? edge_deadline_ns(inst->edge) : hub_deadline_ns(inst->hub);
}

/* What became of a transmission. One that is too large for the device is no failure: the path MTU
 * search finds that. */
static void note_sent(struct instance_path *p, int rv)
{
    if (rv && rv != -EMSGSIZE && !p->send_error)
        p->send_failed_ns = loop_now_ns(p->inst->loop);
    p->send_error = rv == -EMSGSIZE ? p->send_error : rv;
}

/* What is left of the burst is lost. */
static void count_lost(struct instance *inst, const struct quic_tx *tx, uint32_t sent)
{
    size_t left = tx->len - sent, seg = tx->seg_size ? tx->seg_size : left;

    if (seg)
        drop_count_n(&inst->drops, DROP_UDP_SEND, (left + seg - 1) / seg);
}

void path_drop_burst(struct instance_path *p)
{
    count_lost(p->inst, p->tx, p->tx_sent);
    p->tx_pending = false;
}

static void send_failed(struct instance_socket *s, const struct net_addr *to, int rv)
{
    struct instance *inst = s->inst;
    uint64_t held;
    char buf[NET_ADDR_STR_MAX], more[LOG_MORE_MAX];

    if (rv == -ENODEV)
        path_socket_lost(s->path);
    if (log_limit_ok(&s->error_limit, loop_now_ns(inst->loop), ERROR_LINE_INTERVAL_NS, &held))
        log_info("udp: cannot send to %s: %s%s", net_addr_str(to, buf), strerror(-rv),
                 log_more_str(held, more));
}

/* Send what is left of the path's burst. False when the socket is full. */
static bool send_burst(struct instance_path *p)
{
    const struct quic_tx *tx = p->tx;
    struct instance *inst = p->inst;
    struct instance_socket *s = &inst->sockets[tx->socket % INSTANCE_SOCKETS];
    struct udp_tx_msg msg = {.remote = &tx->remote,
                             .local = &tx->local,
                             .ecn = tx->ecn,
                             .data = tx->buf + p->tx_sent,
                             .len = (uint32_t)tx->len - p->tx_sent,
                             .seg_size = (uint16_t)tx->seg_size};
    uint32_t sent = 0;
    int rv;

    p->tx_pending = false;
    if (!s->udp) {
        path_drop_burst(p);
        return true;
    }
    rv = udp_send(s->udp, &msg, &sent);
    if (!udp_socket_has_gso(s->udp))
        instance_tell_udp_offload(inst, s->udp);
    if (rv == -EAGAIN) {
        p->tx_sent += sent;
        p->tx_pending = true;
        loop_io_set(inst->loop, &s->io, EPOLLIN | EPOLLOUT);
        return false;
    }
    note_sent(p, rv);
    if (rv && rv != -EMSGSIZE) {
        p->tx_sent += sent;
        path_drop_burst(p);
        send_failed(s, &tx->remote, rv);
    }
    return true;
}

/* The path of the burst in inst->tx: of its socket. */
static struct instance_path *path_of_burst(struct instance *inst)
{
    const struct instance_socket *s = &inst->sockets[inst->tx->socket % INSTANCE_SOCKETS];

    return s->path ? s->path : inst->paths[0];
}

/* Send the burst in inst->tx. A path whose socket is full holds back itself only: what comes for it
 * meanwhile is lost, as it would be in a full queue behind the socket. */
static void send_next(struct instance *inst)
{
    struct instance_path *p = path_of_burst(inst);
    struct quic_tx *tx = inst->tx;

    if (p->tx_pending) {
        count_lost(inst, tx, 0);
        return;
    }
    inst->tx = p->tx;
    p->tx = tx;
    p->tx_sent = 0;
    send_burst(p);
}

static bool all_are_full(const struct instance *inst)
{
    for (unsigned i = 0; i < inst->n_paths; i++)
        if (!inst->paths[i]->tx_pending)
            return false;
    return true;
}

void instance_pump(struct instance *inst)
{
    uint64_t now_ns = loop_now_ns(inst->loop);

    for (int i = 0; i < BURSTS_PER_TURN; i++) {
        if (all_are_full(inst))
            return;
        if (!stack_tx(inst, now_ns)) {
            loop_timer_set(inst->loop, &inst->timer, stack_deadline_ns(inst));
            return;
        }
        send_next(inst);
    }
    loop_timer_set(inst->loop, &inst->timer, now_ns); /* more in the next turn */
}

void instance_flush(struct instance *inst)
{
    for (int i = 0; i < FLUSH_BURSTS_MAX && !all_are_full(inst); i++) {
        if (!stack_tx(inst, loop_now_ns(inst->loop)))
            return;
        send_next(inst);
    }
}

/* --- in: UDP to tunnel stack ----------------------------------------------------------- */

static void take_message(struct instance *inst, const struct instance_socket *s,
                         const struct udp_rx_msg *msg)
{
    uint64_t now_ns = loop_now_ns(inst->loop);
    /* An edge's connection knows the address that its socket is bound to, which may be any. */
    struct quic_rx rx = {.local = inst->edge ? *udp_socket_local(s->udp) : msg->local,
                         .remote = msg->remote,
                         .data = msg->data,
                         .len = msg->len,
                         .seg_size = msg->seg_size,
                         .ecn = msg->ecn,
                         .socket = (unsigned)(s - inst->sockets)};

    if (inst->edge)
        edge_rx(inst->edge, now_ns, &rx);
    else
        hub_rx(inst->hub, now_ns, &rx);
}

static void receive(struct instance *inst, struct instance_socket *s)
{
    struct udp_rx_msg msgs[UDP_RX_BATCH_MAX];
    unsigned share = rxturn_share(&inst->rx, (unsigned)(s - inst->sockets));
    int n;

    if (!share)
        return;
    n = udp_recv_batch(s->udp, msgs, share);
    if (n > 0) {
        rxturn_take(&inst->rx, (unsigned)n);
        s->path->source = msgs[n - 1].local;
    }
    for (int i = 0; i < n && s->udp; i++)
        take_message(inst, s, &msgs[i]);
    if (n < 0) {
        send_failed(s, &s->path->remote, n);
        if (inst->edge)
            instance_follow_addresses(inst);
    }
}

static void on_socket(struct loop_io *io, uint32_t events)
{
    struct instance_socket *s = io->user;
    struct instance *inst = s->inst;

    if (events & EPOLLOUT) {
        loop_io_set(inst->loop, io, EPOLLIN);
        if (s->path->tx_pending)
            send_burst(s->path);
    }
    receive(inst, s);
    if (inst->hub)
        instance_note_bad_sources(inst);
    coalesce_flush(&inst->coalesce);
    loop_defer(inst->loop, &inst->pump);
}

int instance_watch_socket(struct instance *inst, struct instance_socket *s)
{
    s->io = (struct loop_io){.cb = on_socket, .user = s};
    return loop_io_add(inst->loop, &s->io, udp_socket_fd(s->udp), EPOLLIN);
}

/* --- TUN ------------------------------------------------------------------------------- */

static void on_tun(struct loop_io *io, uint32_t events)
{
    struct instance *inst = io->user;
    uint64_t now_ns = loop_now_ns(inst->loop);
    struct pkt_batch batch;
    int n = tun_read_batch(inst->tun, inst->pool, &batch);

    for (int i = 0; i < n; i++) {
        if (inst->edge)
            edge_send(inst->edge, now_ns, batch.v[i]);
        else
            hub_send(inst->hub, now_ns, batch.v[i]);
    }
    if (n < 0)
        upkeep_on_lost(inst, n);
    loop_defer(inst->loop, &inst->pump);
}

/* Once: what the kernel does not do for us, and what that means. */
static void tell_offload(struct instance *inst)
{
    const char *name = tun_name(inst->tun);

    if (inst->told.tun_offload || (tun_has_uso(inst->tun)))
        return;
    inst->told.tun_offload = true;
    if (tun_has_offload(inst->tun))
        log_info(
            "tun %s: no segmentation offload for UDP (Linux 6.2 has it): UDP is carried packet "
            "by packet",
            name);
    else
        log_info("tun %s: no segmentation offload: the kernel refused it; packets are read one by "
                 "one, which is several times slower",
                 name);
}

int instance_watch_tun(struct instance *inst)
{
    struct coalesce_opts opts = {.pool = inst->pool,
                                 .drops = &inst->drops,
                                 .tcp = true,
                                 .udp = tun_has_uso(inst->tun),
                                 .out = instance_deliver,
                                 .user = inst};

    coalesce_flush(&inst->coalesce);
    coalesce_init(&inst->coalesce, &opts);
    tell_offload(inst);
    inst->tun_io = (struct loop_io){.cb = on_tun, .user = inst};
    return loop_io_add(inst->loop, &inst->tun_io, tun_fd(inst->tun), EPOLLIN);
}

void instance_deliver(void *user, struct pkt *pkt)
{
    struct instance *inst = user;

    if (!inst->tun) {
        pkt_free(inst->pool, pkt);
        drop_count(&inst->drops, DROP_TUN_WRITE);
    } else if (tun_write(inst->tun, inst->pool, pkt)) {
        drop_count(&inst->drops, DROP_TUN_WRITE);
    }
}

void instance_receive(void *user, const uint8_t *data, const struct ip_view *v)
{
    struct instance *inst = user;

    coalesce_add(&inst->coalesce, data, v);
}
