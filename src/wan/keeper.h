/* The gateway as a daemon: keeps the kernel as the configuration wants it. */
#ifndef WAN_KEEPER_H
#define WAN_KEEPER_H

#include "base/exitcode.h"
#include "config/gateway.h"

/* Run until SIGTERM or SIGINT, which leave everything in force. SIGHUP reads the file (NULL: it
 * cannot be read again) anew: one with errors changes nothing. */
enum exit_code keeper_run(const struct gateway_config *c, const char *file, const char *state_file);

#endif
