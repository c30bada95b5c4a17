/* Which class a packet is of, and what the classes of a table mean for a session
 * (doc/protocol.md, "Classes"). */
#ifndef BOND_CLASS_H
#define BOND_CLASS_H

#include <stdbool.h>
#include <stdint.h>

#include "bond/pack.h"
#include "bond/reasm.h"
#include "bond/sched.h"
#include "packet/ip.h"
#include "wire/class.h"

/* The class of a packet that the client (or else the server) sends: by the first rule that fits,
 * else CLASS_TCP or CLASS_OTHER. A rule with ports fits no packet without. table NULL: no rules. */
uint8_t class_of(const struct class_table *table, bool from_client, const struct ip_view *v);

/* What a class is without a table, and by one. A class that the table does not name is as without.
 */
void class_meaning(const struct class_table *table, uint8_t class, struct pack_class *ret_tx,
                   struct reasm_class *ret_rx);

/* How a class uses the paths: by the table, or as usual if that says nothing of it. */
void class_spread(const struct class_table *table, uint8_t class, enum bond_policy usual,
                  struct sched *ret);

/* Whether the table says something of that class; without one, whether packets may be of it. */
bool class_is_used(const struct class_table *table, uint8_t class);

#endif
