#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "wire/packed.h"

static void open_frame(const uint8_t *wire, size_t len, struct packed_head *head,
                       struct packed_reader *r)
{
    assert_int_equal(packed_open(r, wire, len, head), 0);
}

/* The bytes that doc/protocol.md describes, written by hand. */
static void every_frame_by_hand(void **state)
{
    static const uint8_t wire[] = {
        0x81, 0x12, 0x34, 0x56,                                     /* class 1, a timestamp */
        0x13, 0x40, 0x41, 0x00, 0x00, 0x07, 0x02, 0xaa, 0xbb,       /* PACKET, flow 65, seq 7 */
        0x30, 0x05, 0xff, 0xff, 0xfe, 0x03,                         /* GONE */
        0x31, 0x02, 0x01, 0x00, 0x00, 0x02, 0x00, 0x00,             /* GAPS: all of (1, 2), */
        0x03, 0x00, 0x00, 0x04, 0x44, 0x00, 0x41, 0x00,             /* 256 bytes of (3, 4) */
        0x32, 0x21, 0x00, 0x00, 0x01, 0xff, 0xff, 0xff, 0x09,       /* DELAY of path 2, lane 1 */
        0x25, 0x05, 0x00, 0x01, 0x00, 0x01, 0x45, 0xdc, 0x44, 0xb0, /* RANGE: TCP4, 1500, 1200, */
        0x01, 0xcc,                                                 /* of it one byte */
        0x20, 0x05, 0x00, 0x01, 0x00, 0x01, 0xdd, 0xee,             /* RANGE from 1 to the end */
    };
    struct packed_gap gaps[PACKED_GAPS_MAX];
    struct packed_reader r;
    struct packed_frame f;
    struct packed_head head;

    open_frame(wire, sizeof(wire), &head, &r);
    assert_true(head.has_time);
    assert_int_equal(head.time, 0x123456);
    assert_int_equal(head.class, 1);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_PACKET);
    assert_true(f.has_seq);
    assert_int_equal(f.flow, 65);
    assert_int_equal(f.seq, 7);
    assert_int_equal(f.len, 2);
    assert_int_equal(f.data[1], 0xbb);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_GONE);
    assert_int_equal(f.flow, 5);
    assert_int_equal(f.seq, 0xfffffe);
    assert_int_equal(f.count, 3);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_GAPS);
    assert_int_equal(packed_gaps(&f, gaps), 2);
    assert_int_equal(gaps[0].seq, 2);
    assert_int_equal(gaps[0].len, 0);
    assert_int_equal(gaps[1].flow, 3);
    assert_int_equal(gaps[1].offset, 0x400);
    assert_int_equal(gaps[1].len, 0x100);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_DELAY);
    assert_int_equal(f.delay.lane, 0x21);
    assert_int_equal(f.delay.time, 1);
    assert_int_equal(f.delay.least, 0xffffff);
    assert_int_equal(f.delay.spread, 9);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_RANGE);
    assert_true(f.first);
    assert_int_equal(f.kind, PKT_GSO_TCP4);
    assert_int_equal(f.total, 1500);
    assert_int_equal(f.segment, 1200);
    assert_int_equal(f.len, 1);

    assert_int_equal(packed_next(&r, &f), 1);
    assert_false(f.first);
    assert_int_equal(f.offset, 1);
    assert_int_equal(f.len, 2);
    assert_int_equal(f.data[1], 0xee);
    assert_int_equal(packed_next(&r, &f), 0);
}

static void padding_ends_it(void **state)
{
    static const uint8_t wire[] = {0x00, 0x00, 0x10, 0x45};
    struct packed_reader r;
    struct packed_frame f;
    struct packed_head head;

    open_frame(wire, sizeof(wire), &head, &r);
    assert_false(head.has_time);
    assert_int_equal(packed_next(&r, &f), 0);
    assert_int_equal(packed_next(&r, &f), 0);
}

