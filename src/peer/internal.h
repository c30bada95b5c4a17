/* What the files of a hub share. Nobody outside this folder includes it.
 *
 *   hub.c      life, the endpoint, packets from the TUN, a new policy
 *   hub_look.c what can be seen
 *   member.c   the life of a peer: lanes come and go, it may be absent for a while
 *   request.c  who asks, and what for: a new peer, a take-over, one more lane
 *   address.c  which addresses it has
 *   tunnel.c   packets of its tunnels, and what else they report
 */
#ifndef PEER_INTERNAL_H
#define PEER_INTERNAL_H

#include "base/heap.h"
#include "peer/hub.h"
#include "peer/lease.h"
#include "peer/past.h"
#include "peer/table.h"

struct member;

/* One tunnel of a peer. */
struct member_lane {
    struct member *member;
    struct member_lane *next;
    struct masque *tunnel;
    struct pack_lane pack; /* packed */
    uint8_t path, number;
    bool open;
};

/* One path of a peer that has a lane: its lanes share what they have in flight. */
struct member_path {
    struct quic_path *quic;
    char name[MASQUE_PATH_NAME_MAX]; /* as the peer calls it; "": it does not say */
    unsigned n_lanes;
    bool open;                   /* path_up has been told */
    uint64_t up_ns;              /* since when */
    struct quic_lane_stats past; /* what lanes that are over have counted */
    uint8_t told;                /* how many lanes the peer was told that we want; 0: not yet, */
    uint64_t told_ns;            /* and when; */
    uint64_t look_ns;            /* when to look again */
};

/* A peer that has a tunnel, or is absent: its session goes on with the next one. */
struct member {
    struct hub *hub;
    unsigned place;            /* in hub.members */
    struct member_lane *lanes; /* in the order in which they came; NULL: it is absent, */
    uint64_t absent_ns;        /* since when */
    struct lease_client *client;
    const struct hub_rule *rule; /* NULL: none */
    struct table_owner owner;
    struct ip_addr kept[LEASE_PEER_MAX]; /* absent: the addresses that it has had */
    unsigned n_kept;
    bool by_token;
    uint64_t token_digest; /* by_token: of the one that it has shown */
    bool open;             /* peer_up has been told */
    uint64_t up_ns;
    size_t packet_max;  /* 0: not known yet */
    unsigned contested; /* times in a row that its place was taken; when it was last */
    uint64_t contested_ns;
    uint64_t bad_sources, bad_ns; /* how many; when the last was */
    struct ip_addr bad;           /* what it came from */
    struct session session;
    struct quic_lane_stats past; /* what lanes that are over have counted since it is up */

    /* Packed: which session of the peer it is, the epoch that it was told, its paths, and when its
     * receiver wants to be woken (in hub.waiting). */
    uint8_t session_id[MASQUE_SESSION_ID], epoch[MASQUE_EPOCH];
    struct member_path *path[MASQUE_PATHS_MAX]; /* NULL: it has no lane */
    struct heap_node timer;
};

struct hub {
    struct hub_opts opts; /* but not the policy */
    struct hub_policy *policy;
    struct siphash_key key;
    struct masque_side side;
    struct quic_endpoint *ep;
    struct table *table;
    struct leases *leases;
    struct fq_flows *flows;   /* of the queues of all peers */
    struct reasm_pool *reasm; /* of all their receivers */
    struct heap waiting;      /* members whose receiver waits for something, by when */
    struct member **members;  /* those that are present, then the absent ones */
    unsigned n_present, n_members, cap_members;
    uint64_t absent_until_ns; /* no absent one has to go before; TIME_NEVER_NS: there is none */
    uint64_t now_ns;
    struct past past;          /* peers that are gone, those that are absent too */
    struct session_stats gone; /* what the sessions of former peers counted */
    size_t packet_max;         /* told last */
    uint64_t age_ns;           /* when to look for packets that wait too long; 0: none wait */
    unsigned recheck_left;     /* members[] below this are still to be looked at again */
    uint64_t recheck_until_ns; /* a lane that asks for a tunnel before may have been let in by
                                * credentials that hold no longer */
    struct hub_peer_id bad_id; /* of the last packet with a bad source */
    struct ip_addr bad_source; /* family 0: none yet */
};

extern const struct masque_ops member_ops; /* tunnel.c */

/* Who has just been refused, for the log. */
void hub_refuse(struct hub *h, const struct quic_lane *lane, const struct hub_peer_id *id,
                const char *why);

/* --- member.c --- */

/* How long the session of a peer without a tunnel is kept. */
#define MEMBER_ABSENT_NS (300 * NS_PER_S)

/* A peer without a lane. NULL: out of memory. */
struct member *member_new(struct hub *h, struct lease_client *client);

/* The peer of that name (and instance, if there may be several) or NULL. */
struct member *member_find(const struct hub *h, const struct hub_peer_id *id);

/* One more lane. NULL: out of memory. */
struct member_lane *member_add_lane(struct member *p, struct masque *m,
                                    const struct masque_join *join);

/* The first lane of a path has opened. */
void member_path_opened(struct member *p, unsigned path, const struct net_addr *remote);

/* The lane is over: what was on its way goes over the others. Without another one the peer is
 * absent, if its session can go on and it may come back, or else gone. */
void member_lane_over(struct member_lane *l, const char *why, bool may_return);

/* All its lanes are over, and their connections closed. Its session begins anew. */
void member_taken_over(struct member *p);

/* The peer is gone, and freed: its lanes are closed. */
void member_close(struct member *p, const char *why);

/* Its certificate holds no longer: its lane is closed with the alert for that. */
void member_reject_lane(struct member_lane *l, enum quic_fail why);

/* The peer of that kind that has been absent longest is gone, or the one of that name. False: there
 * is none. */
bool hub_forget_absent(struct hub *h, const char *name);

/* Those that have been absent too long are gone. */
void hub_age_absent(struct hub *h);

static inline bool member_is_absent(const struct member *p)
{
    return !p->lanes;
}

static inline const struct hub_peer_id *member_id(const struct member *p)
{
    return lease_client_id(p->client);
}

/* --- address.c --- */

/* The addresses that it has become its own again, or are let go. */
void member_rest_addresses(struct member *p);
void member_resume_addresses(struct member *p);

/* One address of each family that the tunnel has, unasked; and all that the peer has. */
int member_send_addresses(struct member *p, struct masque *m);
int member_send_held(struct member *p, struct masque *m);
int member_on_addr_request(struct masque *m, const struct capsule_addrs *req);

/* --- request.c --- */
int member_on_request(struct masque *m, const struct masque_request *req);

/* --- tunnel.c --- */
struct member_lane *member_lane_of(const struct masque *m);

static inline struct hub *hub_of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

/* There is something to pull. */
void member_kick(void *user);

/* Look which lanes wait too long for an answer while another path works. */
void member_watch(void *user);

/* From the session: whether a packet of the tunnel may come in. */
bool member_on_admit(void *user, const struct ip_view *v, enum drop_reason *ret_why);

/* The receivers that wait for something have waited long enough. */
void member_timeout(struct member *p, uint64_t now_ns);

/* Its receiver waits for something else now, or for nothing. */
void member_rearm(struct member *p);

/* It may have to look at something at that time already (TIME_NEVER_NS: no). For every datagram. */
void member_wake_by(struct member *p, uint64_t at_ns);

/* Give the peer those fixed prefixes of its rule that nobody has. */
void member_claim(struct member *p);

/* Tell the largest packet of all peers when it has changed. */
void hub_tell_mtu(struct hub *h);

#endif
