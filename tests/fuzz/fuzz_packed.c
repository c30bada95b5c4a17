/* Input: the payload of a packed datagram. Every frame that decodes must encode, no longer than it
 * was, to one that decodes to the same; its data lie within the input. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/packed.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static size_t encode(uint8_t *p, size_t cap, const struct packed_frame *f)
{
    struct packed_gap gaps[PACKED_GAPS_MAX];
    size_t n;

    switch (f->type) {
    case PACKED_GONE:
        return packed_put_gone(p, cap, f);
    case PACKED_GAPS:
        return packed_put_gaps(p, cap, gaps, packed_gaps(f, gaps));
    case PACKED_DELAY:
        return packed_put_delay(p, cap, f);
    case PACKED_PACKET:
    case PACKED_RANGE:
        break;
    }
    n = packed_put_frame(p, cap, f, true);
    CHECK(n && n + f->len <= cap);
    memcpy(p + n, f->data, f->len);
    return n + f->len;
}

static void check_same(const struct packed_frame *a, const struct packed_frame *b)
{
    CHECK(a->type == b->type);
    switch (a->type) {
    case PACKED_GONE:
        CHECK(a->flow == b->flow && a->seq == b->seq && a->count == b->count);
        break;
    case PACKED_GAPS:
        CHECK(a->count == b->count);
        break;
    case PACKED_DELAY:
        CHECK(a->delay.lane == b->delay.lane && a->delay.time == b->delay.time &&
              a->delay.least == b->delay.least && a->delay.spread == b->delay.spread);
        break;
    case PACKED_RANGE:
        CHECK(a->first == b->first && a->offset == b->offset);
        CHECK(!a->first || (a->kind == b->kind && a->total == b->total &&
                            a->segment == b->segment && a->len <= a->total));
        /* fall through */
    case PACKED_PACKET:
        CHECK(a->has_seq == b->has_seq && a->len == b->len && !memcmp(a->data, b->data, a->len));
        CHECK(!a->has_seq || (a->flow == b->flow && a->seq == b->seq));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[PACKED_UNIT_MAX + 1024];
    struct packed_reader r, r2;
    struct packed_frame f, f2;
    struct packed_head head, head2;

    if (packed_open(&r, data, size, &head))
        return 0;
    while (packed_next(&r, &f) > 0) {
        size_t n = packed_put_head(again, sizeof(again), &head);

        CHECK(n && n <= PACKED_HEAD_MAX);
        if (f.type == PACKED_PACKET || f.type == PACKED_RANGE)
            CHECK(f.len && f.data >= data && f.data + f.len <= data + size);
        n += encode(again + n, sizeof(again) - n, &f);
        CHECK(packed_open(&r2, again, n, &head2) == 0);
        CHECK(head2.class == head.class && head2.has_time == head.has_time);
        CHECK(packed_next(&r2, &f2) == 1);
        check_same(&f, &f2);
        CHECK(packed_next(&r2, &f2) == 0);
    }
    return 0;
}
