/* The control socket of an instance: answers one request a connection (request.h), on the event
 * loop that carries the packets. So that no client, friendly or not, disturbs those:
 *
 *  - at most CONTROL_CLIENTS_MAX connections; one more takes the place of the oldest that has not
 *    sent its request or does not take its answer, else it is closed at once;
 *  - a request has CONTROL_REQUEST_MAX bytes at most, and a deadline; so has the taking of the
 *    answer; nothing blocks; answers that wait have CONTROL_PENDING_MAX bytes at most;
 *  - answering takes at most the CONTROL_SHARE-th part of the time: an answer that took 1 ms to
 * make is followed by a pause of CONTROL_SHARE ms before the next one is made.
 *
 * Who may connect is decided by the mode of the socket file, and once more by SO_PEERCRED and
 * SO_PEERGROUPS: root, our own user, and the members of one group. */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "control/request.h"
#include "loop/loop.h"

enum {
    CONTROL_CLIENTS_MAX = 8,
    CONTROL_PENDING_MAX = 16 << 20,
    CONTROL_ANSWER_BYTES = CONTROL_PENDING_MAX - 1, /* of one that can be sent */
    CONTROL_SHARE = 20,
    CONTROL_ACCEPTS_PER_TURN = 4
};
#define CONTROL_DEADLINE_NS (5 * NS_PER_S)

struct control_server;

struct control_server_opts {
    struct loop *loop;
    int fd;               /* listening, non-blocking; the server's from now on */
    gid_t group;          /* whose members may ask */
    uint64_t deadline_ns; /* 0 = CONTROL_DEADLINE_NS */

    /* The answer to a request, from malloc(), without a newline; NULL: there is no memory for one.
     * One of more than CONTROL_ANSWER_BYTES is not sent, and the client is told so.
     * Must not free the server. */
    char *(*answer)(void *user, const struct control_request *req);
    void *user;
};

/* Returns 0 or -errno, -ENOMEM; then fd is closed too. */
int control_server_new(const struct control_server_opts *opts, struct control_server **ret);

/* Closes all connections. Accepts NULL. */
void control_server_free(struct control_server *s);

unsigned control_server_clients(const struct control_server *s);

#endif
