#include "wan/keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/place.h"
#include "base/util.h"
#include "loop/loop.h"
#include "wan/ddns.h"
#include "wan/eventlog.h"
#include "wan/gateway.h"
#include "wan/healthfile.h"
#include "wan/manager.h"
#include "wan/prober.h"
#include "wan/sshguard.h"
#include "wan/trialwatch.h"

/* Between two looks at the kernel at least (and as long as the last one took: where there are very
 * many routes it takes a while), and without any signal at most. */
#define PAUSE_NS (10 * NS_PER_MS)
#define PERIOD_NS (30 * NS_PER_S)
#define RETRY_NS (1 * NS_PER_S)
/* What is known of the links is written at each change of a state, and figures so often. */
#define WRITE_NS (5 * NS_PER_S)

struct keeper {
    struct gateway *g;
    struct loop *loop;
    const char *file, *state_dir;
    char *unconfirmed; /* the text to be confirmed once it is in force, or NULL */
    struct trialwatch trial;
    struct loop_io io[GATEWAY_SIGNALS];
    struct loop_timer timer, watchdog;
    struct loop_signal signals[4];
    uint64_t last_ns;          /* when the last look ended */
    uint64_t pause_ns;         /* until the next one */
    enum eventlog_cause cause; /* of the next look */
    bool settled;              /* what is done from now on is repair */
    struct prober *prober;     /* NULL: no link has a probe */
    struct ddns *ddns;         /* NULL: nobody is told of addresses */
    struct wan_health health;
    char health_file[PLACE_PATH_MAX + 16];
    uint64_t written_ns;
    uint64_t taken_ns; /* when something of others was taken away again */
    struct eventlog events;
    struct wan_link_state state[GATEWAY_LINKS_MAX]; /* as logged last */
    bool told[GATEWAY_LINKS_MAX];
    char conflicts[WAN_CONFLICTS_MAX][WAN_CONFLICT_TEXT_MAX]; /* as logged last */
    unsigned n_conflicts;
};

/* --- log ------------------------------------------------------------------------------- */

/* What is done while no link has changed puts right what others have changed. */
static bool is_repair(const struct keeper *s)
{
    const struct gateway_config *c = gateway_config(s->g);

    for (unsigned i = 0; s->settled && i < c->n_links; i++) {
        struct wan_link_state now;

        wan_state_of(c, &gateway_mirror(s->g)->facts, i, &now);
        if (!s->told[i] || memcmp(now.reason, s->state[i].reason, sizeof(now.reason)) != 0)
            return false;
    }
    return s->settled;
}

static void note(void *user, const struct wan_op *op, int error)
{
    struct keeper *s = user;
    char text[GATEWAY_TEXT_MAX];
    const char *why = op->kind == WAN_OP_NFT ? gateway_nft_error(s->g) : strerror(-error);

    gateway_op_str(op, text);
    if (error && wan_op_may_fail(op, error)) {
        log_debug("gateway: %s: passed over: %s", text, strerror(-error));
        return;
    }
    if (!error)
        log_info("gateway: %s%s", s->settled ? "realigned: " : "", text);
    else
        log_error("gateway: %s: %s", text, why);
    eventlog_write(&s->events, "change", "{s:s, s:b, s:s*}", "operation", text, "repair",
                   is_repair(s), "error", error ? why : NULL);
}

static const char *family_name(enum wan_family family)
{
    return family == WAN_V4 ? "IPv4" : "IPv6";
}

/* A link that was so long ago in another state, or was not known. */
static void log_link(struct keeper *s, unsigned i, enum wan_family f,
                     const struct wan_link_state *now)
{
    const struct gateway_config *c = gateway_config(s->g);
    const char *name = c->links[i].name, *state = wan_state_name(now->state[f]);
    const char *before = s->told[i] ? wan_state_name(s->state[i].state[f]) : NULL;
    char why[WAN_WHY_MAX];

    wan_state_why(c, &gateway_mirror(s->g)->facts, i, f, why);
    log_info("link %s: %s: %s%s%s: %s", name, family_name(f), before ? before : "",
             before ? " -> " : "", state, why);
    eventlog_write(&s->events, "link", "{s:s, s:s, s:s*, s:s, s:s}", "link", name, "family",
                   family_name(f), "from", before, "to", state, "reason", why);
}

