#include "wan/look.h"

#include <string.h>

#include "base/clock.h"
#include "base/util.h"

#define PACE_NS (15 * NS_PER_MS)
#define SILENT_NS (500 * NS_PER_MS)

enum { NEW_LOSS = 100, LIMIT_MIN = 20, BAD = 720, FINE = -160, SERIAL_BITS = 8 };

enum fate { FATE_OPEN, FATE_GOOD, FATE_FIRST_LOST, FATE_LOST };

void look_begin(struct look *l, uint32_t targets, unsigned limit_percent, uint64_t rtt_ns,
                uint64_t now_ns)
{
    uint8_t serial = l->serial;

    memset(l, 0, sizeof(*l));
    l->serial = (serial + 1) & ((LOOK_NUMBER >> SERIAL_BITS) - 1);
    for (unsigned i = 0; i < LOOK_TARGETS_MAX; i++)
        if (targets & 1u << i) {
            /* What comes first may belong to what made us look. */
            l->row[l->n_targets] = (struct look_row){.open = l->n_targets, .is_lost = true};
            l->target[l->n_targets++] = (uint8_t)i;
        }
    l->good = (int)MAX(limit_percent, (unsigned)LIMIT_MIN);
    l->next_ns = l->heard_ns = now_ns;
    l->silent_ns = SILENT_NS + rtt_ns;
    l->on = l->n_targets != 0;
}

void look_end(struct look *l)
{
    l->on = false;
}

uint64_t look_next_ns(const struct look *l)
{
    return l->on ? l->next_ns : TIME_NEVER_NS;
}

static uint16_t number_of(const struct look *l, unsigned i)
{
    return (uint16_t)(LOOK_NUMBER | l->serial << SERIAL_BITS | i);
}

bool look_ask(struct look *l, uint64_t now_ns, uint16_t *ret_number, unsigned *ret_target)
{
    if (!l->on || now_ns < l->next_ns)
        return false;
    if (l->sent == LOOK_REQUESTS_MAX || now_ns - l->heard_ns > l->silent_ns) {
        l->on = false;
        return false;
    }
    *ret_number = number_of(l, l->sent);
    *ret_target = l->target[l->sent % l->n_targets];
    l->sent++;
    l->next_ns += PACE_NS;
    if (l->next_ns <= now_ns)
        l->next_ns = now_ns + PACE_NS;
    return true;
}

/* --- judging --------------------------------------------------------------------------- */

/* What is asked in vain before request i, which is answered. */
static void lose_before(struct look *l, struct look_row *r, unsigned i)
{
    for (; r->open < i; r->open += l->n_targets) {
        l->fate[r->open] = r->is_lost ? FATE_LOST : FATE_FIRST_LOST;
        r->score += r->is_lost ? 0 : NEW_LOSS;
        r->is_lost = true;
    }
}

static void take(struct look *l, struct look_row *r, unsigned i)
{
    l->n_heard += !r->is_heard;
    r->is_heard = true;
    if (i >= r->open) {
        lose_before(l, r, i);
        r->open = i + l->n_targets;
        r->is_lost = false;
    } else if (l->fate[i] == FATE_FIRST_LOST) { /* it was overtaken only */
        r->score -= NEW_LOSS;
    }
    l->fate[i] = FATE_GOOD;
    r->score -= l->good;
}

static uint8_t loss_percent(const struct look *l)
{
    unsigned lost = 0, all = 0;

    for (unsigned i = 0; i < l->sent; i++) {
        lost += l->fate[i] == FATE_FIRST_LOST || l->fate[i] == FATE_LOST;
        all += l->fate[i] != FATE_OPEN;
    }
    return (uint8_t)(all ? lost * 100 / all : 0);
}

/* The worst target may not be alone with it. */
static enum look_result judge(const struct look *l)
{
    int all = 0, worst = INT32_MIN;

    for (unsigned i = 0; i < l->n_targets; i++) {
        all += l->row[i].score;
        worst = MAX(worst, l->row[i].score);
    }
    if (all <= FINE)
        return LOOK_FINE;
    return all >= BAD && all >= worst ? LOOK_BAD : LOOK_OPEN;
}

enum look_result look_on_answer(struct look *l, unsigned target, uint16_t number, uint64_t now_ns)
{
    unsigned i = number & ((1u << SERIAL_BITS) - 1);
    enum look_result result;

    if (!l->on || i >= l->sent || l->fate[i] == FATE_GOOD || number != number_of(l, i) ||
        l->target[i % l->n_targets] != target)
        return LOOK_OPEN;
    l->heard_ns = now_ns;
    take(l, &l->row[i % l->n_targets], i);
    result = judge(l);
    if (result == LOOK_OPEN)
        return result;
    l->on = false;
    l->loss_percent = loss_percent(l);
    return result;
}
