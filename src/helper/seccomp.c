/* The system calls of the two processes. What is not in a list is answered with EPERM, as are the
 * calls in it with other arguments.
 *
 * The data plane: everything it opens beyond plain sockets comes from the helper, so it needs no
 * more than: read and write what it has, wait, memory, time, threads for name lookups, and files to
 * read.
 *
 * The helper opens and makes what it was asked for: files, a directory and a socket file, sockets
 * of the kinds that it hands out, its TUN. It starts nothing, and signals nobody but the data
 * plane. Which files and which interface is for the checks of its requests: a filter sees no names.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "helper/sandbox.h"

/* Of both. */
static const int plain[] = {
    /* descriptors that it has */
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(pread64),
    SCMP_SYS(dup),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recv),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(send),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    /* waiting */
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(eventfd2),
    SCMP_SYS(signalfd4),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* time, randomness, who am I */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    /* memory and threads */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(membarrier),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_tid_address),
    /* signals */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    /* files: what they are */
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstatat64),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(fadvise64),
};

/* Of the helper besides. */
static const int helpers[] = {
    /* files: to read, and to write the time and the last word; the place of the control socket */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(umask),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(chown32),
    SCMP_SYS(fchown),
    SCMP_SYS(fchown32),
    SCMP_SYS(fchownat),
    SCMP_SYS(memfd_create),
    SCMP_SYS(listen),
    /* the data plane's end */
    SCMP_SYS(wait4),
    SCMP_SYS(waitpid),
    SCMP_SYS(waitid),
};

#ifdef __SANITIZE_ADDRESS__
/* The leak check at the end stops all threads from a process that traces them. */
static const int sanitizer[] = {
    SCMP_SYS(ptrace),     SCMP_SYS(clone),
    SCMP_SYS(wait4),      SCMP_SYS(prctl),
    SCMP_SYS(readlink),   SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64), SCMP_SYS(kill),
    SCMP_SYS(tgkill),     SCMP_SYS(tkill),
    SCMP_SYS(mprotect),   SCMP_SYS(prlimit64),
    SCMP_SYS(arch_prctl), SCMP_SYS(process_vm_readv),
    SCMP_SYS(setrlimit),  SCMP_SYS(getdents),
};
#endif

static int allow_plain(scmp_filter_ctx ctx, const int *v, size_t n)
{
    int r = 0;

    for (size_t i = 0; i < n && !r; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, v[i], 0);
    return r;
}

/* Allow a call when the argument has this value, or when the bits under mask are this. */
static int allow_value(scmp_filter_ctx ctx, int nr, unsigned arg, uint64_t value)
{
    struct scmp_arg_cmp cmp = {.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value};

    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
}

static int allow_masked(scmp_filter_ctx ctx, int nr, unsigned arg, uint64_t mask, uint64_t bits)
{
    struct scmp_arg_cmp cmp = {
        .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = bits};

    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, 1, &cmp);
}

static int allow_sockets(scmp_filter_ctx ctx)
{
    static const uint64_t domains[] = {AF_INET, AF_INET6, AF_UNIX};
    struct scmp_arg_cmp netlink[] = {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_NETLINK},
                                     {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = NETLINK_ROUTE}};
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(domains) && !r; i++)
        r = allow_value(ctx, SCMP_SYS(socket), 0, domains[i]);
    return r ? r : seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, netlink);
}

/* Only to read, and nothing new. */
static int allow_reading(scmp_filter_ctx ctx)
{
    uint64_t mask = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    int r = allow_masked(ctx, SCMP_SYS(openat), 2, mask, O_RDONLY);

    return r ? r : allow_masked(ctx, SCMP_SYS(open), 1, mask, O_RDONLY);
}

