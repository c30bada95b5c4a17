#include "pki/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/util.h"

enum { LOCK_POLL_MS = 20, TEMP_NAME_MAX = 300 };

/* --- text ------------------------------------------------------------------------------ */

void file_text_done(struct file_text *t)
{
    if (t->data)
        explicit_bzero(t->data, t->len);
    free(t->data);
    *t = (struct file_text){0};
}

int file_text_set(struct file_text *t, const void *data, size_t len, struct pki_error *e)
{
    char *copy = malloc(len + 1);

    if (!copy)
        return pki_error_set(e, -ENOMEM, "out of memory");
    memcpy(copy, data, len);
    copy[len] = 0;
    file_text_done(t);
    t->data = copy;
    t->len = len;
    return 0;
}

/* --- names and reading ----------------------------------------------------------------- */

int file_path(char dst[static FILE_PATH_MAX], const char *dir, const char *name,
              struct pki_error *e)
{
    int n = snprintf(dst, FILE_PATH_MAX, "%s/%s", dir, name);

    if (n < 0 || n >= FILE_PATH_MAX)
        return pki_error_set(e, -ENAMETOOLONG, "%s: the path is too long", name);
    return 0;
}

bool file_exists(const char *path)
{
    struct stat st;

    return !lstat(path, &st);
}

static int file_error(struct pki_error *e, int err, const char *what, const char *path)
{
    const char *hint = err == ENOSPC || err == EDQUOT  ? ": free some space and run it again"
                       : err == EACCES || err == EPERM ? ": run it as root"
                       : err == EROFS                  ? ": remount it writable"
                                                       : "";

    return pki_error_set(e, -err, "%s: cannot %s: %s%s", path, what, strerror(err), hint);
}

int file_read(const char *path, struct file_text *ret, struct pki_error *e)
{
    _cleanup_close_ int fd = readfile_open(path);
    struct file_text t = {0};
    int rv = fd < 0 ? fd : readfile_text(fd, FILE_TEXT_MAX, &t.data, &t.len);

    if (fd == -EINVAL)
        return pki_error_set(e, rv, "%s: not a regular file", path);
    if (rv == -EFBIG)
        return pki_error_set(e, rv, "%s: larger than %d bytes", path, FILE_TEXT_MAX);
    if (rv)
        return file_error(e, -rv, "read", path);
    file_text_done(ret);
    *ret = t;
    return 0;
}

/* --- directories ----------------------------------------------------------------------- */

/* Make what was done in a directory durable. */
static int sync_dir(const char *dir)
{
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || (fsync(fd) && errno != EINVAL) ? -errno : 0;
}

int file_make_dir(const char *path, mode_t mode, struct pki_error *e)
{
    char part[FILE_PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof(part))
        return pki_error_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i])
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, mode) && errno != EEXIST)
            return file_error(e, errno, "make the directory", part);
    }
    return 0;
}

int file_lock_dir(const char *dir, unsigned timeout_ms, struct pki_error *e)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned waited = 0;

    if (fd < 0)
        return file_error(e, errno, "open the directory", dir);
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = errno;

        if (err == EWOULDBLOCK && waited < timeout_ms) {
            nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_MS * 1000000L}, NULL);
            waited += LOCK_POLL_MS;
            continue;
        }
        close(fd);
        if (err == EWOULDBLOCK)
            return pki_error_set(
                e, -EBUSY, "%s: another mpquic is writing there: wait for it and run it again",
                dir);
        return file_error(e, err, "lock", dir);
    }
    return fd;
}

/* --- writing --------------------------------------------------------------------------- */

