#include "base/drop.h"

static const char *const names[DROP_COUNT] = {
#define X(sym, name, what) [sym] = name,
    DROP_REASONS(X)
#undef X
};

static const char *const meanings[DROP_COUNT] = {
#define X(sym, name, what) [sym] = what,
    DROP_REASONS(X)
#undef X
};

const char *drop_name(enum drop_reason r)
{
    return (unsigned)r < DROP_COUNT ? names[r] : "?";
}

const char *drop_meaning(enum drop_reason r)
{
    return (unsigned)r < DROP_COUNT ? meanings[r] : "?";
}
