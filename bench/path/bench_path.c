/* bench-path: what a packet costs outside the kernel, at the sender and at the receiver, over one
 * path or several that are alike.
 *
 * A real edge and a real hub in one process, in virtual time: super-packets as a kernel would hand
 * them over go in at one end, whole bursts arrive at the other some steps later, what is to be
 * written to the TUN is freed. Told apart are the two ends: processor time of this thread for each
 * UDP packet with data, acknowledgements included. Only the memory traffic of the system calls
 * is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/util.h"
#include "packet/csum.h"
#include "packet/ip.h"
#include "packet/super.h"
#include "peer/edge.h"
#include "peer/hub.h"
#include "quic/aead.h"
#include "sim/net.h"
#include "sim/tls_dummy.h"

enum { WIRE_MAX = 64, ROUNDS_MAX = 1001, STEP_NS = 100000, MSS = 1448, UP_STEPS = 20000 };

struct end {
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct rng rng;
    struct tls_dummy tls;
    struct net_addr addr[EDGE_PATHS_MAX]; /* of each path; of the hub the first is that of all */
    uint64_t delivered;                   /* bytes */
    uint64_t ns, packets;
    size_t packet_max;
};

struct world {
    struct end a, b;
    struct edge *edge;
    struct hub *hub;
    uint64_t now_ns;
    struct quic_tx wire[WIRE_MAX]; /* towards b */
    uint64_t due_ns[WIRE_MAX];
    unsigned head, n;
    uint64_t delay_ns;
    unsigned n_paths;
    struct quic_tx back;
    struct pkt *super;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void on_random(void *user, void *dst, size_t len)
{
    rng_bytes(user, dst, len);
}

/* --- events ----------------------------------------------------------------------------- */

static void on_deliver(void *user, struct pkt *pkt)
{
    struct world *w = user;

    w->b.delivered += pkt->len;
    pkt_free(w->b.pool, pkt);
}

static void on_edge_deliver(void *user, struct pkt *pkt)
{
    struct world *w = user;

    pkt_free(w->a.pool, pkt);
}

static void on_edge_state(void *user, enum edge_state state, const char *why)
{
}

static void on_edge_assigned(void *user, const struct capsule_addrs *addrs)
{
}

static void on_edge_mtu(void *user, size_t packet_max)
{
    struct world *w = user;

    w->a.packet_max = packet_max;
}

static void on_edge_failed(void *user, const struct edge_failure *f)
{
    abort();
}

static const struct edge_events edge_events = {.deliver = on_edge_deliver,
                                               .state = on_edge_state,
                                               .assigned = on_edge_assigned,
                                               .mtu = on_edge_mtu,
                                               .failed = on_edge_failed};

static void on_peer_up(void *user, const struct hub_peer_id *id, const struct net_addr *remote)
{
}

static void on_peer_down(void *user, const struct hub_peer_id *id, const char *why)
{
    abort();
}

static void on_refused(void *user, const struct hub_peer_id *id, const struct net_addr *remote,
                       const char *why)
{
    abort();
}

static void on_assigned(void *user, const struct hub_peer_id *id, const struct capsule_addrs *addrs)
{
}

static void on_hub_mtu(void *user, size_t packet_max)
{
    struct world *w = user;

    w->b.packet_max = packet_max;
}

static const struct hub_events hub_events = {.deliver = on_deliver,
                                             .peer_up = on_peer_up,
                                             .peer_down = on_peer_down,
                                             .refused = on_refused,
                                             .assigned = on_assigned,
                                             .mtu = on_hub_mtu};

/* --- setting up ------------------------------------------------------------------------- */

static void end_init(struct end *e, const char *name, const char *addr, uint16_t port)
{
    e->pool = pkt_pool_new(16384, 256);
    if (!e->pool)
        abort();
    rng_seed(&e->rng, port);
    e->tls = (struct tls_dummy){.rng = &e->rng, .name = name, .alg = AEAD_AES_128_GCM};
    for (unsigned i = 0; i < EDGE_PATHS_MAX; i++)
        e->addr[i] = net_addr_lit(addr, (uint16_t)(port + i));
}

static void fill_quic(struct quic_endpoint_opts *q, struct end *e, const struct aead_backend *aead)
{
    q->tls = &quic_tls_sealed;
    q->tls_ctx = &e->tls;
    q->aead = aead;
    q->pool = e->pool;
    q->drops = &e->drops;
    q->random = on_random;
    q->random_user = &e->rng;
}

static void set_up(struct world *w, const struct aead_backend *aead, bool plain)
{
    struct edge_opts e = {.authority = "hub.example:443",
                          .n_want = 1,
                          .max_lanes = 1,
                          .plain = plain,
                          .events = &edge_events,
                          .user = w};
    struct hub_opts h = {.n_own = 1, .plain = plain, .events = &hub_events, .user = w};

    end_init(&w->a, "edge.example", "198.18.0.1", 45001);
    end_init(&w->b, "hub.example", "198.18.0.2", 443);
    fill_quic(&e.quic, &w->a, aead);
    fill_quic(&h.quic, &w->b, aead);
    e.quic.server_name = "hub.example";
    h.quic.server = true;
    ip_prefix_parse("10.78.0.1/30", &e.want[0]);
    ip_prefix_parse("10.78.0.2/30", &h.own[0]);
    w->now_ns = 100 * NS_PER_S;
    e.n_paths = w->n_paths > 1 ? w->n_paths : 0;
    for (unsigned i = 0; i < e.n_paths; i++)
        snprintf(e.paths[i].name, sizeof(e.paths[i].name), "wan%u", i + 1);
    if (edge_new(&e, &w->edge) || hub_new(&h, &w->hub))
        abort();
    for (unsigned i = 0; i < w->n_paths; i++)
        edge_set_addrs(w->edge, w->now_ns, i, &w->a.addr[i], &w->b.addr[0], i);
}

/* What TSO makes of one write of a TCP flow, as large as it can be. */
static struct pkt *make_super(struct pkt_pool *pool)
{
    struct pkt *pkt = pkt_new(pool, PKT_LARGE_MAX);
    uint8_t *p = pkt->data;

