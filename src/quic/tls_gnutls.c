/* TLS 1.3 by GnuTLS. No session tickets are issued and none is asked for: a resumed session would
 * skip the check of the peer's certificate. */
#include "quic/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>

/* %PROFILE_MEDIUM: RSA below 2048 bits and SHA-1 signatures are refused. */
static const char priorities[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
    "%DISABLE_TLS13_COMPAT_MODE:%PROFILE_MEDIUM";

enum { RSA_BITS_MIN = 2048 }; /* of our own key; %PROFILE_MEDIUM says the same of the peer's */

struct quic_tls_creds {
    gnutls_certificate_credentials_t cred;
    gnutls_priority_t priority;
    bool server, insecure_skip_verify, require_client_cert, have_ca;
    const char *const *allowed_names;
    unsigned char reset_secret[32];
};

struct tls_session {
    ngtcp2_crypto_conn_ref ref; /* what gnutls_session_get_ptr() returns */
    gnutls_session_t gnutls;
    const struct quic_tls_creds *creds;
    char *server_name;
    enum quic_fail fail;
    char detail[96];
    char peer_name[64];
};

static void cleanup_crt(gnutls_x509_crt_t *crt)
{
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

/* The name of a certificate: its common name, or else its first DNS name. */
static void certificate_name(gnutls_session_t s, char *dst, size_t len)
{
    __attribute__((cleanup(cleanup_crt))) gnutls_x509_crt_t crt = NULL;
    unsigned n = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(s, &n);
    size_t size = len;

    dst[0] = 0;
    if (!list || !n || gnutls_x509_crt_init(&crt) ||
        gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER))
        return;
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, dst, &size) == 0)
        return;
    size = len;
    if (gnutls_x509_crt_get_subject_alt_name(crt, 0, dst, &size, NULL) != GNUTLS_SAN_DNSNAME)
        dst[0] = 0;
}

static enum quic_fail status_to_fail(unsigned status)
{
    if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA))
        return QUIC_FAIL_CERT_UNTRUSTED;
    if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
        return QUIC_FAIL_CERT_EXPIRED;
    if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
        return QUIC_FAIL_CERT_NAME;
    return QUIC_FAIL_CERT_INVALID;
}

static bool name_allowed(const char *const *allowed, const char *name)
{
    if (!allowed)
        return true;
    for (; *allowed; allowed++)
        if (!strcmp(*allowed, name))
            return true;
    return false;
}

static int refuse(struct tls_session *ts, enum quic_fail fail, const char *detail)
{
    ts->fail = fail;
    snprintf(ts->detail, sizeof(ts->detail), "%s", detail);
    return GNUTLS_E_CERTIFICATE_ERROR;
}

static int verify_peer(gnutls_session_t s)
{
    struct tls_session *ts = gnutls_session_get_ptr(s);
    const struct quic_tls_creds *creds = ts->creds;
    gnutls_typed_vdata_st data[2];
    gnutls_datum_t text;
    unsigned n = 0, status = 0;
    int rv;

    certificate_name(s, ts->peer_name, sizeof(ts->peer_name));
    if (!creds->server && creds->insecure_skip_verify)
        return 0;
    data[n].type = GNUTLS_DT_KEY_PURPOSE_OID;
    data[n].data =
        (unsigned char *)(creds->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER);
    data[n++].size = 0;
    if (!creds->server) {
        data[n].type = GNUTLS_DT_DNS_HOSTNAME;
        data[n].data = (unsigned char *)ts->server_name;
        data[n++].size = 0;
    }
    rv = gnutls_certificate_verify_peers(s, data, n, &status);
    if (rv == GNUTLS_E_NO_CERTIFICATE_FOUND && creds->server && !creds->require_client_cert)
        return 0; /* the request has to show a token */
    if (rv < 0)
        return refuse(ts, QUIC_FAIL_CERT_INVALID, gnutls_strerror(rv));
    if (status) {
        enum quic_fail fail = status_to_fail(status);

        if (fail != QUIC_FAIL_CERT_INVALID ||
            gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0))
            return refuse(ts, fail, ""); /* the reason says it all */
        refuse(ts, fail, (char *)text.data);
        gnutls_free(text.data);
        return GNUTLS_E_CERTIFICATE_ERROR;
    }
    if (creds->server && !name_allowed(creds->allowed_names, ts->peer_name))
        return refuse(ts, QUIC_FAIL_CLIENT_UNKNOWN, ts->peer_name);
    return 0;
}

