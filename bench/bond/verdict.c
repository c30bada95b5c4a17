#include "bench/bond/verdict.h"

#include <stdlib.h>

void verdict_add(struct verdict *v, unsigned seed, bool alone, const struct result *r)
{
    struct result *to = alone ? &v->best[seed] : &v->bond[seed];

    if (!r->valid)
        return;
    if (!to->valid || r->figure[FIGURE_GOODPUT] > to->figure[FIGURE_GOODPUT])
        *to = *r;
}

static double compare(const struct result *bond, const struct result *best, enum verdict_figure f)
{
    static const enum figure which[] = {
        [VERDICT_GOODPUT] = FIGURE_GOODPUT, [VERDICT_P5] = FIGURE_P5, [VERDICT_P95] = FIGURE_P95};
    double x = bond->figure[which[f]], y = best->figure[which[f]];

    if (f == VERDICT_P95)
        return x - y;
    return y > 0 ? x / y : 1;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

bool verdict_read(const struct verdict *v, unsigned n, enum verdict_figure f, double ret[3])
{
    double x[VERDICT_SEEDS_MAX];
    unsigned found = 0;

    for (unsigned i = 0; i < n; i++)
        if (v->best[i].valid && v->bond[i].valid)
            x[found++] = compare(&v->bond[i], &v->best[i], f);
    if (!found)
        return false;
    qsort(x, found, sizeof(x[0]), by_size);
    ret[0] = found % 2 ? x[found / 2] : (x[found / 2 - 1] + x[found / 2]) / 2;
    ret[1] = x[0];
    ret[2] = x[found - 1];
    return true;
}
