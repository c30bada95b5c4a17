#include "bench/bond/table.h"

#include <string.h>

static const char *direction(const struct unit *u)
{
    return u->up ? "up" : "down";
}

/* --- every row ------------------------------------------------------------------------- */

void table_head(const struct unit *u, const struct unit_opts *o)
{
    printf("\n%s (", u->cell->name);
    for (unsigned i = 0; i < u->cell->n_wans; i++)
        printf("%s%s", i ? " + " : "", u->cell->link[i]);
    printf("), %s, %u seeds, %u s\n", direction(u), o->seeds, o->load.seconds);
    printf("  %-7s %-20s %23s %7s %8s %7s %7s %8s %8s\n", "load", "carrier", "goodput Mbit/s", "p5",
           "p50 ms", "p95", "p99", "lost %", "late %");
}

static void print_small(const struct unit *u, const struct row *r, unsigned seeds)
{
    if (u->load->flows)
        printf(" %7.1f", row_median(r, seeds, FIGURE_P5));
    else
        printf(" %7s", "");
    printf(" %8.1f %7.1f %7.1f %8.2f", row_median(r, seeds, FIGURE_P50),
           row_median(r, seeds, FIGURE_P95), row_median(r, seeds, FIGURE_P99),
           100 * row_median(r, seeds, FIGURE_LOST));
    if (!u->load->flows)
        printf(" %8.2f", 100 * row_median(r, seeds, FIGURE_LATE));
}

static void print_row(const struct unit *u, const struct row *r, unsigned seeds)
{
    char name[2 * CELL_NAME_MAX];
    double g[3];

    snprintf(name, sizeof(name), "%s %s", r->carrier, r->link);
    printf("  %-7s %-20s", u->load->name, name);
    if (!row_spread(r, seeds, FIGURE_GOODPUT, g)) {
        printf(" no way within %u s\n", WARM_S);
        return;
    }
    if (u->load->flows)
        printf(" %7.1f (%5.1f-%5.1f)", g[0], g[1], g[2]);
    else
        printf(" %23s", "");
    if (!row_is_sum(r))
        print_small(u, r, seeds);
    printf("\n");
}

/* Median, least, greatest of each figure. False: there is nothing to compare. */
static bool read_all(const struct unit *u, unsigned seeds, double ret[VERDICT_FIGURES][3])
{
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        if (!verdict_read(&u->verdict, seeds, f, ret[f]))
            return false;
    return true;
}

static bool misses(double v[VERDICT_FIGURES][3], unsigned f)
{
    return !verdict_reaches(f, v[f][0], verdict_aims[f]);
}

static bool misses_any(double v[VERDICT_FIGURES][3])
{
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        if (misses(v, f))
            return true;
    return false;
}

void table_unit(const struct unit *u, const struct unit_opts *o)
{
    double v[VERDICT_FIGURES][3];

    for (unsigned i = 0; i < u->n_rows; i++)
        print_row(u, &u->row[i], o->seeds);
    if (read_all(u, o->seeds, v))
        printf("  %-7s %-20s %7.2f (%5.2f-%5.2f) %7.2f %8s %+7.1f%s\n", u->load->name,
               "of the best line", v[VERDICT_GOODPUT][0], v[VERDICT_GOODPUT][1],
               v[VERDICT_GOODPUT][2], v[VERDICT_P5][0], "", v[VERDICT_P95][0],
               misses_any(v) ? "  misses" : "");
    fflush(stdout);
}

/* --- one line each --------------------------------------------------------------------- */

/* The medians of a carrier over each line: "28.2 + 20.6"; "-" when it was not measured. */
static void put_lines(FILE *out, const struct unit *u, const char *carrier, unsigned seeds)
{
    const char *before = "";

    for (unsigned i = 0; i < u->n_rows; i++)
        if (u->row[i].wan && strcmp(u->row[i].carrier, carrier) == 0) {
            fprintf(out, "%s%.1f", before, row_median(&u->row[i], seeds, FIGURE_GOODPUT));
            before = " + ";
        }
    fprintf(out, "%s | ", before[0] ? "" : "-");
}

/* The median over seeds of what the bond has of the bare lines added up; 0: not known. */
static double of_the_sum(const struct unit *u, unsigned seeds)
{
    double share[VERDICT_SEEDS_MAX], ret[3] = {0, 0, 0};
    const struct row *sum = NULL;
    unsigned n = 0;

    for (unsigned i = 0; i < u->n_rows; i++)
        if (row_is_sum(&u->row[i]) && strcmp(u->row[i].carrier, "bare") == 0)
            sum = &u->row[i];
    for (unsigned i = 0; sum && i < seeds; i++) {
        double whole = sum->run[i].figure[FIGURE_GOODPUT];

        if (sum->run[i].valid && u->verdict.bond[i].valid && whole > 0)
            share[n++] = u->verdict.bond[i].figure[FIGURE_GOODPUT] / whole;
    }
    verdict_spread(share, n, ret);
    return ret[0];
}

static void put_figure(FILE *out, double v[VERDICT_FIGURES][3], unsigned f)
{
    const char *bold = misses(v, f) ? "**" : "";

    if (f == VERDICT_P95)
        fprintf(out, "%s%+.1f%s |", bold, v[f][0], bold);
    else
        fprintf(out, "%s%.2f%s (%.2f-%.2f) | ", bold, v[f][0], bold, v[f][1], v[f][2]);
}

