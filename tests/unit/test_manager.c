#include "wan/manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static int fd = -1;
static char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* as the environment has it */

/* A service manager that listens. */
static int listen_begin(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len = snprintf(name, sizeof(name), "@mpquic-test-manager-%d", (int)getpid());

    memcpy(addr.sun_path, name, (size_t)len);
    addr.sun_path[0] = 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)))
        return -1;
    return setenv("NOTIFY_SOCKET", name, 1);
}

static int listen_end(void **state)
{
    close(fd);
    return unsetenv("NOTIFY_SOCKET");
}

/* What has been said, "" when nothing. */
static const char *heard(void)
{
    static char text[512];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = 0;
    return text;
}

static void each_says_its_own(void **state)
{
    if (!HAVE_SYSTEMD)
        return;
    manager_ready();
    assert_string_equal(heard(), "READY=1");
    manager_reloading();
    assert_memory_equal(heard(), "RELOADING=1\nMONOTONIC_USEC=", 27);
    manager_alive();
    assert_string_equal(heard(), "WATCHDOG=1");
    manager_status("in force; 1 of 2 links up");
    assert_string_equal(heard(), "STATUS=in force; 1 of 2 links up");
    manager_stopping();
    assert_string_equal(heard(), "STOPPING=1");
    assert_string_equal(heard(), "");
}

static void nobody_listens(void **state)
{
    unsetenv("NOTIFY_SOCKET");
    manager_ready();
    assert_string_equal(heard(), "");
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void the_watchdog_is_of_this_process(void **state)
{
    char pid[16];

    if (!HAVE_SYSTEMD)
        return;
    assert_int_equal(manager_watchdog_ns(), 0);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "30000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(manager_watchdog_ns(), 30 * NS_PER_S);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(manager_watchdog_ns(), 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_says_its_own),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(the_watchdog_is_of_this_process),
    };

    return cmocka_run_group_tests(tests, listen_begin, listen_end);
}
