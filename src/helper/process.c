/* The two processes: how they begin, what the helper waits for, and how they end together. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "helper/client.h"
#include "helper/effects.h"
#include "helper/last.h"

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP};

struct process {
    const struct helper_opts *opts;
    struct sandbox_user user;
    pid_t pid;        /* the data plane's */
    int pair[2];      /* helper, data plane */
    int events[2];    /* pipe: read end, write end */
    sigset_t signals; /* blocked in both processes */
    sigset_t before;
    struct server server;
    struct effects effects;
};

static enum exit_code cannot(const char *what, int err)
{
    log_error("helper: cannot %s: %s", what, strerror(-err));
    return EXIT_CODE_START;
}

/* --- the helper ------------------------------------------------------------------------ */

static int receive(int fd, void *buf, size_t size, size_t *ret_len)
{
    ssize_t n;

    do
        n = recv(fd, buf, size, MSG_DONTWAIT | MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *ret_len = (size_t)n;
    return 0;
}

/* One request. False when the data plane has closed its end. */
static bool serve(struct process *p)
{
    union {
        struct helper_request q;
        struct helper_text_request text;
        struct helper_routes_request routes;
    } q;
    struct server_reply reply;
    size_t len = 0;
    int r = receive(p->pair[0], &q, sizeof(q), &len);

    if (r == -EAGAIN)
        return true;
    if (r || !len)
        return false;
    server_handle(&p->server, &q, len, &reply);
    /* Does not wait: a data plane that asks without reading the answers gets none. */
    (void)sock_send_fd(p->pair[0], &reply.answer, sizeof(reply.answer), reply.fd, MSG_DONTWAIT);
    if (reply.close_fd)
        close(reply.fd);
    return true;
}

static enum exit_code code_of(struct process *p, int status)
{
    if (WIFEXITED(status))
        return (enum exit_code)WEXITSTATUS(status);
    snprintf(p->server.end, sizeof(p->server.end), "the data plane was killed by signal %d (%s)",
             WTERMSIG(status), strsignal(WTERMSIG(status)));
    log_error("tunnel: the data plane was killed by signal %d (%s)", WTERMSIG(status),
              strsignal(WTERMSIG(status)));
    return EXIT_CODE_INTERNAL;
}

/* Pass signals on. True when the data plane has ended, with its code. */
static bool on_signal(struct process *p, int signal_fd, enum exit_code *ret)
{
    struct signalfd_siginfo info;
    int status;

    if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
        return false;
    if (info.ssi_signo != SIGCHLD) {
        uint8_t signo = (uint8_t)info.ssi_signo;

        if (write(p->events[1], &signo, 1) < 0 && errno != EAGAIN && errno != EPIPE)
            log_error("helper: cannot pass on a signal: %s", strerror(errno));
        return false;
    }
    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return false;
    *ret = code_of(p, status);
    return true;
}

static enum exit_code serve_until_end(struct process *p, int signal_fd)
{
    struct pollfd v[2] = {{.fd = signal_fd, .events = POLLIN},
                          {.fd = p->pair[0], .events = POLLIN}};
    enum exit_code code;

    for (;;) {
        if (poll(v, 2, -1) < 0 && errno != EINTR)
            return EXIT_CODE_INTERNAL;
        if (v[1].revents && !serve(p))
            v[1].fd = -1; /* it ends: SIGCHLD follows */
        if (v[0].revents && on_signal(p, signal_fd, &code))
            return code;
    }
}

/* Why it ended, for those who ask later. */
static void leave_word(const struct process *p, enum exit_code code)
{
    struct last_end end = {.code = code, .time_s = clock_real_s()};
    int r;

    if (code == EXIT_CODE_OK) {
        last_end_forget(p->opts->name);
        return;
    }
    snprintf(end.text, sizeof(end.text), "%s", p->server.end);
    r = last_end_save(p->opts->name, &end, p->user.has_group ? &p->user.group : NULL);
    if (r)
        log_info("helper: cannot leave word of the end in the run directory: %s", strerror(-r));
}

static enum exit_code run_helper(struct process *p)
{
    _cleanup_close_ int signal_fd = signalfd(-1, &p->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    enum exit_code code = EXIT_CODE_START;
    int r;

    close(p->pair[1]);
    close(p->events[0]);
    r = signal_fd < 0 ? -errno : sandbox_keep_helper(&p->user, p->pid);
    if (!r)
        r = effects_init(&p->effects, &p->user);
    if (r) {
        kill(p->pid, SIGKILL);
        cannot("start", r);
    } else {
        server_init(&p->server, p->opts, &effects_real, &p->effects);
        code = serve_until_end(p, signal_fd);
        leave_word(p, code);
        server_done(&p->server);
        effects_done(&p->effects);
    }
    close(p->pair[0]);
    close(p->events[1]);
    sigprocmask(SIG_SETMASK, &p->before, NULL);
    return code;
}

/* --- the data plane -------------------------------------------------------------------- */

static enum exit_code run_data_plane(struct process *p, pid_t parent, struct helper *h,
                                     helper_data_plane *fn, void *user)
{
    sigset_t child_end;
    bool same_user = false;
    const char *what = "";
    int r;

    close(p->pair[0]);
    close(p->events[1]);
    sigemptyset(&child_end);
    sigaddset(&child_end, SIGCHLD);
    sigprocmask(SIG_UNBLOCK, &child_end, NULL);
    prctl(PR_SET_NAME, "mpquic-data");
    h->fd = p->pair[1];
    h->event_fd = p->events[0];
    r = sandbox_enter(&p->user, parent, &same_user, &what);
    if (r)
        return cannot(what, r);
    if (same_user)
        log_info("helper: this user namespace has no other user: the data plane stays uid %u, "
                 "without capabilities",
                 (unsigned)geteuid());
    return fn(h, user);
}

/* --- both ------------------------------------------------------------------------------ */

static uint64_t watchdog_ns(void)
{
#if HAVE_SYSTEMD
    uint64_t usec = 0;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec * NS_PER_US : 0;
#else
    return 0;
#endif
}

static int prepare(struct process *p)
{
    int r;

    /* Whatever the one who started us left open is for neither process. */
    close_range(STDERR_FILENO + 1, ~0u, 0);
    r = sandbox_user_find(&p->user);

    if (r)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->pair))
        return -errno;
    if (pipe2(p->events, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    sigemptyset(&p->signals);
    sigaddset(&p->signals, SIGCHLD);
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
        sigaddset(&p->signals, forwarded[i]);
    sigprocmask(SIG_BLOCK, &p->signals, &p->before);
    return 0;
}

enum exit_code helper_run(const struct helper_opts *opts, helper_data_plane *fn, void *user)
{
    struct process p = {.opts = opts, .pair = {-1, -1}, .events = {-1, -1}};
    struct helper h = {.name = opts->name, .watchdog_ns = watchdog_ns()};
    pid_t parent = getpid();
    int r = prepare(&p);

    if (r)
        return cannot("start", r);
    fflush(NULL); /* what is buffered must not be written twice */
    p.pid = fork();
    if (p.pid < 0)
        return cannot("start the data plane", -errno);
    return p.pid ? run_helper(&p) : run_data_plane(&p, parent, &h, fn, user);
}
