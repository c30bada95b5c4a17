/* What a process in the data plane's sandbox is, can do, and cannot do, and one in the helper's.
 * Each test runs in a child of its own that enters the sandbox as the data plane or the helper
 * does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/sandbox.h"

enum { CANNOT_ENTER = 255 };

/* In a sandboxed child: it is said to be the user that it was. */
static bool same_user;

/* Run fn in a sandboxed child; its return value, 0 to 254. */
static int in_sandbox(int (*fn)(void))
{
    pid_t parent = getpid(), pid;
    struct sandbox_user user;
    int status = 0;

    assert_int_equal(sandbox_user_find(&user), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        const char *what = "";
        int r = sandbox_enter(&user, parent, &same_user, &what);

        if (r) {
            fprintf(stderr, "cannot %s: %s\n", what, strerror(-r));
            _exit(CANNOT_ENTER);
        }
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), CANNOT_ENTER);
    return WEXITSTATUS(status);
}

/* The data plane of the child that is in the helper's sandbox. */
static pid_t data_plane;

/* The same for a child in the helper's sandbox, which has a child of its own. */
static int in_helper(int (*fn)(void))
{
    struct sandbox_user user;
    int status = 0;
    pid_t pid;

    assert_int_equal(sandbox_user_find(&user), 0);
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        int r;

        data_plane = fork();
        if (!data_plane) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause();
            _exit(0);
        }
        r = sandbox_keep_helper(&user, data_plane);
        if (r)
            fprintf(stderr, "cannot enter: %s\n", strerror(-r));
        r = r ? CANNOT_ENTER : fn();
        kill(data_plane, SIGKILL);
        waitpid(data_plane, NULL, 0);
        _exit(r);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), CANNOT_ENTER);
    return WEXITSTATUS(status);
}

/* --- forbidden ------------------------------------------------------------------------- */

/* Each returns what the call returns: negative with errno EPERM when it is refused. */
static long try_execve(void)
{
    char *argv[] = {(char *)"/bin/true", NULL};

    return execve(argv[0], argv, argv + 1);
}

static long try_execveat(void)
{
    char *argv[] = {(char *)"/bin/true", NULL};

    return syscall(SYS_execveat, AT_FDCWD, argv[0], argv, argv + 1, 0);
}

static long try_fork(void)
{
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long try_write_file(void)
{
    return open("/dev/null", O_WRONLY);
}

static long try_create_file(void)
{
    return open("/tmp/mpquic-sandbox-test", O_RDONLY | O_CREAT, 0600);
}

static long try_truncate_file(void)
{
    return open("/dev/null", O_RDONLY | O_TRUNC);
}

static long try_temporary_file(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR, 0600);
}

static long try_unlink(void)
{
    return unlink("/tmp/mpquic-sandbox-test");
}

static long try_rename(void)
{
    return rename("/tmp/mpquic-sandbox-test", "/tmp/mpquic-sandbox-test2");
}

static long try_chmod(void)
{
    return chmod("/tmp", 0777);
}

static long try_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long try_vsock(void)
{
    return socket(AF_VSOCK, SOCK_STREAM, 0);
}

static long try_other_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 12 /* NETLINK_NETFILTER */);
}

static long try_raw_socket(void)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long try_privileged_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(99)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    long r = bind(fd, (struct sockaddr *)&a, sizeof(a));

    if (r && errno == EACCES)
        errno = EPERM; /* the kernel's word for it here */
    return r;
}

static long try_setuid(void)
{
    return syscall(SYS_setuid, 0);
}

static long try_setresuid(void)
{
    return syscall(SYS_setresuid, 0, 0, 0);
}

static long try_setgid(void)
{
    return syscall(SYS_setgid, 0);
}

static long try_setgroups(void)
{
    gid_t none = 0;

    return syscall(SYS_setgroups, 1, &none);
}

static long try_capset(void)
{
    return syscall(SYS_capset, NULL, NULL);
}

static long try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long try_read_memory(void)
{
    return syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}

static long try_kill(void)
{
    return syscall(SYS_kill, getppid(), 0);
}

static long try_kill_thread_of_others(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long try_mount(void)
{
    return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long try_chroot(void)
{
    return chroot("/tmp");
}

static long try_unshare(void)
{
    return unshare(CLONE_NEWUSER);
}

static long try_setns(void)
{
    return setns(0, 0);
}

static long try_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}

static long try_io_uring(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}

static long try_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, 0);
}

static long try_perf_event(void)
{
    return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}

static long try_keyctl(void)
{
    return syscall(SYS_keyctl, 0, 0);
}

static long try_module(void)
{
    return syscall(SYS_finit_module, 0, "", 0);
}

static long try_reboot(void)
{
    return syscall(SYS_reboot, 0, 0, 0, NULL);
}

static long try_settime(void)
{
    return syscall(SYS_clock_settime, CLOCK_REALTIME, NULL);
}

