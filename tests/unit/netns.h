/* A network namespace of the test's own, for tests of the system-call edges. */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static inline void netns_die(const char *what)
{
    perror(what);
    exit(1);
}

static inline void netns_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        netns_die(path);
    close(fd);
}

/* Bring an interface up and give it an MTU (0: leave it). */
static inline void netns_link_up(const char *name, int mtu)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = {0};

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
    ifr.ifr_mtu = mtu;
    if (mtu && ioctl(fd, SIOCSIFMTU, &ifr) < 0)
        netns_die("SIOCSIFMTU");
    if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
        netns_die("SIOCGIFFLAGS");
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
    if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
        netns_die("SIOCSIFFLAGS");
    close(fd);
}

/* Enter new namespaces (CLONE_NEW...), inside a new user namespace when not root. The test fails
 * when the system permits neither. */
static inline void netns_unshare(int kinds)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[64];

    if (uid == 0 && unshare(kinds) == 0)
        return;
    if (unshare(CLONE_NEWUSER | kinds) < 0)
        netns_die("this test needs namespaces (root or user namespaces): unshare");
    netns_write("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", uid);
    netns_write("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    netns_write("/proc/self/gid_map", map);
}

/* Enter a new network namespace with the loopback interface up. */
static inline void netns_enter(void)
{
    netns_unshare(CLONE_NEWNET);
    netns_link_up("lo", 0);
}

#endif
