#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "control/client.h"
#include "control/server.h"

enum { LARGE = 4 << 20, NOBODY = 65534 };

/* Whom the server takes itself for (the linker lets it ask here), and its group. */
static uid_t server_uid;
static gid_t server_group;

uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
    return server_uid;
}

/* One server on a socket "one" in a directory of its own. */
struct scene {
    char dir[64];
    struct loop *loop;
    struct control_server *server;
    unsigned asked[CONTROL_CMD_COUNT];
    size_t answer_len;        /* 0: a short one */
    uint64_t answer_takes_ns; /* busy for so long */
};

static char *answer(void *user, const struct control_request *req)
{
    struct scene *s = user;
    uint64_t until_ns = clock_mono_ns() + s->answer_takes_ns;
    char *text;

    s->asked[req->cmd]++;
    while (clock_mono_ns() < until_ns) {
    }
    if (!s->answer_len)
        return strdup("{\"state\":\"up\"}");
    text = malloc(s->answer_len + 1);
    if (text) {
        memset(text, ' ', s->answer_len);
        memcpy(text, "{}", 2);
        text[s->answer_len] = 0;
    }
    return text;
}

static int listen_at(const char *name)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(place_control_socket(name, sun.sun_path), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static void start(struct scene *s, uint64_t deadline_ns)
{
    struct control_server_opts o = {.group = server_group, .answer = answer, .user = s};

    memset(s, 0, sizeof(*s));
    strcpy(s->dir, "/tmp/mpquic-control-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    assert_int_equal(setenv("MPQUIC_RUN_DIR", s->dir, 1), 0);
    s->loop = loop_new();
    assert_non_null(s->loop);
    o.loop = s->loop;
    o.fd = listen_at("one");
    o.deadline_ns = deadline_ns;
    assert_int_equal(control_server_new(&o, &s->server), 0);
}

static void stop(struct scene *s)
{
    char path[128];

    control_server_free(s->server);
    loop_free(s->loop);
    snprintf(path, sizeof(path), "%s/one.sock", s->dir);
    unlink(path);
    rmdir(s->dir);
}

static int dial(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(place_control_socket("one", sun.sun_path), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turn the loop until the client has the whole answer; "" when it was closed without. */
static const char *hear(struct scene *s, int fd)
{
    static char buf[512];
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, buf + n, sizeof(buf) - n - 1, 0);

        if (got > 0)
            n += (size_t)got;
        else if (got < 0 && errno == EAGAIN)
            assert_int_equal(loop_turn(s->loop, NS_PER_S), 0);
        else
            break;
    }
    buf[n] = 0;
    close(fd);
    return buf;
}

static void turns(struct scene *s, unsigned n)
{
    while (n--)
        assert_int_equal(loop_turn(s->loop, 0), 0);
}

static void a_request_is_answered(void **state)
{
    struct scene s;
    int fd;

    start(&s, 0);
    fd = dial();
    say(fd, "{\"cmd\":\"status\"}\n");
    assert_string_equal(hear(&s, fd), "{\"state\":\"up\"}\n");
    fd = dial();
    say(fd, " { \"cmd\" : \"reload\" } \nrest that nobody reads");
    assert_string_equal(hear(&s, fd), "{\"state\":\"up\"}\n");
    assert_int_equal(s.asked[CONTROL_STATUS], 1);
    assert_int_equal(s.asked[CONTROL_RELOAD], 1);
    assert_int_equal(control_server_clients(s.server), 0);
    stop(&s);
}

/* A request in pieces, a byte at a time. */
static void a_slow_writer_is_heard(void **state)
{
    static const char request[] = "{\"cmd\":\"peers\"}\n";
    struct scene s;
    int fd;

    start(&s, 0);
    fd = dial();
    for (size_t i = 0; i + 1 < sizeof(request); i++) {
        char one[2] = {request[i], 0};

        say(fd, one);
        turns(&s, 1);
    }
    assert_string_equal(hear(&s, fd), "{\"state\":\"up\"}\n");
    assert_int_equal(s.asked[CONTROL_PEERS], 1);
    stop(&s);
}

static void what_is_no_request_is_told_so(void **state)
{
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"\n", "{\"error\":\"the request is not JSON\"}\n"},
        {"status\n", "{\"error\":\"the request is not JSON\"}\n"},
        {"[\"cmd\"]\n",
         "{\"error\":\"the request is not an object with the text member 'cmd'\"}\n"},
        {"{\"cmd\":1}\n",
         "{\"error\":\"the request is not an object with the text member 'cmd'\"}\n"},
        {"{\"cmd\":\"stop\"}\n",
         "{\"error\":\"unknown command; known are status, peers and reload\"}\n"},
        {"{\"cmd\":\"status\",\"x\":1}\n",
         "{\"error\":\"the request has a member that this version does not know\"}\n"},
        {"{\"cmd\":\"status\",\"cmd\":\"status\"}\n", "{\"error\":\"the request is not JSON\"}\n"},
    };
    struct scene s;

    start(&s, 0);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        int fd = dial();

        say(fd, cases[i].line);
        assert_string_equal(hear(&s, fd), cases[i].answer);
    }
    for (int i = 0; i < CONTROL_CMD_COUNT; i++)
        assert_int_equal(s.asked[i], 0);
    stop(&s);
}

