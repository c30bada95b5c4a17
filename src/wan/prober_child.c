/* The process of the probes: sockets and timers around probe.h. It opens nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sock.h"
#include "base/util.h"
#include "netlink/echo.h"
#include "wan/prober_internal.h"
#include "wan/telemetry.h"

/* Figures are told so often, states at once. */
#define TELL_NS (1 * NS_PER_S)
/* The first round, when the sockets have come; and how long that waits for the first telemetry. */
#define FIRST_NS (50 * NS_PER_MS)
#define PATIENCE_NS (5 * NS_PER_S)
#define ASK_NS (1 * NS_PER_S)

enum { ORDERS_MAX = 64, ANSWERS_MAX = 64 };

struct child;

/* A link in one family. */
struct line {
    struct child *child;
    unsigned link;
    enum wan_family family;
    struct probe probe;
    struct ip_addr target[GATEWAY_TARGETS_MAX];
    unsigned n_echo;
    bool has_telemetry; /* the target behind those */
    bool usable;
    struct loop_io io;
    struct loop_timer timer;
    uint16_t id;
    uint64_t cookie;
    enum wan_state told;
    uint64_t told_ns, usable_ns;
};

struct source {
    struct child *child;
    unsigned link;
    struct telemetry telemetry;
    struct loop_timer timer;
};

struct child {
    const struct gateway_config *c;
    struct loop *loop;
    struct loop_io io; /* the other process */
    struct line lines[2 * GATEWAY_LINKS_MAX];
    unsigned n_lines;
    struct source sources[GATEWAY_LINKS_MAX];
    unsigned n_sources;
};

/* --- telling --------------------------------------------------------------------------- */

static bool say(struct child *s, const struct prober_word *w)
{
    return send(s->io.fd, w, sizeof(*w), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(*w);
}

/* A change that cannot be told now is told after the next round. */
static void tell(struct line *l, uint64_t now_ns)
{
    struct prober_word w = {.kind = PROBER_VERDICT,
                            .link = (uint8_t)l->link,
                            .family = (uint8_t)l->family,
                            .verdict = l->probe.verdict};

    if (l->probe.verdict.state == l->told && now_ns - l->told_ns < TELL_NS)
        return;
    if (!say(l->child, &w))
        return;
    l->told = l->probe.verdict.state;
    l->told_ns = now_ns;
}

/* --- rounds ---------------------------------------------------------------------------- */

static const struct telemetry *telemetry_of(const struct line *l)
{
    for (unsigned i = 0; i < l->child->n_sources; i++)
        if (l->child->sources[i].link == l->link)
            return &l->child->sources[i].telemetry;
    return NULL;
}

static void ask_all(struct line *l, uint16_t number, uint64_t now_ns)
{
    struct echo_tag tag = {l->id, number, l->cookie};
    const struct telemetry *t = l->has_telemetry ? telemetry_of(l) : NULL;

    /* What cannot be sent gets no answer. */
    for (unsigned i = 0; i < l->n_echo; i++)
        (void)echo_send(l->io.fd, &l->target[i], &tag);
    if (t && telemetry_is_up(t, now_ns))
        probe_on_report(&l->probe, l->n_echo, number, t->rtt_us);
}

static void go_on(struct line *l, uint64_t now_ns)
{
    const struct telemetry *t = l->has_telemetry ? telemetry_of(l) : NULL;
    uint16_t number;

    probe_expire(&l->probe, now_ns);
    tell(l, now_ns);
    if (t && !t->known && now_ns < l->usable_ns + PATIENCE_NS) {
        loop_timer_set(l->child->loop, &l->timer, now_ns + FIRST_NS);
        return;
    }
    if (probe_begin(&l->probe, now_ns, &number))
        ask_all(l, number, now_ns);
    loop_timer_set(l->child->loop, &l->timer, probe_next_ns(&l->probe));
}

static void on_timer(struct loop_timer *t)
{
    struct line *l = t->user;

    go_on(l, loop_now_ns(l->child->loop));
}

static unsigned find_target(const struct line *l, const struct ip_addr *from)
{
    unsigned i = 0;

    while (i < l->n_echo && !ip_addr_equal(&l->target[i], from))
        i++;
    return i;
}

static void on_echo(struct loop_io *io, uint32_t events)
{
    struct line *l = io->user;
    uint64_t now_ns = loop_now_ns(l->child->loop);

    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        struct ip_addr from;
        struct echo_tag tag;
        unsigned target;

        /* An error of the socket is taken by reading it; what is wrong shows itself. */
        if (echo_receive(io->fd, l->family == WAN_V4 ? 4 : 6, &from, &tag) <= 0)
            break;
        target = find_target(l, &from);
        if (target < l->n_echo && tag.id == l->id && tag.cookie == l->cookie)
            probe_on_answer(&l->probe, target, tag.number, now_ns);
    }
    if (probe_expire(&l->probe, now_ns))
        tell(l, now_ns);
    loop_timer_set(l->child->loop, &l->timer, probe_next_ns(&l->probe));
}

static void line_close(struct line *l)
{
    if (l->io.fd >= 0) {
        loop_io_remove(l->child->loop, &l->io);
        close(l->io.fd);
    }
    l->io.fd = -1;
}

