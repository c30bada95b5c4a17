#include "wan/attempt.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "wan/boundsocket.h"

/* In one turn of the loop, of what is thrown away. */
enum { READS_MAX = 16 };

/* --- the stages ------------------------------------------------------------------------ */

/* What a stage comes to. */
enum step {
    STEP_WAIT_READ,
    STEP_WAIT_WRITE,
    STEP_ON, /* to the next stage */
    STEP_ANSWER,
    STEP_FAILED
};

static enum step step_connect(const struct attempt *a)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int error = 0;
    socklen_t error_len = sizeof(error);

    if (getsockopt(a->io.fd, SOL_SOCKET, SO_ERROR, &error, &error_len) || error)
        return STEP_FAILED;
    if (getpeername(a->io.fd, (struct sockaddr *)&peer, &len))
        return errno == ENOTCONN ? STEP_WAIT_WRITE : STEP_FAILED;
    return a->conf->type == GATEWAY_PROBE_TCP ? STEP_ANSWER : STEP_ON;
}

static enum step tls_step(const struct attempt *a, ssize_t rv)
{
    if (rv == GNUTLS_E_AGAIN || rv == GNUTLS_E_INTERRUPTED)
        return gnutls_record_get_direction(a->tls) ? STEP_WAIT_WRITE : STEP_WAIT_READ;
    return rv < 0 && (rv > INT32_MAX || gnutls_error_is_fatal((int)rv)) ? STEP_FAILED
                                                                        : STEP_WAIT_READ;
}

static enum step step_handshake(const struct attempt *a)
{
    int rv = a->tls ? gnutls_handshake(a->tls) : 0;

    return rv ? tls_step(a, rv) : STEP_ON;
}

static enum step step_send(struct attempt *a)
{
    const char *from = a->request + a->sent;
    size_t len = a->request_len - a->sent;
    ssize_t n = a->tls ? gnutls_record_send(a->tls, from, len)
                       : send(a->io.fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && a->tls)
        return tls_step(a, n) == STEP_FAILED ? STEP_FAILED : STEP_WAIT_WRITE;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? STEP_WAIT_WRITE : STEP_FAILED;
    a->sent += (size_t)n;
    return a->sent == a->request_len ? STEP_ON : STEP_WAIT_WRITE;
}

static enum step step_receive(struct attempt *a)
{
    char *to = a->answer + a->received;
    size_t len = sizeof(a->answer) - a->received;
    ssize_t n =
        a->tls ? gnutls_record_recv(a->tls, to, len) : recv(a->io.fd, to, len, MSG_DONTWAIT);
    int status;

    if (n < 0 && a->tls)
        return tls_step(a, n);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? STEP_WAIT_READ : STEP_FAILED;
    if (!n)
        return STEP_FAILED;
    a->received += (size_t)n;
    status = http_status_read(a->answer, a->received);
    if (!status)
        return STEP_WAIT_READ;
    return status >= a->conf->status.min && status <= a->conf->status.max ? STEP_ANSWER
                                                                          : STEP_FAILED;
}

/* The connection is closed by both ends before the socket is: what the kernel says for a socket
 * that is gone may leave by another interface. What still comes is of no interest. */
