#include "quic/aead.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"

const struct aead_backend *const aead_backends[] = {
#ifdef HAVE_IPSECMB
    &aead_ipsecmb,
#endif
    &aead_gnutls,
    NULL,
};

static const struct {
    const char *name;
    size_t key_bytes;
} algs[AEAD_ALG_COUNT] = {
    [AEAD_AES_128_GCM] = {"AES-128-GCM", 16},
    [AEAD_AES_256_GCM] = {"AES-256-GCM", 32},
    [AEAD_CHACHA20_POLY1305] = {"ChaCha20-Poly1305", 32},
};

size_t aead_key_bytes(enum aead_alg alg)
{
    return algs[alg].key_bytes;
}

const char *aead_alg_name(enum aead_alg alg)
{
    return algs[alg].name;
}

struct aead_key *aead_key_new(const struct aead_backend *backend, enum aead_alg alg,
                              const uint8_t *key)
{
    return backend->key_new(alg, key);
}

struct aead_key *aead_mask_new(const struct aead_backend *backend, enum aead_alg alg,
                               const uint8_t *key)
{
    return backend->mask_new(alg, key);
}

void aead_key_free(struct aead_key *key)
{
    if (key)
        key->backend->free(key);
}

/* --- self-test ------------------------------------------------------------------------- */

/* One packet with a known answer, and one mask. */
struct known {
    const char *key, *nonce, *aad, *text, *sealed; /* sealed: with the tag */
    size_t aad_len, text_len;
    const char *mask_key, *sample, *mask;
};

#define GCM_KEY "\xfe\xff\xe9\x92\x86\x65\x73\x1c\x6d\x6a\x8f\x94\x67\x30\x83\x08"
#define GCM_NONCE "\xca\xfe\xba\xbe\xfa\xce\xdb\xad\xde\xca\xf8\x88"
#define GCM_AAD                                                                    \
    "\xfe\xed\xfa\xce\xde\xad\xbe\xef\xfe\xed\xfa\xce\xde\xad\xbe\xef\xab\xad\xda" \
    "\xd2"
#define GCM_TEXT                                                                   \
    "\xd9\x31\x32\x25\xf8\x84\x06\xe5\xa5\x59\x09\xc5\xaf\xf5\x26\x9a\x86\xa7\xa9" \
    "\x53\x15\x34\xf7\xda\x2e\x4c\x30\x3d\x8a\x31\x8a\x72\x1c\x3c\x0c\x95\x95\x68" \
    "\x09\x53\x2f\xcf\x0e\x24\x49\xa6\xb5\x25\xb1\x6a\xed\xf5\xaa\x0d\xe6\x57\xba" \
    "\x63\x7b\x39"

/* AES-GCM: test cases 4 and 16 of its specification (McGrew and Viega); masks: RFC 9001, A.2, and
 * FIPS 197, C.3. ChaCha20-Poly1305: RFC 9001, A.5. */
static const struct known known[AEAD_ALG_COUNT] = {
    [AEAD_AES_128_GCM] =
        {
            .key = GCM_KEY,
            .nonce = GCM_NONCE,
            .aad = GCM_AAD,
            .aad_len = sizeof(GCM_AAD) - 1,
            .text = GCM_TEXT,
            .text_len = sizeof(GCM_TEXT) - 1,
            .sealed = "\x42\x83\x1e\xc2\x21\x77\x74\x24\x4b\x72\x21\xb7\x84\xd0\xd4\x9c\xe3\xaa"
                      "\x21\x2f\x2c\x02\xa4\xe0\x35\xc1\x7e\x23\x29\xac\xa1\x2e\x21\xd5\x14\xb2"
                      "\x54\x66\x93\x1c\x7d\x8f\x6a\x5a\xac\x84\xaa\x05\x1b\xa3\x0b\x39\x6a\x0a"
                      "\xac\x97\x3d\x58\xe0\x91\x5b\xc9\x4f\xbc\x32\x21\xa5\xdb\x94\xfa\xe9\x5a"
                      "\xe7\x12\x1a\x47",
            .mask_key = "\x9f\x50\x44\x9e\x04\xa0\xe8\x10\x28\x3a\x1e\x99\x33\xad\xed\xd2",
            .sample = "\xd1\xb1\xc9\x8d\xd7\x68\x9f\xb8\xec\x11\xd2\x42\xb1\x23\xdc\x9b",
            .mask = "\x43\x7b\x9a\xec\x36",
        },
    [AEAD_AES_256_GCM] =
        {
            .key = GCM_KEY GCM_KEY,
            .nonce = GCM_NONCE,
            .aad = GCM_AAD,
            .aad_len = sizeof(GCM_AAD) - 1,
            .text = GCM_TEXT,
            .text_len = sizeof(GCM_TEXT) - 1,
            .sealed = "\x52\x2d\xc1\xf0\x99\x56\x7d\x07\xf4\x7f\x37\xa3\x2a\x84\x42\x7d\x64\x3a"
                      "\x8c\xdc\xbf\xe5\xc0\xc9\x75\x98\xa2\xbd\x25\x55\xd1\xaa\x8c\xb0\x8e\x48"
                      "\x59\x0d\xbb\x3d\xa7\xb0\x8b\x10\x56\x82\x88\x38\xc5\xf6\x1e\x63\x93\xba"
                      "\x7a\x0a\xbc\xc9\xf6\x62\x76\xfc\x6e\xce\x0f\x4e\x17\x68\xcd\xdf\x88\x53"
                      "\xbb\x2d\x55\x1b",
            .mask_key = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
                        "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f",
            .sample = "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
            .mask = "\x8e\xa2\xb7\xca\x51",
        },
    [AEAD_CHACHA20_POLY1305] =
        {
            .key = "\xc6\xd9\x8f\xf3\x44\x1c\x3f\xe1\xb2\x18\x20\x94\xf6\x9c\xaa\x2e"
                   "\xd4\xb7\x16\xb6\x54\x88\x96\x0a\x7a\x98\x49\x79\xfb\x23\xe1\xc8",
            .nonce = "\xe0\x45\x9b\x34\x74\xbd\xd0\xe4\x6d\x41\x7e\xb0",
            .aad = "\x42\x00\xbf\xf4",
            .aad_len = 4,
            .text = "\x01",
            .text_len = 1,
            .sealed = "\x65\x5e\x5c\xd5\x5c\x41\xf6\x90\x80\x57\x5d\x79\x99\xc2\x5a\x5b\xfb",
            .mask_key = "\x25\xa2\x82\xb9\xe8\x2f\x06\xf2\x1f\x48\x89\x17\xa4\xfc\x8f\x1b"
                        "\x73\x57\x36\x85\x60\x85\x97\xd0\xef\xcb\x07\x6b\x0a\xb7\xa7\xa4",
            .sample = "\x5e\x5c\xd5\x5c\x41\xf6\x90\x80\x57\x5d\x79\x99\xc2\x5a\x5b\xfb",
            .mask = "\xae\xfe\xfe\x7d\x03",
        },
};