static long try_tun_ioctl(void)
{
    struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};

    return ioctl(STDIN_FILENO, TUNSETIFF, &ifr);
}

static long try_interface_ioctl(void)
{
    struct ifreq ifr = {0};

    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCGIFFLAGS, &ifr);
}

static long try_terminal_ioctl(void)
{
    return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static long try_dumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_limit(void)
{
    return syscall(SYS_setrlimit, 0, NULL);
}

static long try_memfd(void)
{
    return memfd_create("x", 0);
}

static const struct {
    const char *name;
    long (*call)(void);
    bool with_sanitizer; /* refused there as well */
    enum { BOTH, DATA_PLANE } to;
} forbidden[] = {
    {"execve", try_execve, true, BOTH},
    {"execveat", try_execveat, true, BOTH},
    {"fork", try_fork, false, BOTH},
    {"open for writing", try_write_file, true, DATA_PLANE},
    {"open O_CREAT", try_create_file, true, DATA_PLANE},
    {"open O_TRUNC", try_truncate_file, true, DATA_PLANE},
    {"open O_TMPFILE", try_temporary_file, true, DATA_PLANE},
    {"unlink", try_unlink, true, DATA_PLANE},
    {"rename", try_rename, true, DATA_PLANE},
    {"chmod", try_chmod, true, DATA_PLANE},
    {"socket AF_PACKET", try_packet_socket, true, BOTH},
    {"socket AF_VSOCK", try_vsock, true, BOTH},
    {"socket NETLINK_NETFILTER", try_other_netlink, true, BOTH},
    {"socket SOCK_RAW", try_raw_socket, true, BOTH},
    {"bind port 99", try_privileged_port, true, DATA_PLANE},
    {"setuid", try_setuid, true, BOTH},
    {"setresuid", try_setresuid, true, BOTH},
    {"setgid", try_setgid, true, BOTH},
    {"setgroups", try_setgroups, true, BOTH},
    {"capset", try_capset, true, BOTH},
    {"ptrace", try_ptrace, false, BOTH},
    {"process_vm_writev", try_read_memory, true, BOTH},
    {"kill", try_kill, false, BOTH},
    {"tgkill of another process", try_kill_thread_of_others, false, BOTH},
    {"mount", try_mount, true, BOTH},
    {"chroot", try_chroot, true, BOTH},
    {"unshare", try_unshare, true, BOTH},
    {"setns", try_setns, true, BOTH},
    {"bpf", try_bpf, true, BOTH},
    {"io_uring_setup", try_io_uring, true, BOTH},
    {"userfaultfd", try_userfaultfd, true, BOTH},
    {"perf_event_open", try_perf_event, true, BOTH},
    {"keyctl", try_keyctl, true, BOTH},
    {"finit_module", try_module, true, BOTH},
    {"reboot", try_reboot, true, BOTH},
    {"clock_settime", try_settime, true, BOTH},
    {"ioctl TUNSETIFF", try_tun_ioctl, true, DATA_PLANE},
    {"ioctl SIOCGIFFLAGS", try_interface_ioctl, true, BOTH},
    {"ioctl TIOCSTI", try_terminal_ioctl, true, BOTH},
    {"mmap PROT_EXEC", try_executable_memory, true, BOTH},
    {"prctl PR_SET_DUMPABLE", try_dumpable, false, BOTH},
    {"setrlimit", try_limit, false, BOTH},
    {"memfd_create", try_memfd, true, DATA_PLANE},
};

/* The number of calls that were not refused. */
static int try_calls(bool helper)
{
    int allowed = 0;

    for (size_t i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++) {
        long r;

        if (helper && forbidden[i].to == DATA_PLANE)
            continue;
#ifdef __SANITIZE_ADDRESS__
        if (!forbidden[i].with_sanitizer)
            continue;
#endif
        errno = 0;
        r = forbidden[i].call();
        if (r >= 0 || errno != EPERM) {
            fprintf(stderr, "%s: %s\n", forbidden[i].name, r >= 0 ? "allowed" : strerror(errno));
            allowed++;
        }
    }
    return allowed;
}

static int try_forbidden(void)
{
    return try_calls(false);
}

static int try_forbidden_to_helper(void)
{
    return try_calls(true);
}

static void test_forbidden_calls(void **state)
{
    assert_int_equal(in_sandbox(try_forbidden), 0);
}

static void test_forbidden_to_the_helper(void **state)
{
    assert_int_equal(in_helper(try_forbidden_to_helper), 0);
}

/* --- allowed --------------------------------------------------------------------------- */

static void *end_at_once(void *arg)
{
    return arg;
}

#define MUST(x)                                               \
    do {                                                      \
        if (!(x)) {                                           \
            fprintf(stderr, "%s: %s\n", #x, strerror(errno)); \
            return 1;                                         \
        }                                                     \
    } while (0)

static int use_allowed(void)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET};
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    pthread_t thread;
    void *block;
    char c;
    int fd;

    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST((fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC)) >= 0 && read(fd, &c, 1) == 1);
    MUST((fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0);
    MUST(!bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)));
    MUST(socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT);
    MUST(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
    MUST(eventfd(0, EFD_CLOEXEC) >= 0);
    MUST(!pthread_create(&thread, NULL, end_at_once, NULL) && !pthread_join(thread, NULL));
    MUST((block = malloc(64 << 20)));
    free(block);
    MUST(!getaddrinfo("localhost", "1", &hints, &list) && list);
    freeaddrinfo(list);
    return 0;
}

