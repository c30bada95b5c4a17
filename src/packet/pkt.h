/* Packet buffers and batches.
 *
 * A pkt is one inner IP packet, or one TSO/USO super-packet of up to 64 KiB (gso != none).
 * Packets are moved, never shared: a function whose contract says "consumes" owns the packet
 * afterwards and frees it. They come from a pool of fixed size made at start: no allocation per
 * packet, and an empty pool is a counted drop, not an error. One thing is shared: the last bytes of
 * a packet may be those of another one, which is kept and not changed any more (pkt_borrow()).
 *
 *      buf                    data                 data+len            buf+cap
 *       | headroom ............| packet .............| tailroom ..........|
 *
 * The headroom (PKT_HEADROOM) takes what lower layers put in front: the virtio header, the
 * datagram prefix. Pools have three sizes, because a slow link full of 60-byte ACKs must not pin
 * 64 KiB each: "small" holds any packet of the tunnel MTU, "medium" the super-packet that a kernel
 * makes of a millisecond at up to 100 Mbit/s, "large" any super-packet.
 */
#ifndef PACKET_PKT_H
#define PACKET_PKT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PKT_HEADROOM = 64,
    PKT_SMALL_MAX = 2048,
    PKT_MEDIUM_MAX = 16384,
    PKT_LARGE_MAX = 65536,
    PKT_CLASSES = 3,
    PKT_MEDIUM_PER_LARGE = 4, /* the same bytes in both classes */
    PKT_BATCH_MAX = 64
};

/* What a super-packet is made of; the wire carries exactly this and gso_size. */
enum pkt_gso { PKT_GSO_NONE, PKT_GSO_TCP4, PKT_GSO_TCP6, PKT_GSO_UDP, PKT_GSO_COUNT };

struct pkt {
    struct pkt *next;   /* free list, or the owner's queue */
    uint8_t *data;      /* first byte of the IP header */
    uint32_t len;       /* bytes at data, without those that are borrowed */
    uint32_t cap;       /* bytes from buf to the end of the buffer */
    uint64_t queued_ns; /* when it entered a queue; the queue's */
    uint64_t flow;      /* flow hash (flow.h); the queue's */
    uint16_t gso_size;  /* payload bytes of each segment but the last */
    uint16_t hdr_len;   /* super-packet: bytes of all headers, once super_settle() has found them */
    uint32_t taken;     /* super-packet: payload bytes that have gone already (segment.h) */
    uint8_t gso;        /* enum pkt_gso */
    uint8_t pool_class; /* 0 small, 1 medium, 2 large */
    bool judged;        /* the queue has decided about what is first of it now; the queue's */
    bool mark;          /* the next segment is to be marked CE; set by the queue */
    bool trimmed;       /* its memory has been given away; the pool's */
    /* Checksum still to be completed over [csum_start, len), stored at csum_start+csum_offset;
     * csum_start == 0 means the packet's checksums are complete. Offsets are from data. */
    uint16_t csum_start;
    uint16_t csum_offset;
    uint32_t holders;    /* packets that borrow from this one, and its owner, but for the last */
    struct pkt *lender;  /* whose bytes follow those at data; NULL: nothing is borrowed */
    const uint8_t *rest; /* in the lender's buffer: */
    uint32_t rest_len;
    uint8_t buf[];
};

struct pkt_batch {
    unsigned n;
    struct pkt *v[PKT_BATCH_MAX];
};

struct pkt_pool;

/* Make a pool of n_small small and n_large large buffers, and PKT_MEDIUM_PER_LARGE medium ones for
 * each large one. Returns NULL when out of memory. */
struct pkt_pool *pkt_pool_new(unsigned n_small, unsigned n_large);

/* Destroy the pool. Every packet must have been returned (asserted). Accepts NULL. */
void pkt_pool_free(struct pkt_pool *pool);

/* Take an empty packet (len 0, data after the headroom) of the smallest class with room for size
 * bytes, or NULL when that class has none left. */
struct pkt *pkt_new(struct pkt_pool *pool, size_t size);

/* Give a packet back; its buffer becomes free when nothing is borrowed from it any more. Accepts
 * NULL. */
void pkt_free(struct pkt_pool *pool, struct pkt *pkt);
void pkt_batch_free(struct pkt_pool *pool, struct pkt_batch *batch);

/* Bytes free in front of and behind the packet. */
size_t pkt_headroom(const struct pkt *pkt);
size_t pkt_tailroom(const struct pkt *pkt);

/* Let len bytes of the lender from `at` on follow those of pkt without a copy: the lender lives as
 * long as pkt, or until pkt_settle(). Neither may borrow anything yet, and the lender's bytes stay
 * as they are. */
void pkt_borrow(struct pkt *pkt, struct pkt *lender, uint32_t at, uint32_t len);

/* Copy what is borrowed into the packet's own buffer, which must have room for it. */
void pkt_settle(struct pkt_pool *pool, struct pkt *pkt);

/* Bytes of the packet, with those that are borrowed. */
static inline size_t pkt_total(const struct pkt *pkt)
{
    return (size_t)pkt->len + pkt->rest_len;
}

/* Give away the memory of free buffers that have not been needed since the last call: release() is
 * told whole pages, whose content may be lost. For the medium and large ones, of which a burst
 * touches many; called now and then. */
void pkt_pool_trim(struct pkt_pool *pool, void (*release)(void *pages, size_t len));

/* Number of packets now out of the pool, all classes. */
unsigned pkt_pool_in_use(const struct pkt_pool *pool);

/* Number of packets of the size class of pkt that the pool can still give. */
unsigned pkt_pool_left(const struct pkt_pool *pool, const struct pkt *pkt);

/* Number of packets of a size class that may yet be kept: half of them are for what passes. */
unsigned pkt_pool_spare(const struct pkt_pool *pool, unsigned pool_class);

#endif