static int load_error(char *err, size_t len, const char *what, const char *file, int rv)
{
    if (rv == GNUTLS_E_FILE_ERROR) {
        snprintf(err, len, "%s: cannot read %s", file, what);
        return access(file, F_OK) ? -ENOENT : -EACCES;
    }
    if (rv == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        snprintf(err, len, "%s: the private key does not belong to the certificate", file);
    else
        snprintf(err, len, "%s: not a usable %s: %s", file, what, gnutls_strerror(rv));
    return -EINVAL;
}

/* Load the certificate and its key into the credentials. Returns 0, or logs into err. */
static int load_own(struct quic_tls_creds *c, const struct quic_tls_files *f, char *err, size_t len)
{
    gnutls_x509_crt_t *crt = NULL;
    unsigned n = 0, bits = 0;
    int rv = gnutls_certificate_set_x509_key_file2(c->cred, f->cert_file, f->key_file,
                                                   GNUTLS_X509_FMT_PEM, NULL, 0);

    if (rv == GNUTLS_E_DECRYPTION_FAILED) {
        snprintf(err, len, "%s: the private key is encrypted: store it without a passphrase",
                 f->key_file);
        return -EINVAL;
    }
    if (rv < 0) {
        bool key = rv == GNUTLS_E_FILE_ERROR && !access(f->cert_file, R_OK);

        return load_error(err, len, key ? "private key" : "certificate",
                          key ? f->key_file : f->cert_file, rv);
    }
    if (gnutls_certificate_get_x509_crt(c->cred, (unsigned)rv, &crt, &n) || !n)
        return load_error(err, len, "certificate", f->cert_file, GNUTLS_E_NO_CERTIFICATE_FOUND);
    rv = gnutls_x509_crt_get_pk_algorithm(crt[0], &bits);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(crt[i]);
    gnutls_free(crt);
    if (rv == GNUTLS_PK_RSA && bits < RSA_BITS_MIN) {
        snprintf(err, len, "%s: an RSA key of %u bits is too weak: make one of %d, or ECDSA P-256",
                 f->key_file, bits, RSA_BITS_MIN);
        return -EINVAL;
    }
    return 0;
}

static int load_reset_secret(struct quic_tls_creds *creds, const char *key_file)
{
    static const char label[] = "mpquic stateless reset";
    gnutls_datum_t key = {0};
    int rv;

    if (!key_file)
        return gnutls_rnd(GNUTLS_RND_RANDOM, creds->reset_secret, sizeof(creds->reset_secret));
    rv = gnutls_load_file(key_file, &key);
    if (rv)
        return rv;
    rv = gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.data, key.size, label, sizeof(label) - 1,
                          creds->reset_secret);
    gnutls_memset(key.data, 0, key.size);
    gnutls_free(key.data);
    return rv;
}

int quic_tls_creds_load(const struct quic_tls_files *f, struct quic_tls_creds **ret, char *err,
                        size_t err_len)
{
    struct quic_tls_creds *c = calloc(1, sizeof(*c));
    int rv, e = -ENOMEM;

    if (!c)
        return -ENOMEM;
    c->server = f->server;
    c->insecure_skip_verify = f->insecure_skip_verify;
    c->require_client_cert = f->require_client_cert;
    c->allowed_names = f->allowed_names;
    if (gnutls_certificate_allocate_credentials(&c->cred) ||
        gnutls_priority_init(&c->priority, priorities, NULL)) {
        snprintf(err, err_len, "out of memory");
        goto fail;
    }
    gnutls_certificate_set_verify_function(c->cred, verify_peer);
    if (f->cert_file) {
        e = load_own(c, f, err, err_len);
        if (e)
            goto fail;
    }
    rv = load_reset_secret(c, f->key_file);
    if (rv < 0) {
        e = load_error(err, err_len, "private key", f->key_file ? f->key_file : "random", rv);
        goto fail;
    }
    if (f->ca_file) {
        rv = gnutls_certificate_set_x509_trust_file(c->cred, f->ca_file, GNUTLS_X509_FMT_PEM);
        if (rv <= 0) {
            e = load_error(err, err_len, "CA certificate", f->ca_file,
                           rv ? rv : GNUTLS_E_NO_CERTIFICATE_FOUND);
            goto fail;
        }
        c->have_ca = true;
    }
    *ret = c;
    return 0;
fail:
    quic_tls_creds_free(c);
    return e;
}

void quic_tls_creds_free(struct quic_tls_creds *c)
{
    if (!c)
        return;
    if (c->cred)
        gnutls_certificate_free_credentials(c->cred);
    if (c->priority)
        gnutls_priority_deinit(c->priority);
    gnutls_memset(c->reset_secret, 0, sizeof(c->reset_secret));
    free(c);
}

void quic_tls_reset_secret(const struct quic_tls_creds *c, unsigned char ret[static 32])
{
    memcpy(ret, c->reset_secret, sizeof(c->reset_secret));
}

static void session_free(void *session)
{
    struct tls_session *ts = session;

    if (!ts)
        return;
    if (ts->gnutls)
        gnutls_deinit(ts->gnutls);
    free(ts->server_name);
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
                         ngtcp2_crypto_conn_ref *ref)
{
    static const gnutls_datum_t alpn = {.data = (unsigned char *)"h3", .size = 2};
    const struct quic_tls_creds *creds = ctx;
    struct tls_session *ts = calloc(1, sizeof(*ts));

    if (!ts)
        return NULL;
    ts->ref = *ref;
    ts->creds = creds;
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
    gnutls_handshake_set_timeout(ts->gnutls, GNUTLS_INDEFINITE_TIMEOUT);
    return ts;
}

static void *session_native(void *session)
{
    return ((struct tls_session *)session)->gnutls;
}

static void session_callbacks(ngtcp2_callbacks *cb)
{
    cb->client_initial = ngtcp2_crypto_client_initial_cb;
    cb->recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
    cb->recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    cb->recv_retry = ngtcp2_crypto_recv_retry_cb;
    cb->encrypt = ngtcp2_crypto_encrypt_cb;
    cb->decrypt = ngtcp2_crypto_decrypt_cb;
    cb->hp_mask = ngtcp2_crypto_hp_mask_cb;
    cb->update_key = ngtcp2_crypto_update_key_cb;
    cb->delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    cb->delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    cb->version_negotiation = ngtcp2_crypto_version_negotiation_cb;
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

const struct quic_tls_ops quic_tls_gnutls = {
    .session_new = session_new,
    .session_free = session_free,
    .native = session_native,
    .callbacks = session_callbacks,
    .refusal = session_refusal,
    .peer_name = session_peer_name,
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
