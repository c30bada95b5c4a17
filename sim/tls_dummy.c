#include "sim/tls_dummy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sim/hash.h"
#include "sim/sim.h"

enum {
    RANDOM_BYTES = 32,
    NAME_MAX_BYTES = 63,
    SECRET_BYTES = 32,
    TAG_BYTES = 16,
    IV_BYTES = 12,
    CLIENT_HELLO_BYTES = 300,
    SERVER_HELLO_BYTES = 122,
    SERVER_CERT_BYTES = 2500,
    CLIENT_CERT_BYTES = 1400,
    MESSAGE_MAX_BYTES = 2600,
    RETRY_SEED = 77 /* of the key of Retry packets, which everybody knows */
};

/* The first byte of a message; then two bytes of length of the whole. */
enum { MSG_CLIENT_HELLO = 1, MSG_SERVER_HELLO = 2, MSG_SERVER_CERT = 11, MSG_CLIENT_CERT = 12 };

/* What the peer's failed proof or unknown message is answered with (RFC 8446, 6.2). */
enum { ALERT_UNEXPECTED = 10, ALERT_DECRYPT = 51, ALERT_BAD_CERT = 42 };

struct key {
    uint64_t k[2];
};

struct session {
    struct tls_dummy *ctx;
    struct protect *protect; /* NULL: packets are only tagged */
    bool server;
    uint8_t client_random[RANDOM_BYTES], server_random[RANDOM_BYTES];
    uint8_t in[MESSAGE_MAX_BYTES];
    size_t in_len;
    ngtcp2_encryption_level in_level;
    char peer_name[NAME_MAX_BYTES + 1];
    enum quic_fail fail;
};

static const ngtcp2_crypto_ctx crypto_ctx = {
    .aead = {.native_handle = (void *)"dummy", .max_overhead = TAG_BYTES},
    .md = {.native_handle = (void *)"dummy"},
    .hp = {.native_handle = (void *)"dummy"},
    .max_encryption = 1ull << 23,
    .max_decryption_failure = 1ull << 52,
};

/* --- keys and packets ------------------------------------------------------------------ */

/* Keys for one direction of one level, out of a secret. */
struct protection {
    ngtcp2_crypto_aead_ctx aead;
    ngtcp2_crypto_cipher_ctx hp;
    uint8_t iv[IV_BYTES];
};

static struct key *key_new(uint64_t h, uint64_t label)
{
    struct key *k = sim_alloc(sizeof(*k));

    k->k[0] = hash_u64(h, 2 * label);
    k->k[1] = hash_u64(h, 2 * label + 1);
    return k;
}

static void derive_iv(uint8_t iv[static IV_BYTES], uint64_t h)
{
    uint64_t v[2] = {hash_u64(h, 100), hash_u64(h, 101)};

    memcpy(iv, v, IV_BYTES);
}

static struct protection protect(const void *secret, size_t len)
{
    uint64_t h = hash_bytes(3, secret, len);
    struct protection p = {.aead.native_handle = key_new(h, 1), .hp.native_handle = key_new(h, 2)};

    derive_iv(p.iv, h);
    return p;
}

static void tag(uint8_t ret[static TAG_BYTES], const struct key *k, const uint8_t *text, size_t len,
                const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    uint64_t h = hash_bytes(k->k[0], nonce, nonce_len), t[2];

    h = hash_bytes(h, aad, aad_len);
    h = hash_bytes(h, text, len);
    t[0] = hash_u64(h, k->k[0]);
    t[1] = hash_u64(h, k->k[1]);
    memcpy(ret, t, TAG_BYTES);
}

static int on_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *aead_ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    if (!aead_ctx->native_handle)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    memmove(dest, text, len);
    tag(dest + len, aead_ctx->native_handle, dest, len, nonce, nonce_len, aad, aad_len);
    return 0;
}

