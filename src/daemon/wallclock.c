#include "daemon/wallclock.h"

#include "base/clock.h"
#include "base/clockfloor.h"
#include "base/log.h"
#include "status/status.h"

#define SAVE_INTERVAL_NS (3600 * NS_PER_S)

/* The clock of GnuTLS belongs to the process, so this does too. */
static struct clock_floor bound;

int64_t wallclock_now_s(void)
{
    return clock_floor_now_s(&bound, clock_real_s(), clock_mono_ns());
}

void wallclock_set(int64_t saved_s)
{
    clock_floor_init(&bound, saved_s, clock_mono_ns());
    quic_tls_set_clock(wallclock_now_s);
}

int64_t wallclock_behind_s(void)
{
    return wallclock_now_s() - clock_real_s();
}

void wallclock_start(struct wallclock *w, struct helper *h, const struct quic_tls_cert_info *own)
{
    int64_t saved_s = 0, clock_s = clock_real_s();
    char when[STATUS_WORD_MAX];

    *w = (struct wallclock){0};
    helper_time_load(h, &saved_s);
    if (!clock_saved_is_credible(saved_s, clock_s, own ? own->not_before_s : 0,
                                 own ? own->not_after_s : 0)) {
        log_error("clock: the time saved last, %s, is too far ahead to be true: not used",
                  status_time_str(saved_s, when));
        w->distrusted_s = saved_s;
        saved_s = 0;
    }
    wallclock_set(saved_s);
    if (bound.least_s > clock_s)
        log_info("clock: is %lld s behind %s: certificates are checked by that",
                 (long long)(bound.least_s - clock_s),
                 bound.least_s == saved_s ? "the time saved last" : "the date of this program");
}

void wallclock_tick(struct wallclock *w, struct helper *h, uint64_t now_ns, bool has_peer)
{
    if (!has_peer || (w->saved_ns && now_ns < w->saved_ns + SAVE_INTERVAL_NS))
        return;
    w->saved_ns = now_ns;
    w->distrusted_s = 0; /* it is written over */
    helper_time_save(h, wallclock_now_s());
}
