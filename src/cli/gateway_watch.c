#include "cli/gateway_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/settle.h"
#include "wan/statefile.h"

#define PAUSE_NS (1 * NS_PER_S)

static void sleep_until(uint64_t at_ns)
{
    struct timespec t = {(time_t)(at_ns / NS_PER_S), (long)(at_ns % NS_PER_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

static void note(void *user, const struct wan_op *op, int error)
{
}

static void note_foreign(void *user, bool taken, const char *text, int error)
{
}

enum phase { PHASE_GONE, PHASE_WAIT, PHASE_OVER };

/* It is gone when it was confirmed, or somebody else has taken it back. */
static enum phase look(const char *dir, const char *id)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(dir, &t);
    enum phase p = PHASE_GONE;

    if (rv == -EBADMSG)
        p = PHASE_OVER;
    else if (!rv && !strcmp(t.id, id))
        p = confirm_is_over_now(&t) ? PHASE_OVER : PHASE_WAIT;
    confirm_trial_done(&t);
    return p;
}

/* 0, -EAGAIN: somebody else is at work; other -errno. */
static int take_back(const char *dir)
{
    pid_t pid;
    _cleanup_close_ int lock = gatewaycli_lock(&pid);
    struct settle s = {.dir = dir, .note = note, .note_foreign = note_foreign};
    char state[STATEFILE_PATH_MAX];
    int rv = lock < 0 ? lock : gatewaycli_state_file(state, sizeof(state));

    if (!rv)
        rv = gateway_open(NULL, state, &s.g);
    if (!rv) {
        gatewaycli_watch_events(s.g, EVENTLOG_TRIAL);
        rv = settle_return(&s);
    }
    if (!rv)
        gatewaycli_write_event("trial", "{s:s}", "is", "taken back");
    gateway_close(s.g);
    return rv;
}

static void watch(const char *dir, const struct confirm_trial *t)
{
    enum phase p;
    int told = 0;

    openlog("mpquic", LOG_PID, LOG_DAEMON);
    while ((p = look(dir, t->id)) != PHASE_GONE) {
        uint64_t soon = clock_mono_ns() + PAUSE_NS;
        int rv = p == PHASE_OVER ? take_back(dir) : -EAGAIN;

        if (!rv)
            syslog(LOG_NOTICE, "gateway: not confirmed: the former configuration is back");
        else if (rv != -EAGAIN && rv != told)
            syslog(LOG_ERR, "gateway: what was on trial cannot be taken back: %s", strerror(-rv));
        told = rv;
        if (rv)
            sleep_until(p == PHASE_WAIT ? MIN(soon, t->deadline_ns) : soon);
    }
}

/* Out of the control group of the session, which is emptied where sessions end with all of their
 * processes. Where that is not possible nothing is lost: others find the trial. */
static void leave_session(const char *dir)
{
    static const char self[] = "0\n";
    int fd = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC), null;

    if (fd >= 0) {
        if (write(fd, self, strlen(self)) < 0)
            errno = 0;
        close(fd);
    }
    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (*dir == '/' && chdir("/"))
        errno = 0;
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i < 3; i++)
        dup2(null, i);
    close_range(3, ~0u, 0); /* the lock, too */
    gatewaycli_forget_events();
}

int gatewaywatch_start(const char *dir, const struct confirm_trial *t)
{
    pid_t pid;
    int status;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        return -errno;
    if (!pid) {
        leave_session(dir);
        pid = fork(); /* nobody has to wait for it */
        if (!pid)
            watch(dir, t);
        _exit(pid < 0);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}
