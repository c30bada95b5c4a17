#include "control/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"

enum { GROUPS_MAX = 256 };
#define ACCEPT_PAUSE_NS NS_PER_S
#define TURN_PAUSE_MAX_NS NS_PER_S

enum client_state {
    CLIENT_FREE,
    CLIENT_READING, /* the request is not complete */
    CLIENT_WAITING, /* it is; its turn has not come */
    CLIENT_WRITING
};

struct client {
    struct control_server *server;
    enum client_state state;
    uint64_t order; /* of arrival */
    struct loop_io io;
    struct loop_timer deadline;
    struct control_request request;
    char in[CONTROL_REQUEST_MAX];
    size_t n_in;
    char *out;
    size_t out_len, out_sent;
};

struct control_server {
    struct control_server_opts opts;
    struct loop_io io;
    struct loop_timer accept_pause; /* set: no descriptors are left, look again then */
    struct loop_timer turn;         /* set: requests wait */
    uint64_t next_answer_ns;        /* none is made before */
    uint64_t arrivals;
    size_t pending_bytes;
    struct client clients[CONTROL_CLIENTS_MAX];
};

/* --- clients --------------------------------------------------------------------------- */

static void client_close(struct client *c)
{
    struct control_server *s = c->server;

    if (c->state == CLIENT_FREE)
        return;
    loop_io_remove(s->opts.loop, &c->io);
    loop_timer_cancel(s->opts.loop, &c->deadline);
    close(c->io.fd);
    s->pending_bytes -= c->out_len;
    free(c->out);
    c->out = NULL;
    c->out_len = 0;
    c->state = CLIENT_FREE;
}

/* The client in that state who came first, or NULL. */
static struct client *oldest(struct control_server *s, enum client_state state)
{
    struct client *found = NULL;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];

        if (c->state == state && (!found || c->order < found->order))
            found = c;
    }
    return found;
}

static void set_deadline(struct client *c)
{
    struct control_server *s = c->server;

    loop_timer_set(s->opts.loop, &c->deadline, loop_now_ns(s->opts.loop) + s->opts.deadline_ns);
}

/* Send what the socket takes; the end of the answer is the end of the connection. */
static void client_write(struct client *c)
{
    ssize_t n = send(c->io.fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

    if (n > 0)
        c->out_sent += (size_t)n;
    if (c->out_sent == c->out_len || (n < 0 && errno != EAGAIN && errno != EINTR))
        client_close(c);
}

/* answer is consumed. */
static void client_answer(struct client *c, char *answer)
{
    struct control_server *s = c->server;
    size_t len = answer ? strlen(answer) : 0;
    struct client *slow;
    char *grown;

    if (len > CONTROL_ANSWER_BYTES) {
        free(answer);
        answer = control_error("the answer would be too large");
        len = answer ? strlen(answer) : 0;
    }
    grown = answer ? realloc(answer, len + 2) : NULL;
    if (!grown) {
        free(answer);
        client_close(c);
        return;
    }
    memcpy(grown + len, "\n", 2);
    while (s->pending_bytes + len + 1 > CONTROL_PENDING_MAX && (slow = oldest(s, CLIENT_WRITING)))
        client_close(slow);
    c->state = CLIENT_WRITING;
    c->out = grown;
    c->out_len = len + 1;
    c->out_sent = 0;
    s->pending_bytes += c->out_len;
    set_deadline(c);
    loop_io_set(s->opts.loop, &c->io, EPOLLOUT);
    client_write(c);
}

/* Make the oldest answer that waits, when it is time; see that the others have their turn. */
static void take_turn(struct control_server *s)
{
    uint64_t begun_ns = clock_mono_ns();
    struct client *c = oldest(s, CLIENT_WAITING);

    if (c && begun_ns >= s->next_answer_ns) {
        char *answer = s->opts.answer(s->opts.user, &c->request);
        uint64_t ended_ns = clock_mono_ns();

        s->next_answer_ns =
            ended_ns + MIN((ended_ns - begun_ns) * CONTROL_SHARE, TURN_PAUSE_MAX_NS);
        client_answer(c, answer);
        c = oldest(s, CLIENT_WAITING);
    }
    if (c)
        loop_timer_set(s->opts.loop, &s->turn, s->next_answer_ns);
}

static void on_turn(struct loop_timer *timer)
{
    take_turn(timer->user);
}

static void request_complete(struct client *c, size_t len)
{
    struct loop *loop = c->server->opts.loop;
    const char *err;

    if (control_request_parse(c->in, len, &c->request, &err)) {
        client_answer(c, control_error(err));
        return;
    }
    c->state = CLIENT_WAITING;
    set_deadline(c);
    loop_io_set(loop, &c->io, 0);
    take_turn(c->server);
}

static void client_read(struct client *c)
{
    ssize_t n = recv(c->io.fd, c->in + c->n_in, sizeof(c->in) - c->n_in, 0);
    char *end;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->n_in += (size_t)n;
    end = memchr(c->in, '\n', c->n_in);
    if (end)
        request_complete(c, (size_t)(end - c->in));
    else if (c->n_in == sizeof(c->in))
        client_answer(c, control_error("the request is too long"));
}

static void on_client(struct loop_io *io, uint32_t events)
{
    struct client *c = io->user;

    if (c->state == CLIENT_READING)
        client_read(c);
    else if (c->state == CLIENT_WRITING && !(events & (EPOLLERR | EPOLLHUP)))
        client_write(c);
    else
        client_close(c);
}

static void on_deadline(struct loop_timer *timer)
{
    client_close(timer->user);
}

/* --- who may --------------------------------------------------------------------------- */

static bool in_group(int fd, gid_t group)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
        return false; /* also: in more groups than that */
    for (size_t i = 0; i < len / sizeof(*groups); i++)
        if (groups[i] == group)
            return true;
    return false;
}

