/* The data plane of one session: what happens to an IP packet between the TUN and the tunnel.
 *
 *   out   session_send(): parse, scope check, queue (fq.h), kick() -> session_pull(): a packet, or
 *         the next segment of a super-packet; cut or answered with packet-too-big when it is larger
 *         than one datagram carries
 *   in    session_rx(): parse, scope check, admit() -> deliver()
 *
 * With a peer that speaks the session extension the session is *packed* (doc/protocol.md): then
 *
 *   out   ... queue -> session_pull_packed(): a datagram of packets and ranges (pack.h)
 *   in    session_rx_packed(): reassembly and order (reasm.h), scope check, admit() -> deliver()
 *
 * A session lives longer than the connection under it: it is attached while there is a tunnel that
 * pulls. It knows nothing of what that is. No system call, no clock.
 */
#ifndef BOND_SESSION_H
#define BOND_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/drop.h"
#include "base/log.h"
#include "bond/fq.h"
#include "bond/health.h"
#include "bond/pack.h"
#include "bond/queue.h"
#include "bond/reasm.h"
#include "packet/ip.h"
#include "packet/pkt.h"
#include "wire/class.h"

/* What a TUN carries over a packed session, whatever its paths carry. */
enum { SESSION_MTU = 1500 };

/* The largest packet that a packed session takes from its peer; the TUN has its own MTU. */
enum { SESSION_PACKET_MAX = 9216 };

/* How much a session may have waiting: bytes, and packets as a share of the buffers that nobody has
 * now. A few busy sessions get much of the pool, a hundred of them little each, and there is always
 * something left for the next one (Choudhury and Hahne, "Dynamic Queue Length Thresholds", 1998).
 */
enum { SESSION_QUEUE_BYTES = 1 << 20, SESSION_POOL_SHARE = 4 };

/* What has waited longer is dropped: after an outage nobody wants the packets from before it, and
 * the transport protocols inside have sent them again. */
#define SESSION_AGE_MAX_NS NS_PER_S

struct session_opts {
    struct pkt_pool *pool;       /* borrowed */
    struct drop_counters *drops; /* borrowed */
    struct fq_flows *flows;      /* borrowed, outlives it; NULL: its flows share one queue */
    struct ip_addr own[2];       /* our address per family, the source of packet-too-big; family 0:
                                  * none */

    /* hub: whether a packet may come in (its source is the peer's, its destination permitted);
     * false: *ret_why says how to count it. NULL: everything may. */
    bool (*admit)(void *user, const struct ip_view *v, enum drop_reason *ret_why);
    void *admit_user;

    /* A packet for the TUN: consumes it. */
    void (*deliver)(void *user, struct pkt *pkt);
    /* One that came from the tunnel, whose bytes stay the session's; NULL: deliver() gets a copy.
     */
    void (*receive)(void *user, const uint8_t *data, const struct ip_view *v);
    void *deliver_user; /* of both */

    /* There is something to pull. Only called while attached. */
    void (*kick)(void *user);

    /* Several paths are up, and some are sending: look which lanes wait too long for an answer. May
     * be NULL. */
    void (*watch)(void *user);
    void *kick_user; /* of both */
};

/* Reports that a packed session makes of what it receives, when several lanes are up
 * (session_lanes.c). */
enum { SESSION_GAPS_MAX = 2 * PACKED_GAPS_MAX };

struct session_reports {
    uint64_t delay_ns; /* no DELAY before */
    bool delay_due;    /* the next datagram is to report, */
    uint64_t since_ns; /* since then */
    uint64_t gaps_ns;  /* when to look for what is missing; TIME_NEVER_NS: nothing is open */
    unsigned n_gaps;   /* that the next datagram is to report: */
    struct packed_gap gaps[SESSION_GAPS_MAX];
};

/* What a path loses (session_paths.c). While it is left alone for that, small datagrams that the
 * receiver ignores show whether it still does. */
struct session_health {
    struct health health;
    uint64_t probe_ns; /* when the next one is due */
    bool probe_due;
};

struct session_stats {
    uint64_t tx_packets, tx_bytes; /* given to the path */
    uint64_t rx_packets, rx_bytes; /* delivered */
    uint64_t too_big_answers;
    uint64_t again;  /* packed: datagrams sent again */
    uint64_t gone;   /* packed: lost, and too late to be sent again */
    uint64_t copies; /* packed: datagrams that went over one path more */
};

