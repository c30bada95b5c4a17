/* A source and sink of DATAGRAMs above src/quic, in the place where masque stands in the product:
 * it has always another packet to pull, and counts what arrives.
 *
 * One struct bulk is one end of one path (of all lanes of a peer, on a hub). For experiments with
 * congestion control, where the tunnel's own packets do not matter.
 */
#ifndef SIM_BULK_H
#define SIM_BULK_H

#include "quic/quic.h"
#include "sim/hist.h"
#include "sim/host.h"

enum { BULK_HEAD_BYTES = 17, BULK_BIN_MS = 100 };

struct bulk_stats {
    uint64_t since_ns;
    uint64_t tx;           /* datagrams pulled */
    uint64_t acked, lost;  /* as the congestion control sees them */
    uint64_t rx, rx_bytes; /* datagrams from the peer and their payload */
    uint64_t rx_reordered; /* came after one that was pulled later */
    uint64_t probes;       /* path MTU probes received */
    struct hist delay;     /* from pull to arrival */
};

struct bulk {
    struct sim *sim;
    struct host *host;
    size_t dgram_bytes; /* payload of each datagram; 0 = as large as the lane carries */
    uint64_t to_send;   /* datagrams still to be pulled; UINT64_MAX = without end */
    struct quic_path *path[QUIC_LANES_MAX];
    unsigned n_paths;
    unsigned lanes_up, lanes_down; /* events so far */
    struct quic_fail_info why;     /* of the last lane that ended */
    uint64_t last_down_ns;
    uint64_t next_seq, rx_next_seq;
    struct bulk_stats stats;
    uint64_t *bin; /* payload bytes received in each BULK_BIN_MS since the start of the run */
    size_t n_bins;
};

extern const struct quic_path_ops bulk_ops; /* with a struct bulk as the path's user */

void bulk_init(struct bulk *b, struct sim *sim, struct host *host);
void bulk_done(struct bulk *b);

/* A path that belongs to it: kicked when there is something to send. */
void bulk_add_path(struct bulk *b, struct quic_path *path);

/* Send n more datagrams (UINT64_MAX: without end); stop sending. */
void bulk_send(struct bulk *b, uint64_t n);
void bulk_stop(struct bulk *b);

void bulk_stats_reset(struct bulk *b);

/* Payload received per second since the last reset, and in one span of the run given in seconds
 * of virtual time (to the BULK_BIN_MS). */
double bulk_goodput_bps(const struct bulk *b);
double bulk_goodput_between_bps(const struct bulk *b, double from_s, double to_s);

/* The most of a link's rate that payload can take when every datagram fills a packet of the given
 * MTU (IPv4): headers of IP, UDP, QUIC and DATAGRAM taken off. */
double bulk_ceiling(uint32_t mtu);

#endif
