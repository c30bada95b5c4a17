/* A WAN between two network interfaces: every Ethernet frame that arrives at one is carried to
 * the other as the link model in wanlink.h says.
 *
 *   usage: wanemu [-s SEED] [-n PACKETS] [-c SOCKET] PORT-A PORT-B [COMMAND]...
 *
 *        edge --- PORT-A [ up: A to B | down: B to A ] PORT-B --- provider
 *
 * Commands, on the command line and over SOCKET (a sequenced-packet Unix socket, one command and
 * one answer per message):
 *   set up|down|both KEY=VALUE ...   change the link from now on (keys: wanparams.h)
 *   play FILE [TIME]                 change it as the trace says (wantrace.h), from TIME of it on;
 * a `set` holds until the next step, but for cut= stop                             play no further:
 * what holds now stays get                              counters and lateness as JSON reset
 * counters and lateness to zero quit The answer begins with "ok", with "{", or with "error:".
 *
 * Memory is allocated once, PACKETS frames. How late packets were sent, against the time the model
 * computed, is recorded: a measurement that was disturbed by a busy machine can be told from one
 * that was not. Runs with real-time priority where it may.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/util.h"
#include "lab/wanlink.h"
#include "lab/wantrace.h"

enum { BATCH = 64, CLIENTS_MAX = 4, MESSAGE_MAX = 4096, DEFAULT_PACKETS = 8192 };
enum { FD_PORT_A, FD_PORT_B, FD_LISTEN, FD_CLIENT, FD_COUNT = FD_CLIENT + CLIENTS_MAX };

/* How late frames left. */
struct lateness {
    uint64_t max_ns, sum_ns, n, over_1ms;
};

struct direction {
    struct wan_link link;
    int from_fd, to_fd;
    struct lateness late;
    uint64_t no_memory;  /* frames dropped because the pool was empty */
    uint64_t send_error; /* frames that the kernel refused */
    uint64_t missed;     /* frames that the kernel dropped before we read them */
};

struct emulator {
    struct direction dir[2]; /* WAN_UP, WAN_DOWN */
    struct wan_trace trace;  /* n = 0: none plays */
    uint64_t trace_from_ns;  /* when its time was 0 */
    uint64_t change_ns;      /* its next step; UINT64_MAX = none */
    struct wan_packet *pool, *free;
    struct pollfd fds[FD_COUNT];
    bool quit;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    stopped = 1;
}

/* ---- frames ---- */

static struct wan_packet *frame_take(struct emulator *e)
{
    struct wan_packet *p = e->free;

    if (p)
        e->free = p->next;
    return p;
}

static void frame_give(struct emulator *e, struct wan_packet *p)
{
    p->next = e->free;
    e->free = p;
}

static int pool_init(struct emulator *e, unsigned n)
{
    e->pool = calloc(n, sizeof(*e->pool));
    if (!e->pool)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        memset(e->pool[i].data, 0, WAN_FRAME_MAX); /* touch it now, not under load */
        frame_give(e, &e->pool[i]);
    }
    return 0;
}

/* ---- ports ---- */

static int port_open(const char *ifname)
{
    struct packet_mreq promisc = {.mr_type = PACKET_MR_PROMISC};
    struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int on = 1, buffer = 8 << 20, fd, r;

    addr.sll_ifindex = (int)if_nametoindex(ifname);
    promisc.mr_ifindex = addr.sll_ifindex;
    if (!addr.sll_ifindex)
        return -errno;
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* Best effort: the buffer is a limit of root's, the bypass an economy. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    (void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* Without a free frame the packet is read and forgotten, as a full device would. */
static bool port_discard(struct direction *d)
{
    char byte;

    if (recv(d->from_fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) < 0)
        return false;
    d->no_memory++;
    return true;
}

static void port_receive(struct emulator *e, struct direction *d)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct wan_packet *p = frame_take(e);
        ssize_t n;

        if (!p) {
            if (!port_discard(d))
                return;
            continue;
        }
        n = recv(d->from_fd, p->data, WAN_FRAME_MAX, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0) {
            frame_give(e, p);
            return;
        }
        p->len = (uint32_t)n;
        if (n > WAN_FRAME_MAX) {
            d->link.counters.in_packets++;
            d->link.counters.in_bytes += (uint64_t)n;
            d->link.counters.dropped[WAN_DROP_MTU]++;
            frame_give(e, p);
        } else if (!wan_link_push(&d->link, p, clock_mono_ns())) {
            frame_give(e, p);
        }
    }
}

static void note_lateness(struct lateness *l, uint64_t late_ns)
{
    l->n++;
    l->sum_ns += late_ns;
    l->max_ns = MAX(l->max_ns, late_ns);
    l->over_1ms += late_ns > NS_PER_MS;
}