struct session {
    struct session_opts opts;
    bool attached;
    struct pack *pack;               /* packed: the sender, */
    struct reasm *reasm;             /* and the receiver; else NULL */
    struct session_reports *reports; /* packed */
    struct session_health *health;   /* packed: of SCHED_PATHS paths */
    struct class_table *classes;     /* NULL: those of protocol.md */
    bool is_client;                  /* ... whose end of the tunnel we are */
    struct fq queue;
    struct queue pieces; /* the rest of a packet that was cut, next to go */
    struct queue held;   /* too large for the bound that the path MTU search has proven so far */
    struct session_stats stats; /* but what pack counts: session_stats_get() */
    uint64_t too_big_ns;        /* when the next packet-too-big may go */
    uint64_t watch_ns;          /* packed, several paths: when to look at their lanes */
    enum bond_policy policy;    /* of classes that the table says nothing of */
};

void session_init(struct session *s, const struct session_opts *opts);
void session_done(struct session *s);

/* Our address of its family from now on. */
void session_set_own(struct session *s, const struct ip_addr *own);

void session_attach(struct session *s);

/* The tunnel is gone; what waits is dropped: it would be stale when the next one is up. */
void session_detach(struct session *s);

/* A packet or super-packet from the TUN: consumes it. */
void session_send(struct session *s, uint64_t now_ns, struct pkt *pkt);

/* The same for a packet that has been parsed (ip_view_parse_pkt). */
void session_send_view(struct session *s, uint64_t now_ns, struct pkt *pkt,
                       const struct ip_view *v);

/* False when a packet must not cross a tunnel, whichever way (RFC 9484, 7); *ret_why says why. */
bool session_scope_ok(const struct ip_view *v, enum drop_reason *ret_why);

/* What has been counted since session_init(). */
void session_stats_get(const struct session *s, struct session_stats *ret);

/* *sum += *s */
void session_stats_add(struct session_stats *sum, const struct session_stats *s);

/* Packets that wait. */
unsigned session_queued(const struct session *s);

/* Drop what has waited too long, though nobody pulls. True when something waits still. */
bool session_age(struct session *s, uint64_t now_ns);

/* The next packet of at most max bytes for the tunnel, or NULL. The caller takes it. */
struct pkt *session_pull(struct session *s, uint64_t now_ns, size_t max, bool mtu_known);

/* An IP packet from the tunnel. */
void session_rx(struct session *s, const uint8_t *data, size_t len);

/* --- packed (session_packed.c) ---------------------------------------------------------------- */

/* From now on the session is packed, with what it has sent and received so far if it was before.
 * pool: borrowed, outlives it. Returns 0 or -ENOMEM (it is as it was). */
int session_set_packed(struct session *s, struct reasm_pool *pool);

/* The peer has forgotten the session, or is another one: forget all numbers and all that is held.
 * Lanes must be done. */
void session_begin_anew(struct session *s);

/* It is packed no longer; also part of session_done(). Lanes must be done. */
void session_set_plain(struct session *s);

/* The next datagram for a lane, of at most max bytes; burst: what the lane sends in a millisecond.
 * NULL: none. What becomes of it is told by the calls below, as in pack.h. */
struct pkt *session_pull_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                                size_t max, size_t burst);
void session_sent(struct session *s, struct pack_lane *lane, uint64_t id, struct pkt *dgram);
void session_unsent(struct session *s, uint64_t now_ns, struct pkt *dgram); /* plain: drops it */
void session_acked(struct session *s, struct pack_lane *lane, uint64_t id);
void session_lost(struct session *s, struct pack_lane *lane, uint64_t now_ns, uint64_t id);

/* The classes from now on, copied; NULL: as without a table. client: we are the end that tells
 * them. May be called while the session is plain. Returns 0; -ESTALE when the table's serial is
 * below the last one's; -ENOMEM. */
int session_set_classes(struct session *s, const struct class_table *table, bool client);

/* A lane is up under that number (16 times its path plus its own), as both ends call it; it joins
 * those of the session, which is packed (else nothing happens). */
void session_lane_begin(struct session *s, struct pack_lane *lane, uint8_t number);

/* The lane is gone, or gets no answers: what it has on its way, and the rest of what it was in the
 * middle of, goes again over the others. It may begin again. */
void session_lane_done(struct session *s, struct pack_lane *lane, uint64_t now_ns);

/* Of several paths only. The lane gets no answers, though it has waited long enough for one
 * (session_opts.watch): what it has on its way goes again over the others. Or it has got one again.
 * A path of which all lanes are suspect takes nothing while another one works; it is given up when
 * give_up_ns of all of them has come. */
