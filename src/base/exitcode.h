/* What the exit status of mpquic means. The manual page is made from this table. */
#ifndef BASE_EXITCODE_H
#define BASE_EXITCODE_H

/* X(symbol, number, name, what it means) */
#define EXIT_CODES(X)                                                                           \
    X(EXIT_CODE_OK, 0, "ok", "success; a tunnel was asked to stop and stopped")                 \
    X(EXIT_CODE_CONFIG, 1, "config", "the configuration has errors")                            \
    X(EXIT_CODE_USAGE, 2, "usage", "the command line is wrong")                                 \
    X(EXIT_CODE_NOT_RUNNING, 3, "not-running", "the instance is not running")                   \
    X(EXIT_CODE_NOT_UP, 4, "not-up", "the instance runs, but its tunnel is not up")             \
    X(EXIT_CODE_RESTART_NEEDED, 5, "restart-needed",                                            \
      "a reload was asked for, but a key has changed that needs a restart")                     \
    X(EXIT_CODE_UNREACHABLE, 6, "unreachable",                                                  \
      "the instance did not answer, or may not be asked by this user")                          \
    X(EXIT_CODE_START, 10, "start",                                                             \
      "the tunnel cannot start: the TUN interface or the UDP socket cannot be set up")          \
    X(EXIT_CODE_SERVER_UNTRUSTED, 20, "server-untrusted",                                       \
      "the server's certificate is not signed by an authority of tls_ca_file")                  \
    X(EXIT_CODE_CERT_TIME, 21, "certificate-time",                                              \
      "a certificate has expired or is not yet valid")                                          \
    X(EXIT_CODE_SERVER_NAME, 22, "server-name",                                                 \
      "the server's certificate is for another name or address")                                \
    X(EXIT_CODE_CLIENT_REJECTED, 23, "client-rejected",                                         \
      "the server does not accept this client's certificate, or does not know the client")      \
    X(EXIT_CODE_TOKEN_REJECTED, 24, "token-rejected", "the server does not accept the token")   \
    X(EXIT_CODE_NO_CLIENT_AUTH, 25, "no-client-authentication",                                 \
      "the server has neither tls_ca_file nor tokens_file and refuses to start")                \
    X(EXIT_CODE_NO_CONNECT_IP, 26, "no-connect-ip", "the peer does not speak CONNECT-IP")       \
    X(EXIT_CODE_CERT_REVOKED, 27, "certificate-revoked",                                        \
      "a certificate has been revoked: the server has refused this client's, or the other way") \
    X(EXIT_CODE_NO_ANSWER, 28, "no-answer", "the hub does not answer (mpquic join)")            \
    X(EXIT_CODE_FILES, 30, "files",                                                             \
      "a file cannot be read, made or used; nothing was changed (mpquic pki, init, join)")      \
    X(EXIT_CODE_INTERNAL, 70, "internal", "out of memory, or output that cannot be written")

enum exit_code {
#define X(sym, number, name, what) sym = (number),
    EXIT_CODES(X)
#undef X
};

#endif
