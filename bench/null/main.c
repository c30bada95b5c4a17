/* null-tunnel: the tunnel without QUIC.
 *
 * The same TUN device, the same UDP socket and the same cipher as the product, packed the same
 * way, with nothing between them: no handshake, no congestion control, no acknowledgement, no
 * recovery. It is the ceiling that the product is held against, and shows what each ingredient is
 * worth by leaving it out (--aead=none, --mode=packet). A benchmark tool: its keys are constants.
 *
 *   tun -> read -> packer -> seal -> one send of up to 64 records -> udp
 *   udp -> one receive of up to 64 records -> open -> unpacker -> write -> tun
 *
 * One thread; epoll, level-triggered. Each wake-up serves both sides, each up to a bound. A full
 * socket buffer stops reading the TUN device until there is room again.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "aead.h"
#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "record.h"
#include "udp.h"
#include "vnet.h"

enum { READS_PER_WAKE = 16, RECVS_PER_WAKE = 16, RECORD_SIZE_MAX = 9000 };

enum event { EVENT_TUN, EVENT_UDP, EVENT_SIGNAL };

struct options {
    const char *tun;
    struct net_addr local, peer;
    const struct aead_backend *aead;
    bool packet_mode; /* one packet per system call, no offloads */
    char role;        /* 'a' or 'b': which key is whose */
    size_t record_size;
    int buffer_bytes;
    unsigned speed_ms; /* measure the cipher alone, this long per figure */
};

struct tunnel {
    const struct options *opt;
    int tun, udp, epoll, signals;
    enum tun_offload offload;
    struct aead seal, open;
    struct packer packer;
    struct unpacker unpacker;
    size_t out_len; /* bytes of `out` that the socket did not take yet */
    uint64_t n_tun_reads, n_tun_read_bytes, n_tun_writes, n_tun_write_bytes;
    uint64_t n_sends, n_sent_records, n_recvs;
    uint64_t n_tun_bad, n_tun_write_fail, n_send_fail;
    uint8_t out[UDP_RECV_MAX];
    uint8_t in[UDP_RECV_MAX];
};

static const uint8_t keys[2][AEAD_KEY_LEN] = {"null tunnel k a", "null tunnel k b"};
static const uint8_t ivs[2][AEAD_IV_LEN] = {"null tun a", "null tun b"};

/* Ask for EPOLLOUT while records wait for the socket. */
static void tunnel_watch(struct tunnel *t)
{
    bool blocked = t->out_len > 0;
    struct epoll_event udp = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0u), .data.u32 = EVENT_UDP};
    struct epoll_event tun = {.events = blocked ? 0u : EPOLLIN, .data.u32 = EVENT_TUN};

    epoll_ctl(t->epoll, EPOLL_CTL_MOD, t->udp, &udp);
    epoll_ctl(t->epoll, EPOLL_CTL_MOD, t->tun, &tun);
}

/* Send what is in `out`. Returns false when the socket is full and the rest has to wait. Any
 * other failure loses these records, as a network would. */
static bool tunnel_send(struct tunnel *t)
{
    ssize_t n = send(t->udp, t->out, t->out_len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return false;
    if (n < 0)
        t->n_send_fail++;
    t->n_sends++;
    t->n_sent_records += (t->out_len + t->opt->record_size - 1) / t->opt->record_size;
    t->out_len = 0;
    return true;
}

/* Seal and send the batches that are full, and with all true the rest as well. Returns false when
 * the socket is full. */
static bool tunnel_flush(struct tunnel *t, bool all)
{
    unsigned batch = 1;

    if (!t->opt->packet_mode)
        batch = MIN(UDP_SEGMENTS_MAX, (unsigned)(UDP_SEND_MAX / t->opt->record_size));
    while (!packer_empty(&t->packer) && (all || packer_full_records(&t->packer) >= batch)) {
        ssize_t n = packer_take(&t->packer, batch, t->out);

        if (n < 0)
            return true; /* the cipher failed; the records are lost, their number is not reused */
        t->out_len = (size_t)n;
        if (!tunnel_send(t)) {
            tunnel_watch(t);
            return false;
        }
    }
    return true;
}

/* Read one packet from the TUN device into the stream. Returns 1, 0 when there is none. */
static int tunnel_read(struct tunnel *t, uint8_t *room)
{
    struct virtio_net_hdr hdr;
    struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {room, FRAME_PACKET_MAX}};
    ssize_t n = readv(t->tun, iov, 2);
    struct frame frame;

    if (n < 0)
        return 0;
    t->n_tun_reads++;
    if ((size_t)n <= sizeof(hdr) ||
        vnet_to_frame(&hdr, room, (size_t)n - sizeof(hdr), &frame) < 0) {
        t->n_tun_bad++;
        return 1;
    }
    t->n_tun_read_bytes += frame.len;
    packer_add(&t->packer, &frame);
    return 1;
}

