#include "quic/protect.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "base/util.h"

enum { LABEL_BYTES_MAX = 64 };

/* RFC 9001, 5.2 */
static const uint8_t initial_salt[] = {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                                       0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a};
/* RFC 9001, 5.8 */
static const uint8_t retry_key[] = {0xbe, 0x0c, 0x69, 0x0b, 0x9f, 0x66, 0x57, 0x5a,
                                    0x1d, 0x76, 0x6b, 0x54, 0xe3, 0x68, 0xc8, 0x4e};

/* The keys of one direction. */
struct keys {
    struct aead_key *aead, *mask;
    uint8_t iv[AEAD_NONCE_BYTES];
};

/* --- keys out of secrets --------------------------------------------------------------- */

static gnutls_mac_algorithm_t hash_of(enum aead_alg alg)
{
    return alg == AEAD_AES_256_GCM ? GNUTLS_MAC_SHA384 : GNUTLS_MAC_SHA256;
}

int protect_expand(enum aead_alg alg, const uint8_t *secret, size_t secret_len, const char *label,
                   uint8_t *ret, size_t len)
{
    static const char prefix[] = "tls13 ";
    uint8_t info[LABEL_BYTES_MAX];
    size_t label_len = strlen(label), at = 0;
    gnutls_datum_t key = {.data = (unsigned char *)secret, .size = (unsigned)secret_len};
    gnutls_datum_t text = {.data = info};

    if (label_len + sizeof(prefix) + 4 > sizeof(info))
        return -EIO;
    info[at++] = (uint8_t)(len >> 8);
    info[at++] = (uint8_t)len;
    info[at++] = (uint8_t)(sizeof(prefix) - 1 + label_len);
    memcpy(info + at, prefix, sizeof(prefix) - 1);
    at += sizeof(prefix) - 1;
    memcpy(info + at, label, label_len);
    at += label_len;
    info[at++] = 0; /* no context */
    text.size = (unsigned)at;
    return gnutls_hkdf_expand(hash_of(alg), &key, &text, ret, len) ? -EIO : 0;
}

int protect_initial_secrets(const uint8_t *dcid, size_t len,
                            uint8_t ret_client[static PROTECT_INITIAL_SECRET_BYTES],
                            uint8_t ret_server[static PROTECT_INITIAL_SECRET_BYTES])
{
    gnutls_datum_t salt = {.data = (unsigned char *)initial_salt, .size = sizeof(initial_salt)};
    gnutls_datum_t cid = {.data = (unsigned char *)dcid, .size = (unsigned)len};
    uint8_t initial[PROTECT_INITIAL_SECRET_BYTES];

    if (gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &cid, &salt, initial) ||
        protect_expand(AEAD_AES_128_GCM, initial, sizeof(initial), "client in", ret_client,
                       PROTECT_INITIAL_SECRET_BYTES))
        return -EIO;
    return protect_expand(AEAD_AES_128_GCM, initial, sizeof(initial), "server in", ret_server,
                          PROTECT_INITIAL_SECRET_BYTES);
}

static void keys_free(struct keys *k)
{
    aead_key_free(k->aead);
    aead_key_free(k->mask);
    explicit_bzero(k, sizeof(*k));
}

/* with_mask: a key update leaves the key of the mask as it is (6.1). */
static int keys_derive(const struct protect *p, enum aead_alg alg, const uint8_t *secret,
                       size_t len, bool with_mask, struct keys *ret)
{
    uint8_t key[AEAD_KEY_BYTES_MAX];
    size_t n = aead_key_bytes(alg);
    struct keys k = {0};
    int rv = protect_expand(alg, secret, len, "quic iv", k.iv, sizeof(k.iv));

    if (!rv)
        rv = protect_expand(alg, secret, len, "quic key", key, n);
    if (!rv)
        k.aead = aead_key_new(p->backend, alg, key);
    if (!rv && with_mask)
        rv = protect_expand(alg, secret, len, "quic hp", key, n);
    if (!rv && with_mask)
        k.mask = aead_mask_new(p->backend, alg, key);
    explicit_bzero(key, sizeof(key));
    if (rv || !k.aead || (with_mask && !k.mask)) {
        keys_free(&k);
        return -ENOMEM;
    }
    *ret = k;
    explicit_bzero(&k, sizeof(k));
    return 0;
}

