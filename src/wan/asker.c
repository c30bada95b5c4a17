#include "wan/asker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "netlink/echo.h"
#include "wan/boundsocket.h"

/* At most so many answers in one turn; an answer of DNS without EDNS (RFC 1035 4.2.1) has at most
 * so many bytes. */
enum { ANSWERS_MAX = 64, DNS_ANSWER_MAX = 512 };

static uint8_t version(const struct asker *a)
{
    return a->family == WAN_V4 ? 4 : 6;
}

static unsigned find_target(const struct asker *a, const struct ip_addr *from)
{
    unsigned i = 0;

    while (i < a->n_targets && !ip_addr_equal(&a->target[i], from))
        i++;
    return i;
}

/* --- answers --------------------------------------------------------------------------- */

/* An error of the socket is taken by reading it; what is wrong shows itself. */
static void on_echo(struct loop_io *io, uint32_t events)
{
    struct asker *a = io->user;

    for (unsigned i = 0; i < ANSWERS_MAX && io->fd >= 0; i++) {
        struct ip_addr from;
        struct echo_tag tag;
        unsigned target;

        if (echo_receive(io->fd, version(a), &from, &tag) <= 0)
            return;
        target = find_target(a, &from);
        if (target < a->n_targets && tag.id == a->id && tag.cookie == a->cookie)
            a->fn(a->user, target, tag.number);
    }
}

static void read_dns(struct asker *a, const uint8_t *data, size_t len, const struct net_addr *from)
{
    struct ip_addr address = net_addr_ip(from);
    unsigned target = find_target(a, &address);
    struct dns_answer answer;
    uint16_t id;

    if (target < a->n_targets && net_addr_port(from) == a->conf->port &&
        !dns_answer_read(data, len, a->query, a->query_len, &id, &answer) &&
        dns_answer_counts(&answer, a->conf->expect))
        a->fn(a->user, target, id ^ a->id);
}

static void on_dns(struct loop_io *io, uint32_t events)
{
    struct asker *a = io->user;

    for (unsigned i = 0; i < ANSWERS_MAX && io->fd >= 0; i++) {
        struct net_addr from = {.len = sizeof(from.ss)};
        uint8_t data[DNS_ANSWER_MAX];
        ssize_t n = recvfrom(io->fd, data, sizeof(data), MSG_DONTWAIT, &from.sa, &from.len);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            read_dns(a, data, (size_t)n, &from);
    }
}

/* --- requests -------------------------------------------------------------------------- */

void asker_ask(struct asker *a, unsigned i, uint16_t number)
{
    struct echo_tag tag = {a->id, number, a->cookie};
    struct net_addr to;

    switch (a->conf->type) {
    case GATEWAY_PROBE_ICMP:
        (void)echo_send(a->io.fd, &a->target[i], &tag);
        break;
    case GATEWAY_PROBE_DNS:
        to = net_addr_make(&a->target[i], a->conf->port);
        store_be16(a->query, number ^ a->id);
        (void)!sendto(a->io.fd, a->query, a->query_len, MSG_DONTWAIT | MSG_NOSIGNAL, &to.sa,
                      to.len);
        break;
    default:
        attempt_begin(&a->attempts[i * ASKER_TRIES + number % ASKER_TRIES], a->conf, a->trust,
                      a->device, &a->target[i], i, number);
    }
}

/* --- life ------------------------------------------------------------------------------ */

bool asker_takes_socket(const struct gateway_probe *conf)
{
    return conf->type == GATEWAY_PROBE_ICMP;
}

static bool connects(const struct gateway_probe *conf)
{
    return conf->type != GATEWAY_PROBE_ICMP && conf->type != GATEWAY_PROBE_DNS;
}

static int make_attempts(struct asker *a)
{
    a->attempts = calloc((size_t)a->n_targets * ASKER_TRIES, sizeof(*a->attempts));
    if (!a->attempts)
        return -ENOMEM;
    for (unsigned i = 0; i < a->n_targets * ASKER_TRIES; i++) {
        a->attempts[i].loop = a->loop;
        a->attempts[i].fn = a->fn;
        a->attempts[i].user = a->user;
    }
    return 0;
}

int asker_init(struct asker *a, struct loop *loop, const struct gateway_probe *conf,
               const char *device, enum wan_family family, gnutls_certificate_credentials_t trust,
               asker_fn *fn, void *user)
{
    memset(a, 0, sizeof(*a));
    a->loop = loop;
    a->conf = conf;
    a->device = device;
    a->family = family;
    a->trust = trust;
    a->fn = fn;
    a->user = user;
    a->io.fd = -1;
    a->io.user = a;
    a->io.cb = conf->type == GATEWAY_PROBE_ICMP ? on_echo : on_dns;
    for (unsigned i = 0; i < conf->n_targets; i++)
        if (wan_family_of(&conf->targets[i]) == family)
            a->target[a->n_targets++] = conf->targets[i];
    if (getrandom(&a->cookie, sizeof(a->cookie), 0) != sizeof(a->cookie))
        a->cookie = clock_mono_ns();
    a->id = (uint16_t)(a->cookie >> 48);
    if (conf->type == GATEWAY_PROBE_DNS)
        (void)dns_query_write(conf->query, conf->record, 0, a->query, &a->query_len);
    return connects(conf) && a->n_targets ? make_attempts(a) : 0;
}

int asker_open(struct asker *a, int fd)
{
    int rv = 0;

    asker_close(a);
    if (connects(a->conf) || !a->n_targets)
        return 0;
    if (!asker_takes_socket(a->conf))
        rv = boundsocket_open(version(a), SOCK_DGRAM, a->device, &fd);
    if (!rv)
        rv = fd < 0 ? -EBADF : loop_io_add(a->loop, &a->io, fd, EPOLLIN);
    if (rv && fd >= 0)
        close(fd);
    if (rv)
        a->io.fd = -1;
    return rv;
}

void asker_close(struct asker *a)
{
    if (a->io.fd >= 0) {
        loop_io_remove(a->loop, &a->io);
        close(a->io.fd);
    }
    a->io.fd = -1;
    for (unsigned i = 0; a->attempts && i < a->n_targets * ASKER_TRIES; i++)
        attempt_end(&a->attempts[i]);
}

void asker_done(struct asker *a)
{
    asker_close(a);
    free(a->attempts);
    a->attempts = NULL;
}
