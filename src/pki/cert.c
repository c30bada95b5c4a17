#include "pki/cert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <gnutls/crypto.h>

#include "base/addr.h"
#include "base/util.h"
#include "pki/x509.h"

/* A first octet that makes the number positive and of fixed length, then 128 random bits. */
enum { SERIAL_BYTES = 17 };

static int gnutls_failed(struct pki_error *e, const char *what, int rv)
{
    return pki_error_set(e, -EIO, "cannot %s: %s", what, gnutls_strerror(rv));
}

void cert_issuer_done(struct cert_issuer *issuer)
{
    file_text_done(&issuer->cert);
    file_text_done(&issuer->key);
}

/* --- making ---------------------------------------------------------------------------- */

int cert_key_make(unsigned rsa_bits, struct file_text *ret, struct pki_error *e)
{
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    unsigned bits =
        rsa_bits ? rsa_bits : (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    gnutls_datum_t pem;
    int rv;

    if (rsa_bits && (rsa_bits < CERT_RSA_BITS_MIN || rsa_bits > CERT_RSA_BITS_MAX))
        return pki_error_set(
            e, -EINVAL,
            "an RSA key of %u bits is too %s: take %d to %d, or leave --rsa out for "
            "ECDSA P-256",
            rsa_bits, rsa_bits < CERT_RSA_BITS_MIN ? "weak" : "long", CERT_RSA_BITS_MIN,
            CERT_RSA_BITS_MAX);
    rv = gnutls_x509_privkey_init(&key);
    if (rv >= 0)
        rv = gnutls_x509_privkey_generate(key, rsa_bits ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA, bits, 0);
    if (rv >= 0)
        rv = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                               &pem);
    return rv < 0 ? gnutls_failed(e, "make a key", rv) : x509_text_take(&pem, ret, e);
}

static int set_serial(gnutls_x509_crt_t crt)
{
    unsigned char serial[SERIAL_BYTES] = {1};
    int rv = gnutls_rnd(GNUTLS_RND_KEY, serial + 1, sizeof(serial) - 1);

    return rv < 0 ? rv : gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
}

/* A literal address or a DNS name, perhaps with a wildcard. */
static int add_san(gnutls_x509_crt_t crt, const char *name, struct pki_error *e)
{
    struct ip_addr addr;
    int rv;

    if (!ip_addr_parse(name, &addr))
        rv = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, addr.b,
                                                  ip_addr_bits(&addr) / 8, GNUTLS_FSAN_APPEND);
    else if (*name && !name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*")])
        rv = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, name,
                                                  (unsigned)strlen(name), GNUTLS_FSAN_APPEND);
    else
        return pki_error_set(e, -EINVAL, "'%.80s' is neither a host name nor an IP address", name);
    return rv < 0 ? gnutls_failed(e, "write the certificate", rv) : 0;
}

static int add_sans(gnutls_x509_crt_t crt, const struct cert_request *r, struct pki_error *e)
{
    int rv = add_san(crt, r->name, e);

    for (unsigned i = 0; !rv && i < r->n_sans; i++)
        if (strcmp(r->sans[i], r->name) != 0)
            rv = add_san(crt, r->sans[i], e);
    return rv;
}

static int set_usage(gnutls_x509_crt_t crt, enum pki_kind kind)
{
    int rv;

    if (kind == PKI_KIND_CA) {
        rv = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
        return rv < 0 ? rv
                      : gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN |
                                                               GNUTLS_KEY_CRL_SIGN);
    }
    rv = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (rv >= 0)
        rv = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rv >= 0)
        rv = gnutls_x509_crt_set_key_purpose_oid(
            crt, kind == PKI_KIND_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
    return rv;
}

/* The identifiers of this key and of the issuer's, by which chains are found (RFC 5280, 4.2.1). */
static int set_key_ids(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
    unsigned char id[64];
    size_t len = sizeof(id);
    int rv = gnutls_x509_crt_get_key_id(crt, 0, id, &len);

    if (rv >= 0)
        rv = gnutls_x509_crt_set_subject_key_id(crt, id, len);
    if (rv < 0 || !issuer)
        return rv;
    len = sizeof(id);
    rv = gnutls_x509_crt_get_subject_key_id(issuer, id, &len, NULL);
    if (rv < 0) {
        len = sizeof(id);
        rv = gnutls_x509_crt_get_key_id(issuer, 0, id, &len);
    }
    return rv < 0 ? rv : gnutls_x509_crt_set_authority_key_id(crt, id, len);
}

