#include "wan/sshguard.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

enum { WHAT_MAX = 128 };

static const char *device_name(int index, char buf[static IFNAMSIZ])
{
    if (!index || !if_indextoname((unsigned)index, buf))
        snprintf(buf, IFNAMSIZ, "%s", index ? "?" : "lo");
    return buf;
}

static bool find_harm(struct gateway *g, const struct ssh_session *s,
                      const struct ssh_change *change, char what[static WHAT_MAX])
{
    char from[IFNAMSIZ], to[IFNAMSIZ + 16] = "nothing";
    struct ssh_way before = {0}, after = {0};
    int rv = ssh_is_cut(gateway_netlink(g), s, change, &before, &after);

    device_name(before.index, from);
    if (rv > 0 && after.found)
        device_name(after.index, to);
    if (rv < 0)
        snprintf(what, WHAT_MAX, "may be cut: the routes cannot be read: %s", strerror(-rv));
    else if (rv)
        snprintf(what, WHAT_MAX, "would be cut: answers leave by %s, and would by %s", from, to);
    else if (ssh_is_closed(gateway_config(g), gateway_plan(g), from))
        snprintf(what, WHAT_MAX, "could not be opened again: open_udp closes %s", from);
    else
        return false;
    return true;
}

bool sshguard_harms(struct gateway *g, const struct ssh_session *s, const struct wan_objects *taken,
                    const struct wan_objects *given, const char *whose,
                    char ret_text[static SSHGUARD_TEXT_MAX])
{
    struct ssh_change change = {gateway_plan(g), taken, given};
    char peer[IP_ADDR_STR_MAX], what[WHAT_MAX];

    if (!find_harm(g, s, &change, what))
        return false;
    snprintf(ret_text, SSHGUARD_TEXT_MAX, "%s session from %s %s", whose,
             ip_addr_str(&s->peer, peer), what);
    return true;
}

bool sshguard_harms_any(struct gateway *g, char ret_text[static SSHGUARD_TEXT_MAX])
{
    struct ssh_session all[SSH_SESSIONS_MAX];
    unsigned n = ssh_session_all(all);

    for (unsigned i = 0; i < n; i++)
        if (sshguard_harms(g, &all[i], NULL, NULL, "the SSH", ret_text))
            return true;
    return false;
}
