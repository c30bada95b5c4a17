/* UDP at a given rate, and a count of what arrives. It costs less than what it measures: one system
 * call for many datagrams, a sleep between them and no byte looked at but the first sixteen.
 *
 *      datagrams sink ADDRESS PORT [gro]
 *      datagrams send ADDRESS PORT BYTES SEGMENTS
 *
 * The sender reads lines "STEP RATE MS" (datagrams per second, 0 for as many as possible) from
 * standard input, sends for so long and answers
 *      {"step": STEP, "sent": DATAGRAMS, "seconds": S, "failed": CALLS}
 * The sink prints, once a step has been silent for QUIET_MS,
 *      {"step": STEP, "received": DATAGRAMS, "late": DATAGRAMS, "seconds": S}
 * where late ones came after one that was sent after them. SEGMENTS above 1 hands so many datagrams
 * to the kernel as one super-packet (UDP_SEGMENT); with gro the sink takes them as such, and counts
 * no late ones.
 *
 * The sender sleeps from one burst to the next instead of watching the clock: on two processors a
 * watcher would take one away from the tunnel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    MESSAGES = 64,      /* of one system call */
    PACKET_MAX = 65536, /* a super-packet */
    SOCKET_BUFFER = 4 << 20,
    TICK_NS = 200 * 1000, /* from one burst to the next */
    BEHIND_TICKS = 10,    /* what a late sender catches up at once */
    QUIET_MS = 60,
};

/* What each datagram begins with, in host order: both ends are on one machine. */
struct mark {
    uint32_t magic, step;
    uint64_t number;
};

enum { MAGIC = 0x6d71626e };

static int fail(const char *what)
{
    fprintf(stderr, "datagrams: %s: %s\n", what, strerror(errno));
    return 1;
}

static bool parse_address(const char *address, const char *port, struct sockaddr_in *ret)
{
    *ret = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    return inet_pton(AF_INET, address, &ret->sin_addr) == 1 && ret->sin_port;
}

static int socket_open(int forced, int allowed)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = SOCKET_BUFFER;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, allowed, &size, sizeof(size));
    return fd;
}

/* ---- send ---- */

struct sender {
    int fd;
    unsigned bytes, segments;
    uint32_t step;
    uint64_t number; /* of the next datagram */
    uint64_t sent, failed;
    struct mmsghdr messages[MESSAGES];
    struct iovec parts[MESSAGES];
    uint8_t (*data)[PACKET_MAX];
};

