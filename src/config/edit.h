/* Changing a server's file the way a careful person would: by adding lines, and leaving all that
 * stands there, comments too, as it is. */
#ifndef CONFIG_EDIT_H
#define CONFIG_EDIT_H

#include "config/config.h"

/* Add an entry to peers of a file's text, which has a zero behind its len bytes. The result is
 * parsed and compared: it says what the old text said, and that entry. Only the peer's name, addr
 * and prefix are looked at; the name is made of letters, digits, '.', '_', '-' and ':'.
 * Returns 0 and the new text, to be freed; or
 * -EALREADY: an entry of this name has all of it already;
 * -EEXIST: an entry of this name says something else;
 * -EINVAL: the entry would be wrong, or the old text is: the report says why;
 * -ENOTSUP: the file is laid out in a way that this does not understand;
 * -ENOMEM. */
int config_add_peer(const char *text, size_t len, const struct config_peer *peer, char **ret,
                    struct config_report *report);

/* The lines of that entry, as they stand in the file, each behind `indent` spaces. To be freed;
 * NULL when out of memory. */
char *config_peer_text(const struct config_peer *peer, unsigned indent);

#endif