/* TUN to UDP. Full batches leave at once, the rest when nothing more waits: a packet never waits
 * for another. */
static void tunnel_on_tun(struct tunnel *t)
{
    for (unsigned i = 0; i < READS_PER_WAKE; i++) {
        uint8_t *room = packer_room(&t->packer);

        if (room == NULL || tunnel_read(t, room) == 0)
            break;
        if (!tunnel_flush(t, t->opt->packet_mode))
            return;
    }
    tunnel_flush(t, true);
}

static void tunnel_write(void *arg, const struct frame *frame, uint8_t *packet)
{
    struct tunnel *t = arg;
    struct virtio_net_hdr hdr;
    struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {packet, frame->len}};

    if (vnet_from_frame(frame, packet, &hdr) < 0 || writev(t->tun, iov, 2) < 0) {
        t->n_tun_write_fail++;
        return;
    }
    t->n_tun_writes++;
    t->n_tun_write_bytes += frame->len;
}

static void tunnel_on_udp(struct tunnel *t)
{
    for (unsigned i = 0; i < RECVS_PER_WAKE; i++) {
        size_t segment;
        ssize_t n = udp_recv(t->udp, t->in, &segment);

        if (n < 0)
            break;
        t->n_recvs++;
        for (size_t at = 0; at < (size_t)n; at += segment)
            unpacker_put(&t->unpacker, t->in + at, MIN(segment, (size_t)n - at), tunnel_write, t);
    }
}

static void tunnel_on_udp_writable(struct tunnel *t)
{
    if (t->out_len > 0 && tunnel_send(t))
        tunnel_watch(t);
}

static void tunnel_loop(struct tunnel *t)
{
    for (;;) {
        struct epoll_event ev[3];
        int n = epoll_wait(t->epoll, ev, 3, -1);

        for (int i = 0; i < n; i++) {
            if (ev[i].data.u32 == EVENT_SIGNAL)
                return;
            if (ev[i].data.u32 == EVENT_TUN && t->out_len == 0)
                tunnel_on_tun(t);
            if (ev[i].data.u32 == EVENT_UDP && ev[i].events & EPOLLOUT)
                tunnel_on_udp_writable(t);
            if (ev[i].data.u32 == EVENT_UDP && ev[i].events & (EPOLLIN | EPOLLERR))
                tunnel_on_udp(t);
        }
    }
}

static void tunnel_print(const struct tunnel *t)
{
    printf("{\"tun_reads\": %" PRIu64 ", \"tun_read_bytes\": %" PRIu64 ", \"tun_writes\": %" PRIu64
           ", \"tun_write_bytes\": %" PRIu64 ", \"sends\": %" PRIu64 ", \"sent_records\": %" PRIu64
           ", \"recvs\": %" PRIu64 ", \"recv_records\": %" PRIu64 ", \"gaps\": %" PRIu64
           ", \"bad_records\": %" PRIu64 ", \"old_records\": %" PRIu64 ", \"tun_bad\": %" PRIu64
           ", \"tun_write_fail\": %" PRIu64 ", \"send_fail\": %" PRIu64 "}\n",
           t->n_tun_reads, t->n_tun_read_bytes, t->n_tun_writes, t->n_tun_write_bytes, t->n_sends,
           t->n_sent_records, t->n_recvs, t->unpacker.n_records, t->unpacker.n_gaps,
           t->unpacker.n_bad, t->unpacker.n_old, t->n_tun_bad, t->n_tun_write_fail, t->n_send_fail);
    fflush(stdout);
}

