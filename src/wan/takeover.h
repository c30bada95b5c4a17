/* What others have in the way of the gateway, taken away when the operator says so, and given back.
 *
 * The file gateway.foreign has a line for each object: "KIND TRIAL NAME HEX": rule or route, the
 * trial that it was taken for ("-": none), its interface ("-": none), and the bytes of the kernel.
 * It is on the disk before the first of them is taken away. */
#ifndef WAN_TAKEOVER_H
#define WAN_TAKEOVER_H

#include "netlink/fib_raw.h"
#include "wan/objects.h"

enum { TAKEOVER_ID_MAX = 17, TAKEOVER_OBJECTS_MAX = 128 };

#define TAKEOVER_FILE "gateway.foreign"

struct takeover_item {
    char id[TAKEOVER_ID_MAX]; /* "": for no trial */
    struct fib_raw raw;
};

struct takeover {
    struct takeover_item *items;
    unsigned n, room;
};

/* Release what it owns, and clear it. Allowed on a zeroed struct. */
void takeover_done(struct takeover *t);

/* A line of the file, without its newline, and back. Pure. The line is to be freed; NULL: no
 * memory. 0 or -EBADMSG. */
char *takeover_line(const struct takeover_item *item);
int takeover_parse(const char *line, struct takeover_item *ret);

/* Find in the kernel the objects of a list, of rules and routes of others, for that trial (""):
 * appended to *t. Returns 0; -ENOSPC: more than TAKEOVER_OBJECTS_MAX; -E2BIG: one that cannot be
 * kept, and so must not be taken away; other -errno. */
int takeover_find(struct netlink *nl, const struct wan_objects *foreign, const char *id,
                  struct takeover *t);

/* All that is in the file, or nothing when there is none. 0; -EBADMSG: a line cannot be
 * understood; other -errno. */
int takeover_load(const char *dir, struct takeover *t);

/* What they are, appended to *ret; of routes those whose interface is there. 0 or -ENOMEM. */
int takeover_objects(const struct takeover *t, struct wan_objects *ret);

/* Add to the file. 0 or -errno: nothing was added. */
int takeover_keep(const char *dir, const struct takeover *t);

/* The objects of a list, of rules and routes of others, that the file has, too: they were taken
 * away, and are there again. Appended to *t. As of takeover_find(). */
int takeover_find_again(const char *dir, struct netlink *nl, const struct wan_objects *foreign,
                        struct takeover *t);

/* What happens to each: its text, and 0 or -errno. */
typedef void takeover_note(void *user, bool taken, const char *text, int error);

/* Take them out of the kernel; what has gone by itself is success. Returns 0 or the first -errno.
 */
int takeover_remove(struct netlink *nl, const struct takeover *t, takeover_note *note, void *user);

/* Put back those of the trial (NULL: all of them) and take them out of the file. A
 * route whose interface or router is gone would be, too, and is passed over. Returns 0 or the first
 * -errno, which ends it: the file stays as it was, for another try. */
int takeover_restore(const char *dir, struct netlink *nl, const char *id, takeover_note *note,
                     void *user);

/* The trial was confirmed: its objects stay away until everything is put back. 0 or -errno. */
int takeover_confirm(const char *dir, const char *id);

#endif
