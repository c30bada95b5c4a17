#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"

static int pair[2];

static int setup(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
    close(pair[0]);
    if (pair[1] >= 0)
        close(pair[1]);
    return 0;
}

/* The descriptor that would be next: what leaks makes it greater. */
static int next_fd(void)
{
    int fd = dup(pair[0]);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* n descriptors with a message of len bytes, as sock_send_fd() would never send it. */
static void send_many(size_t len, unsigned n)
{
    union {
        struct cmsghdr align;
        char b[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    char text[16] = "message";
    struct iovec iov = {text, len};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    for (unsigned i = 0; i < n; i++)
        memcpy(CMSG_DATA(c) + i * sizeof(int), &pair[0], sizeof(int));
    assert_int_equal(sendmsg(pair[0], &m, 0), len);
}

static void a_message_brings_its_descriptor(void **state)
{
    int ends[2], fd = -1, next;
    char text[8] = "", byte = 0;

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sock_send_fd(pair[0], "message", 8, ends[0], 0), 0);
    close(ends[0]);
    next = next_fd();
    assert_int_equal(sock_receive_fd(pair[1], text, sizeof(text), &fd, 0), 0);
    assert_string_equal(text, "message");
    assert_int_equal(fd, next);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(read(fd, &byte, 1), 1); /* it is the same pipe */
    assert_int_equal(byte, 'x');
    close(fd);
    close(ends[1]);
}

static void a_message_without_one_says_so(void **state)
{
    char text[8] = "";
    int fd = 77;

    assert_int_equal(sock_send_fd(pair[0], "message", 8, -1, 0), 0);
    assert_int_equal(sock_receive_fd(pair[1], text, sizeof(text), &fd, 0), 0);
    assert_int_equal(fd, -1);
    assert_string_equal(text, "message");
}

static void another_length_is_refused_and_its_descriptor_closed(void **state)
{
    static const size_t lengths[] = {7, 9, 16};
    char text[8];
    int next = next_fd(), fd = 77;

    for (size_t i = 0; i < 3; i++) {
        send_many(lengths[i], 1);
        assert_int_equal(sock_receive_fd(pair[1], text, sizeof(text), &fd, 0), -EBADMSG);
        assert_int_equal(fd, 77);
        assert_int_equal(next_fd(), next);
    }
}

static void more_than_one_descriptor_is_refused_and_all_closed(void **state)
{
    char text[8];
    int next = next_fd(), fd = 77;

    for (unsigned n = 2; n <= 8; n++) {
        send_many(8, n);
        assert_int_equal(sock_receive_fd(pair[1], text, sizeof(text), &fd, 0), -EBADMSG);
        assert_int_equal(fd, 77);
        assert_int_equal(next_fd(), next);
    }
}

/* The kernel delivers the message without it; what that means is for the caller. */
static void a_full_table_of_descriptors_loses_it(void **state)
{
    struct rlimit before, now;
    char text[8] = "";
    int fd = 77;

    assert_int_equal(sock_send_fd(pair[0], "message", 8, pair[0], 0), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)next_fd();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(sock_receive_fd(pair[1], text, sizeof(text), &fd, 0), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fd, -1);
    assert_string_equal(text, "message");
}

static void silence_and_the_end_are_told_apart(void **state)
{
    char text[8];
    int fd = 77;

    assert_int_equal(sock_receive_fd(pair[0], text, sizeof(text), &fd, MSG_DONTWAIT), -EAGAIN);
    close(pair[1]);
    pair[1] = -1;
    assert_int_equal(sock_receive_fd(pair[0], text, sizeof(text), &fd, MSG_DONTWAIT), -EPIPE);
    assert_int_equal(sock_send_fd(pair[0], text, sizeof(text), -1, 0), -EPIPE);
    assert_int_equal(fd, 77);
}

static void a_drained_socket_is_empty(void **state)
{
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(sock_drain(pair[1]), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(send(pair[0], "message", 8, 0), 8);
    assert_int_equal(sock_drain(pair[1]), 1);
    assert_int_equal(sock_drain(pair[1]), 0);
    assert_int_equal(sock_drain(-1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_brings_its_descriptor, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_without_one_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(another_length_is_refused_and_its_descriptor_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_than_one_descriptor_is_refused_and_all_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_table_of_descriptors_loses_it, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_and_the_end_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drained_socket_is_empty, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
