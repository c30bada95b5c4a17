/* The topology, in a namespace of its own:
 *
 *      lo      127.0.0.0/8, ::1, fd00::1, fd00::2      MTU 65536
 *      mpqu    10.7.0.1/24, a TUN nobody reads         MTU 1500
 *      mpqa    10.8.0.1/24, a TAP without neighbours   what is sent waits for ARP
 */
#include "udp/udp.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <setjmp.h>

#include "netlink/netlink.h"
#include "netns.h"
#include "tun/tun.h"
#include <cmocka.h>

#include "base/util.h"

static struct drop_counters drops;

static struct net_addr at(const char *ip, uint16_t port)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(ip, &a), 0);
    return net_addr_make(&a, port);
}

static uint16_t port_of(const struct udp_socket *s)
{
    return net_addr_port(udp_socket_local(s));
}

static struct udp_socket *open_with(struct udp_socket_opts opts)
{
    struct udp_socket *s = NULL;

    opts.drops = &drops;
    assert_int_equal(udp_socket_open(&opts, &s), 0);
    return s;
}

static struct udp_socket *open_at(const char *ip)
{
    return open_with((struct udp_socket_opts){.bind = at(ip, 0)});
}

static struct udp_tx_msg tx(const struct net_addr *remote, const uint8_t *data, uint32_t len)
{
    return (struct udp_tx_msg){.remote = remote, .data = data, .len = len};
}

/* Receive, waiting for the first message: loopback delivers at once, but need not. */
static int recv_some(struct udp_socket *s, struct udp_rx_msg *msgs, unsigned max)
{
    struct pollfd p = {.fd = udp_socket_fd(s), .events = POLLIN};

    assert_int_equal(poll(&p, 1, 5000), 1);
    return udp_recv_batch(s, msgs, max);
}

static void assert_ip(const struct net_addr *a, const char *want)
{
    char text[NET_ADDR_STR_MAX];
    struct ip_addr ip = net_addr_ip(a);

    assert_string_equal(ip_addr_str(&ip, text), want);
}

/* A listener on any address answers from the address that was asked. */
static void check_local_address(const char *any, const char *client_ip, const char *server_ip)
{
    struct udp_socket *server = open_at(any), *client = open_at(any);
    struct net_addr to = at(server_ip, port_of(server)), from = at(client_ip, 0);
    struct udp_tx_msg m = tx(&to, (const uint8_t *)"question", 8);
    struct udp_rx_msg got[2] = {0};
    struct net_addr remote, local;

    m.local = &from;
    assert_int_equal(udp_send(client, &m, NULL), 0);
    assert_int_equal(recv_some(server, got, 2), 1);
    assert_int_equal(got[0].len, 8);
    assert_int_equal(got[0].seg_size, 8);
    assert_memory_equal(got[0].data, "question", 8);
    assert_ip(&got[0].remote, client_ip);
    assert_ip(&got[0].local, server_ip);
    assert_int_equal(net_addr_port(&got[0].remote), port_of(client));
    assert_int_equal(net_addr_port(&got[0].local), port_of(server));

    remote = got[0].remote;
    local = got[0].local;
    m = tx(&remote, (const uint8_t *)"answer", 6);
    m.local = &local;
    assert_int_equal(udp_send(server, &m, NULL), 0);
    assert_int_equal(recv_some(client, got, 2), 1);
    assert_true(net_addr_equal(&got[0].remote, &to));
    assert_ip(&got[0].local, client_ip);
    assert_int_equal(udp_recv_batch(client, got, 2), 0);
    udp_socket_close(server);
    udp_socket_close(client);
}

static void test_local_address_v4(void **state)
{
    check_local_address("0.0.0.0", "127.0.0.1", "127.0.0.5");
    check_local_address("0.0.0.0", "127.0.0.6", "127.0.0.1");
}

static void test_local_address_v6(void **state)
{
    check_local_address("::", "fd00::1", "fd00::2");
    check_local_address("::", "fd00::2", "::1");
}

/* Both families may be bound to one port: IPv6 is IPv6 only. */
static void test_any_of_both_families(void **state)
{
    struct udp_socket *v4 = open_at("0.0.0.0"), *v6;
    struct udp_socket_opts opts = {.bind = at("0.0.0.0", port_of(v4)), .drops = &drops};
    struct udp_socket *twin = NULL;

    v6 = open_with((struct udp_socket_opts){.bind = at("::", port_of(v4))});
    assert_int_equal(udp_socket_open(&opts, &twin), -EADDRINUSE);
    assert_null(twin);
    udp_socket_close(v4);
    udp_socket_close(v6);
}