static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                      const ngtcp2_crypto_aead_ctx *aead_ctx, const uint8_t *text, size_t len,
                      const uint8_t *nonce, size_t nonce_len, const uint8_t *aad, size_t aad_len)
{
    uint8_t t[TAG_BYTES];

    if (len < TAG_BYTES || !aead_ctx->native_handle)
        return NGTCP2_ERR_DECRYPT;
    len -= TAG_BYTES;
    tag(t, aead_ctx->native_handle, text, len, nonce, nonce_len, aad, aad_len);
    if (memcmp(t, text + len, TAG_BYTES))
        return NGTCP2_ERR_DECRYPT;
    memmove(dest, text, len);
    return 0;
}

static int on_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                      const ngtcp2_crypto_cipher_ctx *hp_ctx, const uint8_t *sample)
{
    const struct key *k = hp_ctx->native_handle;
    uint64_t mask = hash_bytes(k->k[0], sample, NGTCP2_HP_SAMPLELEN);

    memcpy(dest, &mask, NGTCP2_HP_MASKLEN);
    return 0;
}

static void on_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *user)
{
    free(ctx->native_handle);
}

static void on_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ctx, void *user)
{
    free(ctx->native_handle);
}

/* The next generation of a secret (key update; RFC 9001, 6). */
static void next_secret(uint8_t *dst, const uint8_t *secret, size_t len)
{
    uint64_t h = hash_bytes(4, secret, len);
    struct rng r;

    rng_seed(&r, h);
    rng_bytes(&r, dst, len);
}

static int on_update_key(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                         ngtcp2_crypto_aead_ctx *rx_aead, uint8_t *rx_iv,
                         ngtcp2_crypto_aead_ctx *tx_aead, uint8_t *tx_iv, const uint8_t *rx_was,
                         const uint8_t *tx_was, size_t len, void *user)
{
    struct protection rx, tx;

    next_secret(rx_secret, rx_was, len);
    next_secret(tx_secret, tx_was, len);
    rx = protect(rx_secret, len);
    tx = protect(tx_secret, len);
    free(rx.hp.native_handle); /* header protection keys stay */
    free(tx.hp.native_handle);
    *rx_aead = rx.aead;
    *tx_aead = tx.aead;
    memcpy(rx_iv, rx.iv, IV_BYTES);
    memcpy(tx_iv, tx.iv, IV_BYTES);
    return 0;
}

/* --- installing keys ------------------------------------------------------------------- */

/* The traffic secret of a level and direction, from both randoms. */
static void traffic_secret(const struct session *s, ngtcp2_encryption_level level, bool of_server,
                           uint8_t ret[static SECRET_BYTES])
{
    uint64_t h = hash_u64(5, 2 * (uint64_t)level + of_server);
    struct rng r;

    h = hash_bytes(h, s->client_random, RANDOM_BYTES);
    h = hash_bytes(h, s->server_random, RANDOM_BYTES);
    rng_seed(&r, h);
    rng_bytes(&r, ret, SECRET_BYTES);
}

static int install_initial(ngtcp2_conn *conn, const ngtcp2_cid *client_dcid)
{
    const struct session *s = ngtcp2_conn_get_tls_native_handle(conn);
    bool server = ngtcp2_conn_is_server(conn);
    uint8_t secret[1 + NGTCP2_MAX_CIDLEN];
    struct protection side[2]; /* 0 what the client sends, 1 the server */

    if (s->protect)
        return protect_install_initial(s->protect, conn, client_dcid);
    memcpy(secret + 1, client_dcid->data, client_dcid->datalen);
    for (int i = 0; i < 2; i++) {
        secret[0] = (uint8_t)i;
        side[i] = protect(secret, 1 + client_dcid->datalen);
    }
    ngtcp2_conn_set_initial_crypto_ctx(conn, &crypto_ctx);
    return ngtcp2_conn_install_initial_key(conn, &side[!server].aead, side[!server].iv,
                                           &side[!server].hp, &side[server].aead, side[server].iv,
                                           &side[server].hp, IV_BYTES);
}

