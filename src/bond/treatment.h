/* How packets are treated by a session that has several paths: which of them they take, whether
 * what is lost goes again, and whether they keep their order. Each class of the protocol has its
 * own (doc/protocol.md, "Classes"); an edge that says nothing of classes has one for all. */
#ifndef BOND_TREATMENT_H
#define BOND_TREATMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bond/policy.h"
#include "wire/class.h"

enum treatment_recovery {
    TREATMENT_RESEND, /* what is lost goes again, while its deadline lasts */
    TREATMENT_NONE,
    TREATMENT_RECOVERIES
};

enum treatment_order {
    TREATMENT_ORDER_USUAL, /* TCP waits for what goes again, all else for another path only */
    TREATMENT_ORDER_NONE,
    TREATMENT_ORDER_REORDER,
    TREATMENT_ORDER_RECOVER,
    TREATMENT_ORDERS
};

/* Zeroed: as without a table of classes. */
struct treatment {
    enum bond_policy policy;
    uint8_t pin;    /* BOND_PIN: the number of the path */
    uint8_t copies; /* BOND_DUPLICATE: 1 to CLASS_PATHS; 0 = 2 */
    enum treatment_recovery recovery;
    enum treatment_order order;
    uint32_t deadline_ms; /* to CLASS_DEADLINE_MAX_MS; 0: 1 s for TCP, 150 ms for all else */
};

enum { TREATMENT_COPIES = 2 };

/* Whether every value is in its range, and the path that packets are pinned to below n_paths. */
bool treatment_is_valid(const struct treatment *t, unsigned n_paths);

/* The table that treats all classes so: *ret gets its classes; it has no rules. False when that is
 * what is done without a table, and *ret is not touched. */
bool treatment_table(const struct treatment *t, struct class_table *ret);

/* The same, also when that is what is done without a table. */
void treatment_spell_out(const struct treatment *t, struct class_table *ret);

#endif
