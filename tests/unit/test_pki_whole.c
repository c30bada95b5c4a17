/* Of what the authority does nothing is ever half done: files that may not grow, a full disk, the
 * process killed at each of its system calls, several writers at once. */
#include "pki_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "netns.h"

/* Of a child that could not do what the test needs. */
enum { CANNOT = 77 };

/* The authority works, and each name that the index knows has a pair of files that match and that
 * the index knows, or no files at all. */
static void assert_whole(struct world *w)
{
    struct index_table t = {0};

    world_list(w, &t);
    for (size_t i = 0; i < t.n; i++) {
        const struct index_entry *x = &t.v[i];
        char name[128];
        struct cert_info info;

        if (x->kind != PKI_KIND_CLIENT)
            continue;
        snprintf(name, sizeof(name), "client/%s/cert.pem", x->name);
        if (pki_dir_mode(w->pki.dir, name) < 0)
            continue;
        info = world_info(w, PKI_KIND_CLIENT, x->name);
        assert_non_null(index_find_serial(&t, info.serial));
        assert_true(world_verify(w, PKI_KIND_CLIENT, x->name) != -EINVAL);
        snprintf(name, sizeof(name), "client/%s/key.pem", x->name);
        assert_int_equal(pki_dir_mode(w->pki.dir, name), 0600);
    }
    index_done(&t);
}

/* One change, as a child process does it. */
enum change { CHANGE_ISSUE, CHANGE_RENEW, CHANGE_REVOKE, CHANGE_COUNT };

static int do_change(struct world *w, enum change change)
{
    struct pki_renew_opts again = {.name = "edge1", .new_key = true};
    enum pki_kind kind;
    unsigned n;

    switch (change) {
    case CHANGE_ISSUE:
        return world_issue(w, PKI_KIND_CLIENT, "edge2");
    case CHANGE_RENEW:
        return pki_renew(&w->pki, &again, &kind, &w->e);
    default:
        return pki_revoke(&w->pki, "edge1", NULL, &n, &w->e);
    }
}

static void test_file_too_large(void **state)
{
    struct world *w = *state;
    _cleanup_text_ struct file_text before = {0}, after = {0};

    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(file_read(world_path(w, "index.txt"), &before, &w->e));
    for (int change = 0; change < CHANGE_COUNT; change++) {
        struct rlimit limit = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
        int rv;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        rv = do_change(w, change);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rv, -EFBIG);
        OK(file_read(world_path(w, "index.txt"), &after, &w->e));
        assert_string_equal(before.data, after.data);
        assert_whole(w);
    }
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
}

/* A file system that is full, with 0, 1, 2 ... blocks left. */
static void full_disk(struct world *w)
{
    char fill[FILE_PATH_MAX];
    int left = 0, rv;

    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    snprintf(fill, sizeof(fill), "%s/fill", w->root);
    do {
        static const char block[4096];
        int fd = open(fill, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int blocks = 0;

        assert_true(fd >= 0);
        while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
            blocks++;
        assert_int_equal(errno, ENOSPC);
        assert_int_equal(ftruncate(fd, (off_t)MAX(blocks - left, 0) * 4096), 0);
        close(fd);
        rv = do_change(w, CHANGE_RENEW);
        assert_true(!rv || rv == -ENOSPC);
        assert_whole(w);
        assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
        left++;
    } while (rv && left < 32);
    assert_int_equal(rv, 0);
    assert_true(left > 2); /* it was full indeed */
}

static void test_full_disk(void **state)
{
    struct world *w = *state;
    int status;
    pid_t pid;

    pid = fork();
    if (!pid) {
        /* assertions that fail jump back here in the child alone: it must not go on */
        netns_unshare(CLONE_NEWNS);
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount("tmpfs", w->root, "tmpfs", 0, "size=128k"))
            _exit(CANNOT);
        full_disk(w);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT)
        fail_msg("cannot mount a small disk: run it as root, or where user namespaces may");
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Let a child do the change and kill it at its nth system call. Returns false when it had ended
 * before. */
static bool killed_at(struct world *w, enum change change, int nth)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(CANNOT);
        raise(SIGSTOP);
        _exit(do_change(w, change) ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; WIFSTOPPED(status) && i < nth; i++) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    if (WIFEXITED(status)) {
        if (WEXITSTATUS(status) == CANNOT)
            fail_msg("a child may not be traced here: run it where ptrace() works");
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return true;
}

/* Whatever the moment at which a change is cut off, what is there is whole, and the next change
 * works. */
static void killed_everywhere(struct world *w, enum change change)
{
    int nth = 1;

    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    for (; killed_at(w, change, nth); nth++) {
        assert_whole(w);
        if (change == CHANGE_RENEW)
            assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
        if (change == CHANGE_ISSUE && pki_dir_mode(w->pki.dir, "client/edge2/cert.pem") >= 0) {
            unsigned n;

            OK(pki_revoke(&w->pki, "edge2", NULL, &n, &w->e)); /* make room for the next one */
        }
        if (change == CHANGE_REVOKE && world_verify(w, PKI_KIND_CLIENT, "edge1") == -EKEYREVOKED)
            OK(do_change(w, CHANGE_RENEW));
    }
    assert_true(nth > 20);
    assert_whole(w);
    if (change == CHANGE_REVOKE)
        assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
}

static void test_killed_while_issuing(void **state)
{
    killed_everywhere(*state, CHANGE_ISSUE);
}

static void test_killed_while_renewing(void **state)
{
    killed_everywhere(*state, CHANGE_RENEW);
}

static void test_killed_while_revoking(void **state)
{
    killed_everywhere(*state, CHANGE_REVOKE);
}

static void test_two_writers(void **state)
{
    enum { WRITERS = 4, EACH = 5 };
    struct world *w = *state;
    struct index_table t = {0};
    pid_t pid[WRITERS];

    world_init(w);
    for (int i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        for (int k = 0; !pid[i] && k < EACH; k++) {
            char name[32];

            snprintf(name, sizeof(name), "edge%d-%d", i, k);
            if (world_issue(w, PKI_KIND_CLIENT, name))
                _exit(1);
        }
        if (!pid[i])
            _exit(0);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;

        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(world_list(w, &t), 1 + WRITERS * EACH);
    index_done(&t);
    assert_whole(w);
}

static void test_lock(void **state)
{
    struct world *w = *state;
    int held, other;

    world_init(w);
    held = file_lock_dir(w->pki.dir, 0, &w->e);
    assert_true(held >= 0);
    other = file_lock_dir(w->pki.dir, 40, &w->e);
    assert_int_equal(other, -EBUSY);
    close(held);
    other = file_lock_dir(w->pki.dir, 0, &w->e);
    assert_true(other >= 0);
    close(other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_file_too_large),
        T(test_full_disk),
        T(test_killed_while_issuing),
        T(test_killed_while_renewing),
        T(test_killed_while_revoking),
        T(test_two_writers),
        T(test_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