/* Returns whether a state is another one than before. */
static bool log_links(struct keeper *s)
{
    const struct gateway_config *c = gateway_config(s->g);
    bool changed = false;

    for (unsigned i = 0; i < c->n_links; i++) {
        struct wan_link_health *h = &s->health.link[i];
        struct wan_link_state now;

        wan_state_of(c, &gateway_mirror(s->g)->facts, i, &now);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++) {
            if (!h->since_s[f] || h->last[f] != now.state[f]) {
                h->last[f] = now.state[f];
                h->since_s[f] = clock_real_s();
                changed = true;
            }
            if (now.reason[f] == WAN_REASON_OFF ||
                (s->told[i] && now.reason[f] == s->state[i].reason[f] &&
                 now.state[f] == s->state[i].state[f]))
                continue;
            log_link(s, i, f, &now);
        }
        s->state[i] = now;
        s->told[i] = true;
    }
    return changed;
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
        if (!was_told(s, m->conflict[i])) {
            log_error("gateway: %s", m->conflict[i]);
            eventlog_write(&s->events, "conflict", "{s:s}", "text", m->conflict[i]);
        }
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

static void write_health(struct keeper *s, bool at_once)
{
    uint64_t now = clock_mono_ns();
    int rv;

    if (!at_once && now - s->written_ns < WRITE_NS)
        return;
    rv = healthfile_write(s->health_file, gateway_config(s->g), &s->health, now);
    if (rv && at_once)
        log_error("gateway: %s: %s", s->health_file, strerror(-rv));
    s->written_ns = now;
}

/* What is in force as a whole, without being on trial, is what the machine boots with. */
static void confirm(struct keeper *s)
{
    int rv;

    if (!s->unconfirmed || trialwatch_is_on(&s->trial))
        return;
    rv = confirm_save(s->state_dir, s->unconfirmed);
    if (rv)
        log_error("gateway: the configuration cannot be kept for the next boot: %s", strerror(-rv));
    free(s->unconfirmed);
    s->unconfirmed = NULL;
}

static void note_foreign(void *user, bool taken, const char *text, int error)
{
    struct keeper *s = user;

    if (error)
        log_error("gateway: %s: %s", text, strerror(-error));
    else
        log_info("gateway: %s: %s", taken ? "taken away from others" : "given back", text);
    eventlog_write(&s->events, "foreign", "{s:s, s:b, s:s*}", "object", text, "taken", taken,
                   "error", error ? strerror(-error) : NULL);
}

/* What was taken over and is there again, because somebody has made it anew, goes again, at most
 * once a second: he may be no less patient than we are. Returns when to look for it again, or 0. */
static uint64_t take_again(struct keeper *s)
{
    const struct wan_mirror *m = gateway_mirror(s->g);
    uint64_t now = clock_mono_ns();
    struct takeover t = {0};
    int rv = m->n_conflicts
                 ? takeover_find_again(s->state_dir, gateway_netlink(s->g), &m->foreign, &t)
                 : 0;
    bool there = t.n && !rv, early = s->taken_ns && now - s->taken_ns < RETRY_NS;

    if (rv)
        log_error("gateway: what was taken over from others cannot be looked for: %s",
                  strerror(-rv));
    if (there && !early) {
        takeover_remove(gateway_netlink(s->g), &t, note_foreign, s);
        s->taken_ns = now;
    }
    takeover_done(&t);
    return there ? s->taken_ns + RETRY_NS : 0;
}

