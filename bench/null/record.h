/* The stream of inner packets and the records it is cut into. No I/O.
 *
 * A sender lays inner packets one after the other, each behind a frame header; the stream is then
 * cut at a fixed size without regard to packets, and each piece is sealed into the payload of one
 * UDP packet (the idea of RFC 9347): records have equal size, small packets share one, and a
 * super-packet is never segmented.
 *
 *   stream   | frame hdr | super-packet ........................ | frame hdr | ACK | ...
 *   records  [ piece 0 ........ ][ piece 1 ........ ][ piece 2 ........ ][ rest ]
 *
 *   UDP      | flags 1 | id 8 | number 4 | sealed: first 2, piece | tag 16 |
 *                  RECORD_HDR_LEN
 *
 * `first` is the offset of the first frame that begins in the piece, or RECORD_NO_FIRST: where a
 * receiver starts again after a loss. A lost record costs the packets it held parts of.
 *
 * Nothing is copied but by the cipher. Before sealing, `first` is written over the two bytes in
 * front of the piece (they are sealed already), and a receiver opens a record two bytes back from
 * the end of its stream and then restores these two bytes.
 *
 * A frame header is: kind 1, offset of the TCP or UDP header 1, gso_size 2, packet length 2.
 */
#ifndef NULL_RECORD_H
#define NULL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "aead.h"

enum {
    RECORD_HDR_LEN = 13,
    RECORD_FIRST_LEN = 2,
    RECORD_OVERHEAD = RECORD_HDR_LEN + RECORD_FIRST_LEN + AEAD_TAG_LEN,
    RECORD_NO_FIRST = 0xffff,
    FRAME_HDR_LEN = 6,
    FRAME_PACKET_MAX = 65535,
    STREAM_CAP = 4 * 65536,
};

enum frame_kind { FRAME_PLAIN, FRAME_TCP4, FRAME_TCP6, FRAME_UDP, FRAME_KIND_COUNT };

struct frame {
    uint8_t kind;      /* enum frame_kind */
    uint8_t l4_offset; /* of the TCP or UDP header; 0 when FRAME_PLAIN */
    uint16_t gso_size; /* payload of one segment; 0 when FRAME_PLAIN */
    uint16_t len;      /* bytes of the packet */
};

/* The sending half. */
struct packer {
    const struct aead *aead;
    uint8_t *buf;       /* RECORD_FIRST_LEN of headroom, then the stream */
    size_t start;       /* first byte that is not sealed yet */
    size_t end;         /* behind the last frame */
    size_t next_frame;  /* first frame that begins at or behind start */
    size_t record_size; /* bytes of a full UDP payload */
    uint64_t pn;        /* number of the next record */
};

/* record_size must be above RECORD_OVERHEAD. Returns 0 or -ENOMEM. */
int packer_init(struct packer *p, const struct aead *aead, size_t record_size);
void packer_done(struct packer *p);

/* Room for a packet of FRAME_PACKET_MAX bytes behind the stream, or NULL when records must be
 * taken first. */
uint8_t *packer_room(struct packer *p);

/* Append the packet described by frame, whose bytes were put at packer_room(). */
void packer_add(struct packer *p, const struct frame *frame);

/* Number of full records that wait; whether anything waits. */
size_t packer_full_records(const struct packer *p);
bool packer_empty(const struct packer *p);

/* Seal up to max_records into dst, one behind the other; only the last may be short. Room needed:
 * max_records * record_size. Returns the number of bytes written (0 when the stream is empty) or
 * a negative errno of the cipher. */
ssize_t packer_take(struct packer *p, unsigned max_records, uint8_t *dst);

/* The receiving half. */
struct unpacker {
    const struct aead *aead;
    uint8_t *buf;
    size_t start;     /* first byte of the frame that is not complete yet */
    size_t end;       /* behind the last byte received */
    bool synced;      /* start is the beginning of a frame */
    uint64_t next_pn; /* the record that continues the stream */
    uint64_t n_records;
    uint64_t n_bad;  /* records that did not open or did not parse */
    uint64_t n_old;  /* records older than one already seen */
    uint64_t n_gaps; /* times the stream was cut by a missing record */
};

/* Called for each complete packet. The bytes are valid until it returns. */
typedef void unpacker_packet_fn(void *arg, const struct frame *frame, uint8_t *packet);

int unpacker_init(struct unpacker *u, const struct aead *aead);
void unpacker_done(struct unpacker *u);

/* Open one UDP payload and hand every packet that it completes to fn. Bad input is counted. */
void unpacker_put(struct unpacker *u, const uint8_t *payload, size_t len, unpacker_packet_fn *fn,
                  void *arg);

#endif
