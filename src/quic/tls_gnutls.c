/* TLS 1.3 by GnuTLS. No session tickets are issued and none is asked for: a resumed session would
 * skip the check of the peer's certificate. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#include "quic/tls_creds.h"

struct tls_session {
    ngtcp2_crypto_conn_ref ref; /* what gnutls_session_get_ptr() returns */
    gnutls_session_t gnutls;    /* NULL once settled */
    struct protect *protect;
    struct quic_tls_creds *creds;
    char *server_name;
    enum quic_fail fail;
    char detail[96];
    char peer_name[TLS_PEER_NAME_BYTES];
    int64_t peer_until_s;
    struct tls_chain chain; /* what the peer showed, in chain_bytes */
    unsigned char *chain_bytes;
};

/* --- the peer's certificate ------------------------------------------------------------ */

/* Keep the peer's certificates, for later checks: they are gone with the GnuTLS session. */
static int keep_chain(struct tls_session *ts)
{
    unsigned n = 0, size = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(ts->gnutls, &n);

    if (!list)
        n = 0;
    if (n > TLS_CHAIN_MAX)
        return GNUTLS_E_CERTIFICATE_ERROR;
    for (unsigned i = 0; i < n; i++)
        size += list[i].size;
    free(ts->chain_bytes);
    ts->chain.n = 0;
    ts->chain_bytes = malloc(size ? size : 1);
    if (!ts->chain_bytes)
        return GNUTLS_E_MEMORY_ERROR;
    for (unsigned i = 0, at = 0; i < n; at += list[i++].size) {
        memcpy(ts->chain_bytes + at, list[i].data, list[i].size);
        ts->chain.cert[i] = (gnutls_datum_t){.data = ts->chain_bytes + at, .size = list[i].size};
    }
    ts->chain.n = n;
    return 0;
}

static void keep_name(struct tls_session *ts)
{
    __attribute__((cleanup(tls_cleanup_crt))) gnutls_x509_crt_t crt = NULL;

    if (ts->chain.n && !gnutls_x509_crt_init(&crt) &&
        !gnutls_x509_crt_import(crt, &ts->chain.cert[0], GNUTLS_X509_FMT_DER)) {
        tls_cert_name(crt, ts->peer_name, sizeof(ts->peer_name));
        ts->peer_until_s = gnutls_x509_crt_get_expiration_time(crt);
    }
}

