#include "wan/probe.h"

#include <string.h>

#include "base/clock.h"
#include "base/util.h"

/* Without numbers of their own, `down` and `up` take so long. */
#define DECIDE_MS 3000u

/* Without a number of its own, `window` takes so long, if those are rounds enough. */
#define WINDOW_MS 30000u
#define WINDOW_MIN 60u

/* Noticed later than this after its end, a round is not judged. */
#define LATE_NS (250 * NS_PER_MS)

static unsigned rounds(const struct gateway_probe *conf, uint32_t configured)
{
    return configured ? configured : MAX(3u, DECIDE_MS / MAX(conf->interval_ms, 1u));
}

unsigned probe_down_rounds(const struct gateway_probe *conf)
{
    return rounds(conf, conf->down);
}

unsigned probe_up_rounds(const struct gateway_probe *conf)
{
    return rounds(conf, conf->up);
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

/* Lost rounds, and the mean of the others' round trips (0: there are none), of one target. */
static void target_figures(const struct probe *p, unsigned target, unsigned *ret_lost,
                           uint64_t *ret_mean_us)
{
    uint64_t sum = 0;
    unsigned lost = 0;

    for (unsigned i = 1; i <= p->n; i++) {
        uint32_t rtt = p->rtt_us[target][(p->at + GATEWAY_WINDOW_MAX - i) % GATEWAY_WINDOW_MAX];

        lost += !rtt;
        sum += rtt;
    }
    *ret_lost = lost;
    *ret_mean_us = lost < p->n ? sum / (p->n - lost) : 0;
}

/* Of the best targets, as many as are needed. */
static void reckon(struct probe *p)
{
    uint64_t lost[PROBE_TARGETS_MAX] = {0}, mean[PROBE_TARGETS_MAX] = {0};
    uint64_t all_lost = 0, all_us = 0;
    unsigned need = p->verdict.need, n_mean = 0;

    for (unsigned i = 0; i < p->n_targets; i++) {
        unsigned n;
        uint64_t us;

        target_figures(p, i, &n, &us);
        insert(lost, i, n);
        if (us)
            insert(mean, n_mean++, us);
    }
    n_mean = MIN(n_mean, need);
    for (unsigned i = 0; i < need; i++)
        all_lost += lost[i];
    for (unsigned i = 0; i < n_mean; i++)
        all_us += mean[i];
    p->verdict.loss_percent = (uint8_t)(p->n ? all_lost * 100 / ((uint64_t)need * p->n) : 0);
    p->verdict.latency_us = (uint32_t)(n_mean ? all_us / n_mean : 0);
}

/* Is a figure beyond its limit? One that was stays so until it is below `part` percent of it. */
static bool beyond(uint64_t figure, uint64_t limit, bool was, unsigned part)
{
    if (!limit)
        return false;
    return was ? figure * 100 > limit * part : figure >= limit;
}

/* Of a link that works: does it work well? Not before half a window is known. */
static void grade(struct probe *p)
{
    struct wan_verdict *v = &p->verdict;
    bool was = v->state == WAN_STATE_DEGRADED, loss, latency;

    if (p->n * 2 < p->conf.window)
        return;
    loss = beyond(v->loss_percent, p->conf.loss_percent, was && !v->by_latency, 50);
    latency = beyond(v->latency_us, (uint64_t)p->conf.latency_ms * 1000, was && v->by_latency, 80);
    v->state = loss || latency ? WAN_STATE_DEGRADED : WAN_STATE_HEALTHY;
    v->by_latency = latency && !loss;
}

static void judge(struct probe *p, bool is_good)
{
    struct wan_verdict *v = &p->verdict;

    p->good = is_good ? p->good + 1 : 0;
    p->bad = is_good ? 0 : p->bad + 1;
    if (v->state != WAN_STATE_UNHEALTHY && p->bad >= probe_down_rounds(&p->conf)) {
        v->state = WAN_STATE_UNHEALTHY;
        v->by_latency = false;
    } else if ((v->state == WAN_STATE_UNHEALTHY || v->state == WAN_STATE_UNKNOWN) &&
               p->good >= probe_up_rounds(&p->conf)) {
        if (v->state == WAN_STATE_UNHEALTHY)
            p->n = MIN(p->n, p->good);
        v->state = WAN_STATE_HEALTHY;
    }
    reckon(p);
    if (is_good && v->state != WAN_STATE_UNHEALTHY) /* an outage is no matter of degrees */
        grade(p);
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
    for (unsigned i = 0; i < p->n_targets; i++)
        p->rtt_us[i][p->at] = r->rtt_us[i];
    p->at = (p->at + 1) % GATEWAY_WINDOW_MAX;
    p->n = MIN(p->n + 1, p->conf.window);
    p->verdict.answering = (uint8_t)r->answered;
    judge(p, r->answered >= p->verdict.need);
}

static uint64_t end_ns(const struct probe *p, const struct probe_round *r)
{
    return r->begun_ns + p->conf.timeout_ms * NS_PER_MS;
}

uint64_t probe_next_ns(const struct probe *p)
{
    return p->n_open ? MIN(p->next_ns, end_ns(p, &p->open[p->first])) : p->next_ns;
}

bool probe_begin(struct probe *p, uint64_t now_ns, uint16_t *ret_number)
{
    uint64_t interval = p->conf.interval_ms * NS_PER_MS;
    struct probe_round *r;

    if (now_ns < p->next_ns)
        return false;
    if (p->n_open == PROBE_ROUNDS_MAX)
        end_oldest(p, true);
    r = &p->open[(p->first + p->n_open++) % PROBE_ROUNDS_MAX];
    *r = (struct probe_round){.begun_ns = now_ns, .number = p->next_number++};
    p->next_ns += interval;
    if (p->next_ns <= now_ns) /* late: what was missed is not made up for */
        p->next_ns = now_ns + interval;
    *ret_number = r->number;
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

    if (r && now_ns < end_ns(p, r))
        probe_on_report(p, target, number, (uint32_t)((now_ns - r->begun_ns) / NS_PER_US));
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
    p->n_open = 0;
    p->good = 0;
    p->bad = 0;
}
