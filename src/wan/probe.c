#include "wan/probe.h"

#include <string.h>

#include "base/clock.h"
#include "base/util.h"

/* Without numbers of their own, `down` and `up` take so long. */
#define DECIDE_MS 3000u

/* Without a number of its own, `window` takes so long, if those are rounds enough. */
#define WINDOW_MS 30000u
#define WINDOW_MIN 100u

/* A link that stays healthy for less than so many times of what it takes to become so does it too
 * soon; it takes twice as long then, up to this many times. */
#define SOON 10u
#define HOLD_MAX 8u

/* Noticed later than this after its end, a round is not judged. */
#define LATE_NS (250 * NS_PER_MS)

/* Can it look closer? Echo requests may be many; what else there is would take offence at it. */
static bool looks(const struct gateway_probe *conf)
{
    return conf->type == GATEWAY_PROBE_ICMP;
}

static unsigned rounds(const struct gateway_probe *conf, unsigned min)
{
    return MAX(min, DECIDE_MS / MAX(conf->interval_ms, 1u));
}

/* A closer look tells an outage from rounds that lost a packet each; TCP sends again. */
unsigned probe_down_rounds(const struct gateway_probe *conf)
{
    unsigned min = looks(conf) ? 3 : conf->type == GATEWAY_PROBE_DNS ? 6 : 4;

    return conf->down ? conf->down : rounds(conf, min);
}

unsigned probe_up_rounds(const struct gateway_probe *conf)
{
    return conf->up ? conf->up : rounds(conf, 3);
}

unsigned probe_window_rounds(const struct gateway_probe *conf)
{
    unsigned n =
        conf->window ? conf->window : MAX(WINDOW_MIN, WINDOW_MS / MAX(conf->interval_ms, 1u));

    return MIN(n, (unsigned)GATEWAY_WINDOW_MAX);
}

void probe_init(struct probe *p, const struct gateway_probe *conf, unsigned n_targets,
                const struct wan_verdict *before, uint64_t first_ns)
{
    memset(p, 0, sizeof(*p));
    p->conf = *conf;
    p->conf.window = probe_window_rounds(conf);
    p->n_targets = MIN(MAX(n_targets, 1u), (unsigned)PROBE_TARGETS_MAX);
    p->verdict = *before;
    p->verdict.targets = (uint8_t)p->n_targets;
    p->verdict.need = (uint8_t)MIN(MAX(conf->need, 1u), p->n_targets);
    p->next_ns = first_ns;
    p->hold = 1;
    p->in_state = UINT32_MAX; /* for long, as far as is known */
}

/* --- judging --------------------------------------------------------------------------- */

/* Insert into an ascending array of n. */
static void insert(uint64_t *v, unsigned n, uint64_t x)
{
    unsigned i = n;

    for (; i && v[i - 1] > x; i--)
        v[i] = v[i - 1];
    v[i] = x;
}

/* Keep the last n rounds. */
static void forget(struct probe *p, unsigned n)
{
    p->n = MIN(p->n, n);
    for (unsigned t = 0; t < p->n_targets; t++) {
        p->lost[t] = 0;
        p->sum_us[t] = 0;
        for (unsigned i = 1; i <= p->n; i++) {
            uint32_t rtt = p->rtt_us[t][(p->at + GATEWAY_WINDOW_MAX - i) % GATEWAY_WINDOW_MAX];

            p->lost[t] += !rtt;
            p->sum_us[t] += rtt;
        }
    }
}

/* One more round; the oldest one of a full window goes. */
static void remember(struct probe *p, const struct probe_round *r)
{
    unsigned old = (p->at + GATEWAY_WINDOW_MAX - p->conf.window) % GATEWAY_WINDOW_MAX;

    for (unsigned t = 0; t < p->n_targets; t++) {
        if (p->n == p->conf.window) {
            p->lost[t] -= !p->rtt_us[t][old];
            p->sum_us[t] -= p->rtt_us[t][old];
        }
        p->rtt_us[t][p->at] = r->rtt_us[t];
        p->lost[t] += !r->rtt_us[t];
        p->sum_us[t] += r->rtt_us[t];
    }
    p->at = (p->at + 1) % GATEWAY_WINDOW_MAX;
    p->n = MIN(p->n + 1, p->conf.window);
}

/* Of the best targets, as many as are needed. */
static void reckon(struct probe *p)
{
    uint64_t lost[PROBE_TARGETS_MAX] = {0}, mean[PROBE_TARGETS_MAX] = {0};
    uint64_t all_lost = 0, all_us = 0;
    unsigned need = p->verdict.need, n_mean = 0;

    for (unsigned i = 0; i < p->n_targets; i++) {
        insert(lost, i, p->lost[i]);
        if (p->lost[i] < p->n)
            insert(mean, n_mean++, p->sum_us[i] / (p->n - p->lost[i]));
    }
    n_mean = MIN(n_mean, need);
    for (unsigned i = 0; i < need; i++)
        all_lost += lost[i];
    for (unsigned i = 0; i < n_mean; i++)
        all_us += mean[i];
    p->verdict.loss_percent = (uint8_t)(p->n ? all_lost * 100 / ((uint64_t)need * p->n) : 0);
    if (p->by_look && p->n * 2 < p->conf.window)
        p->verdict.loss_percent = MAX(p->verdict.loss_percent, p->look.loss_percent);
    p->verdict.latency_us = (uint32_t)(n_mean ? all_us / n_mean : 0);
}

