/* Why a connection ended or could not begin. */
#ifndef QUIC_FAIL_H
#define QUIC_FAIL_H

#include <stdbool.h>
#include <stdint.h>

/* X(symbol, name, permanent, what it means and what to do) */
#define QUIC_FAILS(X)                                                                              \
    X(QUIC_FAIL_NONE, "none", false, "no failure")                                                 \
    X(QUIC_FAIL_LOCAL, "closed", false, "this side closed the connection")                         \
    X(QUIC_FAIL_PEER, "peer-closed", false, "the peer closed the connection")                      \
    X(QUIC_FAIL_IDLE, "idle-timeout", false, "nothing came from the peer for the idle time")       \
    X(QUIC_FAIL_HANDSHAKE_TIMEOUT, "no-answer", false,                                             \
      "the peer did not answer; check address, UDP port and firewalls")                            \
    X(QUIC_FAIL_RESET, "stateless-reset", false, "the peer has forgotten the connection")          \
    X(QUIC_FAIL_VERSION, "version", false, "the peer does not speak QUIC version 1")               \
    X(QUIC_FAIL_ALPN, "alpn", true, "the peer does not speak HTTP/3 on this port")                 \
    X(QUIC_FAIL_CERT_UNTRUSTED, "certificate-untrusted", true,                                     \
      "the peer's certificate was not issued by the CA in tls_ca_file; both ends need the same")   \
    X(QUIC_FAIL_CERT_EXPIRED, "certificate-expired", true,                                         \
      "the peer's certificate has expired or is not valid yet; check the clock and renew it")      \
    X(QUIC_FAIL_CERT_REVOKED, "certificate-revoked", true,                                         \
      "the peer's certificate has been revoked")                                                   \
    X(QUIC_FAIL_CERT_NAME, "certificate-name", true,                                               \
      "the server's certificate is for another name; renew it with --san, or set tls_server_name") \
    X(QUIC_FAIL_CERT_MISSING, "certificate-missing", true,                                         \
      "the peer showed no certificate; it needs tls_cert_file")                                    \
    X(QUIC_FAIL_CERT_INVALID, "certificate-invalid", true,                                         \
      "the peer's certificate is invalid; have it made anew")                                      \
    X(QUIC_FAIL_CLIENT_UNKNOWN, "client-unknown", true,                                            \
      "the client's certificate is valid but its name is not in allowed_clients; add it there")    \
    X(QUIC_FAIL_REJECTED, "rejected", true,                                                        \
      "the peer rejected our certificate; its log tells why")                                      \
    X(QUIC_FAIL_REJECTED_EXPIRED, "rejected-expired", true,                                        \
      "the peer says that our certificate has expired; renew it, or check both clocks")            \
    X(QUIC_FAIL_REJECTED_REVOKED, "rejected-revoked", true,                                        \
      "the peer says that our certificate has been revoked; ask for a new one")                    \
    X(QUIC_FAIL_TLS, "tls", false, "the TLS handshake failed")                                     \
    X(QUIC_FAIL_PROTOCOL, "protocol", false, "the peer violated the protocol")                     \
    X(QUIC_FAIL_INTERNAL, "internal", false, "an internal error")

enum quic_fail {
#define X(sym, name, permanent, what) sym,
    QUIC_FAILS(X)
#undef X
        QUIC_FAIL_COUNT
};

struct quic_fail_info {
    enum quic_fail fail;
    bool app;        /* code is an application (HTTP/3) error code */
    uint64_t code;   /* QUIC transport or application error code, 0 when none */
    char detail[96]; /* what the peer or the TLS library said; printable, may be "" */
};

const char *quic_fail_name(enum quic_fail f);
const char *quic_fail_meaning(enum quic_fail f);

/* True when trying again cannot help until somebody changes something. */
bool quic_fail_permanent(enum quic_fail f);

#endif
