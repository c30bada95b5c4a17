/* How an instance ended, while it does not run again: left in RUN-DIR/NAME.last for `mpquic
 * status`, readable by those who may use the control socket. */
#ifndef HELPER_LAST_H
#define HELPER_LAST_H

#include <stdint.h>
#include <sys/types.h>

#include "base/exitcode.h"

enum { LAST_TEXT_MAX = 256 };

struct last_end {
    int code;       /* enum exit_code */
    int64_t time_s; /* seconds since 1970 */
    char text[LAST_TEXT_MAX];
};

/* Replaces what was left before. group: who may read it; NULL: only the owner. Returns 0 or
 * -errno. */
int last_end_save(const char *name, const struct last_end *end, const gid_t *group);

/* Returns 0; -ENOENT when nothing was left; -EINVAL when it is something else; other -errno. The
 * text has no control characters. */
int last_end_load(const char *name, struct last_end *ret);

/* The instance runs, or was asked to stop. */
void last_end_forget(const char *name);

/* Replace control characters by '?'. */
void last_text_clean(char *text);

#endif
