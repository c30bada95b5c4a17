/* Time. Everything above the system-call edges takes `now_ns`; only daemon, loop and tools
 * read the clock. All times are nanoseconds. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* "Never": the deadline of something that waits for no time. */
#define TIME_NEVER_NS UINT64_MAX

/* CLOCK_MONOTONIC, for intervals and timers. Starts at boot. */
uint64_t clock_mono_ns(void);

/* Seconds since 1970, for certificates and logs. */
int64_t clock_real_s(void);

#endif