static int work(struct keeper *s)
{
    uint64_t began = clock_mono_ns(), now, again_ns;
    int rv;

    gateway_set_health(s->g, &s->health);
    rv = gateway_apply(s->g, false, note, s);
    if (rv) {
        log_error("gateway: not in force as a whole: %s", strerror(-rv));
        eventlog_write(&s->events, "failed", "{s:s}", "error", strerror(-rv));
    } else {
        confirm(s);
    }
    write_health(s, log_links(s));
    log_conflicts(s);
    again_ns = take_again(s);
    prober_on_facts(s->prober, &gateway_mirror(s->g)->facts);
    ddns_on_facts(s->ddns, &gateway_mirror(s->g)->facts);
    tell_status(s, rv);
    now = clock_mono_ns();
    s->last_ns = now;
    s->pause_ns = MAX(PAUSE_NS, now - began);
    s->cause = EVENTLOG_PERIOD;
    loop_timer_set(s->loop, &s->timer,
                   again_ns ? MAX(again_ns, now)
                            : now + (rv ? RETRY_NS : MIN(PERIOD_NS, gateway_ends_in_ns(s->g))));
    return rv;
}

static void on_timer(struct loop_timer *t)
{
    struct keeper *s = t->user;

    eventlog_begin(&s->events, s->cause);
    work(s);
}

static void on_watchdog(struct loop_timer *t)
{
    struct keeper *s = t->user;

    manager_alive();
    loop_timer_set(s->loop, t, clock_mono_ns() + manager_watchdog_ns() / 2);
}

/* Look soon; at once when the last look is a while ago. */
static void look_soon(struct keeper *s, enum eventlog_cause cause)
{
    if (s->cause == EVENTLOG_PERIOD)
        s->cause = cause;
    loop_timer_set(s->loop, &s->timer, s->last_ns + s->pause_ns);
}

static void on_verdict(void *user, unsigned link, enum wan_family family,
                       const struct wan_verdict *v, bool has_changed)
{
    struct keeper *s = user;

    s->health.link[link].probe[family] = *v;
    if (has_changed)
        look_soon(s, EVENTLOG_PROBE);
    else
        write_health(s, false);
}

/* Something has changed. */
static void on_signal_fd(struct loop_io *io, uint32_t events)
{
    struct keeper *s = io->user;
    int rv = gateway_signal_take(s->g, (unsigned)(io - s->io));

    if (rv < 0) {
        log_error("gateway: events of the kernel cannot be read: %s", strerror(-rv));
        loop_stop(s->loop, EXIT_CODE_INTERNAL);
    }
    if (rv)
        look_soon(s, EVENTLOG_KERNEL);
}

static void open_events(struct keeper *s, const struct gateway_config *c)
{
    int rv = eventlog_open(&s->events, c->event_log);

    if (rv)
        log_error("gateway: %s: events are not written: %s", c->event_log, strerror(-rv));
}

static void on_told(void *user, const struct gateway_dns *d, const struct ip_addr *address,
                    const char *error)
{
    struct keeper *s = user;
    const char *whom = *d->name ? d->name : "its url";
    char text[IP_ADDR_STR_MAX];

    ip_addr_str(address, text);
    if (error)
        log_error("dns: link %s: %s is not told %s: %s", d->link, whom, text, error);
    else
        log_info("dns: link %s: %s is told %s", d->link, whom, text);
    eventlog_write(&s->events, "dns", "{s:s, s:s*, s:s, s:s*}", "link", d->link, "name",
                   *d->name ? d->name : NULL, "address", text, "error", error);
}

static void start_dns(struct keeper *s, const struct gateway_config *c)
{
    int rv = ddns_start(s->loop, c, s->ddns, on_told, s, &s->ddns);

    if (rv)
        log_error("gateway: nobody is told of addresses: %s", strerror(-rv));
}

static void start_probes(struct keeper *s, const struct gateway_config *c)
{
    int rv;

    prober_stop(s->prober);
    s->prober = NULL;
    rv = prober_start(s->loop, c, &s->health, on_verdict, s, &s->prober);
    if (rv)
        log_error("gateway: links are not probed: %s", strerror(-rv));
}

