/* Putting a configuration on trial in force, and taking it back. */
#ifndef WAN_SETTLE_H
#define WAN_SETTLE_H

#include "wan/confirm.h"
#include "wan/gateway.h"
#include "wan/takeover.h"

struct settle {
    struct gateway *g;
    const char *dir; /* of the state */
    /* Take another configuration, in place of gateway_set_config(); may be NULL. */
    void (*set_config)(void *user, const struct gateway_config *c);
    gateway_note_fn *note;
    takeover_note *note_foreign;
    void *user;
};

/* Put it in force. Returns 0, or -errno: then what was done is taken back, and the former
 * configuration is that of the gateway again. */
int settle_try(const struct settle *s, const struct gateway_config *c);

/* Take back what is on trial, or was: the confirmed configuration is in force then, or nothing,
 * what was taken away from others for the trial is back, and a link that was disabled for it is in
 * service. No trial is left on disk. Nothing is done
 * when there is none. It may be done again after it was cut anywhere. Returns 0; -EBADMSG: the
 * confirmed configuration cannot be understood, and everything stays; other -errno: not all of it
 * is done, and the trial is still there. */
int settle_return(const struct settle *s);

#endif
