#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "bond/fq_codel.h"

#define MS NS_PER_MS
#define TARGET FQ_CODEL_TARGET_NS

static const struct fq_codel_law law = {TARGET, 0};
static const uint64_t T0 = 1000 * NS_PER_S;

/* Packets leave every ms from `from` on (ms since T0), all after the same wait. Returns the number
 * of drops; *ret_last is the time of the last one, in ms. */
static unsigned run(struct fq_codel *c, unsigned from, unsigned to, uint64_t wait_ns,
                    unsigned *ret_last)
{
    unsigned n = 0;

    for (unsigned t = from; t < to; t++)
        if (fq_codel_on_packet(c, T0 + t * MS, wait_ns, &law, false)) {
            *ret_last = t;
            n++;
        }
    return n;
}

static void a_short_wait_is_never_dropped(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0;

    assert_int_equal(run(&c, 0, 100000, TARGET - 1, &last), 0);
}

/* As long as the path below may stand still of its own. */
static void a_burst_is_welcome(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0;

    assert_int_equal(run(&c, 0, 300, 50 * MS, &last), 0);
    assert_int_equal(run(&c, 300, 301, TARGET - 1, &last), 0); /* and again from the beginning */
    assert_int_equal(run(&c, 301, 601, 50 * MS, &last), 0);
    assert_int_equal(run(&c, 601, 602, 50 * MS, &last), 1);
    assert_int_equal(last, 601);
}

/* Drops at interval / sqrt(count): after 100, 70.7, 57.7, 50 ms ... */
static void drops_come_faster_and_faster(void **state)
{
    struct fq_codel c = {0};
    double due = 300;
    unsigned last = 0;

    for (unsigned i = 1; i <= 50; i++) {
        unsigned at = (unsigned)ceil(due);

        assert_int_equal(run(&c, i == 1 ? 0 : last + 1, at, 20 * MS, &last), 0);
        assert_int_equal(run(&c, at, at + 1, 20 * MS, &last), 1);
        due += 100 / sqrt(i);
    }
}

static void a_short_wait_ends_it(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0;

    run(&c, 0, 1000, 20 * MS, &last);
    assert_true(c.dropping);
    assert_int_equal(run(&c, 1000, 1001, TARGET - 1, &last), 0);
    assert_false(c.dropping);
    assert_int_equal(run(&c, 1001, 1301, 20 * MS, &last), 0);
}

/* The rate that was needed before is needed again. */
static void soon_again_it_goes_on_where_it_was(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0, n = run(&c, 0, 2000, 20 * MS, &last);

    assert_true(n > 20);
    run(&c, 2000, 2001, 0, &last);
    assert_int_equal(run(&c, 2001, 2302, 20 * MS, &last), 1);
    assert_int_equal(c.count, n - 1); /* those since it last began */
    assert_int_equal(c.next_ns - T0 - last * MS, (uint64_t)(100e6 / sqrt(n - 1)));
}

static void much_later_it_begins_anew(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0;

    run(&c, 0, 2000, 20 * MS, &last);
    fq_codel_on_empty(&c);
    assert_false(c.dropping);
    assert_int_equal(run(&c, 4000, 4301, 20 * MS, &last), 1);
    assert_int_equal(c.count, 1);
}

/* What is forgotten may as well be a new flow. */
static void memory_is_long_enough(void **state)
{
    struct fq_codel c = {0}, fresh = {0};
    unsigned last = 0, begin = 2000 + (unsigned)(FQ_CODEL_MEMORY_NS / MS);

    run(&c, 0, 2000, 20 * MS, &last);
    fq_codel_on_empty(&c);
    for (unsigned t = begin; t < begin + 3000; t++)
        assert_int_equal(fq_codel_on_packet(&c, T0 + t * MS, 20 * MS, &law, false),
                         fq_codel_on_packet(&fresh, T0 + t * MS, 20 * MS, &law, false));
}

static void the_last_packet_passes(void **state)
{
    struct fq_codel c = {0};

    for (unsigned t = 0; t < 2000; t++)
        assert_false(fq_codel_on_packet(&c, T0 + t * MS, 500 * MS, &law, true));
}

