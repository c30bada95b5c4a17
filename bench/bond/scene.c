#include "bench/bond/scene.h"

#include <stdio.h>

#include "base/util.h"

enum { UP_WITHIN_S = 30, APART_S = 7, TUNNEL_PKTS = 16384, TUNNEL_LARGE = 256, BARE_MTU = 1500 };

static bool exists(const struct scene *s, unsigned i)
{
    return i < s->opts.cell->n_wans && (s->opts.only == ALL_WANS || s->opts.only == i);
}

/* Where in its trace a line begins. */
static uint64_t place(const struct scene *s, unsigned i)
{
    uint64_t period_ns = s->opts.cell->trace[i].period_ns;
    int64_t from_ns = (s->opts.start_s + APART_S * (int)i) * (int64_t)NS_PER_S;
    struct rng rng;
    char name[32];

    if (!period_ns)
        return (uint64_t)MAX(from_ns, 0);
    if (s->opts.placed) {
        while (from_ns < 0)
            from_ns += (int64_t)period_ns;
        return (uint64_t)from_ns;
    }
    snprintf(name, sizeof(name), "wan%u.start", i + 1);
    sim_rng(s->sim, name, &rng);
    return rng_below(&rng, period_ns);
}

/* Both directions of a line play its trace from the same time on. */
static void make_line(struct scene *s, unsigned i)
{
    const struct wan_trace *t = &s->opts.cell->trace[i];
    struct link_opts up = link_opts_of(&t->step[0].dir[WAN_UP]);
    struct link_opts down = link_opts_of(&t->step[0].dir[WAN_DOWN]);
    uint64_t from_ns = place(s, i);
    char name[32];

    snprintf(name, sizeof(name), "wan%u", i + 1);
    wan_init(&s->wan[i], s->sim, name, &up, &down);
    link_play(s->wan[i].up, t, WAN_UP, from_ns);
    link_play(s->wan[i].down, t, WAN_DOWN, from_ns);
}

void scene_init(struct scene *s, const struct scene_opts *opts)
{
    *s = (struct scene){.opts = *opts, .sim = sim_new(opts->seed)};
    for (unsigned i = 0; i < CELL_WANS_MAX; i++)
        if (exists(s, i))
            make_line(s, i);
}

void scene_done(struct scene *s)
{
    for (unsigned i = 0; i < CELL_WANS_MAX; i++)
        if (exists(s, i))
            wan_done(&s->wan[i]);
    sim_free(s->sim);
}

/* --- bare: the line itself ------------------------------------------------------------- */

static bool bare_open(struct scene *s)
{
    struct wan *w = &s->wan[s->opts.only];
    struct net_addr edge = net_addr_lit("10.0.0.1", 0), hub = net_addr_lit("10.0.0.2", 0);

    s->edge_in = link_sink(w->up);
    s->hub_in = link_sink(w->down);
    s->edge_out = &w->at_edge;
    s->hub_out = &w->at_hub;
    s->edge = net_addr_ip(&edge);
    s->hub = net_addr_ip(&hub);
    s->packet_max = BARE_MTU;
    return true;
}

static void bare_close(struct scene *s)
{
}

/* --- single: our tunnel over one line --------------------------------------------------- */

static bool open_tunnel(struct scene *s, struct tunnel *t)
{
    s->tunnel = t;
    if (!tunnel_wait_up(t, UP_WITHIN_S * NS_PER_S))
        return false;
    s->edge_in = &t->edge_tun;
    s->hub_in = &t->hub_tun;
    s->edge_out = &t->edge_lan;
    s->hub_out = &t->hub_lan;
    s->edge = t->edge_inner.addr;
    s->hub = t->hub_inner.addr;
    s->packet_max = (unsigned)MIN(t->at_edge.packet_max, t->at_hub.packet_max);
    s->takes_supers = true;
    return true;
}

static const struct tunnel_opts tunnel_with = {
    .packed = true, .lanes = 16, .n_pkts = TUNNEL_PKTS, .n_large = TUNNEL_LARGE};

static bool single_open(struct scene *s)
{
    struct tunnel_opts o = tunnel_with;

    o.cc = s->opts.cc;
    o.packed = !s->opts.plain;
    if (s->opts.lanes)
        o.lanes = s->opts.lanes;
    return open_tunnel(s, tunnel_new(&s->wan[s->opts.only], &o));
}

static void single_close(struct scene *s)
{
    tunnel_free(s->tunnel);
}

/* --- bond: one session over all lines ---------------------------------------------------- */

static bool all_paths_are_up(void *user)
{
    const struct tunnel *t = user;

    for (unsigned i = 0; i < t->n_paths; i++)
        if (!edge_lanes(t->edge, i))
            return false;
    return true;
}

static bool bond_open(struct scene *s)
{
    struct tunnel_opts o = tunnel_with;
    struct tunnel *t;

    if (s->opts.lanes)
        o.lanes = s->opts.lanes;
    o.cc = s->opts.cc;
    o.policy = s->opts.policy;
    o.n_more = s->opts.cell->n_wans - 1;
    for (unsigned i = 0; i < o.n_more; i++)
        o.more[i] = &s->wan[i + 1];
    t = tunnel_new(&s->wan[0], &o);
    if (!open_tunnel(s, t))
        return false;
    sim_run_cond(s->sim, NS_PER_S, all_paths_are_up, t); /* one may be down now */
    return true;
}

const struct carrier carriers[] = {
    {.name = "bare", .alone = true, .open = bare_open, .close = bare_close},
    {.name = "single", .alone = true, .open = single_open, .close = single_close},
    {.name = "bond", .open = bond_open, .close = single_close},
    {.name = NULL},
};