/* Keys of a real cipher. A secret that is NULL is not installed now. */
static int install_sealed(ngtcp2_conn *conn, struct session *s, ngtcp2_encryption_level level,
                          const uint8_t *rx, const uint8_t *tx)
{
    s->protect->alg = s->ctx->alg;
    s->protect->max_encryption = s->ctx->max_encryption;
    if (rx && protect_install_rx(s->protect, conn, level, rx, SECRET_BYTES))
        return -1;
    return tx ? protect_install_tx(s->protect, conn, level, tx, SECRET_BYTES) : 0;
}

static int install_handshake(ngtcp2_conn *conn, struct session *s)
{
    uint8_t rx_secret[SECRET_BYTES], tx_secret[SECRET_BYTES];
    struct protection rx, tx;

    traffic_secret(s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, !s->server, rx_secret);
    traffic_secret(s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, s->server, tx_secret);
    if (s->protect)
        return install_sealed(conn, s, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, rx_secret, tx_secret);
    rx = protect(rx_secret, SECRET_BYTES);
    tx = protect(tx_secret, SECRET_BYTES);
    ngtcp2_conn_set_crypto_ctx(conn, &crypto_ctx);
    if (ngtcp2_conn_install_rx_handshake_key(conn, &rx.aead, rx.iv, IV_BYTES, &rx.hp))
        return -1;
    return ngtcp2_conn_install_tx_handshake_key(conn, &tx.aead, tx.iv, IV_BYTES, &tx.hp);
}

static int install_tx(ngtcp2_conn *conn, struct session *s)
{
    uint8_t secret[SECRET_BYTES];
    struct protection tx;

    traffic_secret(s, NGTCP2_ENCRYPTION_LEVEL_1RTT, s->server, secret);
    if (s->protect)
        return install_sealed(conn, s, NGTCP2_ENCRYPTION_LEVEL_1RTT, NULL, secret);
    tx = protect(secret, SECRET_BYTES);
    return ngtcp2_conn_install_tx_key(conn, secret, SECRET_BYTES, &tx.aead, tx.iv, IV_BYTES,
                                      &tx.hp);
}

static int install_rx(ngtcp2_conn *conn, struct session *s)
{
    uint8_t secret[SECRET_BYTES];
    struct protection rx;

    traffic_secret(s, NGTCP2_ENCRYPTION_LEVEL_1RTT, !s->server, secret);
    if (s->protect)
        return install_sealed(conn, s, NGTCP2_ENCRYPTION_LEVEL_1RTT, secret, NULL);
    rx = protect(secret, SECRET_BYTES);
    return ngtcp2_conn_install_rx_key(conn, secret, SECRET_BYTES, &rx.aead, rx.iv, IV_BYTES,
                                      &rx.hp);
}

/* --- messages -------------------------------------------------------------------------- */

/* A message: type, length, fields of two bytes of length each, random padding to `bytes`. */
static size_t begin_message(struct session *s, uint8_t *m, uint8_t type, size_t bytes)
{
    rng_bytes(s->ctx->rng, m, bytes);
    m[0] = type;
    store_be16(m + 1, (uint16_t)bytes);
    return 3;
}

static size_t put_field(uint8_t *m, size_t at, const void *data, size_t len)
{
    store_be16(m + at, (uint16_t)len);
    memcpy(m + at + 2, data, len);
    return at + 2 + len;
}

/* The field at *at; NULL when it reaches past the message. */
static const uint8_t *get_field(const uint8_t *m, size_t size, size_t *at, size_t *ret_len)
{
    const uint8_t *field = m + *at + 2;

    if (*at + 2 > size)
        return NULL;
    *ret_len = load_be16(m + *at);
    if (*at + 2 + *ret_len > size)
        return NULL;
    *at += 2 + *ret_len;
    return field;
}

static size_t put_params(ngtcp2_conn *conn, uint8_t *m, size_t at)
{
    uint8_t params[256];
    ngtcp2_ssize n = ngtcp2_conn_encode_local_transport_params(conn, params, sizeof(params));

    if (n < 0)
        abort();
    return put_field(m, at, params, (size_t)n);
}

