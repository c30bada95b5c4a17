#include "wan/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "loop/loop.h"
#include "wan/gateway.h"
#include "wan/manager.h"

/* Between two looks at the kernel at least (and as long as the last one took: where there are very
 * many routes it takes a while), and without any signal at most. */
#define PAUSE_NS (10 * NS_PER_MS)
#define PERIOD_NS (30 * NS_PER_S)
#define RETRY_NS (1 * NS_PER_S)

struct keeper {
    struct gateway *g;
    struct loop *loop;
    const char *file;
    struct loop_io io[GATEWAY_SIGNALS];
    struct loop_timer timer, watchdog;
    struct loop_signal signals[3];
    uint64_t last_ns;                               /* when the last look ended */
    uint64_t pause_ns;                              /* until the next one */
    bool settled;                                   /* what is done from now on is repair */
    struct wan_link_state state[GATEWAY_LINKS_MAX]; /* as logged last */
    bool told[GATEWAY_LINKS_MAX];
    char conflicts[WAN_CONFLICTS_MAX][WAN_CONFLICT_TEXT_MAX]; /* as logged last */
    unsigned n_conflicts;
};

/* --- log ------------------------------------------------------------------------------- */

static void note(void *user, const struct wan_op *op, int error)
{
    const struct keeper *s = user;
    char text[GATEWAY_TEXT_MAX];

    gateway_op_str(op, text);
    if (!error)
        log_info("gateway: %s%s", s->settled ? "realigned: " : "", text);
    else if (wan_op_may_fail(op, error))
        log_debug("gateway: %s: passed over: %s", text, strerror(-error));
    else if (op->kind == WAN_OP_NFT)
        log_error("gateway: %s: %s", text, gateway_nft_error(s->g));
    else
        log_error("gateway: %s: %s", text, strerror(-error));
}

static const char *family_name(enum wan_family family)
{
    return family == WAN_V4 ? "IPv4" : "IPv6";
}

static void log_links(struct keeper *s)
{
    const struct gateway_config *c = gateway_config(s->g);

    for (unsigned i = 0; i < c->n_links; i++) {
        struct wan_link_state now;

        wan_state_of(c, &gateway_mirror(s->g)->facts, i, &now);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++) {
            bool was_up = s->state[i].reason[f] == WAN_REASON_UP;

            if (now.reason[f] == WAN_REASON_OFF ||
                (s->told[i] && now.reason[f] == s->state[i].reason[f]))
                continue;
            log_info(
                "link %s: %s: %s%s%s", c->links[i].name, family_name(f),
                s->told[i] && was_up ? "up -> " : "",
                now.reason[f] == WAN_REASON_UP ? "" : "down: ", wan_reason_name(now.reason[f]));
        }
        s->state[i] = now;
        s->told[i] = true;
    }
}

