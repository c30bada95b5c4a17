#include "base/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int readfile_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int rv;

    if (fd < 0)
        return -errno;
    rv = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (rv)
        close(fd);
    return rv ? rv : fd;
}

ssize_t readfile_bytes(int fd, void *buf, size_t max)
{
    size_t len = 0;
    char more;

    for (;;) {
        ssize_t n = len < max ? read(fd, (char *)buf + len, max - len) : read(fd, &more, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return (ssize_t)len;
        if (len == max)
            return -EFBIG;
        len += (size_t)n;
    }
}

int readfile_text(int fd, size_t max, char **ret, size_t *ret_len)
{
    char *room = malloc(max + 1), *text = NULL;
    ssize_t n = room ? readfile_bytes(fd, room, max) : -ENOMEM;

    if (n >= 0)
        text = malloc((size_t)n + 1);
    if (text) {
        memcpy(text, room, (size_t)n);
        text[n] = 0;
        *ret = text;
        *ret_len = (size_t)n;
    }
    if (room && n) /* when it failed, nobody says how much of it was used */
        explicit_bzero(room, n < 0 ? max : (size_t)n);
    free(room);
    return n < 0 ? (int)n : text ? 0 : -ENOMEM;
}
