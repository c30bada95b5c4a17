/* A process of its own that takes a trial back when it is over and nobody else has done it. */
#ifndef CLI_GATEWAY_WATCH_H
#define CLI_GATEWAY_WATCH_H

#include "wan/confirm.h"

/* Start it: it has left the session and the terminal of the caller, and ends when the trial does.
 * Returns 0 or -errno. */
int gatewaywatch_start(const char *dir, const struct confirm_trial *t);

#endif
