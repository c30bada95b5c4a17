/* systemd-networkd deletes rules and routes that are not its own, ours included, unless its
 * configuration says not to. What that says, and a drop-in that says it. */
#ifndef WAN_NETWORKD_H
#define WAN_NETWORKD_H

#include <stdbool.h>
#include <stddef.h>

enum { NETWORKD_PATH_MAX = 256 };

struct networkd {
    bool runs;
    bool deletes_routes, deletes_rules;
    char said[NETWORKD_PATH_MAX]; /* the last file that says something of it; "": none does */
};

/* Read one file of its configuration: what it does not say stays as it is. Returns whether it says
 * anything of it. Pure. */
bool networkd_parse(const char *text, struct networkd *n);

/* All of its files below root ("" in general), in the order in which it reads them. 0 or -errno. */
int networkd_read(const char *root, struct networkd *ret);

/* Would it delete anything of ours? */
static inline bool networkd_is_in_the_way(const struct networkd *n)
{
    return n->runs && (n->deletes_routes || n->deletes_rules);
}

/* What it would delete, "systemd-networkd deletes routes of others: /etc/systemd/networkd.conf".
 * Returns buf. */
enum { NETWORKD_TEXT_MAX = NETWORKD_PATH_MAX + 64 };
const char *networkd_str(const struct networkd *n, char buf[static NETWORKD_TEXT_MAX]);

/* The drop-in of the gateway, which comes behind the others; networkd reads it when it starts.
 * networkd_release() removes it, 1 when it was there. 0 or -errno. */
#define NETWORKD_DROP_IN "/etc/systemd/networkd.conf.d/zz-mpquic-gateway.conf"
int networkd_hold(const char *root);
int networkd_release(const char *root);

#endif