static void a_line_without_end_is_refused(void **state)
{
    char text[CONTROL_REQUEST_MAX + 1];
    struct scene s;
    int fd;

    start(&s, 0);
    memset(text, ' ', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    fd = dial();
    say(fd, text);
    assert_string_equal(hear(&s, fd), "{\"error\":\"the request is too long\"}\n");
    stop(&s);
}

/* Half a line, and nothing more: the deadline ends it. */
static void half_a_line_ends_at_the_deadline(void **state)
{
    struct scene s;
    int fd;

    start(&s, 20 * NS_PER_MS);
    fd = dial();
    say(fd, "{\"cmd\":");
    turns(&s, 1);
    assert_int_equal(control_server_clients(s.server), 1);
    assert_string_equal(hear(&s, fd), "");
    assert_int_equal(control_server_clients(s.server), 0);
    stop(&s);
}

/* A client that does not take its answer loses it at the deadline; nobody waits for it. */
static void one_that_never_reads_ends_at_the_deadline(void **state)
{
    struct scene s;
    int deaf, fd;

    start(&s, 1200 * NS_PER_MS); /* longer than any pause between answers */
    s.answer_len = LARGE;
    deaf = dial();
    say(deaf, "{\"cmd\":\"status\"}\n");
    while (!s.asked[CONTROL_STATUS])
        turns(&s, 1);
    s.answer_len = 0;
    fd = dial();
    say(fd, "{\"cmd\":\"peers\"}\n");
    assert_string_equal(hear(&s, fd), "{\"state\":\"up\"}\n");
    while (control_server_clients(s.server))
        assert_int_equal(loop_turn(s.loop, NS_PER_S), 0);
    close(deaf);
    stop(&s);
}

/* Large answers that nobody takes: their sum is bounded, the oldest goes first. */
static void answers_that_wait_are_bounded(void **state)
{
    int deaf[CONTROL_CLIENTS_MAX];
    struct scene s;

    start(&s, 0);
    s.answer_len = LARGE;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        deaf[i] = dial();
        say(deaf[i], "{\"cmd\":\"status\"}\n");
        while (s.asked[CONTROL_STATUS] <= i)
            assert_int_equal(loop_turn(s.loop, NS_PER_S), 0);
    }
    assert_in_range(control_server_clients(s.server), 1, CONTROL_PENDING_MAX / LARGE);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(deaf[i]);
    stop(&s);
}

/* A hundred connections that say nothing: an honest client is served among them. */
static void a_crowd_keeps_nobody_out(void **state)
{
    enum { CROWD = 100 };
    int crowd[CROWD], fd;
    struct scene s;

    start(&s, 0);
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = dial();
        turns(&s, i % 3);
        assert_true(control_server_clients(s.server) <= CONTROL_CLIENTS_MAX);
    }
    fd = dial();
    say(fd, "{\"cmd\":\"status\"}\n");
    assert_string_equal(hear(&s, fd), "{\"state\":\"up\"}\n");
    assert_int_equal(s.asked[CONTROL_STATUS], 1);
    for (unsigned i = 0; i < CROWD; i++)
        close(crowd[i]);
    while (control_server_clients(s.server))
        assert_int_equal(loop_turn(s.loop, NS_PER_S), 0);
    stop(&s);
}

