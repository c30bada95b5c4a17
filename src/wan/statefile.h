/* Small files of state, of which after a crash or a power cut either the old or the new text is
 * there, whole. For root alone (mode 0600). */
#ifndef WAN_STATEFILE_H
#define WAN_STATEFILE_H

#include <stddef.h>

enum { STATEFILE_PATH_MAX = 256, STATEFILE_BYTES_MAX = 2 << 20 };

/* DIR/NAME into buf. 0 or -ENAMETOOLONG. */
int statefile_path(char buf[static STATEFILE_PATH_MAX], const char *dir, const char *name);

/* Make DIR/NAME hold these bytes: it is on the disk when this returns. 0 or -errno. */
int statefile_write(const char *dir, const char *name, const char *data, size_t len);

/* All of DIR/NAME, with a zero behind it, to be freed. 0; -ENOENT; -EFBIG: more than
 * STATEFILE_BYTES_MAX; other -errno. */
int statefile_read(const char *dir, const char *name, char **ret, size_t *ret_len);

/* Remove DIR/NAME, for good when this returns; one that is not there is success. 0 or -errno. */
int statefile_remove(const char *dir, const char *name);

#endif
