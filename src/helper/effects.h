/* What the helper does in the kernel and in the file system, for server.h. */
#ifndef HELPER_EFFECTS_H
#define HELPER_EFFECTS_H

#include <sys/types.h>

#include "helper/sandbox.h"
#include "helper/server.h"

struct effects {
    struct netlink *netlink;
    const struct sandbox_user *user;
    char socket_path[PLACE_PATH_MAX]; /* of the control socket that was made; "" */
    dev_t socket_dev;                 /* and its file, which somebody may remove or replace */
    ino_t socket_ino;
};

/* Returns 0 or -errno. */
int effects_init(struct effects *e, const struct sandbox_user *user);

/* Removes the control socket's file. */
void effects_done(struct effects *e);

/* With a struct effects as user. */
extern const struct server_effects effects_real;

/* files.c: see struct server_effects. */
int files_stat(const char *path, struct helper_stamp *ret);
int files_config_read(const char *path, struct tunnel_config **ret);
int files_time_load(const char *name, int64_t *ret);
int files_time_save(const char *name, int64_t now_s);
int files_reset_secret(const char *name, uint8_t ret[static HELPER_SECRET_BYTES]);

#endif
