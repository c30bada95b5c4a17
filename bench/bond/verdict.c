#include "bench/bond/verdict.h"

#include <stdlib.h>
#include <string.h>

const double verdict_aims[VERDICT_FIGURES] = {
    [VERDICT_GOODPUT] = 0.97, [VERDICT_P5] = 0.85, [VERDICT_P95] = 10};

void verdict_add(struct verdict *v, unsigned seed, unsigned wan, const char *carrier,
                 const char *link, const struct result *r)
{
    struct verdict_best *best = &v->best[seed];

    if (!r->valid)
        return;
    if (!wan)
        v->bond[seed] = *r;
    else if (!best->result.valid || r->figure[FIGURE_GOODPUT] > best->result.figure[FIGURE_GOODPUT])
        *best = (struct verdict_best){*r, carrier, link, wan};
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

bool verdict_spread(double *values, unsigned n, double ret[3])
{
    if (!n)
        return false;
    qsort(values, n, sizeof(values[0]), by_size);
    ret[0] = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    ret[1] = values[0];
    ret[2] = values[n - 1];
    return true;
}

bool verdict_read(const struct verdict *v, unsigned n, enum verdict_figure f, double ret[3])
{
    double x[VERDICT_SEEDS_MAX];
    unsigned found = 0;

    for (unsigned i = 0; i < n; i++)
        if (v->best[i].result.valid && v->bond[i].valid)
            x[found++] = compare(&v->bond[i], &v->best[i].result, f);
    return verdict_spread(x, found, ret);
}

bool verdict_reaches(enum verdict_figure f, double median, double bound)
{
    return f == VERDICT_P95 ? median <= bound : median >= bound;
}

static bool is_same(const struct verdict_best *a, const struct verdict_best *b)
{
    return a->wan == b->wan && strcmp(a->carrier, b->carrier) == 0;
}

bool verdict_best(const struct verdict *v, unsigned n, struct verdict_best *ret)
{
    unsigned most = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned times = 0;

        for (unsigned k = 0; v->best[i].result.valid && k < n; k++)
            times += v->best[k].result.valid && is_same(&v->best[i], &v->best[k]);
        if (times > most) {
            most = times;
            *ret = v->best[i];
        }
    }
    return most > 0;
}
