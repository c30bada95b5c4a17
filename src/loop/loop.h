/* Event loop: descriptors, timers, signals and deferred work on one thread.
 *
 * Every source is a struct embedded in its owner, so that timers, deferred work and removals
 * cannot fail. One turn of the loop is:
 *
 *      wait (until the earliest timer) -> read the clock -> every ready descriptor once
 *           -> every timer that is due -> deferred work
 *
 * Descriptors come before timers, so that an acknowledgement that already waits in a socket is
 * seen before the retransmission timer that it would have cancelled. What a callback starts (a
 * timer already due, more deferred work) runs in the next turn: no source can starve another.
 * Callbacks must not block and must bound their work; a level-triggered descriptor that is not
 * yet drained comes back in the next turn.
 *
 * Any source may be removed, set again or freed inside any callback, its own included.
 * Not thread-safe: one loop belongs to one thread. */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/heap.h"

struct loop;

/* A descriptor. Level-triggered unless events holds EPOLLET. Set cb and user, then
 * loop_io_add(); the other fields belong to the loop (reading fd and events is fine). */
struct loop_io {
    void (*cb)(struct loop_io *io, uint32_t events); /* EPOLLIN | EPOLLOUT | EPOLLERR ... */
    void *user;
    int fd;
    uint32_t events;
    bool added;
};

/* Links of the loop's own lists; NULL when in none. */
struct loop_link {
    struct loop_link *next, *prev;
};

/* A one-shot timer. Zero-initialise, set cb and user; the rest belongs to the loop.
 * node.key_ns may be read: the deadline, while the timer is set. */
struct loop_timer {
    void (*cb)(struct loop_timer *timer);
    void *user;
    struct heap_node node;
    struct loop_link due;
};

/* Work for the end of the current turn. Zero-initialise, set cb and user. */
struct loop_deferred {
    void (*cb)(struct loop_deferred *deferred);
    void *user;
    struct loop_link pending; /* the loop's */
};

/* A signal. Set cb, user and signo. */
struct loop_signal {
    void (*cb)(struct loop_signal *sig, int signo);
    void *user;
    int signo;
    struct loop_signal *next; /* the loop's */
};

/* Make a loop; NULL with errno when the kernel or memory refuses. Sets the timer slack of the
 * calling thread to 1 microsecond (pacing needs better than the default 50). */
struct loop *loop_new(void);

/* Free the loop and restore the signals that it blocked. Sources still registered are only
 * forgotten: their owners keep the memory and the descriptors. Accepts NULL. Not to be called
 * from a callback. */
void loop_free(struct loop *loop);

/* Run turns until loop_stop(). Returns the code given to loop_stop(), or -errno when waiting
 * fails (a programming error or a broken system). */
int loop_run(struct loop *loop);

/* End loop_run() after this turn (at once, when it is not running yet). The first code wins. */
void loop_stop(struct loop *loop, int code);

/* One turn that waits at most max_wait_ns (0: only look). Returns 0 or -errno. Not to be called
 * from a callback. */
int loop_turn(struct loop *loop, uint64_t max_wait_ns);

/* CLOCK_MONOTONIC as read after the last wait (or at loop_new()). */
uint64_t loop_now_ns(const struct loop *loop);

/* Watch fd (which the caller keeps, and which should be non-blocking). Returns 0, -EEXIST when
 * io or fd is already watched, -EBADF, -EPERM (a descriptor that cannot be polled), -ENOMEM,
 * -ENOSPC. */
int loop_io_add(struct loop *loop, struct loop_io *io, int fd, uint32_t events);

/* Change the events watched for (0: only EPOLLERR and EPOLLHUP). Costs nothing when they are the
 * same. Returns 0 or -errno (-ENOENT when io is not added). */
int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events);

/* Stop watching; call before closing the descriptor. No effect when not added. */
void loop_io_remove(struct loop *loop, struct loop_io *io);

/* (Re)arm for the absolute CLOCK_MONOTONIC time; a time in the past means the next turn (or this
 * one, when set from a descriptor's callback); TIME_NEVER_NS cancels. Timers run in the order of
 * their deadlines. It cannot fail, but when memory for a timer never set before is refused the
 * timer runs in the next turn: callbacks compare the time with what they wait for. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
bool loop_timer_is_set(const struct loop_timer *timer);

/* Run deferred->cb once at the end of this turn. Called twice before it ran: runs once. */
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_defer_cancel(struct loop *loop, struct loop_deferred *deferred);

/* Receive the signal in the loop: it is blocked for the calling thread (start threads later).
 * Returns 0, -EINVAL (no such signal), -EEXIST (that signal has a source), -errno. */
int loop_signal_add(struct loop *loop, struct loop_signal *sig);
void loop_signal_remove(struct loop *loop, struct loop_signal *sig);

#endif