/* Each of these is a head and one frame that no correct sender makes. */
static void what_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint8_t wire[16];
        size_t len;
    } bad[] = {
        {"unknown type", {0, 0x40, 1}, 3},
        {"reserved bit of PACKET", {0, 0x14, 1}, 3},
        {"reserved bit of RANGE", {0, 0x22, 1, 0, 0, 1, 0, 1}, 8},
        {"an empty packet", {0, 0x10}, 2},
        {"an empty packet with length", {0, 0x11, 0}, 3},
        {"a length behind the end", {0, 0x11, 3, 1, 2}, 5},
        {"a flow above the largest", {0, 0x12, 0x50, 0, 0, 0, 1, 9}, 8},
        {"a sequence number cut short", {0, 0x12, 1, 0, 0}, 5},
        {"an unknown kind", {0, 0x24, 1, 0, 0, 1, 4, 9, 1}, 9},
        {"a unit of no bytes", {0, 0x24, 1, 0, 0, 1, 0, 0, 1}, 9},
        {"more than the unit has", {0, 0x24, 1, 0, 0, 1, 0, 1, 1, 2}, 10},
        {"segments of 47 bytes", {0, 0x24, 1, 0, 0, 1, 1, 0x40, 100, 47, 1}, 11},
        {"segments longer than the unit", {0, 0x24, 1, 0, 0, 1, 1, 0x40, 100, 0x40, 101, 1}, 12},
        {"a range behind 65535", {0, 0x20, 1, 0, 0, 1, 0x80, 0, 0xff, 0xff, 7}, 11},
        {"GONE of none", {0, 0x30, 1, 0, 0, 1, 0}, 7},
        {"no gaps", {0, 0x31, 0}, 3},
        {"33 gaps", {0, 0x31, 33, 1}, 4},
        {"a gap cut short", {0, 0x31, 1, 1, 0, 0, 1, 0}, 8},
        {"a gap behind 65535", {0, 0x31, 1, 1, 0, 0, 1, 0x80, 0, 0xff, 0xff, 1}, 12},
        {"a delay cut short", {0, 0x32, 1, 0, 0, 1, 0, 0, 1}, 9},
    };
    struct packed_reader r;
    struct packed_frame f;
    struct packed_head head;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        open_frame(bad[i].wire, bad[i].len, &head, &r);
        if (packed_next(&r, &f) != -EBADMSG)
            fail_msg("%s was taken", bad[i].what);
        assert_int_equal(packed_next(&r, &f), 0);
    }
    assert_int_equal(packed_open(&r, NULL, 0, &head), -EBADMSG);
    assert_int_equal(packed_open(&r, (const uint8_t[]){0x40}, 1, &head), -EBADMSG);
    assert_int_equal(packed_open(&r, (const uint8_t[]){0x80, 1, 2}, 3, &head), -EBADMSG);
}

static struct packed_frame random_frame(struct rng *rng, const uint8_t *bytes)
{
    struct packed_frame f = {.type = rng_below(rng, 2) ? PACKED_RANGE : PACKED_PACKET,
                             .flow = (uint16_t)rng_below(rng, PACKED_FLOWS),
                             .seq = (uint32_t)rng_below(rng, PACKED_SEQ_MASK + 1),
                             .data = bytes,
                             .len = 1 + (uint32_t)rng_below(rng, 1400)};

    if (f.type == PACKED_PACKET) {
        f.has_seq = rng_below(rng, 2);
        return f;
    }
    f.has_seq = true;
    f.first = rng_below(rng, 2);
    if (!f.first) {
        f.offset = (uint32_t)rng_below(rng, PACKED_UNIT_MAX - f.len + 1);
        return f;
    }
    f.kind = (uint8_t)rng_below(rng, PKT_GSO_COUNT);
    f.total = f.len + (uint32_t)rng_below(rng, PACKED_UNIT_MAX - f.len + 1);
    if (f.kind && f.total >= PACKED_SEGMENT_MIN)
        f.segment =
            (uint16_t)(PACKED_SEGMENT_MIN + rng_below(rng, f.total - PACKED_SEGMENT_MIN + 1));
    else
        f.kind = PKT_GSO_NONE;
    return f;
}

static void assert_same(const struct packed_frame *a, const struct packed_frame *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->has_seq, b->has_seq);
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
    if (!a->has_seq)
        return;
    assert_int_equal(a->flow, b->flow);
    assert_int_equal(a->seq, b->seq);
    if (a->type == PACKED_PACKET)
        return;
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->offset, b->offset);
    if (!a->first)
        return;
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->total, b->total);
    if (a->kind)
        assert_int_equal(a->segment, b->segment);
}

enum { FRAMES = 6 };

/* Random frames behind each other come back; cut off anywhere, only what is whole does. */
static void frames_come_back(void **state)
{
    static uint8_t wire[FRAMES * (1400 + PACKED_RANGE_HEAD_MAX) + PACKED_HEAD_MAX], bytes[1400];
    struct rng rng;

    rng_seed(&rng, 1);
    rng_bytes(&rng, bytes, sizeof(bytes));
    for (unsigned round = 0; round < 2000; round++) {
        struct packed_head head = {.class = (uint8_t)rng_below(&rng, PACKED_CLASSES),
                                   .has_time = rng_below(&rng, 2),
                                   .time = (uint32_t)rng_below(&rng, PACKED_TIME_MASK)};
        size_t len = packed_put_head(wire, sizeof(wire), &head), ends[FRAMES], cut;
        struct packed_frame sent[FRAMES], got;
        struct packed_reader r;
        struct packed_head got_head;

        assert_true(len);
        for (unsigned i = 0; i < FRAMES; i++) {
            bool last = i == FRAMES - 1;
            size_t n;

            sent[i] = random_frame(&rng, bytes);
            n = packed_put_frame(wire + len, sizeof(wire) - len, &sent[i], !last);
            assert_in_range(n, 1, PACKED_RANGE_HEAD_MAX);
            memcpy(wire + len + n, sent[i].data, sent[i].len);
            len += n + sent[i].len;
            ends[i] = len;
        }
        cut = round % 2 ? len : rng_below(&rng, len) + 1;
        if (packed_open(&r, wire, cut, &got_head))
            continue;
        assert_int_equal(got_head.class, head.class);
        assert_int_equal(got_head.has_time, head.has_time);
        for (unsigned i = 0; i < FRAMES && ends[i] <= cut; i++) {
            assert_int_equal(packed_next(&r, &got), 1);
            assert_same(&sent[i], &got);
        }
        if (cut == len)
            assert_int_equal(packed_next(&r, &got), 0);
    }
}

