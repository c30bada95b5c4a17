#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "wan/eventlog.h"

static char dir[] = "/tmp/mpquic-events-XXXXXX";
static char path[64], old[64];

static int set_up(void **state)
{
    unsetenv("MPQUIC_TRACE");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/log", dir);
    snprintf(old, sizeof(old), "%s/log.1", dir);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    unlink(old);
    return rmdir(dir);
}

/* The n-th line of the file, from 0; NULL: there is none. */
static json_t *line(const char *file, unsigned n)
{
    FILE *f = fopen(file, "re");
    char text[4096];
    json_t *v = NULL;

    assert_non_null(f);
    while (fgets(text, sizeof(text), f))
        if (!n--) {
            v = json_loads(text, 0, NULL);
            assert_non_null(v);
            break;
        }
    fclose(f);
    return v;
}

static const char *member(const json_t *v, const char *name)
{
    const char *text = json_string_value(json_object_get(v, name));

    assert_non_null(text);
    return text;
}

static void one_cause_one_trace(void **state)
{
    struct eventlog e;
    json_t *v[4];
    struct stat st;

    eventlog_init(&e, EVENTLOG_START);
    eventlog_write(&e, "lost", "{s:s}", "a", "b"); /* there is no file yet */
    assert_int_equal(eventlog_open(&e, path), 0);
    eventlog_write(&e, "start", "{s:i}", "links", 3);
    eventlog_begin(&e, EVENTLOG_PROBE);
    eventlog_write(&e, "link", "{s:s, s:s*}", "link", "wan\"1\n", "from", (const char *)NULL);
    eventlog_write(&e, "change", "{s:b}", "repair", 0);
    eventlog_begin(&e, EVENTLOG_KERNEL);
    eventlog_write(&e, "change", "{s:b}", "repair", 1);
    for (unsigned i = 0; i < 4; i++)
        v[i] = line(path, i);
    assert_string_equal(member(v[0], "event"), "start");
    assert_string_equal(member(v[0], "cause"), "start");
    assert_string_equal(member(v[0], "trace"), member(v[0], "run"));
    assert_int_equal(json_integer_value(json_object_get(v[0], "links")), 3);
    assert_int_equal(strlen(member(v[0], "boot")), 36);
    assert_int_equal(strlen(member(v[0], "time")), strlen("2026-01-31T12:00:00.123Z"));
    assert_string_equal(member(v[1], "link"), "wan\"1\n");
    assert_null(json_object_get(v[1], "from"));
    assert_string_equal(member(v[1], "trace"), member(v[2], "trace"));
    assert_string_not_equal(member(v[1], "trace"), member(v[0], "trace"));
    assert_string_not_equal(member(v[3], "trace"), member(v[2], "trace"));
    assert_string_equal(member(v[3], "run"), member(v[0], "run"));
    for (unsigned i = 0; i < 4; i++)
        json_decref(v[i]);
    assert_null(line(path, 4));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07137, 0);
    eventlog_done(&e);
}

/* A deployment gives its own id, if it is one. */
static void a_trace_that_is_given(void **state)
{
    struct eventlog e;

    setenv("MPQUIC_TRACE", "deploy-2026.1_a", 1);
    eventlog_init(&e, EVENTLOG_APPLY);
    assert_string_equal(e.run, "deploy-2026.1_a");
    assert_string_equal(e.trace, e.run);
    setenv("MPQUIC_TRACE", "a b", 1);
    eventlog_init(&e, EVENTLOG_APPLY);
    assert_int_equal(strlen(e.run), 16);
    setenv("MPQUIC_TRACE", "0123456789012345678901234567890123456789012345678901234567890123x", 1);
    eventlog_init(&e, EVENTLOG_APPLY);
    assert_int_equal(strlen(e.run), 16);
    unsetenv("MPQUIC_TRACE");
}

static void it_is_bounded(void **state)
{
    struct eventlog e;
    struct stat st;
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    eventlog_init(&e, EVENTLOG_START);
    assert_int_equal(eventlog_open(&e, path), 0);
    for (unsigned i = 0; i < 3 * (EVENTLOG_BYTES_MAX / 2000); i++)
        eventlog_write(&e, "text", "{s:s}", "text", text);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 0 && st.st_size <= EVENTLOG_BYTES_MAX);
    assert_int_equal(stat(old, &st), 0);
    assert_in_range(st.st_size, EVENTLOG_BYTES_MAX - 4000, EVENTLOG_BYTES_MAX);
    eventlog_done(&e);
}

static void what_is_no_file_is_refused(void **state)
{
    struct eventlog e;

    eventlog_init(&e, EVENTLOG_START);
    assert_int_equal(eventlog_open(&e, "/dev/null"), -EINVAL);
    eventlog_write(&e, "text", "{s:s}", "a", "b");
    assert_int_equal(eventlog_open(&e, "/nonexistent/log"), -ENOENT);
    assert_int_equal(eventlog_open(&e, ""), 0);
    eventlog_write(&e, "text", "{s:s}", "a", "b");
    eventlog_done(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cause_one_trace),
        cmocka_unit_test(a_trace_that_is_given),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(what_is_no_file_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