static bool may_ask(const struct control_server *s, int fd)
{
    struct ucred who;
    socklen_t len = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
        return false;
    return who.uid == 0 || who.uid == geteuid() || who.gid == s->opts.group ||
           in_group(fd, s->opts.group);
}

/* --- arrivals -------------------------------------------------------------------------- */

static struct client *free_place(struct control_server *s)
{
    struct client *c = oldest(s, CLIENT_FREE), *leaves = oldest(s, CLIENT_READING);

    if (c)
        return c;
    if (!leaves)
        leaves = oldest(s, CLIENT_WRITING);
    if (leaves)
        client_close(leaves);
    return leaves;
}

static void admit(struct control_server *s, int fd)
{
    struct client *c = free_place(s);

    if (!c || loop_io_add(s->opts.loop, &c->io, fd, EPOLLIN)) {
        close(fd);
        return;
    }
    c->state = CLIENT_READING;
    c->order = ++s->arrivals;
    c->n_in = 0;
    set_deadline(c);
    if (may_ask(s, fd))
        client_read(c); /* an honest client has sent its request already */
    else
        client_answer(c, control_error("not allowed"));
}

static void on_listener(struct loop_io *io, uint32_t events)
{
    struct control_server *s = io->user;
    struct loop *loop = s->opts.loop;

    for (int i = 0; i < CONTROL_ACCEPTS_PER_TURN; i++) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            admit(s, fd);
            continue;
        }
        if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
            loop_io_set(loop, io, 0);
            loop_timer_set(loop, &s->accept_pause, loop_now_ns(loop) + ACCEPT_PAUSE_NS);
        }
        return;
    }
}

static void on_accept_pause(struct loop_timer *timer)
{
    struct control_server *s = timer->user;

    loop_io_set(s->opts.loop, &s->io, EPOLLIN);
}

/* --- life ------------------------------------------------------------------------------ */

int control_server_new(const struct control_server_opts *opts, struct control_server **ret)
{
    struct control_server *s = calloc(1, sizeof(*s));
    int rv;

    if (!s) {
        close(opts->fd);
        return -ENOMEM;
    }
    s->opts = *opts;
    if (!s->opts.deadline_ns)
        s->opts.deadline_ns = CONTROL_DEADLINE_NS;
    s->io = (struct loop_io){.cb = on_listener, .user = s};
    s->accept_pause = (struct loop_timer){.cb = on_accept_pause, .user = s};
    s->turn = (struct loop_timer){.cb = on_turn, .user = s};
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];

        c->server = s;
        c->io = (struct loop_io){.cb = on_client, .user = c};
        c->deadline = (struct loop_timer){.cb = on_deadline, .user = c};
    }
    rv = loop_io_add(opts->loop, &s->io, opts->fd, EPOLLIN);
    if (rv) {
        close(opts->fd);
        free(s);
        return rv;
    }
    *ret = s;
    return 0;
}

void control_server_free(struct control_server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        client_close(&s->clients[i]);
    loop_timer_cancel(s->opts.loop, &s->accept_pause);
    loop_timer_cancel(s->opts.loop, &s->turn);
    loop_io_remove(s->opts.loop, &s->io);
    close(s->opts.fd);
    free(s);
}

unsigned control_server_clients(const struct control_server *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        n += s->clients[i].state != CLIENT_FREE;
    return n;
}
