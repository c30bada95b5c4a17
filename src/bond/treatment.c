#include "bond/treatment.h"

#include "base/util.h"

static uint8_t wire_treatment(enum bond_policy policy)
{
    static const uint8_t of[BOND_POLICIES] = {
        [BOND_AGGREGATE] = CLASS_BOND,
        [BOND_BALANCED] = CLASS_BALANCED,
        [BOND_FAILOVER] = CLASS_FAILOVER,
        [BOND_PRIORITY] = CLASS_FAILOVER,
        [BOND_PIN] = CLASS_PIN,
        [BOND_DUPLICATE] = CLASS_DUPLICATE,
        [BOND_LOWEST_LATENCY] = CLASS_LOWEST_LATENCY,
    };

    return of[policy];
}

static uint8_t wire_order(enum treatment_order order, uint8_t class)
{
    static const uint8_t of[TREATMENT_ORDERS] = {
        [TREATMENT_ORDER_NONE] = CLASS_ORDER_NONE,
        [TREATMENT_ORDER_REORDER] = CLASS_ORDER_REORDER,
        [TREATMENT_ORDER_RECOVER] = CLASS_ORDER_RECOVER,
    };

    if (order == TREATMENT_ORDER_USUAL)
        return class == CLASS_TCP ? CLASS_ORDER_RECOVER : CLASS_ORDER_REORDER;
    return of[order];
}

static struct class_spec spec_of(const struct treatment *t, uint8_t class)
{
    struct class_spec s = {.class = class,
                           .treatment = wire_treatment(t->policy),
                           .copies = t->copies ? t->copies : TREATMENT_COPIES,
                           .path = t->pin,
                           .recovery = CLASS_RECOVERY_AGAIN,
                           .order = wire_order(t->order, class),
                           .deadline_ms = class == CLASS_TCP ? 1000 : 150};

    if (t->deadline_ms)
        s.deadline_ms = t->deadline_ms;
    if (t->recovery == TREATMENT_NONE)
        s.recovery = CLASS_RECOVERY_NONE;
    if (class != CLASS_NONE)
        return s;
    s.recovery = CLASS_RECOVERY_NONE;
    s.order = CLASS_ORDER_NONE;
    return s;
}

bool treatment_is_valid(const struct treatment *t, unsigned n_paths)
{
    return (unsigned)t->policy < BOND_POLICIES && (unsigned)t->recovery < TREATMENT_RECOVERIES &&
           (unsigned)t->order < TREATMENT_ORDERS && t->copies <= CLASS_PATHS &&
           t->deadline_ms <= CLASS_DEADLINE_MAX_MS &&
           (t->policy != BOND_PIN || t->pin < MAX(n_paths, 1u));
}

static bool is_usual(const struct treatment *t)
{
    return t->policy == BOND_AGGREGATE && t->recovery == TREATMENT_RESEND &&
           t->order == TREATMENT_ORDER_USUAL && !t->deadline_ms;
}

void treatment_spell_out(const struct treatment *t, struct class_table *ret)
{
    static const uint8_t classes[] = {CLASS_TCP, CLASS_OTHER, CLASS_NONE};

    ret->n = ARRAY_LEN(classes);
    for (unsigned i = 0; i < ARRAY_LEN(classes); i++)
        ret->v[i] = spec_of(t, classes[i]);
    ret->n_rules = 0;
}

bool treatment_table(const struct treatment *t, struct class_table *ret)
{
    if (is_usual(t))
        return false;
    treatment_spell_out(t, ret);
    return true;
}
