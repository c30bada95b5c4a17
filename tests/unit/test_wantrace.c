/* Traces of lines: what they mean, what is refused, and those that are shipped. */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lab/wantrace.h"

#define START "0s both rate=10m queue=20k\n"

static int parse(const char *text, struct wan_trace *ret, unsigned *ret_line)
{
    return wan_trace_parse(ret, text, strlen(text), ret_line);
}

static struct wan_trace good(const char *text)
{
    struct wan_trace t;
    unsigned line = 0;

    if (parse(text, &t, &line))
        fail_msg("line %u of: %s", line, text);
    return t;
}

static void test_words_hold_until_others_come(void **state)
{
    struct wan_trace t = good("# comment\n\n0s both rate=10m queue=20k delay=5ms\n"
                              "  0s\tup rate=2m  # less\n"
                              "100ms down loss=1% down=1\r\n"
                              "0.2s both delay=7ms\n"
                              "200ms down down=0\n");

    assert_int_equal(t.n, 3);
    assert_int_equal(t.period_ns, 0);
    assert_int_equal(t.step[0].dir[WAN_UP].rate_bps, 2000000);
    assert_int_equal(t.step[0].dir[WAN_DOWN].rate_bps, 10000000);
    assert_int_equal(t.step[1].at_ns, 100 * NS_PER_MS);
    assert_true(t.step[1].dir[WAN_DOWN].down);
    assert_false(t.step[1].dir[WAN_UP].down);
    assert_int_equal(t.step[1].dir[WAN_UP].delay_ns, 5 * NS_PER_MS);
    assert_int_equal(t.step[2].dir[WAN_UP].delay_ns, 7 * NS_PER_MS);
    assert_false(t.step[2].dir[WAN_DOWN].down);
    assert_true(t.step[2].dir[WAN_DOWN].loss == 0.01);
    wan_trace_done(&t);
}

static void test_time_goes_round(void **state)
{
    struct wan_trace t = good(START "1s up rate=5m\n3s up rate=7m\n4s repeat\n");

    assert_int_equal(wan_trace_step(&t, 0), 0);
    assert_int_equal(wan_trace_step(&t, 1 * NS_PER_S - 1), 0);
    assert_int_equal(wan_trace_step(&t, 1 * NS_PER_S), 1);
    assert_int_equal(wan_trace_step(&t, 4 * NS_PER_S - 1), 2);
    assert_int_equal(wan_trace_step(&t, 4 * NS_PER_S), 0);
    assert_int_equal(wan_trace_step(&t, 4001 * NS_PER_S), 1);
    assert_int_equal(wan_trace_next_ns(&t, 0), 1 * NS_PER_S);
    assert_int_equal(wan_trace_next_ns(&t, 1 * NS_PER_S), 3 * NS_PER_S);
    assert_int_equal(wan_trace_next_ns(&t, 3500 * NS_PER_MS), 4 * NS_PER_S);
    assert_int_equal(wan_trace_next_ns(&t, 4 * NS_PER_S), 5 * NS_PER_S);
    wan_trace_done(&t);
}

static void test_without_repeat_the_last_step_stays(void **state)
{
    struct wan_trace t = good(START "1s up rate=5m");

    assert_int_equal(wan_trace_step(&t, 1000 * NS_PER_S), 1);
    assert_int_equal(wan_trace_next_ns(&t, 1 * NS_PER_S), UINT64_MAX);
    wan_trace_done(&t);
}