/* --- installing ------------------------------------------------------------------------ */

/* What ngtcp2 hands back in each callback: `p`, by which they find the drop counters, and the
 * backend for a key update. The limits are those of RFC 9001, 6.6. */
static ngtcp2_crypto_ctx crypto_ctx(struct protect *p, enum aead_alg alg)
{
    bool chacha = alg == AEAD_CHACHA20_POLY1305;
    uint64_t max_encryption = chacha ? 1ull << 62 : 1ull << 23;

    return (ngtcp2_crypto_ctx){
        .aead = {.native_handle = p, .max_overhead = AEAD_TAG_BYTES},
        .md = {.native_handle = p},
        .hp = {.native_handle = p},
        .max_encryption = p->max_encryption ? p->max_encryption : max_encryption,
        .max_decryption_failure = chacha ? 1ull << 36 : 1ull << 52,
    };
}

static int install_retry(struct protect *p, ngtcp2_conn *conn, const ngtcp2_crypto_ctx *ctx)
{
    ngtcp2_crypto_aead_ctx retry = {.native_handle =
                                        aead_key_new(p->backend, AEAD_AES_128_GCM, retry_key)};

    if (!retry.native_handle)
        return -ENOMEM;
    ngtcp2_conn_set_retry_aead(conn, &ctx->aead, &retry);
    return 0;
}

int protect_install_initial(struct protect *p, ngtcp2_conn *conn, const ngtcp2_cid *dcid)
{
    bool server = ngtcp2_conn_is_server(conn);
    ngtcp2_crypto_ctx ctx = crypto_ctx(p, AEAD_AES_128_GCM);
    uint8_t secret[2][PROTECT_INITIAL_SECRET_BYTES];
    struct keys side[2] = {0}; /* of what the client sends, of what the server sends */
    ngtcp2_crypto_aead_ctx aead[2];
    ngtcp2_crypto_cipher_ctx mask[2];
    int tx = server, rx = !server;

    if (protect_initial_secrets(dcid->data, dcid->datalen, secret[0], secret[1]) ||
        keys_derive(p, AEAD_AES_128_GCM, secret[0], sizeof(secret[0]), true, &side[0]) ||
        keys_derive(p, AEAD_AES_128_GCM, secret[1], sizeof(secret[1]), true, &side[1]))
        goto fail;
    for (unsigned i = 0; i < 2; i++) {
        aead[i].native_handle = side[i].aead;
        mask[i].native_handle = side[i].mask;
    }
    ngtcp2_conn_set_initial_crypto_ctx(conn, &ctx);
    if (!server && !ngtcp2_conn_after_retry(conn) && install_retry(p, conn, &ctx))
        goto fail;
    if (!ngtcp2_conn_install_initial_key(conn, &aead[rx], side[rx].iv, &mask[rx], &aead[tx],
                                         side[tx].iv, &mask[tx], AEAD_NONCE_BYTES))
        return 0;
fail:
    keys_free(&side[0]);
    keys_free(&side[1]);
    return -ENOMEM;
}

/* The negotiated algorithm is told to ngtcp2 with the first key. */
static int prepare(struct protect *p, ngtcp2_conn *conn, const uint8_t *secret, size_t len,
                   struct keys *ret)
{
    if (!ngtcp2_conn_get_crypto_ctx(conn)->aead.native_handle) {
        ngtcp2_crypto_ctx ctx = crypto_ctx(p, p->alg);

        ngtcp2_conn_set_crypto_ctx(conn, &ctx);
    }
    return keys_derive(p, p->alg, secret, len, true, ret);
}

int protect_install_rx(struct protect *p, ngtcp2_conn *conn, ngtcp2_encryption_level level,
                       const uint8_t *secret, size_t len)
{
    ngtcp2_crypto_cipher_ctx mask;
    ngtcp2_crypto_aead_ctx aead;
    struct keys k;
    int rv = prepare(p, conn, secret, len, &k);

    if (rv)
        return rv;
    aead.native_handle = k.aead;
    mask.native_handle = k.mask;
    rv = level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE
             ? ngtcp2_conn_install_rx_handshake_key(conn, &aead, k.iv, sizeof(k.iv), &mask)
             : ngtcp2_conn_install_rx_key(conn, secret, len, &aead, k.iv, sizeof(k.iv), &mask);
    if (rv)
        keys_free(&k);
    return rv ? -ENOMEM : 0;
}

