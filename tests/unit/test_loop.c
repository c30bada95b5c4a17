#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"

enum { LOG_MAX = 512 };

/* What happened, in order. */
static int happened[LOG_MAX];
static int n_happened;

static void note(int what)
{
    assert_true(n_happened < LOG_MAX);
    happened[n_happened++] = what;
}

static int setup(void **state)
{
    n_happened = 0;
    *state = loop_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static int fd_ready(void)
{
    return eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
}

struct test_timer {
    struct loop_timer t;
    struct loop *loop;
    int id;
    struct test_timer *victim;    /* cancelled by the callback */
    struct test_timer *successor; /* set by the callback for a time long past */
};

static void on_timer(struct loop_timer *timer)
{
    struct test_timer *t = timer->user;

    assert_false(loop_timer_is_set(timer));
    note(t->id);
    if (t->victim)
        loop_timer_cancel(t->loop, &t->victim->t);
    if (t->successor)
        loop_timer_set(t->loop, &t->successor->t, 1);
}

static void timer_init(struct test_timer *t, struct loop *loop, int id)
{
    *t = (struct test_timer){.t = {.cb = on_timer, .user = t}, .loop = loop, .id = id};
}

static void test_timers_run_in_order(void **state)
{
    static const uint64_t deadline[] = {50, 10, 40, 20, 30, 5, 60};
    static const int order[] = {5, 1, 3, 4, 2, 0, 6};
    struct loop *loop = *state;
    struct test_timer t[ARRAY_LEN(deadline)];

    for (int i = 0; i < (int)ARRAY_LEN(t); i++) {
        timer_init(&t[i], loop, i);
        loop_timer_set(loop, &t[i].t, deadline[i]);
    }
    assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_int_equal(n_happened, ARRAY_LEN(t));
    assert_memory_equal(happened, order, sizeof(order));
}

static void test_timer_waits_until_deadline(void **state)
{
    struct loop *loop = *state;
    uint64_t deadline_ns = loop_now_ns(loop) + 3 * NS_PER_MS;
    struct test_timer t;

    timer_init(&t, loop, 1);
    loop_timer_set(loop, &t.t, deadline_ns);
    assert_int_equal(loop_turn(loop, 0), 0);
    if (!n_happened)
        assert_true(loop_timer_is_set(&t.t));
    while (!n_happened)
        assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_true(loop_now_ns(loop) >= deadline_ns);
    assert_int_equal(n_happened, 1);
}

static void test_timer_moved_and_cancelled(void **state)
{
    struct loop *loop = *state;
    struct test_timer a, b;

    timer_init(&a, loop, 1);
    timer_init(&b, loop, 2);
    loop_timer_set(loop, &a.t, 10);
    loop_timer_set(loop, &b.t, 20);
    loop_timer_set(loop, &a.t, 30);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 2);
    assert_int_equal(happened[0], 2);
    loop_timer_set(loop, &a.t, 10);
    loop_timer_set(loop, &b.t, 10);
    loop_timer_cancel(loop, &a.t);
    loop_timer_set(loop, &b.t, TIME_NEVER_NS);
    assert_false(loop_timer_is_set(&b.t));
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 2);
}

static void test_timer_cancels_another_that_is_due(void **state)
{
    struct loop *loop = *state;
    struct test_timer a, b, c;

    timer_init(&a, loop, 1);
    timer_init(&b, loop, 2);
    timer_init(&c, loop, 3);
    a.victim = &b;
    loop_timer_set(loop, &a.t, 1);
    loop_timer_set(loop, &b.t, 2);
    loop_timer_set(loop, &c.t, 3);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 2);
    assert_int_equal(happened[0], 1);
    assert_int_equal(happened[1], 3);
    assert_false(loop_timer_is_set(&b.t));
}

/* A timer that is always due again must not keep the turn from ending. */
static void test_timer_set_again_runs_next_turn(void **state)
{
    struct loop *loop = *state;
    struct test_timer a;

    timer_init(&a, loop, 1);
    a.successor = &a;
    loop_timer_set(loop, &a.t, 1);
    for (int turn = 1; turn <= 5; turn++) {
        assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
        assert_int_equal(n_happened, turn);
    }
    loop_timer_cancel(loop, &a.t);
}

struct test_io {
    struct loop_io io;
    struct loop *loop;
    int id;
    struct test_io *victim; /* removed and closed by the callback */
    uint32_t then;          /* the events watched for afterwards, when not 0 */
};