static int fill(gnutls_x509_crt_t crt, const struct cert_request *r, gnutls_x509_privkey_t key,
                gnutls_x509_crt_t issuer)
{
    int rv = gnutls_x509_crt_set_version(crt, 3);

    if (rv >= 0)
        rv = set_serial(crt);
    if (rv >= 0)
        rv = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, r->name,
                                           (unsigned)strlen(r->name));
    if (rv >= 0)
        rv = gnutls_x509_crt_set_activation_time(crt, (time_t)r->not_before);
    if (rv >= 0)
        rv = gnutls_x509_crt_set_expiration_time(crt, (time_t)r->not_after);
    if (rv >= 0)
        rv = gnutls_x509_crt_set_key(crt, key);
    if (rv >= 0)
        rv = set_usage(crt, r->kind);
    return rv < 0 ? rv : set_key_ids(crt, issuer);
}

int cert_make(const struct cert_request *request, const struct file_text *key,
              const struct cert_issuer *issuer, struct file_text *ret, struct pki_error *e)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL, ca = NULL;
    _cleanup_key_ gnutls_x509_privkey_t own = NULL, signer = NULL;
    gnutls_datum_t pem;
    int rv = x509_key_read(key, &own, e);

    if (!rv && issuer)
        rv = x509_crt_read(&issuer->cert, &ca, e);
    if (!rv && issuer)
        rv = x509_key_read(&issuer->key, &signer, e);
    if (rv)
        return rv;
    rv = gnutls_x509_crt_init(&crt);
    if (rv >= 0)
        rv = fill(crt, request, own, ca);
    if (rv < 0)
        return gnutls_failed(e, "write the certificate", rv);
    if (request->kind == PKI_KIND_SERVER) {
        rv = add_sans(crt, request, e);
        if (rv)
            return rv;
    }
    rv = gnutls_x509_crt_sign2(crt, ca ? ca : crt, signer ? signer : own,
                               x509_digest_of(ca ? ca : crt), 0);
    if (rv >= 0)
        rv = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    return rv < 0 ? gnutls_failed(e, "sign the certificate", rv) : x509_text_take(&pem, ret, e);
}

/* --- reading --------------------------------------------------------------------------- */

/* Names come from files of others: what is less than first or not printable becomes '?'. */
static void make_printable(char *s, char first)
{
    for (; *s; s++)
        if (*s < first || *s > '~')
            *s = '?';
}

static enum pki_kind kind_of(gnutls_x509_crt_t crt)
{
    bool server = false, client = false, other = false;
    unsigned critical, ca = 0;
    int pathlen;

    if (gnutls_x509_crt_get_basic_constraints(crt, &critical, &ca, &pathlen) >= 0 && ca)
        return PKI_KIND_CA;
    for (unsigned i = 0;; i++) {
        char oid[64];
        size_t len = sizeof(oid);

        if (gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &len, &critical) < 0)
            break;
        server |= !strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER);
        client |= !strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT);
        other |= strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) && strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT);
    }
    if (server == client || other)
        return PKI_KIND_OTHER;
    return server ? PKI_KIND_SERVER : PKI_KIND_CLIENT;
}

static void describe_key(gnutls_x509_crt_t crt, char *buf, size_t len)
{
    unsigned bits = 0;
    int pk = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
    const char *name = pk == GNUTLS_PK_ECDSA ? "ECDSA"
                       : pk == GNUTLS_PK_RSA ? "RSA"
                                             : gnutls_pk_get_name((gnutls_pk_algorithm_t)pk);

    snprintf(buf, len, "%s %u", name ? name : "?", bits);
}

/* "DNS:hub.example IP:203.0.113.10" */
static void describe_sans(gnutls_x509_crt_t crt, char *buf, size_t len)
{
    size_t at = 0;

    buf[0] = 0;
    for (unsigned i = 0; i < CERT_SANS_MAX && at < len; i++) {
        char san[256], text[IP_ADDR_STR_MAX];
        size_t n = sizeof(san) - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &n, NULL);
        struct ip_addr addr = {.family = n == 4 ? 4 : 6};

        if (type < 0)
            break;
        san[n] = 0;
        if (type == GNUTLS_SAN_IPADDRESS && (n == 4 || n == 16)) {
            memcpy(addr.b, san, n);
            at += (size_t)snprintf(buf + at, len - at, "%sIP:%s", at ? " " : "",
                                   ip_addr_str(&addr, text));
        } else if (type == GNUTLS_SAN_DNSNAME) {
            make_printable(san, '!');
            at += (size_t)snprintf(buf + at, len - at, "%sDNS:%s", at ? " " : "", san);
        }
    }
}

static void describe_fingerprint(gnutls_x509_crt_t crt, char ret[static 65])
{
    unsigned char hash[32];
    size_t n = sizeof(hash);

    ret[0] = 0;
    if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, hash, &n) >= 0)
        for (size_t i = 0; i < n; i++)
            snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static int read_serial(gnutls_x509_crt_t crt, char ret[static PKI_SERIAL_STR_MAX])
{
    unsigned char raw[64];
    size_t n = sizeof(raw);

    return gnutls_x509_crt_get_serial(crt, raw, &n) < 0 ? -EINVAL : x509_serial_str(raw, n, ret);
}

