/* GnuTLS: its AEAD interface for packets; for the mask one block of AES (CBC with a zero vector
 * is the bare cipher) or the ChaCha20 keystream. */
#include "quic/aead.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <gnutls/crypto.h>

#include "base/util.h"

struct tls_key {
    struct aead_key head;
    enum aead_alg alg;
    gnutls_aead_cipher_hd_t aead; /* one of the two */
    gnutls_cipher_hd_t cipher;
};

static const gnutls_cipher_algorithm_t aead_ids[] = {
    [AEAD_AES_128_GCM] = GNUTLS_CIPHER_AES_128_GCM,
    [AEAD_AES_256_GCM] = GNUTLS_CIPHER_AES_256_GCM,
    [AEAD_CHACHA20_POLY1305] = GNUTLS_CIPHER_CHACHA20_POLY1305,
};

static const gnutls_cipher_algorithm_t mask_ids[] = {
    [AEAD_AES_128_GCM] = GNUTLS_CIPHER_AES_128_CBC,
    [AEAD_AES_256_GCM] = GNUTLS_CIPHER_AES_256_CBC,
    [AEAD_CHACHA20_POLY1305] = GNUTLS_CIPHER_CHACHA20_32,
};

static const uint8_t zeros[AEAD_SAMPLE_BYTES];

static const char *tls_unusable(void)
{
    return NULL;
}

/* GnuTLS wipes its own copy of a key. */
static void tls_free(struct aead_key *key)
{
    struct tls_key *k = container_of(key, struct tls_key, head);

    if (k->aead)
        gnutls_aead_cipher_deinit(k->aead);
    if (k->cipher)
        gnutls_cipher_deinit(k->cipher);
    free(k);
}

static struct tls_key *tls_alloc(enum aead_alg alg)
{
    struct tls_key *k = calloc(1, sizeof(*k));

    if (k)
        *k = (struct tls_key){.head.backend = &aead_gnutls, .alg = alg};
    return k;
}

static struct aead_key *tls_key_new(enum aead_alg alg, const uint8_t *key)
{
    gnutls_datum_t datum = {.data = (unsigned char *)key, .size = (unsigned)aead_key_bytes(alg)};
    struct tls_key *k = tls_alloc(alg);

    if (!k)
        return NULL;
    if (gnutls_aead_cipher_init(&k->aead, aead_ids[alg], &datum)) {
        k->aead = NULL;
        tls_free(&k->head);
        return NULL;
    }
    return &k->head;
}

static struct aead_key *tls_mask_new(enum aead_alg alg, const uint8_t *key)
{
    gnutls_datum_t datum = {.data = (unsigned char *)key, .size = (unsigned)aead_key_bytes(alg)};
    gnutls_datum_t iv = {.data = (unsigned char *)zeros, .size = sizeof(zeros)};
    struct tls_key *k = tls_alloc(alg);

    if (!k)
        return NULL;
    if (gnutls_cipher_init(&k->cipher, mask_ids[alg], &datum, &iv)) {
        k->cipher = NULL;
        tls_free(&k->head);
        return NULL;
    }
    return &k->head;
}

static int tls_seal(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                    const uint8_t *src, size_t len, uint8_t *dst)
{
    struct tls_key *k = container_of(key, struct tls_key, head);
    size_t out = len + AEAD_TAG_BYTES;

    return gnutls_aead_cipher_encrypt(k->aead, nonce, AEAD_NONCE_BYTES, aad, aad_len,
                                      AEAD_TAG_BYTES, src, len, dst, &out)
               ? -EIO
               : 0;
}

static int tls_open(struct aead_key *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
                    const uint8_t *src, size_t len, uint8_t *dst)
{
    struct tls_key *k = container_of(key, struct tls_key, head);
    size_t out = len - AEAD_TAG_BYTES;

    if (len < AEAD_TAG_BYTES)
        return -EBADMSG;
    return gnutls_aead_cipher_decrypt(k->aead, nonce, AEAD_NONCE_BYTES, aad, aad_len,
                                      AEAD_TAG_BYTES, src, len, dst, &out)
               ? -EBADMSG
               : 0;
}

/* ChaCha20 takes the sample as block counter and nonce, AES as the block. */
static int tls_mask(struct aead_key *key, const uint8_t *sample, uint8_t *ret)
{
    struct tls_key *k = container_of(key, struct tls_key, head);
    bool chacha = k->alg == AEAD_CHACHA20_POLY1305;

    gnutls_cipher_set_iv(k->cipher, (void *)(chacha ? sample : zeros), AEAD_SAMPLE_BYTES);
    return gnutls_cipher_encrypt2(k->cipher, chacha ? zeros : sample, AEAD_SAMPLE_BYTES, ret,
                                  AEAD_SAMPLE_BYTES)
               ? -EIO
               : 0;
}

const struct aead_backend aead_gnutls = {
    .name = "gnutls",
    .unusable = tls_unusable,
    .key_new = tls_key_new,
    .mask_new = tls_mask_new,
    .free = tls_free,
    .seal = tls_seal,
    .open = tls_open,
    .mask = tls_mask,
};