static void port_send(struct emulator *e, struct direction *d)
{
    uint64_t now_ns = clock_mono_ns();
    struct wan_packet *p;
    bool lost;

    while ((p = wan_link_pop(&d->link, now_ns, &lost))) {
        if (!lost) {
            if (send(d->to_fd, p->data, p->len, MSG_DONTWAIT) < 0)
                d->send_error++;
            note_lateness(&d->late, now_ns > p->due_ns ? now_ns - p->due_ns : 0);
        }
        frame_give(e, p);
    }
}

/* ---- commands ---- */

/* Text that grows in a buffer and stops at its end. */
struct text {
    char *buf;
    size_t size, len;
};

static void __attribute__((format(printf, 2, 3))) text_add(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->len = MIN(t->len + (size_t)n, t->size - 1);
}

static void direction_report(struct direction *d, struct text *t)
{
    struct tpacket_stats stats = {0};
    socklen_t len = sizeof(stats);
    const struct wan_counters *c = &d->link.counters;
    const struct wan_params *p = &d->link.params;

    if (getsockopt(d->from_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
        d->missed += stats.tp_drops; /* reading them clears them */
    text_add(t,
             "{\"in_packets\":%" PRIu64 ",\"in_bytes\":%" PRIu64 ",\"out_packets\":%" PRIu64
             ",\"out_bytes\":%" PRIu64,
             c->in_packets, c->in_bytes, c->out_packets, c->out_bytes);
    for (unsigned i = 0; i < WAN_DROP_COUNT; i++)
        text_add(t, ",\"drop_%s\":%" PRIu64, wan_drop_name(i), c->dropped[i]);
    text_add(t, ",\"no_memory\":%" PRIu64 ",\"send_error\":%" PRIu64 ",\"missed\":%" PRIu64,
             d->no_memory, d->send_error, d->missed);
    text_add(t,
             ",\"queued_bytes\":%" PRIu64 ",\"queue_max_bytes\":%" PRIu64
             ",\"queue_limit_bytes\":%" PRIu64,
             d->link.queued_bytes, c->queue_max_bytes, wan_queue_limit(p));
    text_add(t, ",\"in_flight\":%u,\"rate_bps\":%" PRIu64 ",\"delay_us\":%" PRIu64, d->link.n_heap,
             p->rate_bps, (uint64_t)(p->delay_ns / NS_PER_US));
    text_add(t, ",\"late_max_us\":%" PRIu64 ",\"late_mean_us\":%.1f,\"late_over_1ms\":%" PRIu64 "}",
             (uint64_t)(d->late.max_ns / NS_PER_US),
             d->late.n ? (double)d->late.sum_ns / (double)d->late.n / 1e3 : 0, d->late.over_1ms);
}

static void trace_report(const struct emulator *e, uint64_t now_ns, struct text *t)
{
    uint64_t elapsed_ns = now_ns - e->trace_from_ns;

    if (e->trace.n)
        text_add(t, "{\"elapsed_us\":%" PRIu64 ",\"step\":%u,\"steps\":%u},",
                 (uint64_t)(elapsed_ns / NS_PER_US), wan_trace_step(&e->trace, elapsed_ns),
                 e->trace.n);
    else
        text_add(t, "null,");
}

static void command_get(struct emulator *e, struct text *answer)
{
    uint64_t now_ns = clock_mono_ns();

    text_add(answer, "{\"now_us\":%" PRIu64 ",\"trace\":", (uint64_t)(now_ns / NS_PER_US));
    trace_report(e, now_ns, answer);
    text_add(answer, "\"up\":");
    direction_report(&e->dir[0], answer);
    text_add(answer, ",\"down\":");
    direction_report(&e->dir[1], answer);
    text_add(answer, "}");
}

static void command_set(struct emulator *e, const char *args, struct text *answer)
{
    struct wan_params changed[2] = {e->dir[0].link.params, e->dir[1].link.params};
    size_t word = strcspn(args, " ");
    bool up = word == 2 && memcmp(args, "up", 2) == 0;
    bool down = word == 4 && memcmp(args, "down", 4) == 0;
    const char *bad;

    if (word == 4 && memcmp(args, "both", 4) == 0)
        up = down = true;
    if (!up && !down) {
        text_add(answer, "error: set what? up, down or both");
        return;
    }
    if ((up && wan_params_parse(&changed[0], args + word, &bad) < 0) ||
        (down && wan_params_parse(&changed[1], args + word, &bad) < 0)) {
        text_add(answer, "error: %.*s", (int)strcspn(bad, " "), bad);
        return;
    }
    for (unsigned i = 0; i < 2; i++)
        e->dir[i].link.params = changed[i];
    text_add(answer, "ok");
}

static void command_reset(struct emulator *e, struct text *answer)
{
    for (unsigned i = 0; i < 2; i++) {
        struct direction *d = &e->dir[i];
        struct tpacket_stats stats;
        socklen_t len = sizeof(stats);

        (void)getsockopt(d->from_fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
        memset(&d->link.counters, 0, sizeof(d->link.counters));
        memset(&d->late, 0, sizeof(d->late));
        d->no_memory = d->send_error = d->missed = 0;
    }
    text_add(answer, "ok");
}

/* ---- traces ---- */

/* What the trace says of now, for both directions. */
static void trace_apply(struct emulator *e, uint64_t now_ns)
{
    uint64_t elapsed_ns = now_ns - e->trace_from_ns, next_ns;
    const struct wan_step *s = &e->trace.step[wan_trace_step(&e->trace, elapsed_ns)];

    for (unsigned i = 0; i < WAN_DIRECTIONS; i++) {
        bool cut = e->dir[i].link.params.cut;

        e->dir[i].link.params = s->dir[i];
        e->dir[i].link.params.cut = cut;
    }
    next_ns = wan_trace_next_ns(&e->trace, elapsed_ns);
    e->change_ns = next_ns == UINT64_MAX ? UINT64_MAX : e->trace_from_ns + next_ns;
}

static void trace_stop(struct emulator *e)
{
    wan_trace_done(&e->trace);
    e->change_ns = UINT64_MAX;
}

/* args is "FILE" or "FILE TIME". */
static void command_play(struct emulator *e, const char *args, struct text *answer)
{
    size_t len = strcspn(args, " ");
    const char *time = args + len + strspn(args + len, " ");
    uint64_t from_ns = 0, now_ns = clock_mono_ns();
    struct wan_trace trace;
    char path[MESSAGE_MAX];
    unsigned line;
    int r;

    if (*time && (!wan_time_parse(time, strlen(time), &from_ns) || from_ns > now_ns)) {
        text_add(answer, "error: %s: no time", time);
        return;
    }
    snprintf(path, sizeof(path), "%.*s", (int)len, args);
    r = wan_trace_load(&trace, path, &line);
    if (r < 0) {
        text_add(answer, "error: %s:%u: %s", path, line, strerror(-r));
        return;
    }
    trace_stop(e);
    e->trace = trace;
    e->trace_from_ns = now_ns - from_ns;
    trace_apply(e, now_ns);
    text_add(answer, "ok");
}

static void command_run(struct emulator *e, const char *command, struct text *answer)
{
    if (strncmp(command, "set ", 4) == 0) {
        command_set(e, command + 4, answer);
    } else if (strncmp(command, "play ", 5) == 0) {
        command_play(e, command + 5, answer);
    } else if (strcmp(command, "stop") == 0) {
        trace_stop(e);
        text_add(answer, "ok");
    } else if (strcmp(command, "get") == 0) {
        command_get(e, answer);
    } else if (strcmp(command, "reset") == 0) {
        command_reset(e, answer);
    } else if (strcmp(command, "quit") == 0) {
        e->quit = true;
        text_add(answer, "ok");
    } else {
        text_add(answer, "error: set, play, stop, get, reset or quit");
    }
}

/* ---- control socket ---- */

static int control_listen(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd, r;

    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, CLIENTS_MAX) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static void control_accept(struct emulator *e)
{
    int fd = accept4(e->fds[FD_LISTEN].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    for (unsigned i = FD_CLIENT; i < FD_COUNT; i++)
        if (e->fds[i].fd < 0) {
            e->fds[i].fd = fd;
            return;
        }
    close(fd);
}

static void control_serve(struct emulator *e, struct pollfd *client)
{
    char request[MESSAGE_MAX], reply[MESSAGE_MAX];
    struct text answer = {.buf = reply, .size = sizeof(reply)};
    ssize_t n = recv(client->fd, request, sizeof(request) - 1, MSG_DONTWAIT);

    if (n > 0) {
        request[n] = '\0';
        command_run(e, request, &answer);
        n = send(client->fd, reply, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (n <= 0) {
        close(client->fd);
        client->fd = -1;
    }
}

/* ---- the loop ---- */

static void wait_for_work(struct emulator *e)
{
    uint64_t next_ns = MIN(wan_link_next_ns(&e->dir[0].link), wan_link_next_ns(&e->dir[1].link));
    uint64_t now_ns = clock_mono_ns();
    uint64_t wait_ns;
    struct timespec ts;

    next_ns = MIN(next_ns, e->change_ns);
    wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    ts = (struct timespec){.tv_sec = (time_t)(wait_ns / NS_PER_S),
                           .tv_nsec = (long)(wait_ns % NS_PER_S)};
    for (unsigned i = 0; i < FD_COUNT; i++)
        e->fds[i].revents = 0;
    (void)ppoll(e->fds, FD_COUNT, next_ns == UINT64_MAX ? NULL : &ts, NULL);
}

static void run(struct emulator *e)
{
    while (!stopped && !e->quit) {
        wait_for_work(e);
        if (e->change_ns <= clock_mono_ns())
            trace_apply(e, clock_mono_ns());
        for (unsigned i = 0; i < 2; i++) {
            port_send(e, &e->dir[i]);
            if (e->fds[FD_PORT_A + i].revents)
                port_receive(e, &e->dir[i]);
        }
        if (e->fds[FD_LISTEN].revents)
            control_accept(e);
        for (unsigned i = FD_CLIENT; i < FD_COUNT; i++)
            if (e->fds[i].revents)
                control_serve(e, &e->fds[i]);
    }
}

/* ---- start ---- */

struct options {
    uint64_t seed;
    unsigned packets;
    const char *control;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt(argc, argv, "s:n:c:")) != -1) {
        if (c == 's')
            o->seed = strtoull(optarg, NULL, 0);
        else if (c == 'n')
            o->packets = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'c')
            o->control = optarg;
        else
            return false;
    }
    return argc - optind >= 2 && o->packets >= BATCH && o->packets <= 1u << 20;
}

/* Low latency where this process may have it; says on standard error what it could not get. */
static void become_real_time(void)
{
    struct sched_param rt = {.sched_priority = 10};

    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (sched_setscheduler(0, SCHED_FIFO, &rt) < 0)
        fprintf(stderr, "wanemu: no real-time priority: %s\n", strerror(errno));
    if (mlockall(MCL_CURRENT) < 0)
        fprintf(stderr, "wanemu: memory is not locked: %s\n", strerror(errno));
}

static int emulator_init(struct emulator *e, const struct options *o, char **ports)
{
    int fd[2], r;

    for (unsigned i = 0; i < FD_COUNT; i++)
        e->fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    e->change_ns = UINT64_MAX;
    r = pool_init(e, o->packets);
    for (unsigned i = 0; r >= 0 && i < 2; i++) {
        r = wan_link_init(&e->dir[i].link, o->packets, o->seed * 2 + i);
        if (r < 0)
            break;
        r = fd[i] = port_open(ports[i]);
        if (r < 0)
            fprintf(stderr, "wanemu: %s: %s\n", ports[i], strerror(-r));
        else
            e->fds[FD_PORT_A + i].fd = fd[i];
    }
    if (r < 0)
        return r;
    e->dir[0].from_fd = e->dir[1].to_fd = fd[0];
    e->dir[1].from_fd = e->dir[0].to_fd = fd[1];
    if (o->control) {
        r = control_listen(o->control);
        if (r < 0) {
            fprintf(stderr, "wanemu: %s: %s\n", o->control, strerror(-r));
            return r;
        }
        e->fds[FD_LISTEN].fd = r;
    }
    return 0;
}

static int commands_run(struct emulator *e, char **commands)
{
    for (; *commands; commands++) {
        char reply[MESSAGE_MAX] = "";
        struct text answer = {.buf = reply, .size = sizeof(reply)};

        command_run(e, *commands, &answer);
        if (strncmp(reply, "error:", 6) == 0) {
            fprintf(stderr, "wanemu: %s: %s\n", *commands, reply);
            return -EINVAL;
        }
    }
    return 0;
}

static void farewell(struct emulator *e)
{
    char reply[MESSAGE_MAX] = "";
    struct text answer = {.buf = reply, .size = sizeof(reply)};

    command_get(e, &answer);
    fprintf(stderr, "%s\n", reply);
    for (unsigned i = 0; i < 2; i++)
        wan_link_done(&e->dir[i].link);
    trace_stop(e);
    free(e->pool);
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .packets = DEFAULT_PACKETS};
    struct emulator e = {0};

    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr, "usage: wanemu [-s SEED] [-n PACKETS] [-c SOCKET] PORT-A PORT-B "
                        "[COMMAND]...\n");
        return 2;
    }
    if (emulator_init(&e, &o, argv + optind) < 0 || commands_run(&e, argv + optind + 2) < 0)
        return 1;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    become_real_time();
    run(&e);
    if (o.control)
        unlink(o.control);
    farewell(&e);
    return 0;
}