/* Takes fd over. */
static void line_use(struct line *l, bool usable, int fd)
{
    struct child *s = l->child;
    uint64_t now_ns = loop_now_ns(s->loop);

    line_close(l);
    loop_timer_cancel(s->loop, &l->timer);
    probe_pause(&l->probe);
    l->usable = usable && (fd >= 0 || !l->n_echo);
    if (fd >= 0 && (!l->usable || loop_io_add(s->loop, &l->io, fd, EPOLLIN))) {
        close(fd);
        l->io.fd = -1;
        l->usable = false;
    }
    if (!l->usable)
        return;
    l->usable_ns = now_ns;
    loop_timer_set(s->loop, &l->timer, now_ns + FIRST_NS);
}

/* --- telemetry ------------------------------------------------------------------------- */

static void on_source_timer(struct loop_timer *t)
{
    struct source *from = t->user;
    struct child *s = from->child;
    struct prober_word w = {.kind = PROBER_ASK, .link = (uint8_t)from->link};

    (void)say(s, &w);
    loop_timer_set(s->loop, &from->timer, loop_now_ns(s->loop) + ASK_NS);
}

/* --- orders ---------------------------------------------------------------------------- */

/* Takes fd over. */
static void obey(struct child *s, const struct prober_order *o, int fd)
{
    if (o->kind == PROBER_TELEMETRY) {
        for (unsigned i = 0; i < s->n_sources; i++)
            if (s->sources[i].link == o->link) {
                telemetry_ask(&s->sources[i].telemetry, fd);
                return;
            }
    } else {
        for (unsigned i = 0; i < s->n_lines; i++)
            if (s->lines[i].link == o->link && (unsigned)s->lines[i].family == o->family) {
                line_use(&s->lines[i], o->usable, fd);
                return;
            }
    }
    if (fd >= 0)
        close(fd);
}

static void on_order(struct loop_io *io, uint32_t events)
{
    struct child *s = io->user;

    for (unsigned i = 0; i < ORDERS_MAX; i++) {
        struct prober_order o;
        int fd = -1, rv = sock_receive_fd(io->fd, &o, sizeof(o), &fd, MSG_DONTWAIT);

        if (rv && rv != -EAGAIN)
            loop_stop(s->loop, 0);
        if (rv)
            return;
        obey(s, &o, fd);
    }
}

/* --- beginning ------------------------------------------------------------------------- */

unsigned prober_count_echo(const struct gateway_config *c, unsigned link, enum wan_family family)
{
    const struct gateway_probe *conf = gateway_config_probe_of(c, link);
    unsigned n = 0;

    for (unsigned i = 0; conf && i < conf->n_targets; i++)
        n += wan_family_of(&conf->targets[i]) == family;
    return n;
}

static void add_line(struct child *s, unsigned link, enum wan_family family,
                     const struct wan_verdict *before)
{
    const struct gateway_probe *conf = gateway_config_probe_of(s->c, link);
    struct line *l = &s->lines[s->n_lines++];
    /* not all links at the same moment */
    uint64_t shift = conf->interval_ms * NS_PER_MS * link / s->c->n_links;

    l->child = s;
    l->link = link;
    l->family = family;
    l->has_telemetry = *s->c->links[link].instance;
    for (unsigned i = 0; i < conf->n_targets; i++)
        if (wan_family_of(&conf->targets[i]) == family)
            l->target[l->n_echo++] = conf->targets[i];
    probe_init(&l->probe, conf, l->n_echo + l->has_telemetry, before,
               loop_now_ns(s->loop) + FIRST_NS + shift);
    l->told = before->state;
    l->io.fd = -1;
    l->io.cb = on_echo;
    l->io.user = l;
    l->timer.cb = on_timer;
    l->timer.user = l;
    if (getrandom(&l->cookie, sizeof(l->cookie), 0) != sizeof(l->cookie))
        l->cookie = clock_mono_ns();
    l->id = (uint16_t)(l->cookie >> 48);
}

static void add_source(struct child *s, unsigned link)
{
    struct source *from = &s->sources[s->n_sources++];

    from->child = s;
    from->link = link;
    telemetry_init(&from->telemetry, s->loop);
    from->timer.cb = on_source_timer;
    from->timer.user = from;
    loop_timer_set(s->loop, &from->timer, loop_now_ns(s->loop));
}

static void add_all(struct child *s, const struct wan_health *before)
{
    for (unsigned i = 0; i < s->c->n_links; i++) {
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
            if (wan_has_probe(s->c, i, f))
                add_line(s, i, f, &before->link[i].probe[f]);
        if (*s->c->links[i].instance)
            add_source(s, i);
    }
}

static void child_done(struct child *s)
{
    for (unsigned i = 0; i < s->n_lines; i++)
        line_close(&s->lines[i]);
    for (unsigned i = 0; i < s->n_sources; i++)
        telemetry_done(&s->sources[i].telemetry);
    loop_io_remove(s->loop, &s->io);
    loop_free(s->loop);
    free(s);
}

int prober_child_run(const struct gateway_config *c, const struct wan_health *before, int fd)
{
    struct loop *loop = loop_new();
    struct child *s = loop ? calloc(1, sizeof(*s)) : NULL;
    int rv;

    if (!s) {
        loop_free(loop);
        return -ENOMEM;
    }
    s->c = c;
    s->loop = loop;
    s->io.cb = on_order;
    s->io.user = s;
    rv = loop_io_add(s->loop, &s->io, fd, EPOLLIN);
    if (!rv) {
        add_all(s, before);
        rv = loop_run(s->loop);
    }
    child_done(s);
    return rv;
}
