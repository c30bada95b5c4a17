#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "hex.h"
#include "quic/aead.h"

enum { LEN_MAX = 2000, SLACK = 64, BACKENDS_MAX = 4, CANARY = 0xa5 };

/* Those of this build that work on this machine. */
static const struct aead_backend *usable[BACKENDS_MAX];
static unsigned n_usable;

static int find_backends(void **state)
{
    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        const char *why = (*b)->unusable();

        if (why)
            print_message("not tested: %s: %s\n", (*b)->name, why);
        else
            usable[n_usable++] = *b;
    }
    return 0;
}

static void expect_bytes(const uint8_t *got, const uint8_t *want, size_t len)
{
    if (len)
        assert_memory_equal(got, want, len);
}

/* --- known answers --------------------------------------------------------------------- */

#define K1 "feffe9928665731c6d6a8f9467308308"
#define N1 "cafebabefacedbaddecaf888"
#define P1                                                             \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
#define P2                                                             \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define A2 "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define Z16 "00000000000000000000000000000000"
#define Z12 "000000000000000000000000"

/* The AES-GCM specification of McGrew and Viega, which NIST SP 800-38D refers to (test cases 1 to
 * 4 and 13 to 16); RFC 9001, A.4 (Retry) and A.5; RFC 8439, 2.8.2. */