static void test_bad_input_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } bad[] = {
        {"", 1},
        {"# nothing\n", 2},
        {"1s both rate=1m queue=20k\n", 1},              /* does not begin at 0 */
        {"0s both queue=20k\n", 2},                      /* no rate */
        {"0s both rate=1m\n", 2},                        /* no end of the queue */
        {"0s up rate=1m queue=20k\n1s up rate=2m\n", 2}, /* nothing about down */
        {START "1s up rate=0\n2s both delay=1ms\n", 3},  /* a rate of nothing */
        {START "2s up rate=2m\n1s up rate=3m\n", 3},     /* backwards */
        {START "1 up rate=2m\n", 2},                     /* no unit */
        {START "-1s up rate=2m\n", 2},                   /* before the start */
        {START "99999999s up rate=2m\n", 2},             /* years */
        {START "1s sideways rate=2m\n", 2},              /* no direction */
        {START "1s up\n", 2},                            /* no words */
        {START "1s up colour=blue\n", 2},                /* no such key */
        {START "1s up rate=fast\n", 2},                  /* no number */
        {START "1s up cut=1\n", 3},                      /* not for traces */
        {START "0s repeat\n", 2},                        /* at once */
        {START "1s up rate=2m\n1s repeat\n", 3},         /* no time for the last step */
        {START "1s repeat\n2s up rate=2m\n", 3},         /* something behind the end */
        {START "1s repeat\n1s repeat\n", 3},             /* twice */
        {START "1s repeat now\n", 2},                    /* more than that */
        {"repeat\n", 1},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct wan_trace t = {.n = 77};
        unsigned line = 0;

        if (parse(bad[i].text, &t, &line) != -EINVAL || line != bad[i].line || t.n != 77)
            fail_msg("line %u instead of %u, n %u: %s", line, bad[i].line, t.n, bad[i].text);
    }
}

static void test_bounds(void **state)
{
    size_t size = (size_t)(WAN_TRACE_STEPS_MAX + 1) * 32, len = strlen(START);
    char *text = malloc(size), words[WAN_TRACE_WORDS_MAX + 64];
    struct wan_trace t;
    unsigned line = 0;

    assert_non_null(text);
    memcpy(text, START, len + 1);
    for (unsigned i = 1; i < WAN_TRACE_STEPS_MAX; i++)
        len += (size_t)snprintf(text + len, size - len, "%ums up rate=1m\n", i);
    assert_int_equal(wan_trace_parse(&t, text, len, &line), 0);
    assert_int_equal(t.n, WAN_TRACE_STEPS_MAX);
    wan_trace_done(&t);
    snprintf(text + len, size - len, "90s up rate=1m\n");
    assert_int_equal(wan_trace_parse(&t, text, strlen(text), &line), -EINVAL);
    assert_int_equal(line, WAN_TRACE_STEPS_MAX + 1);
    free(text);

    snprintf(words, sizeof(words), "0s both rate=1m queue=20k%*s delay=1ms", WAN_TRACE_WORDS_MAX,
             "");
    assert_int_equal(parse(words, &t, &line), -EINVAL);
    assert_int_equal(wan_trace_parse(&t, "0s both rate=1m queue=2\0k", 24, &line), -EINVAL);
}

static void test_files(void **state)
{
    char path[] = "/tmp/test_wantrace.XXXXXX";
    int fd = mkstemp(path);
    struct wan_trace t;
    unsigned line = 9;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, START "5s nonsense\n", strlen(START) + 12), strlen(START) + 12);
    assert_int_equal(wan_trace_load(&t, path, &line), -EINVAL);
    assert_int_equal(line, 2);
    assert_int_equal(ftruncate(fd, WAN_TRACE_FILE_MAX + 1), 0);
    assert_int_equal(wan_trace_load(&t, path, &line), -EFBIG);
    assert_int_equal(line, 0);
    close(fd);
    unlink(path);
    assert_int_equal(wan_trace_load(&t, path, &line), -ENOENT);
}

/* Every shipped line can be played, begins anew some time if it changes at all, and is never all
 * gone at its start, where tunnels come up. */
static void test_shipped_links(void **state)
{
    glob_t found;

    assert_int_equal(glob(LINKS "/*.link", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 10);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct wan_trace t;
        unsigned line;

        if (wan_trace_load(&t, found.gl_pathv[i], &line))
            fail_msg("%s:%u", found.gl_pathv[i], line);
        if (t.n > 1)
            assert_true(t.period_ns >= 10 * NS_PER_S);
        assert_false(t.step[0].dir[WAN_UP].down);
        wan_trace_done(&t);
    }
    globfree(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_hold_until_others_come),
        cmocka_unit_test(test_time_goes_round),
        cmocka_unit_test(test_without_repeat_the_last_step_stays),
        cmocka_unit_test(test_bad_input_is_refused_with_its_line),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_shipped_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
