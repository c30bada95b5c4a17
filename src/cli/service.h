/* Instances as services: their files, and starting them where systemd runs. */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include <stdbool.h>

#include "base/exitcode.h"
#include "cli/cli.h"
#include "config/config.h"
#include "pki/error.h"
#include "pki/file.h"

/* Where configurations are, as the units name them. */
#define SERVICE_CONFIG_DIR "/etc/mpquic"

/* Make dir a full path without a slash at the end. Returns 0 or -errno. */
int service_full_dir(const char *dir, char ret[static FILE_PATH_MAX], struct pki_error *e);

/* Read a configuration that this program wrote itself. Returns 0, or -EINVAL with the problems. */
int service_config_parse(const char *text, size_t len, struct tunnel_config *ret,
                         struct pki_error *e);

/* The time by which the tunnel called name judges certificates (daemon/wallclock.h). From now on
 * this process judges by it too. NULL: of no tunnel that has saved a time. */
int64_t service_now_s(const char *name);

/* What stands in the way of writing dir/NAME.yaml with this content. */
enum service_file { SERVICE_FILE_NEW, SERVICE_FILE_SAME, SERVICE_FILE_OTHER };
enum service_file service_file_compare(const char *path, const struct tunnel_config *c);

/* Whether systemd runs here and would find the instances of that directory. */
bool service_manager_runs(const char *config_dir);

/* What systemd knows of mpquic@NAME. */
struct service_state {
    bool enabled, active;
};

void service_look(const char *config_dir, const char *name, struct service_state *ret);

/* Make it as it was, with the files that are there now. */
void service_restore(const char *config_dir, const char *name, const struct service_state *was);

/* How long an instance may take to come up. */
enum { SERVICE_WAIT_S = 30 };

/* Have systemd start mpquic@NAME now and at every boot; one that runs already is started anew when
 * `changed` is set. Without systemd tell how to start it. With wait_s wait at most so long
 * until the instance works, and say what it says when it does not. Returns EXIT_CODE_OK, or that of
 * the instance when it has ended. */
enum exit_code service_start(const struct cli_verb *verb, const char *config_dir, const char *name,
                             bool changed, unsigned wait_s);

/* Only tell. */
void service_tell_start(const char *config_dir, const char *name);

#endif