static int epoll_add(int epoll, int fd, enum event event)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = event};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int tunnel_open_fds(struct tunnel *t)
{
    const struct options *opt = t->opt;
    sigset_t set;
    int r;

    t->tun = tun_open(opt->tun, !opt->packet_mode, &t->offload);
    if (t->tun < 0)
        return t->tun;
    t->udp = udp_open(&opt->local, &opt->peer, opt->packet_mode ? 0 : (unsigned)opt->record_size,
                      opt->buffer_bytes);
    if (t->udp < 0)
        return t->udp;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    t->signals = signalfd(-1, &set, SFD_CLOEXEC);
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->signals < 0 || t->epoll < 0)
        return -errno;
    r = epoll_add(t->epoll, t->tun, EVENT_TUN);
    if (r == 0)
        r = epoll_add(t->epoll, t->udp, EVENT_UDP);
    if (r == 0)
        r = epoll_add(t->epoll, t->signals, EVENT_SIGNAL);
    return r;
}

static void tunnel_close(struct tunnel *t)
{
    int fds[] = {t->tun, t->udp, t->epoll, t->signals};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    packer_done(&t->packer);
    unpacker_done(&t->unpacker);
    aead_done(&t->seal);
    aead_done(&t->open);
}

static int tunnel_open(struct tunnel *t)
{
    int own = t->opt->role == 'b';
    int r = aead_init(&t->seal, t->opt->aead, keys[own], ivs[own]);

    if (r == 0)
        r = aead_init(&t->open, t->opt->aead, keys[!own], ivs[!own]);
    if (r == 0)
        r = packer_init(&t->packer, &t->seal, t->opt->record_size);
    if (r == 0)
        r = unpacker_init(&t->unpacker, &t->open);
    if (r == 0)
        r = tunnel_open_fds(t);
    return r;
}

static int tunnel_run(const struct options *opt)
{
    static struct tunnel t;
    int r;

    t = (struct tunnel){.opt = opt, .tun = -1, .udp = -1, .epoll = -1, .signals = -1};
    r = tunnel_open(&t);
    if (r == 0) {
        printf("ready: %s aead %s record %zu tun offload %s\n", opt->tun, opt->aead->name,
               opt->record_size, tun_offload_name(t.offload));
        fflush(stdout);
        tunnel_loop(&t);
        tunnel_print(&t);
    }
    tunnel_close(&t);
    if (r < 0)
        log_error("null-tunnel: %s", strerror(-r));
    return r < 0 ? 1 : 0;
}

/* Nanoseconds per call of sealing (or opening) one record after another for ms milliseconds. */
static double speed_one(const struct aead *aead, bool seal, size_t len, unsigned ms)
{
    static uint8_t plain[RECORD_SIZE_MAX], sealed[RECORD_SIZE_MAX + AEAD_TAG_LEN];
    const uint8_t aad[RECORD_HDR_LEN] = {0};
    uint64_t begin = clock_mono_ns();
    uint64_t now = begin;
    uint64_t n = 0;

    aead_seal(aead, 0, aad, sizeof(aad), plain, len, sealed);
    for (; now - begin < ms * NS_PER_MS; now = clock_mono_ns())
        for (unsigned i = 0; i < 256; i++, n++) {
            if (seal)
                aead_seal(aead, n, aad, sizeof(aad), plain, len, sealed);
            else if (aead_open(aead, 0, aad, sizeof(aad), sealed, len, plain) < 0)
                return 0;
        }
    return (double)(now - begin) / (double)n;
}

static int speed_run(const struct options *opt)
{
    size_t len = opt->record_size - RECORD_HDR_LEN - AEAD_TAG_LEN;

    printf("{");
    for (size_t i = 0; aead_backends[i] != NULL; i++) {
        struct aead seal, open;

        if (aead_init(&seal, aead_backends[i], keys[0], ivs[0]) < 0)
            continue;
        if (aead_init(&open, aead_backends[i], keys[0], ivs[0]) == 0) {
            printf("%s\"%s\": {\"bytes\": %zu, ", i == 0 ? "" : ", ", aead_backends[i]->name, len);
            printf("\"seal_ns\": %.1f, ", speed_one(&seal, true, len, opt->speed_ms));
            /* The record to open is sealed by the same context as number 0. */
            printf("\"open_ns\": %.1f}", speed_one(&open, false, len, opt->speed_ms));
            aead_done(&open);
        }
        aead_done(&seal);
    }
    printf("}\n");
    return 0;
}

