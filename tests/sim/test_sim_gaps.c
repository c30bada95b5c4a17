/* No path is given up on a short gap: every line that is shipped (lab/links) is played beside a
 * calm one, and whenever one end gives a path up, its line must have been silent for long.
 *
 * usage: test_sim_gaps DIRECTORY-OF-LINKS [SEEDS] [SECONDS]
 *
 * How long a line is silent is told by packets of its own, one every 5 ms each way. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "bond.h"

#include "peer/internal.h" /* the session of the hub's peer */

enum { LINKS_MAX = 64, BEATS = 1024, BEAT_BYTES = 40, NAME_BYTES = 256, PATH_BYTES = 1024 };

#define BEAT_NS (5 * NS_PER_MS)
#define SHORT_NS (150 * NS_PER_MS)
#define LATELY_NS NS_PER_S /* a gap counts so long after its end */

/* --- how long a line was silent --------------------------------------------------------------- */

struct beats {
    struct sim *sim;
    struct link *link;
    struct net_addr dst;
    struct sim_sink sink;
    struct sim_event timer;
    uint64_t at_ns[BEATS]; /* of the last ones that arrived */
    uint64_t n;
};

static void beat_arrives(struct sim_sink *sink, struct sim_dgram *d)
{
    struct beats *x = container_of(sink, struct beats, sink);

    x->at_ns[x->n++ % BEATS] = x->sim->now_ns;
    sim_dgram_free(x->sim, d);
}

static void beat(struct sim_event *ev)
{
    struct beats *x = container_of(ev, struct beats, timer);
    struct sim_dgram *d = sim_dgram_new(x->sim, BEAT_BYTES);

    memset(d->data, 0, BEAT_BYTES);
    d->dst = x->dst;
    link_sink(x->link)->put(link_sink(x->link), d);
    sim_set(x->sim, &x->timer, x->sim->now_ns + BEAT_NS);
}

static void beats_begin(struct beats *x, struct sim *sim, struct link *link, struct router *far)
{
    *x = (struct beats){.sim = sim, .link = link, .dst = net_addr_lit("192.0.2.99", 9)};
    x->sink.put = beat_arrives;
    x->timer.fire = beat;
    router_add(far, &x->dst, &x->sink);
    sim_set(sim, &x->timer, sim->now_ns);
}

/* The longest silence that has not ended for longer than LATELY_NS. */
static uint64_t longest_gap_ns(const struct beats *x)
{
    uint64_t end_ns = x->sim->now_ns, longest_ns = 0;

    for (uint64_t k = x->n; k > 0 && k + BEATS > x->n; k--) {
        uint64_t at_ns = x->at_ns[(k - 1) % BEATS];

        longest_ns = MAX(longest_ns, end_ns - at_ns);
        if (at_ns + LATELY_NS < x->sim->now_ns)
            break;
        end_ns = at_ns;
    }
    return longest_ns;
}

/* --- who gives up ------------------------------------------------------------------------------
 */

struct watch {
    struct bond *b;
    struct beats up, down;
    bool given_up[2][2];   /* by end and path */
    unsigned all, hasty;   /* times that the line was given up; that it was not silent for long */
    unsigned of_the_other; /* times that the calm one was */
    uint64_t least_ns;     /* the shortest silence that it was given up for */
};

static const struct session *session_of(const struct watch *w, unsigned end)
{
    if (!end)
        return edge_session(w->b->t->edge);
    return w->b->t->hub->n_members ? &w->b->t->hub->members[0]->session : NULL;
}

static void note(struct watch *w, unsigned path)
{
    uint64_t gap_ns = MAX(longest_gap_ns(&w->up), longest_gap_ns(&w->down));

    if (path) {
        w->of_the_other++;
        return;
    }
    w->all++;
    w->hasty += gap_ns < SHORT_NS;
    w->least_ns = MIN(w->least_ns, gap_ns);
}

static bool look(void *user)
{
    struct watch *w = user;

    for (unsigned end = 0; end < 2; end++)
        for (unsigned path = 0; path < 2; path++) {
            const struct session *s = session_of(w, end);
            bool is = s && session_has_paths(s) && session_path_given_up(s, path);

            if (is && !w->given_up[end][path])
                note(w, path);
            w->given_up[end][path] = is;
        }
    return false;
}

/* --- the lines ---------------------------------------------------------------------------------
 */

struct trace_file {
    char name[NAME_BYTES];
    struct wan_trace trace;
};

static struct trace_file links[LINKS_MAX];
static unsigned n_links, n_seeds = 1, n_seconds = 40;

