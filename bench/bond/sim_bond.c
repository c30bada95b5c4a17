/* The matrix of bonded links in virtual time: what TCP, a QUIC-like flow and a stream of small
 * packets get over each line alone, bare and through the tunnel, and over all of them at once.
 *
 * Medians over seeds with least and greatest; as a table, and as JSON with every run.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "bench/bond/load.h"
#include "bench/bond/verdict.h"

enum { SEEDS_MAX = VERDICT_SEEDS_MAX, WHY_MAX = 600 };

struct options {
    const char *dir, *cells, *loads, *carriers, *json;
    unsigned seeds, first_seed, start_s, lanes;
    struct load_opts load;
    enum quic_cc cc;
    bool plain, list, placed;
    double least; /* of the best line's goodput, for a bond to be good enough; 0: it always is */
};

/* One line of the table. */
struct row {
    const char *carrier, *link; /* link: a name, "sum", or "all" */
    unsigned wan;               /* from 1; 0 = not of one WAN */
    struct result run[SEEDS_MAX];
};

static void usage(void)
{
    fprintf(stderr,
            "usage: sim-bond [-m LINKS-DIR] [-c CELL,...] [-l LOAD,...] [-k CARRIER,...]\n"
            "                [-n SEEDS] [-f FIRST-SEED] [-s SECONDS] [-o START_S] [-L LATE_MS]\n"
            "                [-C bbr|cubic] [-N LANES] [-x SHARE] [-u] [-p] [-T] [-j JSON-FILE]\n"
            "                [-a]\n"
            "  -o  flows begin so many seconds into the traces, not where the seed says\n"
            "  -N  lanes that a path may have (16)\n"
            "  -x  fail when a bond's median is less than that of the best line alone\n"
            "  -u  upwards (edge to hub)   -p  plain tunnels (RFC 9484 alone)\n"
            "  -T  TCP without TSO         -a  only list cells, loads and carriers\n");
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    int c;

    *o = (struct options){.dir = "lab/links",
                          .seeds = 3,
                          .first_seed = 1,
                          .load = {.seconds = 30, .late_ms = 150},
                          .cc = QUIC_CC_BBR};
    while ((c = getopt(argc, argv, "m:c:l:k:n:f:s:o:L:C:N:x:upTj:a")) != -1) {
        switch (c) {
        case 'm':
            o->dir = optarg;
            break;
        case 'c':
            o->cells = optarg;
            break;
        case 'l':
            o->loads = optarg;
            break;
        case 'k':
            o->carriers = optarg;
            break;
        case 'n':
            o->seeds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'f':
            o->first_seed = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->load.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'o':
            o->start_s = (unsigned)strtoul(optarg, NULL, 10);
            o->placed = true;
            break;
        case 'L':
            o->load.late_ms = strtod(optarg, NULL);
            break;
        case 'C':
            o->cc = optarg[0] == 'c' ? QUIC_CC_CUBIC : QUIC_CC_BBR;
            break;
        case 'x':
            o->least = strtod(optarg, NULL);
            break;
        case 'N':
            o->lanes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            o->load.up = true;
            break;
        case 'p':
            o->plain = true;
            break;
        case 'T':
            o->load.no_tso = true;
            break;
        case 'j':
            o->json = optarg;
            break;
        case 'a':
            o->list = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->seeds && o->seeds <= SEEDS_MAX && o->load.seconds &&
           o->load.seconds <= SPAN_MAX_S && o->start_s <= SPAN_MAX_S;
}

/* Whether name is one of "A,B,C"; NULL = all are. */
static bool chosen(const char *list, const char *name)
{
    size_t len = strlen(name);

    if (!list)
        return true;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strcspn(at, ",") == len && memcmp(at, name, len) == 0)
            return true;
    return false;
}

/* --- running --------------------------------------------------------------------------- */

static void run_row(const struct options *o, const struct cell *cell, const struct carrier *k,
                    unsigned only, struct row *ret)
{
    ret->carrier = k->name;
    ret->link = only == ALL_WANS ? "all" : cell->link[only];
    ret->wan = only == ALL_WANS ? 0 : only + 1;
    for (unsigned i = 0; i < o->seeds; i++) {
        struct scene_opts so = {.cell = cell,
                                .only = only,
                                .seed = o->first_seed + i,
                                .cc = o->cc,
                                .lanes = o->lanes,
                                .plain = o->plain,
                                .placed = o->placed,
                                .start_s = (int)o->start_s};

        ret->run[i] = load_run(&so, k, &o->load);
    }
}

/* The goodput of the rows before added up, seed by seed; it has no other figure. */
static void sum_rows(const struct options *o, const struct row *rows, unsigned n, struct row *ret)
{
    *ret = (struct row){.carrier = rows[0].carrier, .link = "sum"};
    for (unsigned i = 0; i < o->seeds; i++) {
        ret->run[i].valid = true;
        for (unsigned k = 0; k < n; k++) {
            ret->run[i].valid &= rows[k].run[i].valid;
            ret->run[i].figure[FIGURE_GOODPUT] += rows[k].run[i].figure[FIGURE_GOODPUT];
        }
    }
}

/* All rows of one carrier. Returns how many. */
static unsigned run_carrier(const struct options *o, const struct cell *cell,
                            const struct carrier *k, struct row *rows)
{
    unsigned n = 0;

    if (!k->alone) {
        run_row(o, cell, k, ALL_WANS, &rows[0]);
        return 1;
    }
    for (; n < cell->n_wans; n++)
        run_row(o, cell, k, n, &rows[n]);
    if (o->load.load->flows && n > 1) {
        sum_rows(o, rows, n, &rows[n]);
        n++;
    }
    return n;
}

/* --- printing -------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median, least and greatest of the valid runs; false when there is none. */
static bool spread(const struct options *o, const struct row *r, enum figure f, double ret[3])
{
    double v[SEEDS_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < o->seeds; i++)
        if (r->run[i].valid)
            v[n++] = r->run[i].figure[f];
    if (!n)
        return false;
    qsort(v, n, sizeof(v[0]), by_size);
    ret[0] = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    ret[1] = v[0];
    ret[2] = v[n - 1];
    return true;
}

static double median(const struct options *o, const struct row *r, enum figure f)
{
    double v[3] = {0, 0, 0};

    spread(o, r, f, v);
    return v[0];
}

static void print_small(const struct options *o, const struct row *r)
{
    if (o->load.load->flows)
        printf(" %7.1f", median(o, r, FIGURE_P5));
    else
        printf(" %7s", "");
    printf(" %8.1f %7.1f %7.1f %8.2f", median(o, r, FIGURE_P50), median(o, r, FIGURE_P95),
           median(o, r, FIGURE_P99), 100 * median(o, r, FIGURE_LOST));
    if (!o->load.load->flows)
        printf(" %8.2f", 100 * median(o, r, FIGURE_LATE));
}

static void print_row(const struct options *o, const struct row *r)
{
    char name[2 * CELL_NAME_MAX];
    double g[3];

    snprintf(name, sizeof(name), "%s %s", r->carrier, r->link);
    printf("  %-7s %-20s", o->load.load->name, name);
    if (!spread(o, r, FIGURE_GOODPUT, g)) {
        printf(" no way within %u s\n", WARM_S);
        return;
    }
    if (o->load.load->flows)
        printf(" %7.1f (%5.1f-%5.1f)", g[0], g[1], g[2]);
    else
        printf(" %23s", "");
    if (strcmp(r->link, "sum") != 0)
        print_small(o, r);
    printf("\n");
    fflush(stdout);
}

static void print_head(const struct options *o, const struct cell *c)
{
    printf("\n%s (", c->name);
    for (unsigned i = 0; i < c->n_wans; i++)
        printf("%s%s", i ? " + " : "", c->link[i]);
    printf("), %s, %u seeds, %u s\n", o->load.up ? "up" : "down", o->seeds, o->load.seconds);
    printf("  %-7s %-20s %23s %7s %8s %7s %7s %8s %8s\n", "load", "carrier", "goodput Mbit/s", "p5",
           "p50 ms", "p95", "p99", "lost %", "late %");
}

static void json_row(const struct options *o, const struct cell *c, const struct row *r, FILE *out)
{
    static bool another;

    fprintf(out,
            "%s{\"cell\":\"%s\",\"load\":\"%s\",\"direction\":\"%s\",\"carrier\":\"%s\","
            "\"link\":\"%s\",\"wan\":%u,\"seconds\":%u,\"runs\":[",
            another ? ",\n" : "", c->name, o->load.load->name, o->load.up ? "up" : "down",
            r->carrier, r->link, r->wan, o->load.seconds);
    another = true;
    for (unsigned i = 0; i < o->seeds; i++) {
        fprintf(out, "%s{\"seed\":%u,\"valid\":%s", i ? "," : "", o->first_seed + i,
                r->run[i].valid ? "true" : "false");
        for (unsigned f = 0; r->run[i].valid && f < FIGURE_COUNT; f++)
            fprintf(out, ",\"%s\":%.6g", figure_names[f], r->run[i].figure[f]);
        fprintf(out, "}");
    }
    fprintf(out, "]}");
}

/* The bond beside the best line of the same run. False: it is not good enough. */
static bool print_verdict(const struct options *o, const struct verdict *v)
{
    double goodput[3], p5[3], p95[3];

    if (!o->load.load->flows || !verdict_read(v, o->seeds, VERDICT_GOODPUT, goodput))
        return true;
    verdict_read(v, o->seeds, VERDICT_P5, p5);
    verdict_read(v, o->seeds, VERDICT_P95, p95);
    printf("  %-7s %-20s %7.2f (%5.2f-%5.2f) %7.2f %8s %+7.1f%s\n", o->load.load->name,
           "of the best line", goodput[0], goodput[1], goodput[2], p5[0], "", p95[0],
           goodput[0] < o->least ? "  too little" : "");
    return goodput[0] >= o->least;
}

/* --- the matrix ------------------------------------------------------------------------ */

static bool run_load(const struct options *o, const struct cell *c, FILE *json)
{
    static struct row rows[CELL_WANS_MAX + 1];
    static struct verdict verdict;

    verdict = (struct verdict){0};
    for (const struct carrier *k = carriers; k->name; k++) {
        unsigned n = chosen(o->carriers, k->name) ? run_carrier(o, c, k, rows) : 0;

        for (unsigned i = 0; i < n; i++) {
            print_row(o, &rows[i]);
            if (json)
                json_row(o, c, &rows[i], json);
            for (unsigned s = 0; s < o->seeds && strcmp(rows[i].link, "sum") != 0; s++)
                verdict_add(&verdict, s, k->alone, &rows[i].run[s]);
        }
    }
    return print_verdict(o, &verdict);
}

/* False: something is not good enough. */
static bool run_cell(struct options *o, const struct cell *c, FILE *json)
{
    bool good = true;

    print_head(o, c);
    for (const struct load *l = loads; l->name; l++) {
        if (!chosen(o->loads, l->name))
            continue;
        o->load.load = l;
        good &= run_load(o, c, json);
    }
    return good;
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

static bool run_matrix(struct options *o, const struct cells *cells, FILE *json)
{
    bool good = true;

    if (json)
        fprintf(json, "[");
    for (unsigned i = 0; i < cells->n; i++)
        if (chosen(o->cells, cells->cell[i].name))
            good &= run_cell(o, &cells->cell[i], json);
    if (json)
        fprintf(json, "]\n");
    return good;
}

int main(int argc, char **argv)
{
    static struct cells cells;
    char why[WHY_MAX];
    struct options o;
    FILE *json = NULL;
    bool good = true;

    if (!parse_options(argc, argv, &o)) {
        usage();
        return 2;
    }
    if (cells_load(&cells, o.dir, why, sizeof(why)) < 0) {
        fprintf(stderr, "sim-bond: %s\n", why);
        return 1;
    }
    if (o.json && !(json = fopen(o.json, "we"))) {
        perror(o.json);
        return 1;
    }
    if (o.list)
        list_all(&cells);
    else
        good = run_matrix(&o, &cells, json);
    if (json)
        fclose(json);
    cells_done(&cells);
    return good ? 0 : 1;
}