/* Is a figure beyond its limit? One that was stays so until it is below `part` percent of it. */
static bool beyond(uint64_t figure, uint64_t limit, bool was, unsigned part)
{
    if (!limit)
        return false;
    return was ? figure * 100 > limit * part : figure >= limit;
}

/* One that leaves soon what it came to takes ever longer to come back to it. */
static void change(struct probe *p, enum wan_state state)
{
    struct wan_verdict *v = &p->verdict;

    if (v->state == state)
        return;
    if (v->state == WAN_STATE_HEALTHY)
        p->hold = p->in_state < SOON * probe_up_rounds(&p->conf) ? MIN(p->hold * 2, HOLD_MAX) : 1;
    v->state = state;
    p->in_state = 0;
    p->by_look = false;
}

/* Of a link that works: does it work well? Not before half a window is known; and what was not well
 * is not believed to be before as much has passed. */
static void grade(struct probe *p)
{
    struct wan_verdict *v = &p->verdict;
    bool was = v->state == WAN_STATE_DEGRADED, loss, latency;

    if (p->n * 2 < p->conf.window || (was && p->in_state * 2 < p->conf.window * p->hold))
        return;
    loss = beyond(v->loss_percent, p->conf.loss_percent, was && !v->by_latency, 50);
    latency = beyond(v->latency_us, (uint64_t)p->conf.latency_ms * 1000, was && v->by_latency, 80);
    change(p, loss || latency ? WAN_STATE_DEGRADED : WAN_STATE_HEALTHY);
    v->by_latency = latency && !loss;
}

static void judge(struct probe *p, bool is_good)
{
    struct wan_verdict *v = &p->verdict;

    p->in_state += p->in_state < UINT32_MAX;
    p->good = is_good ? p->good + 1 : 0;
    p->bad = is_good ? 0 : p->bad + 1;
    if (v->state != WAN_STATE_UNHEALTHY && p->bad >= probe_down_rounds(&p->conf)) {
        change(p, WAN_STATE_UNHEALTHY);
        v->by_latency = false;
    } else if ((v->state == WAN_STATE_UNHEALTHY || v->state == WAN_STATE_UNKNOWN) &&
               p->good >= probe_up_rounds(&p->conf) * p->hold) {
        bool is_first = v->state == WAN_STATE_UNKNOWN;

        if (!is_first)
            forget(p, p->good);
        change(p, WAN_STATE_HEALTHY);
        p->in_state = is_first ? UINT32_MAX : 0;
    }
    reckon(p);
    if (is_good && v->state != WAN_STATE_UNHEALTHY) /* an outage is no matter of degrees */
        grade(p);
}

/* --- the closer look -------------------------------------------------------------------- */

/* An answer that takes longer than this is missed: much longer than usual, so that it is seldom. */
static uint64_t patience_ns(const struct probe *p)
{
    return MIN(2 * p->usual_us * NS_PER_US + 30 * NS_PER_MS, p->conf.timeout_ms * NS_PER_MS);
}

/* The targets that have answered of late. */
static uint32_t talkative(const struct probe *p, uint64_t now_ns)
{
    uint64_t late_ns = MAX(NS_PER_S, 3 * p->conf.interval_ms * NS_PER_MS);
    uint32_t set = 0;

    for (unsigned i = 0; i < p->n_targets; i++)
        if (p->heard_ns[i] && now_ns - p->heard_ns[i] < late_ns)
            set |= 1u << i;
    return set;
}

static struct probe_round *not_looked_at(struct probe *p)
{
    for (unsigned i = 0; i < p->n_open; i++) {
        struct probe_round *r = &p->open[(p->first + i) % PROBE_ROUNDS_MAX];

        if (!r->looked_at)
            return r;
    }
    return NULL;
}

/* Has a round missed an answer of a target that otherwise answers? */
static void suspect(struct probe *p, uint64_t now_ns)
{
    struct probe_round *r;

    if (!looks(&p->conf))
        return;
    while ((r = not_looked_at(p)) && now_ns >= r->begun_ns + patience_ns(p)) {
        uint32_t set = talkative(p, now_ns), missed = 0;

        r->looked_at = true;
        for (unsigned i = 0; i < p->n_targets; i++)
            missed |= r->rtt_us[i] ? 0 : set & 1u << i;
        if (missed && !p->look.on && p->verdict.state == WAN_STATE_HEALTHY)
            look_begin(&p->look, set, p->conf.loss_percent ? p->conf.loss_percent : 100,
                       patience_ns(p), now_ns);
    }
}