static void test_open_errors(void **state)
{
    struct udp_socket_opts opts = {.bind = at("192.0.2.1", 0), .drops = &drops};
    struct udp_socket *s = NULL;

    assert_int_equal(udp_socket_open(&opts, &s), -EADDRNOTAVAIL);
    opts.bind = at("127.0.0.1", 0);
    opts.device = "absent";
    assert_int_equal(udp_socket_open(&opts, &s), -ENODEV);
    opts.device = "a-name-too-long-for-it";
    assert_int_equal(udp_socket_open(&opts, &s), -EINVAL);
    opts.device = NULL;
    opts.bind = (struct net_addr){0};
    assert_int_equal(udp_socket_open(&opts, &s), -EINVAL);
    assert_null(s);
    udp_socket_close(NULL);
}

static void check_ecn(const char *ip)
{
    struct udp_socket *a = open_at(ip), *b = open_at(ip);

    for (uint8_t ecn = 0; ecn < 4; ecn++) {
        struct udp_tx_msg m = tx(udp_socket_local(b), (const uint8_t *)"x", 1);
        struct udp_rx_msg got = {0};

        m.ecn = ecn;
        assert_int_equal(udp_send(a, &m, NULL), 0);
        assert_int_equal(recv_some(b, &got, 1), 1);
        assert_int_equal(got.ecn, ecn);
    }
    udp_socket_close(a);
    udp_socket_close(b);
}

static void test_ecn(void **state)
{
    check_ecn("127.0.0.1");
    check_ecn("::1");
}

static void test_batch(void **state)
{
    struct udp_socket *a = open_at("127.0.0.1"), *b = open_at("127.0.0.1");
    struct udp_rx_msg got[UDP_RX_BATCH_MAX + 8];
    uint8_t data[40];

    for (unsigned i = 0; i < sizeof(data); i++) {
        struct udp_tx_msg m = tx(udp_socket_local(b), &data[i], 1);

        data[i] = (uint8_t)i;
        assert_int_equal(udp_send(a, &m, NULL), 0);
    }
    assert_int_equal(recv_some(b, got, ARRAY_LEN(got)), UDP_RX_BATCH_MAX);
    for (unsigned i = 0; i < UDP_RX_BATCH_MAX; i++)
        assert_int_equal(got[i].data[0], i);
    assert_int_equal(udp_recv_batch(b, got, 3), 3);
    assert_int_equal(got[0].data[0], UDP_RX_BATCH_MAX);
    assert_int_equal(udp_recv_batch(b, got, ARRAY_LEN(got)), sizeof(data) - UDP_RX_BATCH_MAX - 3);
    assert_int_equal(udp_recv_batch(b, got, ARRAY_LEN(got)), 0);
    assert_int_equal(udp_socket_stats(b)->rx_msgs, sizeof(data));
    assert_int_equal(udp_socket_stats(a)->tx_datagrams, sizeof(data));
    udp_socket_close(a);
    udp_socket_close(b);
}

/* Send len bytes as datagrams of seg bytes and check that they arrive in order, complete and cut
 * at the right places. Returns the number of messages (with GRO fewer than datagrams). */
static unsigned check_burst(struct udp_socket *from, struct udp_socket *to, uint32_t len,
                            uint16_t seg)
{
    uint8_t *data = malloc(len);
    struct udp_tx_msg m = tx(udp_socket_local(to), data, len);
    uint32_t sent = 0, got = 0;
    unsigned n_msgs = 0;

    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    m.seg_size = seg;
    assert_int_equal(udp_send(from, &m, &sent), 0);
    assert_int_equal(sent, len);
    while (got < len) {
        struct udp_rx_msg r[UDP_RX_BATCH_MAX];
        int n = recv_some(to, r, ARRAY_LEN(r));

        assert_in_range(n, 1, ARRAY_LEN(r));
        for (int i = 0; i < n; i++, n_msgs++) {
            assert_true(got + r[i].len <= len);
            assert_memory_equal(r[i].data, data + got, r[i].len);
            assert_int_equal(got % seg, 0);
            assert_int_equal(r[i].seg_size, MIN(seg, r[i].len));
            got += r[i].len;
        }
    }
    free(data);
    return n_msgs;
}