    pkt->len = 52 + 45 * MSS;
    for (uint32_t i = 0; i < pkt->len; i++)
        p[i] = (uint8_t)(i * 7 + (i >> 8));
    memset(p, 0, 52);
    p[0] = 0x45;
    p[8] = 64;
    p[9] = IP_PROTO_TCP;
    store_be16(p + IP4_LEN, (uint16_t)pkt->len);
    memcpy(p + 12, (uint8_t[]){10, 78, 0, 1, 10, 78, 0, 2}, 8);
    store_be16(p + 10, csum_fold(csum_add(0, p, 20)));
    store_be16(p + 20, 40000);
    store_be16(p + 22, 5201);
    p[20 + TCP_DOFF] = 8 << 4;
    p[20 + TCP_FLAGS] = 0x10;
    pkt->gso = PKT_GSO_TCP4;
    pkt->gso_size = MSS;
    pkt->csum_start = 20;
    pkt->csum_offset = TCP_CSUM;
    return pkt;
}

/* --- running ---------------------------------------------------------------------------- */

static void receive_at_b(struct world *w, const struct quic_tx *tx)
{
    struct quic_rx rx = {.local = tx->remote,
                         .remote = tx->local,
                         .data = (uint8_t *)(uintptr_t)tx->buf,
                         .len = tx->len,
                         .seg_size = tx->seg_size,
                         .ecn = tx->ecn};

    hub_rx(w->hub, w->now_ns, &rx);
    w->b.packets += (tx->len + tx->seg_size - 1) / tx->seg_size;
}

static unsigned path_of(const struct world *w, const struct net_addr *local)
{
    return (unsigned)(ntohs(local->in.sin_port) - ntohs(w->a.addr[0].in.sin_port));
}

/* b takes what has arrived, and its answer goes to a at once. */
static void turn_of_b(struct world *w)
{
    uint64_t from = cpu_ns();
    struct quic_tx *tx;

    while (w->n && w->due_ns[w->head] <= w->now_ns) {
        tx = &w->wire[w->head];
        w->head = (w->head + 1) % WIRE_MAX;
        w->n--;
        receive_at_b(w, tx);
    }
    if (hub_deadline_ns(w->hub) <= w->now_ns)
        hub_timeout(w->hub, w->now_ns);
    w->b.ns += cpu_ns() - from;
    for (;;) {
        struct quic_rx rx;
        bool more;

        from = cpu_ns();
        more = hub_tx(w->hub, w->now_ns, &w->back);
        w->b.ns += cpu_ns() - from;
        if (!more)
            return;
        rx = (struct quic_rx){.local = w->back.remote,
                              .remote = w->back.local,
                              .socket = path_of(w, &w->back.remote),
                              .data = w->back.buf,
                              .len = w->back.len,
                              .seg_size = w->back.seg_size,
                              .ecn = w->back.ecn};
        from = cpu_ns();
        edge_rx(w->edge, w->now_ns, &rx);
        w->a.ns += cpu_ns() - from;
    }
}

static void feed_a(struct world *w)
{
    struct pkt *pkt = pkt_new(w->a.pool, PKT_LARGE_MAX);
    uint64_t from;

    if (!pkt)
        return;
    memcpy(pkt->data, w->super->data, w->super->len);
    pkt->len = w->super->len;
    pkt->gso = w->super->gso;
    pkt->gso_size = w->super->gso_size;
    pkt->csum_start = w->super->csum_start;
    pkt->csum_offset = w->super->csum_offset;
    from = cpu_ns();
    edge_send(w->edge, w->now_ns, pkt);
    w->a.ns += cpu_ns() - from;
}

static void turn_of_a(struct world *w)
{
    uint64_t from = cpu_ns();

    if (edge_deadline_ns(w->edge) <= w->now_ns)
        edge_timeout(w->edge, w->now_ns);
    while (w->n < WIRE_MAX) {
        struct quic_tx *tx = &w->wire[(w->head + w->n) % WIRE_MAX];

        if (!edge_tx(w->edge, w->now_ns, tx))
            break;
        w->due_ns[(w->head + w->n++) % WIRE_MAX] = w->now_ns + w->delay_ns;
        w->a.packets += (tx->len + tx->seg_size - 1) / tx->seg_size;
    }
    w->a.ns += cpu_ns() - from;
}

static void step(struct world *w, bool feed)
{
    if (feed && edge_session(w->edge)->queue.n < 2)
        feed_a(w);
    turn_of_a(w);
    turn_of_b(w);
    w->now_ns += STEP_NS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print(const char *what, double *v, unsigned n)
{
    qsort(v, n, sizeof(*v), by_value);
    printf("%-9s %6.0f ns for each packet (%.0f-%.0f)\n", what, v[n / 2], v[0], v[n - 1]);
}

static int usage(void)
{
    fprintf(stderr,
            "bench-path [-n rounds] [-d round trip in 0.1 ms] [-w paths] [-g (GnuTLS)] [-p (plain "
            "peer)]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static struct world w;
    static double a[ROUNDS_MAX], b[ROUNDS_MAX];
    const struct aead_backend *aead = NULL;
    const char *wish = NULL, *why;
    unsigned rounds = 101;
    bool plain = false;
    int c;

    w.delay_ns = 8 * STEP_NS;
    w.n_paths = 1;
    while ((c = getopt(argc, argv, "n:d:w:gp")) != -1) {
        if (c == 'n')
            rounds = (unsigned)MIN(atoi(optarg), ROUNDS_MAX);
        else if (c == 'd')
            w.delay_ns = (uint64_t)MIN(atoi(optarg), WIRE_MAX - 8) * STEP_NS;
        else if (c == 'w')
            w.n_paths = (unsigned)MAX(1, MIN(atoi(optarg), EDGE_PATHS_MAX));
        else if (c == 'g')
            wish = "gnutls";
        else if (c == 'p')
            plain = true;
        else
            return usage();
    }
    if (aead_choose(wish, &aead, &why))
        return 1;
    set_up(&w, aead, plain);
    for (unsigned i = 0; i < UP_STEPS; i++)
        step(&w, false);
    w.super = make_super(w.a.pool);
    for (unsigned i = 0; i < 2000; i++)
        step(&w, true);
    for (unsigned i = 0; i < rounds; i++) {
        w.a.ns = w.b.ns = w.a.packets = w.b.packets = 0;
        for (unsigned k = 0; k < 200; k++)
            step(&w, true);
        a[i] = (double)w.a.ns / (double)MAX(w.a.packets, 1u);
        b[i] = (double)w.b.ns / (double)MAX(w.b.packets, 1u);
    }
    printf("%s, %s, paths: %u, %lu packets in a round, %.1f MB delivered\n", aead->name,
           plain ? "plain peer" : "session extension", w.n_paths, (unsigned long)w.a.packets,
           (double)w.b.delivered / 1e6);
    print("sender", a, rounds);
    print("receiver", b, rounds);
    return 0;
}
