/* The process of the probes: sockets and timers around probe.h. It opens no more than sockets that
 * are bound to an interface. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/util.h"
#include "wan/asker.h"
#include "wan/prober_internal.h"
#include "wan/telemetry.h"

/* Figures are told so often, states at once. */
#define TELL_NS (1 * NS_PER_S)
/* The first round, when the sockets have come; and how long that waits for the first telemetry. */
#define FIRST_NS (50 * NS_PER_MS)
#define PATIENCE_NS (5 * NS_PER_S)
#define ASK_NS (1 * NS_PER_S)

enum { ORDERS_MAX = 64 };

struct child;

/* A link in one family. */
struct line {
    struct child *child;
    unsigned link;
    enum wan_family family;
    struct probe probe;
    struct asker asker;
    bool has_telemetry; /* the target behind those of the asker */
    bool usable;
    struct loop_timer timer;
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
    gnutls_certificate_credentials_t trust[GATEWAY_PROBES_MAX]; /* of HTTPS */
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

static void ask(struct line *l, uint16_t number, uint32_t targets, uint64_t now_ns)
{
    const struct telemetry *t = l->has_telemetry ? telemetry_of(l) : NULL;

    for (unsigned i = 0; i < l->asker.n_targets; i++)
        if (targets & 1u << i)
            asker_ask(&l->asker, i, number);
    if (t && targets & 1u << l->asker.n_targets && telemetry_is_up(t, now_ns))
        probe_on_report(&l->probe, l->asker.n_targets, number, t->rtt_us);
}

static void go_on(struct line *l, uint64_t now_ns)
{
    const struct telemetry *t = l->has_telemetry ? telemetry_of(l) : NULL;
    uint16_t number;
    uint32_t targets;

    probe_expire(&l->probe, now_ns);
    tell(l, now_ns);
    if (t && !t->known && now_ns < l->usable_ns + PATIENCE_NS) {
        loop_timer_set(l->child->loop, &l->timer, now_ns + FIRST_NS);
        return;
    }
    if (probe_begin(&l->probe, now_ns, &number, &targets))
        ask(l, number, targets, now_ns);
    loop_timer_set(l->child->loop, &l->timer, probe_next_ns(&l->probe));
}

static void on_timer(struct loop_timer *t)
{
    struct line *l = t->user;

    go_on(l, loop_now_ns(l->child->loop));
}

static void on_answer(void *user, unsigned target, uint16_t number)
{
    struct line *l = user;
    uint64_t now_ns = loop_now_ns(l->child->loop);

    probe_on_answer(&l->probe, target, number, now_ns);
    probe_expire(&l->probe, now_ns);
    if (l->probe.verdict.state != l->told)
        tell(l, now_ns);
    loop_timer_set(l->child->loop, &l->timer, probe_next_ns(&l->probe));
}

/* Takes fd over. */
static void line_use(struct line *l, bool usable, int fd)
{
    struct child *s = l->child;
    uint64_t now_ns = loop_now_ns(s->loop);

    asker_close(&l->asker);
    loop_timer_cancel(s->loop, &l->timer);
    probe_pause(&l->probe);
    if (!usable && fd >= 0)
        close(fd);
    l->usable = usable && !asker_open(&l->asker, fd);
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

bool prober_takes_socket(const struct gateway_config *c, unsigned link, enum wan_family family)
{
    const struct gateway_probe *conf = gateway_config_probe_of(c, link);

    for (unsigned i = 0; conf && asker_takes_socket(conf) && i < conf->n_targets; i++)
        if (wan_family_of(&conf->targets[i]) == family)
            return true;
    return false;
}

/* What the probe of a link trusts. Without it there are no answers. */
static gnutls_certificate_credentials_t trust_of(struct child *s, unsigned link)
{
    int n = gateway_config_probe(s->c, s->c->links[link].probe);
    const struct gateway_probe *conf = n < 0 ? NULL : &s->c->probes[n];

    if (!conf || conf->type != GATEWAY_PROBE_HTTPS)
        return NULL;
    if (!s->trust[n] && attempt_trust_new(conf, &s->trust[n])) {
        s->trust[n] = NULL;
        log_error("gateway: probe %s: no certificate authority can be read from %s", conf->name,
                  *conf->ca_file ? conf->ca_file : "the system's files");
    }
    return s->trust[n];
}

static int add_line(struct child *s, unsigned link, enum wan_family family,
                    const struct wan_verdict *before)
{
    const struct gateway_probe *conf = gateway_config_probe_of(s->c, link);
    struct line *l = &s->lines[s->n_lines++];
    /* not all links at the same moment */
    uint64_t shift = conf->interval_ms * NS_PER_MS * link / s->c->n_links;
    int rv;

    l->child = s;
    l->link = link;
    l->family = family;
    l->has_telemetry = *s->c->links[link].instance;
    l->told = before->state;
    l->timer.cb = on_timer;
    l->timer.user = l;
    rv = asker_init(&l->asker, s->loop, conf, s->c->links[link].device, family, trust_of(s, link),
                    on_answer, l);
    probe_init(&l->probe, conf, l->asker.n_targets + l->has_telemetry, before,
               loop_now_ns(s->loop) + FIRST_NS + shift);
    return rv;
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

static int add_all(struct child *s, const struct wan_health *before)
{
    int rv = 0;

    for (unsigned i = 0; !rv && i < s->c->n_links; i++) {
        for (enum wan_family f = 0; !rv && f < WAN_FAMILIES; f++)
            if (wan_has_probe(s->c, i, f))
                rv = add_line(s, i, f, &before->link[i].probe[f]);
        if (*s->c->links[i].instance)
            add_source(s, i);
    }
    return rv;
}

static void child_done(struct child *s)
{
    for (unsigned i = 0; i < s->n_lines; i++)
        asker_done(&s->lines[i].asker);
    for (unsigned i = 0; i < s->n_sources; i++)
        telemetry_done(&s->sources[i].telemetry);
    for (unsigned i = 0; i < GATEWAY_PROBES_MAX; i++)
        if (s->trust[i])
            gnutls_certificate_free_credentials(s->trust[i]);
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
    if (!rv)
        rv = add_all(s, before);
    if (!rv)
        rv = loop_run(s->loop);
    child_done(s);
    return rv;
}
