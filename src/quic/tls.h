/* The TLS 1.3 side of a QUIC connection, behind a table of functions: GnuTLS in the product,
 * a fixed-size deterministic exchange in the simulator. */
#ifndef QUIC_TLS_H
#define QUIC_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "quic/fail.h"

struct quic_tls_ops {
    /* Make the TLS side of one connection. `ref` finds the ngtcp2_conn and outlives the session.
     * Returns NULL on failure. */
    void *(*session_new)(void *ctx, bool server, const char *server_name,
                         ngtcp2_crypto_conn_ref *ref);
    void (*session_free)(void *session);

    /* What ngtcp2_conn_set_tls_native_handle() wants for this session. */
    void *(*native)(void *session);

    /* Set the cryptographic callbacks: client_initial, recv_client_initial, recv_crypto_data,
     * recv_retry, encrypt, decrypt, hp_mask, update_key, delete_crypto_*, version_negotiation. */
    void (*callbacks)(ngtcp2_callbacks *cb);

    /* After a failed handshake: why this side refused; QUIC_FAIL_NONE when it did not. */
    enum quic_fail (*refusal)(void *session, char *detail, size_t len);

    /* Name of the authenticated peer, "" when it has none. Valid as long as the session. */
    const char *(*peer_name)(void *session);
};

/* Credentials of one end, from files in PEM. */
struct quic_tls_files {
    bool server;
    const char *cert_file, *key_file; /* both or neither (client with a token) */
    const char *ca_file;              /* NULL: server: ask for no certificate of that CA */
    bool insecure_skip_verify;        /* client */
    bool require_client_cert;         /* server: no certificate ends the handshake */
    const char *const *allowed_names; /* server: NULL-terminated list or NULL = any; borrowed */
};

struct quic_tls_creds;

/* Load credentials. Returns 0, or a negative errno and one line in err: -ENOENT/-EACCES a file
 * cannot be read, -EINVAL it does not parse or key and certificate do not belong together. */
int quic_tls_creds_load(const struct quic_tls_files *files, struct quic_tls_creds **ret, char *err,
                        size_t err_len);
void quic_tls_creds_free(struct quic_tls_creds *creds);

/* A secret for stateless reset tokens, derived from the private key: the same after a restart. */
void quic_tls_reset_secret(const struct quic_tls_creds *creds, unsigned char ret[static 32]);

/* GnuTLS, with a struct quic_tls_creds as tls_ctx. */
extern const struct quic_tls_ops quic_tls_gnutls;

/* Name of a TLS alert (RFC 8446, 6), "alert" when unknown. */
const char *quic_tls_alert_name(unsigned alert);

/* The system's random generator, in the shape of quic_endpoint_opts.random. */
void quic_random_system(void *user, void *dst, size_t len);

#endif
