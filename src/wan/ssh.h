/* The session from which somebody changes this machine, and whether the way back to him stays. */
#ifndef WAN_SSH_H
#define WAN_SSH_H

#include <sys/types.h>

#include "config/gateway.h"
#include "wan/plan.h"

struct ssh_session {
    struct ip_addr peer, local;
    uint16_t peer_port, local_port;
};

/* The value of SSH_CONNECTION: "PEER PORT LOCAL PORT". IPv4 addresses inside IPv6 ones become IPv4.
 * Pure. */
bool ssh_session_parse(const char *value, struct ssh_session *ret);

/* A line of /proc/net/tcp or tcp6 of an established connection, and the number of its socket.
 * Pure. */
bool ssh_socket_parse(const char *line, uint8_t family, struct ssh_session *ret,
                      unsigned long *ret_inode);

/* The session that the process belongs to, through sudo and su as well: SSH_CONNECTION in the
 * environment of the process and of those that started it, if that connection is there; else a
 * connection that one of them called sshd has. Returns 1, or 0: it belongs to none. */
int ssh_session_find(pid_t pid, struct ssh_session *ret);

/* Ports that sshd listens on, by a file of its configuration: those that the text names are added
 * to ports, of which there are n. Returns how many there are then. Pure. */
enum { SSH_PORTS_MAX = 16, SSH_SESSIONS_MAX = 32 };
unsigned ssh_ports_parse(const char *text, uint16_t ports[SSH_PORTS_MAX], unsigned n);

/* Whoever is connected to this machine by SSH: to port 22, or one that /etc/ssh says. Of sessions
 * between the same addresses there is one, and of more than SSH_SESSIONS_MAX only so many. Returns
 * how many. */
unsigned ssh_session_all(struct ssh_session ret[SSH_SESSIONS_MAX]);

/* How a packet gets back to the peer. */
struct ssh_way {
    bool found;
    bool unsure; /* a rule has conditions that are not known here */
    int index;   /* of the interface; 0: this machine itself */
    struct ip_addr via;
};

/* By these rules and routes, of whomever: at least those that concern the session, rules in the
 * order of the kernel. Pure. */
void ssh_way_of(const struct wan_objects *world, const struct ssh_session *s, struct ssh_way *ret);

/* The rules and routes that concern it, from the kernel; *ret is to be released in every case. 0 or
 * -errno. */
int ssh_world_read(struct netlink *nl, const struct ssh_session *s, struct wan_objects *ret);

/* Do to the world what the operation does to the kernel, as far as it concerns the session. Pure. 0
 * or -ENOMEM. */
int ssh_world_apply(struct wan_objects *world, const struct ssh_session *s,
                    const struct wan_op *op);

/* What is about to be done: a plan, and what others have that is taken away, or given back to them
 * (NULL: nothing). */
struct ssh_change {
    const struct wan_plan *plan;
    const struct wan_objects *taken, *given;
};

/* Does it lead packets to the peer elsewhere, or nowhere? 1: yes; 0: no; -errno. */
int ssh_is_cut(struct netlink *nl, const struct ssh_session *s, const struct ssh_change *change,
               struct ssh_way *ret_before, struct ssh_way *ret_after);

/* Does the plan begin to close the services of this machine to what comes in by that interface?
 * A connection that is there stays, but nobody gets in again. Pure. */
bool ssh_is_closed(const struct gateway_config *c, const struct wan_plan *plan, const char *device);

#endif
