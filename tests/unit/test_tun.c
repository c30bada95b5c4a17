/* The TUN is mpqt with 10.200.1.1/30 and fd00:1::1/64; the far side is 10.200.1.2. */
#include "tun/tun.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <poll.h>
#include <setjmp.h>

#include "netlink/netlink.h"
#include "netns.h"
#include <cmocka.h>

#include "base/addr.h"
#include "base/util.h"
#include "packet/csum.h"
#include "packet/super.h"
#include "tun/vnet.h"

enum { PORT = 4000, HEADERS = 28 };

static struct drop_counters drops;

/* Open it, up and with its addresses. */
static struct tun *open_tun(struct tun_opts opts, int mtu)
{
    static const char *const addrs[] = {"10.200.1.1/30", "fd00:1::1/64"};
    struct netlink *nl = NULL;
    struct tun *t = NULL;
    struct ip_prefix p;

    drops = (struct drop_counters){0};
    opts.drops = &drops;
    assert_int_equal(tun_open("mpqt", &opts, &t), 0);
    netns_link_up("mpqt", mtu);
    assert_int_equal(netlink_open(&nl), 0);
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        assert_int_equal(ip_prefix_parse(addrs[i], &p), 0);
        assert_int_equal(netlink_addr_add(nl, tun_ifindex(t), &p, NULL), 0);
    }
    netlink_close(nl);
    return t;
}

static struct sockaddr_in peer(void)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(0x0ac80102)};
}

/* A socket of this host at 10.200.1.1, port PORT. */
static int open_host_socket(void)
{
    struct sockaddr_in self = peer();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    self.sin_addr.s_addr = htonl(0x0ac80101);
    assert_int_equal(bind(fd, (struct sockaddr *)&self, sizeof(self)), 0);
    return fd;
}

static void host_send(int fd, const void *data, size_t len)
{
    struct sockaddr_in to = peer();

    assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
}

static bool is_ours(const struct pkt *pkt)
{
    return pkt->len >= HEADERS && pkt->data[0] == 0x45 && load_be32(pkt->data + 16) == 0x0ac80102;
}

/* The next batch that holds packets of ours; the host's own noise (IPv6 discovery) is let go. */
static void read_ours(struct tun *t, struct pkt_pool *pool, struct pkt_batch *ret)
{
    struct pollfd p = {.fd = tun_fd(t), .events = POLLIN};

    do {
        unsigned kept = 0;

        assert_int_equal(poll(&p, 1, 5000), 1);
        assert_true(tun_read_batch(t, pool, ret) >= 0);
        for (unsigned i = 0; i < ret->n; i++) {
            if (is_ours(ret->v[i]))
                ret->v[kept++] = ret->v[i];
            else
                pkt_free(pool, ret->v[i]);
        }
        ret->n = kept;
    } while (!ret->n);
}

static void test_name(void **state)
{
    static const char *const names[] = {"",    "a%d", "a/b", "a:b",
                                        "a b", ".",   "..",  "sixteen-letters!"};
    struct tun_opts opts = {.drops = &drops};
    struct tun *t = NULL;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(tun_open(names[i], &opts, &t), -EINVAL);
    assert_null(t);
    tun_close(NULL);
}

static void test_create_is_idempotent(void **state)
{
    struct tun_opts opts = {.persist = true, .drops = &drops};
    struct tun *t = NULL, *second = NULL;
    int index;

    assert_int_equal(tun_open("mpqt", &opts, &t), 0);
    assert_true(tun_was_created(t));
    assert_string_equal(tun_name(t), "mpqt");
    index = tun_ifindex(t);
    assert_int_equal(index, if_nametoindex("mpqt"));
    assert_int_equal(tun_open("mpqt", &opts, &second), -EBUSY);
    assert_null(second);
    tun_close(t);

    /* It persists, and opening it again keeps it as it was. */
    assert_int_equal(if_nametoindex("mpqt"), index);
    opts.persist = false;
    assert_int_equal(tun_open("mpqt", &opts, &t), 0);
    assert_false(tun_was_created(t));
    assert_int_equal(tun_ifindex(t), index);
    tun_close(t);
    assert_int_equal(if_nametoindex("mpqt"), index);

    assert_int_equal(tun_open("mpqt", &opts, &t), 0);
    assert_int_equal(tun_set_persist(t, false), 0);
    tun_close(t);
    assert_int_equal(if_nametoindex("mpqt"), 0);
}

