/* bench-sim: congestion control of a path, in virtual time with the real ngtcp2.
 *
 * Runs every item of the plan with every seed in worker processes, prints medians with least and
 * greatest, and holds the default policy against the targets. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "bench/sim/plan.h"

enum { SEEDS_MAX = 100, FIGURES = sizeof(struct result) / sizeof(double) };

struct options {
    bool quick, trace;
    unsigned jobs, seeds;
    const char *json, *group, *policy;
};

struct shared {
    unsigned next; /* job to be taken, by atomic increment */
    struct result result[];
};

struct spread {
    struct result median, least, most;
};

/* --- running ---------------------------------------------------------------------------- */

static void work(const struct plan_item *item, size_t n, unsigned seeds, struct shared *sh)
{
    unsigned total = (unsigned)n * seeds, i;

    while ((i = __atomic_fetch_add(&sh->next, 1, __ATOMIC_RELAXED)) < total) {
        const struct plan_item *it = &item[i / seeds];

        run_one(&it->sc, it->po, 1 + i % seeds, false, &sh->result[i]);
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r%u of %u runs ", i + 1, total);
    }
}

static int run_all(const struct plan_item *item, size_t n, const struct options *o,
                   struct shared *sh)
{
    int failed = 0, status;

    for (unsigned j = 0; j < o->jobs; j++) {
        pid_t pid = fork();

        if (pid < 0)
            return -errno;
        if (!pid) {
            work(item, n, o->seeds, sh);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed |= status;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%40s\r", "");
    return failed ? -EIO : 0;
}

/* --- medians ---------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct spread spread_of(const struct result *r, unsigned n)
{
    struct spread s;
    double v[SEEDS_MAX], figure[3][FIGURES];

    for (size_t f = 0; f < FIGURES; f++) {
        for (unsigned i = 0; i < n; i++)
            memcpy(&v[i], (const char *)&r[i] + f * sizeof(double), sizeof(double));
        qsort(v, n, sizeof(v[0]), by_value);
        figure[0][f] = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
        figure[1][f] = v[0];
        figure[2][f] = v[n - 1];
    }
    memcpy(&s.median, figure[0], sizeof(s.median));
    memcpy(&s.least, figure[1], sizeof(s.least));
    memcpy(&s.most, figure[2], sizeof(s.most));
    return s;
}

/* --- output ----------------------------------------------------------------------------- */

static const char *starts(const struct scenario *sc)
{
    if (sc->foreign == FOREIGN_NONE)
        return "";
    if (sc->foreign_until_s > 0)
        return "ends";
    return sc->own_at_s > 0 ? "first" : sc->foreign_at_s > 0 ? "second" : "both";
}

static void print_item(const struct plan_item *it, const struct spread *s)
{
    const struct scenario *sc = &it->sc;
    const struct result *m = &s->median;

    printf("%-12s %-12s %4.0f %4.0f %5.0f %4.1f %-5s %-6s %5.3f %5.3f-%5.3f %5.3f %5.1f %5.1f "
           "%4.1f %4.1f %4.1f\n",
           sc->group, it->po->name, sc->rate_mbps, sc->rtt_ms, sc->buffer_ms, 100 * sc->loss,
           plan_foreign_name(sc->foreign), starts(sc), m->share, s->least.share, s->most.share,
           m->foreign, m->queue_ms, m->queue_p95_ms, m->startup_s, m->recover_s, m->lanes);
}

static void print_head(void)
{
    printf("group        policy       Mbit  RTT   buf loss other starts  share of ceiling  "
           "other queue   p95 strt rcvr lanes\n"
           "                           /s    ms    ms    %%             median  min-max          "
           "  ms    ms    s    s\n");
}

static void write_json(FILE *f, const struct plan_item *it, const struct spread *s, bool last)
{
    const struct scenario *sc = &it->sc;

    fprintf(
        f,
        "  {\"group\": \"%s\", \"policy\": \"%s\", \"rate_mbps\": %g, \"rtt_ms\": %g, "
        "\"buffer_ms\": %g, \"loss\": %g, \"jitter_ms\": %g, \"halve_s\": %g, "
        "\"foreign\": \"%s\", \"own_at_s\": %g, \"foreign_at_s\": %g,\n   "
        "\"share\": [%.4f, %.4f, %.4f], \"foreign_share\": %.4f, \"queue_ms\": %.2f, "
        "\"queue_p95_ms\": %.2f, \"startup_s\": %.1f, \"recover_s\": %.1f, \"lanes\": %.1f}%s\n",
        sc->group, it->po->name, sc->rate_mbps, sc->rtt_ms, sc->buffer_ms, sc->loss, sc->jitter_ms,
        sc->halve_s, plan_foreign_name(sc->foreign), sc->own_at_s, sc->foreign_at_s, s->least.share,
        s->median.share, s->most.share, s->median.foreign, s->median.queue_ms,
        s->median.queue_p95_ms, s->median.startup_s, s->median.recover_s, s->median.lanes,
        last ? "" : ",");
}

/* --- targets ---------------------------------------------------------------------------- */

struct verdict {
    unsigned n, ok;
    double worst; /* the figure furthest on the wrong side */
};

static void judge(struct verdict *v, double figure, double limit, bool at_least)
{
    bool worse = at_least ? figure < v->worst : figure > v->worst;

    if (!v->n++ || worse)
        v->worst = figure;
    v->ok += at_least ? figure >= limit : figure <= limit;
}

static void say(const char *what, const struct verdict *v, const char *unit)
{
    if (v->n)
        printf("%-44s %-11s %u of %u lines, worst %.3f%s\n", what,
               v->ok == v->n ? "reached" : "NOT REACHED", v->ok, v->n, v->worst, unit);
}

static void print_targets(const struct plan_item *item, const struct spread *s, size_t n,
                          bool base_only)
{
    static const double loss[] = {0, 0.01, 0.02, 0.03}, least[] = {0.97, 0.95, 0.90, 0.80};
    struct verdict share[ARRAY_LEN(loss)] = {{0}}, mean = {0}, p95 = {0}, low = {0}, high = {0};
    char what[64];

    for (size_t i = 0; i < n; i++) {
        const struct scenario *sc = &item[i].sc;
        const struct result *m = &s[i].median;
        bool base = !strcmp(sc->group, "loss") || !strcmp(sc->group, "foreign");

        if (item[i].po != plan_default || base != base_only || sc->halve_s > 0 ||
            sc->foreign_until_s > 0 || sc->foreign == FOREIGN_SAME)
            continue;
        if (sc->foreign != FOREIGN_NONE) {
            judge(&low, m->share, 0.35, true);
            judge(&high, m->share, 0.65, false);
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(loss); k++)
            if (sc->loss == loss[k])
                judge(&share[k], m->share, least[k], true);
        judge(&mean, m->queue_ms, 5, false);
        judge(&p95, m->queue_p95_ms, 15, false);
    }
    for (size_t k = 0; k < ARRAY_LEN(loss); k++) {
        snprintf(what, sizeof(what), "  share >= %.2f at %.0f %% loss", least[k], 100 * loss[k]);
        say(what, &share[k], "");
    }
    say("  mean queue <= 5 ms", &mean, " ms");
    say("  95th percentile of the queue <= 15 ms", &p95, " ms");
    say("  share >= 0.35 beside one foreign flow", &low, "");
    say("  share <= 0.65 beside one foreign flow", &high, "");
}

static int report(const struct plan_item *item, size_t n, const struct options *o,
                  const struct shared *sh)
{
    struct spread *s = calloc(n ? n : 1, sizeof(*s));
    FILE *f = NULL;

    if (!s)
        return -ENOMEM;
    print_head();
    for (size_t i = 0; i < n; i++) {
        s[i] = spread_of(&sh->result[i * o->seeds], o->seeds);
        print_item(&item[i], &s[i]);
    }
    printf(
        "\nTargets, policy \"%s\", medians of %u seeds; at 100 Mbit/s, 20 ms, 40 ms of buffer:\n",
        plan_default->name, o->seeds);
    print_targets(item, s, n, true);
    printf("On all other lines:\n");
    print_targets(item, s, n, false);
    if (o->json)
        f = fopen(o->json, "w");
    if (f) {
        fprintf(f, "[\n");
        for (size_t i = 0; i < n; i++)
            write_json(f, &item[i], &s[i], i + 1 == n);
        fprintf(f, "]\n");
        fclose(f);
    }
    free(s);
    return o->json && !f ? -errno : 0;
}

/* --- options ---------------------------------------------------------------------------- */

static int usage(FILE *out)
{
    fprintf(out, "usage: bench-sim [--quick] [--jobs N] [--seeds N] [--group NAME] "
                 "[--policy NAME] [--json FILE] [--trace]\n"
                 "  --quick  fewer lines, 3 seeds: under two minutes\n"
                 "  --trace  one line for each 100 ms of the first seed, no statistics\n");
    return out == stderr ? 2 : 0;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"quick", no_argument, NULL, 'q'},
                                          {"jobs", required_argument, NULL, 'n'},
                                          {"seeds", required_argument, NULL, 's'},
                                          {"group", required_argument, NULL, 'g'},
                                          {"policy", required_argument, NULL, 'p'},
                                          {"json", required_argument, NULL, 'j'},
                                          {"trace", no_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int c;

    *o = (struct options){.jobs = 2};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'q':
            o->quick = true;
            break;
        case 'n':
            o->jobs = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            o->seeds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'g':
            o->group = optarg;
            break;
        case 'p':
            o->policy = optarg;
            break;
        case 'j':
            o->json = optarg;
            break;
        case 't':
            o->trace = true;
            break;
        case 'h':
            exit(usage(stdout));
        default:
            return -EINVAL;
        }
    }
    if (!o->seeds)
        o->seeds = o->quick ? 3 : 20;
    return o->jobs && o->jobs <= 64 && o->seeds <= SEEDS_MAX && optind == argc ? 0 : -EINVAL;
}

static size_t choose(struct plan_item *item, size_t n, const struct options *o)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if ((!o->group || !strcmp(o->group, item[i].sc.group)) &&
            (!o->policy || !strcmp(o->policy, item[i].po->name)))
            item[kept++] = item[i];
    return kept;
}

int main(int argc, char **argv)
{
    struct options o;
    struct plan_item *item;
    struct shared *sh;
    size_t n, size;
    int rv;

    if (parse(argc, argv, &o))
        return usage(stderr);
    n = plan_make(o.quick, &item);
    n = choose(item, n, &o);
    if (o.trace) {
        for (size_t i = 0; i < n; i++) {
            struct spread s = {{0}};

            run_one(&item[i].sc, item[i].po, 1, true, &s.median);
            print_item(&item[i], &s);
        }
        free(item);
        return 0;
    }
    size = sizeof(*sh) + n * o.seeds * sizeof(struct result);
    sh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sh == MAP_FAILED)
        return 1;
    rv = run_all(item, n, &o, sh);
    if (!rv)
        rv = report(item, n, &o, sh);
    if (rv)
        fprintf(stderr, "bench-sim: %s\n", strerror(-rv));
    munmap(sh, size);
    free(item);
    return rv ? 1 : 0;
}
