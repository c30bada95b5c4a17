/* Input: a byte that chooses the side and what it supports, then commands for the peer of a lane
 * (an operation, a stream, a length, bytes): stream data, resets, datagrams, acknowledgements,
 * time; and, to get far quickly, valid messages. The lane below is fake_lane.h.
 *
 * The layer above must see: open only once for each request that it accepted or made, nothing of a
 * tunnel that is not open, one down for each open; and what is held stays within its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "fake_lane.h"
#include "h3_bytes.h"
#include "masque/internal.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

struct world {
    struct quic_lane lane;
    struct masque_side side;
    struct drop_counters drops;
    struct masque *m;
    bool open, over; /* edge: one tunnel and no more */
    uint8_t answer;
};

static struct world *of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

/* --- the layer above ------------------------------------------------------------------- */

static int on_request(struct masque *m, const struct masque_request *req)
{
    static const int statuses[] = {200, 200, 200, 401, 503};
    struct world *w = of(m);

    CHECK(w->lane.server && !w->open);
    CHECK(!strcmp(req->method, "CONNECT") && !strcmp(req->protocol, "connect-ip"));
    return statuses[w->answer % ARRAY_LEN(statuses)];
}

static void on_open(struct masque *m)
{
    struct world *w = of(m);

    CHECK(!w->open && !w->over);
    w->open = true;
    w->m = m;
    CHECK(masque_is_open(m));
}

static void on_refused(struct masque *m, int status)
{
    struct world *w = of(m);

    CHECK(!w->lane.server && !w->open && !w->over);
    CHECK(status == 0 || (status >= 200 && status <= 999));
    w->over = true;
}

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    CHECK(of(m)->open && addrs->n <= CAPSULE_ADDRS_MAX);
}

static int on_addr_request(struct masque *m, const struct capsule_addrs *addrs)
{
    CHECK(of(m)->open && addrs->n >= 1 && addrs->n <= CAPSULE_ADDRS_MAX);
    return masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, addrs);
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    CHECK(of(m)->open && routes->n <= CAPSULE_ROUTES_MAX);
}

static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    static volatile uint8_t sum;

    CHECK(of(m)->open);
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + data[i]);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct world *w = of(m);
    struct pkt *pkt = pkt_new(w->side.pool, 1);

    CHECK(w->open && max > 0);
    if (pkt) {
        pkt->len = 1;
        pkt->data[0] = 0x45;
    }
    return pkt;
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    CHECK(of(m)->open && packet_max <= 65535);
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    struct world *w = of(m);

    if (w->lane.server)
        CHECK(w->open || w->lane.is_down || w->lane.close_wanted);
    CHECK(!w->over || w->lane.server);
    CHECK(memchr(why->detail, 0, sizeof(why->detail)));
    w->over = !w->lane.server;
    w->open = false;
}

static const struct masque_ops ops = {
    .request = on_request,
    .open = on_open,
    .refused = on_refused,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .packet = on_packet,
    .pull = on_pull,
    .mtu_changed = on_mtu,
    .down = on_down,
};

/* --- the peer -------------------------------------------------------------------------- */

/* One of the streams that the peer may use: its own of one direction, or a request stream. */
static int64_t stream_of(const struct world *w, uint8_t choice)
{
    int64_t n = choice & 3;

    if (choice & 4)
        return 4 * n;
    return 4 * n + (w->lane.server ? 2 : 3);
}

static void feed_bytes(struct world *w, int64_t stream, const struct bytes *b)
{
    fake_lane_feed(&w->lane, stream, b->p, b->n, false);
}