static const struct packet {
    enum aead_alg alg;
    const char *key, *nonce, *aad, *text, *sealed;
} packets[] = {
    {AEAD_AES_128_GCM, Z16, Z12, "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {AEAD_AES_128_GCM, Z16, Z12, "", Z16,
     "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
    {AEAD_AES_128_GCM, K1, N1, "", P1,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
     "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {AEAD_AES_128_GCM, K1, N1, A2, P2,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {AEAD_AES_128_GCM, "be0c690b9f66575a1d766b54e368c84e", "461599d35d632bf2239825bb",
     "088394c8f03e515708ff000000010008f067a5502a4262b5746f6b656e", "",
     "04a265ba2eff4d829058fb3f0f2496ba"},
    {AEAD_AES_256_GCM, Z16 Z16, Z12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {AEAD_AES_256_GCM, Z16 Z16, Z12, "", Z16,
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {AEAD_AES_256_GCM, K1 K1, N1, "", P1,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
     "b094dac5d93471bdec1a502270e3cc6c"},
    {AEAD_AES_256_GCM, K1 K1, N1, A2, P2,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {AEAD_CHACHA20_POLY1305, "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
     "e0459b3474bdd0e46d417eb0", "4200bff4", "01", "655e5cd55c41f69080575d7999c25a5bfb"},
    {AEAD_CHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd060"
     "0691"},
};

static void check_packet(const struct aead_backend *backend, const struct packet *v)
{
    uint8_t key[AEAD_KEY_BYTES_MAX], nonce[AEAD_NONCE_BYTES], aad[64], text[256], sealed[256];
    uint8_t buf[256];
    size_t aad_len = unhex(v->aad, aad), len = unhex(v->text, text);
    struct aead_key *k;

    assert_int_equal(unhex(v->key, key), aead_key_bytes(v->alg));
    assert_int_equal(unhex(v->nonce, nonce), AEAD_NONCE_BYTES);
    assert_int_equal(unhex(v->sealed, sealed), len + AEAD_TAG_BYTES);
    k = aead_key_new(backend, v->alg, key);
    assert_non_null(k);
    assert_int_equal(aead_seal(k, nonce, aad, aad_len, text, len, buf), 0);
    expect_bytes(buf, sealed, len + AEAD_TAG_BYTES);
    assert_int_equal(aead_open(k, nonce, aad, aad_len, sealed, len + AEAD_TAG_BYTES, buf), 0);
    expect_bytes(buf, text, len);
    aead_key_free(k);
}

static void known_packets(void **state)
{
    for (unsigned b = 0; b < n_usable; b++)
        for (size_t i = 0; i < ARRAY_LEN(packets); i++)
            check_packet(usable[b], &packets[i]);
}

/* RFC 9001, A.2, A.3 and A.5; FIPS 197, C.1 and C.3. */
static void known_masks(void **state)
{
    static const struct {
        enum aead_alg alg;
        const char *key, *sample, *mask;
    } v[] = {
        {AEAD_AES_128_GCM, "9f50449e04a0e810283a1e9933adedd2", "d1b1c98dd7689fb8ec11d242b123dc9b",
         "437b9aec36"},
        {AEAD_AES_128_GCM, "c206b8d9b9f0f37644430b490eeaa314", "2cd0991cd25b0aac406a5816b6394100",
         "2ec0d8356a"},
        {AEAD_AES_128_GCM, "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
         "69c4e0d86a"},
        {AEAD_AES_256_GCM, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         "00112233445566778899aabbccddeeff", "8ea2b7ca51"},
        {AEAD_CHACHA20_POLY1305, "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
         "5e5cd55c41f69080575d7999c25a5bfb", "aefefe7d03"},
    };

    for (unsigned b = 0; b < n_usable; b++)
        for (size_t i = 0; i < ARRAY_LEN(v); i++) {
            uint8_t key[AEAD_KEY_BYTES_MAX], sample[AEAD_SAMPLE_BYTES], want[AEAD_MASK_BYTES];
            uint8_t got[AEAD_SAMPLE_BYTES];
            struct aead_key *k;

            unhex(v[i].key, key);
            unhex(v[i].sample, sample);
            unhex(v[i].mask, want);
            k = aead_mask_new(usable[b], v[i].alg, key);
            assert_non_null(k);
            for (unsigned again = 0; again < 2; again++) {
                assert_int_equal(aead_mask(k, sample, got), 0);
                assert_memory_equal(got, want, sizeof(want));
            }
            aead_key_free(k);
        }
}

/* --- one against the other ------------------------------------------------------------- */

struct pair {
    struct aead_key *a, *b;
    uint8_t nonce[AEAD_NONCE_BYTES], aad[64];
    size_t aad_len;
};

/* Seal by `a` into another buffer and by `b` in place, open each by the other; nothing is written
 * beyond what the contract says. The buffers begin at any address. */
static void check_pair(const struct pair *p, struct rng *rng, size_t len)
{
    static uint8_t text_buf[LEN_MAX + SLACK], out_buf[LEN_MAX + SLACK],
        in_place_buf[LEN_MAX + SLACK];
    uint8_t *text = text_buf + rng_below(rng, 17), *out = out_buf + rng_below(rng, 17);
    uint8_t *in_place = in_place_buf + rng_below(rng, 17);
    size_t sealed_len = len + AEAD_TAG_BYTES;

    rng_bytes(rng, text, len);
    memset(out_buf, CANARY, sizeof(out_buf));
    memset(in_place_buf, CANARY, sizeof(in_place_buf));
    memcpy(in_place, text, len);
    assert_int_equal(aead_seal(p->a, p->nonce, p->aad, p->aad_len, text, len, out), 0);
    assert_int_equal(aead_seal(p->b, p->nonce, p->aad, p->aad_len, in_place, len, in_place), 0);
    assert_memory_equal(out, in_place, sealed_len);
    assert_int_equal(out[sealed_len], CANARY);
    assert_int_equal(in_place[sealed_len], CANARY);
    if (out > out_buf)
        assert_int_equal(out[-1], CANARY);

    assert_int_equal(aead_open(p->a, p->nonce, p->aad, p->aad_len, in_place, sealed_len, in_place),
                     0);
    expect_bytes(in_place, text, len);
    memset(in_place_buf, CANARY, sizeof(in_place_buf));
    assert_int_equal(aead_open(p->b, p->nonce, p->aad, p->aad_len, out, sealed_len, in_place), 0);
    expect_bytes(in_place, text, len);
    assert_int_equal(in_place[len], CANARY);
}

static void backends_agree(void **state)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++)
        for (unsigned i = 0; i < n_usable; i++) {
            uint8_t key[AEAD_KEY_BYTES_MAX];
            struct pair p = {0};

            for (size_t len = 0; len <= LEN_MAX; len++) {
                if (len % 64 == 0) {
                    aead_key_free(p.a);
                    aead_key_free(p.b);
                    rng_bytes(&rng, key, sizeof(key));
                    p.a = aead_key_new(usable[0], alg, key);
                    p.b = aead_key_new(usable[i], alg, key);
                }
                rng_bytes(&rng, p.nonce, sizeof(p.nonce));
                rng_bytes(&rng, p.aad, sizeof(p.aad));
                p.aad_len = rng_below(&rng, sizeof(p.aad));
                check_pair(&p, &rng, len);
            }
            aead_key_free(p.a);
            aead_key_free(p.b);
        }
}

static void masks_agree(void **state)
{
    struct rng rng;

    rng_seed(&rng, 2);
    for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++)
        for (unsigned n = 0; n < 200; n++) {
            uint8_t key[AEAD_KEY_BYTES_MAX], sample[AEAD_SAMPLE_BYTES + 1];
            uint8_t first[AEAD_SAMPLE_BYTES], got[AEAD_SAMPLE_BYTES];

            rng_bytes(&rng, key, sizeof(key));
            rng_bytes(&rng, sample, sizeof(sample));
            for (unsigned i = 0; i < n_usable; i++) {
                struct aead_key *k = aead_mask_new(usable[i], alg, key);

                assert_int_equal(aead_mask(k, sample + n % 2, i ? got : first), 0);
                if (i)
                    assert_memory_equal(got, first, AEAD_MASK_BYTES);
                aead_key_free(k);
            }
        }
}

/* --- forgeries ------------------------------------------------------------------------- */

enum { FORGED_LEN = 333 };

static void every_byte_is_protected(void **state)
{
    uint8_t nonce[AEAD_NONCE_BYTES] = {7}, aad[13] = {9}, text[FORGED_LEN] = {1}, out[FORGED_LEN];
    uint8_t sealed[FORGED_LEN + AEAD_TAG_BYTES], key[AEAD_KEY_BYTES_MAX] = {3};

    for (unsigned b = 0; b < n_usable; b++)
        for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++) {
            struct aead_key *k = aead_key_new(usable[b], alg, key);
            struct {
                uint8_t *at;
                size_t len;
            } parts[] = {{sealed, sizeof(sealed)}, {aad, sizeof(aad)}, {nonce, sizeof(nonce)}};

            assert_int_equal(aead_seal(k, nonce, aad, sizeof(aad), text, sizeof(text), sealed), 0);
            for (size_t p = 0; p < ARRAY_LEN(parts); p++)
                for (size_t i = 0; i < parts[p].len; i++)
                    for (unsigned bit = 0; bit < 8; bit += 1 + i % 7) {
                        parts[p].at[i] ^= (uint8_t)(1 << bit);
                        assert_int_equal(
                            aead_open(k, nonce, aad, sizeof(aad), sealed, sizeof(sealed), out),
                            -EBADMSG);
                        parts[p].at[i] ^= (uint8_t)(1 << bit);
                    }
            for (size_t len = 0; len < sizeof(sealed); len++)
                assert_int_equal(aead_open(k, nonce, aad, sizeof(aad), sealed, len, out), -EBADMSG);
            for (size_t len = 0; len < sizeof(aad); len++)
                assert_int_equal(aead_open(k, nonce, aad, len, sealed, sizeof(sealed), out),
                                 -EBADMSG);
            assert_int_equal(aead_open(k, nonce, aad, sizeof(aad), sealed, sizeof(sealed), out), 0);
            assert_memory_equal(out, text, sizeof(text));
            aead_key_free(k);
        }
}