static int verify_peer(gnutls_session_t s)
{
    struct tls_session *ts = gnutls_session_get_ptr(s);
    int rv = keep_chain(ts);

    if (rv)
        return rv;
    keep_name(ts);
    ts->fail =
        tls_creds_check(ts->creds, &ts->chain, ts->server_name, ts->detail, sizeof(ts->detail));
    return ts->fail == QUIC_FAIL_NONE ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

/* --- keys ------------------------------------------------------------------------------ */

static int negotiated(gnutls_session_t s, enum aead_alg *ret)
{
    switch (gnutls_cipher_get(s)) {
    case GNUTLS_CIPHER_AES_128_GCM:
        *ret = AEAD_AES_128_GCM;
        return 0;
    case GNUTLS_CIPHER_AES_256_GCM:
        *ret = AEAD_AES_256_GCM;
        return 0;
    case GNUTLS_CIPHER_CHACHA20_POLY1305:
        *ret = AEAD_CHACHA20_POLY1305;
        return 0;
    default:
        return -ENOTSUP;
    }
}

/* GnuTLS has the secrets of a level, one or both directions. There is no early data. */
static int on_secrets(gnutls_session_t s, gnutls_record_encryption_level_t tls_level,
                      const void *rx, const void *tx, size_t len)
{
    ngtcp2_encryption_level level =
        ngtcp2_crypto_gnutls_from_gnutls_record_encryption_level(tls_level);
    struct tls_session *ts = gnutls_session_get_ptr(s);
    ngtcp2_conn *conn = ts->ref.get_conn(&ts->ref);

    if (level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE && level != NGTCP2_ENCRYPTION_LEVEL_1RTT)
        return 0;
    if (negotiated(s, &ts->protect->alg) ||
        (rx && protect_install_rx(ts->protect, conn, level, rx, len)) ||
        (tx && protect_install_tx(ts->protect, conn, level, tx, len)))
        return GNUTLS_E_INTERNAL_ERROR;
    return 0;
}

static int install_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid)
{
    struct tls_session *ts = gnutls_session_get_ptr(ngtcp2_conn_get_tls_native_handle(conn));

    return protect_install_initial(ts->protect, conn, dcid) ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_client_initial(ngtcp2_conn *conn, void *user)
{
    if (install_initial(conn, ngtcp2_conn_get_dcid(conn)) ||
        ngtcp2_crypto_read_write_crypto_data(conn, NGTCP2_ENCRYPTION_LEVEL_INITIAL, NULL, 0))
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_recv_client_initial(ngtcp2_conn *conn, const ngtcp2_cid *dcid, void *user)
{
    return install_initial(conn, dcid);
}

/* The client goes on with the connection ID that the server has chosen (RFC 9001, 5.2). */
static int on_retry(ngtcp2_conn *conn, const ngtcp2_pkt_hd *hd, void *user)
{
    return install_initial(conn, &hd->scid);
}

/* --- life ------------------------------------------------------------------------------ */

static void session_free(void *session)
{
    struct tls_session *ts = session;

    if (!ts)
        return;
    if (ts->gnutls)
        gnutls_deinit(ts->gnutls);
    quic_tls_creds_unref(ts->creds);
    free(ts->server_name);
    free(ts->chain_bytes);
    free(ts);
}

static bool is_address(const char *name)
{
    unsigned char buf[16];

    return inet_pton(AF_INET, name, buf) == 1 || inet_pton(AF_INET6, name, buf) == 1;
}

static int configure_client(struct tls_session *ts, const char *server_name)
{
    ts->server_name = strdup(server_name ? server_name : "");
    if (!ts->server_name || ngtcp2_crypto_gnutls_configure_client_session(ts->gnutls))
        return -1;
    if (!*ts->server_name || is_address(ts->server_name))
        return 0;
    return gnutls_server_name_set(ts->gnutls, GNUTLS_NAME_DNS, ts->server_name,
                                  strlen(ts->server_name));
}

static int configure_server(struct tls_session *ts)
{
    if (ngtcp2_crypto_gnutls_configure_server_session(ts->gnutls))
        return -1;
    /* Name no CA in the request: a client would show no certificate at all rather than one of
     * another CA, and then nobody could say what is wrong with it. */
    gnutls_certificate_send_x509_rdn_sequence(ts->gnutls, 1);
    if (ts->creds->have_ca)
        gnutls_certificate_server_set_request(
            ts->gnutls, ts->creds->require_client_cert ? GNUTLS_CERT_REQUIRE : GNUTLS_CERT_REQUEST);
    return 0;
}

static void *session_new(void *ctx, bool server, const char *server_name,
                         ngtcp2_crypto_conn_ref *ref, struct protect *protect)
{
    static const gnutls_datum_t alpn = {.data = (unsigned char *)"h3", .size = 2};
    struct quic_tls_creds *creds = ctx;
    struct tls_session *ts = calloc(1, sizeof(*ts));

    if (!ts)
        return NULL;
    ts->ref = *ref;
    ts->protect = protect;
    ts->creds = quic_tls_creds_ref(creds);
    if (gnutls_init(&ts->gnutls, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS |
                                     GNUTLS_NO_END_OF_EARLY_DATA | GNUTLS_NO_AUTO_SEND_TICKET) ||
        gnutls_priority_set(ts->gnutls, creds->priority) ||
        gnutls_credentials_set(ts->gnutls, GNUTLS_CRD_CERTIFICATE, creds->cred) ||
        gnutls_alpn_set_protocols(ts->gnutls, &alpn, 1, GNUTLS_ALPN_MANDATORY) ||
        (server ? configure_server(ts) : configure_client(ts, server_name))) {
        session_free(ts);
        return NULL;
    }
    gnutls_session_set_ptr(ts->gnutls, &ts->ref);
    gnutls_handshake_set_secret_function(ts->gnutls, on_secrets);
    gnutls_session_set_verify_function(ts->gnutls, verify_peer);
    gnutls_handshake_set_timeout(ts->gnutls, GNUTLS_INDEFINITE_TIMEOUT);
    return ts;
}

static void *session_native(void *session)
{
    return ((struct tls_session *)session)->gnutls;
}

/* A server is done with TLS when the handshake is confirmed: it sends no tickets, asks for nothing
 * more, and TLS key updates do not exist in QUIC (RFC 9001, 6). */
static void session_settle(void *session)
{
    struct tls_session *ts = session;

    gnutls_deinit(ts->gnutls);
    ts->gnutls = NULL;
}

static int on_crypto_data(ngtcp2_conn *conn, ngtcp2_encryption_level level, uint64_t offset,
                          const uint8_t *data, size_t len, void *user)
{
    if (ngtcp2_conn_get_tls_native_handle(conn))
        return ngtcp2_crypto_recv_crypto_data_cb(conn, level, offset, data, len, user);
    ngtcp2_conn_set_tls_alert(conn, GNUTLS_A_UNEXPECTED_MESSAGE);
    return NGTCP2_ERR_CRYPTO;
}

static void session_callbacks(ngtcp2_callbacks *cb)
{
    protect_callbacks(cb);
    cb->client_initial = on_client_initial;
    cb->recv_client_initial = on_recv_client_initial;
    cb->recv_crypto_data = on_crypto_data;
    cb->recv_retry = on_retry;
}

static enum quic_fail session_refusal(void *session, char *detail, size_t len)
{
    struct tls_session *ts = session;

    snprintf(detail, len, "%s", ts->detail);
    return ts->fail;
}

static const char *session_peer_name(void *session)
{
    return ((struct tls_session *)session)->peer_name;
}

static int session_peer_cert(void *session, struct quic_tls_cert_info *ret)
{
    const struct tls_session *ts = session;

    return ts->chain.n ? tls_cert_info_der(&ts->chain.cert[0], ret) : -ENOENT;
}

static int64_t session_peer_until_s(void *session)
{
    return ((struct tls_session *)session)->peer_until_s;
}

static enum quic_fail session_recheck(void *session, void *ctx)
{
    struct tls_session *ts = session;
    char detail[96];

    return tls_creds_check(ctx, &ts->chain, ts->server_name, detail, sizeof(detail));
}

const struct quic_tls_ops quic_tls_gnutls = {
    .session_new = session_new,
    .session_free = session_free,
    .native = session_native,
    .callbacks = session_callbacks,
    .settle = session_settle,
    .refusal = session_refusal,
    .peer_name = session_peer_name,
    .peer_cert = session_peer_cert,
    .peer_until_s = session_peer_until_s,
    .recheck = session_recheck,
    .write_retry = ngtcp2_crypto_write_retry,
    .write_close = ngtcp2_crypto_write_connection_close,
};

const char *quic_tls_alert_name(unsigned alert)
{
    const char *name = gnutls_alert_get_name((gnutls_alert_description_t)alert);

    return name ? name : "alert";
}

void quic_random_system(void *user, void *dst, size_t len)
{
    if (gnutls_rnd(GNUTLS_RND_RANDOM, dst, len))
        abort(); /* no randomness, no security: nothing can go on */
}
