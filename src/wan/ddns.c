/* Each entry knows what was told, and what is to be told: with both the same it rests. Else it is
 * told, by one process at a time; one that fails is followed by another after a pause that doubles.
 * Another address to tell ends the pause. */
#include "wan/ddns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "helper/sandbox.h"
#include "wan/ddns_internal.h"

#define PAUSE_FIRST_NS (5 * NS_PER_S)
#define PAUSE_MAX_NS (1800 * NS_PER_S)
#define REAP_NS (50 * NS_PER_MS)

enum { LEFT_MAX = 64 };

struct entry {
    struct ddns *d;
    const struct gateway_dns *dns;
    const char *device;
    struct ip_addr told, want, tried; /* family 0: none */
    unsigned failures;
    pid_t pid; /* 0: nobody is telling */
    struct loop_io io;
    struct loop_timer timer;  /* set: a pause */
    char text[DDNS_TEXT_MAX]; /* that the process says */
    size_t len;
    bool silent; /* it has closed its end of the pipe: it is over, or nearly */
};

struct ddns {
    struct gateway_config config;
    struct loop *loop;
    ddns_fn *fn;
    void *user;
    struct rng rng;
    struct entry entry[GATEWAY_DNS_MAX];
};

/* Processes of a configuration that is gone. Without CAP_KILL they cannot be ended, being another
 * user's; they end by themselves, and nobody waits for that. */
static pid_t left[LEFT_MAX];

static void reap_left(void)
{
    for (size_t i = 0; i < LEFT_MAX; i++)
        if (left[i] && waitpid(left[i], NULL, WNOHANG) == left[i])
            left[i] = 0;
}

static void leave(pid_t pid)
{
    kill(pid, SIGKILL);
    if (waitpid(pid, NULL, WNOHANG))
        return;
    for (size_t i = 0; i < LEFT_MAX; i++)
        if (!left[i]) {
            left[i] = pid;
            return;
        }
}

struct ip_addr ddns_address(const struct gateway_config *c, const struct wan_facts *f,
                            const struct gateway_dns *d)
{
    uint8_t family = d->family == GATEWAY_DNS_IPV6 ? 6 : 4;
    int i = gateway_config_link(c, d->link);
    struct ip_addr none = {0};
    struct wan_link_state s;

    if (i < 0)
        return none;
    wan_state_of(c, f, (unsigned)i, &s);
    if (s.reason[family == 4 ? WAN_V4 : WAN_V6] != WAN_REASON_UP)
        return none;
    for (unsigned j = 0; j < f->link[i].n_net; j++) {
        const struct ip_addr *a = &f->link[i].net[j].addr;

        if (a->family == family && !ip_addr_is_linklocal(a))
            return *a;
    }
    return none;
}

uint64_t ddns_pause_ns(unsigned failures)
{
    uint64_t pause = PAUSE_FIRST_NS;

    for (unsigned i = 1; i < failures && pause < PAUSE_MAX_NS; i++)
        pause *= 2;
    return MIN(pause, PAUSE_MAX_NS);
}

/* --- telling --------------------------------------------------------------------------- */

static void act(struct entry *e);

static void succeed(struct entry *e)
{
    e->failures = 0;
    e->told = e->tried;
    e->d->fn(e->d->user, e->dns, &e->tried, NULL);
    act(e); /* it may have changed meanwhile */
}

static void fail(struct entry *e, const char *why)
{
    uint64_t pause;

    e->failures++;
    e->d->fn(e->d->user, e->dns, &e->tried, why);
    pause = ddns_pause_ns(e->failures);
    pause += rng_below(&e->d->rng, pause / 4 + 1);
    loop_timer_set(e->d->loop, &e->timer, clock_mono_ns() + pause);
}

static int spawn(struct entry *e, const struct ddns_task *t, const char **ret_what)
{
    struct sandbox_user user;
    pid_t parent = getpid();
    int pair[2], rv = sandbox_user_find(&user);

    *ret_what = "find a user without privileges";
    if (rv)
        return rv;
    *ret_what = "start a process";
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    e->len = 0;
    e->silent = false;
    e->pid = fork();
    if (!e->pid)
        ddns_child_run(t, &user, parent, pair[1]);
    rv = e->pid < 0 ? -errno : loop_io_add(e->d->loop, &e->io, pair[0], EPOLLIN);
    close(pair[1]);
    if (!rv)
        return 0;
    close(pair[0]);
    e->io.fd = -1;
    if (e->pid > 0)
        leave(e->pid);
    e->pid = 0;
    return rv;
}

static void tell(struct entry *e)
{
    struct ddns_task t = {.dns = e->dns, .device = e->device, .address = e->want};
    const char *what;
    char text[DDNS_TEXT_MAX];
    int rv;

    e->tried = e->want;
    rv = ddns_task_prepare(&t, &what);
    if (!rv)
        rv = spawn(e, &t, &what);
    ddns_task_done(&t);
    if (!rv)
        return;
    snprintf(text, sizeof(text), "cannot %s: %s", what, strerror(-rv));
    fail(e, text);
}