static void put_line(FILE *out, const struct unit *u, unsigned seeds, double v[VERDICT_FIGURES][3])
{
    struct verdict_best best;

    verdict_best(&u->verdict, seeds, &best);
    fprintf(out, "| %s | %s %s | ", u->cell->name, u->load->name, direction(u));
    put_lines(out, u, "bare", seeds);
    put_lines(out, u, "single", seeds);
    for (unsigned i = 0; i < u->n_rows; i++)
        if (!u->row[i].wan && !row_is_sum(&u->row[i]))
            fprintf(out, "%.1f | ", row_median(&u->row[i], seeds, FIGURE_GOODPUT));
    fprintf(out, "%.2f | %s %s | ", of_the_sum(u, seeds), best.carrier, best.link);
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        put_figure(out, v, f);
    fprintf(out, "\n");
}

void table_matrix(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o)
{
    double v[VERDICT_FIGURES][3];

    fprintf(out, "| cell | load | bare | tunnel over each | bond | of the bare sum | best line | "
                 "goodput | p5 | p95 ms |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (unsigned i = 0; i < n; i++)
        if (read_all(&units[i], o->seeds, v))
            put_line(out, &units[i], o->seeds, v);
}

void table_misses(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o)
{
    unsigned compared = 0, missed = 0;
    double v[VERDICT_FIGURES][3];
    struct verdict_best best;

    for (unsigned i = 0; i < n; i++) {
        const struct unit *u = &units[i];

        if (!read_all(u, o->seeds, v) || !verdict_best(&u->verdict, o->seeds, &best))
            continue;
        compared++;
        if (!misses_any(v))
            continue;
        missed++;
        fprintf(out, "misses: %s %s %s, beside %s %s:", u->cell->name, u->load->name, direction(u),
                best.carrier, best.link);
        if (misses(v, VERDICT_GOODPUT))
            fprintf(out, " goodput %.2f", v[VERDICT_GOODPUT][0]);
        if (misses(v, VERDICT_P5))
            fprintf(out, " p5 %.2f", v[VERDICT_P5][0]);
        if (misses(v, VERDICT_P95))
            fprintf(out, " p95 %+.1f ms", v[VERDICT_P95][0]);
        fprintf(out, "\n");
    }
    if (compared)
        fprintf(out,
                "%u of %u are never worse than one line (goodput %.2f, p5 %.2f, p95 %+.0f ms)\n",
                compared - missed, compared, verdict_aims[VERDICT_GOODPUT],
                verdict_aims[VERDICT_P5], verdict_aims[VERDICT_P95]);
}

/* --- for programs ---------------------------------------------------------------------- */

static void json_head(FILE *out, const struct unit *u, const struct unit_opts *o, bool *another)
{
    fprintf(out,
            "%s{\"cell\":\"%s\",\"load\":\"%s\",\"direction\":\"%s\",\"seconds\":%u,"
            "\"carrier\":",
            *another ? ",\n" : "", u->cell->name, u->load->name, direction(u), o->load.seconds);
    *another = true;
}

static void json_row(FILE *out, const struct row *r, const struct unit_opts *o)
{
    fprintf(out, "\"%s\",\"link\":\"%s\",\"wan\":%u,\"runs\":[", r->carrier, r->link, r->wan);
    for (unsigned i = 0; i < o->seeds; i++) {
        fprintf(out, "%s{\"seed\":%u,\"valid\":%s", i ? "," : "", o->first_seed + i,
                r->run[i].valid ? "true" : "false");
        for (unsigned f = 0; r->run[i].valid && f < FIGURE_COUNT; f++)
            fprintf(out, ",\"%s\":%.6g", figure_names[f], r->run[i].figure[f]);
        fprintf(out, "}");
    }
    fprintf(out, "]}");
}

static void json_verdict(FILE *out, const struct unit *u, double v[VERDICT_FIGURES][3],
                         unsigned seeds)
{
    static const char *const name[] = {"goodput_share", "p5_share", "p95_more_ms"};
    struct verdict_best best;

    verdict_best(&u->verdict, seeds, &best);
    fprintf(out, "\"verdict\",\"link\":\"%s %s\",\"wan\":0,\"of_sum\":%.4g", best.carrier,
            best.link, of_the_sum(u, seeds));
    for (unsigned f = 0; f < VERDICT_FIGURES; f++)
        fprintf(out, ",\"%s\":[%.5g,%.5g,%.5g]", name[f], v[f][0], v[f][1], v[f][2]);
    fprintf(out, ",\"reached\":%s,\"runs\":[]}", misses_any(v) ? "false" : "true");
}

void table_json(FILE *out, const struct unit *units, unsigned n, const struct unit_opts *o)
{
    double v[VERDICT_FIGURES][3];
    bool another = false;

    fprintf(out, "[");
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < units[i].n_rows; k++) {
            json_head(out, &units[i], o, &another);
            json_row(out, &units[i].row[k], o);
        }
        if (read_all(&units[i], o->seeds, v)) {
            json_head(out, &units[i], o, &another);
            json_verdict(out, &units[i], v, o->seeds);
        }
    }
    fprintf(out, "]\n");
}