static void on_io(struct loop_io *io, uint32_t events)
{
    struct test_io *t = io->user;

    note(t->id);
    if (t->victim) {
        loop_io_remove(t->loop, &t->victim->io);
        close(t->victim->io.fd);
        /* Nothing may touch it afterwards. */
        memset(&t->victim->io, 0xff, sizeof(t->victim->io));
    } else if (t->then) {
        assert_int_equal(loop_io_set(t->loop, io, t->then), 0);
    }
}

static void io_init(struct test_io *t, struct loop *loop, int id, int fd, uint32_t events)
{
    *t = (struct test_io){.io = {.cb = on_io, .user = t}, .loop = loop, .id = id};
    assert_true(fd >= 0);
    assert_int_equal(loop_io_add(loop, &t->io, fd, events), 0);
}

static void io_done(struct test_io *t)
{
    loop_io_remove(t->loop, &t->io);
    close(t->io.fd);
}

static void test_io_errors(void **state)
{
    struct loop *loop = *state;
    struct test_io a;
    struct loop_io b = {.cb = on_io};
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    io_init(&a, loop, 1, fd_ready(), EPOLLIN);
    assert_int_equal(loop_io_add(loop, &a.io, a.io.fd, EPOLLIN), -EEXIST);
    assert_int_equal(loop_io_add(loop, &b, a.io.fd, EPOLLIN), -EEXIST);
    assert_int_equal(loop_io_add(loop, &b, -1, EPOLLIN), -EBADF);
    assert_int_equal(loop_io_add(loop, &b, file, EPOLLIN), -EPERM);
    assert_int_equal(loop_io_set(loop, &b, EPOLLIN), -ENOENT);
    assert_false(b.added);
    loop_io_remove(loop, &b);
    close(file);
    io_done(&a);
}

static void test_io_mask(void **state)
{
    struct loop *loop = *state;
    struct test_io a;

    io_init(&a, loop, 1, fd_ready(), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 0);
    assert_int_equal(loop_io_set(loop, &a.io, EPOLLIN), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 2);
    io_done(&a);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 2);
}

/* Two descriptors are ready; whichever comes first removes, closes and overwrites the other. */
static void test_io_removed_by_another(void **state)
{
    struct loop *loop = *state;
    struct test_io a, b;

    io_init(&a, loop, 1, fd_ready(), EPOLLIN);
    io_init(&b, loop, 2, fd_ready(), EPOLLIN);
    a.victim = &b;
    b.victim = &a;
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 1);
    io_done(happened[0] == 1 ? &a : &b);
}

static void on_io_free(struct loop_io *io, uint32_t events)
{
    struct test_io *t = io->user;

    note(t->id);
    io_done(t);
    free(t);
}

static void test_io_frees_itself(void **state)
{
    struct loop *loop = *state;
    struct test_io *t = malloc(sizeof(*t));

    io_init(t, loop, 7, fd_ready(), EPOLLIN);
    t->io.cb = on_io_free;
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 1);
}

/* More descriptors than one wait returns, all always ready: each is served equally often. */
static void test_io_fairness(void **state)
{
    enum { N = 100, TURNS = 5 };
    struct loop *loop = *state;
    struct test_io *t = calloc(N, sizeof(*t));
    int count[N] = {0}, lo = LOG_MAX, hi = 0;

    for (int i = 0; i < N; i++)
        io_init(&t[i], loop, i, fd_ready(), EPOLLIN);
    for (int i = 0; i < TURNS; i++)
        assert_int_equal(loop_turn(loop, 0), 0);
    for (int i = 0; i < n_happened; i++)
        count[happened[i]]++;
    for (int i = 0; i < N; i++) {
        lo = MIN(lo, count[i]);
        hi = MAX(hi, count[i]);
        io_done(&t[i]);
    }
    assert_true(lo >= 1);
    assert_true(hi - lo <= 1);
    free(t);
}

struct test_deferred {
    struct loop_deferred d;
    struct loop *loop;
    int id;
    bool again;
    struct test_deferred *victim;
};

static void on_deferred(struct loop_deferred *deferred)
{
    struct test_deferred *d = deferred->user;

    note(d->id);
    if (d->again)
        loop_defer(d->loop, deferred);
    if (d->victim)
        loop_defer_cancel(d->loop, &d->victim->d);
}

static void deferred_init(struct test_deferred *d, struct loop *loop, int id)
{
    *d = (struct test_deferred){.d = {.cb = on_deferred, .user = d}, .loop = loop, .id = id};
}

