/* A preloaded library in which a kernel refuses to a program what $REFUSE names, separated by
 * commas:
 *
 *      uso       TUNSETOFFLOAD with UDP (kernels before 6.2)
 *      tso       TUNSETOFFLOAD with anything
 *      gso       UDP_SEGMENT of a sendmsg(): EIO, as with a device that has no checksum offload
 *      gso-opt   UDP_SEGMENT as a socket option (kernels before 4.18)
 *      gro       UDP_GRO (kernels before 5.0)
 *      force     SO_RCVBUFFORCE and SO_SNDBUFFORCE: no CAP_NET_ADMIN; and net.core.rmem_max and
 *                wmem_max are what a kernel has by itself */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { USO = 0x20 | 0x40, BUFFER_MAX = 212992 };

static bool refused(const char *what)
{
    const char *list = getenv("REFUSE");
    size_t len = strlen(what);

    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strcspn(list, ",") == len && !strncmp(list, what, len))
            return true;
    return false;
}

static int refuse(int err)
{
    errno = err;
    return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    static int (*next)(int, unsigned long, void *);
    va_list ap;
    void *arg;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "ioctl");
    if (request == TUNSETOFFLOAD &&
        (((unsigned long)arg & USO && refused("uso")) || ((unsigned long)arg && refused("tso"))))
        return refuse(EINVAL);
    return next(fd, request, arg);
}

static bool option_is_refused(int level, int option)
{
    if (level == IPPROTO_UDP)
        return (option == UDP_GRO && refused("gro")) ||
               (option == UDP_SEGMENT && refused("gso-opt"));
    return level == SOL_SOCKET && (option == SO_RCVBUFFORCE || option == SO_SNDBUFFORCE) &&
           refused("force");
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    static int (*next)(int, int, int, const void *, socklen_t);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
    if (level == SOL_SOCKET && (option == SO_RCVBUF || option == SO_SNDBUF) && refused("force") &&
        *(const int *)value > BUFFER_MAX)
        return next(fd, level, option, &(int){BUFFER_MAX}, len);
    if (option_is_refused(level, option))
        return refuse(option == SO_RCVBUFFORCE || option == SO_SNDBUFFORCE ? EPERM : ENOPROTOOPT);
    return next(fd, level, option, value, len);
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict len)
{
    static int (*next)(int, int, int, void *, socklen_t *);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "getsockopt");
    return option_is_refused(level, option) ? refuse(ENOPROTOOPT)
                                            : next(fd, level, option, value, len);
}

ssize_t sendmsg(int fd, const struct msghdr *h, int flags)
{
    static ssize_t (*next)(int, const struct msghdr *, int);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR((struct msghdr *)h, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT && refused("gso"))
            return refuse(EIO);
    return next(fd, h, flags);
}
