/* AES-128-GCM over one record at a time, behind one small interface with several backends.
 *
 * Every backend works out of place: sealing is also the only copy a record needs on its way from
 * the TUN read buffer into the UDP send buffer, and opening the only one on the way back.
 *
 * The nonce is the static IV XOR the record number (as in RFC 9001, 5.3). Keys are static and the
 * numbers start at 0 in every run, so this protects nothing: it costs what protection costs.
 */
#ifndef NULL_AEAD_H
#define NULL_AEAD_H

#include <stddef.h>
#include <stdint.h>

enum { AEAD_KEY_LEN = 16, AEAD_IV_LEN = 12, AEAD_TAG_LEN = 16 };

/* Called with a ready nonce. seal writes len + AEAD_TAG_LEN bytes to dst and returns 0 or
 * -EIO. open reads len + AEAD_TAG_LEN bytes from src, writes len bytes to dst and returns 0, or
 * -EBADMSG when the tag does not match (dst is then undefined). */
typedef int aead_seal_fn(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                         const uint8_t *src, size_t len, uint8_t *dst);
typedef int aead_open_fn(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                         const uint8_t *src, size_t len, uint8_t *dst);

struct aead_backend {
    const char *name;
    void *(*ctx_new)(const uint8_t key[static AEAD_KEY_LEN]); /* NULL when it cannot be made */
    void (*ctx_free)(void *ctx);
    aead_seal_fn *seal;
    aead_open_fn *open;
};

/* One direction: a backend, its key schedule and the IV. */
struct aead {
    const struct aead_backend *backend;
    void *ctx;
    uint8_t iv[AEAD_IV_LEN];
};

/* The backends of this build, ended by NULL: none, gnutls and, when built in, ipsecmb. */
extern const struct aead_backend *const aead_backends[];
extern const struct aead_backend aead_backend_ipsecmb; /* only when built in */

/* The backend called name, or NULL. */
const struct aead_backend *aead_backend_find(const char *name);

/* Set up one direction. Returns 0, or -ENOTSUP when the backend does not work on this machine. */
int aead_init(struct aead *aead, const struct aead_backend *backend,
              const uint8_t key[static AEAD_KEY_LEN], const uint8_t iv[static AEAD_IV_LEN]);
void aead_done(struct aead *aead);

/* Seal or open record number pn; lengths and errors as in aead_seal_fn and aead_open_fn. */
int aead_seal(const struct aead *aead, uint64_t pn, const uint8_t *aad, size_t aad_len,
              const uint8_t *src, size_t len, uint8_t *dst);
int aead_open(const struct aead *aead, uint64_t pn, const uint8_t *aad, size_t aad_len,
              const uint8_t *src, size_t len, uint8_t *dst);

#endif
