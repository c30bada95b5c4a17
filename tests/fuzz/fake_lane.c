#include "fake_lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "masque/masque.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static const struct quic_path_ops *const ops = &masque_path_ops;

/* --- streams --------------------------------------------------------------------------- */

struct fake_stream *fake_lane_stream(struct quic_lane *lane, int64_t id)
{
    for (unsigned i = 0; i < FAKE_STREAMS_MAX; i++)
        if (lane->stream[i].id == id)
            return &lane->stream[i];
    return NULL;
}

static bool is_ours(const struct quic_lane *lane, int64_t id)
{
    return (id & 1) == lane->server;
}

/* A free place, or that of a stream that is over. */
static struct fake_stream *place(struct quic_lane *lane)
{
    struct fake_stream *s = fake_lane_stream(lane, -1);

    for (unsigned i = 0; !s && i < FAKE_STREAMS_MAX; i++)
        if (lane->stream[i].closed)
            s = &lane->stream[i];
    if (s)
        free(s->out);
    return s;
}

/* A stream. One that is not there begins, in the order of the numbers. */
static struct fake_stream *begin(struct quic_lane *lane, int64_t id)
{
    struct fake_stream *s = fake_lane_stream(lane, id);

    if (s)
        return s;
    if (id < lane->next[id & 3])
        return NULL; /* over and forgotten */
    s = place(lane);
    if (!s)
        return NULL;
    lane->next[id & 3] = id + 4;
    *s = (struct fake_stream){.id = id, .shutdown_code = FAKE_NO_CODE, .stop_code = FAKE_NO_CODE};
    if (id & 2) { /* of one direction */
        s->tx_end = !is_ours(lane, id);
        s->rx_end = is_ours(lane, id);
    }
    return s;
}

/* Whether an event of this stream can still come from the peer. */
static struct fake_stream *open_stream(struct quic_lane *lane, int64_t id)
{
    struct fake_stream *s;

    if (!lane->is_up || lane->is_down || lane->close_wanted)
        return NULL;
    s = is_ours(lane, id) ? fake_lane_stream(lane, id) : begin(lane, id);
    return s && !s->closed ? s : NULL;
}

/* --- events ---------------------------------------------------------------------------- */

void fake_lane_init(struct quic_lane *lane, bool server, void *side)
{
    *lane = (struct quic_lane){
        .server = server, .dgram_max = 1440, .mtu_known = true, .now_ns = 1000000000};
    lane->path.lane = lane;
    lane->path.user = side;
    for (unsigned i = 0; i < FAKE_STREAMS_MAX; i++)
        lane->stream[i].id = -1;
}

void fake_lane_up(struct quic_lane *lane)
{
    lane->is_up = true;
    if (ops->lane_up(lane) && !lane->close_wanted)
        quic_lane_close(lane, 0, "lane_up failed");
    fake_lane_settle(lane);
}

void fake_lane_down(struct quic_lane *lane, enum quic_fail fail)
{
    struct quic_fail_info why = {.fail = fail};

    if (!lane->is_down) {
        lane->is_down = true;
        ops->lane_down(lane, &why);
    }
    CHECK(!lane->user);
    for (unsigned i = 0; i < FAKE_STREAMS_MAX; i++) {
        free(lane->stream[i].out);
        lane->stream[i].out = NULL;
        lane->stream[i].out_len = 0;
    }
}

void fake_lane_settle(struct quic_lane *lane)
{
    if (lane->close_wanted && !lane->is_down)
        fake_lane_down(lane, QUIC_FAIL_LOCAL);
}

void fake_lane_feed(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                    bool fin)
{
    struct fake_stream *s = open_stream(lane, stream);
    ssize_t n;

    if (!s || s->rx_end || (!len && !fin))
        return;
    s->rx_end = fin;
    if (s->stop_code != FAKE_NO_CODE)
        return; /* thrown away: nobody wants to read it */
    n = ops->stream_rx(lane, stream, data, len, fin);
    CHECK(n >= 0 || lane->close_wanted);
    CHECK(n <= (ssize_t)len);
    if (n > 0)
        quic_lane_consumed(lane, stream, (size_t)n);
    fake_lane_settle(lane);
}

