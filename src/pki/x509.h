/* GnuTLS objects from PEM text, for the files of this folder. */
#ifndef PKI_X509_H
#define PKI_X509_H

#include <gnutls/x509.h>

#include "pki/cert.h"

/* Read an object. Return 0, or -EINVAL with the reason. The caller frees with x509_*_done. */
int x509_crt_read(const struct file_text *pem, gnutls_x509_crt_t *ret, struct pki_error *e);
int x509_key_read(const struct file_text *pem, gnutls_x509_privkey_t *ret, struct pki_error *e);
int x509_crl_read(const struct file_text *pem, gnutls_x509_crl_t *ret, struct pki_error *e);

void x509_crt_done(gnutls_x509_crt_t *crt);
void x509_key_done(gnutls_x509_privkey_t *key);
void x509_crl_done(gnutls_x509_crl_t *crl);
#define _cleanup_crt_ __attribute__((cleanup(x509_crt_done)))
#define _cleanup_key_ __attribute__((cleanup(x509_key_done)))
#define _cleanup_crl_ __attribute__((cleanup(x509_crl_done)))

/* Text from GnuTLS into ours; frees d. */
int x509_text_take(gnutls_datum_t *d, struct file_text *ret, struct pki_error *e);

/* The hash to sign with: what goes with the signer's key (SHA-256 for P-256 and RSA). */
gnutls_digest_algorithm_t x509_digest_of(gnutls_x509_crt_t signer);

/* The octets of a serial number in the shape of the index. */
int x509_serial_str(const unsigned char *raw, size_t n, char ret[static PKI_SERIAL_STR_MAX]);

#endif