/* A packet must not open with another key, nor one key spoil another. */
static void keys_do_not_mix(void **state)
{
    uint8_t nonce[AEAD_NONCE_BYTES] = {0}, text[100] = {0}, a_out[116], b_out[116], out[100];
    uint8_t a_bytes[AEAD_KEY_BYTES_MAX] = {1}, b_bytes[AEAD_KEY_BYTES_MAX] = {2};

    for (unsigned i = 0; i < n_usable; i++)
        for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++) {
            struct aead_key *a = aead_key_new(usable[i], alg, a_bytes);
            struct aead_key *b = aead_key_new(usable[i], alg, b_bytes);

            aead_seal(a, nonce, NULL, 0, text, sizeof(text), a_out);
            aead_seal(b, nonce, NULL, 0, text, sizeof(text), b_out);
            assert_int_equal(aead_open(b, nonce, NULL, 0, a_out, sizeof(a_out), out), -EBADMSG);
            assert_int_equal(aead_open(a, nonce, NULL, 0, a_out, sizeof(a_out), out), 0);
            aead_key_free(a);
            assert_int_equal(aead_open(b, nonce, NULL, 0, b_out, sizeof(b_out), out), 0);
            aead_key_free(b);
        }
}

/* --- keys leave nothing behind --------------------------------------------------------- */

static uint8_t secret[AEAD_KEY_BYTES_MAX];
static unsigned looked_at, found;

void __real_free(void *ptr);
void __wrap_free(void *ptr);

/* What is given back must not hold the key: neither as it is nor in the first block of its
 * schedule, which is the same. */
void __wrap_free(void *ptr)
{
    size_t size = ptr ? malloc_usable_size(ptr) : 0;

    if (*secret && size) {
        looked_at++;
        found += memmem(ptr, size, secret, 16) != NULL;
    }
    __real_free(ptr);
}

