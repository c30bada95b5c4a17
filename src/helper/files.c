/* Files that the helper reads for the data plane, and the one that it writes. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "helper/effects.h"

enum { STATE_PATH_MAX = 512 };

int files_open(const char *path)
{
    /* O_NONBLOCK: a FIFO must not hold the helper up */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -EINVAL;
}

int files_stat(const char *path, struct helper_stamp *ret)
{
    struct stat st;

    if (stat(path, &st))
        return -errno;
    ret->ino = st.st_ino;
    ret->mtime_ns = (int64_t)st.st_mtim.tv_sec * (int64_t)NS_PER_S + st.st_mtim.tv_nsec;
    ret->size_bytes = (uint64_t)st.st_size;
    return 0;
}

/* --- the configuration ----------------------------------------------------------------- */

/* Up to len bytes of a file. Returns their number, -EFBIG or other -errno. */
static ssize_t read_all(int fd, char *buf, size_t len)
{
    size_t have = 0;
    char more;

    while (have < len) {
        ssize_t n = read(fd, buf + have, len - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : (ssize_t)have;
        have += (size_t)n;
    }
    return read(fd, &more, 1) ? -EFBIG : (ssize_t)have;
}

/* The text as a descriptor of its own: what the data plane reads is what was parsed here, even
 * when the file is written meanwhile. */
static int text_fd(const char *text, size_t len)
{
    int fd = memfd_create("configuration", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -ENOMEM;
        }
        done += (size_t)n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static struct tunnel_config *parse(const char *text, size_t len)
{
    struct tunnel_config *c = malloc(sizeof(*c));
    struct config_report report = {0};

    if (c && config_parse(text, len, c, &report)) {
        free(c);
        c = NULL;
    }
    config_report_done(&report);
    return c;
}

/* The text of an open file, parsed if it can be, as a descriptor or -errno. */
static int take_text(int fd, char *text, struct tunnel_config **ret)
{
    ssize_t len = read_all(fd, text, HELPER_FILE_MAX);
    int out = len < 0 ? (int)len : text_fd(text, (size_t)len);

    if (out >= 0)
        *ret = parse(text, (size_t)len);
    return out;
}

int files_config_read(const char *path, struct tunnel_config **ret)
{
    int fd = files_open(path), out;
    char *text;

    if (fd < 0)
        return fd;
    text = malloc(HELPER_FILE_MAX);
    out = text ? take_text(fd, text, ret) : -ENOMEM;
    free(text);
    close(fd);
    return out;
}

/* --- the time -------------------------------------------------------------------------- */

static int time_path(const char *name, const char *suffix, char path[static STATE_PATH_MAX])
{
    char dir[STATE_PATH_MAX];
    int r = place_state_dir(dir, sizeof(dir)), n;

    if (r)
        return r;
    n = snprintf(path, STATE_PATH_MAX, "%s/%s.time%s", dir, name, suffix);
    return n < 0 || n >= STATE_PATH_MAX ? -ENAMETOOLONG : 0;
}

int files_time_load(const char *name, int64_t *ret)
{
    char path[STATE_PATH_MAX], text[32] = "", *end;
    int r = time_path(name, "", path);
    _cleanup_close_ int fd = r ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int64_t v;

    if (fd < 0)
        return r ? r : -errno;
    if (read(fd, text, sizeof(text) - 1) <= 0)
        return -ENOENT;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno || end == text || *end != '\n' || v < 0)
        return -ENOENT; /* half written, or not ours */
    *ret = v;
    return 0;
}

int files_time_save(const char *name, int64_t now_s)
{
    char path[STATE_PATH_MAX], temporary[STATE_PATH_MAX], dir[STATE_PATH_MAX], text[32];
    int fd, r = time_path(name, "", path), len;

    if (!r)
        r = time_path(name, ".new", temporary);
    if (!r)
        r = place_state_dir(dir, sizeof(dir));
    if (r)
        return r;
    mkdir(dir, 0755); /* when it fails, so does what follows */
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    len = snprintf(text, sizeof(text), "%" PRId64 "\n", now_s);
    r = write(fd, text, (size_t)len) == len ? 0 : errno ? -errno : -ENOSPC;
    if (close(fd) && !r)
        r = -errno;
    if (!r && rename(temporary, path))
        r = -errno;
    if (r)
        unlink(temporary);
    return r;
}