/* Who answers is not dead, whatever rounds were lost. */
static void on_look_answer(struct probe *p, unsigned target, uint16_t number, uint64_t now_ns)
{
    enum look_result result = look_on_answer(&p->look, target, number, now_ns);

    if (p->look.n_heard >= p->verdict.need)
        p->bad = 0;
    if (p->look.heard_ns == now_ns)
        p->heard_ns[target] = now_ns;
    if (result != LOOK_BAD || p->verdict.state != WAN_STATE_HEALTHY || !p->conf.loss_percent)
        return;
    change(p, WAN_STATE_DEGRADED);
    p->verdict.by_latency = false;
    p->verdict.loss_percent = p->look.loss_percent;
    p->by_look = true;
    forget(p, 0); /* the window is of a better time */
}

/* --- rounds ---------------------------------------------------------------------------- */

static struct probe_round *oldest(struct probe *p)
{
    return &p->open[p->first];
}

static void end_oldest(struct probe *p, bool counts)
{
    const struct probe_round *r = oldest(p);

    p->first = (p->first + 1) % PROBE_ROUNDS_MAX;
    p->n_open--;
    if (!counts)
        return;
    remember(p, r);
    p->verdict.answering = (uint8_t)r->answered;
    judge(p, r->answered >= p->verdict.need);
}

static uint64_t end_ns(const struct probe *p, const struct probe_round *r)
{
    return r->begun_ns + p->conf.timeout_ms * NS_PER_MS;
}

uint64_t probe_next_ns(struct probe *p)
{
    uint64_t at = MIN(p->next_ns, look_next_ns(&p->look));
    const struct probe_round *r = not_looked_at(p);

    if (r && looks(&p->conf))
        at = MIN(at, r->begun_ns + patience_ns(p));
    return p->n_open ? MIN(at, end_ns(p, &p->open[p->first])) : at;
}

bool probe_begin(struct probe *p, uint64_t now_ns, uint16_t *ret_number, uint32_t *ret_targets)
{
    uint64_t interval = p->conf.interval_ms * NS_PER_MS;
    struct probe_round *r;
    unsigned target;

    if (look_ask(&p->look, now_ns, ret_number, &target)) {
        *ret_targets = 1u << target;
        return true;
    }
    if (now_ns < p->next_ns)
        return false;
    if (p->n_open == PROBE_ROUNDS_MAX)
        end_oldest(p, true);
    r = &p->open[(p->first + p->n_open++) % PROBE_ROUNDS_MAX];
    *r = (struct probe_round){.begun_ns = now_ns, .number = p->next_number};
    p->next_number = (p->next_number + 1) & (LOOK_NUMBER - 1);
    p->next_ns += interval;
    if (p->next_ns <= now_ns) /* late: what was missed is not made up for */
        p->next_ns = now_ns + interval;
    *ret_number = r->number;
    *ret_targets = (1u << p->n_targets) - 1;
    return true;
}

static struct probe_round *find(struct probe *p, unsigned target, uint16_t number)
{
    for (unsigned i = 0; target < p->n_targets && i < p->n_open; i++) {
        struct probe_round *r = &p->open[(p->first + i) % PROBE_ROUNDS_MAX];

        if (r->number == number)
            return r->rtt_us[target] ? NULL : r;
    }
    return NULL;
}

void probe_on_answer(struct probe *p, unsigned target, uint16_t number, uint64_t now_ns)
{
    struct probe_round *r = find(p, target, number);
    uint64_t us;

    if (number & LOOK_NUMBER)
        on_look_answer(p, target, number, now_ns);
    if (!r || now_ns >= end_ns(p, r))
        return;
    us = (now_ns - r->begun_ns) / NS_PER_US;
    p->heard_ns[target] = now_ns;
    p->usual_us = MAX(us, p->usual_us - p->usual_us / 32);
    probe_on_report(p, target, number, (uint32_t)us);
}

void probe_on_report(struct probe *p, unsigned target, uint16_t number, uint32_t rtt_us)
{
    struct probe_round *r = find(p, target, number);

    if (!r)
        return;
    r->rtt_us[target] = MAX(rtt_us, 1u);
    r->answered++;
}

bool probe_expire(struct probe *p, uint64_t now_ns)
{
    enum wan_state before = p->verdict.state;

    suspect(p, now_ns);
    while (p->n_open) {
        const struct probe_round *r = oldest(p);
        bool all = r->answered == p->n_targets;

        if (!all && now_ns < end_ns(p, r))
            break;
        end_oldest(p, all || now_ns < end_ns(p, r) + LATE_NS);
    }
    return p->verdict.state != before;
}

void probe_pause(struct probe *p)
{
    look_end(&p->look);
    p->n_open = 0;
    p->good = 0;
    p->bad = 0;
}