static void a_freed_key_is_wiped(void **state)
{
    uint8_t *again = malloc(sizeof(secret));

    memset(secret, 0x5c, sizeof(secret));
    memcpy(again, secret, sizeof(secret));
    __asm__ volatile("" : : "r"(again) : "memory"); /* keeps the compiler from leaving it out */
    free(again);                                    /* the trap works */
    assert_int_equal(found, 1);
    found = looked_at = 0;
    for (unsigned b = 0; b < n_usable; b++)
        for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++) {
            aead_key_free(aead_key_new(usable[b], alg, secret));
            aead_key_free(aead_mask_new(usable[b], alg, secret));
        }
    assert_int_equal(found, 0);
    assert_true(looked_at >= 2 * AEAD_ALG_COUNT * n_usable);
    memset(secret, 0, sizeof(secret));
}

/* --- the choice ------------------------------------------------------------------------ */

static struct {
    int seal, open, mask;
} broken;

static int broken_seal(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad,
                       size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst)
{
    int rv = aead_gnutls.seal(key, nonce, aad, aad_len, src, len, dst);

    if (broken.seal && (broken.seal == 1 || len > 512))
        dst[len / 2] ^= 1;
    return rv;
}

static int broken_open(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad,
                       size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst)
{
    int rv = aead_gnutls.open(key, nonce, aad, aad_len, src, len, dst);

    return broken.open ? 0 : rv; /* takes every forgery */
}

static int broken_mask(struct aead_key *key, const uint8_t *sample, uint8_t *ret)
{
    int rv = aead_gnutls.mask(key, sample, ret);

    ret[4] ^= (uint8_t)broken.mask;
    return rv;
}

static struct aead_backend broken_backend;

static struct aead_key *broken_new(enum aead_alg alg, const uint8_t *key)
{
    struct aead_key *k = aead_gnutls.key_new(alg, key);

    k->backend = &broken_backend;
    return k;
}

static struct aead_key *broken_mask_new(enum aead_alg alg, const uint8_t *key)
{
    struct aead_key *k = aead_gnutls.mask_new(alg, key);

    k->backend = &broken_backend;
    return k;
}

static void selftest_finds_what_is_broken(void **state)
{
    for (unsigned b = 0; b < n_usable; b++)
        assert_int_equal(aead_selftest(usable[b]), 0);
    broken_backend = aead_gnutls;
    broken_backend.key_new = broken_new;
    broken_backend.mask_new = broken_mask_new;
    broken_backend.seal = broken_seal;
    broken_backend.open = broken_open;
    broken_backend.mask = broken_mask;
    assert_int_equal(aead_selftest(&broken_backend), 0);
    broken.seal = 1;
    assert_int_equal(aead_selftest(&broken_backend), -EIO);
    broken.seal = 2; /* long packets only */
    assert_int_equal(aead_selftest(&broken_backend), -EIO);
    broken.seal = 0;
    broken.open = 1;
    assert_int_equal(aead_selftest(&broken_backend), -EIO);
    broken.open = 0;
    broken.mask = 1;
    assert_int_equal(aead_selftest(&broken_backend), -EIO);
}

static void the_best_is_chosen(void **state)
{
    const struct aead_backend *got = NULL;
    const char *why = NULL;

    assert_int_equal(aead_choose(NULL, &got, &why), 0);
    assert_ptr_equal(got, usable[0]);
    assert_int_equal(!*why, usable[0] == aead_backends[0]);
    assert_int_equal(aead_choose("", &got, &why), 0);
    assert_ptr_equal(got, usable[0]);
    assert_int_equal(aead_choose("gnutls", &got, &why), 0);
    assert_ptr_equal(got, &aead_gnutls);
    got = NULL;
    assert_int_equal(aead_choose("rot13", &got, &why), -ENOENT);
    assert_null(got);
    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        int rv = aead_choose((*b)->name, &got, &why);

        assert_int_equal(rv, (*b)->unusable() ? -ENOTSUP : 0);
        if (rv)
            assert_string_equal(why, (*b)->unusable());
        else
            assert_ptr_equal(got, *b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_packets),           cmocka_unit_test(known_masks),
        cmocka_unit_test(backends_agree),          cmocka_unit_test(masks_agree),
        cmocka_unit_test(every_byte_is_protected), cmocka_unit_test(keys_do_not_mix),
        cmocka_unit_test(a_freed_key_is_wiped),    cmocka_unit_test(selftest_finds_what_is_broken),
        cmocka_unit_test(the_best_is_chosen),
    };

    return cmocka_run_group_tests(tests, find_backends, NULL);
}
