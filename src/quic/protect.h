/* Packet protection of one connection (RFC 9001, 5 and 6): keys out of secrets, and the callbacks
 * by which ngtcp2 uses them. All levels are protected by one AEAD backend. */
#ifndef QUIC_PROTECT_H
#define QUIC_PROTECT_H

#include <stddef.h>
#include <stdint.h>

#include <ngtcp2/ngtcp2.h>

#include "base/drop.h"
#include "quic/aead.h"

/* Belongs to the owner of the ngtcp2_conn, which it must outlive. The owner sets backend and
 * drops, the TLS side sets alg as soon as it is negotiated. */
struct protect {
    const struct aead_backend *backend;
    struct drop_counters *drops; /* borrowed: packets with a wrong tag are counted here */
    enum aead_alg alg;           /* of Handshake and 1-RTT packets */
    uint64_t max_encryption;     /* packets before the next key; 0 = as RFC 9001, 6.6 says */
};

/* Set encrypt, decrypt, hp_mask, update_key, delete_crypto_*, version_negotiation. They serve
 * connections whose keys are all installed by the functions below. */
void protect_callbacks(ngtcp2_callbacks *cb);

/* Install the keys of Initial packets, for the connection ID that the client's first one is sent
 * to (5.2), and on a client the key that Retry packets are verified with (5.8). `p` stays
 * referenced by the connection. Returns 0 or -ENOMEM. */
int protect_install_initial(struct protect *p, ngtcp2_conn *conn, const ngtcp2_cid *dcid);

/* Install the keys of Handshake or 1-RTT packets, for receiving and for sending. Returns 0, or
 * -ENOMEM also when ngtcp2 refuses them. */
int protect_install_rx(struct protect *p, ngtcp2_conn *conn, ngtcp2_encryption_level level,
                       const uint8_t *secret, size_t len);
int protect_install_tx(struct protect *p, ngtcp2_conn *conn, ngtcp2_encryption_level level,
                       const uint8_t *secret, size_t len);

enum { PROTECT_INITIAL_SECRET_BYTES = 32 };

/* The secrets of Initial packets (5.2), of what the client sends and of what the server sends; no
 * secrets, really: everybody on the path can derive them. Returns 0 or -EIO. */
int protect_initial_secrets(const uint8_t *dcid, size_t len,
                            uint8_t ret_client[static PROTECT_INITIAL_SECRET_BYTES],
                            uint8_t ret_server[static PROTECT_INITIAL_SECRET_BYTES]);

/* HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446, 7.1), with the hash of the
 * algorithm. Returns 0 or -EIO. */
int protect_expand(enum aead_alg alg, const uint8_t *secret, size_t secret_len, const char *label,
                   uint8_t *ret, size_t len);

#endif
