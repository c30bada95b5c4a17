#include "control/client.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

enum { CHUNK = 65536, RETRY_PAUSE_MS = 50 };

/* Connecting blocks while the listener's backlog is full: at most until the deadline. */
static int connect_to(const char *path, uint64_t deadline_ns, int *ret)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    uint64_t now_ns = clock_mono_ns(), left_ns = deadline_ns - MIN(now_ns, deadline_ns);
    struct timeval tv = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                         .tv_usec = (suseconds_t)MAX(left_ns % NS_PER_S / NS_PER_US, 1)};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rv = 0;

    if (fd < 0)
        return -errno;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ||
        connect(fd, (const struct sockaddr *)&sun, sizeof(sun)))
        rv = errno == EAGAIN ? -ETIMEDOUT : -errno;
    if (rv)
        close(fd);
    else
        *ret = fd;
    return rv;
}

/* 1 when there is something to read, 0 when the time is over. */
static int wait_readable(int fd, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint64_t now_ns = clock_mono_ns();
    int rv;

    if (now_ns >= deadline_ns)
        return 0;
    rv = poll(&p, 1, (int)MIN((deadline_ns - now_ns) / NS_PER_MS + 1, 1u << 30));
    return rv < 0 ? (errno == EINTR ? wait_readable(fd, deadline_ns) : -errno) : rv;
}

struct answer {
    char *text;
    size_t len, room;
};

static int answer_grow(struct answer *a)
{
    char *grown;

    if (a->room - a->len > CHUNK)
        return 0;
    if (a->room > CONTROL_ANSWER_MAX)
        return -EFBIG;
    grown = realloc(a->text, a->room * 2 + 2 * CHUNK);
    if (!grown)
        return -ENOMEM;
    a->text = grown;
    a->room = a->room * 2 + 2 * CHUNK;
    return 0;
}

/* Until the end of the connection. */
static int read_answer(int fd, uint64_t deadline_ns, struct answer *a)
{
    for (;;) {
        ssize_t n;
        int rv = answer_grow(a);

        if (rv)
            return rv;
        rv = wait_readable(fd, deadline_ns);
        if (rv <= 0)
            return rv ? rv : -ETIMEDOUT;
        n = recv(fd, a->text + a->len, a->room - a->len - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ECONNRESET) /* that: it ended without reading all that we sent */
            return -errno;
        n = MAX(n, 0);
        a->len += (size_t)n;
        a->text[a->len] = 0;
        if (!n)
            return a->len && a->text[a->len - 1] == '\n' ? 0 : -EPROTO;
    }
}

static int ask_once(const char *path, const char *line, uint64_t deadline_ns, struct answer *a)
{
    _cleanup_close_ int fd = -1;
    int rv = connect_to(path, deadline_ns, &fd);

    if (rv)
        return rv;
    /* A failure is shown by the answer: the server may have said no already. */
    (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
    return read_answer(fd, deadline_ns, a);
}

int control_ask(const char *name, enum control_cmd cmd, uint64_t timeout_ns, char **ret,
                size_t *ret_len)
{
    uint64_t deadline_ns = clock_mono_ns() + timeout_ns;
    char path[PLACE_PATH_MAX], line[CONTROL_REQUEST_MAX];
    struct answer a = {0};
    int rv = place_name_check(name);

    if (!rv)
        rv = place_control_socket(name, path);
    if (rv)
        return rv;
    snprintf(line, sizeof(line), "{\"cmd\":\"%s\"}\n", control_cmd_name(cmd));
    rv = ask_once(path, line, deadline_ns, &a);
    /* A server that has too many clients closes a connection: try again. */
    while (rv == -EPROTO && clock_mono_ns() < deadline_ns) {
        poll(NULL, 0, RETRY_PAUSE_MS);
        a.len = 0;
        rv = ask_once(path, line, deadline_ns, &a);
    }
    if (rv) {
        free(a.text);
        return rv;
    }
    *ret = a.text;
    *ret_len = a.len;
    return 0;
}

const char *control_answer_error(const char *answer, size_t len, char *buf, size_t size)
{
    json_t *object = json_loadb(answer, len, 0, NULL);
    const char *text = json_string_value(json_object_get(object, "error"));

    if (text)
        snprintf(buf, size, "%s", text);
    json_decref(object);
    return text ? buf : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* "NAME.sock" of an instance. */
static bool socket_name(const struct dirent *e, char ret[static PLACE_NAME_MAX])
{
    size_t len = strlen(e->d_name);

    if (len <= 5 || len - 5 >= PLACE_NAME_MAX || strcmp(e->d_name + len - 5, ".sock") != 0)
        return false;
    memcpy(ret, e->d_name, len - 5);
    ret[len - 5] = 0;
    return !place_name_check(ret);
}

int control_instances(char (**ret)[PLACE_NAME_MAX])
{
    char dir[PLACE_PATH_MAX], (*v)[PLACE_NAME_MAX];
    int rv = place_run_dir(dir, sizeof(dir)), n = 0;
    const struct dirent *e;
    DIR *d;

    if (rv)
        return rv;
    v = calloc(CONTROL_INSTANCES_MAX, sizeof(*v));
    d = v ? opendir(dir) : NULL;
    if (!d) {
        rv = !v ? -ENOMEM : errno == ENOENT ? 0 : -errno;
        free(v);
        *ret = rv ? *ret : NULL;
        return rv;
    }
    while (n < CONTROL_INSTANCES_MAX && (e = readdir(d)))
        n += socket_name(e, v[n]);
    closedir(d);
    qsort(v, (size_t)n, sizeof(*v), by_name);
    *ret = v;
    return n;
}