static int write_all(int fd, const struct file_text *text)
{
    for (size_t done = 0; done < text->len;) {
        ssize_t n = write(fd, text->data + done, text->len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

/* A new file, durable. Returns 0, or -errno and there is none. */
static int write_new(const char *path, mode_t mode, const struct file_text *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rv;

    if (fd < 0)
        return -errno;
    rv = write_all(fd, text);
    if (!rv && (fchmod(fd, mode) || fsync(fd)))
        rv = -errno;
    if (close(fd) && !rv)
        rv = -errno;
    if (rv)
        unlink(path);
    return rv;
}

static int temp_path(char dst[static FILE_PATH_MAX], const char *dir, const char *name,
                     struct pki_error *e)
{
    char temp[TEMP_NAME_MAX];

    if (snprintf(temp, sizeof(temp), ".%s.new", name) >= (int)sizeof(temp))
        return pki_error_set(e, -ENAMETOOLONG, "%s: the name is too long", name);
    return file_path(dst, dir, temp, e);
}

/* A device or a FIFO would be gone when a file is moved into its place. */
static bool is_replaceable(const char *path)
{
    struct stat st;

    return lstat(path, &st) || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
}

int file_write(const char *dir, const char *name, mode_t mode, const struct file_text *text,
               struct pki_error *e)
{
    char path[FILE_PATH_MAX], temp[FILE_PATH_MAX];
    int rv = file_path(path, dir, name, e);

    if (!rv)
        rv = temp_path(temp, dir, name, e);
    if (rv)
        return rv;
    if (!is_replaceable(path))
        return pki_error_set(e, -EINVAL, "%s: not a regular file", path);
    unlink(temp); /* what a crash left */
    rv = write_new(temp, mode, text);
    if (!rv && rename(temp, path)) {
        rv = -errno;
        unlink(temp);
    }
    if (!rv)
        rv = sync_dir(dir);
    return rv ? file_error(e, -rv, "write", path) : 0;
}

void file_remove_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (fd >= 0 && !d)
        close(fd);
    if (fd < 0)
        unlink(path);
    while (d && (entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

/* The new directory under its temporary name. */
static int fill_dir(const char *temp, const struct file_item *items, unsigned n,
                    struct pki_error *e)
{
    char path[FILE_PATH_MAX];
    int rv;

    if (mkdir(temp, 0755) || chmod(temp, 0755))
        return file_error(e, errno, "make the directory", temp);
    for (unsigned i = 0; i < n; i++) {
        rv = file_path(path, temp, items[i].name, e);
        if (rv)
            return rv;
        rv = write_new(path, items[i].mode, items[i].text);
        if (rv)
            return file_error(e, -rv, "write", path);
    }
    rv = sync_dir(temp);
    return rv ? file_error(e, -rv, "write", temp) : 0;
}

/* Where directories cannot be exchanged: the files one after the other. */
static int move_files(const char *temp, const char *path, const struct file_item *items, unsigned n,
                      struct pki_error *e)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];

    for (unsigned i = 0; i < n; i++) {
        int rv = file_path(from, temp, items[i].name, e);

        if (!rv)
            rv = file_path(to, path, items[i].name, e);
        if (rv)
            return rv;
        if (rename(from, to))
            return file_error(e, errno, "write", to);
    }
    return 0;
}

static int put_in_place(const char *temp, const char *path, const struct file_item *items,
                        unsigned n, bool replace, struct pki_error *e)
{
    int rv = 0;

    if (!renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE))
        return 0;
    if (errno == EINVAL && !file_exists(path)) /* a file system without the flag */
        return rename(temp, path) ? file_error(e, errno, "write", path) : 0;
    if (!file_exists(path))
        return file_error(e, errno, "write", path);
    if (!replace)
        return pki_error_set(e, -EEXIST, "%s: is there already", path);
    if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_EXCHANGE))
        rv = move_files(temp, path, items, n, e);
    file_remove_dir(temp);
    return rv;
}

int file_write_dir(const char *dir, const char *name, const struct file_item *items, unsigned n,
                   bool replace, struct pki_error *e)
{
    char path[FILE_PATH_MAX], temp[FILE_PATH_MAX];
    int rv = file_path(path, dir, name, e);

    if (!rv)
        rv = temp_path(temp, dir, name, e);
    if (rv)
        return rv;
    if (!replace && file_exists(path))
        return pki_error_set(e, -EEXIST, "%s: is there already", path);
    file_remove_dir(temp); /* what a crash left */
    rv = fill_dir(temp, items, n, e);
    if (!rv)
        rv = put_in_place(temp, path, items, n, replace, e);
    if (rv) {
        file_remove_dir(temp);
        return rv;
    }
    rv = sync_dir(dir);
    return rv ? file_error(e, -rv, "write", path) : 0;
}