static int allow_memory(scmp_filter_ctx ctx)
{
    int r = allow_masked(ctx, SCMP_SYS(mmap), 2, PROT_EXEC, 0);

    if (!r)
        r = allow_masked(ctx, SCMP_SYS(mmap2), 2, PROT_EXEC, 0);
    return r ? r : allow_masked(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

/* A thread, no process. clone3 hides its flags from the filter: the C library then uses clone. */
static int allow_threads(scmp_filter_ctx ctx)
{
    int r = allow_masked(ctx, SCMP_SYS(clone), 0,
                         CLONE_THREAD | CLONE_VM | CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS,
                         CLONE_THREAD | CLONE_VM);

    return r ? r : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* Descriptors, the own name, the own limits and abort(). */
static int allow_some_arguments(scmp_filter_ctx ctx)
{
    static const uint64_t fcntls[] = {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC};
    static const uint64_t ioctls[] = {FIONREAD, FIONBIO};
    static const uint64_t prctls[] = {PR_SET_NAME, PR_SET_TIMERSLACK, PR_GET_NAME};
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(fcntls) && !r; i++) {
        r = allow_value(ctx, SCMP_SYS(fcntl), 1, fcntls[i]);
        if (!r)
            r = allow_value(ctx, SCMP_SYS(fcntl64), 1, fcntls[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(ioctls) && !r; i++)
        r = allow_value(ctx, SCMP_SYS(ioctl), 1, ioctls[i]);
    for (size_t i = 0; i < ARRAY_LEN(prctls) && !r; i++)
        r = allow_value(ctx, SCMP_SYS(prctl), 0, prctls[i]);
    if (!r) /* abort() */
        r = allow_value(ctx, SCMP_SYS(tgkill), 0, (uint64_t)getpid());
    if (!r) /* limits may be read, of the own process */
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                             SCMP_A2(SCMP_CMP_EQ, 0));
    return r;
}

/* What both may do. */
static int add_common(scmp_filter_ctx ctx)
{
    int r = allow_plain(ctx, plain, ARRAY_LEN(plain));

    if (!r)
        r = allow_memory(ctx);
    if (!r)
        r = allow_some_arguments(ctx);
    if (!r) /* the C library goes on with an older call when it hears this */
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(faccessat2), 0);
#ifdef __SANITIZE_ADDRESS__
    if (!r)
        r = allow_plain(ctx, sanitizer, ARRAY_LEN(sanitizer));
#endif
    return r;
}

static int add_data_plane(scmp_filter_ctx ctx)
{
    int r = add_common(ctx);

    if (!r)
        r = allow_sockets(ctx);
    if (!r)
        r = allow_reading(ctx);
    return r ? r : allow_threads(ctx);
}

/* --- the helper ------------------------------------------------------------------------ */

/* UDP for the data plane; UNIX for the control socket and the service manager; routing requests.
 * Not the raw and packet sockets that its capabilities would permit. */
static int allow_helper_sockets(scmp_filter_ctx ctx)
{
    static const struct {
        uint64_t domain, type;
    } kinds[] = {{AF_INET, SOCK_DGRAM},
                 {AF_INET6, SOCK_DGRAM},
                 {AF_UNIX, SOCK_DGRAM},
                 {AF_UNIX, SOCK_STREAM}};
    struct scmp_arg_cmp netlink[] = {{.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_NETLINK},
                                     {.arg = 2, .op = SCMP_CMP_EQ, .datum_a = NETLINK_ROUTE}};
    uint64_t mask = ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK) & UINT32_MAX;
    int r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, netlink);

    for (size_t i = 0; i < ARRAY_LEN(kinds) && !r; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                             SCMP_A0(SCMP_CMP_EQ, kinds[i].domain),
                             SCMP_A1(SCMP_CMP_MASKED_EQ, mask, kinds[i].type));
    return r;
}

/* Its TUN, and the index of an interface by its name. */
static int allow_tun(scmp_filter_ctx ctx)
{
    static const uint64_t ioctls[] = {TUNSETIFF,       TUNGETIFF,   TUNSETPERSIST, TUNSETOFFLOAD,
                                      TUNSETVNETHDRSZ, TUNSETOWNER, TUNSETGROUP,   SIOCGIFINDEX};
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(ioctls) && !r; i++)
        r = allow_value(ctx, SCMP_SYS(ioctl), 1, ioctls[i]);
    return r;
}

static int add_helper(scmp_filter_ctx ctx, pid_t data_plane)
{
    int r = add_common(ctx);

    if (!r)
        r = allow_plain(ctx, helpers, ARRAY_LEN(helpers));
    if (!r)
        r = allow_helper_sockets(ctx);
    if (!r)
        r = allow_tun(ctx);
    return r ? r : allow_value(ctx, SCMP_SYS(kill), 0, (uint64_t)data_plane);
}

/* --- both ------------------------------------------------------------------------------ */

static int load(scmp_filter_ctx ctx, int r)
{
    if (!r)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!r)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    return r;
}

int sandbox_filter_data_plane(void)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    return load(ctx, ctx ? add_data_plane(ctx) : -ENOMEM);
}

int sandbox_filter_helper(pid_t data_plane)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    return load(ctx, ctx ? add_helper(ctx, data_plane) : -ENOMEM);
}