/* Answering takes a bounded share of the loop: requests wait for their turn, in order. */
static void answers_leave_time_for_others(void **state)
{
    int fd[CONTROL_CLIENTS_MAX];
    struct scene s;

    start(&s, 0);
    s.answer_takes_ns = 2 * NS_PER_MS;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        fd[i] = dial();
        say(fd[i], "{\"cmd\":\"status\"}\n");
    }
    turns(&s, CONTROL_CLIENTS_MAX); /* all have arrived, in less than a pause */
    assert_int_equal(s.asked[CONTROL_STATUS], 1);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        assert_string_equal(hear(&s, fd[i]), "{\"state\":\"up\"}\n");
        assert_int_equal(s.asked[CONTROL_STATUS], i + 1);
    }
    stop(&s);
}

static void clients_that_go_away_are_forgotten(void **state)
{
    struct scene s;

    start(&s, 0);
    s.answer_len = LARGE;
    for (unsigned i = 0; i < 50; i++) {
        int fd = dial();

        if (i % 3)
            say(fd, i % 3 == 1 ? "{\"cmd\":\"status\"}\n" : "{");
        turns(&s, 2);
        close(fd);
    }
    while (control_server_clients(s.server))
        assert_int_equal(loop_turn(s.loop, NS_PER_S), 0);
    stop(&s);
}

/* --- the client ------------------------------------------------------------------------ */

struct asking {
    enum control_cmd cmd;
    uint64_t timeout_ns;
    int rv;
    char *text;
    size_t len;
    bool done;
};

static void *ask(void *arg)
{
    struct asking *a = arg;

    a->rv = control_ask("one", a->cmd, a->timeout_ns, &a->text, &a->len);
    __atomic_store_n(&a->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* control_ask() in a thread while the server's loop turns. */
static void ask_server(struct scene *s, struct asking *a)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, ask, a), 0);
    while (!__atomic_load_n(&a->done, __ATOMIC_ACQUIRE))
        assert_int_equal(loop_turn(s->loop, NS_PER_MS), 0);
    pthread_join(thread, NULL);
}

static void the_client_takes_large_answers(void **state)
{
    struct asking a = {.cmd = CONTROL_PEERS, .timeout_ns = 10 * NS_PER_S};
    struct scene s;

    start(&s, 0);
    s.answer_len = LARGE;
    ask_server(&s, &a);
    assert_int_equal(a.rv, 0);
    assert_int_equal(a.len, LARGE + 1);
    assert_memory_equal(a.text, "{}  ", 4);
    assert_int_equal(a.text[a.len], 0);
    free(a.text);
    stop(&s);
}

/* One that cannot be sent: its client is told so. */
static void an_answer_can_be_too_large(void **state)
{
    struct asking a = {.cmd = CONTROL_PEERS, .timeout_ns = 10 * NS_PER_S};
    struct scene s;
    char buf[64];

    start(&s, 0);
    s.answer_len = CONTROL_ANSWER_BYTES + 1;
    ask_server(&s, &a);
    assert_int_equal(a.rv, 0);
    assert_string_equal(control_answer_error(a.text, a.len, buf, sizeof(buf)),
                        "the answer would be too large");
    free(a.text);
    s.answer_len = CONTROL_ANSWER_BYTES;
    a = (struct asking){.cmd = CONTROL_PEERS, .timeout_ns = 10 * NS_PER_S};
    ask_server(&s, &a);
    assert_int_equal(a.rv, 0);
    assert_int_equal(a.len, CONTROL_ANSWER_BYTES + 1);
    free(a.text);
    stop(&s);
}

/* Nobody answers: the client gives up by itself. */
static void the_client_does_not_wait_for_ever(void **state)
{
    char *text = NULL;
    size_t len;
    struct scene s;

    start(&s, 0);
    assert_int_equal(control_ask("one", CONTROL_STATUS, 20 * NS_PER_MS, &text, &len), -ETIMEDOUT);
    assert_null(text);
    stop(&s);
}

