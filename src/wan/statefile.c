#include "wan/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/util.h"

int statefile_path(char buf[static STATEFILE_PATH_MAX], const char *dir, const char *name)
{
    int n = snprintf(buf, STATEFILE_PATH_MAX, "%s/%s", dir, name);

    return n < 0 || n >= STATEFILE_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* A name is on the disk when its directory is. */
static int sync_dir(const char *dir)
{
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) ? -errno : 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -ENOSPC;
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) ? -errno : 0;
}

int statefile_write(const char *dir, const char *name, const char *data, size_t len)
{
    char path[STATEFILE_PATH_MAX], fresh[STATEFILE_PATH_MAX + 4];
    int rv = statefile_path(path, dir, name), fd;

    if (rv)
        return rv;
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    rv = write_all(fd, data, len);
    if (close(fd) && !rv)
        rv = -errno;
    if (!rv && rename(fresh, path))
        rv = -errno;
    if (rv) {
        unlink(fresh);
        return rv;
    }
    return sync_dir(dir);
}

int statefile_read(const char *dir, const char *name, char **ret, size_t *ret_len)
{
    char path[STATEFILE_PATH_MAX];
    int rv = statefile_path(path, dir, name);
    _cleanup_close_ int fd = rv ? -1 : readfile_open(path);

    if (fd < 0)
        return rv ? rv : fd;
    return readfile_text(fd, STATEFILE_BYTES_MAX, ret, ret_len);
}

int statefile_remove(const char *dir, const char *name)
{
    char path[STATEFILE_PATH_MAX];
    int rv = statefile_path(path, dir, name);

    if (rv)
        return rv;
    if (unlink(path))
        return errno == ENOENT ? 0 : -errno;
    return sync_dir(dir);
}
