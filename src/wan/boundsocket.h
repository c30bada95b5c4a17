/* Sockets that are bound to an interface by a process without privileges. */
#ifndef WAN_BOUNDSOCKET_H
#define WAN_BOUNDSOCKET_H

#include <stdint.h>

/* A non-blocking socket (SOCK_STREAM or SOCK_DGRAM) that sends and receives by this interface
 * alone. family: 4 or 6. The kernel lets anybody bind a socket that is not bound yet (since 5.7).
 * Returns 0; -ENODEV: there is no such interface; other -errno. */
int boundsocket_open(uint8_t family, int type, const char *device, int *ret_fd);

#endif
