/* RFC 9001, appendix A: from a connection ID to the packets on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "hex.h"
#include "quic/protect.h"
#include "rfc9001.h"

enum { PACKET_MAX = 1500 };

#define DCID "8394c8f03e515708"

static void expect_hex(const uint8_t *got, const char *hex)
{
    uint8_t want[PACKET_MAX];
    size_t len = unhex(hex, want);

    assert_memory_equal(got, want, len);
}

/* The keys of one direction, as the installing functions derive them. */
struct side {
    struct aead_key *aead, *mask;
    uint8_t iv[AEAD_NONCE_BYTES];
};

static struct side side_of(const struct aead_backend *b, enum aead_alg alg, const uint8_t *secret,
                           size_t len)
{
    uint8_t key[AEAD_KEY_BYTES_MAX];
    struct side s;

    assert_int_equal(protect_expand(alg, secret, len, "quic key", key, aead_key_bytes(alg)), 0);
    s.aead = aead_key_new(b, alg, key);
    assert_int_equal(protect_expand(alg, secret, len, "quic hp", key, aead_key_bytes(alg)), 0);
    s.mask = aead_mask_new(b, alg, key);
    assert_int_equal(protect_expand(alg, secret, len, "quic iv", s.iv, sizeof(s.iv)), 0);
    assert_non_null(s.aead);
    assert_non_null(s.mask);
    return s;
}

static void side_free(struct side *s)
{
    aead_key_free(s->aead);
    aead_key_free(s->mask);
}

static void nonce_of(const struct side *s, uint64_t number, uint8_t ret[static AEAD_NONCE_BYTES])
{
    memcpy(ret, s->iv, AEAD_NONCE_BYTES);
    for (unsigned i = 0; i < 8; i++)
        ret[AEAD_NONCE_BYTES - 1 - i] ^= (uint8_t)(number >> (8 * i));
}

/* Protect a packet whose header ends with its number of pn_len bytes, as 5.3 and 5.4 say. */
static size_t protect_packet(const struct side *s, uint64_t number, const char *header_hex,
                             size_t pn_len, const uint8_t *text, size_t len, uint8_t *ret)
{
    size_t header_len = unhex(header_hex, ret);
    uint8_t nonce[AEAD_NONCE_BYTES], mask[AEAD_SAMPLE_BYTES];
    uint8_t header[64];

    memcpy(header, ret, header_len);
    nonce_of(s, number, nonce);
    assert_int_equal(aead_seal(s->aead, nonce, header, header_len, text, len, ret + header_len), 0);
    assert_int_equal(aead_mask(s->mask, ret + header_len - pn_len + 4, mask), 0);
    ret[0] ^= mask[0] & (ret[0] & 0x80 ? 0x0f : 0x1f);
    for (size_t i = 0; i < pn_len; i++)
        ret[header_len - pn_len + i] ^= mask[1 + i];
    return header_len + len + AEAD_TAG_BYTES;
}

/* A.1 */
static void secrets_and_keys(void **state)
{
    static const struct {
        const char *secret, *key, *iv, *hp;
    } want[2] = {
        {"c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea",
         "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
         "9f50449e04a0e810283a1e9933adedd2"},
        {"3c199828fd139efd216c155ad844cc81fb82fa8d7446fa7d78be803acdda951b",
         "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e",
         "c206b8d9b9f0f37644430b490eeaa314"},
    };
    uint8_t dcid[20], secret[2][PROTECT_INITIAL_SECRET_BYTES], got[32];
    size_t len = unhex(DCID, dcid);

    assert_int_equal(protect_initial_secrets(dcid, len, secret[0], secret[1]), 0);
    for (unsigned i = 0; i < 2; i++) {
        expect_hex(secret[i], want[i].secret);
        assert_int_equal(protect_expand(AEAD_AES_128_GCM, secret[i], 32, "quic key", got, 16), 0);
        expect_hex(got, want[i].key);
        assert_int_equal(protect_expand(AEAD_AES_128_GCM, secret[i], 32, "quic iv", got, 12), 0);
        expect_hex(got, want[i].iv);
        assert_int_equal(protect_expand(AEAD_AES_128_GCM, secret[i], 32, "quic hp", got, 16), 0);
        expect_hex(got, want[i].hp);
    }
}

static void initial_sides(const struct aead_backend *b, struct side ret[2])
{
    uint8_t dcid[20], secret[2][PROTECT_INITIAL_SECRET_BYTES];
    size_t len = unhex(DCID, dcid);

    assert_int_equal(protect_initial_secrets(dcid, len, secret[0], secret[1]), 0);
    for (unsigned i = 0; i < 2; i++)
        ret[i] = side_of(b, AEAD_AES_128_GCM, secret[i], sizeof(secret[i]));
}

/* A.2 */
static void initial_of_the_client(const struct aead_backend *b)
{
    uint8_t text[1162] = {0}, packet[PACKET_MAX];
    struct side side[2];

    assert_int_equal(unhex(RFC9001_CLIENT_CRYPTO, text), 245);
    initial_sides(b, side);
    assert_int_equal(protect_packet(&side[0], 2, "c300000001088394c8f03e5157080000449e00000002", 4,
                                    text, sizeof(text), packet),
                     1200);
    expect_hex(packet, RFC9001_CLIENT_INITIAL);
    side_free(&side[0]);
    side_free(&side[1]);
}

/* A.3 */
static void initial_of_the_server(const struct aead_backend *b)
{
    uint8_t text[256], packet[PACKET_MAX];
    size_t len = unhex("02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc798"
                       "25df566dc5430b9a045a1200130100002e00330024001d00209d3c940d89690b84d08a60"
                       "993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304",
                       text);
    struct side side[2];

    initial_sides(b, side);
    assert_int_equal(protect_packet(&side[1], 1, "c1000000010008f067a5502a4262b50040750001", 2,
                                    text, len, packet),
                     135);
    expect_hex(packet, "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b639"
                       "4100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7"
                       "684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06ed"
                       "bb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee");
    side_free(&side[0]);
    side_free(&side[1]);
}

/* A.5 */
static void short_header_with_chacha20(const struct aead_backend *b)
{
    uint8_t secret[32], next[32], packet[64], text[] = {0x01};
    struct side side;

    unhex("9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b", secret);
    assert_int_equal(protect_expand(AEAD_CHACHA20_POLY1305, secret, 32, "quic ku", next, 32), 0);
    expect_hex(next, "1223504755036d556342ee9361d253421a826c9ecdf3c7148684b36b714881f9");
    side = side_of(b, AEAD_CHACHA20_POLY1305, secret, sizeof(secret));
    assert_int_equal(protect_packet(&side, 654360564, "4200bff4", 3, text, sizeof(text), packet),
                     21);
    expect_hex(packet, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb");
    side_free(&side);
}

static void packets(void **state)
{
    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        const char *why = (*b)->unusable();

        if (why) {
            print_message("not tested: %s: %s\n", (*b)->name, why);
            continue;
        }
        initial_of_the_client(*b);
        initial_of_the_server(*b);
        short_header_with_chacha20(*b);
    }
}

static void a_label_that_does_not_fit(void **state)
{
    static const char label[] =
        "a label much longer than any that TLS or QUIC have ever had at all";
    uint8_t secret[32] = {0}, out[32] = {7};

    assert_int_equal(protect_expand(AEAD_AES_128_GCM, secret, sizeof(secret), label, out, 32),
                     -EIO);
    assert_int_equal(out[0], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_and_keys),
        cmocka_unit_test(packets),
        cmocka_unit_test(a_label_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
