/* A stand-in for TLS 1.3 in simulations: the same flights in the same sizes at the same
 * encryption levels, but no cryptography, no certificate and no clock; all randomness from a
 * seeded generator, so that every run of a seed sends the same bytes.
 *
 *      client                                                    server
 *      Initial     HELLO 300 bytes (random, transport params) ->
 *                         <- Initial    HELLO 122 bytes (random)
 *                         <- Handshake  CERT 2500 bytes (name, transport params, proof)
 *      Handshake   CERT 1400 bytes (name, proof) ->
 *
 * The proof is a hash over both randoms. Packets are not encrypted, but carry a 16-byte tag
 * over key, nonce, header and content, and header protection works as usual: a damaged packet or
 * one of another connection fails as it would with a real cipher.
 */
#ifndef SIM_TLS_DUMMY_H
#define SIM_TLS_DUMMY_H

#include "base/rng.h"
#include "quic/tls.h"

/* The tls_ctx of an endpoint. */
struct tls_dummy {
    struct rng *rng;  /* borrowed */
    const char *name; /* in this end's certificate; "" or NULL: shows none (client) */

    /* What this end finds wrong with the peer's certificate; QUIC_FAIL_NONE to accept it. May
     * change between connections. */
    enum quic_fail refuse;

    /* Peers of this name are refused as revoked, and rechecks find it; NULL = nobody. */
    const char *revoked;

    /* When certificates of that name end, seconds since the epoch; NULL = nobody's does. */
    const char *ending;
    int64_t ending_s;

    /* With quic_tls_sealed: the cipher, and after how many packets of a key both change to the next
     * one; 0 = the limit of RFC 9001, 6.6. The same at both ends. */
    enum aead_alg alg;
    uint64_t max_encryption;

    /* Connections begun so far, for tests. */
    unsigned sessions;
};

extern const struct quic_tls_ops quic_tls_dummy;

/* The same handshake, but packets are protected as in the product, by the endpoint's AEAD. */
extern const struct quic_tls_ops quic_tls_sealed;

#endif