static void act(struct entry *e)
{
    bool is_new = !ip_addr_equal(&e->want, &e->tried);

    if (e->pid || !e->want.family || ip_addr_equal(&e->want, &e->told))
        return;
    if (loop_timer_is_set(&e->timer) && !is_new)
        return;
    loop_timer_cancel(e->d->loop, &e->timer);
    if (is_new)
        e->failures = 0;
    tell(e);
}

/* --- its end --------------------------------------------------------------------------- */

/* One line, without what a terminal might heed. */
static void clean(char *s)
{
    s[strcspn(s, "\r\n")] = 0;
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

/* Take its status, as soon as it has one. */
static void end(struct entry *e)
{
    int status = -1;

    kill(e->pid, SIGKILL);
    if (!waitpid(e->pid, &status, WNOHANG)) {
        loop_timer_set(e->d->loop, &e->timer, clock_mono_ns() + REAP_NS);
        return;
    }
    e->pid = 0;
    e->silent = false;
    e->text[e->len] = 0;
    clean(e->text);
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        succeed(e);
    else
        fail(e, *e->text ? e->text : "it took too long");
}

static void on_output(struct loop_io *io, uint32_t events)
{
    struct entry *e = io->user;
    char rest[256];
    bool full = e->len + 1 >= sizeof(e->text);
    ssize_t n = full ? read(io->fd, rest, sizeof(rest))
                     : read(io->fd, e->text + e->len, sizeof(e->text) - 1 - e->len);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        e->len += full ? 0 : (size_t)n;
        return;
    }
    loop_io_remove(e->d->loop, io);
    close(io->fd);
    io->fd = -1;
    e->silent = true;
    end(e);
}

static void on_timer(struct loop_timer *timer)
{
    struct entry *e = timer->user;

    if (e->silent)
        end(e);
    else
        act(e);
}

/* --- life ------------------------------------------------------------------------------ */

void ddns_on_facts(struct ddns *d, const struct wan_facts *f)
{
    reap_left();
    for (unsigned i = 0; d && i < d->config.n_dns; i++) {
        struct entry *e = &d->entry[i];

        e->want = ddns_address(&d->config, f, e->dns);
        act(e);
    }
}

static bool is_same(const struct gateway_dns *a, const struct gateway_dns *b)
{
    return !strcmp(a->link, b->link) && a->family == b->family && !strcmp(a->name, b->name) &&
           !strcmp(a->zone, b->zone) && ip_addr_equal(&a->server, &b->server) &&
           a->port == b->port && a->ttl_s == b->ttl_s && !strcmp(a->key, b->key) &&
           !strcmp(a->url, b->url);
}

/* What an entry that is the same has told already. */
static void carry_over(struct ddns *d, const struct ddns *before)
{
    for (unsigned i = 0; i < d->config.n_dns; i++)
        for (unsigned j = 0; j < before->config.n_dns; j++) {
            const struct entry *was = &before->entry[j];

            if (is_same(d->entry[i].dns, was->dns) && !strcmp(d->entry[i].device, was->device))
                d->entry[i].told = was->told;
        }
}

int ddns_start(struct loop *loop, const struct gateway_config *c, struct ddns *before, ddns_fn *fn,
               void *user, struct ddns **ret)
{
    struct ddns *d = c->n_dns ? calloc(1, sizeof(*d)) : NULL;
    uint64_t seed = clock_mono_ns();

    *ret = NULL;
    if (d) {
        d->config = *c;
        d->loop = loop;
        d->fn = fn;
        d->user = user;
        (void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
        rng_seed(&d->rng, seed);
        for (unsigned i = 0; i < c->n_dns; i++) {
            struct entry *e = &d->entry[i];
            int link = gateway_config_link(&d->config, d->config.dns[i].link);

            e->d = d;
            e->dns = &d->config.dns[i];
            e->device = link < 0 ? "" : d->config.links[link].device;
            e->io = (struct loop_io){.cb = on_output, .user = e, .fd = -1};
            e->timer = (struct loop_timer){.cb = on_timer, .user = e};
        }
        if (before)
            carry_over(d, before);
    }
    ddns_stop(before);
    if (!d)
        return c->n_dns ? -ENOMEM : 0;
    *ret = d;
    return 0;
}

void ddns_stop(struct ddns *d)
{
    for (unsigned i = 0; d && i < d->config.n_dns; i++) {
        struct entry *e = &d->entry[i];

        loop_timer_cancel(d->loop, &e->timer);
        if (e->io.fd >= 0) {
            loop_io_remove(d->loop, &e->io);
            close(e->io.fd);
        }
        if (e->pid > 0)
            leave(e->pid);
    }
    free(d);
}
