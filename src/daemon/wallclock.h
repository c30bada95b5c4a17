/* The time by which certificates are valid or not, on machines whose clock may have stopped
 * (base/clockfloor.h). Such a machine gets the time from the network, which it may reach only
 * through the tunnel; so the time is saved while a tunnel is up. */
#ifndef DAEMON_WALLCLOCK_H
#define DAEMON_WALLCLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "helper/helper.h"
#include "quic/tls.h"

struct wallclock {
    uint64_t saved_ns;    /* when it was saved last; 0: not yet */
    int64_t distrusted_s; /* the saved time, when it is not believed; 0 */
};

/* From now on this process checks certificates by wallclock_now_s(): the system's clock; where that
 * is behind, by the later of the saved time (0: there is none) and the date of the program's
 * sources, and what has passed since this call. */
void wallclock_set(int64_t saved_s);
int64_t wallclock_now_s(void);

/* The same with the time that the helper has saved, if it is credible (base/clockfloor.h; own: our
 * certificate, or NULL), said in the log when it matters. */
void wallclock_start(struct wallclock *w, struct helper *h, const struct quic_tls_cert_info *own);

/* How far the system's clock is behind the time by which certificates are checked, in seconds. */
int64_t wallclock_behind_s(void);

/* To be called now and then. A peer is there: its certificate was valid by this clock, so that the
 * clock is believed, and its time is saved, at most once an hour. */
void wallclock_tick(struct wallclock *w, struct helper *h, uint64_t now_ns, bool has_peer);

#endif