static int sender_init(struct sender *s)
{
    int size = (int)s->bytes;

    if (s->segments > 1 && setsockopt(s->fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
        return -errno;
    s->data = calloc(MESSAGES, sizeof(*s->data));
    if (!s->data)
        return -ENOMEM;
    for (unsigned i = 0; i < MESSAGES; i++) {
        s->parts[i] = (struct iovec){s->data[i], (size_t)s->bytes * s->segments};
        s->messages[i].msg_hdr = (struct msghdr){.msg_iov = &s->parts[i], .msg_iovlen = 1};
    }
    return 0;
}

/* Send up to `count` datagrams, whole super-packets, with one call. Returns how many. */
static unsigned sender_burst(struct sender *s, uint64_t count)
{
    unsigned calls = (unsigned)MIN((count + s->segments - 1) / s->segments, (uint64_t)MESSAGES);
    int n;

    for (unsigned i = 0; i < calls; i++)
        for (unsigned k = 0; k < s->segments; k++) {
            struct mark mark = {MAGIC, s->step, s->number + i * s->segments + k};

            memcpy(s->data[i] + (size_t)k * s->bytes, &mark, sizeof(mark));
        }
    n = sendmmsg(s->fd, s->messages, calls, 0);
    if (n <= 0) {
        s->failed++;
        return 0;
    }
    s->number += (uint64_t)n * s->segments;
    s->sent += (uint64_t)n * s->segments;
    return (unsigned)n * s->segments;
}

static void sleep_until(uint64_t at_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(at_ns / NS_PER_S),
                          .tv_nsec = (long)(at_ns % NS_PER_S)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* Send what is due, in whole super-packets. Returns what is left over. */
static double sender_pay(struct sender *s, double due)
{
    while (due >= s->segments) {
        unsigned n = sender_burst(s, (uint64_t)due / s->segments * s->segments);

        if (!n)
            break;
        due -= n;
    }
    return due;
}

/* One step: `rate` datagrams per second for `ms`. */
static void sender_step(struct sender *s, uint64_t rate, uint64_t ms)
{
    uint64_t start_ns = clock_mono_ns(), end_ns = start_ns + ms * NS_PER_MS;
    double per_ns = (double)rate / 1e9, due = 0;

    s->sent = s->failed = s->number = 0;
    for (uint64_t now_ns = start_ns, last_ns = now_ns - TICK_NS; now_ns < end_ns;
         now_ns = clock_mono_ns()) {
        if (rate == 0) {
            sender_burst(s, MESSAGES * s->segments);
            continue;
        }
        due += per_ns * (double)(now_ns - last_ns);
        last_ns = now_ns;
        due = sender_pay(s, MIN(due, per_ns * TICK_NS * BEHIND_TICKS + s->segments));
        sleep_until(now_ns + TICK_NS);
    }
    printf("{\"step\": %" PRIu32 ", \"sent\": %" PRIu64 ", \"seconds\": %.6f, \"failed\": %" PRIu64
           "}\n",
           s->step, s->sent, (double)(clock_mono_ns() - start_ns) / 1e9, s->failed);
}

static int run_sender(const struct sockaddr_in *to, unsigned bytes, unsigned segments)
{
    struct sender s = {
        .fd = socket_open(SO_SNDBUFFORCE, SO_SNDBUF), .bytes = bytes, .segments = segments};
    char line[128];

    if (s.fd < 0 || connect(s.fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        return fail("socket");
    if (sender_init(&s) < 0)
        return fail("sender");
    (void)prctl(PR_SET_TIMERSLACK, 1);
    while (fgets(line, sizeof(line), stdin)) {
        uint64_t rate, ms;

        if (sscanf(line, "%" SCNu32 " %" SCNu64 " %" SCNu64, &s.step, &rate, &ms) != 3)
            return fail("STEP RATE MS");
        sender_step(&s, rate, ms);
    }
    free(s.data);
    close(s.fd);
    return 0;
}

/* ---- sink ---- */

struct sink {
    int fd;
    bool gro;
    struct mark last; /* the newest of this step */
    uint64_t received, late, first_ns, last_ns;
    struct mmsghdr messages[MESSAGES];
    struct iovec parts[MESSAGES];
    uint8_t (*data)[PACKET_MAX];
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control[MESSAGES];
};

static void sink_report(struct sink *s)
{
    if (s->received)
        printf("{\"step\": %" PRIu32 ", \"received\": %" PRIu64 ", \"late\": %" PRIu64
               ", \"seconds\": %.6f}\n",
               s->last.step, s->received, s->late, (double)(s->last_ns - s->first_ns) / 1e9);
    s->received = s->late = 0;
}

/* How many datagrams a message holds. */
static unsigned sink_segments(struct sink *s, unsigned i)
{
    struct msghdr *m = &s->messages[i].msg_hdr;
    int size = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof(size));
    return size > 0 ? (s->messages[i].msg_len + (unsigned)size - 1) / (unsigned)size : 1;
}

static void sink_count(struct sink *s, unsigned i, uint64_t now_ns)
{
    struct mark mark;

    if (s->messages[i].msg_len < sizeof(mark))
        return;
    memcpy(&mark, s->data[i], sizeof(mark));
    if (mark.magic != MAGIC)
        return;
    if (s->received && mark.step != s->last.step)
        sink_report(s);
    if (!s->received)
        s->first_ns = now_ns;
    else if (mark.number < s->last.number)
        s->late += !s->gro;
    if (!s->received || mark.number > s->last.number)
        s->last = mark;
    s->received += sink_segments(s, i);
    s->last_ns = now_ns;
}

static int sink_receive(struct sink *s)
{
    int n;

    for (unsigned i = 0; i < MESSAGES; i++) {
        s->parts[i] = (struct iovec){s->data[i], s->gro ? PACKET_MAX : sizeof(struct mark)};
        s->messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &s->parts[i],
            .msg_iovlen = 1,
            .msg_control = s->gro ? s->control[i].buf : NULL,
            .msg_controllen = s->gro ? sizeof(s->control[i].buf) : 0,
        };
    }
    n = recvmmsg(s->fd, s->messages, MESSAGES, MSG_DONTWAIT, NULL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED ? 0 : -errno;
    for (unsigned i = 0; i < (unsigned)n; i++)
        sink_count(s, i, clock_mono_ns());
    return n;
}

static int run_sink(const struct sockaddr_in *at, bool gro)
{
    struct sink s = {.fd = socket_open(SO_RCVBUFFORCE, SO_RCVBUF), .gro = gro};
    int one = 1;

    if (s.fd < 0 || bind(s.fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
        return fail("socket");
    if (gro && setsockopt(s.fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0)
        return fail("UDP_GRO");
    s.data = calloc(MESSAGES, sizeof(*s.data));
    if (!s.data)
        return fail("memory");
    printf("ready\n");
    for (;;) {
        struct pollfd p = {.fd = s.fd, .events = POLLIN};
        int n = poll(&p, 1, s.received ? QUIET_MS : -1);

        if (n == 0)
            sink_report(&s);
        else if (n > 0 && sink_receive(&s) < 0)
            return fail("receive");
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;

    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)prctl(PR_SET_PDEATHSIG, 9);
    if (argc >= 4 && parse_address(argv[2], argv[3], &address)) {
        if (strcmp(argv[1], "sink") == 0)
            return run_sink(&address, argc > 4);
        if (strcmp(argv[1], "send") == 0 && argc == 6) {
            unsigned long bytes = strtoul(argv[4], NULL, 10), segments = strtoul(argv[5], NULL, 10);

            if (bytes >= sizeof(struct mark) && segments >= 1 && segments <= 64 &&
                bytes * segments <= 65507)
                return run_sender(&address, (unsigned)bytes, (unsigned)segments);
        }
    }
    fprintf(stderr, "usage: datagrams sink ADDRESS PORT [gro]\n"
                    "       datagrams send ADDRESS PORT BYTES SEGMENTS\n");
    return 2;
}