static void test_gso_to_gro(void **state)
{
    static const char *const ips[] = {"127.0.0.1", "::1"};

    for (size_t i = 0; i < ARRAY_LEN(ips); i++) {
        struct udp_socket *a = open_at(ips[i]), *b = open_at(ips[i]);

        assert_true(udp_socket_has_gso(a));
        assert_true(udp_socket_has_gro(b));
        assert_int_equal(check_burst(a, b, 10 * 1350 + 17, 1350), 1);
        assert_int_equal(udp_socket_stats(a)->tx_calls, 1);
        assert_int_equal(udp_socket_stats(a)->tx_datagrams, 11);
        assert_int_equal(check_burst(a, b, 64 * 1000, 1000), 1);
        assert_int_equal(check_burst(a, b, 1200, 1200), 1);
        /* More than one kernel call carries, by number and by bytes. */
        assert_int_equal(check_burst(a, b, 150 * 100 + 1, 100), 3);
        assert_int_equal(check_burst(a, b, 64 * 1452, 1452), 2);
        assert_true(udp_socket_has_gso(a));
        udp_socket_close(a);
        udp_socket_close(b);
    }
}

static void test_plain_burst(void **state)
{
    struct udp_socket *a = open_with(
                          (struct udp_socket_opts){.bind = at("127.0.0.1", 0), .no_gso = true}),
                      *b = open_at("127.0.0.1");
    struct udp_socket *c =
        open_with((struct udp_socket_opts){.bind = at("127.0.0.1", 0), .no_gro = true});

    assert_false(udp_socket_has_gso(a));
    assert_false(udp_socket_has_gro(c));
    assert_true(check_burst(a, b, 70 * 1350 + 17, 1350) <= 71);
    assert_int_equal(udp_socket_stats(a)->tx_datagrams, 71);
    /* A receiver without GRO gets the datagrams of a GSO burst one by one. */
    assert_int_equal(check_burst(b, c, 20 * 1350, 1350), 20);
    udp_socket_close(a);
    udp_socket_close(b);
    udp_socket_close(c);
}

/* The kernel refuses GSO on a socket without checksums (EINVAL): the same call still delivers
 * everything, and GSO is not tried again. */
