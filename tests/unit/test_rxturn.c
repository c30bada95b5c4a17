#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "daemon/rxturn.h"

enum { SOCKETS = 200 };

/* Sockets with messages that wait, met in the order of their numbers. */
struct model {
    struct rxturn t;
    unsigned waiting[SOCKETS], got[SOCKETS], turns_without[SOCKETS];
};

static void turn(struct model *m)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < SOCKETS; i++) {
        unsigned n;

        if (!m->waiting[i])
            continue;
        n = rxturn_share(&m->t, i);
        n = MIN(n, m->waiting[i]);
        rxturn_take(&m->t, n);
        sum += n;
        m->waiting[i] -= n;
        m->got[i] += n;
        m->turns_without[i] = n ? 0 : m->turns_without[i] + 1;
    }
    assert_in_range(sum, 0, RXTURN_MESSAGES);
    rxturn_end(&m->t);
}

static void one_socket_takes_all(void **state)
{
    struct model m = {.waiting = {[3] = 20}};

    turn(&m);
    assert_int_equal(m.got[3], RXTURN_MESSAGES);
    turn(&m);
    turn(&m);
    assert_int_equal(m.got[3], 20);
}

static void all_are_served_in_turn(void **state)
{
    struct model m = {0};

    for (unsigned i = 0; i < SOCKETS; i++)
        m.waiting[i] = 1000000;
    for (unsigned n = 0; n < 100 * SOCKETS; n++) {
        turn(&m);
        for (unsigned i = 0; i < SOCKETS; i++)
            assert_in_range(m.turns_without[i], 0, 2 * SOCKETS);
    }
    for (unsigned i = 0; i < SOCKETS; i++)
        assert_in_range(m.got[i], 90 * RXTURN_MESSAGES, 110 * RXTURN_MESSAGES);
}

/* A turn is filled from several when none of them fills it. */
static void a_turn_is_shared(void **state)
{
    struct model m = {.waiting = {2, 2, 2, 1}};

    turn(&m);
    for (unsigned i = 0; i < SOCKETS; i++)
        assert_int_equal(m.waiting[i], 0);
}

static void one_that_is_drained_keeps_nobody_waiting(void **state)
{
    struct model m = {.waiting = {8, 8, 100}};

    turn(&m);
    assert_int_equal(m.got[0], 8);
    m.waiting[1] = 0; /* it was the next one, and is closed */
    turn(&m);
    turn(&m);
    assert_int_equal(m.got[2], 16);
}

/* Whatever comes: the bound holds, nobody waits for ever, and no turn is left unused for long. */
static void random_arrivals(void **state)
{
    struct model m = {0};
    struct rng r;
    unsigned unused = 0;

    rng_seed(&r, 20);
    for (unsigned n = 0; n < 20000; n++) {
        unsigned before = 0, after = 0;

        for (unsigned i = 0; i < SOCKETS; i++) {
            if (!rng_below(&r, 12))
                m.waiting[i] += (unsigned)rng_below(&r, 12);
            before += m.waiting[i];
        }
        turn(&m);
        for (unsigned i = 0; i < SOCKETS; i++) {
            assert_in_range(m.turns_without[i], 0, 2 * SOCKETS);
            after += m.waiting[i];
        }
        unused = before && after == before ? unused + 1 : 0;
        assert_in_range(unused, 0, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_socket_takes_all),
        cmocka_unit_test(all_are_served_in_turn),
        cmocka_unit_test(a_turn_is_shared),
        cmocka_unit_test(one_that_is_drained_keeps_nobody_waiting),
        cmocka_unit_test(random_arrivals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
