/* A small machine without a battery begins each boot in the past, and gets the time from the
 * network, which it may reach only through the tunnel. A certificate made since would be "not yet
 * valid". So the time is saved while a tunnel is up, and time never goes back behind what was
 * saved, nor behind the date of this program's sources, which is all that a new machine has. It is
 * a lower bound and no clock: an expired certificate stays expired. */
#include "daemon/wallclock.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "quic/tls.h"
#include "source_date.h"

#define SAVE_INTERVAL_NS (3600 * NS_PER_S)

/* The clock of GnuTLS belongs to the process, so this does too. */
static int64_t floor_s;      /* the saved time, or the date of the sources */
static uint64_t floor_at_ns; /* when that was the time at the latest */

static int64_t now_s(void)
{
    int64_t since_s = (int64_t)((clock_mono_ns() - floor_at_ns) / NS_PER_S);

    return MAX(clock_real_s(), floor_s + since_s);
}

void wallclock_start(struct wallclock *w, struct helper *h)
{
    int64_t saved_s = 0;

    *w = (struct wallclock){0};
    helper_time_load(h, &saved_s);
    floor_s = MAX(saved_s, (int64_t)SOURCE_DATE_S);
    floor_at_ns = clock_mono_ns();
    if (clock_real_s() < floor_s)
        log_info("clock: is %lld s behind %s: certificates are checked by that",
                 (long long)(floor_s - clock_real_s()),
                 floor_s == saved_s ? "the time saved last" : "the date of this program");
    quic_tls_set_clock(now_s);
}

void wallclock_tick(struct wallclock *w, struct helper *h, uint64_t now_ns, bool has_peer)
{
    if (!has_peer || (w->saved_ns && now_ns < w->saved_ns + SAVE_INTERVAL_NS))
        return;
    w->saved_ns = now_ns;
    helper_time_save(h, now_s());
}
