/* Asking an instance of mpquic how its tunnel is, without waiting for it: the telemetry of a tunnel
 * as one more target of its probe. */
#ifndef WAN_TELEMETRY_H
#define WAN_TELEMETRY_H

#include "loop/loop.h"

enum { TELEMETRY_ANSWER_MAX = 8 << 20 };

/* Start from {0} and telemetry_init(). known: there has been an answer, or it was found that there
 * is none, at told_ns. */
struct telemetry {
    struct loop *loop;
    struct loop_io io;
    char *text;
    size_t len, room;
    bool known, up;
    uint32_t rtt_us; /* of the best path; 0: not known */
    uint64_t told_ns;
};

void telemetry_init(struct telemetry *t, struct loop *loop);
void telemetry_done(struct telemetry *t);

/* Ask on a socket that is connected to the instance; takes it over. One that is still asked is
 * given up: it has had its time. fd negative: the instance is not there. */
void telemetry_ask(struct telemetry *t, int fd);

/* Was the tunnel up, lately? */
bool telemetry_is_up(const struct telemetry *t, uint64_t now_ns);

/* What an answer says. 0 or -EINVAL. A client is up while it has a connection, a server while one
 * of its peers is there. */
int telemetry_read(const char *text, size_t len, bool *ret_up, uint32_t *ret_rtt_us);

#endif