static void a_slow_line_has_a_longer_target(void **state)
{
    struct fq_codel c = {0};

    for (unsigned t = 0; t < 2000; t++)
        assert_false(fq_codel_on_packet(&c, T0 + t * MS, 17 * MS,
                                        &(struct fq_codel_law){18 * MS, 0}, false));
}

/* --- against RFC 8289, 5.5 and 5.6, as it stands there --------------------------------- */

struct reference {
    int64_t first_above, drop_next; /* ns */
    unsigned count, lastcount;
    bool dropping;
};

static int64_t control_law(int64_t t, unsigned count)
{
    return t + (int64_t)floor(100e6 / sqrt(count));
}

static bool ok_to_drop(struct reference *r, int64_t now, int64_t sojourn, bool last)
{
    if (sojourn < (int64_t)(5 * MS) || last) {
        r->first_above = 0;
        return false;
    }
    if (r->first_above == 0) {
        r->first_above = now + (int64_t)FQ_CODEL_STANDING_NS;
        return false;
    }
    return now >= r->first_above;
}

static bool reference_packet(struct reference *r, int64_t now, int64_t sojourn, bool last)
{
    bool ok = ok_to_drop(r, now, sojourn, last);

    if (r->dropping) {
        if (!ok) {
            r->dropping = false;
        } else if (now >= r->drop_next) {
            r->count++;
            r->drop_next = control_law(r->drop_next, r->count);
            return true;
        }
        return false;
    }
    if (!ok)
        return false;
    unsigned delta = r->count - r->lastcount;

    r->dropping = true;
    r->count = delta > 1 && now - r->drop_next < 16 * 100000000ll ? delta : 1;
    r->drop_next = control_law(now, r->count);
    r->lastcount = r->count;
    return true;
}

/* Waits that wander about the target. */
static void random_waits(void **state)
{
    unsigned drops = 0, differ = 0;
    struct rng rng;

    rng_seed(&rng, 1);
    for (unsigned run = 0; run < 200; run++) {
        struct reference r = {.drop_next = INT64_MIN / 2};
        struct fq_codel c = {0};
        uint64_t now = T0, wait = 0;

        for (unsigned i = 0; i < 5000; i++) {
            bool last = rng_below(&rng, 500) == 0;

            now += (1 + rng_below(&rng, rng_below(&rng, 300) ? 3 : 3000)) * MS;
            wait = rng_below(&rng, 200) ? wait + rng_below(&rng, 3) * MS : rng_below(&rng, 20) * MS;
            wait -= wait ? rng_below(&rng, 2) * MS : 0;
            bool is = fq_codel_on_packet(&c, now, wait, &law, last);
            bool ought = reference_packet(&r, (int64_t)now, (int64_t)wait, last);

            drops += is;
            differ += is != ought;
        }
    }
    assert_true(drops > 10000);
    assert_int_equal(differ, 0);
}

/* No arithmetic ends it. */
static void a_flood_without_end(void **state)
{
    struct fq_codel c = {0};
    unsigned last = 0, n = run(&c, 0, 1000000, NS_PER_S, &last);

    assert_true(n > 900000); /* at last each packet */
    c.count = UINT32_MAX;
    assert_true(fq_codel_on_packet(&c, T0 + 3000000 * MS, NS_PER_S, &law, false));
    assert_int_equal(c.count, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_wait_is_never_dropped),
        cmocka_unit_test(a_burst_is_welcome),
        cmocka_unit_test(drops_come_faster_and_faster),
        cmocka_unit_test(a_short_wait_ends_it),
        cmocka_unit_test(soon_again_it_goes_on_where_it_was),
        cmocka_unit_test(much_later_it_begins_anew),
        cmocka_unit_test(memory_is_long_enough),
        cmocka_unit_test(the_last_packet_passes),
        cmocka_unit_test(a_slow_line_has_a_longer_target),
        cmocka_unit_test(random_waits),
        cmocka_unit_test(a_flood_without_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