static void test_gso_refused(void **state)
{
    struct udp_socket *a = open_at("127.0.0.1"), *b = open_at("127.0.0.1");
    uint64_t calls;
    int on = 1;

    assert_int_equal(setsockopt(udp_socket_fd(a), SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
    check_burst(a, b, 20 * 1350 + 5, 1350);
    assert_false(udp_socket_has_gso(a));
    calls = udp_socket_stats(a)->tx_calls;
    check_burst(a, b, 20 * 1350 + 5, 1350);
    assert_int_equal(udp_socket_stats(a)->tx_calls, calls + 1);
    assert_int_equal(udp_socket_stats(a)->tx_datagrams, 42);
    udp_socket_close(a);
    udp_socket_close(b);
}

/* Beyond the MTU of the device nothing is fragmented, and GSO is not blamed. */
static void test_too_big_for_the_device(void **state)
{
    static uint8_t data[8000];
    struct udp_socket *s = open_at("10.7.0.1");
    struct net_addr to = at("10.7.0.2", 9);
    struct udp_tx_msg m = tx(&to, data, 1472);
    uint32_t sent = 77;

    assert_int_equal(udp_send(s, &m, &sent), 0);
    assert_int_equal(sent, 1472);
    m.len = 1473;
    assert_int_equal(udp_send(s, &m, &sent), -EMSGSIZE);
    assert_int_equal(sent, 0);
    m.len = 3 * 1473;
    m.seg_size = 1473;
    assert_int_equal(udp_send(s, &m, &sent), -EMSGSIZE);
    assert_int_equal(sent, 0);
    assert_true(udp_socket_has_gso(s));
    m.seg_size = 1472;
    assert_int_equal(udp_send(s, &m, &sent), 0);
    assert_int_equal(sent, m.len);
    assert_true(udp_socket_has_gso(s));
    udp_socket_close(s);
}

/* With the send buffer full the caller learns how far it came, and can go on from there. */
static void check_blocked(bool no_gso, uint32_t len)
{
    static uint8_t data[64 * 2 * 1400];
    struct udp_socket *s = open_with(
        (struct udp_socket_opts){.bind = at("10.8.0.1", 0), .sndbuf_bytes = 1, .no_gso = no_gso});
    struct net_addr to = at(no_gso ? "10.8.0.2" : "10.8.0.3", 9);
    struct udp_tx_msg m = tx(&to, data, len);
    uint32_t sent = 0;

    m.seg_size = 1400;
    assert_int_equal(udp_send(s, &m, &sent), -EAGAIN);
    assert_in_range(sent, 1400, len - 1);
    assert_int_equal(sent % 1400, 0);
    assert_int_equal(udp_socket_stats(s)->tx_bytes, sent);
    assert_int_equal(udp_socket_stats(s)->tx_datagrams, sent / 1400);
    assert_int_equal(udp_send(s, &m, &sent), -EAGAIN);
    assert_int_equal(sent, 0);
    assert_int_equal(udp_socket_stats(s)->tx_blocked, 2);
    udp_socket_close(s);
}

static void test_send_buffer_full(void **state)
{
    check_blocked(true, 40 * 1400);
    check_blocked(false, 128 * 1400);
}

static void test_send_errors(void **state)
{
    struct udp_socket *s = open_at("0.0.0.0");
    struct net_addr to = at("127.0.0.1", port_of(s)), to6 = at("::1", 9);
    struct net_addr no_port = at("127.0.0.1", 0);
    struct net_addr foreign = at("192.0.2.1", 0), nowhere = at("198.51.100.1", 9);
    struct udp_tx_msg m = tx(&to, (const uint8_t *)"x", 0);
    struct udp_rx_msg got;
    uint32_t sent = 9;

    assert_int_equal(udp_send(s, &m, &sent), -EINVAL);
    assert_int_equal(sent, 0);
    m.len = 1;
    m.remote = &no_port;
    assert_int_equal(udp_send(s, &m, NULL), -EINVAL);
    m.remote = &to6;
    assert_int_equal(udp_send(s, &m, NULL), -EINVAL);
    m.remote = &nowhere;
    assert_int_equal(udp_send(s, &m, NULL), -ENETUNREACH);
    m.remote = &to;
    m.local = &foreign;
    assert_int_equal(udp_send(s, &m, NULL), -ENETUNREACH);
    /* None of it harmed the socket. */
    m.local = NULL;
    assert_int_equal(udp_send(s, &m, NULL), 0);
    assert_int_equal(recv_some(s, &got, 1), 1);
    udp_socket_close(s);
}

static void test_source_address_v6_vanished(void **state)
{
    struct udp_socket *s = open_at("::");
    struct net_addr to = at("::1", 9), foreign = at("2001:db8::1", 0);
    struct udp_tx_msg m = tx(&to, (const uint8_t *)"xy", 2);

    m.local = &foreign;
    assert_int_equal(udp_send(s, &m, NULL), -EADDRNOTAVAIL);
    m.seg_size = 1;
    assert_int_equal(udp_send(s, &m, NULL), -EADDRNOTAVAIL);
    assert_true(udp_socket_has_gso(s));
    udp_socket_close(s);
}

/* A socket bound to another device does not hear loopback, and one bound to it does. */
static void test_bind_to_device(void **state)
{
    struct udp_socket *on_lo =
        open_with((struct udp_socket_opts){.bind = at("0.0.0.0", 0), .device = "lo"});
    struct udp_socket *on_tun = open_with(
        (struct udp_socket_opts){.bind = at("0.0.0.0", port_of(on_lo)), .device = "mpqu"});
    struct net_addr to = at("127.0.0.1", port_of(on_lo)), out = at("10.8.0.9", 9);
    struct udp_tx_msg m = tx(&to, (const uint8_t *)"x", 1);
    struct udp_rx_msg got;

    assert_int_equal(udp_send(on_lo, &m, NULL), 0);
    assert_int_equal(recv_some(on_lo, &got, 1), 1);
    assert_int_equal(udp_recv_batch(on_tun, &got, 1), 0);
    /* The device wins over the routing table, which would say mpqa. */
    m.remote = &out;
    assert_int_equal(udp_send(on_tun, &m, NULL), 0);
    assert_int_equal(udp_send(on_lo, &m, NULL), 0);
    udp_socket_close(on_lo);
    udp_socket_close(on_tun);
}

static void test_oversize_and_empty(void **state)
{
    static uint8_t data[UDP_RX_PLAIN_MAX + 1];
    struct udp_socket *a = open_at("127.0.0.1");
    struct udp_socket *b =
        open_with((struct udp_socket_opts){.bind = at("127.0.0.1", 0), .no_gro = true});
    struct udp_tx_msg m = tx(udp_socket_local(b), data, sizeof(data));
    struct udp_rx_msg got[4];

    drops = (struct drop_counters){0};
    assert_int_equal(udp_send(a, &m, NULL), 0);
    m.len--;
    assert_int_equal(udp_send(a, &m, NULL), 0);
    assert_int_equal(
        sendto(udp_socket_fd(a), "", 0, 0, &udp_socket_local(b)->sa, udp_socket_local(b)->len), 0);
    m.len = 3;
    assert_int_equal(udp_send(a, &m, NULL), 0);
    assert_int_equal(recv_some(b, got, 4), 2);
    assert_int_equal(got[0].len, UDP_RX_PLAIN_MAX);
    assert_int_equal(got[1].len, 3);
    assert_int_equal(drops.n[DROP_OVERSIZE_UDP], 1);
    assert_int_equal(drops.n[DROP_NOT_QUIC], 1);
    udp_socket_close(a);
    udp_socket_close(b);
}

/* An ICMP error waits on the socket in front of a good datagram. */
static void test_soft_error_is_skipped(void **state)
{
    struct udp_socket *a = open_at("127.0.0.1"), *b = open_at("127.0.0.1");
    struct udp_socket *gone = open_at("127.0.0.1");
    struct net_addr dead = *udp_socket_local(gone);
    struct udp_tx_msg m = tx(&dead, (const uint8_t *)"x", 1);
    struct udp_rx_msg got;
    struct pollfd p = {.fd = udp_socket_fd(a), .events = POLLIN};
    int on = 1;

    udp_socket_close(gone);
    assert_int_equal(setsockopt(udp_socket_fd(a), IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    assert_int_equal(udp_send(a, &m, NULL), 0);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_true(p.revents & POLLERR);
    m = tx(udp_socket_local(a), (const uint8_t *)"good", 4);
    assert_int_equal(udp_send(b, &m, NULL), 0);
    assert_int_equal(udp_recv_batch(a, &got, 1), 1);
    assert_memory_equal(got.data, "good", 4);
    assert_int_equal(udp_socket_stats(a)->rx_soft_errors, 1);
    udp_socket_close(a);
    udp_socket_close(b);
}

static void test_buffers_and_overflow(void **state)
{
    static uint8_t data[1000];
    struct udp_socket *a = open_at("127.0.0.1");
    struct udp_socket *b =
        open_with((struct udp_socket_opts){.bind = at("127.0.0.1", 0), .rcvbuf_bytes = 8192});
    struct udp_tx_msg m = tx(udp_socket_local(b), data, sizeof(data));
    struct udp_rx_msg got[UDP_RX_BATCH_MAX];
    unsigned kept = 0;

    assert_int_equal(udp_socket_rcvbuf_bytes(b), 8192);
    assert_true(udp_socket_rcvbuf_bytes(a) > 8192);
    assert_true(udp_socket_sndbuf_bytes(a) > 8192);
    for (int i = 0; i < 100; i++)
        assert_int_equal(udp_send(a, &m, NULL), 0);
    for (int n; (n = udp_recv_batch(b, got, ARRAY_LEN(got))) > 0;)
        kept += (unsigned)n;
    assert_int_equal(udp_send(a, &m, NULL), 0);
    assert_int_equal(recv_some(b, got, 1), 1);
    assert_in_range(kept, 1, 99);
    assert_int_equal(udp_socket_stats(b)->rx_overflow, 100 - kept);
    assert_int_equal(drops.n[DROP_UDP_OVERFLOW], 100 - kept);
    udp_socket_close(a);
    udp_socket_close(b);
}

/* Sockets that share their buffers, with GRO and without, are read by turns. */
static void test_shared_buffers(void **state)
{
    struct udp_buffers *shared = udp_buffers_new();
    struct udp_socket *from = open_at("127.0.0.1");
    struct udp_socket *gro =
        open_with((struct udp_socket_opts){.bind = at("127.0.0.1", 0), .buffers = shared});
    struct udp_socket *plain = open_with(
        (struct udp_socket_opts){.bind = at("127.0.0.1", 0), .buffers = shared, .no_gro = true});
    struct udp_tx_msg m = tx(udp_socket_local(plain), NULL, UDP_RX_PLAIN_MAX + 1);
    struct udp_rx_msg got[2];
    uint8_t *data = calloc(1, m.len);

    m.data = data;
    assert_non_null(shared);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(check_burst(from, gro, 10 * 1350 + 17, 1350), 1);
        assert_int_equal(check_burst(from, plain, 3 * 1350, 1350), 3);
    }
    drops = (struct drop_counters){0};
    assert_int_equal(udp_send(from, &m, NULL), 0);
    m.len = 7;
    assert_int_equal(udp_send(from, &m, NULL), 0);
    assert_int_equal(recv_some(plain, got, 2), 1); /* each keeps its own limit */
    assert_int_equal(got[0].len, 7);
    assert_int_equal(drops.n[DROP_OVERSIZE_UDP], 1);
    udp_socket_close(plain);
    assert_int_equal(check_burst(from, gro, 5 * 1200, 1200), 1);
    udp_socket_close(gro);
    udp_socket_close(from);
    udp_buffers_free(shared);
    udp_buffers_free(NULL);
    free(data);
}

static void test_segments(void **state)
{
    assert_int_equal(udp_tx_segments(100), 64);
    assert_int_equal(udp_tx_segments(1350), 48);
    assert_int_equal(udp_tx_segments(65507), 1);
    assert_int_equal(udp_tx_segments(65535), 1);
}

/* A TAP, which stays as long as its descriptor is open. */
static void tap_make(const char *name)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
        netns_die("TUNSETIFF");
}

/* Wait until the host hears itself at the address: the kernel makes the local route of an IPv6
 * address in a worker. */
static void wait_for_address(const char *ip)
{
    struct udp_socket *s = open_at(ip);
    struct udp_tx_msg m = tx(udp_socket_local(s), (const uint8_t *)"x", 1);
    struct pollfd p = {.fd = udp_socket_fd(s), .events = POLLIN};
    int heard = 0;

    for (int i = 0; i < 500 && !heard; i++) {
        udp_send(s, &m, NULL);
        heard = poll(&p, 1, 10);
    }
    assert_int_equal(heard, 1);
    udp_socket_close(s);
}

static int make_topology(void **state)
{
    static const struct {
        const char *link, *addr;
    } addrs[] = {
        {"lo", "fd00::1/128"},
        {"lo", "fd00::2/128"},
        {"mpqu", "10.7.0.1/24"},
        {"mpqa", "10.8.0.1/24"},
    };
    struct tun_opts opts = {.drops = &drops};
    struct netlink *nl = NULL;
    struct tun *tun = NULL;

    assert_int_equal(tun_open("mpqu", &opts, &tun), 0);
    *state = tun;
    tap_make("mpqa");
    netns_link_up("mpqu", 1500);
    netns_link_up("mpqa", 1500);
    assert_int_equal(netlink_open(&nl), 0);
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        struct netlink_link l;
        struct ip_prefix p;

        assert_int_equal(ip_prefix_parse(addrs[i].addr, &p), 0);
        assert_int_equal(netlink_link_by_name(nl, addrs[i].link, &l), 0);
        assert_int_equal(netlink_addr_add(nl, l.index, &p, NULL), 0);
    }
    netlink_close(nl);
    wait_for_address("fd00::1");
    wait_for_address("fd00::2");
    return 0;
}

static int end_topology(void **state)
{
    tun_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local_address_v4),
        cmocka_unit_test(test_local_address_v6),
        cmocka_unit_test(test_any_of_both_families),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_ecn),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_gso_to_gro),
        cmocka_unit_test(test_plain_burst),
        cmocka_unit_test(test_gso_refused),
        cmocka_unit_test(test_too_big_for_the_device),
        cmocka_unit_test(test_send_buffer_full),
        cmocka_unit_test(test_send_errors),
        cmocka_unit_test(test_source_address_v6_vanished),
        cmocka_unit_test(test_bind_to_device),
        cmocka_unit_test(test_oversize_and_empty),
        cmocka_unit_test(test_soft_error_is_skipped),
        cmocka_unit_test(test_buffers_and_overflow),
        cmocka_unit_test(test_shared_buffers),
        cmocka_unit_test(test_segments),
    };

    netns_enter();
    return cmocka_run_group_tests(tests, make_topology, end_topology);
}
