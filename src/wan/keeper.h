/* The gateway as a daemon: keeps the kernel as the configuration wants it. */
#ifndef WAN_KEEPER_H
#define WAN_KEEPER_H

#include "base/exitcode.h"
#include "config/gateway.h"

struct keeper_opts {
    const struct gateway_config *config; /* what is to be in force at first */
    const char *text;                    /* its text, which is confirmed once it is; NULL: it is */
    const char *file;                    /* that SIGHUP reads; NULL: it cannot be read again */
    const char *state_dir, *state_file;
};

/* Run until SIGTERM or SIGINT, which leave everything in force. SIGHUP reads the file anew: one
 * with errors changes nothing, another one is confirmed once it is in force. SIGUSR1: look at what
 * is on trial (wan/trialwatch.h); until that is confirmed or over the file is not read. */
enum exit_code keeper_run(const struct keeper_opts *opts);

#endif
