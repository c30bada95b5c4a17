/* What the files of a hub share. Nobody outside this folder includes it.
 *
 *   hub.c     life, the endpoint, packets from the TUN, a new policy, what can be seen
 *   member.c  who comes and goes: identity, take-over, addresses, packets of the tunnel
 */
#ifndef PEER_INTERNAL_H
#define PEER_INTERNAL_H

#include "base/heap.h"
#include "peer/hub.h"
#include "peer/lease.h"
#include "peer/past.h"
#include "peer/table.h"

/* One peer that has a tunnel. */
struct member {
    struct hub *hub;
    unsigned place; /* in hub.members */
    struct masque *tunnel;
    struct lease_client *client;
    const struct hub_rule *rule; /* NULL: none */
    struct table_owner owner;
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

    /* Packed: which session of the peer it is, the epoch that it was told, the lane, and when its
     * receiver wants to be woken (in hub.waiting). */
    uint8_t session_id[MASQUE_SESSION_ID], epoch[MASQUE_EPOCH];
    struct pack_lane lane;
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
    struct member **members;
    unsigned n_members, cap_members;
    struct past past;          /* peers that are gone */
    struct session_stats gone; /* what the sessions of former peers counted */
    size_t packet_max;         /* told last */
    uint64_t age_ns;           /* when to look for packets that wait too long; 0: none wait */
    unsigned recheck_left;     /* members[] below this are still to be looked at again */
    uint64_t recheck_until_ns; /* a lane that asks for a tunnel before may have been let in by
                                * credentials that hold no longer */
    struct hub_peer_id bad_id; /* of the last packet with a bad source */
    struct ip_addr bad_source; /* family 0: none yet */
};

extern const struct masque_ops member_ops;

/* Who has just been refused, for the log. */
void hub_refuse(struct hub *h, const struct quic_lane *lane, const struct hub_peer_id *id,
                const char *why);

/* The peer has its tunnel no longer, and is freed. The tunnel is not touched. */
void member_release(struct member *p, const char *why);

/* The same, and its connection is closed. */
void member_close(struct member *p, const char *why);

/* The receivers that wait for something have waited long enough. */
void member_timeout(struct member *p, uint64_t now_ns);

/* Give the peer those fixed prefixes of its rule that nobody has. */
void member_claim(struct member *p);

/* Tell the largest packet of all peers when it has changed. */
void hub_tell_mtu(struct hub *h);

#endif
