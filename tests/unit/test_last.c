/* What an instance leaves when it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/last.h"

static char dir[] = "/tmp/mpquic-last-XXXXXX";

static int make_dir(void **state)
{
    assert_non_null(mkdtemp(dir));
    return setenv("MPQUIC_RUN_DIR", dir, 1);
}

static int remove_dir(void **state)
{
    last_end_forget("a");
    return rmdir(dir);
}

static void what_is_left_is_found(void **state)
{
    struct last_end e = {.code = 23, .time_s = 1234567890, .text = "tunnel: giving up: why"}, got;
    gid_t group = getgid();
    char path[64];
    struct stat st;

    assert_int_equal(last_end_load("a", &got), -ENOENT);
    assert_int_equal(last_end_save("a", &e, &group), 0);
    assert_int_equal(last_end_load("a", &got), 0);
    assert_int_equal(got.code, 23);
    assert_int_equal(got.time_s, 1234567890);
    assert_string_equal(got.text, e.text);
    snprintf(path, sizeof(path), "%s/a.last", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    e.code = 70;
    e.text[0] = 0;
    assert_int_equal(last_end_save("a", &e, NULL), 0);
    assert_int_equal(last_end_load("a", &got), 0);
    assert_int_equal(got.code, 70);
    assert_string_equal(got.text, "");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    last_end_forget("a");
    assert_int_equal(last_end_load("a", &got), -ENOENT);
}

/* A text that came from a peer cannot make lines, and is cut. */
static void texts_are_clean(void **state)
{
    struct last_end e = {.code = 1}, got;

    memset(e.text, 'x', sizeof(e.text) - 1);
    memcpy(e.text, "a\nb\x1b", 4);
    assert_int_equal(last_end_save("a", &e, NULL), 0);
    assert_int_equal(last_end_load("a", &got), 0);
    assert_memory_equal(got.text, "a?b?xxx", 7);
    assert_int_equal(strlen(got.text), sizeof(e.text) - 1);
}

static void what_is_no_such_file_is_told(void **state)
{
    static const char *const wrong[] = {"", "\n", "x 1\n", "1\n", "1 x\ny\n", "1 2", "1 2 3\n"};
    struct last_end got = {.code = 99};
    char path[64];

    snprintf(path, sizeof(path), "%s/a.last", dir);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(wrong[i], f);
        fclose(f);
        assert_int_equal(last_end_load("a", &got), -EINVAL);
    }
    assert_int_equal(got.code, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_found),
        cmocka_unit_test(texts_are_clean),
        cmocka_unit_test(what_is_no_such_file_is_told),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
