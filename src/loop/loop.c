#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

enum { READY_MAX = 64, SIGNALS_MAX = 16 };

struct loop {
    int epoll_fd;
    bool no_pwait2; /* the kernel or a sandbox lacks epoll_pwait2: millisecond waits */
    bool stopped;
    int code;
    uint64_t now_ns;

    /* The batch being served; the pointer of a source that is removed meanwhile becomes NULL. */
    struct epoll_event ready[READY_MAX];
    int n_ready;

    struct heap timers;
    struct loop_link due;     /* taken from the heap, callback not yet called */
    struct loop_link pending; /* deferred work */

    struct loop_io signal_io; /* fd -1 until the first signal is added */
    struct loop_signal *signals;
    sigset_t signal_set;  /* what the descriptor receives */
    sigset_t blocked_set; /* what we blocked and have to unblock */
};

/* Circular lists with the head inside the loop. */

static void link_init(struct loop_link *head)
{
    head->next = head->prev = head;
}

static bool link_empty(const struct loop_link *head)
{
    return head->next == head;
}

static void link_append(struct loop_link *head, struct loop_link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static void link_remove(struct loop_link *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->next = l->prev = NULL;
}

/* Move the whole list behind a new head. */
static void link_take(struct loop_link *head, struct loop_link *ret)
{
    link_init(ret);
    if (link_empty(head))
        return;
    *ret = *head;
    ret->next->prev = ret->prev->next = ret;
    link_init(head);
}

/* Forget the members, so that they can be added elsewhere. */
static void link_clear(struct loop_link *head)
{
    while (!link_empty(head))
        link_remove(head->next);
}

struct loop *loop_new(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return NULL;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return NULL;
    }
    link_init(&loop->due);
    link_init(&loop->pending);
    loop->signal_io.fd = -1;
    sigemptyset(&loop->signal_set);
    sigemptyset(&loop->blocked_set);
    loop->now_ns = clock_mono_ns();
    prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    while (loop->signals)
        loop_signal_remove(loop, loop->signals);
    while (heap_top(&loop->timers))
        heap_remove(&loop->timers, heap_top(&loop->timers));
    heap_done(&loop->timers);
    link_clear(&loop->due);
    link_clear(&loop->pending);
    if (loop->signal_io.fd >= 0)
        close(loop->signal_io.fd);
    close(loop->epoll_fd);
    free(loop);
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}

/* Descriptors. */

int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    if (io->added)
        return -EEXIST;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return -errno;
    io->fd = fd;
    io->events = events;
    io->added = true;
    return 0;
}

int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};

    if (!io->added)
        return -ENOENT;
    if (io->events == events)
        return 0;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
        return -errno;
    io->events = events;
    return 0;
}

void loop_io_remove(struct loop *loop, struct loop_io *io)
{
    struct epoll_event ev = {0};

    if (!io->added)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, &ev);
    io->added = false;
    for (int i = 0; i < loop->n_ready; i++) {
        if (loop->ready[i].data.ptr == io)
            loop->ready[i].data.ptr = NULL;
    }
}

static void serve_ready(struct loop *loop)
{
    for (int i = 0; i < loop->n_ready; i++) {
        struct loop_io *io = loop->ready[i].data.ptr;
        uint32_t events;

        if (!io)
            continue;
        /* A callback before this one may have changed what the owner waits for. */
        events = loop->ready[i].events & (io->events | EPOLLERR | EPOLLHUP);
        if (events)
            io->cb(io, events);
    }
    loop->n_ready = 0;
}

/* Timers. */

static struct loop_timer *timer_of_node(struct heap_node *node)
{
    return container_of(node, struct loop_timer, node);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
    if (deadline_ns == TIME_NEVER_NS) {
        loop_timer_cancel(loop, timer);
        return;
    }
    link_remove(&timer->due);
    if (heap_set(&loop->timers, &timer->node, deadline_ns) < 0)
        link_append(&loop->due, &timer->due);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
    link_remove(&timer->due);
    heap_remove(&loop->timers, &timer->node);
}

bool loop_timer_is_set(const struct loop_timer *timer)
{
    return timer->node.place || timer->due.next;
}

/* Everything due is taken out of the heap before the first callback: a timer that is set again,
 * even for the past, waits for the next turn. */
static void serve_timers(struct loop *loop)
{
    struct loop_link now_due;
    struct heap_node *top;

    while ((top = heap_top(&loop->timers)) && top->key_ns <= loop->now_ns) {
        heap_remove(&loop->timers, top);
        link_append(&loop->due, &timer_of_node(top)->due);
    }
    link_take(&loop->due, &now_due);
    while (!link_empty(&now_due)) {
        struct loop_timer *timer = container_of(now_due.next, struct loop_timer, due);

        link_remove(&timer->due);
        timer->cb(timer);
    }
}

/* Deferred work. */

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
    if (!deferred->pending.next)
        link_append(&loop->pending, &deferred->pending);
}

