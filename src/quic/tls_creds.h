/* Credentials as the session sees them. Only the tls_*.c files include it. */
#ifndef QUIC_TLS_CREDS_H
#define QUIC_TLS_CREDS_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "quic/tls.h"

enum {
    TLS_CHAIN_MAX = 8, /* certificates that a peer may show */
    TLS_PEER_NAME_BYTES =
        256 /* 64 characters of UTF-8 (RFC 5280, A.1); a longer name counts as none */
};

struct quic_tls_creds {
    unsigned refs;
    gnutls_certificate_credentials_t cred;
    gnutls_x509_trust_list_t trust; /* owned by cred */
    gnutls_priority_t priority;
    bool server, insecure_skip_verify, require_client_cert, have_ca;
    char **allowed; /* NULL-terminated; NULL = any */
    int64_t crl_due_s;
    gnutls_datum_t own, ca; /* the first certificate of each, DER; size 0 = none */
    unsigned char reset_secret[32];
};

/* A peer's certificates in one block of memory, the peer's own first. */
struct tls_chain {
    unsigned n;
    gnutls_datum_t cert[TLS_CHAIN_MAX]; /* DER */
};

/* Whether the owner of this chain may come in: signature, time, purpose, revocation, name. An
 * empty chain is a peer without certificate. server_name: whom a client wants to talk to. The
 * reason goes to `detail` where the code does not say it all. */
enum quic_fail tls_creds_check(const struct quic_tls_creds *creds, const struct tls_chain *chain,
                               const char *server_name, char *detail, size_t len);

/* tls_cert.c: the name of a certificate (its common name, or else its first DNS name) and all
 * about it. */
void tls_cert_name(gnutls_x509_crt_t crt, char *dst, size_t len);
int tls_cert_info_der(const gnutls_datum_t *der, struct quic_tls_cert_info *ret);

static inline void tls_cleanup_crt(gnutls_x509_crt_t *crt)
{
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

#endif
