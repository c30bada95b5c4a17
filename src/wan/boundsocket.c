#include "wan/boundsocket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int boundsocket_open(uint8_t family, int type, const char *device, int *ret_fd)
{
    int fd = socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = (socklen_t)strnlen(device, 15) + 1;
    int rv;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, len)) {
        rv = -errno;
        close(fd);
        return rv;
    }
    *ret_fd = fd;
    return 0;
}