static int get_params(ngtcp2_conn *conn, const uint8_t *m, size_t size, size_t *at)
{
    size_t len;
    const uint8_t *params = get_field(m, size, at, &len);

    return params ? ngtcp2_conn_decode_and_set_remote_transport_params(conn, params, len)
                  : NGTCP2_ERR_MALFORMED_TRANSPORT_PARAM;
}

static uint64_t proof(const struct session *s, uint8_t type)
{
    uint64_t h = hash_u64(6, type);

    h = hash_bytes(h, s->client_random, RANDOM_BYTES);
    return hash_bytes(h, s->server_random, RANDOM_BYTES);
}

static size_t put_name_and_proof(const struct session *s, uint8_t *m, size_t at)
{
    const char *name = s->ctx->name ? s->ctx->name : "";
    uint64_t p = proof(s, m[0]);

    at = put_field(m, at, name, MIN(strlen(name), (size_t)NAME_MAX_BYTES));
    return put_field(m, at, &p, sizeof(p));
}

static int alert(ngtcp2_conn *conn, uint8_t number)
{
    ngtcp2_conn_set_tls_alert(conn, number);
    return NGTCP2_ERR_CRYPTO;
}

static enum quic_fail check_peer(const struct session *s, const struct tls_dummy *ctx)
{
    return ctx->revoked && !strcmp(ctx->revoked, s->peer_name) ? QUIC_FAIL_CERT_REVOKED
                                                               : ctx->refuse;
}

/* Check the peer's name and proof; may refuse it. */
static int get_name_and_proof(ngtcp2_conn *conn, struct session *s, const uint8_t *m, size_t size,
                              size_t *at)
{
    size_t name_len, proof_len;
    const uint8_t *name = get_field(m, size, at, &name_len);
    const uint8_t *got = name ? get_field(m, size, at, &proof_len) : NULL;
    uint64_t want = proof(s, m[0]);

    if (!got || name_len > NAME_MAX_BYTES || proof_len != sizeof(want) ||
        memcmp(got, &want, sizeof(want)))
        return alert(conn, ALERT_DECRYPT);
    memcpy(s->peer_name, name, name_len);
    s->peer_name[name_len] = 0;
    s->fail = check_peer(s, s->ctx);
    return s->fail == QUIC_FAIL_NONE ? 0 : alert(conn, ALERT_BAD_CERT);
}

static int send_client_hello(ngtcp2_conn *conn, struct session *s)
{
    uint8_t m[CLIENT_HELLO_BYTES];
    size_t at = begin_message(s, m, MSG_CLIENT_HELLO, sizeof(m));

    rng_bytes(s->ctx->rng, s->client_random, RANDOM_BYTES);
    at = put_field(m, at, s->client_random, RANDOM_BYTES);
    put_params(conn, m, at);
    return ngtcp2_conn_submit_crypto_data(conn, NGTCP2_ENCRYPTION_LEVEL_INITIAL, m, sizeof(m));
}