enum { LONG_BYTES = 1350 };

static const uint8_t *bytes(const char *s)
{
    return (const uint8_t *)s;
}

static bool known_packet(struct aead_key *key, const struct known *v)
{
    uint8_t buf[sizeof(GCM_TEXT) + AEAD_TAG_BYTES];
    size_t len = v->text_len + AEAD_TAG_BYTES;

    if (aead_seal(key, bytes(v->nonce), bytes(v->aad), v->aad_len, bytes(v->text), v->text_len,
                  buf) ||
        memcmp(buf, v->sealed, len))
        return false;
    if (aead_open(key, bytes(v->nonce), bytes(v->aad), v->aad_len, buf, len, buf) ||
        memcmp(buf, v->text, v->text_len))
        return false;
    memcpy(buf, v->sealed, len);
    buf[len - 1] ^= 1;
    return aead_open(key, bytes(v->nonce), bytes(v->aad), v->aad_len, buf, len, buf) == -EBADMSG;
}

/* A packet of usual size, because long ones take other ways through the code of a library. */
static bool long_packet(struct aead_key *key, struct aead_key *other, const struct known *v)
{
    uint8_t text[LONG_BYTES], buf[LONG_BYTES + AEAD_TAG_BYTES];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7 + (i >> 8));
    if (aead_seal(key, bytes(v->nonce), bytes(v->aad), v->aad_len, text, sizeof(text), buf) ||
        aead_open(other, bytes(v->nonce), bytes(v->aad), v->aad_len, buf, sizeof(buf), buf) ||
        memcmp(buf, text, sizeof(text)))
        return false;
    return !aead_seal(other, bytes(v->nonce), bytes(v->aad), v->aad_len, text, sizeof(text), buf) &&
           !aead_open(key, bytes(v->nonce), bytes(v->aad), v->aad_len, buf, sizeof(buf), buf) &&
           !memcmp(buf, text, sizeof(text));
}

static bool known_mask(struct aead_key *mask, const struct known *v)
{
    uint8_t got[AEAD_SAMPLE_BYTES];

    return !aead_mask(mask, bytes(v->sample), got) && !memcmp(got, v->mask, AEAD_MASK_BYTES);
}

int aead_selftest(const struct aead_backend *backend)
{
    bool ok = true;

    for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT && ok; alg++) {
        const struct known *v = &known[alg];
        struct aead_key *key = aead_key_new(backend, alg, bytes(v->key));
        struct aead_key *other = aead_key_new(&aead_gnutls, alg, bytes(v->key));
        struct aead_key *mask = aead_mask_new(backend, alg, bytes(v->mask_key));

        ok = key && other && mask && known_packet(key, v) && long_packet(key, other, v) &&
             known_mask(mask, v);
        aead_key_free(key);
        aead_key_free(other);
        aead_key_free(mask);
    }
    return ok ? 0 : -EIO;
}

/* --- choice ---------------------------------------------------------------------------- */

static const char *objection(const struct aead_backend *backend)
{
    const char *why = backend->unusable();

    if (!why && aead_selftest(backend))
        why = "it fails its self-test";
    return why;
}

int aead_choose(const char *wish, const struct aead_backend **ret, const char **ret_why)
{
    const char *passed_over = "";
    int rv = -ENOENT;

    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        const char *why;

        if (wish && *wish && strcmp((*b)->name, wish))
            continue;
        why = objection(*b);
        if (!why) {
            *ret = *b;
            *ret_why = passed_over;
            return 0;
        }
        passed_over = why;
        rv = -ENOTSUP;
    }
    if (rv == -ENOTSUP)
        *ret_why = passed_over;
    return rv;
}