static void test_what_the_data_plane_needs(void **state)
{
    assert_int_equal(in_sandbox(use_allowed), 0);
}

static char place[] = "/tmp/mpquic-helper-XXXXXX";

static int use_allowed_to_helper(void)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET};
    struct ifreq ifr = {0};
    char dir[64], a[80], b[80];
    int fd;

    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(dir, sizeof(dir), "%s/run", place);
    MUST(!mkdir(dir, 0700));
    snprintf(a, sizeof(a), "%s/a", dir);
    snprintf(b, sizeof(b), "%s/b", dir);
    MUST((fd = open(a, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644)) >= 0);
    MUST(!fchown(fd, (uid_t)-1, getegid()) && !fchmod(fd, 0640));
    MUST(write(fd, "x", 1) == 1 && !close(fd) && !rename(a, b) && !chmod(b, 0600));
    MUST(!chown(b, (uid_t)-1, getegid()) && !unlink(b));
    MUST((fd = memfd_create("x", MFD_CLOEXEC)) >= 0 && write(fd, "x", 1) == 1);
    MUST((fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP)) >= 0);
    MUST(!bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)));
    MUST(socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT);
    MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
    MUST(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
    MUST((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    MUST(listen(fd, 1) && errno == EINVAL); /* not bound */
    MUST(if_nametoindex("lo"));
    MUST(ioctl(fd, TUNGETIFF, &ifr) && errno != EPERM);
    MUST(!kill(data_plane, 0) && !waitpid(data_plane, NULL, WNOHANG));
    return 0;
}

static void test_what_the_helper_needs(void **state)
{
    char dir[64];
    int r;

    assert_non_null(mkdtemp(place));
    r = in_helper(use_allowed_to_helper);
    snprintf(dir, sizeof(dir), "%s/run", place);
    rmdir(dir);
    rmdir(place);
    assert_int_equal(r, 0);
}

/* --- who it is ------------------------------------------------------------------------- */

/* The value of a line of /proc/self/status, without the white space in front. */
static const char *status_value(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? at + strlen(key) + strspn(at + strlen(key), " \t") : "?";
}

static int look_at_status(void)
{
    static const char *const empty_sets[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);

    MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    for (size_t i = 0; i < sizeof(empty_sets) / sizeof(*empty_sets); i++)
        MUST(!strncmp(status_value(text, empty_sets[i]), "0000000000000000", 16));
    MUST(*status_value(text, "NoNewPrivs:") == '1');
    MUST(*status_value(text, "Seccomp:") == '2');
    return 0;
}

static void test_status(void **state)
{
    assert_int_equal(in_sandbox(look_at_status), 0);
}

static uid_t uid_before;

static int look_at_user(void)
{
    static char text[8192];
    int fd = open("/proc/self/status", O_RDONLY);

    MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    if (uid_before || same_user) {
        MUST(getuid() == uid_before && geteuid() == uid_before);
        return 0;
    }
    MUST(getuid() && geteuid() && getgid() && getegid());
    MUST(*status_value(text, "Groups:") == '\n');
    MUST(!strncmp(status_value(text, "CapBnd:"), "0000000000000000", 16));
    return 0;
}

/* Who is not root already, or has no other user, stays. */
static void test_root_becomes_another_user(void **state)
{
    uid_before = geteuid();
    assert_int_equal(in_sandbox(look_at_user), 0);
}

static int ends[2];

static int wait_for_ever(void)
{
    MUST(write(ends[1], "", 1) == 1);
    poll(NULL, 0, -1);
    return 0;
}

/* The child of a process that was killed is killed as well. */
static void test_it_dies_with_its_parent(void **state)
{
    int status;
    char c;
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (!pid)
        _exit(in_sandbox(wait_for_ever));
    close(ends[1]);
    assert_int_equal(read(ends[0], &c, 1), 1); /* it is in the sandbox */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(read(ends[0], &c, 1), 0); /* the last that held the pipe has ended */
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden_calls),
        cmocka_unit_test(test_forbidden_to_the_helper),
        cmocka_unit_test(test_what_the_data_plane_needs),
        cmocka_unit_test(test_what_the_helper_needs),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_root_becomes_another_user),
        cmocka_unit_test(test_it_dies_with_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
