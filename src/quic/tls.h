/* The TLS 1.3 side of a QUIC connection, behind a table of functions: GnuTLS in the product,
 * a fixed-size deterministic exchange in the simulator. */
#ifndef QUIC_TLS_H
#define QUIC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "quic/fail.h"
#include "quic/protect.h"

struct quic_tls_cert_info;

struct quic_tls_ops {
    /* Make the TLS side of one connection. `ref` finds the ngtcp2_conn and outlives the session.
     * The session keeps what it needs of ctx alive. `protect` outlives it too: keys are installed
     * through it. Returns NULL on failure. */
    void *(*session_new)(void *ctx, bool server, const char *server_name,
                         ngtcp2_crypto_conn_ref *ref, struct protect *protect);
    void (*session_free)(void *session);

    /* What ngtcp2_conn_set_tls_native_handle() wants for this session. */
    void *(*native)(void *session);

    /* Set the cryptographic callbacks: client_initial, recv_client_initial, recv_crypto_data,
     * recv_retry, encrypt, decrypt, hp_mask, update_key, delete_crypto_*, version_negotiation. */
    void (*callbacks)(ngtcp2_callbacks *cb);

    /* server: the handshake is confirmed: free what only the handshake needed. native() may be
     * another one afterwards. Not to be called from a callback of ngtcp2. */
    void (*settle)(void *session);

    /* After a failed handshake: why this side refused; QUIC_FAIL_NONE when it did not. */
    enum quic_fail (*refusal)(void *session, char *detail, size_t len);

    /* Name of the authenticated peer, "" when it has none. Valid as long as the session. */
    const char *(*peer_name)(void *session);

    /* About the certificate that the peer showed: 0, or -ENOENT. NULL: never known. */
    int (*peer_cert)(void *session, struct quic_tls_cert_info *ret);

    /* Until when it is valid, seconds since the epoch; 0: unknown. Cheap. NULL: never known. */
    int64_t (*peer_until_s)(void *session);

    /* Would the peer's certificate be accepted now, with the credentials `ctx` instead of those
     * of its handshake? Why not, or QUIC_FAIL_NONE; also for a peer that showed none. */
    enum quic_fail (*recheck)(void *session, void *ctx);

    /* Write a Retry packet (RFC 9000, 17.2.5); the arguments are those of
     * ngtcp2_crypto_write_retry(). Returns its length, or a negative number. */
    ngtcp2_ssize (*write_retry)(uint8_t *dst, size_t cap, uint32_t version, const ngtcp2_cid *dcid,
                                const ngtcp2_cid *scid, const ngtcp2_cid *odcid,
                                const uint8_t *token, size_t token_len);

    /* Write an Initial packet with a CONNECTION_CLOSE; the arguments are those of
     * ngtcp2_crypto_write_connection_close(). NULL: such a close is not sent. */
    ngtcp2_ssize (*write_close)(uint8_t *dst, size_t cap, uint32_t version, const ngtcp2_cid *dcid,
                                const ngtcp2_cid *scid, uint64_t error, const uint8_t *reason,
                                size_t reason_len);
};

/* One PEM text in memory. `name` stands in messages for it, usually a file's path. */
struct quic_tls_blob {
    const char *name;
    const void *data; /* NULL: there is none */
    size_t len;
};

/* Credentials of one end. Everything is copied. */
struct quic_tls_files {
    bool server;
    struct quic_tls_blob cert, key;   /* both or neither (client with a token) */
    struct quic_tls_blob ca;          /* server without: ask for no certificate */
    struct quic_tls_blob crl;         /* any number of lists, each signed by a CA in `ca` */
    bool insecure_skip_verify;        /* client */
    bool require_client_cert;         /* server: no certificate ends the handshake */
    const char *const *allowed_names; /* server: NULL-terminated list or NULL = any */
};

struct quic_tls_creds;

/* Make credentials, with one reference. Returns 0, -ENOMEM, or -EINVAL when something does not
 * parse, key and certificate do not belong together, or a revocation list is not of the CA; then
 * err is one line that names the blob.
 *
 * Revocation lists count all together: who stands in one of them is refused. One whose next update
 * is overdue stays in force, because a list that nobody renews must not let back in those whom it
 * names (nor lock everybody out): see quic_tls_creds_crl_due_s(). */
int quic_tls_creds_load(const struct quic_tls_files *files, struct quic_tls_creds **ret, char *err,
                        size_t err_len);

/* The owner of a tls_ctx holds a reference while an endpoint has it; sessions hold their own. */
struct quic_tls_creds *quic_tls_creds_ref(struct quic_tls_creds *creds);
void quic_tls_creds_unref(struct quic_tls_creds *creds); /* accepts NULL */

/* A secret for stateless reset tokens, derived from the private key: the same after a restart. */
void quic_tls_reset_secret(const struct quic_tls_creds *creds, unsigned char ret[static 32]);

/* When the first of the revocation lists should have been replaced by a newer one, in seconds
 * since the epoch; INT64_MAX when there is none or none says so. */
int64_t quic_tls_creds_crl_due_s(const struct quic_tls_creds *creds);

enum { QUIC_TLS_NAMES_MAX = 8, QUIC_TLS_NAME_BYTES = 128, QUIC_TLS_SERIAL_BYTES = 48 };

struct quic_tls_cert_info {
    char subject[QUIC_TLS_NAME_BYTES];  /* the common name, else the first DNS name */
    char issuer[QUIC_TLS_NAME_BYTES];   /* its common name */
    char serial[QUIC_TLS_SERIAL_BYTES]; /* lower-case hexadecimal digits */
    unsigned n_names;                   /* subject alternative names: DNS names and addresses */
    char names[QUIC_TLS_NAMES_MAX][QUIC_TLS_NAME_BYTES];
    int64_t not_before_s, not_after_s; /* seconds since the epoch */
    bool authority;                    /* it may sign other certificates */
    bool for_server, for_client;       /* by its key purposes; both when it names none */
};

/* About the first certificate in a PEM text. Returns 0, or -EINVAL when it does not parse. */
int quic_tls_cert_info(const void *pem, size_t len, struct quic_tls_cert_info *ret);

/* When the first of the revocation lists in a PEM text should have been replaced by a newer one, in
 * seconds since the epoch; INT64_MAX when none says so. Returns 0, or -EINVAL when one does not
 * parse. */
int quic_tls_crl_due_s(const void *pem, size_t len, int64_t *ret);

/* About the own certificate, or the one of the CA. Returns 0 or -ENOENT when there is none. */
int quic_tls_creds_info(const struct quic_tls_creds *creds, struct quic_tls_cert_info *ret);
int quic_tls_creds_ca_info(const struct quic_tls_creds *creds, struct quic_tls_cert_info *ret);

/* The clock by which certificates are valid or not, for the whole process; the system's unless
 * set. */
void quic_tls_set_clock(int64_t (*now_s)(void));

/* GnuTLS, with a struct quic_tls_creds as tls_ctx. */
extern const struct quic_tls_ops quic_tls_gnutls;

/* Name of a TLS alert (RFC 8446, 6), "alert" when unknown. */
const char *quic_tls_alert_name(unsigned alert);

/* The system's random generator, in the shape of quic_endpoint_opts.random. */
void quic_random_system(void *user, void *dst, size_t len);

#endif