static void play(struct bond *b, const struct wan_trace *t, uint64_t seed)
{
    struct link_opts calm = {
        .rate_bps = 50000000, .delay_ns = 10 * NS_PER_MS, .queue_bytes = 250000};
    struct link_opts up = link_opts_of(&t->step[0].dir[WAN_UP]);
    struct link_opts down = link_opts_of(&t->step[0].dir[WAN_DOWN]);
    struct rng rng;
    uint64_t from_ns;

    *b = (struct bond){.sim = sim_new(seed), .n = 2};
    wan_init(&b->wan[0], b->sim, "wan0", &up, &down);
    wan_init(&b->wan[1], b->sim, "wan1", &calm, &calm);
    sim_rng(b->sim, "start", &rng);
    from_ns = t->period_ns ? rng_below(&rng, t->period_ns) : 0;
    link_play(b->wan[0].up, t, WAN_UP, from_ns);
    link_play(b->wan[0].down, t, WAN_DOWN, from_ns);
}

/* Calls both ways, and with bulk a transfer each way. */
static void run(const struct trace_file *f, uint64_t seed, bool bulk, struct watch *w)
{
    struct tunnel_opts o = usual();
    struct tcp *tcp[2] = {NULL};
    struct cbr *call[2];
    struct bond b;

    play(&b, &f->trace, seed);
    bond_open(&b, &o);
    w->b = &b;
    memset(w->given_up, 0, sizeof(w->given_up));
    beats_begin(&w->up, b.sim, b.wan[0].up, &b.wan[0].at_hub);
    beats_begin(&w->down, b.sim, b.wan[0].down, &b.wan[0].at_edge);
    for (unsigned up = 0; up < 2; up++) {
        call[up] = tunnel_cbr(b.t, up, NULL);
        cbr_start(call[up]);
        if (bulk)
            tcp_start(tcp[up] = tunnel_tcp(b.t, up, &(struct tcp_opts){.tso = TCP_TSO_WHOLE}));
    }
    sim_run_cond(b.sim, n_seconds * NS_PER_S, look, w);
    for (unsigned up = 0; up < 2; up++) {
        cbr_free(call[up]);
        tcp_free(tcp[up]);
    }
    sim_unset(b.sim, &w->up.timer);
    sim_unset(b.sim, &w->down.timer);
    bond_done(&b);
}

static void no_line_is_given_up_on_a_short_gap(void **state)
{
    unsigned hasty = 0, all = 0;

    for (unsigned i = 0; i < n_links; i++)
        for (unsigned bulk = 0; bulk < 2; bulk++) {
            struct watch w = {.least_ns = UINT64_MAX};

            for (uint64_t seed = 1; seed <= n_seeds; seed++)
                run(&links[i], seed, bulk, &w);
            print_message("%s%s: given up %u times", links[i].name, bulk ? ", bulk" : "", w.all);
            if (w.all)
                print_message(", the shortest silence %.0f ms, %u too short",
                              (double)w.least_ns / 1e6, w.hasty);
            print_message("; the calm line %u times\n", w.of_the_other);
            hasty += w.hasty + w.of_the_other;
            all += w.all;
        }
    assert_int_equal(hasty, 0);
    assert_true(all > 0); /* there are long gaps too */
}

/* --- begin -------------------------------------------------------------------------------------
 */

static int is_link(const struct dirent *d)
{
    const char *end = strrchr(d->d_name, '.');

    return end && !strcmp(end, ".link");
}

static bool load(const char *dir)
{
    struct dirent **found;
    int n = scandir(dir, &found, is_link, alphasort);

    for (int i = 0; i < n; i++) {
        char path[PATH_BYTES];
        unsigned line;

        if (n_links < LINKS_MAX) {
            snprintf(path, sizeof(path), "%s/%s", dir, found[i]->d_name);
            snprintf(links[n_links].name, NAME_BYTES, "%s", found[i]->d_name);
            if (wan_trace_load(&links[n_links].trace, path, &line))
                return false;
            n_links++;
        }
        free(found[i]);
    }
    if (n >= 0)
        free(found);
    return n > 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_line_is_given_up_on_a_short_gap),
    };
    int failed;

    if (argc < 2 || !load(argv[1])) {
        fprintf(stderr, "usage: %s DIRECTORY-OF-LINKS [SEEDS] [SECONDS]\n", argv[0]);
        return 2;
    }
    if (argc > 2)
        n_seeds = (unsigned)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        n_seconds = (unsigned)strtoul(argv[3], NULL, 10);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (unsigned i = 0; i < n_links; i++)
        wan_trace_done(&links[i].trace);
    return failed;
}