void loop_defer_cancel(struct loop *loop, struct loop_deferred *deferred)
{
    link_remove(&deferred->pending);
}

static void serve_deferred(struct loop *loop)
{
    struct loop_link now_pending;

    link_take(&loop->pending, &now_pending);
    while (!link_empty(&now_pending)) {
        struct loop_deferred *d = container_of(now_pending.next, struct loop_deferred, pending);

        link_remove(&d->pending);
        d->cb(d);
    }
}

/* Signals: one descriptor for all. */

static struct loop_signal **signal_find(struct loop *loop, int signo)
{
    struct loop_signal **p = &loop->signals;

    while (*p && (*p)->signo != signo)
        p = &(*p)->next;
    return p;
}

static void on_signal_fd(struct loop_io *io, uint32_t events)
{
    struct loop *loop = io->user;
    struct signalfd_siginfo info[SIGNALS_MAX];
    ssize_t n = read(io->fd, info, sizeof(info));

    for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++) {
        struct loop_signal *sig = *signal_find(loop, (int)info[i].ssi_signo);

        if (sig)
            sig->cb(sig, sig->signo);
    }
}

/* Make the descriptor receive signal_set. */
static int signal_fd_update(struct loop *loop)
{
    struct loop_io *io = &loop->signal_io;
    int fd = signalfd(io->fd, &loop->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
    int r;

    if (fd < 0)
        return -errno;
    if (io->added)
        return 0;
    io->cb = on_signal_fd;
    io->user = loop;
    r = loop_io_add(loop, io, fd, EPOLLIN);
    if (r < 0) {
        close(fd);
        io->fd = -1;
    }
    return r;
}

int loop_signal_add(struct loop *loop, struct loop_signal *sig)
{
    sigset_t one, before;
    int r;

    sigemptyset(&one);
    if (sigaddset(&one, sig->signo) < 0)
        return -EINVAL;
    if (*signal_find(loop, sig->signo))
        return -EEXIST;
    sigaddset(&loop->signal_set, sig->signo);
    r = signal_fd_update(loop);
    if (r < 0) {
        sigdelset(&loop->signal_set, sig->signo);
        return r;
    }
    pthread_sigmask(SIG_BLOCK, &one, &before);
    if (!sigismember(&before, sig->signo))
        sigaddset(&loop->blocked_set, sig->signo);
    sig->next = loop->signals;
    loop->signals = sig;
    return 0;
}

void loop_signal_remove(struct loop *loop, struct loop_signal *sig)
{
    struct loop_signal **p = signal_find(loop, sig->signo);
    sigset_t one;

    if (*p != sig)
        return;
    *p = sig->next;
    sigdelset(&loop->signal_set, sig->signo);
    signal_fd_update(loop);
    if (!sigismember(&loop->blocked_set, sig->signo))
        return;
    sigdelset(&loop->blocked_set, sig->signo);
    sigemptyset(&one);
    sigaddset(&one, sig->signo);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

/* Waiting. */

/* Nanoseconds that the next wait may take, at most max_wait_ns. */
static uint64_t wait_ns(const struct loop *loop, uint64_t max_wait_ns)
{
    const struct heap_node *top = heap_top(&loop->timers);
    uint64_t now_ns;

    if (!link_empty(&loop->due) || !link_empty(&loop->pending))
        return 0;
    if (!top || !max_wait_ns)
        return max_wait_ns;
    now_ns = clock_mono_ns();
    return top->key_ns <= now_ns ? 0 : MIN(top->key_ns - now_ns, max_wait_ns);
}

static int wait_ready(struct loop *loop, uint64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    bool forever = ns == TIME_NEVER_NS;
    int n;

    if (!loop->no_pwait2) {
        n = epoll_pwait2(loop->epoll_fd, loop->ready, READY_MAX, forever ? NULL : &ts, NULL);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n >= 0 ? n : -errno;
        loop->no_pwait2 = true;
    }
    ns = MIN(ns, 3600 * NS_PER_S);
    n = epoll_wait(loop->epoll_fd, loop->ready, READY_MAX,
                   forever ? -1 : (int)((ns + NS_PER_MS - 1) / NS_PER_MS));
    return n >= 0 ? n : -errno;
}

int loop_turn(struct loop *loop, uint64_t max_wait_ns)
{
    int n = wait_ready(loop, wait_ns(loop, max_wait_ns));

    if (n < 0 && n != -EINTR)
        return n;
    loop->n_ready = MAX(n, 0);
    loop->now_ns = clock_mono_ns();
    serve_ready(loop);
    serve_timers(loop);
    serve_deferred(loop);
    return 0;
}

int loop_run(struct loop *loop)
{
    while (!loop->stopped) {
        int r = loop_turn(loop, TIME_NEVER_NS);

        if (r < 0)
            return r;
    }
    loop->stopped = false;
    return loop->code;
}

void loop_stop(struct loop *loop, int code)
{
    if (loop->stopped)
        return;
    loop->stopped = true;
    loop->code = code;
}