void fake_lane_reset(struct quic_lane *lane, int64_t stream, uint64_t code)
{
    struct fake_stream *s = open_stream(lane, stream);

    if (!s || s->rx_end)
        return;
    s->rx_end = true;
    CHECK(!ops->stream_reset(lane, stream, code) || lane->close_wanted);
    fake_lane_settle(lane);
}

void fake_lane_stop(struct quic_lane *lane, int64_t stream)
{
    struct fake_stream *s = open_stream(lane, stream);

    if (s && !s->tx_end)
        s->peer_stopped = true;
}

void fake_lane_dgram(struct quic_lane *lane, const uint8_t *data, size_t len)
{
    if (!lane->is_up || lane->is_down)
        return;
    ops->dgram_rx(lane, data, len);
    fake_lane_settle(lane);
}

void fake_lane_ack(struct quic_lane *lane, int64_t stream, size_t n)
{
    struct fake_stream *s = open_stream(lane, stream);

    if (!s)
        return;
    n = MIN(n, s->out_len - s->out_acked);
    if (!n || s->shutdown_code != FAKE_NO_CODE)
        return;
    s->out_acked += n;
    CHECK(!ops->stream_acked(lane, stream, n) || lane->close_wanted);
    fake_lane_settle(lane);
}

void fake_lane_close_ended(struct quic_lane *lane)
{
    for (unsigned i = 0; i < FAKE_STREAMS_MAX && !lane->is_down; i++) {
        struct fake_stream *s = &lane->stream[i];

        if (s->id < 0 || s->closed || !s->rx_end || !s->tx_end)
            continue;
        s->closed = true;
        CHECK(!ops->stream_closed(
                  lane, s->id, s->shutdown_code == FAKE_NO_CODE ? 0 : (uint64_t)s->shutdown_code) ||
              lane->close_wanted);
        fake_lane_settle(lane);
    }
}

void fake_lane_set_mtu(struct quic_lane *lane, size_t dgram_max, bool known)
{
    lane->dgram_max = dgram_max;
    lane->mtu_known = known;
    if (lane->is_up && !lane->is_down)
        ops->mtu_changed(lane, dgram_max);
    fake_lane_settle(lane);
}

/* --- sending --------------------------------------------------------------------------- */

/* Take up to max bytes of what is offered. Returns how many. */
static size_t take(struct fake_stream *s, const struct iovec *v, int n, size_t max)
{
    size_t taken = 0;

    for (int i = 0; i < n && taken < max; i++) {
        size_t len = MIN(v[i].iov_len, max - taken);

        s->out = realloc(s->out, s->out_len + len + 1);
        CHECK(s->out);
        memcpy(s->out + s->out_len, v[i].iov_base, len);
        s->out_len += len;
        taken += len;
    }
    return taken;
}

static size_t total(const struct iovec *v, int n)
{
    size_t len = 0;

    for (int i = 0; i < n; i++)
        len += v[i].iov_len;
    return len;
}

void fake_lane_pump(struct quic_lane *lane, size_t max)
{
    while (lane->stream_work && lane->is_up && !lane->is_down && !lane->close_wanted) {
        struct iovec v[8];
        int64_t id = -1;
        bool fin = false;
        int n = ops->stream_pull(lane, &id, &fin, v, 8);
        struct fake_stream *s;
        size_t taken;

        if (n < 0) {
            CHECK(lane->close_wanted);
            break;
        }
        if (id < 0) {
            lane->stream_work = false;
            break;
        }
        s = fake_lane_stream(lane, id);
        if (!s || s->closed || s->tx_end || s->peer_stopped) {
            if (s && s->peer_stopped)
                s->tx_end = true; /* QUIC has answered with a reset */
            ops->stream_shut(lane, id);
            continue;
        }
        taken = take(s, v, n, max);
        s->tx_end = fin && taken == total(v, n);
        if (ops->stream_wrote(lane, id, taken))
            CHECK(lane->close_wanted);
    }
    fake_lane_settle(lane);
}

