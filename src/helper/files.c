/* Files that the helper reads for the data plane, and those that it writes for the instance. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/readfile.h"
#include "base/util.h"
#include "helper/effects.h"

enum { STATE_PATH_MAX = 512 };

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

int files_config_read(const char *path, struct tunnel_config **ret)
{
    _cleanup_close_ int fd = readfile_open(path);
    _cleanup_free_ char *text = NULL;
    size_t len;
    int r = fd < 0 ? fd : readfile_text(fd, HELPER_FILE_MAX, &text, &len), out;

    if (r)
        return r;
    out = text_fd(text, len);
    if (out >= 0)
        *ret = parse(text, len);
    return out;
}

/* --- state ----------------------------------------------------------------------------- */

static int state_path(const char *name, const char *suffix, char path[static STATE_PATH_MAX])
{
    char dir[STATE_PATH_MAX];
    int r = place_state_dir(dir, sizeof(dir)), n;

    if (r)
        return r;
    n = snprintf(path, STATE_PATH_MAX, "%s/%s.%s", dir, name, suffix);
    return n < 0 || n >= STATE_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* NAME.KIND with those bytes: all of them or as it was. */
static int write_state(const char *name, const char *kind, const void *data, size_t len,
                       mode_t mode)
{
    char path[STATE_PATH_MAX], temporary[STATE_PATH_MAX], dir[STATE_PATH_MAX], suffix[16];
    int fd, r = state_path(name, kind, path);

    snprintf(suffix, sizeof(suffix), "%s.new", kind);
    if (!r)
        r = state_path(name, suffix, temporary);
    if (!r)
        r = place_state_dir(dir, sizeof(dir));
    if (r)
        return r;
    mkdir(dir, 0755); /* when it fails, so does what follows */
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    r = write(fd, data, len) == (ssize_t)len ? 0 : errno ? -errno : -ENOSPC;
    if (close(fd) && !r)
        r = -errno;
    if (!r && rename(temporary, path))
        r = -errno;
    if (r)
        unlink(temporary);
    return r;
}

/* At most max bytes of NAME.KIND. Returns how many or -errno. */
static ssize_t read_state(const char *name, const char *kind, void *ret, size_t max)
{
    char path[STATE_PATH_MAX];
    int r = state_path(name, kind, path);
    _cleanup_close_ int fd = r ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    return fd < 0 ? (r ? r : -errno) : readfile_bytes(fd, ret, max);
}

int files_time_load(const char *name, int64_t *ret)
{
    char text[32] = "", *end;
    ssize_t n = read_state(name, "time", text, sizeof(text) - 1);
    int64_t v;

    if (n <= 0)
        return n ? (int)n : -ENOENT;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno || end == text || *end != '\n' || v < 0)
        return -ENOENT; /* half written, or not ours */
    *ret = v;
    return 0;
}

int files_time_save(const char *name, int64_t now_s)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRId64 "\n", now_s);

    return write_state(name, "time", text, (size_t)len, 0644);
}

int files_reset_secret(const char *name, uint8_t ret[static HELPER_SECRET_BYTES])
{
    uint8_t secret[HELPER_SECRET_BYTES + 1];
    ssize_t n = read_state(name, "reset", secret, sizeof(secret));
    int r = 0;

    if (n < 0 && n != -ENOENT && n != -EFBIG)
        return (int)n;
    if (n != HELPER_SECRET_BYTES) { /* none yet, or one that was spoilt */
        if (getrandom(secret, HELPER_SECRET_BYTES, 0) != HELPER_SECRET_BYTES)
            return -EIO;
        r = write_state(name, "reset", secret, HELPER_SECRET_BYTES, 0600);
    }
    if (!r)
        memcpy(ret, secret, HELPER_SECRET_BYTES);
    explicit_bzero(secret, sizeof(secret));
    return r;
}