static int open_foreign(const char *name, int flags)
{
    struct ifreq ifr = {.ifr_flags = (short)flags};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    assert_true(fd >= 0);
    assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
    return fd;
}

static void test_foreign_is_refused(void **state)
{
    static const int flags[] = {IFF_TAP | IFF_NO_PI, IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE};
    struct tun_opts opts = {.drops = &drops};
    struct tun *t = NULL;

    assert_int_equal(tun_open("lo", &opts, &t), -EEXIST);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        int fd = open_foreign("mpqx", flags[i]);

        assert_int_equal(tun_open("mpqx", &opts, &t), -EEXIST);
        close(fd);
    }
    assert_null(t);
}

static void test_read(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 1500);
    struct pkt_pool *pool = pkt_pool_new(PKT_BATCH_MAX + 1, 0);
    int fd = open_host_socket();
    struct pkt_batch batch;
    char text[] = "packet 0";

    assert_false(tun_has_offload(t));
    for (int i = 0; i < 3; i++) {
        text[7] = (char)('0' + i);
        host_send(fd, text, 8);
    }
    for (int seen = 0; seen < 3;) {
        read_ours(t, pool, &batch);
        for (unsigned i = 0; i < batch.n; i++, seen++) {
            struct pkt *pkt = batch.v[i];

            text[7] = (char)('0' + seen);
            assert_int_equal(pkt->len, HEADERS + 8);
            assert_int_equal(load_be16(pkt->data + 2), pkt->len);
            assert_memory_equal(pkt->data + HEADERS, text, 8);
            assert_int_equal(pkt->gso, PKT_GSO_NONE);
            /* Without offload the kernel completes checksums. */
            assert_int_equal(pkt->csum_start, 0);
            assert_int_equal(pkt->pool_class, 0);
            assert_int_equal(pkt_headroom(pkt), PKT_HEADROOM);
        }
        pkt_batch_free(pool, &batch);
    }
    assert_int_equal(tun_read_batch(t, pool, &batch), 0);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* An MTU above PKT_SMALL_MAX: such packets arrive whole, in large buffers. */
static void test_read_large_mtu(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 9000);
    struct pkt_pool *pool = pkt_pool_new(PKT_BATCH_MAX + 1, 2);
    int fd = open_host_socket();
    struct pkt_batch batch;
    uint8_t data[5000];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 11 + i / 256);
    host_send(fd, data, sizeof(data));
    host_send(fd, data, PKT_SMALL_MAX - HEADERS);
    read_ours(t, pool, &batch);
    assert_int_equal(batch.v[0]->len, HEADERS + sizeof(data));
    assert_int_equal(batch.v[0]->pool_class, 1);
    assert_memory_equal(batch.v[0]->data + HEADERS, data, sizeof(data));
    if (batch.n == 1) {
        pkt_batch_free(pool, &batch);
        read_ours(t, pool, &batch);
    } else {
        pkt_free(pool, batch.v[0]);
        batch.v[0] = batch.v[--batch.n];
    }
    assert_int_equal(batch.v[0]->len, PKT_SMALL_MAX);
    assert_int_equal(batch.v[0]->pool_class, 0);
    assert_memory_equal(batch.v[0]->data + HEADERS, data, PKT_SMALL_MAX - HEADERS);
    pkt_batch_free(pool, &batch);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* An empty pool: the device is drained all the same, and the drops are counted. */