static bool was_told(const struct keeper *s, const char *conflict)
{
    for (unsigned i = 0; i < MIN(s->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        if (!strcmp(s->conflicts[i], conflict))
            return true;
    return false;
}

static void log_conflicts(struct keeper *s)
{
    const struct wan_mirror *m = gateway_mirror(s->g);

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        if (!was_told(s, m->conflict[i]))
            log_error("gateway: %s", m->conflict[i]);
    memcpy(s->conflicts, m->conflict, sizeof(s->conflicts));
    s->n_conflicts = m->n_conflicts;
}

/* --- work ------------------------------------------------------------------------------ */

/* In the words of systemctl status. */
static void tell_status(const struct keeper *s, int error)
{
    const struct gateway_config *c = gateway_config(s->g);
    unsigned up = 0;
    char text[128];

    for (unsigned i = 0; i < c->n_links; i++)
        up += s->state[i].reason[WAN_V4] == WAN_REASON_UP ||
              s->state[i].reason[WAN_V6] == WAN_REASON_UP;
    snprintf(text, sizeof(text), "%s; %u of %u links up%s",
             error ? "not in force as a whole" : "in force", up, c->n_links,
             s->n_conflicts ? "; others are in the way" : "");
    manager_status(text);
}

static int work(struct keeper *s)
{
    uint64_t began = clock_mono_ns(), now;
    int rv = gateway_apply(s->g, false, note, s);

    if (rv)
        log_error("gateway: not in force as a whole: %s", strerror(-rv));
    log_links(s);
    log_conflicts(s);
    tell_status(s, rv);
    now = clock_mono_ns();
    s->last_ns = now;
    s->pause_ns = MAX(PAUSE_NS, now - began);
    loop_timer_set(s->loop, &s->timer, now + (rv ? RETRY_NS : PERIOD_NS));
    return rv;
}

static void on_timer(struct loop_timer *t)
{
    work(t->user);
}

static void on_watchdog(struct loop_timer *t)
{
    struct keeper *s = t->user;

    manager_alive();
    loop_timer_set(s->loop, t, clock_mono_ns() + manager_watchdog_ns() / 2);
}

/* Something has changed: look soon, at once when the last look is a while ago. */
static void on_signal_fd(struct loop_io *io, uint32_t events)
{
    struct keeper *s = io->user;
    int rv = gateway_signal_take(s->g, (unsigned)(io - s->io));

    if (rv < 0) {
        log_error("gateway: events of the kernel cannot be read: %s", strerror(-rv));
        loop_stop(s->loop, EXIT_CODE_INTERNAL);
    }
    if (rv)
        loop_timer_set(s->loop, &s->timer, s->last_ns + s->pause_ns);
}

/* Take the configuration of the file over, when it has no error. */
static void take_file(struct keeper *s, struct gateway_config *c)
{
    struct config_report report = {0};

    if (gateway_config_load(s->file, c, &report)) {
        for (size_t i = 0; i < report.n; i++)
            log_error("gateway: %s:%u:%u: %s", s->file, report.v[i].line, report.v[i].column,
                      report.v[i].text);
        log_error("gateway: reload: %zu errors: everything stays as it is", report.n_errors);
    } else {
        gateway_set_config(s->g, c);
        log_set_level(c->log_level);
        memset(s->told, 0, sizeof(s->told));
        s->settled = false;
        s->settled = !work(s);
        log_info("gateway: reloaded %s", s->file);
    }
    config_report_done(&report);
}

static void reload(struct keeper *s)
{
    struct gateway_config *c = s->file ? calloc(1, sizeof(*c)) : NULL;

    if (c)
        take_file(s, c);
    else
        log_error("gateway: the configuration cannot be read again");
    free(c);
}

static void on_signal(struct loop_signal *sig, int signo)
{
    struct keeper *s = sig->user;

    if (signo == SIGHUP) {
        manager_reloading();
        reload(s);
        manager_ready();
    } else {
        loop_stop(s->loop, EXIT_CODE_OK);
    }
}

static int watch(struct keeper *s)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int rv = 0;

    s->timer.cb = on_timer;
    s->timer.user = s;
    s->watchdog.cb = on_watchdog;
    s->watchdog.user = s;
    for (unsigned i = 0; i < GATEWAY_SIGNALS && !rv; i++) {
        s->io[i].cb = on_signal_fd;
        s->io[i].user = s;
        rv = loop_io_add(s->loop, &s->io[i], gateway_signal_fd(s->g, i), EPOLLIN);
    }
    for (unsigned i = 0; i < ARRAY_LEN(signals) && !rv; i++) {
        s->signals[i].cb = on_signal;
        s->signals[i].user = s;
        s->signals[i].signo = signals[i];
        rv = loop_signal_add(s->loop, &s->signals[i]);
    }
    return rv;
}

enum exit_code keeper_run(const struct gateway_config *c, const char *file, const char *state_file)
{
    _cleanup_free_ struct keeper *s = calloc(1, sizeof(*s));
    enum exit_code code = EXIT_CODE_START;
    int rv = s ? gateway_open(c, state_file, &s->g) : -ENOMEM;

    if (!rv) {
        s->file = file;
        s->loop = loop_new();
        rv = s->loop ? watch(s) : -errno;
    }
    if (rv) {
        log_error("gateway: cannot start: %s", strerror(-rv));
    } else {
        s->settled = !work(s);
        manager_ready();
        if (manager_watchdog_ns())
            on_watchdog(&s->watchdog);
        log_info("gateway: running: %u links, %u policies", c->n_links, c->n_policies);
        code = (enum exit_code)loop_run(s->loop);
        manager_stopping();
        log_info("gateway: stopped; everything stays in force");
    }
    if (s) {
        for (unsigned i = 0; s->loop && i < GATEWAY_SIGNALS; i++)
            loop_io_remove(s->loop, &s->io[i]);
        loop_free(s->loop);
        gateway_close(s->g);
    }
    return code;
}
