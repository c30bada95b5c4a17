#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { RECORD_FLAGS = 0x43, RECORD_PN_OFFSET = 9 };

static const uint8_t record_id[8] = {'n', 'u', 'l', 'l', 't', 'u', 'n', '0'};

static void frame_write(uint8_t *p, const struct frame *frame)
{
    p[0] = frame->kind;
    p[1] = frame->l4_offset;
    store_be16(p + 2, frame->gso_size);
    store_be16(p + 4, frame->len);
}

static struct frame frame_read(const uint8_t *p)
{
    return (struct frame){
        .kind = p[0],
        .l4_offset = p[1],
        .gso_size = load_be16(p + 2),
        .len = load_be16(p + 4),
    };
}

int packer_init(struct packer *p, const struct aead *aead, size_t record_size)
{
    uint8_t *buf = malloc(STREAM_CAP);

    if (buf == NULL)
        return -ENOMEM;
    *p = (struct packer){
        .aead = aead,
        .buf = buf,
        .start = RECORD_FIRST_LEN,
        .end = RECORD_FIRST_LEN,
        .next_frame = RECORD_FIRST_LEN,
        .record_size = record_size,
    };
    return 0;
}

void packer_done(struct packer *p)
{
    free(p->buf);
    p->buf = NULL;
}

/* Bring what is left of the stream back to the front of the buffer. */
static void packer_compact(struct packer *p)
{
    size_t shift = p->start - RECORD_FIRST_LEN;

    if (shift == 0)
        return;
    memmove(p->buf + RECORD_FIRST_LEN, p->buf + p->start, p->end - p->start);
    p->start -= shift;
    p->end -= shift;
    p->next_frame -= shift;
}

uint8_t *packer_room(struct packer *p)
{
    packer_compact(p);
    if (STREAM_CAP - p->end < FRAME_HDR_LEN + FRAME_PACKET_MAX)
        return NULL;
    return p->buf + p->end + FRAME_HDR_LEN;
}

void packer_add(struct packer *p, const struct frame *frame)
{
    frame_write(p->buf + p->end, frame);
    p->end += FRAME_HDR_LEN + frame->len;
}

size_t packer_full_records(const struct packer *p)
{
    return (p->end - p->start) / (p->record_size - RECORD_OVERHEAD);
}

bool packer_empty(const struct packer *p)
{
    return p->start == p->end;
}

/* Where the first frame begins in the piece [start, end), and walk next_frame behind the piece.
 * Frames are appended whole, so that a header beginning in the piece can be read to its end. */
static uint16_t packer_first(struct packer *p, size_t end)
{
    size_t first = p->next_frame;

    while (p->next_frame < end)
        p->next_frame += FRAME_HDR_LEN + frame_read(p->buf + p->next_frame).len;
    return first < end ? (uint16_t)(first - p->start) : RECORD_NO_FIRST;
}

ssize_t packer_take(struct packer *p, unsigned max_records, uint8_t *dst)
{
    size_t piece_max = p->record_size - RECORD_OVERHEAD;
    uint8_t *out = dst;

    for (unsigned i = 0; i < max_records && !packer_empty(p); i++) {
        size_t piece = MIN(piece_max, p->end - p->start);
        uint8_t *src = p->buf + p->start - RECORD_FIRST_LEN;
        int r;

        store_be16(src, packer_first(p, p->start + piece));
        out[0] = RECORD_FLAGS;
        memcpy(out + 1, record_id, sizeof(record_id));
        store_be32(out + RECORD_PN_OFFSET, (uint32_t)p->pn);
        r = aead_seal(p->aead, p->pn, out, RECORD_HDR_LEN, src, RECORD_FIRST_LEN + piece,
                      out + RECORD_HDR_LEN);
        if (r < 0)
            return r;
        p->pn++;
        p->start += piece;
        out += RECORD_OVERHEAD + piece;
    }
    return out - dst;
}

int unpacker_init(struct unpacker *u, const struct aead *aead)
{
    uint8_t *buf = malloc(STREAM_CAP);

    if (buf == NULL)
        return -ENOMEM;
    *u = (struct unpacker){
        .aead = aead,
        .buf = buf,
        .start = RECORD_FIRST_LEN,
        .end = RECORD_FIRST_LEN,
    };
    return 0;
}