struct pkt *fake_lane_pull(struct quic_lane *lane, size_t max)
{
    struct pkt *pkt;

    if (!lane->is_up || lane->is_down)
        return NULL;
    pkt = ops->dgram_pull(lane, max);
    CHECK(!pkt || pkt_total(pkt) <= max);
    lane->dgram_work = pkt;
    fake_lane_settle(lane);
    return pkt;
}

/* --- what masque calls ----------------------------------------------------------------- */

void quic_path_kick(struct quic_path *path)
{
    CHECK(!path->lane->is_down);
    path->lane->dgram_work = true;
}

void *quic_path_user(const struct quic_path *path)
{
    return path->user;
}

struct quic_path *quic_lane_path(const struct quic_lane *lane)
{
    return (struct quic_path *)&lane->path;
}

void *quic_lane_user(const struct quic_lane *lane)
{
    return lane->user;
}

void quic_lane_set_user(struct quic_lane *lane, void *user)
{
    lane->user = user;
}

bool quic_lane_is_server(const struct quic_lane *lane)
{
    return lane->server;
}

uint64_t quic_lane_now_ns(const struct quic_lane *lane)
{
    return lane->now_ns;
}

void quic_lane_close(struct quic_lane *lane, uint64_t app_error, const char *reason)
{
    if (lane->close_wanted || lane->is_down)
        return;
    lane->close_wanted = true;
    lane->close_code = app_error;
    snprintf(lane->close_reason, sizeof(lane->close_reason), "%s", reason);
}

void quic_lane_kick(struct quic_lane *lane)
{
    CHECK(!lane->is_down);
    lane->stream_work = true;
}

int64_t quic_lane_open_bidi(struct quic_lane *lane)
{
    int64_t id = MAX(lane->next[lane->server], lane->server);

    return begin(lane, id) ? id : -EAGAIN;
}

int64_t quic_lane_open_uni(struct quic_lane *lane)
{
    int64_t id = MAX(lane->next[2 + lane->server], 2 + lane->server);

    return begin(lane, id) ? id : -EAGAIN;
}

/* What has been said already, or has nothing to stop, is not said. The event comes at once. */
static void stop_reading(struct quic_lane *lane, struct fake_stream *s, uint64_t code)
{
    if (s->rx_end || s->stop_code != FAKE_NO_CODE)
        return;
    s->stop_code = (int64_t)code;
    CHECK(!ops->stream_stop_sending(lane, s->id, code) || lane->close_wanted);
}

void quic_lane_shutdown_stream(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct fake_stream *s = fake_lane_stream(lane, stream);

    CHECK(!lane->is_down && stream >= 0);
    if (!s || s->closed)
        return;
    if (s->shutdown_code == FAKE_NO_CODE)
        s->shutdown_code = (int64_t)app_error;
    s->tx_end = true;
    stop_reading(lane, s, app_error);
}

void quic_lane_stop_reading(struct quic_lane *lane, int64_t stream, uint64_t app_error)
{
    struct fake_stream *s = fake_lane_stream(lane, stream);

    CHECK(!lane->is_down && stream >= 0);
    if (s && !s->closed)
        stop_reading(lane, s, app_error);
}

void quic_lane_consumed(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    struct fake_stream *s = fake_lane_stream(lane, stream);

    if (s)
        s->consumed += bytes;
}

void quic_lane_extend_streams(struct quic_lane *lane)
{
    lane->n_extended++;
}

size_t quic_lane_dgram_max(const struct quic_lane *lane)
{
    return lane->dgram_max;
}

bool quic_lane_mtu_known(const struct quic_lane *lane)
{
    return lane->mtu_known;
}