/* What is known of links stays known in another configuration. */
static struct wan_health carry_health(const struct keeper *s, const struct gateway_config *to)
{
    const struct gateway_config *from = gateway_config(s->g);
    struct wan_health h = {0};

    for (unsigned i = 0; i < to->n_links; i++) {
        int was = gateway_config_link(from, to->links[i].name);

        if (was >= 0)
            h.link[i] = s->health.link[was];
    }
    return h;
}

/* --- another configuration ------------------------------------------------------------- */

static void set_config(void *user, const struct gateway_config *c)
{
    struct keeper *s = user;

    s->health = carry_health(s, c);
    gateway_set_config(s->g, c);
    gateway_set_health(s->g, &s->health);
    open_events(s, c);
    start_probes(s, c);
    start_dns(s, c);
    log_set_level(c->log_level);
    memset(s->told, 0, sizeof(s->told));
    s->settled = false;
}

static void on_changed(void *user)
{
    struct keeper *s = user;

    s->settled = !work(s);
}

/* What becomes of a trial; that it ends follows from nothing else. */
static void on_trial_event(void *user, const char *what)
{
    struct keeper *s = user;

    if (!strcmp(what, "taken back"))
        eventlog_begin(&s->events, EVENTLOG_TRIAL);
    eventlog_write(&s->events, "trial", "{s:s}", "is", what);
}

static void refuse_file(struct keeper *s, const struct config_report *report)
{
    for (size_t i = 0; i < report->n; i++)
        log_error("gateway: %s:%u:%u: %s", s->file, report->v[i].line, report->v[i].column,
                  report->v[i].text);
    log_error("gateway: reload: %zu errors: everything stays as it is", report->n_errors);
    eventlog_write(&s->events, "reload", "{s:s, s:I}", "file", s->file, "errors",
                   (long long)report->n_errors);
}

/* Would it cut whoever is connected by SSH, and how? The gateway looks at the kernel with it, and
 * then with the one that holds again. */
static bool cuts_ssh(struct keeper *s, const struct gateway_config *c,
                     char text[static SSHGUARD_TEXT_MAX])
{
    struct gateway_config *old = malloc(sizeof(*old));
    struct wan_health health = carry_health(s, c);
    bool harms;

    if (!old) {
        snprintf(text, SSHGUARD_TEXT_MAX, "there is no memory to look whether SSH would be cut");
        return true;
    }
    *old = *gateway_config(s->g);
    gateway_set_config(s->g, c);
    gateway_set_health(s->g, &health);
    harms = !gateway_look(s->g) && sshguard_harms_any(s->g, text);
    gateway_set_config(s->g, old);
    gateway_set_health(s->g, &s->health);
    (void)gateway_look(s->g);
    free(old);
    return harms;
}

static void refuse_cut(struct keeper *s, const char *text)
{
    log_error("gateway: reload: %s: everything stays as it is; mpquic gateway apply --confirm "
              "SECONDS puts it on trial, --force does it for good",
              text);
    eventlog_write(&s->events, "reload", "{s:s, s:i, s:s}", "file", s->file, "errors", 1, "error",
                   text);
}

/* Take the configuration of the file over, when it has no error. */
static void take_file(struct keeper *s, struct gateway_config *c)
{
    struct config_report report = {0};
    char *text = NULL, cut[SSHGUARD_TEXT_MAX];

    if (gateway_config_load_text(s->file, c, &report, &text)) {
        refuse_file(s, &report);
        free(text);
    } else if (cuts_ssh(s, c, cut)) {
        refuse_cut(s, cut);
        free(text);
    } else {
        free(s->unconfirmed);
        s->unconfirmed = text;
        set_config(s, c);
        eventlog_write(&s->events, "reload", "{s:s, s:i}", "file", s->file, "errors", 0);
        on_changed(s);
        log_info("gateway: reloaded %s", s->file);
    }
    config_report_done(&report);
}

