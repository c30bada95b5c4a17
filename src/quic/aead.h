/* The ciphers that protect QUIC packets (RFC 9001, 5): an AEAD for what a packet holds, a mask for
 * its header. Several libraries can do it, each behind a struct aead_backend; all give the same
 * bytes.
 *
 *      gnutls    always there
 *      ipsec-mb  Intel's multi-buffer library: x86-64 only, when it was there at build time. It is
 *                used where the processor has VAES: a full packet takes 0.1 us instead of 0.34.
 *                Elsewhere it gains little (doc/decisions/0006)
 *
 * A process chooses once, before it makes its first key, by aead_choose(). Making a key allocates;
 * nothing else does, and nothing makes a system call. A key belongs to one thread.
 */
#ifndef QUIC_AEAD_H
#define QUIC_AEAD_H

#include <stddef.h>
#include <stdint.h>

enum aead_alg {
    AEAD_AES_128_GCM,       /* RFC 5116; Initial packets always */
    AEAD_AES_256_GCM,       /* RFC 5116 */
    AEAD_CHACHA20_POLY1305, /* RFC 8439 */
    AEAD_ALG_COUNT
};

enum {
    AEAD_KEY_BYTES_MAX = 32,
    AEAD_NONCE_BYTES = 12,
    AEAD_TAG_BYTES = 16,
    AEAD_SAMPLE_BYTES = 16,
    AEAD_MASK_BYTES = 5 /* what a header needs (RFC 9001, 5.4.1) */
};

/* A key of either kind, made and freed by its backend, which keeps its own behind this. */
struct aead_key {
    const struct aead_backend *backend;
};

/* Implemented by aead_*.c; everybody else uses the functions below. */
struct aead_backend {
    const char *name;

    /* An address in the code of its library when that is large and mostly not used, else NULL. */
    const void *code;

    /* Why it does not work on this machine, or NULL. May initialise the library. */
    const char *(*unusable)(void);

    /* NULL when out of memory or the library refuses. They may return another backend's key. */
    struct aead_key *(*key_new)(enum aead_alg alg, const uint8_t *key);
    struct aead_key *(*mask_new)(enum aead_alg alg, const uint8_t *key);
    void (*free)(struct aead_key *key);

    int (*seal)(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                const uint8_t *src, size_t len, uint8_t *dst);
    int (*open)(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                const uint8_t *src, size_t len, uint8_t *dst);
    int (*mask)(struct aead_key *key, const uint8_t *sample, uint8_t *ret);
};

extern const struct aead_backend aead_gnutls;
extern const struct aead_backend aead_ipsecmb; /* only where it is built in */

/* The backends of this build, the best first, ended by NULL. */
extern const struct aead_backend *const aead_backends[];

/* The backend to use: the best one that works here and passes aead_selftest(). `wish` limits the
 * choice to the backend of that name; NULL or "": any. Returns 0; -ENOENT: this build has no such
 * backend; -ENOTSUP: it does not work here. *ret_why says in words why a better one was passed
 * over, "" when none was; static. */
int aead_choose(const char *wish, const struct aead_backend **ret, const char **ret_why);

/* Seal and open known packets with each algorithm. Returns 0, or -EIO when one comes out wrong. */
int aead_selftest(const struct aead_backend *backend);

size_t aead_key_bytes(enum aead_alg alg);     /* 16 or 32; for the mask the same */
const char *aead_alg_name(enum aead_alg alg); /* "AES-128-GCM" */

/* A key to seal and open with, or one for masks. The key bytes are copied, and wiped when it is
 * freed. NULL when out of memory. */
struct aead_key *aead_key_new(const struct aead_backend *backend, enum aead_alg alg,
                              const uint8_t *key);
struct aead_key *aead_mask_new(const struct aead_backend *backend, enum aead_alg alg,
                               const uint8_t *key);
void aead_key_free(struct aead_key *key); /* accepts NULL */

/* Write the ciphertext of len bytes and then the tag: len + AEAD_TAG_BYTES to dst, which is src or
 * does not overlap it. nonce is AEAD_NONCE_BYTES long. Returns 0, or -EIO when the library fails.
 */
static inline int aead_seal(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad,
                            size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst)
{
    return key->backend->seal(key, nonce, aad, aad_len, src, len, dst);
}

/* The reverse: len counts ciphertext and tag, len - AEAD_TAG_BYTES are written to dst, which is src
 * or does not overlap it. Returns 0, or -EBADMSG when it is too short or the tag is wrong: then dst
 * holds nothing of use. */
static inline int aead_open(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad,
                            size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst)
{
    return key->backend->open(key, nonce, aad, aad_len, src, len, dst);
}

/* The mask for a header: from AEAD_SAMPLE_BYTES of ciphertext, at least AEAD_MASK_BYTES to ret,
 * which has room for AEAD_SAMPLE_BYTES (RFC 9001, 5.4.3 and 5.4.4). Returns 0 or -EIO. */
static inline int aead_mask(struct aead_key *key, const uint8_t *sample, uint8_t *ret)
{
    return key->backend->mask(key, sample, ret);
}

#endif
