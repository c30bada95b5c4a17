#include "aead.h"

#include <errno.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

/* none: the copy alone, so that everything but the cipher is measured. */

static void *none_new(const uint8_t key[static AEAD_KEY_LEN])
{
    static char ctx;

    return &ctx;
}

static void none_free(void *ctx)
{
}

static int none_seal(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                     const uint8_t *src, size_t len, uint8_t *dst)
{
    memcpy(dst, src, len);
    memset(dst + len, 0, AEAD_TAG_LEN);
    return 0;
}

static int none_open(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                     const uint8_t *src, size_t len, uint8_t *dst)
{
    memcpy(dst, src, len);
    return 0;
}

static void *tls_new(const uint8_t key[static AEAD_KEY_LEN])
{
    uint8_t copy[AEAD_KEY_LEN];
    gnutls_datum_t datum = {copy, sizeof(copy)};
    gnutls_aead_cipher_hd_t hd;

    memcpy(copy, key, sizeof(copy));
    if (gnutls_aead_cipher_init(&hd, GNUTLS_CIPHER_AES_128_GCM, &datum) < 0)
        return NULL;
    return hd;
}

static void tls_free(void *ctx)
{
    gnutls_aead_cipher_deinit(ctx);
}

static int tls_seal(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                    const uint8_t *src, size_t len, uint8_t *dst)
{
    size_t out = len + AEAD_TAG_LEN;

    if (gnutls_aead_cipher_encrypt(ctx, nonce, AEAD_IV_LEN, aad, aad_len, AEAD_TAG_LEN, src, len,
                                   dst, &out) < 0)
        return -EIO;
    return 0;
}

static int tls_open(void *ctx, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                    const uint8_t *src, size_t len, uint8_t *dst)
{
    size_t out = len;

    if (gnutls_aead_cipher_decrypt(ctx, nonce, AEAD_IV_LEN, aad, aad_len, AEAD_TAG_LEN, src,
                                   len + AEAD_TAG_LEN, dst, &out) < 0)
        return -EBADMSG;
    return 0;
}

static const struct aead_backend backend_none = {"none", none_new, none_free, none_seal, none_open};
static const struct aead_backend backend_gnutls = {"gnutls", tls_new, tls_free, tls_seal, tls_open};

const struct aead_backend *const aead_backends[] = {
    &backend_none,
    &backend_gnutls,
#ifdef HAVE_IPSECMB
    &aead_backend_ipsecmb,
#endif
    NULL,
};

const struct aead_backend *aead_backend_find(const char *name)
{
    for (size_t i = 0; aead_backends[i] != NULL; i++)
        if (strcmp(aead_backends[i]->name, name) == 0)
            return aead_backends[i];
    return NULL;
}

int aead_init(struct aead *aead, const struct aead_backend *backend,
              const uint8_t key[static AEAD_KEY_LEN], const uint8_t iv[static AEAD_IV_LEN])
{
    void *ctx = backend->ctx_new(key);

    if (ctx == NULL)
        return -ENOTSUP;
    aead->backend = backend;
    aead->ctx = ctx;
    memcpy(aead->iv, iv, AEAD_IV_LEN);
    return 0;
}

void aead_done(struct aead *aead)
{
    if (aead->ctx != NULL)
        aead->backend->ctx_free(aead->ctx);
    aead->ctx = NULL;
}

static void nonce_make(const struct aead *aead, uint64_t pn, uint8_t ret_nonce[AEAD_IV_LEN])
{
    uint64_t tail;
    uint64_t be = __builtin_bswap64(pn);

    memcpy(ret_nonce, aead->iv, AEAD_IV_LEN);
    memcpy(&tail, ret_nonce + 4, sizeof(tail));
    tail ^= be;
    memcpy(ret_nonce + 4, &tail, sizeof(tail));
}

int aead_seal(const struct aead *aead, uint64_t pn, const uint8_t *aad, size_t aad_len,
              const uint8_t *src, size_t len, uint8_t *dst)
{
    uint8_t nonce[AEAD_IV_LEN];

    nonce_make(aead, pn, nonce);
    return aead->backend->seal(aead->ctx, nonce, aad, aad_len, src, len, dst);
}

int aead_open(const struct aead *aead, uint64_t pn, const uint8_t *aad, size_t aad_len,
              const uint8_t *src, size_t len, uint8_t *dst)
{
    uint8_t nonce[AEAD_IV_LEN];

    nonce_make(aead, pn, nonce);
    return aead->backend->open(aead->ctx, nonce, aad, aad_len, src, len, dst);
}