static void the_client_tells_dead_from_absent(void **state)
{
    char path[PLACE_PATH_MAX], *text = NULL;
    size_t len;
    struct scene s;

    start(&s, 0);
    assert_int_equal(control_ask("two", CONTROL_STATUS, NS_PER_S, &text, &len), -ENOENT);
    assert_int_equal(control_ask("../one", CONTROL_STATUS, NS_PER_S, &text, &len), -EINVAL);
    close(listen_at("two")); /* as a killed instance leaves it */
    assert_int_equal(control_ask("two", CONTROL_STATUS, NS_PER_S, &text, &len), -ECONNREFUSED);
    assert_int_equal(place_control_socket("two", path), 0);
    unlink(path);
    stop(&s);
}

static void instances_are_listed(void **state)
{
    static const char *const files[] = {"two.sock", "a.b-c.sock",  ".sock", "x.sock.tmp",
                                        "-x.sock",  "sp ace.sock", "plain"};
    char(*v)[PLACE_NAME_MAX] = NULL, path[512];
    struct scene s;

    start(&s, 0);
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", s.dir, files[i]);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    assert_int_equal(control_instances(&v), 3);
    assert_string_equal(v[0], "a.b-c");
    assert_string_equal(v[1], "one");
    assert_string_equal(v[2], "two");
    free(v);
    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", s.dir, files[i]);
        unlink(path);
    }
    stop(&s);
    assert_int_equal(control_instances(&v), 0); /* no directory */
    assert_null(v);
}

static void errors_are_found_in_answers(void **state)
{
    char buf[64];

    assert_string_equal(control_answer_error("{\"error\":\"not allowed\"}\n", 24, buf, 64),
                        "not allowed");
    assert_null(control_answer_error("{\"schema\":1}", 12, buf, 64));
    assert_null(control_answer_error("", 0, buf, 64));
    assert_null(control_answer_error("[1]", 3, buf, 64));
}

/* Be nobody, asking a server of root: as root by becoming it, else by what the server is told. */
static bool become_a_stranger(uid_t uid)
{
    return uid || (!setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
                   !setresuid(NOBODY, NOBODY, NOBODY));
}

/* Another user, not of the group, may not ask even when the file lets it. */
static void strangers_are_told_so(void **state)
{
    uid_t uid = getuid();
    struct scene s;
    char path[128];
    pid_t pid;

    if (uid) {
        server_uid = 0;
        server_group = (gid_t)-2;
    }
    start(&s, 0);
    snprintf(path, sizeof(path), "%s/one.sock", s.dir);
    assert_int_equal(chmod(s.dir, 0755), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        char *text = NULL, buf[64];
        size_t len = 0;

        if (!become_a_stranger(uid))
            _exit(1);
        if (control_ask("one", CONTROL_STATUS, 10 * NS_PER_S, &text, &len))
            _exit(2);
        _exit(control_answer_error(text, len, buf, sizeof(buf)) && !strcmp(buf, "not allowed") ? 0
                                                                                               : 3);
    }
    for (int status = -1;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);

        if (ended == pid) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        assert_int_equal(loop_turn(s.loop, NS_PER_MS), 0);
    }
    assert_int_equal(s.asked[CONTROL_STATUS], 0);
    stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(a_slow_writer_is_heard),
        cmocka_unit_test(what_is_no_request_is_told_so),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(half_a_line_ends_at_the_deadline),
        cmocka_unit_test(one_that_never_reads_ends_at_the_deadline),
        cmocka_unit_test(answers_that_wait_are_bounded),
        cmocka_unit_test(a_crowd_keeps_nobody_out),
        cmocka_unit_test(answers_leave_time_for_others),
        cmocka_unit_test(clients_that_go_away_are_forgotten),
        cmocka_unit_test(the_client_takes_large_answers),
        cmocka_unit_test(an_answer_can_be_too_large),
        cmocka_unit_test(the_client_does_not_wait_for_ever),
        cmocka_unit_test(the_client_tells_dead_from_absent),
        cmocka_unit_test(instances_are_listed),
        cmocka_unit_test(errors_are_found_in_answers),
        cmocka_unit_test(strangers_are_told_so),
    };

    server_uid = getuid();
    server_group = getegid();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
