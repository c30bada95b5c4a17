#include "base/clockfloor.h"

#include "base/clock.h"
#include "base/util.h"
#include "source_date.h"

/* The end of the year 9999: the last second that a certificate can name (RFC 5280, 4.1.2.5). */
#define TIME_MAX_S 253402300799

#define AHEAD_MAX_S (2 * 366 * 86400ll)

int64_t clock_source_date_s(void)
{
    return SOURCE_DATE_S;
}

bool clock_saved_is_credible(int64_t saved_s, int64_t clock_s, int64_t from_s, int64_t until_s)
{
    int64_t known_s = MAX(MAX(clock_s, clock_source_date_s()), from_s);

    if (saved_s > TIME_MAX_S)
        return false;
    if (until_s && saved_s > until_s && known_s <= until_s)
        return false;
    return saved_s <= AHEAD_MAX_S || saved_s - AHEAD_MAX_S <= known_s;
}

void clock_floor_init(struct clock_floor *f, int64_t saved_s, uint64_t now_ns)
{
    f->least_s = MAX(saved_s <= TIME_MAX_S ? saved_s : 0, clock_source_date_s());
    f->at_ns = now_ns;
}

int64_t clock_floor_now_s(const struct clock_floor *f, int64_t clock_s, uint64_t now_ns)
{
    return MAX(clock_s, f->least_s + (int64_t)((now_ns - f->at_ns) / NS_PER_S));
}
