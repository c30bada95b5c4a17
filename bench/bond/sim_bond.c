/* The matrix of bonded links in virtual time: what TCP, a QUIC-like flow and a stream of small
 * packets get over each line alone, bare and through the tunnel, and over all of them at once.
 *
 * Medians over seeds with least and greatest; as tables, and as JSON with every run.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "bench/bond/farm.h"
#include "bench/bond/table.h"

enum { WHY_MAX = 600, PROCESSES_MAX = 64, DIRECTIONS = 2 };

struct options {
    const char *dir, *cells, *loads, *json, *markdown;
    struct unit_opts unit;
    unsigned processes;
    bool list, up, both;
    double least; /* of the best line's goodput, for a bond to be good enough; 0: it always is */
};

static void usage(void)
{
    fprintf(
        stderr,
        "usage: sim-bond [-m LINKS-DIR] [-c CELL,...] [-l LOAD,...] [-k CARRIER,...]\n"
        "                [-n SEEDS] [-f FIRST-SEED] [-s SECONDS] [-o START_S] [-L LATE_MS]\n"
        "                [-C bbr|cubic] [-N LANES] [-P PROCESSES] [-x SHARE] [-u] [-b] [-p]\n"
        "                [-T] [-j JSON-FILE] [-w MARKDOWN-FILE] [-a]\n"
        "  -o  flows begin so many seconds into the traces, not where the seed says\n"
        "  -N  lanes that a path may have (16)   -P  at a time (1)\n"
        "  -x  fail when a bond's median is less than that of the best line alone\n"
        "  -u  upwards (edge to hub)             -b  both ways\n"
        "  -p  plain tunnels (RFC 9484 alone)    -T  TCP without TSO\n"
        "  -j  every run                         -w  the matrix, one line for each of its units\n"
        "  -a  only list cells, loads and carriers\n");
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

/* False: there is no such option. */
static bool parse_number(struct options *o, int c, const char *text)
{
    switch (c) {
    case 'n':
        o->unit.seeds = number(text);
        return true;
    case 'f':
        o->unit.first_seed = number(text);
        return true;
    case 's':
        o->unit.load.seconds = number(text);
        return true;
    case 'o':
        o->unit.scene.start_s = (int)MIN(number(text), (unsigned)SPAN_MAX_S);
        o->unit.scene.placed = true;
        return true;
    case 'L':
        o->unit.load.late_ms = strtod(text, NULL);
        return true;
    case 'N':
        o->unit.scene.lanes = number(text);
        return true;
    case 'P':
        o->processes = number(text);
        return true;
    case 'x':
        o->least = strtod(text, NULL);
        return true;
    default:
        return false;
    }
}

static bool parse_name(struct options *o, int c, const char *text)
{
    switch (c) {
    case 'm':
        o->dir = text;
        return true;
    case 'c':
        o->cells = text;
        return true;
    case 'l':
        o->loads = text;
        return true;
    case 'k':
        o->unit.carriers = text;
        return true;
    case 'C':
        o->unit.scene.cc = text[0] == 'c' ? QUIC_CC_CUBIC : QUIC_CC_BBR;
        return true;
    case 'j':
        o->json = text;
        return true;
    case 'w':
        o->markdown = text;
        return true;
    default:
        return false;
    }
}

static bool parse_switch(struct options *o, int c)
{
    switch (c) {
    case 'u':
        o->up = true;
        return true;
    case 'b':
        o->both = true;
        return true;
    case 'p':
        o->unit.scene.plain = true;
        return true;
    case 'T':
        o->unit.load.no_tso = true;
        return true;
    case 'a':
        o->list = true;
        return true;
    default:
        return false;
    }
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){.dir = "lab/links",
                          .processes = 1,
                          .unit = {.seeds = 3,
                                   .first_seed = 1,
                                   .scene = {.cc = QUIC_CC_BBR},
                                   .load = {.seconds = 30, .late_ms = 150}}};
    while ((c = getopt(argc, argv, "m:c:l:k:n:f:s:o:L:C:N:P:x:ubpTj:w:a")) != -1)
        if (!parse_name(o, c, optarg) && !parse_number(o, c, optarg) && !parse_switch(o, c))
            return false;
    return optind == argc && o->unit.seeds && o->unit.seeds <= VERDICT_SEEDS_MAX &&
           o->unit.load.seconds && o->unit.load.seconds <= SPAN_MAX_S && o->processes &&
           o->processes <= PROCESSES_MAX;
}

