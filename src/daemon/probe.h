/* A first connection to a hub, without a TUN and without leaving anything behind: does it answer,
 * does it accept us, and how large may packets be. */
#ifndef DAEMON_PROBE_H
#define DAEMON_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/exitcode.h"
#include "config/config.h"

/* PEM in memory; name stands in messages. */
struct probe_text {
    const char *name;
    const void *data;
    size_t len;
};

struct probe_opts {
    const struct tunnel_config *config; /* of a client; its files are not looked at */
    struct probe_text cert, key, ca;
    uint64_t answer_ns; /* how long the hub may take to let us in; 0 = 10 s */
    uint64_t mtu_ns;    /* and the search for the path MTU after that; 0 = 8 s */
};

struct probe_result {
    char local[NET_ADDR_STR_MAX], remote[NET_ADDR_STR_MAX]; /* "" when it did not come to that */
    uint64_t rtt_ns;                                        /* smallest round trip */
    size_t udp_payload_bytes;                               /* of one datagram */
    size_t packet_max_bytes;                                /* largest packet in the tunnel */
    bool mtu_known; /* false: the sizes are lower bounds, the search was not over */
    char why[400];  /* what failed, and the remedy; "" */
};

/* Connect as the configuration says and wait for the outcome; blocks. Runs beside an instance of
 * the same identity without taking its place. Returns EXIT_CODE_OK; EXIT_CODE_START when this
 * machine cannot send (no such interface, no address, no route); EXIT_CODE_NO_ANSWER;
 * EXIT_CODE_CONFIG (credentials, or a name that does not resolve); or what a tunnel would end with.
 */
enum exit_code daemon_probe(const struct probe_opts *opts, struct probe_result *ret);

#endif
