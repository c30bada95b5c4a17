#include "daemon/rxturn.h"

unsigned rxturn_share(struct rxturn *t, unsigned socket)
{
    uint32_t bit = UINT32_C(1) << socket;

    t->ready |= bit;
    if (t->taken >= RXTURN_MESSAGES || (t->first && !(t->first & bit))) {
        t->skipped = true;
        return 0;
    }
    t->first &= ~bit;
    return RXTURN_MESSAGES - t->taken;
}

void rxturn_take(struct rxturn *t, unsigned n)
{
    t->taken += n;
}

void rxturn_end(struct rxturn *t)
{
    t->first &= t->ready; /* one that is drained, or closed, keeps nobody waiting */
    if (!t->first && t->skipped)
        t->first = t->ready;
    t->taken = 0;
    t->ready = 0;
    t->skipped = false;
}
