#include "wan/prober.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/exitcode.h"
#include "base/log.h"
#include "base/place.h"
#include "base/sock.h"
#include "base/util.h"
#include "helper/sandbox.h"
#include "netlink/echo.h"
#include "wan/prober_internal.h"

#define RETRY_NS (1 * NS_PER_S)
#define RESTART_MAX_NS (60 * NS_PER_S)

enum { WORDS_MAX = 64 };

struct prober {
    struct gateway_config config;
    struct wan_health health; /* the last verdicts: what a process starts from */
    struct wan_facts facts;
    bool has_facts;
    int index[GATEWAY_LINKS_MAX][WAN_FAMILIES]; /* of the interface that is probed; 0: none */
    bool complained;                            /* that a socket cannot be opened */
    struct loop *loop;
    struct loop_io io; /* the process */
    struct loop_timer timer;
    pid_t pid; /* 0: it is not there */
    uint64_t pause_ns;
    prober_fn *fn;
    void *user;
};

/* --- the process ----------------------------------------------------------------------- */

/* In the new process: nothing is left of the old one but its memory. */
static int become(const struct sandbox_user *user, pid_t parent, int fd)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP}; /* it ends with its parent */
    const char *what = "take its socket over";
    sigset_t none;
    bool same_user = false;
    int rv;

    prctl(PR_SET_NAME, "mpquic-probes");
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd != STDERR_FILENO + 1 && dup2(fd, STDERR_FILENO + 1) < 0)
        rv = -errno;
    else if (close_range(STDERR_FILENO + 2, ~0u, 0))
        rv = -errno;
    else
        rv = sandbox_enter(user, parent, &same_user, &what);
    if (rv)
        log_error("gateway: the process of the probes cannot %s: %s", what, strerror(-rv));
    return rv;
}

static int start(struct prober *p)
{
    struct sandbox_user user;
    pid_t parent = getpid();
    int pair[2], rv = sandbox_user_find(&user);

    if (rv)
        return rv;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return -errno;
    p->pid = fork();
    if (!p->pid) {
        rv = become(&user, parent, pair[1]);
        if (!rv)
            rv = prober_child_run(&p->config, &p->health, STDERR_FILENO + 1);
        _exit(rv ? EXIT_CODE_START : EXIT_CODE_OK);
    }
    rv = p->pid < 0 ? -errno : loop_io_add(p->loop, &p->io, pair[0], EPOLLIN);
    close(pair[1]);
    memset(p->index, 0, sizeof(p->index));
    if (!rv)
        return 0;
    close(pair[0]);
    p->io.fd = -1;
    if (p->pid > 0)
        waitpid(p->pid, NULL, 0); /* it ends without us at the other end */
    p->pid = 0;
    return rv;
}

static void stop(struct prober *p)
{
    if (p->io.fd >= 0) {
        loop_io_remove(p->loop, &p->io);
        close(p->io.fd);
    }
    p->io.fd = -1;
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    p->pid = 0;
}

/* Again, ever later while that does not help. */
static void start_or_later(struct prober *p)
{
    int rv = start(p);

    if (!rv) {
        if (p->has_facts)
            prober_on_facts(p, NULL);
        return;
    }
    log_error("gateway: the process of the probes cannot start: %s", strerror(-rv));
    loop_timer_set(p->loop, &p->timer, clock_mono_ns() + p->pause_ns);
    p->pause_ns = MIN(p->pause_ns * 2, RESTART_MAX_NS);
}

static void on_end(struct prober *p)
{
    stop(p);
    log_error("gateway: the process of the probes has ended; the next one in %u s",
              (unsigned)(p->pause_ns / NS_PER_S));
    loop_timer_set(p->loop, &p->timer, clock_mono_ns() + p->pause_ns);
    p->pause_ns = MIN(p->pause_ns * 2, RESTART_MAX_NS);
}

/* --- what it gets ---------------------------------------------------------------------- */

static int order(struct prober *p, const struct prober_order *o, int fd)
{
    return sock_send_fd(p->io.fd, o, sizeof(*o), fd, MSG_DONTWAIT);
}

/* Where the kernel itself says that nothing can get out there is nothing to find out. */
static bool is_usable(enum wan_reason r)
{
    return r == WAN_REASON_UP || r == WAN_REASON_PROBE || r == WAN_REASON_FOREIGN;
}

static int open_line(struct prober *p, unsigned link, enum wan_family family, int *ret_fd)
{
    const char *device = p->config.links[link].device;
    int rv;

    if (!prober_takes_socket(&p->config, link, family))
        return 0;
    rv = echo_open(family == WAN_V4 ? 4 : 6, device, ret_fd);
    if (rv && rv != -ENODEV && !p->complained)
        log_error("gateway: no echo socket can be opened on %s: %s", device, strerror(-rv));
    p->complained = rv && rv != -ENODEV;
    return rv;
}

