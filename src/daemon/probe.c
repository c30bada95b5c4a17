#include "daemon/probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/instance.h"
#include "loop/loop.h"
#include "netlink/netlink.h"
#include "packet/pkt.h"
#include "peer/edge.h"
#include "quic/tls.h"
#include "udp/udp.h"

enum { PROBE_POOL_SMALL = 64, PROBE_POOL_LARGE = 4 };
#define PROBE_ANSWER_NS (10 * NS_PER_S)
#define PROBE_MTU_NS (8 * NS_PER_S)
#define PROBE_TURN_NS (100 * NS_PER_MS)
#define PROBE_AFTER_ICMP_NS (1 * NS_PER_S)

struct probe {
    const struct probe_opts *opts;
    struct probe_result *result;
    enum exit_code code;
    struct loop *loop;
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct quic_tls_creds *creds;
    struct net_addr local, remote;
    char device[16];
    struct udp_socket *udp;
    struct loop_io udp_io;
    struct edge *edge;
    struct quic_tx *tx;
    char authority[CONFIG_HOST_MAX + 16];
    uint64_t deadline_ns;
    bool up, done;

    /* A second, connected socket: ICMP errors reach only such a one. */
    int feeler;
    struct loop_io feeler_io;
    int icmp_errno;
};

static enum exit_code fail(struct probe *p, enum exit_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum exit_code fail(struct probe *p, enum exit_code code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->result->why, sizeof(p->result->why), fmt, ap);
    va_end(ap);
    p->code = code;
    p->done = true;
    return code;
}

/* --- what the edge reports ------------------------------------------------------------- */

static void on_deliver(void *user, struct pkt *pkt)
{
    pkt_free(((struct probe *)user)->pool, pkt);
}

static void on_state(void *user, enum edge_state state, const char *why)
{
    struct probe *p = user;

    if (state == EDGE_UP) {
        p->up = true;
        p->deadline_ns = clock_mono_ns() + (p->opts->mtu_ns ? p->opts->mtu_ns : PROBE_MTU_NS);
        p->result->why[0] = 0;
    } else if (*why) {
        snprintf(p->result->why, sizeof(p->result->why), "%s", why);
    }
}

static void on_assigned(void *user, const struct capsule_addrs *addrs)
{
}

static void on_mtu(void *user, size_t packet_max)
{
    struct probe *p = user;

    p->result->packet_max_bytes = packet_max;
    p->result->mtu_known = true;
    p->done = true;
}

static void on_failed(void *user, const struct edge_failure *f)
{
    struct probe *p = user;

    p->code = instance_exit_code(f);
    p->done = true;
}

static const struct edge_events probe_events = {
    .deliver = on_deliver,
    .state = on_state,
    .assigned = on_assigned,
    .mtu = on_mtu,
    .failed = on_failed,
};

/* --- where to, and from where ---------------------------------------------------------- */

/* The hub's addresses: one of each family that it has. */
static enum exit_code resolve(struct probe *p, struct net_addr ret[static RESOLVE_MAX],
                              unsigned *ret_n)
{
    const struct tunnel_config *c = p->opts->config;
    struct resolve *r = resolve_start(c->remote_addr, c->remote_port, c->bind.addr.family);
    struct pollfd ready = {.fd = r ? resolve_fd(r) : -1, .events = POLLIN};
    int rv = EAI_MEMORY;

    while (r && poll(&ready, 1, -1) < 0 && errno == EINTR)
        ;
    if (r)
        rv = resolve_result(r, ret, ret_n);
    resolve_free(r);
    return rv ? fail(p, EXIT_CODE_NO_ANSWER,
                     "cannot find the address of %s: %s: check the name, and this machine's DNS",
                     c->remote_addr, gai_strerror(rv))
              : EXIT_CODE_OK;
}

/* An address of the interface that the hub's family needs. */
static enum exit_code interface_address(struct probe *p, const struct ip_addr *remote,
                                        struct ip_addr *ret)
{
    const char *name = p->opts->config->bind.ifname;
    struct local_choice any = {0};
    struct netlink *nl = NULL;
    struct netlink_link link = {0};
    int rv = netlink_open(&nl);
    bool found;

    if (!rv)
        rv = netlink_link_by_name(nl, name, &link);
    found = !rv && local_address(&any, nl, link.index, remote, ret);
    netlink_close(nl);
    if (rv)
        return fail(p, EXIT_CODE_START, "interface %s: %s: ip link lists what there is", name,
                    strerror(-rv));
    return found ? EXIT_CODE_OK
                 : fail(p, EXIT_CODE_START,
                        "interface %s has no IPv%u address: is its cable or modem on?", name,
                        remote->family);
}

static enum exit_code open_udp(struct probe *p)
{
    const struct config_bind *b = &p->opts->config->bind;
    struct ip_addr remote = net_addr_ip(&p->remote), local = {.family = remote.family};
    struct udp_socket_opts opts = {.device = b->ifname, .drops = &p->drops};
    enum exit_code code;
    int rv;

