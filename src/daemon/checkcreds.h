/* A second look at the certificates that a configuration names. */
#ifndef DAEMON_CHECKCREDS_H
#define DAEMON_CHECKCREDS_H

#include <stdint.h>

#include "config/config.h"

/* Add what a certificate or a revocation list says that will make trouble at now_s, the wall-clock
 * time in seconds since the epoch: dates, purpose, missing names. To be called after
 * config_check_files() and daemon_check_credentials() have found the files in order; one that
 * cannot be read is passed over. Reads the files directly. */
void daemon_check_certificates(const struct tunnel_config *c, int64_t now_s,
                               struct config_report *report);

/* Add the complaint of credentials_load() or daemon_check_credentials(), at the key whose file it
 * is about. */
void daemon_report_credentials(const struct tunnel_config *c, const char *complaint,
                               struct config_report *report);

#endif
