#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "pki/backup.h"
#include "pki/file.h"
#include "pki_dir.h"

static char dir[64];
static struct pki_error e;

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/mpquic-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    pki_dir_remove(dir);
    return 0;
}

static struct file_text text_of(const char *s)
{
    return (struct file_text){.data = (char *)s, .len = strlen(s)};
}

static void assert_content(const char *name, const char *want)
{
    _cleanup_text_ struct file_text t = {0};
    char path[FILE_PATH_MAX];

    assert_int_equal(file_path(path, dir, name, &e), 0);
    assert_int_equal(file_read(path, &t, &e), 0);
    assert_string_equal(t.data, want);
}

static void put(const char *name, const char *content)
{
    char path[FILE_PATH_MAX];
    FILE *f;

    assert_int_equal(file_path(path, dir, name, &e), 0);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    fclose(f);
}

static void test_write(void **state)
{
    struct file_text one = text_of("one\n"), two = text_of("two\n");
    mode_t mask = umask(0);

    assert_int_equal(file_write(dir, "a", 0600, &one, &e), 0);
    assert_content("a", "one\n");
    assert_int_equal(pki_dir_mode(dir, "a"), 0600);
    umask(077);
    assert_int_equal(file_write(dir, "a", 0644, &two, &e), 0);
    umask(mask);
    assert_content("a", "two\n");
    assert_int_equal(pki_dir_mode(dir, "a"), 0644);
    assert_int_equal(pki_dir_mode(dir, ".a.new"), -1);
}

/* What a crash left is in nobody's way, and a link put there by somebody is not followed. */
static void test_leftovers(void **state)
{
    struct file_text two = text_of("two\n");
    char link[FILE_PATH_MAX], target[FILE_PATH_MAX];

    put("a", "one\n");
    put("victim", "precious\n");
    assert_int_equal(file_path(link, dir, ".a.new", &e), 0);
    assert_int_equal(file_path(target, dir, "victim", &e), 0);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(file_write(dir, "a", 0600, &two, &e), 0);
    assert_content("a", "two\n");
    assert_content("victim", "precious\n");
}

static void test_write_dir(void **state)
{
    struct file_text k1 = text_of("key1"), c1 = text_of("cert1"), k2 = text_of("key2");
    struct file_item items[] = {{"key.pem", 0600, &k1}, {"cert.pem", 0644, &c1}};
    char half[FILE_PATH_MAX];

    assert_int_equal(file_write_dir(dir, "x", items, 2, false, &e), 0);
    assert_content("x/key.pem", "key1");
    assert_int_equal(pki_dir_mode(dir, "x/key.pem"), 0600);
    assert_int_equal(pki_dir_mode(dir, "x/cert.pem"), 0644);
    assert_int_equal(file_write_dir(dir, "x", items, 2, false, &e), -EEXIST);
    /* a crash left half of a directory */
    assert_int_equal(file_path(half, dir, ".x.new", &e), 0);
    assert_int_equal(mkdir(half, 0755), 0);
    put(".x.new/key.pem", "half");
    items[0].text = &k2;
    assert_int_equal(file_write_dir(dir, "x", items, 1, true, &e), 0);
    assert_content("x/key.pem", "key2");
    assert_int_equal(pki_dir_mode(dir, "x/cert.pem"), -1); /* these files and no others */
    assert_int_equal(pki_dir_mode(dir, ".x.new"), -1);
}

/* A link in the place of the temporary directory: what it leads to stays as it is. */
static void test_a_planted_link(void **state)
{
    struct file_text k = text_of("key");
    struct file_item item = {"key.pem", 0600, &k};
    char link[FILE_PATH_MAX], target[FILE_PATH_MAX];

    assert_int_equal(file_path(target, dir, "victim", &e), 0);
    assert_int_equal(mkdir(target, 0755), 0);
    put("victim/precious", "precious\n");
    assert_int_equal(file_path(link, dir, ".x.new", &e), 0);
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(file_write_dir(dir, "x", &item, 1, true, &e), 0);
    assert_content("x/key.pem", "key");
    assert_content("victim/precious", "precious\n");
    assert_int_equal(pki_dir_mode(dir, "victim/key.pem"), -1);
    assert_int_equal(access(link, F_OK), -1);
}

static void test_only_files_are_replaced(void **state)
{
    struct file_text two = text_of("two\n");
    char path[FILE_PATH_MAX];
    struct stat st;

    assert_int_equal(file_path(path, dir, "fifo", &e), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_write(dir, "fifo", 0600, &two, &e), -EINVAL);
    assert_non_null(strstr(e.text, "not a regular file"));
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(pki_dir_mode(dir, ".fifo.new"), -1);
}

