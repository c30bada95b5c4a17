/* The stream of records: what goes in comes out, losses cost only what they hit, and nothing
 * that was tampered with is delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "record.h"

enum { RECORD_SIZE = 1472, BATCH = 44, N_PACKETS = 400 };

static const uint8_t key[AEAD_KEY_LEN] = "0123456789abcdef";
static const uint8_t iv[AEAD_IV_LEN] = "abcdefghijkl";

struct link {
    struct aead seal, open;
    struct packer packer;
    struct unpacker unpacker;
    struct rng rng;
    double loss;
    bool flip;            /* damage every record */
    unsigned next_number; /* of the next packet to send */
    unsigned last_number; /* of the last packet delivered, plus one */
    unsigned delivered;
    uint8_t out[65536];
};

/* A packet is its number and then bytes that follow from it. */
static size_t packet_make(uint8_t *dst, unsigned number, size_t len)
{
    struct rng rng;

    rng_seed(&rng, number);
    rng_bytes(&rng, dst, len);
    store_be32(dst, number);
    return len;
}

static size_t packet_len(unsigned number)
{
    static const size_t lens[] = {4, 40, 1500, 9000, FRAME_PACKET_MAX, 52, 1435, 1436};

    return lens[number % ARRAY_LEN(lens)];
}

static void on_packet(void *arg, const struct frame *frame, uint8_t *packet)
{
    struct link *l = arg;
    static uint8_t want[FRAME_PACKET_MAX];
    unsigned number;

    assert_true(frame->len >= 4);
    number = load_be32(packet);
    assert_in_range(number, l->last_number, N_PACKETS - 1);
    assert_int_equal(frame->len, packet_make(want, number, packet_len(number)));
    assert_memory_equal(packet, want, frame->len);
    assert_int_equal(frame->kind, number % FRAME_KIND_COUNT);
    assert_int_equal(frame->gso_size, number);
    l->last_number = number + 1;
    l->delivered++;
}

static struct link *link_new(const char *backend, uint64_t seed)
{
    struct link *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    assert_int_equal(aead_init(&l->seal, aead_backend_find(backend), key, iv), 0);
    assert_int_equal(aead_init(&l->open, aead_backend_find(backend), key, iv), 0);
    assert_int_equal(packer_init(&l->packer, &l->seal, RECORD_SIZE), 0);
    assert_int_equal(unpacker_init(&l->unpacker, &l->open), 0);
    rng_seed(&l->rng, seed);
    return l;
}

static void link_free(struct link *l)
{
    packer_done(&l->packer);
    unpacker_done(&l->unpacker);
    aead_done(&l->seal);
    aead_done(&l->open);
    free(l);
}

static void link_flush(struct link *l)
{
    ssize_t n = packer_take(&l->packer, BATCH, l->out);

    assert_true(n >= 0 && n <= BATCH * RECORD_SIZE);
    for (ssize_t at = 0; at < n; at += RECORD_SIZE) {
        size_t len = MIN(RECORD_SIZE, (size_t)(n - at));

        if (rng_double(&l->rng) < l->loss)
            continue;
        if (l->flip)
            l->out[(size_t)at + rng_below(&l->rng, len)] ^= 1;
        unpacker_put(&l->unpacker, l->out + at, len, on_packet, l);
    }
}

static void link_send_all(struct link *l)
{
    for (; l->next_number < N_PACKETS; l->next_number++) {
        uint8_t *room = packer_room(&l->packer);
        struct frame frame = {
            .kind = (uint8_t)(l->next_number % FRAME_KIND_COUNT),
            .gso_size = (uint16_t)l->next_number,
            .len = (uint16_t)packet_len(l->next_number),
        };

        assert_non_null(room);
        packet_make(room, l->next_number, frame.len);
        packer_add(&l->packer, &frame);
        while (packer_full_records(&l->packer) >= BATCH || rng_below(&l->rng, 4) == 0)
            link_flush(l);
    }
    while (!packer_empty(&l->packer))
        link_flush(l);
}

static void test_everything_arrives(void **state)
{
    for (size_t i = 0; aead_backends[i] != NULL; i++) {
        struct link *l = link_new(aead_backends[i]->name, 1);

        link_send_all(l);
        assert_int_equal(l->delivered, N_PACKETS);
        assert_int_equal(l->unpacker.n_gaps, 0);
        assert_int_equal(l->unpacker.n_bad, 0);
        link_free(l);
    }
}

/* What is delivered is whole and in order (on_packet checks), and a loss is not forever. */
static void test_loss_costs_what_it_hits(void **state)
{
    for (unsigned seed = 1; seed <= 10; seed++) {
        struct link *l = link_new("gnutls", seed);

        l->loss = 0.01;
        link_send_all(l);
        assert_true(l->unpacker.n_gaps > 0);
        assert_in_range(l->delivered, N_PACKETS / 2, N_PACKETS - 1);
        assert_true(l->last_number > N_PACKETS - 20);
        link_free(l);
    }
}

static void test_damage_is_refused(void **state)
{
    for (size_t i = 0; aead_backends[i] != NULL; i++) {
        struct link *l = link_new(aead_backends[i]->name, 2);

        if (strcmp(aead_backends[i]->name, "none") != 0) {
            l->flip = true;
            link_send_all(l);
            assert_int_equal(l->delivered, 0);
            assert_int_equal(l->unpacker.n_bad, l->unpacker.n_records);
        }
        link_free(l);
    }
}

/* A record seen before is counted and changes nothing. */
static void test_repeat_is_refused(void **state)
{
    struct link *l = link_new("gnutls", 3);
    struct frame frame = {.len = 4};
    ssize_t n;

    packet_make(packer_room(&l->packer), 0, frame.len);
    packer_add(&l->packer, &frame);
    n = packer_take(&l->packer, BATCH, l->out);
    assert_int_equal(n, RECORD_OVERHEAD + FRAME_HDR_LEN + frame.len);
    for (unsigned i = 0; i < 3; i++)
        unpacker_put(&l->unpacker, l->out, (size_t)n, on_packet, l);
    assert_int_equal(l->delivered, 1);
    assert_int_equal(l->unpacker.n_old, 2);
    link_free(l);
}

/* The backends speak the same cipher: each opens what another sealed. */
static void test_backends_agree(void **state)
{
    static const uint8_t plain[1443] = "plain", aad[RECORD_HDR_LEN] = "header";

    for (size_t i = 1; aead_backends[i] != NULL; i++) {
        for (size_t k = 1; aead_backends[k] != NULL; k++) {
            uint8_t sealed[sizeof(plain) + AEAD_TAG_LEN], opened[sizeof(plain)];
            struct aead a, b;

            assert_int_equal(aead_init(&a, aead_backends[i], key, iv), 0);
            assert_int_equal(aead_init(&b, aead_backends[k], key, iv), 0);
            assert_int_equal(aead_seal(&a, 7, aad, sizeof(aad), plain, sizeof(plain), sealed), 0);
            assert_int_equal(aead_open(&b, 7, aad, sizeof(aad), sealed, sizeof(plain), opened), 0);
            assert_memory_equal(opened, plain, sizeof(plain));
            assert_true(aead_open(&b, 8, aad, sizeof(aad), sealed, sizeof(plain), opened) < 0);
            aead_done(&a);
            aead_done(&b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_arrives), cmocka_unit_test(test_loss_costs_what_it_hits),
        cmocka_unit_test(test_damage_is_refused),  cmocka_unit_test(test_repeat_is_refused),
        cmocka_unit_test(test_backends_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