void unpacker_done(struct unpacker *u)
{
    free(u->buf);
    u->buf = NULL;
}

static void unpacker_reset(struct unpacker *u)
{
    u->start = RECORD_FIRST_LEN;
    u->end = RECORD_FIRST_LEN;
    u->synced = false;
}

/* The full number nearest to the one expected (RFC 9000, A.3, for 4 bytes). */
static uint64_t pn_decode(uint64_t expected, uint32_t truncated)
{
    const uint64_t window = UINT64_C(1) << 32;
    uint64_t pn = (expected & ~(window - 1)) | truncated;

    if (pn + window / 2 <= expected)
        return pn + window;
    if (pn > expected + window / 2 && pn >= window)
        return pn - window;
    return pn;
}

/* Hand over the complete frames at the front of the stream. */
static void unpacker_deliver(struct unpacker *u, unpacker_packet_fn *fn, void *arg)
{
    while (u->end - u->start >= FRAME_HDR_LEN) {
        struct frame frame = frame_read(u->buf + u->start);
        size_t size = FRAME_HDR_LEN + (size_t)frame.len;

        if (frame.len == 0 || frame.kind >= FRAME_KIND_COUNT) {
            u->n_bad++;
            unpacker_reset(u);
            return;
        }
        if (u->end - u->start < size)
            return;
        fn(arg, &frame, u->buf + u->start + FRAME_HDR_LEN);
        u->start += size;
    }
}

/* Make room for a piece: an empty stream starts at the front again, a part of a frame is moved
 * there when the buffer ends. */
static void unpacker_compact(struct unpacker *u, size_t piece)
{
    size_t shift = u->start - RECORD_FIRST_LEN;

    if (shift == 0 || (u->start != u->end && STREAM_CAP - u->end >= piece))
        return;
    memmove(u->buf + RECORD_FIRST_LEN, u->buf + u->start, u->end - u->start);
    u->start -= shift;
    u->end -= shift;
}

/* Take the opened piece at the end of the stream, of which the first frame begins at first. */
static void unpacker_append(struct unpacker *u, size_t piece, uint16_t first)
{
    u->end += piece;
    if (u->synced)
        return;
    if (first < piece) {
        u->start = u->end - piece + first;
        u->synced = true;
    } else {
        unpacker_reset(u);
    }
}

/* Open a record at the end of the stream, without taking it. Returns 0 and its `first`, or
 * -EBADMSG; the stream is unchanged either way. */
static int unpacker_open(struct unpacker *u, uint64_t pn, const uint8_t *payload, size_t piece,
                         uint16_t *ret_first)
{
    uint8_t *dst = u->buf + u->end - RECORD_FIRST_LEN;
    uint8_t saved[RECORD_FIRST_LEN];
    int r;

    memcpy(saved, dst, sizeof(saved));
    r = aead_open(u->aead, pn, payload, RECORD_HDR_LEN, payload + RECORD_HDR_LEN,
                  RECORD_FIRST_LEN + piece, dst);
    if (r == 0)
        *ret_first = load_be16(dst);
    memcpy(dst, saved, sizeof(saved));
    return r;
}

void unpacker_put(struct unpacker *u, const uint8_t *payload, size_t len, unpacker_packet_fn *fn,
                  void *arg)
{
    uint64_t pn;
    size_t piece;
    uint16_t first = RECORD_NO_FIRST;

    u->n_records++;
    if (len <= RECORD_OVERHEAD || payload[0] != RECORD_FLAGS ||
        memcmp(payload + 1, record_id, sizeof(record_id)) != 0) {
        u->n_bad++;
        return;
    }
    pn = pn_decode(u->next_pn, load_be32(payload + RECORD_PN_OFFSET));
    piece = len - RECORD_OVERHEAD;
    unpacker_compact(u, piece);
    if (STREAM_CAP - u->end < piece || unpacker_open(u, pn, payload, piece, &first) < 0) {
        u->n_bad++;
        return;
    }
    if (pn < u->next_pn) {
        u->n_old++;
        return;
    }
    if (pn != u->next_pn) {
        u->n_gaps++;
        u->start = u->end;
        u->synced = false;
    }
    u->next_pn = pn + 1;
    unpacker_append(u, piece, first);
    if (u->synced)
        unpacker_deliver(u, fn, arg);
}
