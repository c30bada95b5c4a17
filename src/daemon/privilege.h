/* Privileges of a running instance. */
#ifndef DAEMON_PRIVILEGE_H
#define DAEMON_PRIVILEGE_H

/* Give up, for good, every capability but CAP_NET_ADMIN (MTU and addresses of our TUN) and
 * CAP_NET_RAW (binding a new socket to a device), of which only those are kept that the process
 * has; and the means to gain any by executing something. To be called when files are read and
 * listeners are open. Returns 0 or -errno. */
int privilege_drop(void);

#endif