    if (*b->ifname) {
        code = interface_address(p, &remote, &local);
        if (code)
            return code;
        snprintf(p->device, sizeof(p->device), "%s", b->ifname);
    } else if (b->addr.family) {
        local = b->addr;
    }
    opts.bind = net_addr_make(&local, 0);
    rv = udp_socket_open(&opts, &p->udp);
    if (rv)
        return fail(p, EXIT_CODE_START, "cannot open a UDP socket%s%s: %s",
                    *b->ifname ? " on " : "", b->ifname, strerror(-rv));
    p->local = *udp_socket_local(p->udp);
    return EXIT_CODE_OK;
}

/* --- the feeler ------------------------------------------------------------------------ */

static void on_feeler(struct loop_io *io, uint32_t events)
{
    struct probe *p = io->user;
    socklen_t len = sizeof(p->icmp_errno);

    if (getsockopt(p->feeler, SOL_SOCKET, SO_ERROR, &p->icmp_errno, &len) || !p->icmp_errno)
        return;
    loop_io_remove(p->loop, io);
    /* Somebody on the way says no; what the hub says counts more, if it says something. */
    if (!p->up)
        p->deadline_ns = MIN(p->deadline_ns, clock_mono_ns() + PROBE_AFTER_ICMP_NS);
}

/* One byte, which a hub ignores: what matters is who objects. */
static enum exit_code send_feeler(struct probe *p)
{
    struct net_addr from = p->local, used = {.len = sizeof(used.ss)};

    p->feeler = socket(p->remote.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->feeler < 0)
        return fail(p, EXIT_CODE_START, "cannot open a UDP socket: %s", strerror(errno));
    if (*p->device)
        setsockopt(p->feeler, SOL_SOCKET, SO_BINDTODEVICE, p->device,
                   (socklen_t)strlen(p->device) + 1);
    if (from.sa.sa_family == AF_INET6)
        from.in6.sin6_port = 0;
    else
        from.in.sin_port = 0;
    if (bind(p->feeler, &from.sa, from.len) || connect(p->feeler, &p->remote.sa, p->remote.len) ||
        send(p->feeler, "", 1, 0) < 0)
        return fail(p, EXIT_CODE_START, "cannot send to %s: %s: check this machine's routes%s",
                    p->result->remote, strerror(errno),
                    errno == EPERM ? " and firewall" : " (ip route get)");
    if (!getsockname(p->feeler, &used.sa, &used.len))
        net_addr_str(&used, p->result->local);
    p->feeler_io = (struct loop_io){.cb = on_feeler, .user = p};
    return loop_io_add(p->loop, &p->feeler_io, p->feeler, EPOLLIN)
               ? fail(p, EXIT_CODE_INTERNAL, "out of memory")
               : EXIT_CODE_OK;
}

/* --- running --------------------------------------------------------------------------- */

static void pump(struct probe *p)
{
    while (edge_tx(p->edge, clock_mono_ns(), p->tx)) {
        const struct quic_tx *tx = p->tx;
        struct udp_tx_msg msg = {.remote = &tx->remote,
                                 .local = &tx->local,
                                 .ecn = tx->ecn,
                                 .data = tx->buf,
                                 .len = (uint32_t)tx->len,
                                 .seg_size = (uint16_t)tx->seg_size};
        uint32_t sent;

        udp_send(p->udp, &msg, &sent); /* what is lost is sent again */
    }
}

static void on_udp(struct loop_io *io, uint32_t events)
{
    struct probe *p = io->user;
    struct udp_rx_msg msgs[UDP_RX_BATCH_MAX];
    int n = udp_recv_batch(p->udp, msgs, UDP_RX_BATCH_MAX);

    for (int i = 0; i < n; i++) {
        struct quic_rx rx = {.local = p->local,
                             .remote = msgs[i].remote,
                             .data = msgs[i].data,
                             .len = msgs[i].len,
                             .seg_size = msgs[i].seg_size,
                             .ecn = msgs[i].ecn,
                             .socket = 0};

        edge_rx(p->edge, clock_mono_ns(), &rx);
    }
}

static enum exit_code no_answer(struct probe *p)
{
    char why[200];

    snprintf(why, sizeof(why), "%.199s", p->result->why);
    if (strstr(why, quic_fail_meaning(QUIC_FAIL_HANDSHAKE_TIMEOUT)))
        why[0] = 0; /* this says the same */
    if (p->icmp_errno == ECONNREFUSED)
        return fail(p, EXIT_CODE_NO_ANSWER,
                    "%s refuses UDP: does the hub run, and does its firewall admit this port?",
                    p->result->remote);
    if (p->icmp_errno)
        return fail(p, EXIT_CODE_NO_ANSWER, "%s: %s: check the routes and firewalls on the way",
                    p->result->remote, strerror(p->icmp_errno));
    return fail(p, EXIT_CODE_NO_ANSWER,
                "no answer from %s over UDP%s%s: does the hub run there, and do the firewalls on "
                "both ends admit this UDP port?",
                p->result->remote, *why ? ": " : "", why);
}

static void take_stats(struct probe *p)
{
    struct quic_lane_stats st;

    if (!edge_lane_stats(p->edge, 0, &st))
        return;
    p->result->rtt_ns = st.rtt_min_ns;
    p->result->udp_payload_bytes = st.udp_payload;
}