static void reports_come_back(void **state)
{
    struct packed_gap gaps[PACKED_GAPS_MAX], got[PACKED_GAPS_MAX];
    uint8_t wire[512] = {0};
    struct packed_reader r;
    struct packed_frame f, sent;
    struct packed_head head;
    struct rng rng;
    size_t n;

    rng_seed(&rng, 2);
    for (unsigned i = 0; i < PACKED_GAPS_MAX; i++)
        gaps[i] = (struct packed_gap){.flow = (uint16_t)rng_below(&rng, PACKED_FLOWS),
                                      .seq = (uint32_t)rng_below(&rng, PACKED_SEQ_MASK),
                                      .offset = (uint32_t)rng_below(&rng, 30000),
                                      .len = (uint32_t)rng_below(&rng, 30000)};
    for (unsigned k = 1; k <= PACKED_GAPS_MAX; k++) {
        n = packed_put_gaps(wire + 1, sizeof(wire) - 1, gaps, k);
        assert_true(n);
        assert_int_equal(packed_put_gaps(wire + 1, n - 1, gaps, k), 0);
        open_frame(wire, 1 + n, &head, &r);
        assert_int_equal(packed_next(&r, &f), 1);
        assert_int_equal(packed_gaps(&f, got), k);
        for (unsigned i = 0; i < k; i++) {
            assert_int_equal(got[i].flow, gaps[i].flow);
            assert_int_equal(got[i].seq, gaps[i].seq);
            assert_int_equal(got[i].offset, gaps[i].offset);
            assert_int_equal(got[i].len, gaps[i].len);
        }
        assert_int_equal(packed_next(&r, &f), 0);
    }
    assert_int_equal(packed_put_gaps(wire + 1, sizeof(wire) - 1, gaps, 0), 0);

    sent = (struct packed_frame){.flow = 4095, .seq = 0xffffff, .count = 70000};
    n = packed_put_gone(wire + 1, sizeof(wire) - 1, &sent);
    sent.delay.lane = 255;
    sent.delay.time = 0xabcdef;
    sent.delay.least = 0x10203;
    sent.delay.spread = 0xffffff;
    n += packed_put_delay(wire + 1 + n, sizeof(wire) - 1 - n, &sent);
    open_frame(wire, 1 + n, &head, &r);
    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_GONE);
    assert_int_equal(f.flow, 4095);
    assert_int_equal(f.count, 70000);
    assert_int_equal(packed_next(&r, &f), 1);
    assert_int_equal(f.type, PACKED_DELAY);
    assert_int_equal(f.delay.lane, 255);
    assert_int_equal(f.delay.time, 0xabcdef);
    assert_int_equal(f.delay.least, 0x10203);
    assert_int_equal(f.delay.spread, 0xffffff);
}

static void bad_values_are_not_written(void **state)
{
    const struct packed_frame packet = {.type = PACKED_PACKET, .has_seq = true, .len = 1};
    const struct packed_frame range = {.type = PACKED_RANGE, .len = 1};
    struct packed_frame f;
    uint8_t p[32];

    f = packet, f.flow = PACKED_FLOWS;
    assert_int_equal(packed_put_frame(p, sizeof(p), &f, false), 0);
    f = packet, f.len = 0;
    assert_int_equal(packed_put_frame(p, sizeof(p), &f, false), 0);
    f = range, f.offset = PACKED_UNIT_MAX;
    assert_int_equal(packed_put_frame(p, sizeof(p), &f, false), 0);
    f = range, f.first = true, f.total = PACKED_UNIT_MAX + 1;
    assert_int_equal(packed_put_frame(p, sizeof(p), &f, false), 0);
    f = packet, f.count = 0;
    assert_int_equal(packed_put_gone(p, sizeof(p), &f), 0);
    assert_int_equal(packed_put_head(p, 1, &(struct packed_head){.has_time = true}), 0);
    assert_int_equal(packed_put_head(p, 1, &(struct packed_head){.class = 8}), 0);
}

static void sequence_numbers_wrap(void **state)
{
    assert_int_equal(packed_seq_diff(1, 0xffffff), 2);
    assert_int_equal(packed_seq_diff(0xffffff, 1), -2);
    assert_int_equal(packed_seq_diff(0x7fffff, 0), 0x7fffff);
    assert_int_equal(packed_seq_diff(0x800000, 0), -0x800000);
    assert_int_equal(packed_seq_diff(5, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_by_hand),       cmocka_unit_test(padding_ends_it),
        cmocka_unit_test(what_cannot_be_is_refused), cmocka_unit_test(frames_come_back),
        cmocka_unit_test(reports_come_back),         cmocka_unit_test(bad_values_are_not_written),
        cmocka_unit_test(sequence_numbers_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
