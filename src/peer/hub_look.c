/* What can be seen of a hub. */
#include <stdio.h>

#include "base/util.h"
#include "peer/internal.h"

unsigned hub_peers(const struct hub *h)
{
    return h->n_present;
}

unsigned hub_kept(const struct hub *h)
{
    return h->n_members - h->n_present;
}

/* Of all lanes together; times, sizes and the certificate of the first. */
static void fill_lanes(const struct member *p, struct hub_peer_info *ret)
{
    const struct member_lane *first = p->lanes;

    ret->remote = *quic_lane_remote(masque_lane(first->tunnel));
    ret->cert_until_s = quic_lane_peer_until_s(masque_lane(first->tunnel));
    ret->packet_max = p->packet_max ? masque_packet_max(first->tunnel) : 0;
    ret->n_lanes = 0;
    for (const struct member_lane *l = first; l; l = l->next) {
        struct quic_lane_stats st;

        quic_lane_stats(masque_lane(l->tunnel), &st);
        if (!ret->n_lanes++)
            ret->lane = st;
        else
            quic_lane_stats_add(&ret->lane, &st);
    }
    quic_lane_stats_add(&ret->lane, &p->past);
}

bool hub_peer_info(const struct hub *h, unsigned i, struct hub_peer_info *ret)
{
    const struct member *p = i < h->n_present ? h->members[i] : NULL;

    if (!p)
        return false;
    ret->id = *member_id(p);
    ret->up_ns = p->up_ns;
    ret->n_addr = lease_held(p->client, ret->addr);
    ret->n_prefix = table_fixed(&p->owner, ret->prefix, HUB_PREFIXES_MAX);
    table_learned(&p->owner, ret->learned, HUB_INFO_LEARNED_MAX);
    ret->n_learned = p->owner.n_learned;
    ret->contested = p->contested;
    ret->contested_ns = p->contested_ns;
    ret->bad_sources = p->bad_sources;
    ret->bad_ns = p->bad_ns;
    ret->bad = p->bad;
    session_stats_get(&p->session, &ret->session);
    ret->queued = session_queued(&p->session);
    ret->queued_bytes = p->session.queue.bytes + p->session.held.bytes;
    fill_lanes(p, ret);
    return true;
}

static void fill_path(const struct member *p, unsigned number, struct hub_path_info *ret)
{
    const struct member_path *path = p->path[number];

    *ret = (struct hub_path_info){.number = number, .up_ns = path->up_ns};
    snprintf(ret->name, sizeof(ret->name), "%s", path->name);
    session_path_info(&p->session, number, &ret->session);
    for (const struct member_lane *l = p->lanes; l; l = l->next) {
        const struct quic_lane *quic = masque_lane(l->tunnel);
        struct quic_lane_stats st;

        if (l->path != number)
            continue;
        quic_lane_stats(quic, &st);
        if (ret->n_lanes++) {
            quic_lane_stats_add(&ret->lane, &st);
            continue;
        }
        ret->lane = st;
        ret->remote = *quic_lane_remote(quic);
        ret->packet_max = masque_packet_max(l->tunnel);
        ret->mtu_known = quic_lane_mtu_known(quic);
    }
    quic_lane_stats_add(&ret->lane, &path->past);
    ret->in_use = session_has_paths(&p->session) ? ret->session.in_use : true;
    ret->trouble = session_has_paths(&p->session) ? ret->session.trouble : TROUBLE_NONE;
}

unsigned hub_peer_paths(const struct hub *h, unsigned i, struct hub_path_info ret[MASQUE_PATHS_MAX])
{
    const struct member *p = i < h->n_present ? h->members[i] : NULL;
    unsigned n = 0;

    for (unsigned k = 0; p && k < MASQUE_PATHS_MAX; k++)
        if (p->path[k])
            fill_path(p, k, &ret[n++]);
    return n;
}

unsigned hub_absentees(const struct hub *h)
{
    return h->past.n;
}

bool hub_absent_info(const struct hub *h, unsigned i, struct hub_absent_info *ret)
{
    if (i >= h->past.n)
        return false;
    *ret = h->past.v[i];
    return true;
}

struct session_stats hub_totals(const struct hub *h)
{
    struct session_stats sum = h->gone, stats;

    for (unsigned i = 0; i < h->n_members; i++) {
        session_stats_get(&h->members[i]->session, &stats);
        session_stats_add(&sum, &stats);
    }
    return sum;
}

unsigned hub_leases(const struct hub *h)
{
    return leases_count(h->leases);
}

bool hub_bad_source(const struct hub *h, struct hub_peer_id *ret_id, struct ip_addr *ret_src)
{
    if (!h->bad_source.family)
        return false;
    *ret_id = h->bad_id;
    *ret_src = h->bad_source;
    return true;
}

unsigned hub_lanes(const struct hub *h)
{
    return quic_endpoint_lanes(h->ep);
}

void hub_endpoint_stats(const struct hub *h, struct quic_endpoint_stats *ret)
{
    quic_endpoint_stats(h->ep, ret);
}