int protect_install_tx(struct protect *p, ngtcp2_conn *conn, ngtcp2_encryption_level level,
                       const uint8_t *secret, size_t len)
{
    ngtcp2_crypto_cipher_ctx mask;
    ngtcp2_crypto_aead_ctx aead;
    struct keys k;
    int rv = prepare(p, conn, secret, len, &k);

    if (rv)
        return rv;
    aead.native_handle = k.aead;
    mask.native_handle = k.mask;
    rv = level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE
             ? ngtcp2_conn_install_tx_handshake_key(conn, &aead, k.iv, sizeof(k.iv), &mask)
             : ngtcp2_conn_install_tx_key(conn, secret, len, &aead, k.iv, sizeof(k.iv), &mask);
    if (rv)
        keys_free(&k);
    return rv ? -ENOMEM : 0;
}

/* --- what ngtcp2 calls ----------------------------------------------------------------- */

static int on_encrypt(uint8_t *dst, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    return aead_seal(ctx->native_handle, nonce, aad, aad_len, text, len, dst)
               ? NGTCP2_ERR_CALLBACK_FAILURE
               : 0;
}

static int on_decrypt(uint8_t *dst, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    struct protect *p = aead->native_handle;

    if (!aead_open(ctx->native_handle, nonce, aad, aad_len, text, len, dst))
        return 0;
    drop_count(p->drops, DROP_UNDECRYPTABLE);
    return NGTCP2_ERR_DECRYPT;
}

static int on_mask(uint8_t *dst, const ngtcp2_crypto_cipher *hp,
                   const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
    return aead_mask(ctx->native_handle, sample, dst) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

/* The next secret of one direction and its key (6.1). */
static int next_keys(const struct protect *p, const uint8_t *was, size_t len, uint8_t *ret_secret,
                     struct keys *ret)
{
    int rv = protect_expand(p->alg, was, len, "quic ku", ret_secret, len);

    return rv ? rv : keys_derive(p, p->alg, ret_secret, len, false, ret);
}

static int on_update_key(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                         ngtcp2_crypto_aead_ctx *rx_aead, uint8_t *rx_iv,
                         ngtcp2_crypto_aead_ctx *tx_aead, uint8_t *tx_iv, const uint8_t *rx_was,
                         const uint8_t *tx_was, size_t len, void *user)
{
    const struct protect *p = ngtcp2_conn_get_crypto_ctx(conn)->aead.native_handle;
    struct keys rx, tx;

    if (next_keys(p, rx_was, len, rx_secret, &rx))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    if (next_keys(p, tx_was, len, tx_secret, &tx)) {
        keys_free(&rx);
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    rx_aead->native_handle = rx.aead;
    tx_aead->native_handle = tx.aead;
    memcpy(rx_iv, rx.iv, sizeof(rx.iv));
    memcpy(tx_iv, tx.iv, sizeof(tx.iv));
    return 0;
}

static void on_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *user)
{
    aead_key_free(ctx->native_handle);
}

static void on_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx, void *user)
{
    aead_key_free(ctx->native_handle);
}

/* Version 1 is the only one that either end speaks, so there is none to change to. */
static int on_version(ngtcp2_conn *conn, uint32_t version, const ngtcp2_cid *dcid, void *user)
{
    return NGTCP2_ERR_CALLBACK_FAILURE;
}

void protect_callbacks(ngtcp2_callbacks *cb)
{
    cb->encrypt = on_encrypt;
    cb->decrypt = on_decrypt;
    cb->hp_mask = on_mask;
    cb->update_key = on_update_key;
    cb->delete_crypto_aead_ctx = on_delete_aead;
    cb->delete_crypto_cipher_ctx = on_delete_cipher;
    cb->version_negotiation = on_version;
}
