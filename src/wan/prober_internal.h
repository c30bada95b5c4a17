/* Between the two processes of the probes. Nobody outside this folder uses it. */
#ifndef WAN_PROBER_INTERNAL_H
#define WAN_PROBER_INTERNAL_H

#include "wan/probe.h"

/* To the process without privileges. A descriptor may come with it. */
enum prober_order_kind {
    PROBER_LINE,     /* the link may be probed (usable); with the echo socket, if it takes one */
    PROBER_TELEMETRY /* a connection to the instance of the link; without one it is not there */
};

struct prober_order {
    uint8_t kind, link, family, usable;
};

/* From it. */
enum prober_word_kind {
    PROBER_VERDICT,
    PROBER_ASK /* PROBER_TELEMETRY, please */
};

struct prober_word {
    uint8_t kind, link, family;
    struct wan_verdict verdict;
};

/* Does the probe of the link need an echo socket in that family? */
bool prober_takes_socket(const struct gateway_config *c, unsigned link, enum wan_family family);

/* Is the word one that can be said? */
bool prober_word_is_sane(const struct gateway_config *c, const struct prober_word *w);

/* Probe until the other end of fd is closed. Returns 0 or -errno. */
int prober_child_run(const struct gateway_config *c, const struct wan_health *before, int fd);

#endif