int cert_read(const struct file_text *cert, struct cert_info *ret, struct pki_error *e)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
    struct cert_info info = {0};
    size_t n = sizeof(info.name), m = sizeof(info.issuer);
    int rv = x509_crt_read(cert, &crt, e);

    if (rv)
        return rv;
    if (read_serial(crt, info.serial))
        return pki_error_set(e, -EINVAL, "a certificate whose serial number is too long");
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, info.name, &n) < 0)
        info.name[0] = 0;
    if (gnutls_x509_crt_get_issuer_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, info.issuer,
                                             &m) < 0)
        info.issuer[0] = 0;
    make_printable(info.name, ' ');
    make_printable(info.issuer, ' ');
    info.kind = kind_of(crt);
    info.not_before = (int64_t)gnutls_x509_crt_get_activation_time(crt);
    info.not_after = (int64_t)gnutls_x509_crt_get_expiration_time(crt);
    describe_key(crt, info.algorithm, sizeof(info.algorithm));
    describe_sans(crt, info.sans, sizeof(info.sans));
    describe_fingerprint(crt, info.fingerprint);
    *ret = info;
    return 0;
}

bool cert_is_for_host(const struct file_text *cert, const char *host)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
    struct pki_error ignored;

    return !x509_crt_read(cert, &crt, &ignored) && gnutls_x509_crt_check_hostname(crt, host);
}

/* --- checking -------------------------------------------------------------------------- */

/* The identifier of the public key, by which a key and a certificate are compared. */
static bool same_key(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    unsigned char a[64], b[64];
    size_t n = sizeof(a), m = sizeof(b);

    return gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, a, &n) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, b, &m) >= 0 && n == m &&
           !memcmp(a, b, n);
}

int cert_check_key(const struct file_text *cert, const struct file_text *key, struct pki_error *e)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
    _cleanup_key_ gnutls_x509_privkey_t own = NULL;
    unsigned bits = 0;
    int rv = x509_crt_read(cert, &crt, e);

    if (!rv)
        rv = x509_key_read(key, &own, e);
    if (rv)
        return rv;
    if (!same_key(crt, own))
        return pki_error_set(e, -EINVAL, "the private key does not belong to the certificate");
    if (gnutls_x509_crt_get_pk_algorithm(crt, &bits) == GNUTLS_PK_RSA && bits < CERT_RSA_BITS_MIN)
        return pki_error_set(e, -EINVAL,
                             "an RSA key of %u bits is too weak: make one of %d, or ECDSA P-256",
                             bits, CERT_RSA_BITS_MIN);
    return 0;
}

int cert_check_issuer(const struct cert_issuer *issuer, struct pki_error *e)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
    unsigned usage = 0, critical = 0;
    int rv = cert_check_key(&issuer->cert, &issuer->key, e);

    if (!rv)
        rv = x509_crt_read(&issuer->cert, &crt, e);
    if (rv)
        return rv;
    if (kind_of(crt) != PKI_KIND_CA)
        return pki_error_set(e, -EINVAL, "the certificate is not a CA's (CA:TRUE is missing)");
    if (gnutls_x509_crt_get_key_usage(crt, &usage, &critical) >= 0 &&
        !(usage & GNUTLS_KEY_KEY_CERT_SIGN))
        return pki_error_set(e, -EINVAL, "the CA's certificate may not sign certificates");
    return 0;
}

int cert_check_chain(const struct file_text *cert, const struct file_text *ca,
                     const struct file_text *crl, enum pki_kind purpose, struct pki_error *e)
{
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL, issuer = NULL;
    _cleanup_crl_ gnutls_x509_crl_t list = NULL;
    unsigned status = 0;
    int rv = x509_crt_read(cert, &crt, e);

    if (!rv)
        rv = x509_crt_read(ca, &issuer, e);
    if (!rv && crl)
        rv = x509_crl_read(crl, &list, e);
    if (rv)
        return rv;
    rv = gnutls_x509_crt_verify(crt, &issuer, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    if (rv < 0 || status)
        return pki_error_set(e, -EINVAL, "the certificate was not issued by this CA");
    if (!gnutls_x509_crt_check_key_purpose(
            crt, purpose == PKI_KIND_SERVER ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT,
            0))
        return pki_error_set(e, -EINVAL, "the certificate is not one of a %s",
                             pki_kind_name(purpose));
    if (list && gnutls_x509_crt_check_revocation(crt, &list, 1) == 1)
        return pki_error_set(e, -EKEYREVOKED, "the certificate has been revoked");
    return 0;
}
