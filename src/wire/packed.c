#include "wire/packed.h"

#include <errno.h>

#include "base/util.h"
#include "wire/varint.h"

/* First bytes of frames, and of the head. */
enum {
    HEAD_TIME = 0x80,
    HEAD_RESERVED = 0x78,
    HEAD_CLASS = 0x07,
    T_PAD = 0x00,
    T_PACKET = 0x10,
    T_RANGE = 0x20,
    T_GONE = 0x30,
    T_GAPS = 0x31,
    T_DELAY = 0x32,
    T_LEN = 0x01,
    T_SEQ = 0x02,
    T_FIRST = 0x04
};

/* --- reading ---------------------------------------------------------------------------- */

static bool get_u8(struct packed_reader *r, uint8_t *ret)
{
    if (r->p == r->end)
        return false;
    *ret = *r->p++;
    return true;
}

static bool get_u24(struct packed_reader *r, uint32_t *ret)
{
    if (r->end - r->p < 3)
        return false;
    *ret = (uint32_t)r->p[0] << 16 | (uint32_t)r->p[1] << 8 | r->p[2];
    r->p += 3;
    return true;
}

/* An integer of at most max. */
static bool get_int(struct packed_reader *r, uint32_t max, uint32_t *ret)
{
    uint64_t v;
    size_t n;

    if (r->p < r->end && *r->p < 0x40) { /* nearly all of them */
        v = *r->p;
        n = 1;
    } else {
        n = varint_get(r->p, (size_t)(r->end - r->p), &v);
    }
    if (!n || v > max)
        return false;
    r->p += n;
    *ret = (uint32_t)v;
    return true;
}

static bool get_unit(struct packed_reader *r, uint16_t *ret_flow, uint32_t *ret_seq)
{
    uint32_t flow;

    if (!get_int(r, PACKED_FLOWS - 1, &flow) || !get_u24(r, ret_seq))
        return false;
    *ret_flow = (uint16_t)flow;
    return true;
}

int packed_open(struct packed_reader *r, const uint8_t *data, size_t len,
                struct packed_head *ret_head)
{
    uint8_t head;

    *r = (struct packed_reader){.p = data, .end = data + len};
    if (!get_u8(r, &head) || head & HEAD_RESERVED)
        return -EBADMSG;
    *ret_head = (struct packed_head){.class = head & HEAD_CLASS, .has_time = head & HEAD_TIME};
    return ret_head->has_time && !get_u24(r, &ret_head->time) ? -EBADMSG : 0;
}

static bool get_data(struct packed_reader *r, bool with_len, struct packed_frame *f)
{
    uint32_t left = (uint32_t)(r->end - r->p);

    f->len = left;
    if (with_len && (!get_int(r, left, &f->len) || f->len > (uint32_t)(r->end - r->p)))
        return false;
    if (!f->len || f->len > PACKED_UNIT_MAX)
        return false;
    f->data = r->p;
    r->p += f->len;
    return true;
}

static bool get_packet(struct packed_reader *r, uint8_t type, struct packed_frame *f)
{
    f->type = PACKED_PACKET;
    f->has_seq = type & T_SEQ;
    if (f->has_seq && !get_unit(r, &f->flow, &f->seq))
        return false;
    return get_data(r, type & T_LEN, f);
}

/* What the beginning of a unit says of it. */
static bool get_descriptor(struct packed_reader *r, struct packed_frame *f)
{
    uint32_t segment;

    if (!get_u8(r, &f->kind) || f->kind >= PKT_GSO_COUNT || !get_int(r, PACKED_UNIT_MAX, &f->total))
        return false;
    f->segment = 0;
    if (f->kind == PKT_GSO_NONE)
        return true;
    if (!get_int(r, f->total, &segment) || segment < PACKED_SEGMENT_MIN)
        return false;
    f->segment = (uint16_t)segment;
    return true;
}

static bool get_range(struct packed_reader *r, uint8_t type, struct packed_frame *f)
{
    f->type = PACKED_RANGE;
    f->has_seq = true;
    f->first = type & T_FIRST;
    f->offset = 0;
    if (!get_unit(r, &f->flow, &f->seq))
        return false;
    if (f->first ? !get_descriptor(r, f) : !get_int(r, PACKED_UNIT_MAX, &f->offset))
        return false;
    return get_data(r, type & T_LEN, f) &&
           f->offset + f->len <= (f->first ? f->total : PACKED_UNIT_MAX);
}

static bool get_gone(struct packed_reader *r, struct packed_frame *f)
{
    f->type = PACKED_GONE;
    f->has_seq = true;
    return get_unit(r, &f->flow, &f->seq) && get_int(r, PACKED_SEQ_MASK, &f->count) && f->count;
}

static bool get_gap(struct packed_reader *r, struct packed_gap *g)
{
    return get_unit(r, &g->flow, &g->seq) && get_int(r, PACKED_UNIT_MAX, &g->offset) &&
           get_int(r, PACKED_UNIT_MAX, &g->len) && g->offset + g->len <= PACKED_UNIT_MAX;
}

static bool get_gaps(struct packed_reader *r, struct packed_frame *f)
{
    struct packed_gap g;

    f->type = PACKED_GAPS;
    if (!get_int(r, PACKED_GAPS_MAX, &f->count) || !f->count)
        return false;
    f->data = r->p;
    for (uint32_t i = 0; i < f->count; i++)
        if (!get_gap(r, &g))
            return false;
    f->len = (uint32_t)(r->p - f->data);
    return true;
}

