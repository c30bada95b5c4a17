#include "bond/fq_codel.h"

/* Dropping that begins again within so many intervals goes on at its former rate (RFC 8289, 5.5).
 */
enum { RESUME_INTERVALS = 16 };

static uint64_t isqrt(uint64_t v)
{
    uint64_t r = v, next = v / 2 + 1;

    while (next < r) {
        r = next;
        next = (r + v / r) / 2;
    }
    return r;
}

/* interval / sqrt(count) after `from` (RFC 8289, 5.6). */
static uint64_t next_drop(const struct fq_codel_law *law, uint64_t from_ns, uint32_t count)
{
    uint64_t interval_ns = FQ_CODEL_INTERVAL_NS + law->slow_ns;

    return from_ns + isqrt(interval_ns * interval_ns / count);
}

/* Whether the wait has been above the target for long. */
static bool is_standing(struct fq_codel *c, uint64_t now_ns, uint64_t wait_ns,
                        const struct fq_codel_law *law, bool last)
{
    if (wait_ns < law->target_ns || last) {
        c->first_above_ns = 0;
        return false;
    }
    if (!c->first_above_ns) {
        c->first_above_ns = now_ns + FQ_CODEL_STANDING_NS + law->slow_ns;
        return false;
    }
    return now_ns >= c->first_above_ns;
}

static void begin(struct fq_codel *c, const struct fq_codel_law *law, uint64_t now_ns)
{
    uint32_t since = c->count - c->last_count;
    bool soon = c->next_ns && now_ns < c->next_ns + RESUME_INTERVALS * FQ_CODEL_INTERVAL_NS;

    c->dropping = true;
    c->count = since > 1 && soon ? since : 1;
    c->last_count = c->count;
    c->next_ns = next_drop(law, now_ns, c->count);
}

bool fq_codel_on_packet(struct fq_codel *c, uint64_t now_ns, uint64_t wait_ns,
                        const struct fq_codel_law *law, bool last)
{
    if (!is_standing(c, now_ns, wait_ns, law, last)) {
        c->dropping = false;
        return false;
    }
    if (!c->dropping) {
        begin(c, law, now_ns);
        return true;
    }
    if (now_ns < c->next_ns)
        return false;
    if (c->count < UINT32_MAX)
        c->count++;
    c->next_ns = next_drop(law, c->next_ns, c->count);
    return true;
}

void fq_codel_on_empty(struct fq_codel *c)
{
    c->first_above_ns = 0;
    c->dropping = false;
}
