/* The SSH session of who changes this machine, and his way back to it. */
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/gateway.h"
#include "wan/ssh.h"

enum { WHAT_MAX = 128 };

static const char *device_name(int index, char buf[static IFNAMSIZ])
{
    if (!index || !if_indextoname((unsigned)index, buf))
        snprintf(buf, IFNAMSIZ, "%s", index ? "?" : "lo");
    return buf;
}

/* What the plan would do to the session; returns whether it does anything. */
static bool find_harm(struct gateway *g, const struct ssh_session *s,
                      const struct wan_objects *taken, char what[static WHAT_MAX])
{
    char from[IFNAMSIZ], to[IFNAMSIZ + 16] = "nothing";
    struct ssh_way before, after;
    int rv = ssh_is_cut(gateway_netlink(g), s, gateway_plan(g), taken, &before, &after);

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

enum exit_code gatewaycli_check_ssh(const struct cli_verb *verb, struct gateway *g,
                                    const struct wan_objects *taken, bool go_on, const char *remedy)
{
    char peer[IP_ADDR_STR_MAX], what[WHAT_MAX];
    struct ssh_session s;

    if (!ssh_session_find(getpid(), &s) || !find_harm(g, &s, taken, what))
        return EXIT_CODE_OK;
    ip_addr_str(&s.peer, peer);
    if (go_on)
        fprintf(stderr, "mpquic %s: warning: your session from %s %s\n", verb->name, peer, what);
    else
        fprintf(stderr, "mpquic %s: nothing was changed: your session from %s %s; %s\n", verb->name,
                peer, what, remedy);
    return go_on ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}