static bool get_delay(struct packed_reader *r, struct packed_frame *f)
{
    f->type = PACKED_DELAY;
    return get_u8(r, &f->delay.lane) && get_u24(r, &f->delay.time) && get_u24(r, &f->delay.least) &&
           get_int(r, PACKED_TIME_MASK, &f->delay.spread);
}

static bool get_frame(struct packed_reader *r, uint8_t type, struct packed_frame *f)
{
    if ((type & ~(T_LEN | T_SEQ)) == T_PACKET)
        return get_packet(r, type, f);
    if ((type & ~(T_LEN | T_FIRST)) == T_RANGE)
        return get_range(r, type, f);
    switch (type) {
    case T_GONE:
        return get_gone(r, f);
    case T_GAPS:
        return get_gaps(r, f);
    case T_DELAY:
        return get_delay(r, f);
    default:
        return false;
    }
}

int packed_next(struct packed_reader *r, struct packed_frame *ret)
{
    uint8_t type;

    if (!get_u8(r, &type) || type == T_PAD) {
        r->p = r->end;
        return 0;
    }
    if (!get_frame(r, type, ret)) {
        r->p = r->end;
        return -EBADMSG;
    }
    return 1;
}

unsigned packed_gaps(const struct packed_frame *f, struct packed_gap ret[PACKED_GAPS_MAX])
{
    struct packed_reader r = {.p = f->data, .end = f->data + f->len};
    unsigned n = 0;

    while (n < f->count && n < PACKED_GAPS_MAX && get_gap(&r, &ret[n]))
        n++;
    return n;
}

/* --- writing ---------------------------------------------------------------------------- */

struct writer {
    uint8_t *p;
    size_t cap, len;
    bool failed;
};

static void put_u8(struct writer *w, uint8_t v)
{
    if (w->len < w->cap)
        w->p[w->len++] = v;
    else
        w->failed = true;
}

static void put_u24(struct writer *w, uint32_t v)
{
    put_u8(w, (uint8_t)(v >> 16));
    put_u8(w, (uint8_t)(v >> 8));
    put_u8(w, (uint8_t)v);
}

static void put_int(struct writer *w, uint32_t v, uint32_t max)
{
    size_t n = v > max ? 0 : varint_put(w->p + w->len, w->cap - w->len, v);

    w->len += n;
    w->failed |= !n;
}

static void put_unit(struct writer *w, uint16_t flow, uint32_t seq)
{
    put_int(w, flow, PACKED_FLOWS - 1);
    put_u24(w, seq);
}

static size_t written(const struct writer *w)
{
    return w->failed ? 0 : w->len;
}

size_t packed_put_head(uint8_t *p, size_t cap, const struct packed_head *head)
{
    struct writer w = {.p = p, .cap = cap, .failed = head->class >= PACKED_CLASSES};

    put_u8(&w, (uint8_t)(head->class | (head->has_time ? HEAD_TIME : 0)));
    if (head->has_time)
        put_u24(&w, head->time);
    return written(&w);
}

size_t packed_put_frame(uint8_t *p, size_t cap, const struct packed_frame *f, bool with_len)
{
    struct writer w = {.p = p, .cap = cap, .failed = !f->len || f->len > PACKED_UNIT_MAX};

    if (f->type == PACKED_PACKET) {
        put_u8(&w, (uint8_t)(T_PACKET | (f->has_seq ? T_SEQ : 0) | (with_len ? T_LEN : 0)));
        if (f->has_seq)
            put_unit(&w, f->flow, f->seq);
    } else {
        put_u8(&w, (uint8_t)(T_RANGE | (f->first ? T_FIRST : 0) | (with_len ? T_LEN : 0)));
        put_unit(&w, f->flow, f->seq);
        if (!f->first) {
            put_int(&w, f->offset, PACKED_UNIT_MAX - MIN(f->len, (uint32_t)PACKED_UNIT_MAX));
        } else {
            put_u8(&w, f->kind);
            put_int(&w, f->total, PACKED_UNIT_MAX);
            if (f->kind)
                put_int(&w, f->segment, f->total);
        }
    }
    if (with_len)
        put_int(&w, f->len, PACKED_UNIT_MAX);
    return written(&w);
}

size_t packed_put_gone(uint8_t *p, size_t cap, const struct packed_frame *f)
{
    struct writer w = {.p = p, .cap = cap, .failed = !f->count};

    put_u8(&w, T_GONE);
    put_unit(&w, f->flow, f->seq);
    put_int(&w, f->count, PACKED_SEQ_MASK);
    return written(&w);
}

size_t packed_put_gaps(uint8_t *p, size_t cap, const struct packed_gap *gaps, unsigned n)
{
    struct writer w = {.p = p, .cap = cap, .failed = !n || n > PACKED_GAPS_MAX};

    put_u8(&w, T_GAPS);
    put_int(&w, n, PACKED_GAPS_MAX);
    for (unsigned i = 0; i < n && !w.failed; i++) {
        put_unit(&w, gaps[i].flow, gaps[i].seq);
        put_int(&w, gaps[i].offset, PACKED_UNIT_MAX);
        put_int(&w, gaps[i].len, PACKED_UNIT_MAX - MIN(gaps[i].offset, (uint32_t)PACKED_UNIT_MAX));
    }
    return written(&w);
}

size_t packed_put_delay(uint8_t *p, size_t cap, const struct packed_frame *f)
{
    struct writer w = {.p = p, .cap = cap};

    put_u8(&w, T_DELAY);
    put_u8(&w, f->delay.lane);
    put_u24(&w, f->delay.time);
    put_u24(&w, f->delay.least);
    put_int(&w, f->delay.spread, PACKED_TIME_MASK);
    return written(&w);
}