static void reload(struct keeper *s)
{
    struct gateway_config *c = s->file ? calloc(1, sizeof(*c)) : NULL;

    if (trialwatch_is_on(&s->trial))
        log_error("gateway: reload: another configuration is on trial: confirm or reject it first");
    else if (c)
        take_file(s, c);
    else
        log_error("gateway: the configuration cannot be read again");
    free(c);
}

static void on_signal(struct loop_signal *sig, int signo)
{
    struct keeper *s = sig->user;

    eventlog_begin(&s->events, signo == SIGHUP    ? EVENTLOG_RELOAD
                               : signo == SIGUSR1 ? EVENTLOG_APPLY
                                                  : EVENTLOG_STOP);
    if (signo == SIGHUP) {
        manager_reloading();
        reload(s);
        manager_ready();
    } else if (signo == SIGUSR1) {
        trialwatch_look(&s->trial);
    } else {
        loop_stop(s->loop, EXIT_CODE_OK);
    }
}

static int watch(struct keeper *s)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
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

static int begin(struct keeper *s, const struct gateway_config *c)
{
    char dir[PLACE_PATH_MAX];
    int rv = place_run_dir(dir, sizeof(dir));

    if (rv)
        return rv;
    snprintf(s->health_file, sizeof(s->health_file), "%s/gateway.health", dir);
    s->loop = loop_new();
    if (!s->loop)
        return -errno;
    s->trial = (struct trialwatch){
        .settle = {s->g, s->state_dir, set_config, note, note_foreign, s},
        .loop = s->loop,
        .changed = on_changed,
        .event = on_trial_event,
    };
    open_events(s, c);
    eventlog_write(&s->events, "start", "{s:s, s:i, s:i, s:i}", "version", MPQUIC_VERSION,
                   "process", (int)getpid(), "links", (int)c->n_links, "policies",
                   (int)c->n_policies);
    /* of the one before: a link that did not work is not tried on those who are pinned to it */
    (void)healthfile_read(s->health_file, c, clock_mono_ns(), &s->health);
    return watch(s);
}

static enum exit_code keep(struct keeper *s, const struct gateway_config *c)
{
    enum exit_code code;

    start_probes(s, c);
    start_dns(s, c);
    s->settled = !work(s);
    trialwatch_start(&s->trial);
    manager_ready();
    if (manager_watchdog_ns())
        on_watchdog(&s->watchdog);
    log_info("gateway: running: %u links, %u policies", gateway_config(s->g)->n_links,
             gateway_config(s->g)->n_policies);
    code = (enum exit_code)loop_run(s->loop);
    manager_stopping();
    eventlog_write(&s->events, "stop", "{s:i}", "code", (int)code);
    log_info("gateway: stopped; everything stays in force");
    return code;
}

enum exit_code keeper_run(const struct keeper_opts *opts)
{
    _cleanup_free_ struct keeper *s = calloc(1, sizeof(*s));
    enum exit_code code = EXIT_CODE_START;
    int rv = s ? gateway_open(opts->config, opts->state_file, &s->g) : -ENOMEM;

    if (s)
        eventlog_init(&s->events, EVENTLOG_START);
    if (!rv) {
        s->file = opts->file;
        s->state_dir = opts->state_dir;
        s->unconfirmed = opts->text ? strdup(opts->text) : NULL;
        rv = begin(s, opts->config);
    }
    if (rv)
        log_error("gateway: cannot start: %s", strerror(-rv));
    else
        code = keep(s, opts->config);
    if (s) {
        prober_stop(s->prober);
        ddns_stop(s->ddns);
        for (unsigned i = 0; s->loop && i < GATEWAY_SIGNALS; i++)
            loop_io_remove(s->loop, &s->io[i]);
        loop_free(s->loop);
        gateway_close(s->g);
        eventlog_done(&s->events);
        free(s->unconfirmed);
    }
    return code;
}