static void test_read_without_buffers(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 9000);
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *only = pkt_new(pool, 100);
    int fd = open_host_socket();
    struct pollfd p = {.fd = tun_fd(t), .events = POLLIN};
    struct pkt_batch batch;
    uint8_t data[5000] = {0};

    host_send(fd, "a", 1);
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(tun_read_batch(t, pool, &batch), 0);
    assert_true(drops.n[DROP_NO_BUFFER] >= 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    pkt_free(pool, only);

    /* A small buffer is there, but not the large one that is needed. */
    drops.n[DROP_NO_BUFFER] = 0;
    host_send(fd, data, sizeof(data));
    assert_int_equal(tun_read_batch(t, pool, &batch), 0);
    assert_true(drops.n[DROP_NO_BUFFER] >= 1);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* IPv4 and UDP headers from 10.200.1.2 to 10.200.1.1 in front of len bytes; UDP checksum 0. */
static struct pkt *make_udp(struct pkt_pool *pool, const void *data, uint16_t len)
{
    struct pkt *pkt = pkt_new(pool, (size_t)len + HEADERS);
    uint8_t *p;

    assert_non_null(pkt);
    p = pkt->data;
    pkt->len = len + (uint32_t)HEADERS;
    memset(p, 0, HEADERS);
    p[0] = 0x45;
    store_be16(p + 2, (uint16_t)pkt->len);
    p[8] = 64;
    p[9] = IPPROTO_UDP;
    store_be32(p + 12, 0x0ac80102);
    store_be32(p + 16, 0x0ac80101);
    store_be16(p + 10, csum_fold(csum_add(0, p, 20)));
    store_be16(p + 20, PORT);
    store_be16(p + 22, PORT);
    store_be16(p + 24, (uint16_t)(len + 8));
    memcpy(p + HEADERS, data, len);
    return pkt;
}

/* Ask the kernel to complete the UDP checksum. */
static void make_partial(struct pkt *pkt)
{
    struct ip_addr src, dst;

    ip_addr_parse("10.200.1.2", &src);
    ip_addr_parse("10.200.1.1", &dst);
    pkt->csum_start = 20;
    pkt->csum_offset = UDP_CSUM;
    store_be16(pkt->data + 20 + UDP_CSUM,
               csum_fold_partial(csum_pseudo(&src, &dst, IPPROTO_UDP, pkt->len - 20)));
}

static ssize_t host_recv(int fd, uint8_t *data, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 5000), 1);
    return recv(fd, data, size, 0);
}

static void test_write(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 1500);
    struct pkt_pool *pool = pkt_pool_new(4, 0);
    int fd = open_host_socket();
    struct pkt *partial = make_udp(pool, "partial", 7);
    uint8_t got[64];

    assert_int_equal(tun_write(t, pool, make_udp(pool, "complete", 8)), 0);
    assert_int_equal(host_recv(fd, got, sizeof(got)), 8);
    assert_memory_equal(got, "complete", 8);
    make_partial(partial);
    assert_int_equal(tun_write(t, pool, partial), 0);
    assert_int_equal(host_recv(fd, got, sizeof(got)), 7);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

static void test_write_errors(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 1500);
    struct pkt_pool *pool = pkt_pool_new(4, 0);
    struct netlink *nl = NULL;
    struct pkt *pkt;

    assert_int_equal(tun_write(t, pool, pkt_new(pool, 100)), -EINVAL); /* empty */
    pkt = make_udp(pool, "x", 1);
    pkt->data[0] = 0x75; /* IP version 7 */
    assert_int_equal(tun_write(t, pool, pkt), -EINVAL);
    pkt = make_udp(pool, "x", 1);
    pkt->csum_start = 28; /* the field would lie behind the end */
    pkt->csum_offset = 6;
    assert_int_equal(tun_write(t, pool, pkt), -EINVAL);
    pkt = make_udp(pool, "x", 1);
    pkt->gso = PKT_GSO_UDP; /* a super-packet with complete checksums */
    pkt->gso_size = 1;
    assert_int_equal(tun_write(t, pool, pkt), -EINVAL);

    assert_int_equal(netlink_open(&nl), 0);
    assert_int_equal(netlink_link_set_up(nl, tun_ifindex(t), false), 0);
    netlink_close(nl);
    assert_int_equal(tun_write(t, pool, make_udp(pool, "x", 1)), -EIO);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    tun_close(t);
    pkt_pool_free(pool);
}

