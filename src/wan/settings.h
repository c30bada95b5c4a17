/* Settings under /proc/sys, and what they were before the gateway changed them. */
#ifndef WAN_SETTINGS_H
#define WAN_SETTINGS_H

#include "wan/objects.h"

/* The value of a setting; -errno: -ENOENT: there is none (its interface is not there); -EINVAL: it
 * is not a number. */
int setting_read(const char *name);

/* Set it. The value that it had is kept in the file, if that does not have one of this setting yet:
 * written before the setting is. 0 or -errno. */
int setting_write(const char *file, const char *name, int value);

/* Give every setting in the file the value that it had, and remove the file. One whose interface is
 * gone is passed over. Returns 0, also when there is no file, or the first -errno. */
int settings_restore(const char *file);

/* Hand every setting in the file to cb. */
typedef void setting_cb(void *user, const char *name, int value);
int settings_each(const char *file, setting_cb *cb, void *user);

#endif