/* Returns whether it is as it should be. */
static bool hand_line(struct prober *p, unsigned link, enum wan_family family)
{
    const struct wan_link_facts *f = &p->facts.link[link];
    struct prober_order o = {.kind = PROBER_LINE, .link = (uint8_t)link, .family = (uint8_t)family};
    _cleanup_close_ int fd = -1;
    struct wan_link_state s;
    int *index = &p->index[link][family], want;

    wan_state_of(&p->config, &p->facts, link, &s);
    want = is_usable(s.reason[family]) ? f->index : 0;
    if (*index == want)
        return true;
    if (want && open_line(p, link, family, &fd))
        return false;
    o.usable = want != 0;
    if (order(p, &o, fd))
        return false;
    *index = want;
    return true;
}

void prober_on_facts(struct prober *p, const struct wan_facts *f)
{
    bool all = true;

    if (!p)
        return;
    if (f)
        p->facts = *f;
    p->has_facts = true;
    if (p->pid <= 0)
        return;
    for (unsigned i = 0; i < p->config.n_links; i++)
        for (enum wan_family family = 0; family < WAN_FAMILIES; family++)
            if (wan_has_probe(&p->config, i, family))
                all &= hand_line(p, i, family);
    if (!all)
        loop_timer_set(p->loop, &p->timer, clock_mono_ns() + RETRY_NS);
}

static void hand_telemetry(struct prober *p, unsigned link)
{
    struct prober_order o = {.kind = PROBER_TELEMETRY, .link = (uint8_t)link};
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char path[PLACE_PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (place_control_socket(p->config.links[link].instance, path) == 0) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        memcpy(sun.sun_path, path, MIN(sizeof(path), sizeof(sun.sun_path)));
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&sun, sizeof(sun))) {
            close(fd);
            fd = -1;
        }
    }
    (void)order(p, &o, fd); /* it asks again */
}

/* --- what it says ---------------------------------------------------------------------- */

bool prober_word_is_sane(const struct gateway_config *c, const struct prober_word *w)
{
    const struct wan_verdict *v = &w->verdict;

    if (w->link >= c->n_links || w->family >= WAN_FAMILIES)
        return false;
    if (w->kind == PROBER_ASK)
        return *c->links[w->link].instance;
    return w->kind == PROBER_VERDICT && wan_has_probe(c, w->link, w->family) &&
           (unsigned)v->state < WAN_STATE_DISABLED && v->loss_percent <= 100 &&
           v->targets <= PROBE_TARGETS_MAX && v->need <= v->targets && v->answering <= v->targets;
}

static void heed(struct prober *p, const struct prober_word *w)
{
    struct wan_verdict *v = &p->health.link[w->link].probe[w->family];
    bool has_changed = v->state != w->verdict.state;

    p->pause_ns = RETRY_NS; /* it works */
    if (w->kind == PROBER_ASK) {
        hand_telemetry(p, w->link);
        return;
    }
    *v = w->verdict;
    p->facts.link[w->link].health.probe[w->family] = *v;
    p->fn(p->user, w->link, w->family, v, has_changed);
}

static void on_word(struct loop_io *io, uint32_t events)
{
    struct prober *p = io->user;

    for (unsigned i = 0; i < WORDS_MAX; i++) {
        struct prober_word w;
        ssize_t n = recv(io->fd, &w, sizeof(w), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n != sizeof(w) || !prober_word_is_sane(&p->config, &w)) {
            on_end(p);
            return;
        }
        heed(p, &w);
    }
}

/* --- life ------------------------------------------------------------------------------ */

static void on_timer(struct loop_timer *t)
{
    struct prober *p = t->user;

    if (p->pid > 0)
        prober_on_facts(p, NULL);
    else
        start_or_later(p);
}

static bool any_probe(const struct gateway_config *c)
{
    for (unsigned i = 0; i < c->n_links; i++)
        if (wan_has_probe(c, i, WAN_V4) || wan_has_probe(c, i, WAN_V6))
            return true;
    return false;
}

int prober_start(struct loop *loop, const struct gateway_config *c, const struct wan_health *before,
                 prober_fn *fn, void *user, struct prober **ret)
{
    struct prober *p;

    if (!any_probe(c)) {
        *ret = NULL;
        return 0;
    }
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->config = *c;
    p->health = *before;
    p->loop = loop;
    p->fn = fn;
    p->user = user;
    p->pause_ns = RETRY_NS;
    p->io.fd = -1;
    p->io.cb = on_word;
    p->io.user = p;
    p->timer.cb = on_timer;
    p->timer.user = p;
    start_or_later(p);
    *ret = p;
    return 0;
}

void prober_stop(struct prober *p)
{
    if (!p)
        return;
    loop_timer_cancel(p->loop, &p->timer);
    stop(p);
    free(p);
}
