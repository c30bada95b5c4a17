/* What must be true of the TUN, and putting it back when somebody else changed it. */
#ifndef DAEMON_UPKEEP_H
#define DAEMON_UPKEEP_H

#include <stdint.h>

#include "base/addr.h"
#include "base/exitcode.h"
#include "base/log.h"
#include "daemon/routes.h"
#include "helper/helper.h"
#include "loop/loop.h"
#include "netlink/netlink.h"
#include "wire/capsule.h"

enum { UPKEEP_ASSIGNED_MAX = 2 * HELPER_AUTO_ADDRS_MAX };

struct instance;

struct upkeep {
    struct loop_timer timer;
    uint64_t next_ns;    /* no repair before this */
    unsigned in_a_row;   /* repairs, each soon after the one before */
    uint64_t repairs;    /* all of them, for the status */
    uint64_t deletions;  /* of these, times that the TUN had to be made anew */
    uint64_t tx_dropped; /* of the interface, when it was last looked at */
    struct routes routes;
    bool at_work; /* a comparison is, of which only the routes are not done yet */
    int so_far;   /* the result of the others */
    bool again;   /* something has changed since it began */
    struct log_limit error_limit, unusable_limit;
    struct ip_prefix assigned[UPKEEP_ASSIGNED_MAX]; /* by the hub, for a client without tun_cidr */
    unsigned n_assigned;
};

/* Open the TUN and make everything true of it. Returns EXIT_CODE_OK, or logs and returns why not.
 */
enum exit_code upkeep_start(struct instance *inst);

/* The configuration has changed: make true what is new, take away of ours what is old. */
void upkeep_apply(struct instance *inst);

/* The hub has assigned these addresses: on a client without tun_cidr they are put on the TUN in
 * place of those before. */
void upkeep_on_assigned(struct instance *inst, const struct capsule_addrs *addrs);

/* The TUN's MTU shall be this, now or when it is there again. */
void upkeep_set_mtu(struct instance *inst, uint32_t mtu);

/* Count what the kernel has dropped because the TUN's queue was full. */
void upkeep_count_drops(struct instance *inst);

/* The kernel says that something has changed. */
void upkeep_on_event(struct instance *inst, const struct netlink_event *ev);

/* A comparison of the routes, begun for that reason, has ended with rv: see routes_begin(). */
void upkeep_on_routes(struct instance *inst, enum upkeep_reason why, int rv);

/* The addresses that the TUN shall have: their number, and where they are. */
unsigned upkeep_addresses(const struct instance *inst, const struct ip_prefix **ret);

/* What of the TUN cannot be put right; few lines however often. */
void upkeep_say_failed(struct instance *inst, const char *what, const char *object, int rv);

/* The TUN's descriptor is dead: err as tun_read_batch() said. */
void upkeep_on_lost(struct instance *inst, int err);

#endif
