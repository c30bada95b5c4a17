/* Credentials: what this end shows and whom it lets in. They are made from texts in memory, never
 * change afterwards, and live as long as somebody holds a reference: a connection keeps those that
 * it began with, while the next one may have newer ones. */
#include "quic/tls_creds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

#include "base/util.h"

/* %PROFILE_MEDIUM: RSA below 2048 bits and SHA-1 signatures are refused. */
static const char priorities[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
    "-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:"
    "%DISABLE_TLS13_COMPAT_MODE:%PROFILE_MEDIUM";

enum { RSA_BITS_MIN = 2048 }; /* of our own key; the profile says the same of the peer's */

struct err {
    char *text;
    size_t len;
};

static gnutls_datum_t datum(const struct quic_tls_blob *b)
{
    return (gnutls_datum_t){.data = (unsigned char *)b->data, .size = (unsigned)b->len};
}

static int bad_blob(struct err *err, const struct quic_tls_blob *b, const char *what, int rv)
{
    snprintf(err->text, err->len, "%s: not a usable %s: %s", b->name, what, gnutls_strerror(rv));
    return rv == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
}

/* --- the own certificate --------------------------------------------------------------- */

static void free_list(gnutls_x509_crt_t *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(list[i]);
    gnutls_free(list);
}

static int check_strength(gnutls_x509_crt_t crt, const struct quic_tls_files *f, struct err *err)
{
    unsigned bits = 0;

    if (gnutls_x509_crt_get_pk_algorithm(crt, &bits) != GNUTLS_PK_RSA || bits >= RSA_BITS_MIN)
        return 0;
    snprintf(err->text, err->len,
             "%s: an RSA key of %u bits is too weak: make one of %d, or ECDSA P-256", f->key.name,
             bits, RSA_BITS_MIN);
    return -EINVAL;
}

static int key_error(const struct quic_tls_files *f, struct err *err, int rv)
{
    if (rv == GNUTLS_E_DECRYPTION_FAILED)
        snprintf(err->text, err->len,
                 "%s: the private key is encrypted: store it without a passphrase", f->key.name);
    else if (rv == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        snprintf(err->text, err->len, "%s: the private key does not belong to the certificate",
                 f->cert.name);
    else
        return bad_blob(err, &f->key, "private key", rv);
    return -EINVAL;
}

/* Load the certificate and its key. */
static int load_own(struct quic_tls_creds *c, const struct quic_tls_files *f, struct err *err)
{
    gnutls_datum_t cert = datum(&f->cert), key = datum(&f->key);
    gnutls_x509_crt_t *list = NULL;
    unsigned n = 0;
    int rv = gnutls_x509_crt_list_import2(&list, &n, &cert, GNUTLS_X509_FMT_PEM, 0), e;

    if (rv < 0 || !n)
        return bad_blob(err, &f->cert, "certificate", rv < 0 ? rv : GNUTLS_E_NO_CERTIFICATE_FOUND);
    e = check_strength(list[0], f, err);
    rv = gnutls_x509_crt_export2(list[0], GNUTLS_X509_FMT_DER, &c->own);
    free_list(list, n);
    if (e)
        return e;
    if (rv < 0)
        return bad_blob(err, &f->cert, "certificate", rv);
    if (!f->key.data) {
        snprintf(err->text, err->len, "%s: there is no private key for it", f->cert.name);
        return -EINVAL;
    }
    rv = gnutls_certificate_set_x509_key_mem2(c->cred, &cert, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    return rv < 0 ? key_error(f, err, rv) : 0;
}

static int make_reset_secret(struct quic_tls_creds *c, const struct quic_tls_blob *key)
{
    static const char label[] = "mpquic stateless reset";

    if (!key->data)
        return gnutls_rnd(GNUTLS_RND_RANDOM, c->reset_secret, sizeof(c->reset_secret));
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->data, key->len, label, sizeof(label) - 1,
                            c->reset_secret);
}

/* --- authorities and revocation -------------------------------------------------------- */

struct authorities {
    gnutls_x509_crt_t *v;
    unsigned n;
};

/* The authorities go into the trust list, which owns them from then on. */
static int load_ca(struct quic_tls_creds *c, const struct quic_tls_blob *b, struct authorities *ret,
                   struct err *err)
{
    gnutls_datum_t text = datum(b);
    struct authorities a = {0};
    int rv = gnutls_x509_crt_list_import2(&a.v, &a.n, &text, GNUTLS_X509_FMT_PEM, 0);

    if (rv >= 0 && a.n)
        rv = gnutls_x509_crt_export2(a.v[0], GNUTLS_X509_FMT_DER, &c->ca);
    if (rv >= 0 && a.n)
        rv = gnutls_x509_trust_list_add_cas(c->trust, a.v, a.n, 0);
    if (rv < 0 || !a.n) {
        free_list(a.v, a.n);
        return bad_blob(err, b, "CA certificate", rv < 0 ? rv : GNUTLS_E_NO_CERTIFICATE_FOUND);
    }
    c->have_ca = true;
    *ret = a;
    return 0;
}

/* A list counts when an authority of ours has signed it, whatever its age. */
static bool is_signed(gnutls_x509_crl_t crl, const struct authorities *a)
{
    const unsigned age =
        GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
    unsigned status = 0, flags = GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM);

    if (gnutls_x509_crl_verify(crl, a->v, a->n, flags, &status) < 0)
        return false;
    if (status & age)
        status &= ~(age | GNUTLS_CERT_INVALID); /* which goes with every other reason */
    return !status;
}

static int add_crl(struct quic_tls_creds *c, gnutls_x509_crl_t *crl, const struct authorities *a,
                   const struct quic_tls_blob *b, struct err *err)
{
    time_t due = gnutls_x509_crl_get_next_update(*crl);
    int rv;

    if (!is_signed(*crl, a)) {
        snprintf(err->text, err->len, "%s: a revocation list that the CA has not signed", b->name);
        return -EINVAL;
    }
    rv = gnutls_x509_trust_list_add_crls(c->trust, crl, 1, 0, 0);
    if (rv != 1)
        return bad_blob(err, b, "revocation list", rv < 0 ? rv : GNUTLS_E_INTERNAL_ERROR);
    *crl = NULL; /* it is the trust list's now */
    if (due != (time_t)-1)
        c->crl_due_s = MIN(c->crl_due_s, (int64_t)due);
    return 0;
}

static int load_crl(struct quic_tls_creds *c, const struct quic_tls_blob *b,
                    const struct authorities *a, struct err *err)
{
    gnutls_datum_t text = datum(b);
    gnutls_x509_crl_t *list = NULL;
    unsigned n = 0;
    int rv, e = 0;

    if (!c->have_ca) {
        snprintf(err->text, err->len, "%s: a revocation list needs the CA that signed it", b->name);
        return -EINVAL;
    }
    rv = gnutls_x509_crl_list_import2(&list, &n, &text, GNUTLS_X509_FMT_PEM, 0);
    if (rv < 0 || !n)
        return bad_blob(err, b, "revocation list", rv < 0 ? rv : GNUTLS_E_NO_CERTIFICATE_FOUND);
    for (unsigned i = 0; i < n; i++) {
        if (!e)
            e = add_crl(c, &list[i], a, b, err);
        if (list[i])
            gnutls_x509_crl_deinit(list[i]);
    }
    gnutls_free(list);
    return e;
}

static int load_trust(struct quic_tls_creds *c, const struct quic_tls_files *f, struct err *err)
{
    struct authorities a = {0};
    int e = 0;

    if (f->ca.data)
        e = load_ca(c, &f->ca, &a, err);
    if (!e && f->crl.data)
        e = load_crl(c, &f->crl, &a, err);
    gnutls_free(a.v);
    return e;
}

/* --- life ------------------------------------------------------------------------------ */

static int copy_names(struct quic_tls_creds *c, const char *const *names)
{
    size_t n = 0;

    while (names[n])
        n++;
    c->allowed = calloc(n + 1, sizeof(*c->allowed));
    for (size_t i = 0; c->allowed && i < n; i++)
        if (!(c->allowed[i] = strdup(names[i])))
            return -ENOMEM;
    return c->allowed ? 0 : -ENOMEM;
}

static int init(struct quic_tls_creds *c, const struct quic_tls_files *f)
{
    *c = (struct quic_tls_creds){.refs = 1,
                                 .server = f->server,
                                 .insecure_skip_verify = f->insecure_skip_verify,
                                 .require_client_cert = f->require_client_cert,
                                 .crl_due_s = INT64_MAX};
    if (gnutls_certificate_allocate_credentials(&c->cred) ||
        gnutls_x509_trust_list_init(&c->trust, 0))
        return -ENOMEM;
    gnutls_certificate_set_trust_list(c->cred, c->trust, 0);
    if (gnutls_priority_init(&c->priority, priorities, NULL))
        return -ENOMEM;
    return f->allowed_names ? copy_names(c, f->allowed_names) : 0;
}

int quic_tls_creds_load(const struct quic_tls_files *f, struct quic_tls_creds **ret, char *text,
                        size_t len)
{
    struct err err = {text, len};
    struct quic_tls_creds *c = malloc(sizeof(*c));
    int e;

    snprintf(text, len, "out of memory");
    if (!c)
        return -ENOMEM;
    e = init(c, f);
    if (!e && f->cert.data)
        e = load_own(c, f, &err);
    if (!e && make_reset_secret(c, &f->key) < 0)
        e = -ENOMEM;
    if (!e)
        e = load_trust(c, f, &err);
    if (e) {
        quic_tls_creds_unref(c);
        return e;
    }
    *ret = c;
    return 0;
}

struct quic_tls_creds *quic_tls_creds_ref(struct quic_tls_creds *c)
{
    c->refs++;
    return c;
}

void quic_tls_creds_unref(struct quic_tls_creds *c)
{
    if (!c || --c->refs)
        return;
    if (c->cred)
        gnutls_certificate_free_credentials(c->cred);
    if (c->priority)
        gnutls_priority_deinit(c->priority);
    for (char **name = c->allowed; name && *name; name++)
        free(*name);
    free(c->allowed);
    gnutls_free(c->own.data);
    gnutls_free(c->ca.data);
    gnutls_memset(c->reset_secret, 0, sizeof(c->reset_secret));
    free(c);
}

void quic_tls_reset_secret(const struct quic_tls_creds *c, unsigned char ret[static 32])
{
    memcpy(ret, c->reset_secret, sizeof(c->reset_secret));
}

int64_t quic_tls_creds_crl_due_s(const struct quic_tls_creds *c)
{
    return c->crl_due_s;
}

/* --- the clock ------------------------------------------------------------------------- */

static int64_t (*clock_s)(void);

static time_t on_time(time_t *ret)
{
    time_t now = (time_t)clock_s();

    if (ret)
        *ret = now;
    return now;
}

void quic_tls_set_clock(int64_t (*now_s)(void))
{
    clock_s = now_s;
    gnutls_global_set_time_function(on_time);
}

/* --- who may come in ------------------------------------------------------------------- */

static enum quic_fail status_to_fail(unsigned status)
{
    if (status & (GNUTLS_CERT_SIGNER_NOT_FOUND | GNUTLS_CERT_SIGNER_NOT_CA))
        return QUIC_FAIL_CERT_UNTRUSTED;
    if (status & GNUTLS_CERT_REVOKED)
        return QUIC_FAIL_CERT_REVOKED;
    if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
        return QUIC_FAIL_CERT_EXPIRED;
    if (status & GNUTLS_CERT_UNEXPECTED_OWNER)
        return QUIC_FAIL_CERT_NAME;
    return QUIC_FAIL_CERT_INVALID;
}

static bool name_allowed(const struct quic_tls_creds *c, const char *name)
{
    if (!c->allowed)
        return true;
    for (char **a = c->allowed; *a; a++)
        if (!strcmp(*a, name))
            return true;
    return false;
}

/* What GnuTLS finds wrong with the chain; a negative number when it does not even parse. */
static int verify_chain(const struct quic_tls_creds *c, gnutls_x509_crt_t *crt, unsigned n,
                        const char *server_name, unsigned *ret_status)
{
    const char *purpose = c->server ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st data[2] = {
        {.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)purpose},
        {.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)server_name}};

    return gnutls_x509_trust_list_verify_crt2(c->trust, crt, n, data, c->server ? 1 : 2,
                                              GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM),
                                              ret_status, NULL);
}

