#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "wan/disabled.h"

static char dir[] = "/tmp/disabled-XXXXXX", file[64], next[72];

static int setup(void **state)
{
    snprintf(file, sizeof(file), "%s/links", dir);
    snprintf(next, sizeof(next), "%s.new", file);
    unlink(file);
    return 0;
}

static void write_file(const char *text)
{
    FILE *f = fopen(file, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void set_and_read(void **state)
{
    struct disabled d;

    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, 0);
    assert_int_equal(disabled_set(file, "wan1", true, 1700000000), 1);
    assert_int_equal(disabled_set(file, "mpq2", true, 1700000001), 1);
    assert_int_equal(disabled_set(file, "wan1", true, 1800000000), 0);
    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, 2);
    assert_true(disabled_find(&d, "wan1")->since_s == 1700000000);
    assert_true(disabled_find(&d, "mpq2")->since_s == 1700000001);
    assert_null(disabled_find(&d, "wan"));
    assert_int_equal(disabled_set(file, "wan1", false, 0), 1);
    assert_int_equal(disabled_set(file, "wan1", false, 0), 0);
    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, 1);
    assert_non_null(disabled_find(&d, "mpq2"));
    assert_int_equal(access(next, F_OK), -1);
}

/* Whatever stands there, what can be read counts, once. */
static void odd_lines(void **state)
{
    struct disabled d;

    write_file("wan1 5\n\n nothing\nwan1 6\nlonger-than-any-name-can-be 7\nwan2\nwan3 x\nwan4 -1\n"
               "wan5 8\nwan6 9");
    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, 2);
    assert_true(disabled_find(&d, "wan1")->since_s == 5);
    assert_true(disabled_find(&d, "wan5")->since_s == 8);
}

static void no_more_than_fit(void **state)
{
    struct disabled d;
    char name[16];

    for (int i = 0; i < DISABLED_MAX; i++) {
        snprintf(name, sizeof(name), "l%d", i);
        assert_int_equal(disabled_set(file, name, true, i), 1);
    }
    assert_int_equal(disabled_set(file, "more", true, 1), -ENOSPC);
    assert_int_equal(disabled_set(file, "l7", false, 1), 1);
    assert_int_equal(disabled_set(file, "more", true, 1), 1);
    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, DISABLED_MAX);
}

static void errors_change_nothing(void **state)
{
    struct disabled d;

    assert_int_equal(disabled_set(file, "wan1", true, 1), 1);
    assert_int_equal(mkdir(next, 0755), 0); /* the new file cannot be made */
    assert_int_equal(disabled_set(file, "wan2", true, 1), -EISDIR);
    assert_int_equal(rmdir(next), 0);
    assert_int_equal(disabled_read(file, &d), 0);
    assert_int_equal(d.n, 1);
    assert_int_equal(disabled_set("/nonexistent/links", "wan2", true, 1), -ENOENT);
    assert_int_equal(disabled_read(dir, &d), -EIO);
    assert_int_equal(d.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(set_and_read, setup),
        cmocka_unit_test_setup(odd_lines, setup),
        cmocka_unit_test_setup(no_more_than_fit, setup),
        cmocka_unit_test_setup(errors_change_nothing, setup),
    };
    int failed;

    if (!mkdtemp(dir))
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file);
    rmdir(dir);
    return failed;
}