/* The interface is deleted by someone else while it is open. */
static void test_deleted(void **state)
{
    struct tun *t = open_tun((struct tun_opts){0}, 1500);
    struct pkt_pool *pool = pkt_pool_new(4, 0);
    struct pkt_batch batch;

    assert_int_equal(system("ip link delete mpqt"), 0);
    assert_int_equal(tun_read_batch(t, pool, &batch), -EBADFD);
    assert_int_equal(tun_write(t, pool, make_udp(pool, "x", 1)), -EBADFD);
    tun_close(t);
    pkt_pool_free(pool);
}

/* With offload a UDP burst of the host arrives as one super-packet (where the kernel has USO, else
 * as datagrams with partial checksums), and written back it reaches a socket as it was. */
static void test_super_packet_round_trip(void **state)
{
    struct tun *t = open_tun((struct tun_opts){.offload = true}, 1500);
    struct pkt_pool *pool = pkt_pool_new(PKT_BATCH_MAX + 1, 4);
    int fd = open_host_socket(), seg = 1000;
    uint8_t data[7500], got[2000];
    struct pkt_batch batch;
    struct pkt *pkt;

    assert_true(tun_has_offload(t));
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 13 + i / 256);
    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &seg, sizeof(seg)), 0);
    host_send(fd, data, sizeof(data));
    read_ours(t, pool, &batch);
    pkt = batch.v[0];
    assert_int_equal(pkt->csum_start, 20);
    assert_int_equal(pkt->csum_offset, UDP_CSUM);
    if (!tun_has_uso(t)) {
        assert_int_equal(pkt->len, HEADERS + 1000);
        assert_int_equal(pkt->pool_class, 0);
    } else {
        assert_int_equal(batch.n, 1);
        assert_int_equal(pkt->gso, PKT_GSO_UDP);
        assert_int_equal(pkt->gso_size, 1000);
        assert_int_equal(pkt->len, HEADERS + sizeof(data));
        assert_int_equal(pkt->pool_class, 1);
        assert_memory_equal(pkt->data + HEADERS, data, sizeof(data));
        /* Turn it round: the addresses swapped leave every checksum as it is. */
        store_be32(pkt->data + 12, 0x0ac80102);
        store_be32(pkt->data + 16, 0x0ac80101);
        batch.n = 0;
        assert_int_equal(tun_write(t, pool, pkt), 0);
        for (size_t off = 0; off < sizeof(data); off += 1000) {
            size_t len = MIN(sizeof(data) - off, 1000);

            assert_int_equal(host_recv(fd, got, sizeof(got)), len);
            assert_memory_equal(got, data + off, len);
        }
    }
    pkt_batch_free(pool, &batch);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* With offload on, a small packet does not keep a large buffer, nor a middling one. */
