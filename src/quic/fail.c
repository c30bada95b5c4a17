#include "quic/fail.h"

static const struct {
    const char *name, *meaning;
    bool permanent;
} table[QUIC_FAIL_COUNT] = {
#define X(sym, n, p, what) [sym] = {.name = n, .permanent = p, .meaning = what},
    QUIC_FAILS(X)
#undef X
};

const char *quic_fail_name(enum quic_fail f)
{
    return (unsigned)f < QUIC_FAIL_COUNT ? table[f].name : "?";
}

const char *quic_fail_meaning(enum quic_fail f)
{
    return (unsigned)f < QUIC_FAIL_COUNT ? table[f].meaning : "?";
}

bool quic_fail_permanent(enum quic_fail f)
{
    return (unsigned)f < QUIC_FAIL_COUNT && table[f].permanent;
}