static void list_all(const struct cells *cells)
{
    for (unsigned i = 0; i < cells->n; i++) {
        printf("cell %s:", cells->cell[i].name);
        for (unsigned k = 0; k < cells->cell[i].n_wans; k++)
            printf(" %s", cells->cell[i].link[k]);
        printf("\n");
    }
    for (const struct load *l = loads; l->name; l++)
        printf("load %s\n", l->name);
    for (const struct carrier *k = carriers; k->name; k++)
        printf("carrier %s%s\n", k->name, k->alone ? " (each WAN alone)" : "");
}

/* --- the matrix ------------------------------------------------------------------------ */

struct telling {
    const struct options *o;
    const struct unit *before;
    bool good;
};

static void tell(void *user, const struct unit *u)
{
    struct telling *t = user;
    double v[3];

    if (!t->before || t->before->cell != u->cell || t->before->up != u->up)
        table_head(u, &t->o->unit);
    table_unit(u, &t->o->unit);
    t->before = u;
    if (verdict_read(&u->verdict, t->o->unit.seeds, VERDICT_GOODPUT, v))
        t->good &= v[0] >= t->o->least;
}

/* How many there are; units: NULL, or what they are is written there. */
static unsigned choose(const struct options *o, const struct cells *cells, struct unit *units)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cells->n; i++) {
        for (unsigned up = 0; up < DIRECTIONS; up++) {
            if (!unit_name_is_in(o->cells, cells->cell[i].name) || (!o->both && up != o->up))
                continue;
            for (const struct load *l = loads; l->name; l++) {
                if (!unit_name_is_in(o->loads, l->name))
                    continue;
                if (units) {
                    units[n].cell = &cells->cell[i];
                    units[n].load = l;
                    units[n].up = up;
                }
                n++;
            }
        }
    }
    return n;
}

typedef void (*table_fn)(FILE *out, const struct unit *units, unsigned n,
                         const struct unit_opts *o);

static bool write_to(const char *path, table_fn table, const struct unit *units, unsigned n,
                     const struct options *o)
{
    FILE *out = path ? fopen(path, "we") : NULL;

    if (!path)
        return true;
    if (out)
        table(out, units, n, &o->unit);
    if (out && fclose(out) == 0)
        return true;
    perror(path);
    return false;
}

/* False: it could not be done, or something is not good enough. */
static bool run_matrix(const struct options *o, const struct cells *cells)
{
    struct telling t = {.o = o, .good = true};
    unsigned n = choose(o, cells, NULL);
    struct unit *units = farm_units(n + 1);
    int r;

    if (!units) {
        fprintf(stderr, "sim-bond: no memory for %u units\n", n);
        return false;
    }
    choose(o, cells, units);
    r = farm_run(units, n, &o->unit, o->processes, tell, &t);
    if (r < 0) {
        fprintf(stderr, "sim-bond: %s\n", strerror(-r));
        return false;
    }
    printf("\n");
    table_misses(stdout, units, n, &o->unit);
    return write_to(o->json, table_json, units, n, o) &&
           write_to(o->markdown, table_matrix, units, n, o) && t.good;
}

int main(int argc, char **argv)
{
    static struct cells cells;
    char why[WHY_MAX];
    struct options o;
    bool good = true;

    if (!parse_options(argc, argv, &o)) {
        usage();
        return 2;
    }
    if (cells_load(&cells, o.dir, why, sizeof(why)) < 0) {
        fprintf(stderr, "sim-bond: %s\n", why);
        return 1;
    }
    if (o.list)
        list_all(&cells);
    else
        good = run_matrix(&o, &cells);
    cells_done(&cells);
    return good ? 0 : 1;
}