static int send_server_flight(ngtcp2_conn *conn, struct session *s)
{
    uint8_t hello[SERVER_HELLO_BYTES], cert[SERVER_CERT_BYTES];
    size_t at = begin_message(s, hello, MSG_SERVER_HELLO, sizeof(hello));
    int rv;

    rng_bytes(s->ctx->rng, s->server_random, RANDOM_BYTES);
    put_field(hello, at, s->server_random, RANDOM_BYTES);
    rv =
        ngtcp2_conn_submit_crypto_data(conn, NGTCP2_ENCRYPTION_LEVEL_INITIAL, hello, sizeof(hello));
    if (rv || install_handshake(conn, s))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    at = begin_message(s, cert, MSG_SERVER_CERT, sizeof(cert));
    at = put_params(conn, cert, at);
    put_name_and_proof(s, cert, at);
    rv =
        ngtcp2_conn_submit_crypto_data(conn, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, cert, sizeof(cert));
    if (rv || install_tx(conn, s))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int send_client_cert(ngtcp2_conn *conn, struct session *s)
{
    uint8_t m[CLIENT_CERT_BYTES];
    size_t at = begin_message(s, m, MSG_CLIENT_CERT, sizeof(m));

    put_name_and_proof(s, m, at);
    return ngtcp2_conn_submit_crypto_data(conn, NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE, m, sizeof(m));
}

/* --- the exchange ---------------------------------------------------------------------- */

static int get_random(const uint8_t *m, size_t size, size_t *at, uint8_t ret[static RANDOM_BYTES])
{
    size_t len;
    const uint8_t *random = get_field(m, size, at, &len);

    if (!random || len != RANDOM_BYTES)
        return -1;
    memcpy(ret, random, RANDOM_BYTES);
    return 0;
}

static int server_message(ngtcp2_conn *conn, struct session *s, const uint8_t *m, size_t size)
{
    size_t at = 3;
    int rv;

    if (m[0] == MSG_CLIENT_HELLO && s->in_level == NGTCP2_ENCRYPTION_LEVEL_INITIAL) {
        if (get_random(m, size, &at, s->client_random))
            return alert(conn, ALERT_UNEXPECTED);
        rv = get_params(conn, m, size, &at);
        return rv ? rv : send_server_flight(conn, s);
    }
    if (m[0] != MSG_CLIENT_CERT || s->in_level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE)
        return alert(conn, ALERT_UNEXPECTED);
    rv = get_name_and_proof(conn, s, m, size, &at);
    if (rv)
        return rv;
    if (install_rx(conn, s))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    ngtcp2_conn_tls_handshake_completed(conn);
    return 0;
}

static int client_message(ngtcp2_conn *conn, struct session *s, const uint8_t *m, size_t size)
{
    size_t at = 3;
    int rv;

    if (m[0] == MSG_SERVER_HELLO && s->in_level == NGTCP2_ENCRYPTION_LEVEL_INITIAL) {
        if (get_random(m, size, &at, s->server_random))
            return alert(conn, ALERT_UNEXPECTED);
        return install_handshake(conn, s) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
    }
    if (m[0] != MSG_SERVER_CERT || s->in_level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE)
        return alert(conn, ALERT_UNEXPECTED);
    rv = get_params(conn, m, size, &at);
    if (!rv)
        rv = get_name_and_proof(conn, s, m, size, &at);
    if (rv)
        return rv;
    if (send_client_cert(conn, s) || install_rx(conn, s) || install_tx(conn, s))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    ngtcp2_conn_tls_handshake_completed(conn);
    return 0;
}

/* Collect the bytes of a level and handle each whole message. */
static int on_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                          const uint8_t *data, size_t len, void *user)
{
    struct session *s = ngtcp2_conn_get_tls_native_handle(conn);

    if (s->in_level != level)
        s->in_len = 0;
    s->in_level = level;
    if (len > sizeof(s->in) - s->in_len)
        return alert(conn, ALERT_UNEXPECTED);
    memcpy(s->in + s->in_len, data, len);
    s->in_len += len;
    while (s->in_len >= 3 && s->in_len >= load_be16(s->in + 1)) {
        size_t size = load_be16(s->in + 1);
        int rv;

        if (size < 3)
            return alert(conn, ALERT_UNEXPECTED);
        rv =
            s->server ? server_message(conn, s, s->in, size) : client_message(conn, s, s->in, size);
        if (rv)
            return rv;
        s->in_len -= size;
        memmove(s->in, s->in + size, s->in_len);
    }
    return 0;
}