static void test_small_packet_with_offload(void **state)
{
    struct tun *t = open_tun((struct tun_opts){.offload = true}, 9000);
    struct pkt_pool *pool = pkt_pool_new(4, 1);
    int fd = open_host_socket();
    struct pkt *held[PKT_MEDIUM_PER_LARGE];
    static uint8_t big[5000];
    struct pkt_batch batch;

    host_send(fd, "small", 5);
    read_ours(t, pool, &batch);
    assert_int_equal(batch.v[0]->pool_class, 0);
    assert_memory_equal(batch.v[0]->data + HEADERS, "small", 5);
    assert_int_equal(pkt_pool_in_use(pool), batch.n);
    pkt_batch_free(pool, &batch);
    host_send(fd, big, sizeof(big));
    read_ours(t, pool, &batch);
    assert_int_equal(batch.v[0]->pool_class, 1);
    pkt_batch_free(pool, &batch);
    for (int i = 0; i < PKT_MEDIUM_PER_LARGE; i++)
        held[i] = pkt_new(pool, PKT_MEDIUM_MAX);
    host_send(fd, big, sizeof(big)); /* rather in a large one than not at all */
    read_ours(t, pool, &batch);
    assert_int_equal(batch.v[0]->pool_class, 2);
    pkt_batch_free(pool, &batch);
    for (int i = 0; i < PKT_MEDIUM_PER_LARGE; i++)
        pkt_free(pool, held[i]);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* --- a kernel that has less ------------------------------------------------------------- */

static unsigned granted; /* offloads that set_some() grants */
static unsigned n_asked;

static int set_some(int fd, unsigned flags)
{
    n_asked++;
    return flags & ~granted ? -EINVAL : 0;
}

static int set_nothing(int fd, unsigned flags)
{
    return -ENOTTY;
}

static void test_less_offload(void **state)
{
    enum { TSO = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, USO = TUN_F_USO4 | TUN_F_USO6 };
    static const struct {
        unsigned granted, asked;
        bool offload, uso;
    } cases[] = {
        {TSO | TUN_F_TSO_ECN | USO, 1, true, true},
        {TSO | TUN_F_TSO_ECN, 2, true, false},
        {TSO, 3, true, false},
        {TUN_F_CSUM | TUN_F_TSO4, 4, false, false},
        {0, 4, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct tun *t;

        granted = cases[i].granted;
        n_asked = 0;
        t = open_tun((struct tun_opts){.offload = true, .set_offload = set_some}, 1500);
        assert_int_equal(n_asked, cases[i].asked);
        assert_int_equal(tun_has_offload(t), cases[i].offload);
        assert_int_equal(tun_has_uso(t), cases[i].uso);
        tun_close(t);
        n_asked = 0;
        t = open_tun((struct tun_opts){.set_offload = set_some}, 1500); /* not wanted */
        assert_int_equal(n_asked, 1);
        assert_false(tun_has_offload(t));
        tun_close(t);
        t = open_tun((struct tun_opts){.offload = true, .set_offload = set_nothing}, 1500);
        assert_false(tun_has_offload(t) || tun_has_uso(t));
        tun_close(t);
    }
}

/* Without USO a UDP super-packet, of a peer that has it, reaches the host in datagrams. */
static void test_udp_super_packet_is_cut(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 1);
    uint8_t data[3500], got[2000];
    struct tun *t;
    struct pkt *pkt;
    int fd;

    granted = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    t = open_tun((struct tun_opts){.offload = true, .set_offload = set_some}, 1500);
    fd = open_host_socket();
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    pkt = make_udp(pool, data, sizeof(data));
    pkt->gso = PKT_GSO_UDP;
    pkt->gso_size = 1000;
    pkt->csum_start = 20;
    pkt->csum_offset = UDP_CSUM;
    super_finish(pkt);
    assert_int_equal(tun_write(t, pool, pkt), 0);
    for (size_t off = 0; off < sizeof(data); off += 1000) {
        size_t len = MIN(sizeof(data) - off, 1000);

        assert_int_equal(host_recv(fd, got, sizeof(got)), len);
        assert_memory_equal(got, data + off, len);
    }
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

/* A batch of super-packets ends with its bytes; where the kernel cuts them, with its packets. */
static void read_batches(struct tun *t)
{
    struct pkt_pool *pool = pkt_pool_new(PKT_BATCH_MAX + 1, 32);
    int fd = open_host_socket(), seg = 1000;
    static uint8_t data[60000];
    struct pkt_batch batch;
    uint32_t bytes = 0;

    assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &seg, sizeof(seg)), 0);
    for (int i = 0; i < 20; i++)
        host_send(fd, data, sizeof(data));
    assert_true(tun_read_batch(t, pool, &batch) > 0);
    for (unsigned i = 0; i < batch.n; i++)
        bytes += batch.v[i]->len;
    if (tun_has_uso(t))
        assert_in_range(bytes, TUN_BATCH_BYTES - 60000, TUN_BATCH_BYTES + 65535);
    else
        assert_int_equal(batch.n, PKT_BATCH_MAX);
    pkt_batch_free(pool, &batch);
    assert_true(tun_read_batch(t, pool, &batch) > 0); /* the rest is there */
    pkt_batch_free(pool, &batch);
    close(fd);
    tun_close(t);
    pkt_pool_free(pool);
}

static void test_a_batch_ends(void **state)
{
    read_batches(open_tun((struct tun_opts){.offload = true}, 1500));
    granted = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    read_batches(open_tun((struct tun_opts){.offload = true, .set_offload = set_some}, 1500));
}

/* TCP through the device: whatever the host sends comes back with its addresses swapped (which
 * leaves every checksum right), so a connection to the far side's address ends at a listener of
 * the host. Super-packets are read and written as they are. */