static void test_deferred_once_per_turn(void **state)
{
    struct loop *loop = *state;
    struct test_deferred a, b, c;

    deferred_init(&a, loop, 1);
    deferred_init(&b, loop, 2);
    deferred_init(&c, loop, 3);
    a.again = true;
    a.victim = &b;
    loop_defer(loop, &a.d);
    loop_defer(loop, &b.d);
    loop_defer(loop, &c.d);
    loop_defer(loop, &a.d);
    assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_int_equal(n_happened, 2);
    assert_int_equal(happened[0], 1);
    assert_int_equal(happened[1], 3);
    /* Pending work keeps the loop from waiting. */
    assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_int_equal(n_happened, 3);
    loop_defer_cancel(loop, &a.d);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(n_happened, 3);
}

/* In one turn: descriptors, then timers, then deferred work. */
static void test_order_within_a_turn(void **state)
{
    struct loop *loop = *state;
    struct test_deferred d;
    struct test_timer t;
    struct test_io io;

    deferred_init(&d, loop, 3);
    timer_init(&t, loop, 2);
    loop_defer(loop, &d.d);
    loop_timer_set(loop, &t.t, 1);
    io_init(&io, loop, 1, fd_ready(), EPOLLIN);
    assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_int_equal(n_happened, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(happened[i], i + 1);
    io_done(&io);
}

static void on_stop(struct loop_timer *timer)
{
    loop_stop(timer->user, 42);
    loop_stop(timer->user, 43);
}

static void test_run_and_stop(void **state)
{
    struct loop *loop = *state;
    struct loop_timer t = {.cb = on_stop, .user = loop};

    loop_timer_set(loop, &t, loop_now_ns(loop) + NS_PER_MS);
    assert_int_equal(loop_run(loop), 42);
    loop_stop(loop, 7);
    assert_int_equal(loop_run(loop), 7);
}

static void on_signal(struct loop_signal *sig, int signo)
{
    note(signo);
}

static void test_signals(void **state)
{
    struct loop *loop = *state;
    struct loop_signal usr1 = {.cb = on_signal, .signo = SIGUSR1};
    struct loop_signal usr2 = {.cb = on_signal, .signo = SIGUSR2};
    struct loop_signal twin = usr1, bad = {.cb = on_signal, .signo = 4711};
    sigset_t now;

    assert_int_equal(loop_signal_add(loop, &usr1), 0);
    assert_int_equal(loop_signal_add(loop, &usr2), 0);
    assert_int_equal(loop_signal_add(loop, &twin), -EEXIST);
    assert_int_equal(loop_signal_add(loop, &bad), -EINVAL);
    raise(SIGUSR1);
    raise(SIGUSR2);
    assert_int_equal(loop_turn(loop, TIME_NEVER_NS), 0);
    assert_int_equal(n_happened, 2);
    assert_int_equal(happened[0] + happened[1], SIGUSR1 + SIGUSR2);
    loop_signal_remove(loop, &usr1);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    assert_false(sigismember(&now, SIGUSR1));
    assert_true(sigismember(&now, SIGUSR2));
    loop_signal_remove(loop, &usr2);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    assert_false(sigismember(&now, SIGUSR2));
}

/* Owners may outlive the loop: what was registered is forgotten. */
static void test_free_with_sources(void **state)
{
    struct loop *loop = loop_new();
    struct test_deferred d;
    struct test_timer t;
    struct test_io io;

    assert_non_null(loop);
    deferred_init(&d, loop, 1);
    timer_init(&t, loop, 2);
    io_init(&io, loop, 3, fd_ready(), EPOLLIN);
    loop_defer(loop, &d.d);
    loop_timer_set(loop, &t.t, 1);
    loop_free(loop);
    assert_false(loop_timer_is_set(&t.t));
    close(io.io.fd);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(test_timers_run_in_order),
        T(test_timer_waits_until_deadline),
        T(test_timer_moved_and_cancelled),
        T(test_timer_cancels_another_that_is_due),
        T(test_timer_set_again_runs_next_turn),
        T(test_io_errors),
        T(test_io_mask),
        T(test_io_removed_by_another),
        T(test_io_frees_itself),
        T(test_io_fairness),
        T(test_deferred_once_per_turn),
        T(test_order_within_a_turn),
        T(test_run_and_stop),
        T(test_signals),
        T(test_free_with_sources),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
