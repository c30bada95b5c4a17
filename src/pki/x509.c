#include "pki/x509.h"

#include <errno.h>
#include <stdio.h>

#include <gnutls/abstract.h>

static gnutls_datum_t datum(const struct file_text *t)
{
    return (gnutls_datum_t){.data = (unsigned char *)t->data, .size = (unsigned)t->len};
}

void x509_crt_done(gnutls_x509_crt_t *crt)
{
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

void x509_key_done(gnutls_x509_privkey_t *key)
{
    if (*key)
        gnutls_x509_privkey_deinit(*key);
}

void x509_crl_done(gnutls_x509_crl_t *crl)
{
    if (*crl)
        gnutls_x509_crl_deinit(*crl);
}

int x509_crt_read(const struct file_text *pem, gnutls_x509_crt_t *ret, struct pki_error *e)
{
    gnutls_datum_t data = datum(pem);
    int rv = gnutls_x509_crt_init(ret);

    if (rv < 0)
        return pki_error_set(e, -ENOMEM, "%s", gnutls_strerror(rv));
    rv = gnutls_x509_crt_import(*ret, &data, GNUTLS_X509_FMT_PEM);
    return rv < 0 ? pki_error_set(e, -EINVAL, "not a certificate in PEM: %s", gnutls_strerror(rv))
                  : 0;
}

int x509_key_read(const struct file_text *pem, gnutls_x509_privkey_t *ret, struct pki_error *e)
{
    gnutls_datum_t data = datum(pem);
    int rv = gnutls_x509_privkey_init(ret);

    if (rv < 0)
        return pki_error_set(e, -ENOMEM, "%s", gnutls_strerror(rv));
    rv = gnutls_x509_privkey_import2(*ret, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rv == GNUTLS_E_DECRYPTION_FAILED)
        return pki_error_set(e, -EINVAL,
                             "the private key is encrypted: store it without a passphrase");
    return rv < 0 ? pki_error_set(e, -EINVAL, "not a private key in PEM: %s", gnutls_strerror(rv))
                  : 0;
}

int x509_crl_read(const struct file_text *pem, gnutls_x509_crl_t *ret, struct pki_error *e)
{
    gnutls_datum_t data = datum(pem);
    int rv = gnutls_x509_crl_init(ret);

    if (rv < 0)
        return pki_error_set(e, -ENOMEM, "%s", gnutls_strerror(rv));
    rv = gnutls_x509_crl_import(*ret, &data, GNUTLS_X509_FMT_PEM);
    return rv < 0
               ? pki_error_set(e, -EINVAL, "not a revocation list in PEM: %s", gnutls_strerror(rv))
               : 0;
}

int x509_text_take(gnutls_datum_t *d, struct file_text *ret, struct pki_error *e)
{
    int rv = file_text_set(ret, d->data, d->size, e);

    gnutls_memset(d->data, 0, d->size);
    gnutls_free(d->data);
    return rv;
}

gnutls_digest_algorithm_t x509_digest_of(gnutls_x509_crt_t signer)
{
    gnutls_digest_algorithm_t digest = GNUTLS_DIG_SHA256;
    gnutls_pubkey_t key;

    if (gnutls_pubkey_init(&key) < 0)
        return digest;
    if (gnutls_pubkey_import_x509(key, signer, 0) < 0 ||
        gnutls_pubkey_get_preferred_hash_algorithm(key, &digest, NULL) < 0)
        digest = GNUTLS_DIG_SHA256;
    gnutls_pubkey_deinit(key);
    return digest;
}

int x509_serial_str(const unsigned char *raw, size_t n, char ret[static PKI_SERIAL_STR_MAX])
{
    char hex[2 * 64 + 1];

    if (n > 64)
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    return n ? pki_serial_parse(hex, ret) : -EINVAL;
}