static enum exit_code run(struct probe *p)
{
    edge_set_addrs(p->edge, clock_mono_ns(), 0, &p->local, &p->remote, 0);
    while (!p->done) {
        uint64_t now_ns = clock_mono_ns(), wait = PROBE_TURN_NS, at;

        pump(p);
        at = MIN(edge_deadline_ns(p->edge), p->deadline_ns);
        wait = at > now_ns ? MIN(wait, at - now_ns) : 0;
        if (loop_turn(p->loop, wait) < 0)
            return fail(p, EXIT_CODE_INTERNAL, "cannot wait for the network");
        now_ns = clock_mono_ns();
        if (now_ns >= edge_deadline_ns(p->edge))
            edge_timeout(p->edge, now_ns);
        if (!p->done && now_ns >= p->deadline_ns)
            break;
    }
    if (!p->up && p->code == EXIT_CODE_OK)
        return no_answer(p);
    take_stats(p);
    edge_shutdown(p->edge, clock_mono_ns());
    pump(p);
    return p->code;
}

static enum exit_code load_creds(struct probe *p)
{
    const struct probe_opts *o = p->opts;
    struct quic_tls_files files = {
        .cert = {o->cert.name, o->cert.data, o->cert.len},
        .key = {o->key.name, o->key.data, o->key.len},
        .ca = {o->ca.name, o->ca.data, o->ca.len},
    };
    char err[sizeof(p->result->why)];

    if (quic_tls_creds_load(&files, &p->creds, err, sizeof(err)))
        return fail(p, EXIT_CODE_CONFIG, "%s", err);
    return EXIT_CODE_OK;
}

static enum exit_code make_edge(struct probe *p)
{
    const struct tunnel_config *c = p->opts->config;
    struct edge_opts o = {.authority = p->authority,
                          .instance = "join-check",
                          .no_addresses = true,
                          .events = &probe_events,
                          .user = p};

    snprintf(p->authority, sizeof(p->authority), strchr(c->remote_addr, ':') ? "[%s]:%u" : "%s:%u",
             c->remote_addr, c->remote_port);
    o.quic.tls = &quic_tls_gnutls;
    o.quic.tls_ctx = p->creds;
    o.quic.server_name = *c->tls_server_name ? c->tls_server_name : c->remote_addr;
    o.quic.pool = p->pool;
    o.quic.drops = &p->drops;
    o.quic.random = quic_random_system;
    return edge_new(&o, &p->edge) ? fail(p, EXIT_CODE_INTERNAL, "out of memory") : EXIT_CODE_OK;
}

static enum exit_code prepare(struct probe *p)
{
    enum exit_code code;

    p->loop = loop_new();
    p->pool = pkt_pool_new(PROBE_POOL_SMALL, PROBE_POOL_LARGE);
    p->tx = malloc(sizeof(*p->tx));
    if (!p->loop || !p->pool || !p->tx)
        return fail(p, EXIT_CODE_INTERNAL, "out of memory");
    code = load_creds(p);
    if (!code)
        code = open_udp(p);
    if (!code)
        code = send_feeler(p);
    if (!code)
        code = make_edge(p);
    if (code)
        return code;
    p->udp_io = (struct loop_io){.cb = on_udp, .user = p};
    p->deadline_ns = clock_mono_ns() + (p->opts->answer_ns ? p->opts->answer_ns : PROBE_ANSWER_NS);
    return loop_io_add(p->loop, &p->udp_io, udp_socket_fd(p->udp), EPOLLIN)
               ? fail(p, EXIT_CODE_INTERNAL, "out of memory")
               : EXIT_CODE_OK;
}

static enum exit_code probe_address(const struct probe_opts *opts, const struct net_addr *remote,
                                    struct probe_result *ret)
{
    struct probe p = {.opts = opts, .result = ret, .remote = *remote, .feeler = -1};
    enum exit_code code;

    memset(ret, 0, sizeof(*ret));
    net_addr_str(remote, ret->remote);
    code = prepare(&p);
    if (!code)
        code = run(&p);
    edge_free(p.edge);
    udp_socket_close(p.udp);
    cleanup_close(&p.feeler);
    pkt_pool_free(p.pool);
    loop_free(p.loop);
    quic_tls_creds_unref(p.creds);
    free(p.tx);
    return code;
}

/* Over the other family it may be different. */
static bool is_about_the_way(enum exit_code code)
{
    return code == EXIT_CODE_NO_ANSWER || code == EXIT_CODE_START;
}

enum exit_code daemon_probe(const struct probe_opts *opts, struct probe_result *ret)
{
    struct probe p = {.opts = opts, .result = ret};
    struct net_addr remotes[RESOLVE_MAX];
    unsigned n = 0;
    enum exit_code code;

    memset(ret, 0, sizeof(*ret));
    code = resolve(&p, remotes, &n);
    for (unsigned i = 0; i < n; i++) {
        code = probe_address(opts, &remotes[i], ret);
        if (!is_about_the_way(code))
            break;
    }
    return code;
}
