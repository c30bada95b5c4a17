/* Two endpoints back to back with real TLS, in virtual time. */
#ifndef TESTS_UNIT_TLS_MEETING_H
#define TESTS_UNIT_TLS_MEETING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "certs.h"
#include "quic/quic.h"
#include "quic/tls.h"

#define START_NS (100 * NS_PER_S)

/* --- one end --------------------------------------------------------------------------- */

struct end {
    struct quic_endpoint *ep;
    struct quic_tls_creds *creds;
    struct drop_counters drops;
    struct net_addr addr;
    unsigned ups, downs, refused;
    struct quic_fail_info why;
    char peer_name[256];
    struct quic_lane *lane; /* the last that came up, until it is down */
};

static inline int on_up(struct quic_lane *lane)
{
    struct end *e = quic_path_user(quic_lane_path(lane));

    e->ups++;
    e->lane = lane;
    snprintf(e->peer_name, sizeof(e->peer_name), "%s", quic_lane_peer_name(lane));
    return 0;
}

static inline void on_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct end *e = quic_path_user(quic_lane_path(lane));

    e->downs++;
    e->lane = NULL;
    e->why = *why;
}

static inline int on_stream_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                                 struct iovec *v, int n)
{
    *ret_stream = -1;
    return 0;
}

static inline struct pkt *on_dgram_pull(struct quic_lane *lane, size_t max)
{
    return NULL;
}

static const struct quic_path_ops meeting_ops = {
    .lane_up = on_up,
    .lane_down = on_down,
    .stream_pull = on_stream_pull,
    .dgram_pull = on_dgram_pull,
};

static inline int on_accept(void *user, struct quic_lane *lane,
                            const struct quic_path_ops **ret_ops, void **ret_user)
{
    *ret_ops = &meeting_ops;
    *ret_user = user;
    return 0;
}

static inline void on_refused(void *user, const struct quic_lane *lane,
                              const struct quic_fail_info *why)
{
    struct end *e = user;

    e->refused++;
    e->why = *why;
}

/* What protects the packets of both ends; NULL: what endpoints take by themselves. */
static const struct aead_backend *meeting_aead;

static inline void end_init(struct end *e, struct pkt_pool *pool,
                            const struct quic_tls_files *files, const char *server_name,
                            const struct quic_tls_ops *tls)
{
    struct ip_addr ip = {.family = 4, .b = {192, 0, 2, files->server ? 1 : 2}};
    struct quic_endpoint_opts o = {
        .server = files->server,
        .tls = tls,
        .aead = meeting_aead,
        .server_name = server_name,
        .pool = pool,
        .drops = &e->drops,
        .random = quic_random_system,
        .accept = on_accept,
        .refused = on_refused,
        .accept_user = e,
    };
    char err[256] = "";

    memset(e, 0, sizeof(*e));
    e->addr = net_addr_make(&ip, 443);
    if (quic_tls_creds_load(files, &e->creds, err, sizeof(err)))
        fail_msg("%s", err);
    o.tls_ctx = e->creds;
    assert_int_equal(quic_endpoint_new(&o, &e->ep), 0);
}

static inline void end_done(struct end *e)
{
    quic_endpoint_free(e->ep);
    quic_tls_creds_unref(e->creds);
}

/* --- the wire between ------------------------------------------------------------------ */

struct meeting {
    struct pkt_pool *pool;
    struct end hub, edge;
    uint64_t now_ns;
};

static inline bool carry(struct meeting *m, struct end *from, struct end *to)
{
    static struct quic_tx tx;
    bool any = false;

    while (quic_endpoint_tx(from->ep, m->now_ns, &tx)) {
        struct quic_rx rx = {.local = to->addr,
                             .remote = from->addr,
                             .data = tx.buf,
                             .len = tx.len,
                             .seg_size = tx.seg_size};

        any = true;
        quic_endpoint_rx(to->ep, m->now_ns, &rx);
    }
    return any;
}

/* Two seconds of this world, in steps of a millisecond. */
static inline void run(struct meeting *m)
{
    for (int i = 0; i < 2000; i++, m->now_ns += NS_PER_MS) {
        struct end *both[] = {&m->hub, &m->edge};

        for (unsigned k = 0; k < 2; k++)
            if (quic_endpoint_deadline_ns(both[k]->ep) <= m->now_ns)
                quic_endpoint_timeout(both[k]->ep, m->now_ns);
        carry(m, &m->edge, &m->hub);
        carry(m, &m->hub, &m->edge);
    }
}

/* Let an edge of these credentials meet a hub of those, calling it by that name. */
static inline void meet_with(struct meeting *m, const struct quic_tls_files *hub,
                             const struct quic_tls_files *edge, const char *server_name,
                             const struct quic_tls_ops *edge_tls)
{
    struct quic_path *path;

    m->pool = pkt_pool_new(16, 0);
    m->now_ns = START_NS;
    end_init(&m->hub, m->pool, hub, NULL, &quic_tls_gnutls);
    end_init(&m->edge, m->pool, edge, server_name, edge_tls);
    path = quic_path_new(m->edge.ep, &meeting_ops, &m->edge);
    assert_non_null(path);
    assert_int_equal(quic_path_open_lane(path, m->now_ns, &m->edge.addr, &m->hub.addr, 0, NULL), 0);
    run(m);
}

static inline void meet(struct meeting *m, const struct quic_tls_files *hub,
                        const struct quic_tls_files *edge, const char *server_name)
{
    meet_with(m, hub, edge, server_name, &quic_tls_gnutls);
}

static inline void part(struct meeting *m)
{
    end_done(&m->hub);
    end_done(&m->edge);
    pkt_pool_free(m->pool);
}

static inline struct quic_tls_blob cert_of(const struct cert *c)
{
    return (struct quic_tls_blob){c->cert_file, c->cert_pem.data, c->cert_pem.size};
}

static inline struct quic_tls_blob key_of(const struct cert *c)
{
    return (struct quic_tls_blob){c->key_file, c->key_pem.data, c->key_pem.size};
}

#endif
