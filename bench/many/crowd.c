/* Many edges in one process, on one hub: what a hub needs for each of them. No TUN: what comes out
 * of the tunnels is dropped.
 *
 * usage: crowd ADDRESS PORT SERVER-NAME CA-FILE EDGES CERT-FILE KEY-FILE [CERT-FILE KEY-FILE ...]
 *
 * Edges take the certificates in turn, each with an instance of its own. Prints "up N" when
 * the number of connected edges has changed, once a second at most, and runs until it is ended.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "packet/pkt.h"
#include "peer/edge.h"
#include "quic/tls.h"

enum { EDGES_MAX = 4096, CREDS_MAX = 64, POOL = 4096, DATAGRAM_MAX = 65536 };

struct one {
    struct edge *edge;
    struct net_addr local;
    char instance[24];
    int fd;
};

static struct one one[EDGES_MAX];
static struct pollfd fds[EDGES_MAX];
static unsigned n_edges;
static struct pkt_pool *pool;
static struct drop_counters dropped;
static struct quic_tx tx;

static void on_deliver(void *user, struct pkt *pkt)
{
    pkt_free(pool, pkt);
}

static void on_state(void *user, enum edge_state state, const char *why)
{
}

static void on_assigned(void *user, const struct capsule_addrs *addrs)
{
}

static void on_mtu(void *user, size_t packet_max)
{
}

static void on_failed(void *user, const struct edge_failure *f)
{
    fprintf(stderr, "crowd: an edge gave up: %s, status %d\n", quic_fail_name(f->quic.fail),
            f->http_status);
}

static const struct edge_events events = {.deliver = on_deliver,
                                          .state = on_state,
                                          .assigned = on_assigned,
                                          .mtu = on_mtu,
                                          .failed = on_failed};

static struct quic_tls_blob load(const char *file)
{
    static char text[3 * CREDS_MAX][16384];
    static unsigned n;
    FILE *f = fopen(file, "re");
    struct quic_tls_blob b = {.name = file, .data = text[n]};

    if (!f || n == ARRAY_LEN(text)) {
        fprintf(stderr, "crowd: cannot read %s\n", file);
        exit(1);
    }
    b.len = fread(text[n++], 1, sizeof(text[0]), f);
    fclose(f);
    return b;
}

static void send_all(struct one *o, uint64_t now_ns)
{
    while (edge_tx(o->edge, now_ns, &tx))
        for (size_t at = 0; at < tx.len; at += tx.seg_size)
            sendto(o->fd, tx.buf + at, MIN(tx.seg_size, tx.len - at), 0, &tx.remote.sa,
                   tx.remote.len);
}

static void receive(struct one *o, uint64_t now_ns)
{
    static uint8_t buf[DATAGRAM_MAX];
    struct quic_rx rx = {.local = o->local, .data = buf};
    ssize_t n;

    for (int i = 0; i < 32; i++) {
        rx.remote.len = sizeof(rx.remote.ss);
        n = recvfrom(o->fd, buf, sizeof(buf), MSG_DONTWAIT, &rx.remote.sa, &rx.remote.len);
        if (n < 0)
            return;
        rx.len = (size_t)n;
        edge_rx(o->edge, now_ns, &rx);
    }
}

static void start(struct one *o, const struct net_addr *hub, struct quic_tls_creds *creds,
                  const char *server_name)
{
    struct edge_opts opts = {.quic = {.tls = &quic_tls_gnutls,
                                      .tls_ctx = creds,
                                      .server_name = server_name,
                                      .pool = pool,
                                      .drops = &dropped,
                                      .random = quic_random_system},
                             .authority = "hub:443",
                             .instance = o->instance,
                             .events = &events,
                             .user = o};
    unsigned i = (unsigned)(o - one);

    snprintf(o->instance, sizeof(o->instance), "i%u", i);
    o->fd = socket(hub->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    o->local.len = sizeof(o->local.ss);
    if (o->fd < 0 || connect(o->fd, &hub->sa, hub->len) ||
        getsockname(o->fd, &o->local.sa, &o->local.len) || edge_new(&opts, &o->edge)) {
        perror("crowd");
        exit(1);
    }
    fds[i] = (struct pollfd){.fd = o->fd, .events = POLLIN};
    edge_set_addrs(o->edge, clock_mono_ns(), 0, &o->local, hub, 0);
    send_all(o, clock_mono_ns());
}

static void turn(void)
{
    uint64_t now_ns = clock_mono_ns(), at_ns = now_ns + NS_PER_S;

    for (unsigned i = 0; i < n_edges; i++)
        at_ns = MIN(at_ns, edge_deadline_ns(one[i].edge));
    poll(fds, n_edges, at_ns > now_ns ? (int)((at_ns - now_ns) / NS_PER_MS) + 1 : 0);
    now_ns = clock_mono_ns();
    for (unsigned i = 0; i < n_edges; i++) {
        if (fds[i].revents)
            receive(&one[i], now_ns);
        if (edge_deadline_ns(one[i].edge) <= now_ns)
            edge_timeout(one[i].edge, now_ns);
        send_all(&one[i], now_ns);
    }
}

static unsigned count_up(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_edges; i++)
        n += edge_state(one[i].edge) == EDGE_UP;
    return n;
}

int main(int argc, char **argv)
{
    struct quic_tls_creds *creds[CREDS_MAX] = {NULL};
    unsigned n_creds = 0, want, told = 0;
    struct rlimit files = {8192, 8192};
    struct net_addr hub;
    struct ip_addr ip;
    char err[256];

    if (argc < 8 || argc % 2 || ip_addr_parse(argv[1], &ip)) {
        fprintf(stderr, "usage: crowd ADDRESS PORT NAME CA EDGES CERT KEY [CERT KEY ...]\n");
        return 2;
    }
    setrlimit(RLIMIT_NOFILE, &files);
    hub = net_addr_make(&ip, (uint16_t)atoi(argv[2]));
    want = MIN((unsigned)atoi(argv[5]), (unsigned)EDGES_MAX);
    pool = pkt_pool_new(POOL, 0);
    for (int i = 6; i + 1 < argc && n_creds < CREDS_MAX; i += 2, n_creds++) {
        struct quic_tls_files f = {
            .cert = load(argv[i]), .key = load(argv[i + 1]), .ca = load(argv[4])};

        if (quic_tls_creds_load(&f, &creds[n_creds], err, sizeof(err))) {
            fprintf(stderr, "crowd: %s\n", err);
            return 1;
        }
    }
    while (n_edges < want) {
        start(&one[n_edges], &hub, creds[n_edges % n_creds], argv[3]);
        n_edges++;
        if (n_edges % 10 == 0)
            turn();
    }
    for (uint64_t next_ns = 0;; turn()) {
        if (clock_mono_ns() < next_ns)
            continue;
        next_ns = clock_mono_ns() + NS_PER_S;
        if (count_up() == told)
            continue;
        told = count_up();
        printf("up %u\n", told);
        fflush(stdout);
    }
}
