/* Checks that `gateway health` and `gateway lan` share: each adds findings. */
#ifndef CLI_GATEWAY_LOOK_H
#define CLI_GATEWAY_LOOK_H

#include "cli/findings.h"
#include "cli/gateway_world.h"

/* Which of the differences between what there is and what there should be are meant: all (policy
 * NULL), or those that concern one policy. */
void gateway_look_differences(const struct gateway *g, const struct gateway_policy *policy,
                              struct findings *ret);

/* The interface that a policy is of. */
void gateway_look_ingress(const struct gateway_world *w, const struct gateway_policy *p,
                          struct findings *ret);

/* Link i; a family that does not work is a failure only where the other does not either. */
void gateway_look_link(const struct gateway *g, unsigned i, struct findings *ret);

/* What becomes of a packet from the policy's network to the Internet, and that the kernel thinks
 * so, too. */
void gateway_look_way(const struct gateway_world *w, const struct gateway_policy *p,
                      struct findings *ret);

/* What systemd-networkd would delete of ours. */
void gateway_look_networkd(struct findings *ret);

/* The settings of the kernel that drop packets without a word. */
void gateway_look_filter(const struct gateway_config *c, struct findings *ret);

#endif