static void test_reading(void **state)
{
    _cleanup_text_ struct file_text t = {0};
    char path[FILE_PATH_MAX];

    assert_int_equal(file_path(path, dir, "none", &e), 0);
    assert_int_equal(file_read(path, &t, &e), -ENOENT);
    assert_non_null(strstr(e.text, "none"));
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_read(path, &t, &e), -EINVAL); /* and does not wait for a writer */
    assert_int_equal(file_read(dir, &t, &e), -EINVAL);
    assert_int_equal(unlink(path), 0);
    put("none", "");
    assert_int_equal(file_read(path, &t, &e), 0);
    assert_int_equal(t.len, 0);
    assert_string_equal(t.data, "");
    assert_int_equal(truncate(path, (off_t)FILE_TEXT_MAX + 1), 0);
    assert_int_equal(file_read(path, &t, &e), -EFBIG);
}

static void test_directories(void **state)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX];

    assert_int_equal(file_path(path, dir, "a/b/c", &e), 0);
    assert_int_equal(file_make_dir(path, 0755, &e), 0);
    assert_int_equal(file_make_dir(path, 0755, &e), 0);
    assert_true(file_exists(path));
    put("file", "");
    assert_int_equal(file_path(path, dir, "file/x", &e), 0);
    assert_int_equal(file_make_dir(path, 0755, &e), -ENOTDIR);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(file_path(path, dir, name, &e), -ENAMETOOLONG);
    name[300] = 0;
    assert_int_equal(file_write(dir, name, 0600, &(struct file_text){0}, &e), -ENAMETOOLONG);
}

/* A copy takes a name that is free, keeps the mode, and can take its place again. */
static void test_backup(void **state)
{
    struct file_text old = text_of("old\n"), new = text_of("new\n");
    const struct file_item item = {"key", 0600, &old}, other = {"cert", 0644, &new};
    char copy[BACKUP_NAME_MAX], path[FILE_PATH_MAX];
    struct stat st;

    assert_int_equal(backup_file(dir, "a.yaml", copy, &e), -ENOENT);
    assert_int_equal(backup_dir(dir, "keys", copy, &e), -ENOENT);
    assert_int_equal(file_write(dir, "a.yaml", 0640, &old, &e), 0);
    assert_int_equal(file_write(dir, "a.yaml.~1~", 0600, &new, &e), 0);
    assert_int_equal(backup_file(dir, "a.yaml", copy, &e), 0);
    assert_string_equal(copy, "a.yaml.~2~");
    assert_int_equal(file_path(path, dir, copy, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(file_write(dir, "a.yaml", 0644, &new, &e), 0);
    assert_int_equal(backup_restore_file(dir, "a.yaml", copy, &e), 0);
    assert_content("a.yaml", "old\n");
    assert_content("a.yaml.~1~", "new\n");
    assert_false(file_exists(path));

    assert_int_equal(file_write_dir(dir, "keys", &item, 1, false, &e), 0);
    assert_int_equal(backup_dir(dir, "keys", copy, &e), 0);
    assert_string_equal(copy, "keys.~1~");
    assert_int_equal(file_write_dir(dir, "keys", &other, 1, true, &e), 0);
    assert_content("keys.~1~/key", "old\n");
    assert_int_equal(backup_restore_dir(dir, "keys", copy, &e), 0);
    assert_content("keys/key", "old\n");
    assert_int_equal(file_path(path, dir, "keys/cert", &e), 0);
    assert_false(file_exists(path));
    assert_int_equal(file_path(path, dir, copy, &e), 0);
    assert_false(file_exists(path));
}

/* What is moved aside takes a name that is free too. */
static void test_backup_without_a_copy(void **state)
{
    struct file_text text = text_of("old\n");
    const struct file_item item = {"key", 0600, &text};
    char copy[BACKUP_NAME_MAX], path[FILE_PATH_MAX];

    assert_int_equal(backup_move(dir, "a.yaml", copy, &e), -ENOENT);
    put("a.yaml", "old\n");
    put("a.yaml.~1~", "older\n");
    assert_int_equal(backup_move(dir, "a.yaml", copy, &e), 0);
    assert_string_equal(copy, "a.yaml.~2~");
    assert_content("a.yaml.~2~", "old\n");
    assert_content("a.yaml.~1~", "older\n");
    assert_int_equal(file_path(path, dir, "a.yaml", &e), 0);
    assert_false(file_exists(path));

    assert_int_equal(file_write_dir(dir, "keys", &item, 1, false, &e), 0);
    assert_int_equal(backup_move(dir, "keys", copy, &e), 0);
    assert_content("keys.~1~/key", "old\n");
    assert_int_equal(file_path(path, dir, "keys", &e), 0);
    assert_false(file_exists(path));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_write),
        T(test_leftovers),
        T(test_write_dir),
        T(test_a_planted_link),
        T(test_only_files_are_replaced),
        T(test_reading),
        T(test_directories),
        T(test_backup),
        T(test_backup_without_a_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
