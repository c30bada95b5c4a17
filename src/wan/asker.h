/* Asks the targets of one link in one family, by whatever their probe says, out of the interface of
 * the link; tells who has answered as it should. */
#ifndef WAN_ASKER_H
#define WAN_ASKER_H

#include "loop/loop.h"
#include "wan/attempt.h"
#include "wan/dns.h"
#include "wan/state.h"

/* The target has answered the request of that number. */
typedef void asker_fn(void *user, unsigned target, uint16_t number);

/* Treat as opaque, but for targets and n_targets. */
struct asker {
    struct loop *loop;
    const struct gateway_probe *conf;
    const char *device;
    enum wan_family family;
    asker_fn *fn;
    void *user;
    struct ip_addr target[GATEWAY_TARGETS_MAX]; /* those of the family */
    unsigned n_targets;
    struct loop_io io; /* of echo requests and DNS */
    uint16_t id;
    uint64_t cookie;
    uint8_t query[DNS_QUERY_MAX];
    size_t query_len;
    struct attempt *attempts; /* of what connects: ASKER_TRIES for each target */
    gnutls_certificate_credentials_t trust;
};

/* Tries of one target that are under way at a time; the oldest makes room. */
enum { ASKER_TRIES = 4 };

/* conf, device and trust must stay; trust is for HTTPS, NULL: there will be no answers. fn is
 * called from the loop, never from asker_ask(). Returns 0 or -ENOMEM. */
int asker_init(struct asker *a, struct loop *loop, const struct gateway_probe *conf,
               const char *device, enum wan_family family, gnutls_certificate_credentials_t trust,
               asker_fn *fn, void *user);
void asker_done(struct asker *a);

/* Does it take an echo socket from a process with privileges? */
bool asker_takes_socket(const struct gateway_probe *conf);

/* Begin to ask: fd is the echo socket, which it takes over, or -1. Returns 0 or -errno; it is
 * closed then. */
int asker_open(struct asker *a, int fd);
void asker_close(struct asker *a);

/* Ask target i. What cannot be sent gets no answer. */
void asker_ask(struct asker *a, unsigned i, uint16_t number);

#endif