/* A message that is right, for what chance takes long to find. */
static void say(struct world *w, uint8_t what, uint8_t value)
{
    struct bytes b = {.n = 0};

    switch (what % 8) {
    case 0:
        bytes_settings(&b, !w->lane.server && value % 4 != 3, value % 4 != 2);
        feed_bytes(w, stream_of(w, 0), &b);
        break;
    case 1:
        bytes_connect(&b, NULL, NULL);
        feed_bytes(w, 4 * (value & 3), &b);
        break;
    case 2:
        bytes_answer(&b, value & 1 ? "200" : "103", NULL, NULL);
        feed_bytes(w, 0, &b);
        break;
    case 3:
        bytes_addr_request(&b, value);
        feed_bytes(w, 4 * (value & 3), &b);
        break;
    case 4:
        bytes_capsule(&b, 0x03, "\x04\0\0\0\0\xff\xff\xff\xff\0", 10);
        feed_bytes(w, 4 * (value & 3), &b);
        break;
    case 5:
        bytes_dgram(&b, 4 * (value & 3), 0x45);
        fake_lane_dgram(&w->lane, b.p, b.n);
        break;
    case 6:
        bytes_answer(&b, "401", "www-authenticate", "Bearer");
        feed_bytes(w, 0, &b);
        break;
    case 7:
        bytes_frame(&b, 0x07, &value, 1);
        feed_bytes(w, stream_of(w, 0), &b);
        break;
    }
}

static void act(struct world *w, uint8_t op, uint8_t choice, const uint8_t *data, size_t len)
{
    struct pkt *pkt;

    switch (op % 12) {
    case 0:
    case 1:
        fake_lane_feed(&w->lane, stream_of(w, choice), data, len, choice & 8);
        break;
    case 2:
        fake_lane_dgram(&w->lane, data, len);
        break;
    case 3:
        fake_lane_reset(&w->lane, stream_of(w, choice), 0x10c);
        break;
    case 4:
        fake_lane_stop(&w->lane, stream_of(w, choice));
        break;
    case 5:
        fake_lane_close_ended(&w->lane);
        break;
    case 6:
        fake_lane_pump(&w->lane, choice ? choice : SIZE_MAX);
        break;
    case 7:
        fake_lane_ack(&w->lane, choice & 1 ? 0 : stream_of(w, choice), len ? data[0] * 16u : 1);
        break;
    case 8:
        pkt = fake_lane_pull(&w->lane, choice * 8u);
        pkt_free(w->side.pool, pkt);
        break;
    case 9:
        w->lane.now_ns += choice * NS_PER_S / 4;
        masque_timeout(&w->side, w->lane.now_ns);
        fake_lane_settle(&w->lane);
        break;
    case 10:
        fake_lane_set_mtu(&w->lane, choice * 8u, choice & 1);
        break;
    case 11:
        w->answer = choice;
        say(w, choice >> 5, choice & 31);
        break;
    }
}

static void check_bounds(const struct world *w)
{
    const struct masque *m = w->lane.user;

    if (!m)
        return;
    CHECK(m->early.n <= EARLY_PACKETS_MAX && m->early.bytes <= EARLY_BYTES_MAX);
    CHECK(m->out.bytes <= MASQUE_OUT_MAX);
    CHECK(m->waiting == !w->open || w->lane.close_wanted);
    CHECK(masque_is_open(m) == w->open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.answer = 0};

    if (!size)
        return 0;
    w.side = (struct masque_side){.ops = &ops,
                                  .user = &w,
                                  .pool = pkt_pool_new(2, 0),
                                  .drops = &w.drops,
                                  .authority = "hub.example:443",
                                  .token = data[0] & 2 ? "secret" : NULL};
    fake_lane_init(&w.lane, data[0] & 1, &w.side);
    if (data[0] & 4)
        w.lane.dgram_max = 0;
    fake_lane_up(&w.lane);
    fake_lane_pump(&w.lane, SIZE_MAX);
    data++;
    size--;
    while (size >= 2 && !w.lane.is_down) {
        size_t len = size >= 3 && data[0] % 12 < 8 ? MIN((size_t)data[2], size - 3) : 0;
        size_t used = MIN(size, data[0] % 12 < 8 ? 3 + len : 2);

        act(&w, data[0], data[1], data + used - len, len);
        check_bounds(&w);
        data += used;
        size -= used;
    }
    fake_lane_down(&w.lane, QUIC_FAIL_PEER);
    CHECK(!w.open && !w.side.wait_first && !w.side.n_waiting);
    CHECK(pkt_pool_in_use(w.side.pool) == 0);
    pkt_pool_free(w.side.pool);
    return 0;
}
