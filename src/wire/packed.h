/* Packed datagrams: the payload of a DATAGRAM with Context ID 2 (doc/protocol.md, "The session
 * extension"). Pure encoding and decoding; what the frames mean is bond's.
 *
 *      struct packed_reader r;
 *      packed_open(&r, data, len, &head);
 *      while (packed_next(&r, &frame) > 0)
 *              ...
 */
#ifndef WIRE_PACKED_H
#define WIRE_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/pkt.h"

enum {
    PACKED_CONTEXT = 2,
    PACKED_CLASSES = 8,
    PACKED_FLOWS = 4096, /* flow numbers are below */
    PACKED_SEQ_MASK = 0xffffff,
    PACKED_TIME_MASK = 0xffffff,
    PACKED_UNIT_MAX = 65535,
    PACKED_SEGMENT_MIN = 48,
    PACKED_SEGMENTS_MAX = 128,
    PACKED_GAPS_MAX = 32,
    PACKED_HEAD_MAX = 4,
    PACKED_PACKET_HEAD_MAX = 1 + 2 + 3 + 4,
    PACKED_RANGE_HEAD_MAX = 1 + 2 + 3 + 1 + 4 + 2 + 4,
    PACKED_DELAY_MAX = 1 + 1 + 3 + 3 + 4
};

enum packed_type {
    PACKED_PACKET,
    PACKED_RANGE,
    PACKED_GONE,
    PACKED_GAPS,
    PACKED_DELAY,
};

struct packed_head {
    uint8_t class;
    bool has_time;
    uint32_t time; /* 24 bits */
};

struct packed_frame {
    enum packed_type type;
    bool has_seq;     /* PACKET: flow and seq stand; true for RANGE and GONE */
    bool first;       /* RANGE: the beginning of the unit: kind, total and segment stand */
    uint8_t kind;     /* enum pkt_gso: PKT_GSO_NONE = one IP packet */
    uint16_t flow;    /* below PACKED_FLOWS */
    uint16_t segment; /* payload bytes per segment of a run */
    uint32_t seq;     /* 24 bits */
    uint32_t offset;  /* RANGE */
    uint32_t total;   /* RANGE with first: bytes of the unit */
    uint32_t count;   /* GONE: units; GAPS: entries */
    const uint8_t *data;
    uint32_t len; /* PACKET, RANGE: bytes at data, at least 1; GAPS: of the entries */
    struct {
        uint8_t lane;
        uint32_t time, least; /* 24 bits each */
        uint32_t spread;
    } delay;
};

struct packed_gap {
    uint16_t flow;
    uint32_t seq;
    uint32_t offset, len; /* len 0: to the end of the unit */
};

struct packed_reader {
    const uint8_t *p, *end;
};

/* Begin to read a datagram. Returns 0, or -EBADMSG (empty, a reserved bit, or cut short). */
int packed_open(struct packed_reader *r, const uint8_t *data, size_t len,
                struct packed_head *ret_head);

/* The next frame, whose data point into the datagram. Returns 1; 0 at the end (or at a PAD);
 * -EBADMSG for a frame that cannot be: nothing behind it can be read. Only for the types that it
 * belongs to a field is set. What is checked: lengths, that a range lies within PACKED_UNIT_MAX and
 * its own total, kind, segment size, numbers of flows and counts. */
int packed_next(struct packed_reader *r, struct packed_frame *ret);

/* The entries of a GAPS frame that packed_next() has checked; returns how many. */
unsigned packed_gaps(const struct packed_frame *f, struct packed_gap ret[PACKED_GAPS_MAX]);

/* Each of these writes to p, which has room for cap bytes, and returns the length, or 0 when there
 * is too little room or a value is out of range (nothing useful is written then). */
size_t packed_put_head(uint8_t *p, size_t cap, const struct packed_head *head);

/* The head of a PACKET or RANGE: f without its data, which follow; with_len: Length is written and
 * further frames may follow the data. */
size_t packed_put_frame(uint8_t *p, size_t cap, const struct packed_frame *f, bool with_len);
size_t packed_put_gone(uint8_t *p, size_t cap, const struct packed_frame *f);
size_t packed_put_gaps(uint8_t *p, size_t cap, const struct packed_gap *gaps, unsigned n);
size_t packed_put_delay(uint8_t *p, size_t cap, const struct packed_frame *f);

/* a - b of two sequence numbers, from -2^23 to 2^23 - 1. */
static inline int32_t packed_seq_diff(uint32_t a, uint32_t b)
{
    return (int32_t)((a - b) << 8) >> 8;
}

#endif