static enum step step_close(const struct attempt *a)
{
    for (unsigned i = 0; i < READS_MAX; i++) {
        char waste[1024];
        ssize_t n = recv(a->io.fd, waste, sizeof(waste), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return STEP_WAIT_READ;
        if (n <= 0)
            return STEP_FAILED;
    }
    return STEP_WAIT_READ;
}

static enum step step(struct attempt *a)
{
    switch (a->stage) {
    case ATTEMPT_CONNECT:
        return step_connect(a);
    case ATTEMPT_HANDSHAKE:
        return step_handshake(a);
    case ATTEMPT_SEND:
        return step_send(a);
    case ATTEMPT_RECEIVE:
        return step_receive(a);
    case ATTEMPT_CLOSE:
        return step_close(a);
    case ATTEMPT_NONE:
        break;
    }
    return STEP_FAILED;
}

/* As far as it goes now. */
static void go_on(struct attempt *a)
{
    bool answered = false;
    enum step s;

    while ((s = step(a)) == STEP_ON)
        a->stage++;
    if (s == STEP_ANSWER) {
        a->stage = ATTEMPT_CLOSE;
        s = shutdown(a->io.fd, SHUT_WR) ? STEP_FAILED : STEP_WAIT_READ;
        answered = true;
    }
    if (s == STEP_FAILED || loop_io_set(a->loop, &a->io, s == STEP_WAIT_READ ? EPOLLIN : EPOLLOUT))
        attempt_end(a);
    if (answered)
        a->fn(a->user, a->target, a->number);
}

static void on_io(struct loop_io *io, uint32_t events)
{
    go_on(io->user);
}

/* --- life ------------------------------------------------------------------------------ */

int attempt_trust_new(const struct gateway_probe *conf, gnutls_certificate_credentials_t *ret)
{
    gnutls_certificate_credentials_t trust;
    int n = 1;

    if (gnutls_certificate_allocate_credentials(&trust))
        return -ENOMEM;
    if (conf->verify && *conf->ca_file)
        n = gnutls_certificate_set_x509_trust_file(trust, conf->ca_file, GNUTLS_X509_FMT_PEM);
    else if (conf->verify)
        n = gnutls_certificate_set_x509_system_trust(trust);
    if (n <= 0) {
        gnutls_certificate_free_credentials(trust);
        return -EINVAL;
    }
    *ret = trust;
    return 0;
}

/* The certificate is for the configured name, or for the address. */
static int begin_tls(struct attempt *a, gnutls_certificate_credentials_t trust,
                     const struct ip_addr *address)
{
    /* GnuTLS keeps no copy of what the certificate is compared with. */
    const char *host = *a->conf->host ? a->conf->host : ip_addr_str(address, a->address);
    struct ip_addr literal;

    if (!trust || gnutls_init(&a->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
                                           GNUTLS_NO_TICKETS)) {
        a->tls = NULL;
        return -ENOMEM;
    }
    if (gnutls_set_default_priority(a->tls) ||
        gnutls_credentials_set(a->tls, GNUTLS_CRD_CERTIFICATE, trust) ||
        (ip_addr_parse(host, &literal) &&
         gnutls_server_name_set(a->tls, GNUTLS_NAME_DNS, host, strlen(host))))
        return -EINVAL;
    if (a->conf->verify)
        gnutls_session_set_verify_cert(a->tls, host, 0);
    gnutls_transport_set_int(a->tls, a->io.fd);
    return 0;
}

void attempt_begin(struct attempt *a, const struct gateway_probe *conf,
                   gnutls_certificate_credentials_t trust, const char *device,
                   const struct ip_addr *address, unsigned target, uint16_t number)
{
    struct net_addr to = net_addr_make(address, conf->port);
    int fd;

    attempt_end(a);
    if (boundsocket_open(address->family, SOCK_STREAM, device, &fd))
        return;
    a->io.cb = on_io;
    a->io.user = a;
    if ((connect(fd, &to.sa, to.len) && errno != EINPROGRESS) ||
        loop_io_add(a->loop, &a->io, fd, EPOLLOUT)) {
        close(fd);
        return;
    }
    a->conf = conf;
    a->stage = ATTEMPT_CONNECT;
    a->target = target;
    a->number = number;
    a->sent = a->received = 0;
    a->request_len = http_request_write(conf, address, a->request);
    if (conf->type == GATEWAY_PROBE_HTTPS && begin_tls(a, trust, address))
        attempt_end(a);
}

void attempt_end(struct attempt *a)
{
    if (a->stage == ATTEMPT_NONE)
        return;
    loop_io_remove(a->loop, &a->io);
    close(a->io.fd);
    if (a->tls)
        gnutls_deinit(a->tls);
    a->tls = NULL;
    a->stage = ATTEMPT_NONE;
}
