#include "bench/bond/unit.h"

#include <string.h>

bool unit_name_is_in(const char *list, const char *name)
{
    size_t len = strlen(name);

    if (!list)
        return true;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strcspn(at, ",") == len && memcmp(at, name, len) == 0)
            return true;
    return false;
}

bool row_is_sum(const struct row *r)
{
    return strcmp(r->link, "sum") == 0;
}

bool row_spread(const struct row *r, unsigned seeds, enum figure f, double ret[3])
{
    double v[VERDICT_SEEDS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < seeds; i++)
        if (r->run[i].valid)
            v[n++] = r->run[i].figure[f];
    return verdict_spread(v, n, ret);
}

double row_median(const struct row *r, unsigned seeds, enum figure f)
{
    double v[3] = {0, 0, 0};

    row_spread(r, seeds, f, v);
    return v[0];
}

static void run_row(struct unit *u, const struct unit_opts *o, const struct carrier *k,
                    unsigned only)
{
    struct row *r = &u->row[u->n_rows++];
    struct scene_opts so = o->scene;
    struct load_opts lo = o->load;

    r->carrier = k->name;
    r->link = only == ALL_WANS ? "all" : u->cell->link[only];
    r->wan = only == ALL_WANS ? 0 : only + 1;
    so.cell = u->cell;
    so.only = only;
    lo.load = u->load;
    lo.up = u->up;
    for (unsigned i = 0; i < o->seeds; i++) {
        so.seed = o->first_seed + i;
        r->run[i] = load_run(&so, k, &lo);
        if (u->load->flows)
            verdict_add(&u->verdict, i, r->wan, r->carrier, r->link, &r->run[i]);
    }
}

/* The goodput of the last n rows added up, seed by seed. */
static void sum_rows(struct unit *u, const struct unit_opts *o, unsigned n)
{
    const struct row *rows = &u->row[u->n_rows - n];
    struct row *r = &u->row[u->n_rows++];

    r->carrier = rows[0].carrier;
    r->link = "sum";
    for (unsigned i = 0; i < o->seeds; i++) {
        r->run[i].valid = true;
        for (unsigned k = 0; k < n; k++) {
            r->run[i].valid &= rows[k].run[i].valid;
            r->run[i].figure[FIGURE_GOODPUT] += rows[k].run[i].figure[FIGURE_GOODPUT];
        }
    }
}

void unit_run(struct unit *u, const struct unit_opts *o)
{
    u->n_rows = 0;
    for (const struct carrier *k = carriers; k->name; k++) {
        if (!unit_name_is_in(o->carriers, k->name))
            continue;
        if (!k->alone) {
            run_row(u, o, k, ALL_WANS);
            continue;
        }
        for (unsigned i = 0; i < u->cell->n_wans; i++)
            run_row(u, o, k, i);
        if (u->load->flows && u->cell->n_wans > 1)
            sum_rows(u, o, u->cell->n_wans);
    }
}
