#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/readfile.h"

static char dir[64], path[128];

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/test-readfile-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/file", dir);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(dir);
}

static void put(const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static int opened(void)
{
    int fd = readfile_open(path);

    assert_true(fd >= 0);
    return fd;
}

static void only_regular_files_are_opened(void **state)
{
    assert_int_equal(readfile_open(path), -ENOENT);
    assert_int_equal(readfile_open(dir), -EINVAL);
    assert_int_equal(readfile_open("/dev/zero"), -EINVAL);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(readfile_open(path), -EINVAL); /* and does not wait for a writer */
    unlink(path);
    put("", 0);
    close(opened());
}

static void what_fits_is_read(void **state)
{
    char buf[8] = "........";
    int fd;

    put("abcdef", 6);
    fd = opened();
    assert_int_equal(readfile_bytes(fd, buf, 6), 6);
    assert_memory_equal(buf, "abcdef..", 8);
    assert_int_equal(readfile_bytes(fd, buf, 6), 0); /* nothing is left */
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(readfile_bytes(fd, buf, 5), -EFBIG);
    close(fd);
    assert_int_equal(readfile_bytes(fd, buf, 5), -EBADF);
}

static void a_text_ends_with_a_zero(void **state)
{
    char *text = NULL;
    size_t len = 0;
    int fd;

    put("a\0b", 3);
    fd = opened();
    assert_int_equal(readfile_text(fd, 3, &text, &len), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "a\0b", 4);
    free(text);
    assert_int_equal(readfile_text(fd, 3, &text, &len), 0); /* the end of the file */
    assert_int_equal(len, 0);
    assert_string_equal(text, "");
    free(text);
    close(fd);
}

static void a_failure_leaves_the_output(void **state)
{
    char *text = path;
    size_t len = 7;
    int fd;

    put("abcdef", 6);
    fd = opened();
    assert_int_equal(readfile_text(fd, 5, &text, &len), -EFBIG);
    close(fd);
    fd = open(dir, O_RDONLY);
    assert_int_equal(readfile_text(fd, 5, &text, &len), -EISDIR);
    close(fd);
    assert_ptr_equal(text, path);
    assert_int_equal(len, 7);
}

/* What comes in parts, as from a pipe, is one text. */
static void a_pipe_is_read_to_its_end(void **state)
{
    char part[40000], *text = NULL;
    size_t len = 0;
    int ends[2];

    memset(part, 'x', sizeof(part));
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], part, sizeof(part)), sizeof(part));
    assert_int_equal(write(ends[1], "end", 3), 3);
    close(ends[1]);
    assert_int_equal(readfile_text(ends[0], 1 << 20, &text, &len), 0);
    close(ends[0]);
    assert_int_equal(len, sizeof(part) + 3);
    assert_memory_equal(text, part, sizeof(part));
    assert_string_equal(text + sizeof(part), "end");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_regular_files_are_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(what_fits_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_ends_with_a_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_leaves_the_output, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pipe_is_read_to_its_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
