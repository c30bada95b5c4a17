/* One tunnel instance as a process: TUN, UDP socket, kernel events and the tunnel stack, wired
 * together on one event loop. */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "base/exitcode.h"
#include "config/config.h"

/* Run the instance until SIGTERM or SIGINT (returns EXIT_CODE_OK) or until going on is useless
 * (any other exit code; one line has been logged that says why). file is the configuration's, NULL
 * when it cannot be read again; name is the instance's (base/place.h). Forks, and returns in both
 * processes (helper/helper.h). */
enum exit_code daemon_run(struct tunnel_config *config, const char *file, const char *name);

/* Load what the configuration names for TLS, as daemon_run() would, and forget it. Returns 0, or a
 * negative errno with one line in err that says which file is wrong and why. */
int daemon_check_credentials(const struct tunnel_config *config, char *err, size_t len);

#endif
