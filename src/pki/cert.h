/* Keys, certificates and revocation lists (RFC 5280), made and looked at with GnuTLS. Everything is
 * PEM text in memory; nothing here touches a file.
 */
#ifndef PKI_CERT_H
#define PKI_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pki/error.h"
#include "pki/file.h"
#include "pki/index.h"

enum {
    CERT_RSA_BITS_MIN = 2048,
    CERT_RSA_BITS_MAX = 16384,
    CERT_SANS_MAX = 32,
    CERT_SAN_TEXT_MAX = 4096
};

/* A key pair: ECDSA P-256 when rsa_bits is 0. Returns 0; -EINVAL when RSA is too short or too long;
 * -EIO when GnuTLS cannot. *ret is PKCS #8 without a passphrase. */
int cert_key_make(unsigned rsa_bits, struct file_text *ret, struct pki_error *e);

/* What is to be certified. */
struct cert_request {
    enum pki_kind kind;      /* CA: signs itself; SERVER, CLIENT: the key purpose */
    const char *name;        /* common name; of a SERVER also the first alternative name */
    const char *const *sans; /* more names and literal addresses */
    unsigned n_sans;
    int64_t not_before, not_after; /* seconds since 1970 */
};

/* Who signs. */
struct cert_issuer {
    struct file_text cert, key;
};

void cert_issuer_done(struct cert_issuer *issuer);

/* Certify a key. issuer NULL: the key signs itself. The serial number is 128 random bits.
 * Returns 0; -EINVAL when a key, a certificate or a name cannot be used; -EIO. */
int cert_make(const struct cert_request *request, const struct file_text *key,
              const struct cert_issuer *issuer, struct file_text *ret, struct pki_error *e);

/* What a certificate says. */
struct cert_info {
    char name[PKI_NAME_MAX];         /* common name, "" when it has none; made printable */
    char issuer[PKI_NAME_MAX];       /* common name of the issuer */
    char serial[PKI_SERIAL_STR_MAX]; /* as in the index */
    char sans[CERT_SAN_TEXT_MAX];    /* "DNS:hub.example IP:203.0.113.10" */
    char algorithm[32];              /* "ECDSA 256", "RSA 2048" */
    char fingerprint[65];            /* SHA-256 */
    enum pki_kind kind;              /* OTHER: neither a CA nor of exactly one of the purposes */
    int64_t not_before, not_after;
};

/* Read the first certificate of a PEM text. Returns 0, or -EINVAL. */
int cert_read(const struct file_text *cert, struct cert_info *ret, struct pki_error *e);

/* Whether the certificate is for that host name or literal address. */
bool cert_is_for_host(const struct file_text *cert, const char *host);

/* Whether key and certificate belong together and the key is strong enough. Returns 0 or -EINVAL
 * with the reason. */
int cert_check_key(const struct file_text *cert, const struct file_text *key, struct pki_error *e);

/* Whether the issuer can issue: a CA that may sign, with its own key. Returns 0 or -EINVAL. */
int cert_check_issuer(const struct cert_issuer *issuer, struct pki_error *e);

/* Whether cert was issued by ca for that purpose (OTHER: any) and was not revoked, whatever the
 * time. crl may be NULL. Returns 0; -EKEYREVOKED; -EINVAL. */
int cert_check_chain(const struct file_text *cert, const struct file_text *ca,
                     const struct file_text *crl, enum pki_kind purpose, struct pki_error *e);

/* A serial number and when it was revoked. */
struct crl_entry {
    char serial[PKI_SERIAL_STR_MAX];
    int64_t revoked;
};

/* Start from {0}; crl_done() frees. */
struct crl_table {
    struct crl_entry *v;
    size_t n;
    int64_t this_update, next_update;
    uint64_t number; /* RFC 5280, 5.2.3; 0 when it has none */
};

void crl_done(struct crl_table *t);

/* Read a list. Returns 0, -EINVAL or -ENOMEM. */
int crl_read(const struct file_text *crl, struct crl_table *ret, struct pki_error *e);

/* Whether the list was signed by this authority. Returns 0 or -EINVAL. */
int crl_check_issuer(const struct file_text *crl, const struct file_text *ca, struct pki_error *e);

/* Make a list of the entries, with the number and the times of the table. Returns 0, -EINVAL or
 * -EIO. */
int crl_make(const struct crl_table *t, const struct cert_issuer *issuer, struct file_text *ret,
             struct pki_error *e);

/* When serial was revoked, 0 when it is not in the list. */
int64_t crl_find(const struct crl_table *t, const char *serial);

#endif