static void reflect(struct tun *t, struct pkt_pool *pool, uint8_t gso, unsigned *ret_super)
{
    struct pkt_batch batch;

    assert_true(tun_read_batch(t, pool, &batch) >= 0);
    for (unsigned i = 0; i < batch.n; i++) {
        struct pkt *pkt = batch.v[i];
        bool v4 = pkt->data[0] >> 4 == 4;
        uint8_t src[16], *at = pkt->data + (v4 ? 12 : 8), len = v4 ? 4 : 16;

        *ret_super += pkt->gso == gso;
        memcpy(src, at, len);
        memmove(at, at + len, len);
        memcpy(at + len, src, len);
        assert_int_equal(tun_write(t, pool, pkt), 0);
    }
}

static int host_listen(const struct net_addr *self)
{
    int fd = socket(self->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, &self->sa, self->len), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Read what has arrived; the stream's byte number i is (uint8_t)(i / 3). */
static size_t drain(int fd, size_t had)
{
    static uint8_t data[65536];
    ssize_t n;

    while ((n = recv(fd, data, sizeof(data), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < n; i++, had++) {
            if (data[i] != (uint8_t)(had / 3))
                fail_msg("byte %zu of the stream is wrong", had);
        }
    }
    return had;
}

static void check_tcp(const char *self, const char *far, uint8_t gso)
{
    enum { TOTAL = 3 * 256 * 2048, TURNS_MAX = 100000 };
    struct tun *t = open_tun((struct tun_opts){.offload = true}, 1500);
    struct pkt_pool *pool = pkt_pool_new(4 * PKT_BATCH_MAX, 2 * PKT_BATCH_MAX);
    uint8_t *data = malloc(TOTAL);
    size_t sent = 0, got = 0;
    unsigned n_super = 0;
    struct ip_addr a, b;
    struct net_addr listen_at, connect_to;
    int listener, client, server = -1;

    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (uint8_t)(i / 3);
    assert_int_equal(ip_addr_parse(self, &a), 0);
    assert_int_equal(ip_addr_parse(far, &b), 0);
    listen_at = net_addr_make(&a, 5000);
    connect_to = net_addr_make(&b, 5000);
    listener = host_listen(&listen_at);
    client = socket(connect_to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, &connect_to.sa, connect_to.len), -1);
    assert_int_equal(errno, EINPROGRESS);
    for (int turn = 0; turn < TURNS_MAX && got < TOTAL; turn++) {
        struct pollfd p = {.fd = tun_fd(t), .events = POLLIN};
        ssize_t n = send(client, data + sent, TOTAL - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        assert_true(poll(&p, 1, 1000) >= 0);
        reflect(t, pool, gso, &n_super);
        if (server < 0)
            server = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (server >= 0)
            got = drain(server, got);
    }
    assert_int_equal(got, TOTAL);
    assert_true(n_super > 0);
    assert_int_equal(drops.n[DROP_NO_BUFFER] + drops.n[DROP_MALFORMED], 0);
    assert_int_equal(pkt_pool_in_use(pool), 0);
    close(client);
    close(server);
    close(listener);
    free(data);
    tun_close(t);
    pkt_pool_free(pool);
}

static void test_tcp_super_packets_v4(void **state)
{
    check_tcp("10.200.1.1", "10.200.1.2", PKT_GSO_TCP4);
}

static void test_tcp_super_packets_v6(void **state)
{
    check_tcp("fd00:1::1", "fd00:1::2", PKT_GSO_TCP6);
}

static struct pkt *blank(struct pkt_pool *pool, uint32_t len)
{
    struct pkt *pkt = pkt_new(pool, len);

    assert_non_null(pkt);
    memset(pkt->data, 0, len);
    pkt->len = len;
    return pkt;
}

static void test_vnet_to_pkt(void **state)
{
    static const struct {
        struct virtio_net_hdr h;
        bool ok;
        uint8_t gso;
    } cases[] = {
        {{.gso_type = VIRTIO_NET_HDR_GSO_NONE}, true, PKT_GSO_NONE},
        /* "The checksum is valid" is not transported. */
        {{.flags = VIRTIO_NET_HDR_F_DATA_VALID}, true, PKT_GSO_NONE},
        {{.flags = 1, .csum_start = 20, .csum_offset = 16}, true, PKT_GSO_NONE},
        {{.flags = 1, .csum_start = 20, .csum_offset = 78}, true, PKT_GSO_NONE},
        {{.flags = 1, .csum_start = 20, .csum_offset = 79}, false, 0},
        {{.flags = 1, .csum_start = 65535, .csum_offset = 65535}, false, 0},
        {{.flags = 1, .csum_start = 0, .csum_offset = 10}, false, 0},
        {{.flags = 1, .csum_start = 20, .csum_offset = 16, .gso_type = 1, .gso_size = 50},
         true,
         PKT_GSO_TCP4},
        {{.flags = 1, .csum_start = 40, .csum_offset = 16, .gso_type = 0x84, .gso_size = 50},
         true,
         PKT_GSO_TCP6},
        {{.flags = 1, .csum_start = 20, .csum_offset = 6, .gso_type = 5, .gso_size = 50},
         true,
         PKT_GSO_UDP},
        {{.flags = 1, .csum_start = 20, .csum_offset = 6, .gso_type = 5}, false, 0},
        {{.gso_type = 1, .gso_size = 50}, false, 0},
        /* UDP fragmentation offload was never asked for. */
        {{.flags = 1, .csum_start = 20, .csum_offset = 6, .gso_type = 3, .gso_size = 50}, false, 0},
    };
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = blank(pool, 100);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(vnet_to_pkt(&cases[i].h, pkt), cases[i].ok);
        if (!cases[i].ok)
            continue;
        assert_int_equal(pkt->gso, cases[i].gso);
        assert_int_equal(pkt->gso_size, cases[i].h.gso_size);
        assert_int_equal(pkt->csum_start, cases[i].h.csum_start);
        assert_int_equal(pkt->csum_offset, cases[i].h.csum_offset);
    }
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

static void test_vnet_from_pkt(void **state)
{
    struct pkt_pool *pool = pkt_pool_new(1, 0);
    struct pkt *pkt = blank(pool, 200);
    struct virtio_net_hdr h = {0};

    pkt->gso = PKT_GSO_TCP6;
    pkt->gso_size = 50;
    pkt->csum_start = 40;
    pkt->csum_offset = 16;
    pkt->data[40 + 12] = 8 << 4; /* TCP header of 32 bytes */
    assert_true(vnet_from_pkt(pkt, &h));
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV6);
    assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(h.hdr_len, 72);
    assert_int_equal(h.gso_size, 50);

    pkt->data[40 + 12] = 4 << 4; /* shorter than a TCP header */
    assert_false(vnet_from_pkt(pkt, &h));
    pkt->data[40 + 12] = 15 << 4;
    pkt->len = 90; /* shorter than its headers */
    assert_false(vnet_from_pkt(pkt, &h));
    pkt->len = 200;
    pkt->gso_size = 0;
    assert_false(vnet_from_pkt(pkt, &h));
    pkt->gso_size = 50;
    pkt->gso = PKT_GSO_COUNT;
    assert_false(vnet_from_pkt(pkt, &h));
    assert_int_equal(h.hdr_len, 72);

    pkt->gso = PKT_GSO_UDP;
    pkt->csum_offset = 6;
    assert_true(vnet_from_pkt(pkt, &h));
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
    assert_int_equal(h.hdr_len, 48);
    pkt_free(pool, pkt);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_create_is_idempotent),
        cmocka_unit_test(test_foreign_is_refused),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_large_mtu),
        cmocka_unit_test(test_read_without_buffers),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_deleted),
        cmocka_unit_test(test_super_packet_round_trip),
        cmocka_unit_test(test_small_packet_with_offload),
        cmocka_unit_test(test_less_offload),
        cmocka_unit_test(test_udp_super_packet_is_cut),
        cmocka_unit_test(test_a_batch_ends),
        cmocka_unit_test(test_tcp_super_packets_v4),
        cmocka_unit_test(test_tcp_super_packets_v6),
        cmocka_unit_test(test_vnet_to_pkt),
        cmocka_unit_test(test_vnet_from_pkt),
    };

    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
