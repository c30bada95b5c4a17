/* Who changes the kernel: the lock, and who has it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/place.h"
#include "cli/gateway.h"

#define LOCK_WAIT_NS (5 * NS_PER_S)

static int open_lock(void)
{
    char dir[PLACE_PATH_MAX], path[PLACE_PATH_MAX + 16];
    int rv = place_run_dir(dir, sizeof(dir)), fd;

    if (rv)
        return rv;
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof(path), "%s/gateway.lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd < 0 ? -errno : fd;
}

#define DAEMON_MARK "run"

static pid_t read_pid(int fd, bool *ret_daemon)
{
    char text[24] = "", *end;
    pid_t pid;

    *ret_daemon = false;
    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    pid = (pid_t)strtol(text, &end, 10);
    *ret_daemon = !strncmp(end, " " DAEMON_MARK, strlen(" " DAEMON_MARK));
    return pid;
}

int gatewaycli_lock(pid_t *ret_pid)
{
    int fd = open_lock();

    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = errno;
        bool daemon;

        *ret_pid = read_pid(fd, &daemon);
        close(fd);
        return err == EWOULDBLOCK ? -EAGAIN : -err;
    }
    if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static pid_t holder(bool *ret_daemon)
{
    pid_t pid = 0;
    int fd = open_lock();

    *ret_daemon = false;
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_SH | LOCK_NB))
        pid = read_pid(fd, ret_daemon);
    close(fd);
    return pid;
}

pid_t gatewaycli_holder(void)
{
    bool daemon;

    return holder(&daemon);
}

int gatewaycli_lock_set_daemon(int lock)
{
    return lseek(lock, 0, SEEK_SET) || ftruncate(lock, 0) ||
                   dprintf(lock, "%d " DAEMON_MARK "\n", (int)getpid()) < 0
               ? -EIO
               : 0;
}

pid_t gatewaycli_daemon(void)
{
    bool daemon;
    pid_t pid = holder(&daemon);

    return pid < 0 || daemon ? pid : 0;
}

/* Verbs hold the lock for a moment only. */
int gatewaycli_lock_wait(pid_t *ret_pid)
{
    static const struct timespec pause = {0, 20 * NS_PER_MS};
    uint64_t until_ns = clock_mono_ns() + LOCK_WAIT_NS;
    int fd;

    while ((fd = gatewaycli_lock(ret_pid)) == -EAGAIN && !gatewaycli_daemon() &&
           clock_mono_ns() < until_ns)
        nanosleep(&pause, NULL);
    return fd;
}

int gatewaycli_lock_or_say(const struct cli_verb *verb)
{
    pid_t pid = 0;
    int fd = gatewaycli_lock_wait(&pid);

    if (fd == -EAGAIN)
        fprintf(stderr,
                "mpquic %s: the gateway is at work (process %d): stop it first, or have it take "
                "another "
                "configuration: mpquic gateway apply\n",
                verb->name, (int)pid);
    else if (fd < 0)
        fprintf(stderr, "mpquic %s: cannot lock the gateway: %s\n", verb->name,
                gatewaycli_strerror(-fd));
    return fd;
}