static int on_client_initial(ngtcp2_conn *conn, void *user)
{
    struct session *s = ngtcp2_conn_get_tls_native_handle(conn);

    if (!s->protect) {
        ngtcp2_crypto_aead_ctx retry = {.native_handle = key_new(RETRY_SEED, 0)};

        ngtcp2_conn_set_retry_aead(conn, &crypto_ctx.aead, &retry);
    }
    if (install_initial(conn, ngtcp2_conn_get_dcid(conn)) || send_client_hello(conn, s))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_recv_client_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid, void *user)
{
    return install_initial(conn, dcid) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_retry(ngtcp2_conn *conn, const ngtcp2_pkt_hd *hd, void *user)
{
    return install_initial(conn, &hd->scid) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_version_negotiation(ngtcp2_conn *conn, uint32_t version, const ngtcp2_cid *dcid,
                                  void *user)
{
    return NGTCP2_ERR_CALLBACK_FAILURE; /* version 1 is the only one */
}

/* --- struct quic_tls_ops --------------------------------------------------------------- */

static void *session_new(void *ctx, bool server, const char *server_name,
                         ngtcp2_crypto_conn_ref *ref, struct protect *protect)
{
    struct session *s = sim_alloc(sizeof(*s));

    s->ctx = ctx;
    s->server = server;
    s->ctx->sessions++;
    return s;
}

static void *sealed_new(void *ctx, bool server, const char *server_name,
                        ngtcp2_crypto_conn_ref *ref, struct protect *protect)
{
    struct session *s = session_new(ctx, server, server_name, ref, protect);

    s->protect = protect;
    return s;
}

static void session_settle(void *session)
{
}

static enum quic_fail session_recheck(void *session, void *ctx)
{
    return check_peer(session, ctx);
}

static int64_t session_peer_until_s(void *session)
{
    const struct session *s = session;

    return s->ctx->ending && !strcmp(s->peer_name, s->ctx->ending) ? s->ctx->ending_s : 0;
}

static ngtcp2_ssize write_retry(uint8_t *dst, size_t cap, uint32_t version, const ngtcp2_cid *dcid,
                                const ngtcp2_cid *scid, const ngtcp2_cid *odcid,
                                const uint8_t *token, size_t token_len)
{
    struct key *k = key_new(RETRY_SEED, 0);
    ngtcp2_crypto_aead_ctx aead_ctx = {.native_handle = k};
    ngtcp2_ssize n = ngtcp2_pkt_write_retry(dst, cap, version, dcid, scid, odcid, token, token_len,
                                            on_encrypt, &crypto_ctx.aead, &aead_ctx);

    free(k);
    return n;
}

static void *session_native(void *session)
{
    return session;
}

static void session_callbacks(ngtcp2_callbacks *cb)
{
    cb->client_initial = on_client_initial;
    cb->recv_client_initial = on_recv_client_initial;
    cb->recv_crypto_data = on_crypto_data;
    cb->recv_retry = on_retry;
    cb->encrypt = on_encrypt;
    cb->decrypt = on_decrypt;
    cb->hp_mask = on_hp_mask;
    cb->update_key = on_update_key;
    cb->delete_crypto_aead_ctx = on_delete_aead;
    cb->delete_crypto_cipher_ctx = on_delete_cipher;
    cb->version_negotiation = on_version_negotiation;
}

static void sealed_callbacks(ngtcp2_callbacks *cb)
{
    session_callbacks(cb);
    protect_callbacks(cb);
}

static enum quic_fail session_refusal(void *session, char *detail, size_t len)
{
    struct session *s = session;

    snprintf(detail, len, "%s", s->fail == QUIC_FAIL_NONE ? "" : "refused by the scenario");
    return s->fail;
}

static const char *session_peer_name(void *session)
{
    return ((struct session *)session)->peer_name;
}

const struct quic_tls_ops quic_tls_dummy = {
    .session_new = session_new,
    .session_free = free,
    .native = session_native,
    .callbacks = session_callbacks,
    .settle = session_settle,
    .refusal = session_refusal,
    .peer_name = session_peer_name,
    .peer_until_s = session_peer_until_s,
    .recheck = session_recheck,
    .write_retry = write_retry,
};

const struct quic_tls_ops quic_tls_sealed = {
    .session_new = sealed_new,
    .session_free = free,
    .native = session_native,
    .callbacks = sealed_callbacks,
    .settle = session_settle,
    .refusal = session_refusal,
    .peer_name = session_peer_name,
    .peer_until_s = session_peer_until_s,
    .recheck = session_recheck,
    .write_retry = ngtcp2_crypto_write_retry,
};