static int parse_endpoint(const char *s, struct net_addr *ret)
{
    char host[IP_ADDR_STR_MAX];
    const char *colon = strrchr(s, ':');
    struct ip_addr addr;
    unsigned long port;
    char *end;

    if (colon == NULL || (size_t)(colon - s) >= sizeof(host))
        return -EINVAL;
    memcpy(host, s, (size_t)(colon - s));
    host[colon - s] = '\0';
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535 || ip_addr_parse(host, &addr) < 0)
        return -EINVAL;
    *ret = net_addr_make(&addr, (uint16_t)port);
    return 0;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: null-tunnel --tun=NAME --role=a|b --local=ADDR:PORT --peer=ADDR:PORT\n"
            "                   [--aead=BACKEND] [--mode=packed|packet] [--udp-size=BYTES]\n"
            "                   [--buffer=BYTES]\n"
            "       null-tunnel --speed=MS [--udp-size=BYTES]    the cipher alone, as JSON\n"
            "       null-tunnel --list                           the backends of this build\n");
    return 2;
}

static int list_backends(void)
{
    for (size_t i = 0; aead_backends[i] != NULL; i++)
        puts(aead_backends[i]->name);
    return 0;
}

/* Take one option. Returns 0, or -EINVAL for a value that is not allowed. */
static int option_take(struct options *opt, int c, const char *arg)
{
    switch (c) {
    case 't':
        opt->tun = arg;
        return 0;
    case 'r':
        opt->role = arg[0];
        return strcmp(arg, "a") == 0 || strcmp(arg, "b") == 0 ? 0 : -EINVAL;
    case 'l':
        return parse_endpoint(arg, &opt->local);
    case 'p':
        return parse_endpoint(arg, &opt->peer);
    case 'a':
        opt->aead = aead_backend_find(arg);
        return opt->aead != NULL ? 0 : -EINVAL;
    case 'm':
        opt->packet_mode = strcmp(arg, "packet") == 0;
        return opt->packet_mode || strcmp(arg, "packed") == 0 ? 0 : -EINVAL;
    case 'u':
        opt->record_size = strtoul(arg, NULL, 10);
        return opt->record_size > 128 && opt->record_size <= RECORD_SIZE_MAX ? 0 : -EINVAL;
    case 'b':
        opt->buffer_bytes = (int)strtol(arg, NULL, 10);
        return opt->buffer_bytes > 0 ? 0 : -EINVAL;
    case 's':
        opt->speed_ms = (unsigned)strtoul(arg, NULL, 10);
        return opt->speed_ms > 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

int main(int argc, char **argv)
{
    static const struct option longopts[] = {
        {"tun", required_argument, NULL, 't'},
        {"role", required_argument, NULL, 'r'},
        {"local", required_argument, NULL, 'l'},
        {"peer", required_argument, NULL, 'p'},
        {"aead", required_argument, NULL, 'a'},
        {"mode", required_argument, NULL, 'm'},
        {"udp-size", required_argument, NULL, 'u'},
        {"buffer", required_argument, NULL, 'b'},
        {"speed", required_argument, NULL, 's'},
        {"list", no_argument, NULL, 'L'},
        {NULL, 0, NULL, 0},
    };
    struct options opt = {
        .aead = aead_backends[0],
        .record_size = 1472,
        .buffer_bytes = 8 << 20,
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (c == 'L')
            return list_backends();
        if (option_take(&opt, c, optarg) < 0)
            return usage();
    }
    if (opt.speed_ms > 0)
        return speed_run(&opt);
    if (opt.tun == NULL || opt.role == 0 || opt.local.len == 0 || opt.peer.len == 0)
        return usage();
    return tunnel_run(&opt);
}
