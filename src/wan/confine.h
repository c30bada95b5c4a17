/* Processes whose sockets are bound to one interface: a control group (cgroup v2) with programs of
 * the kernel (BPF) that bind each IPv4 and IPv6 socket when it is made. Children inherit it, and no
 * program has to cooperate. Sockets that are there already stay as they are.
 *
 * A socket that is connected to a loopback address is let go for that, so that a local resolver is
 * reached; only with privileges: the kernel lets nobody else unbind. */
#ifndef WAN_CONFINE_H
#define WAN_CONFINE_H

struct confine;

/* Make such a group below that of this process. Needs root. Returns 0; -ENODEV: no such interface;
 * -EOPNOTSUPP: this kernel has no cgroup v2, or no BPF for it; -EPERM; other -errno. */
int confine_open(const char *device, struct confine **ret);

/* Put the calling process in. 0 or -errno. */
int confine_enter(const struct confine *c);

/* Remove the group, and free; NULL is allowed. -EBUSY: processes are in it still, and stay bound;
 * the empty group is left to whoever removes the one above. */
int confine_close(struct confine *c);

#endif
