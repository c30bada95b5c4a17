/* One try to reach a target by TCP: a connection, and for HTTP and HTTPS a request and the first
 * bytes of its answer. Nothing blocks; how long it may take is for the caller, who ends it. */
#ifndef WAN_ATTEMPT_H
#define WAN_ATTEMPT_H

#include <gnutls/gnutls.h>

#include "loop/loop.h"
#include "wan/http.h"

/* The target has answered as it should. What is left to do is to close the connection. */
typedef void attempt_fn(void *user, unsigned target, uint16_t number);

enum attempt_stage {
    ATTEMPT_NONE, /* it is over, or has not begun */
    ATTEMPT_CONNECT,
    ATTEMPT_HANDSHAKE,
    ATTEMPT_SEND,
    ATTEMPT_RECEIVE,
    ATTEMPT_CLOSE /* it has answered */
};

/* Zero-initialise, set loop, fn and user; the rest is the attempt's own. */
struct attempt {
    struct loop *loop;
    attempt_fn *fn;
    void *user;
    const struct gateway_probe *conf;
    struct loop_io io;
    enum attempt_stage stage;
    unsigned target;
    uint16_t number;
    gnutls_session_t tls; /* NULL: not of HTTPS */
    char address[IP_ADDR_STR_MAX];
    char request[HTTP_REQUEST_MAX];
    size_t request_len, sent;
    char answer[HTTP_STATUS_LEN];
    size_t received;
};

/* What HTTPS probes of one configuration share: the authorities that they trust. Reads files.
 * Returns 0, -EINVAL (no certificate can be read), -ENOMEM. */
int attempt_trust_new(const struct gateway_probe *conf, gnutls_certificate_credentials_t *ret);

/* Begin: an attempt that is under way is ended first. conf and trust must stay. address is that of
 * the target, device where its packets leave. What fails, now or later, gets no answer. */
void attempt_begin(struct attempt *a, const struct gateway_probe *conf,
                   gnutls_certificate_credentials_t trust, const char *device,
                   const struct ip_addr *address, unsigned target, uint16_t number);

/* End it, without an answer. */
void attempt_end(struct attempt *a);

#endif