void session_lane_suspect(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                          uint64_t give_up_ns);
void session_lane_trusted(struct session *s, struct pack_lane *lane);

/* What the client says of a path: its status, priority and weight. */
void session_set_path(struct session *s, const struct path_report *report);

/* How packets are spread over the paths, unless the table of classes says so. BOND_FAILOVER also
 * says that failover in that table is meant, not priority. */
void session_set_policy(struct session *s, enum bond_policy policy);

/* A lane of a session with several paths is suspect after this time without an answer. A call over
 * a path that dies then has a gap of this, a round trip and the way over the other path. */
#define SESSION_SUSPECT_NS (100 * NS_PER_MS)

/* What is gone for less than this comes back as if nothing had been: a handover, a
 * reconfiguration. A lane has been suspect for too long when an answer would have come in spite of
 * such a gap. */
#define SESSION_GAP_NS (150 * NS_PER_MS)

/* Whether several paths are up. */
static inline bool session_has_paths(const struct session *s)
{
    return s->pack && pack_paths_up(s->pack) > 1;
}

/* Whether the path has a lane that is not suspect; whether it is up, has none, and it is no short
 * gap; whether another one has one; whether the policy gives the path packets now. */
bool session_path_works(const struct session *s, unsigned path);
bool session_path_given_up(const struct session *s, unsigned path);

bool session_other_path_works(const struct session *s, unsigned path);
bool session_path_in_use(const struct session *s, unsigned path);

/* What is wrong with a path that is up. TROUBLE_SUSPECT: it is given up; TROUBLE_LOSSY: it is not,
 * but loses so much that it is used only when there is no other. */
enum path_trouble { TROUBLE_NONE, TROUBLE_SUSPECT, TROUBLE_LOSSY };
enum path_trouble session_path_trouble(const struct session *s, unsigned path);

/* Failover: whether the path is the one in use, but for short gaps. */
bool session_path_is_current(const struct session *s, unsigned path);

/* What is known of a path, to be looked at. */
struct session_path_info {
    enum path_trouble trouble; /* as above */
    bool in_use;
    uint32_t priority, weight; /* 0 while nothing has been said of them */
    uint64_t rate;             /* bytes a second that it delivers when it is full; 0: not known */
    uint64_t extra_ns;         /* how much longer it takes than the fastest one, as far as known */
    uint64_t taken_over;  /* datagrams sent over it that have gone again over others, because it did
                           * not answer or the receiver missed them */
    struct reasm_path rx; /* of what came over it */
};
void session_path_info(const struct session *s, unsigned path, struct session_path_info *ret);

/* As session_age(), of what has been sent over the lane and is kept. */
bool session_age_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns);

/* A packed datagram that came over that lane. */
void session_rx_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                       const uint8_t *data, size_t len);

/* The lane's smoothed round trip and its variation (RFC 9002, 5.3), by which the session knows how
 * long to wait for what is missing; due some dozens of times a second while packets come in. */
static inline bool session_lane_rtt_due(const struct pack_lane *lane, uint64_t now_ns)
{
    return lane->up && now_ns >= lane->rtt_due_ns;
}
void session_lane_rtt(struct session *s, struct pack_lane *lane, uint64_t now_ns, uint64_t rtt_ns,
                      uint64_t var_ns);

/* The lane's least round trip, and what its path delivers in a second when it is full, in bytes; 0:
 * not known; and how much more queue than a steady one the path keeps because it varies: as much
 * longer packets may wait before CoDel takes that for too many. */
void session_lane_can(struct session *s, struct pack_lane *lane, uint64_t rtt_min_ns, uint64_t rate,
                      uint64_t vary_ns);

/* How many datagrams of the lane's path have been acknowledged and lost, ever. */
void session_path_fate(struct session *s, const struct pack_lane *lane, uint64_t now_ns,
                       uint64_t acked, uint64_t lost);

/* How much longer a datagram takes over this lane than over the fastest one that is up, and how far
 * these times are spread, by the peer's last reports. Returns 0, or -ENOENT when there is none of
 * the lane. */
int session_lane_delay(const struct session *s, const struct pack_lane *lane,
                       uint64_t *ret_extra_ns, uint64_t *ret_spread_ns);

/* When session_timeout() wants to be called; TIME_NEVER_NS when never. */
uint64_t session_deadline_ns(const struct session *s);
void session_timeout(struct session *s, uint64_t now_ns);

#endif
