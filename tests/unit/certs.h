/* Certificates for tests, made in process and written as PEM files into a directory. */
#ifndef TESTS_UNIT_CERTS_H
#define TESTS_UNIT_CERTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct cert {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    char cert_file[256], key_file[256];
    gnutls_datum_t cert_pem, key_pem; /* the same texts in memory */
    unsigned char serial[4];
};

struct cert_spec {
    const char *name;          /* common name, and name of the files */
    const struct cert *issuer; /* NULL: a CA, signed by itself */
    const char *dns;           /* subject alternative names; NULL: none */
    const unsigned char *ip4;  /* 4 bytes */
    const char *purpose;       /* GNUTLS_KP_*; NULL: none stated */
    int days_from, days_to;    /* validity, from today */
    int rsa_bits;              /* 0: ECDSA P-256 */
};

#define CERT_OK(call)                                                     \
    do {                                                                  \
        int cert_rv = (call);                                             \
        if (cert_rv < 0) {                                                \
            fprintf(stderr, "%s: %s\n", #call, gnutls_strerror(cert_rv)); \
            abort();                                                      \
        }                                                                 \
    } while (0)

static inline void cert_write(const char *path, const gnutls_datum_t *pem)
{
    FILE *f = fopen(path, "w");

    if (!f || fwrite(pem->data, 1, pem->size, f) != pem->size || fclose(f))
        abort();
}

static inline void cert_fill(struct cert *c, const struct cert_spec *s)
{
    static unsigned char serial[4];
    time_t now = time(NULL);

    serial[3]++;
    memcpy(c->serial, serial, sizeof(serial));
    CERT_OK(gnutls_x509_crt_set_version(c->crt, 3));
    CERT_OK(gnutls_x509_crt_set_serial(c->crt, serial, sizeof(serial)));
    CERT_OK(gnutls_x509_crt_set_dn_by_oid(c->crt, GNUTLS_OID_X520_COMMON_NAME, 0, s->name,
                                          (unsigned)strlen(s->name)));
    CERT_OK(gnutls_x509_crt_set_activation_time(c->crt, now + s->days_from * 86400));
    CERT_OK(gnutls_x509_crt_set_expiration_time(c->crt, now + s->days_to * 86400));
    CERT_OK(gnutls_x509_crt_set_key(c->crt, c->key));
    CERT_OK(gnutls_x509_crt_set_basic_constraints(c->crt, !s->issuer, -1));
    if (s->dns)
        CERT_OK(gnutls_x509_crt_set_subject_alt_name(c->crt, GNUTLS_SAN_DNSNAME, s->dns,
                                                     (unsigned)strlen(s->dns), GNUTLS_FSAN_APPEND));
    if (s->ip4)
        CERT_OK(gnutls_x509_crt_set_subject_alt_name(c->crt, GNUTLS_SAN_IPADDRESS, s->ip4, 4,
                                                     GNUTLS_FSAN_APPEND));
    if (s->purpose)
        CERT_OK(gnutls_x509_crt_set_key_purpose_oid(c->crt, s->purpose, 0));
}

static inline void cert_make(struct cert *c, const char *dir, const struct cert_spec *s)
{
    gnutls_pk_algorithm_t algorithm = s->rsa_bits ? GNUTLS_PK_RSA : GNUTLS_PK_ECDSA;
    unsigned bits = s->rsa_bits ? (unsigned)s->rsa_bits
                                : (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    const struct cert *issuer = s->issuer ? s->issuer : c;

    CERT_OK(gnutls_x509_privkey_init(&c->key));
    CERT_OK(gnutls_x509_privkey_generate(c->key, algorithm, bits, 0));
    CERT_OK(gnutls_x509_crt_init(&c->crt));
    cert_fill(c, s);
    CERT_OK(gnutls_x509_crt_sign2(c->crt, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0));
    snprintf(c->cert_file, sizeof(c->cert_file), "%s/%s.crt", dir, s->name);
    snprintf(c->key_file, sizeof(c->key_file), "%s/%s.key", dir, s->name);
    CERT_OK(gnutls_x509_crt_export2(c->crt, GNUTLS_X509_FMT_PEM, &c->cert_pem));
    cert_write(c->cert_file, &c->cert_pem);
    CERT_OK(gnutls_x509_privkey_export2_pkcs8(c->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                              &c->key_pem));
    cert_write(c->key_file, &c->key_pem);
}

/* A revocation list in PEM of `issuer` with one certificate in it (NULL: none); the caller frees
 * the text with gnutls_free. */
static inline gnutls_datum_t cert_crl(const struct cert *issuer, const struct cert *revoked,
                                      int days_from, int days_to)
{
    time_t now = time(NULL);
    gnutls_x509_crl_t crl;
    gnutls_datum_t pem;

    CERT_OK(gnutls_x509_crl_init(&crl));
    CERT_OK(gnutls_x509_crl_set_version(crl, 2));
    CERT_OK(gnutls_x509_crl_set_this_update(crl, now + days_from * 86400));
    CERT_OK(gnutls_x509_crl_set_next_update(crl, now + days_to * 86400));
    if (revoked)
        CERT_OK(gnutls_x509_crl_set_crt(crl, revoked->crt, now + days_from * 86400));
    CERT_OK(gnutls_x509_crl_sign2(crl, issuer->crt, issuer->key, GNUTLS_DIG_SHA256, 0));
    CERT_OK(gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem));
    gnutls_x509_crl_deinit(crl);
    return pem;
}

/* Forget the objects and remove the files. */
static inline void cert_done(struct cert *c)
{
    gnutls_x509_crt_deinit(c->crt);
    gnutls_x509_privkey_deinit(c->key);
    gnutls_free(c->cert_pem.data);
    gnutls_free(c->key_pem.data);
    remove(c->cert_file);
    remove(c->key_file);
}

#endif
