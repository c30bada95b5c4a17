/* One run's network: an edge and a hub with a line between them for each WAN of a cell, and the
 * carrier that takes packets from one to the other.
 *
 *      edge_in -> carrier --- wan 1 --- carrier -> hub_out
 *                       \---- wan 2 ---/
 *                             ...
 */
#ifndef BENCH_BOND_SCENE_H
#define BENCH_BOND_SCENE_H

#include "bench/bond/cells.h"
#include "sim/tunnel.h"

enum { ALL_WANS = CELL_WANS_MAX };

struct scene_opts {
    const struct cell *cell;
    unsigned only; /* the one WAN that exists, or ALL_WANS */
    uint64_t seed;
    enum quic_cc cc;
    enum bond_policy policy; /* of a bond */
    unsigned lanes;          /* that a path may have; 0: as many as there can be */
    bool plain;              /* tunnels without the session extension */
    bool placed; /* the traces begin at start_s, the second WAN's 7 s later, and so on, instead of
                  * where the seed draws: as uplinks.py plays them */
    int start_s; /* negative: before the end of a trace that repeats */
};

/* Packets put to edge_in come out at the router hub_out, and back, by their destination. */
struct scene {
    struct scene_opts opts;
    struct sim *sim;
    struct wan wan[CELL_WANS_MAX]; /* those that exist */
    struct sim_sink *edge_in, *hub_in;
    struct router *edge_out, *hub_out;
    struct ip_addr edge, hub; /* inside */
    unsigned packet_max;      /* the largest IP packet */
    bool takes_supers;        /* TCP hands over super-packets whole */
    struct tunnel *tunnel;
};

/* A way from the edge to the hub. `alone`: over one WAN (opts.only), so it is measured over each;
 * otherwise it finds all of them in the scene. open() sets what follows the lines in struct scene,
 * lets time pass as it needs, and returns false when there is no way within 30 s. */
struct carrier {
    const char *name;
    bool alone;
    bool (*open)(struct scene *s);
    void (*close)(struct scene *s);
};

/* All carriers there are, in the order of the tables. The last has no name. */
extern const struct carrier carriers[];

/* The lines begin somewhere in their traces: where, is drawn from the seed unless it is given, and
 * the same for every carrier. */
void scene_init(struct scene *s, const struct scene_opts *opts);
void scene_done(struct scene *s);

#endif
