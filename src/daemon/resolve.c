#include "daemon/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Owned by the thread and by the caller; freed by the last of them. */
struct resolve {
    atomic_int owners;
    int fd;
    char host[256];
    char port[8];
    uint8_t family;
    int error;
    unsigned n;
    struct net_addr addr[RESOLVE_MAX];
};

static void release(struct resolve *r)
{
    if (atomic_fetch_sub(&r->owners, 1) != 1)
        return;
    close(r->fd);
    free(r);
}

/* The first of each family. */
static void keep(struct resolve *r, const struct addrinfo *list)
{
    for (; list && r->n < RESOLVE_MAX; list = list->ai_next) {
        struct net_addr *a = &r->addr[r->n];

        if (list->ai_addrlen > sizeof(a->ss) ||
            (r->n && list->ai_family == r->addr[0].sa.sa_family))
            continue;
        memcpy(&a->ss, list->ai_addr, list->ai_addrlen);
        a->len = list->ai_addrlen;
        r->n++;
    }
}

static void lookup(struct resolve *r)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    uint64_t one = 1;

    hints.ai_family = r->family == 4 ? AF_INET : r->family == 6 ? AF_INET6 : AF_UNSPEC;
    r->error = getaddrinfo(r->host, r->port, &hints, &list);
    if (!r->error) {
        keep(r, list);
        r->error = r->n ? 0 : EAI_NONAME;
    }
    if (list)
        freeaddrinfo(list);
    if (write(r->fd, &one, sizeof(one)) < 0)
        r->error = EAI_SYSTEM;
}

static void *thread_main(void *arg)
{
    lookup(arg);
    release(arg);
    return NULL;
}

struct resolve *resolve_start(const char *host, uint16_t port, uint8_t family)
{
    struct resolve *r = calloc(1, sizeof(*r));
    struct ip_addr literal;
    pthread_attr_t attr;
    pthread_t thread;
    uint64_t one = 1;
    int rv;

    if (!r)
        return NULL;
    r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->fd < 0) {
        free(r);
        return NULL;
    }
    snprintf(r->host, sizeof(r->host), "%s", host);
    snprintf(r->port, sizeof(r->port), "%u", port);
    r->family = family;
    atomic_init(&r->owners, 1);
    if (!ip_addr_parse(host, &literal)) {
        if (family && family != literal.family)
            r->error = EAI_ADDRFAMILY;
        r->addr[0] = net_addr_make(&literal, port);
        r->n = 1;
        if (write(r->fd, &one, sizeof(one)) < 0)
            r->error = EAI_SYSTEM;
        return r;
    }
    atomic_store(&r->owners, 2);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rv = pthread_create(&thread, &attr, thread_main, r);
    pthread_attr_destroy(&attr);
    if (rv) {
        atomic_store(&r->owners, 1);
        release(r);
        return NULL;
    }
    return r;
}

int resolve_fd(const struct resolve *r)
{
    return r->fd;
}

int resolve_result(const struct resolve *r, struct net_addr ret[static RESOLVE_MAX],
                   unsigned *ret_n)
{
    if (r->error)
        return r->error;
    memcpy(ret, r->addr, r->n * sizeof(*ret));
    *ret_n = r->n;
    return 0;
}

void resolve_free(struct resolve *r)
{
    if (r)
        release(r);
}