static enum quic_fail check_certs(const struct quic_tls_creds *c, gnutls_x509_crt_t *crt,
                                  unsigned n, const char *server_name, char *detail, size_t len)
{
    char name[TLS_PEER_NAME_BYTES];
    unsigned status = 0;
    gnutls_datum_t text;
    enum quic_fail fail;
    int rv = verify_chain(c, crt, n, server_name, &status);

    if (rv < 0) {
        snprintf(detail, len, "%s", gnutls_strerror(rv));
        return QUIC_FAIL_CERT_INVALID;
    }
    if (status) {
        fail = status_to_fail(status);
        if (fail == QUIC_FAIL_CERT_INVALID &&
            !gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0)) {
            snprintf(detail, len, "%s", (char *)text.data);
            gnutls_free(text.data);
        }
        return fail;
    }
    tls_cert_name(crt[0], name, sizeof(name));
    if (!c->server || name_allowed(c, name))
        return QUIC_FAIL_NONE;
    snprintf(detail, len, "%s", name);
    return QUIC_FAIL_CLIENT_UNKNOWN;
}

enum quic_fail tls_creds_check(const struct quic_tls_creds *c, const struct tls_chain *chain,
                               const char *server_name, char *detail, size_t len)
{
    gnutls_x509_crt_t crt[TLS_CHAIN_MAX] = {0};
    enum quic_fail fail = QUIC_FAIL_NONE;
    unsigned n = 0;

    *detail = 0;
    if (!c->server && c->insecure_skip_verify)
        return QUIC_FAIL_NONE;
    if (!chain->n)
        return c->server && !c->require_client_cert ? QUIC_FAIL_NONE : QUIC_FAIL_CERT_MISSING;
    for (; n < chain->n && fail == QUIC_FAIL_NONE; n++) {
        if (gnutls_x509_crt_init(&crt[n]))
            fail = QUIC_FAIL_INTERNAL;
        else if (gnutls_x509_crt_import(crt[n], &chain->cert[n], GNUTLS_X509_FMT_DER))
            fail = QUIC_FAIL_CERT_INVALID;
    }
    if (fail == QUIC_FAIL_NONE)
        fail = check_certs(c, crt, n, server_name, detail, len);
    while (n-- > 0)
        tls_cleanup_crt(&crt[n]);
    return fail;
}
