/* A masque object on a fake lane, with the test as the peer, and a record of all that it reports.
 */
#ifndef TESTS_MASQUE_FIXTURE_H
#define TESTS_MASQUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/fake_lane.h"
#include "../fuzz/h3_bytes.h"
#include "base/util.h"
#include "masque/masque.h"

/* The peer's control stream, as a client and as a server. */
enum { CLIENT_CONTROL = 2, SERVER_CONTROL = 3 };

struct fixture {
    struct quic_lane lane;
    struct masque_side side;
    struct drop_counters drops;
    struct masque *m; /* as told last; stale when down */
    int answer;       /* what request() returns */
    bool packed;      /* ... for a lane of a session */
    int reply;        /* what addr_request() returns, 0: it answers */

    unsigned classes; /* tables */
    unsigned requests, opens, refusals, downs, lane_failures, addr_assigns, addr_requests, routes,
        packets, mtus;
    struct masque_request req;
    int refused_status;
    struct quic_fail_info why;
    char marks[128]; /* first byte of each packet */
    size_t packet_max;
    bool mtu_known;
};

static inline struct fixture *of(struct masque *m)
{
    struct fixture *f = masque_side_of(m)->user;

    f->m = m;
    return f;
}

static inline int on_request(struct masque *m, const struct masque_request *req)
{
    struct fixture *f = of(m);

    f->requests++;
    f->req = *req;
    if (f->packed)
        masque_set_packed(m, (const uint8_t[MASQUE_EPOCH]){1});
    return f->answer;
}

static inline void on_open(struct masque *m)
{
    of(m)->opens++;
}

static inline void on_refused(struct masque *m, int status)
{
    of(m)->refusals++;
    of(m)->refused_status = status;
}

static inline void on_classes(struct masque *m, const struct class_table *table)
{
    of(m)->classes++;
}

static inline void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    of(m)->addr_assigns++;
}

static inline int on_addr_request(struct masque *m, const struct capsule_addrs *addrs)
{
    struct fixture *f = of(m);

    f->addr_requests++;
    return f->reply ? f->reply : masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, addrs);
}

static inline void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    of(m)->routes++;
}

static inline void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    struct fixture *f = of(m);

    if (len && f->packets < sizeof(f->marks) - 1)
        f->marks[f->packets] = (char)data[0];
    f->packets++;
}

static inline struct pkt *on_pull(struct masque *m, size_t max)
{
    struct fixture *f = of(m);
    struct pkt *pkt = pkt_new(f->side.pool, 100);

    pkt->len = 100;
    memset(pkt->data, 0x45, pkt->len);
    return pkt;
}

static inline void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    of(m)->mtus++;
    of(m)->packet_max = packet_max;
    of(m)->mtu_known = known;
}

static inline void on_down(struct masque *m, const struct quic_fail_info *why)
{
    of(m)->downs++;
    of(m)->why = *why;
}

static inline void on_lane_failed(struct masque_side *side, struct quic_lane *lane,
                                  const struct quic_fail_info *why)
{
    struct fixture *f = side->user;

    f->lane_failures++;
    f->why = *why;
}

static const struct masque_ops ops = {
    .request = on_request,
    .open = on_open,
    .refused = on_refused,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .classes = on_classes,
    .packet = on_packet,
    .pull = on_pull,
    .mtu_changed = on_mtu,
    .down = on_down,
};

static inline struct fixture *start(bool server)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->answer = 200;
    f->side = (struct masque_side){.ops = &ops,
                                   .user = f,
                                   .pool = pkt_pool_new(4, 0),
                                   .drops = &f->drops,
                                   .authority = "hub.example:443",
                                   .lane_failed = on_lane_failed};
    fake_lane_init(&f->lane, server, &f->side);
    fake_lane_up(&f->lane);
    fake_lane_pump(&f->lane, SIZE_MAX);
    return f;
}

static inline void finish(struct fixture *f)
{
    fake_lane_down(&f->lane, QUIC_FAIL_IDLE);
    assert_null(f->side.wait_first);
    assert_int_equal(f->side.n_waiting, 0);
    pkt_pool_free(f->side.pool);
    free(f);
}

static inline void feed(struct fixture *f, int64_t stream, const struct bytes *b)
{
    fake_lane_feed(&f->lane, stream, b->p, b->n, false);
    fake_lane_pump(&f->lane, SIZE_MAX);
}

static inline void dgram(struct fixture *f, uint64_t stream, char mark)
{
    struct bytes b = {.n = 0};

    bytes_dgram(&b, stream, (unsigned)mark);
    fake_lane_dgram(&f->lane, b.p, b.n);
}

#endif
