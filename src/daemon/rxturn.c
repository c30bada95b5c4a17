#include "daemon/rxturn.h"

unsigned rxturn_share(struct rxturn *t, unsigned socket)
{
    uint64_t bit = UINT64_C(1) << socket % 64;
    unsigned w = socket / 64;

    t->ready.w[w] |= bit;
    if (t->taken >= RXTURN_MESSAGES || (t->any_first && !(t->first.w[w] & bit))) {
        t->skipped = true;
        return 0;
    }
    t->first.w[w] &= ~bit;
    t->any_first = false;
    for (unsigned i = 0; i < RXTURN_WORDS; i++)
        t->any_first |= t->first.w[i] != 0;
    return RXTURN_MESSAGES - t->taken;
}

void rxturn_take(struct rxturn *t, unsigned n)
{
    t->taken += n;
}

void rxturn_end(struct rxturn *t)
{
    t->any_first = false;
    for (unsigned i = 0; i < RXTURN_WORDS; i++) {
        t->first.w[i] &= t->ready.w[i]; /* one that is drained, or closed, keeps nobody waiting */
        t->any_first |= t->first.w[i] != 0;
    }
    if (!t->any_first && t->skipped) {
        t->first = t->ready;
        t->any_first = true;
    }
    t->taken = 0;
    t->ready = (struct rxturn_set){0};
    t->skipped = false;
}
