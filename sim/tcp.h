/* A modelled TCP or QUIC flow of real IPv4 packets: one sender with endless (or so many) bytes, one
 * receiver that reads at once.
 *
 * Sender: SACK scoreboard, loss detection by RACK-TLP (RFC 8985), recovery by proportional rate
 * reduction (RFC 6937, slow start reduction bound), CUBIC and HyStart of Linux (tcp_cubic.h),
 * retransmission timer of RFC 6298 with Linux's floor of 200 ms. No pacing: segments leave when
 * acknowledgements let them, as Linux does with CUBIC on a queue other than fq.
 * Receiver: an acknowledgement for every second segment or after 40 ms, at once for the first 16
 * and whatever is out of order; up to four SACK blocks; a fixed window.
 *
 * With `tso` segments leave in super-packets (tcp_tso.h), as a kernel hands them to a TUN, or cut
 * behind it, as a network card does. The receiver answers one that arrives whole, as by GRO, at
 * once.
 *
 * With `quic` the same flow is carried in UDP packets and behaves as a QUIC sender (RFC 9002):
 * paced at 1.25 windows a round trip with bursts of ten, a packet is lost when one sent three later
 * has arrived, or 9/8 of a round trip have passed since it was sent and a later one arrived; that
 * never adapts to reordering. Acknowledgements wait 25 ms at most. The headers are TCP's, whose
 * 20 bytes stand for those of a short header packet with its tag.
 *
 * Left out: timestamps, DSACK and the undoing of spurious reductions, F-RTO, ECN, closing. Segments
 * are cut at multiples of the MSS and cut anew by nothing.
 *
 *      sender -> to_receiver ... (network) ... at_receiver
 *      at_sender ... (network) ... <- to_sender <- receiver
 */
#ifndef SIM_TCP_H
#define SIM_TCP_H

#include "sim/sim.h"
#include "sim/tcp_cubic.h"

enum tcp_tso {
    TCP_TSO_OFF,
    TCP_TSO_CUT,  /* the segments of a super-packet leave one by one, at once: a network card */
    TCP_TSO_WHOLE /* super-packets leave whole: a TUN */
};

struct tcp_opts {
    struct net_addr src, dst; /* IPv4 address and port of sender and receiver */
    unsigned mss;             /* payload of a segment; 0 = 1460, or 1330 with quic */
    enum tcp_tso tso;         /* not with quic */
    bool quic;
    uint64_t rwnd_bytes;   /* 0 = 16 MiB */
    uint64_t bytes;        /* how much to send; 0 = without end */
    unsigned initial_cwnd; /* segments; 0 = 10 */
    bool no_hystart;
};

struct tcp_stats {
    uint64_t since_ns;
    uint64_t delivered_bytes; /* in order to the receiver's application */
    uint64_t segments;        /* data segments sent, retransmissions included */
    uint64_t retransmits, recoveries, timeouts, probes;
    uint64_t supers; /* packets of more than one segment sent */
    uint64_t rx_bad; /* packets with a wrong header or checksum */
};

struct tcp_segment;
struct tcp_block {
    uint64_t left, right;
};
enum { TCP_BLOCKS_MAX = 4, TCP_QUICK_ACKS = 16 };

struct tcp_sender {
    struct sim_sink sink; /* acknowledgements come in here */
    uint64_t una, nxt;    /* bytes; the SYN is not counted */
    bool established, syn_sent;
    struct cubic cubic;
    uint64_t srtt_ns, rttvar_ns, rtt_min_ns, rto_ns;
    unsigned backoff;

    /* Scoreboard: a ring by segment number; sent ones not yet delivered also in a list by time of
     * sending. */
    struct tcp_segment *ring;
    size_t mask;
    uint32_t oldest, newest; /* ends of that list, ring indices; UINT32_MAX = empty */
    uint64_t in_flight;      /* segments thought to be in the network */
    uint64_t sacked, lost_waiting;
    uint64_t lost_hint; /* no lost segment that waits is below this number */
    struct tcp_block seen[TCP_BLOCKS_MAX];

    /* RACK: the delivered segment that was sent last */
    uint64_t rack_sent_ns, rack_end, rack_rtt_ns, rack_order;
    uint64_t next_order; /* of the transmissions */
    uint64_t highest_delivered;
    bool reordering;

    bool in_recovery, in_loss;
    uint64_t recovery_end;
    double prr_delivered, prr_out, prr_flight, prr_cwnd;

    uint64_t burst_from, burst_to; /* the super-packet that is being made; equal = none */
    uint64_t last_write_ns;
    uint64_t pace_ns; /* quic: when the next packet may leave */

    int timer_kind;
    struct sim_event timer, pace;
    struct sim_sink *out;
};

struct tcp_receiver {
    struct sim_sink sink;  /* data comes in here */
    uint64_t next;         /* first byte not yet received in order */
    struct tcp_block *ooo; /* sorted, disjoint */
    size_t n_ooo, cap_ooo;
    uint64_t recent[TCP_BLOCKS_MAX]; /* bytes in the blocks reported last, newest first */
    unsigned n_recent;
    unsigned unacked;
    uint64_t acks;
    struct sim_event delack;
    struct sim_sink *out;
};

struct tcp {
    struct sim *sim;
    struct tcp_opts opts;
    struct tcp_sender snd;
    struct tcp_receiver rcv;
    struct tcp_stats stats;
    uint16_t ip_id;
    uint64_t *bin; /* bytes delivered in each second since the start of the run */
    size_t n_bins;
    bool done; /* all bytes acknowledged */
    uint64_t done_ns;
};

/* to_receiver takes the sender's packets, to_sender the receiver's; both borrowed. What comes out
 * at the far ends is to be put into tcp->rcv.sink and tcp->snd.sink. */
struct tcp *tcp_new(struct sim *sim, const struct tcp_opts *opts, struct sim_sink *to_receiver,
                    struct sim_sink *to_sender);
void tcp_free(struct tcp *t);

/* Begin with the SYN now. */
void tcp_start(struct tcp *t);

void tcp_stats_reset(struct tcp *t);
double tcp_goodput_bps(const struct tcp *t);

/* Between two whole seconds of the run. */
double tcp_goodput_between_bps(const struct tcp *t, unsigned from_s, unsigned to_s);

#endif
