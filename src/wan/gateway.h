/* The gateway at work: reads the kernel, finds the difference to what there should be, applies it.
 * All state is in the kernel (and what settings were before, in one file), so that whoever opens a
 * gateway goes on from what is there: the daemon after a crash, or a verb of the command line. */
#ifndef WAN_GATEWAY_H
#define WAN_GATEWAY_H

#include "wan/disabled.h"
#include "wan/mirror.h"
#include "wan/plan.h"

struct gateway;

/* What happens while a plan is run: each operation, with its result (0 or -errno). */
typedef void gateway_note_fn(void *user, const struct wan_op *op, int error);

/* state_file: where the values go that settings had; other files are beside it. The configuration
 * is copied; NULL: an empty one, which wants nothing. Returns 0 or -errno. Close accepts NULL and
 * leaves the kernel as it is. */
int gateway_open(const struct gateway_config *c, const char *state_file, struct gateway **ret);
void gateway_close(struct gateway *g);

/* Take another configuration; nothing is changed in the kernel yet. */
void gateway_set_config(struct gateway *g, const struct gateway_config *c);
const struct gateway_config *gateway_config(const struct gateway *g);

/* What is known of the links besides what the kernel says: counts from the next look on. At first
 * nothing is: no link is disabled, every probe undecided. */
void gateway_set_health(struct gateway *g, const struct wan_health *h);
const struct wan_health *gateway_health(const struct gateway *g);

/* Read the kernel and make the plan. 0 or -errno. Those below tell what came of it, until the
 * next call. */
int gateway_look(struct gateway *g);
const struct wan_plan *gateway_plan(const struct gateway *g);
const struct wan_objects *gateway_want(const struct gateway *g); /* what there should be */
const struct wan_mirror *gateway_mirror(const struct gateway *g);

/* Tell fn, too, of everything that is done, whatever it is part of; NULL: nobody. */
void gateway_set_watch(struct gateway *g, gateway_note_fn *fn, void *user);

/* Look and run the plan, again until there is none: links may change meanwhile. undo: an error
 * takes back what was done. Returns 0 or -errno; -EAGAIN: it is never done. */
int gateway_apply(struct gateway *g, bool undo, gateway_note_fn *note, void *user);

/* Remove all that is ours, and give settings their former values first, as far as that can be done.
 * Returns 0 or the first -errno. */
int gateway_down(struct gateway *g, gateway_note_fn *note, void *user);

/* Only the guards of a configuration, the rules that end what comes from an interface with a
 * policy: those that are not there are added, and nothing else is looked at, or opened. Whoever
 * applies the configuration afterwards finds them in place. Returns 0 or the first -errno. */
int gateway_guard(const struct gateway_config *c, gateway_note_fn *note, void *user);

/* The way to the kernel, to be used between calls only. */
struct netlink *gateway_netlink(struct gateway *g);

/* Which links are out of service, as of the last look; and take one out, or put it back: as of
 * disabled_set(). It is seen by the next look, and a gateway that runs is signalled. */
const struct disabled *gateway_disabled(const struct gateway *g);
int gateway_disable(struct gateway *g, const char *link, bool off);

/* After a look: have the plan be what would be done if that link was out of service, or in it,
 * until the next look. 0 or -errno. */
int gateway_plan_disabled(struct gateway *g, unsigned link, bool off);

/* Have a gateway that runs look, as if something had changed. 0 or -errno. */
int gateway_poke(struct gateway *g);

/* How long, from now, what a look has found to be delegated holds; UINT64_MAX: for ever. */
uint64_t gateway_ends_in_ns(const struct gateway *g);

/* What nftables said last. */
const char *gateway_nft_error(const struct gateway *g);

/* Readable when something has changed that a look may find; take what waits with
 * gateway_take(), which returns as fib_signal_take(). */
enum { GATEWAY_SIGNALS = 3 };
int gateway_signal_fd(const struct gateway *g, unsigned i);
int gateway_signal_take(struct gateway *g, unsigned i);

/* An operation in one line, "+ rule -4 priority 1001 iif enp6s20 lookup 100". Returns buf. */
enum { GATEWAY_TEXT_MAX = 320 };
const char *gateway_op_str(const struct wan_op *op, char buf[static GATEWAY_TEXT_MAX]);

#endif
