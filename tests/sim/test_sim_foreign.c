/* An edge and hubs that are not ours, and a hub and a client that is not ours: over real QUIC, with
 * HTTP/3 put together byte by byte. */
#include "peers.h"

#include "../fuzz/h3_bytes.h"

/* A peer without HTTP/3: sends what the test queues on its streams, and remembers little. */
struct foreign {
    struct peers *w;
    struct host *host;
    struct quic_endpoint *ep;
    struct quic_endpoint_opts opts;
    struct tls_dummy tls;
    struct quic_lane *lane; /* the newest, NULL when it is down */
    int64_t control;
    unsigned ups, requests;
    struct {
        int64_t stream;
        struct bytes data;
        size_t sent;
        bool fin, fin_sent;
    } out[2]; /* control stream, request stream */

    /* What it says: SETTINGS as soon as it is up, the answer to the request. */
    const char *status;
    bool silent;    /* no SETTINGS */
    bool no_answer; /* to the request */
};

static int on_up(struct quic_lane *lane)
{
    struct foreign *f = quic_path_user(quic_lane_path(lane));

    f->ups++;
    f->lane = lane;
    memset(f->out, 0, sizeof(f->out));
    f->out[0].stream = f->control = quic_lane_open_uni(lane);
    if (!f->silent)
        bytes_settings(&f->out[0].data, 1, 1);
    quic_lane_kick(lane);
    return 0;
}

static void on_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct foreign *f = quic_path_user(quic_lane_path(lane));

    if (f->lane == lane)
        f->lane = NULL;
}

static ssize_t on_rx(struct quic_lane *lane, int64_t stream, const uint8_t *data, size_t len,
                     bool fin)
{
    struct foreign *f = quic_path_user(quic_lane_path(lane));

    if (stream == 0 && !f->out[1].data.n) {
        f->requests++;
        if (!f->no_answer) {
            bytes_answer(&f->out[1].data, f->status, "capsule-protocol", "?1");
            quic_lane_kick(lane);
        }
    }
    return (ssize_t)len;
}

static int on_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin, struct iovec *v,
                   int n)
{
    struct foreign *f = quic_path_user(quic_lane_path(lane));

    for (unsigned i = 0; i < ARRAY_LEN(f->out); i++) {
        size_t left = f->out[i].data.n - f->out[i].sent;

        if (!left && (!f->out[i].fin || f->out[i].fin_sent))
            continue;
        *ret_stream = f->out[i].stream;
        *ret_fin = f->out[i].fin;
        v[0] = (struct iovec){f->out[i].data.p + f->out[i].sent, left};
        return 1;
    }
    return 0;
}

static int on_wrote(struct quic_lane *lane, int64_t stream, size_t bytes)
{
    struct foreign *f = quic_path_user(quic_lane_path(lane));

    for (unsigned i = 0; i < ARRAY_LEN(f->out); i++) {
        if (f->out[i].stream != stream)
            continue;
        f->out[i].sent += bytes;
        f->out[i].fin_sent = f->out[i].fin && f->out[i].sent == f->out[i].data.n;
    }
    return 0;
}

static int no_stream_event(struct quic_lane *lane, int64_t stream, uint64_t v)
{
    return 0;
}

static int no_credit_event(struct quic_lane *lane, int64_t stream)
{
    return 0;
}

static void no_event(struct quic_lane *lane, int64_t stream)
{
}

static void no_dgram(struct quic_lane *lane, const uint8_t *data, size_t len)
{
}

static struct pkt *nothing_to_send(struct quic_lane *lane, size_t max)
{
    return NULL;
}

static const struct quic_path_ops foreign_ops = {
    .lane_up = on_up,
    .lane_down = on_down,
    .stream_rx = on_rx,
    .stream_acked = no_stream_event,
    .stream_closed = no_stream_event,
    .stream_reset = no_stream_event,
    .stream_stop_sending = no_stream_event,
    .stream_writable = no_credit_event,
    .stream_pull = on_pull,
    .stream_wrote = on_wrote,
    .stream_blocked = no_event,
    .stream_shut = no_event,
    .dgram_rx = no_dgram,
    .dgram_pull = nothing_to_send,
};

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    *ret_ops = &foreign_ops;
    *ret_user = user;
    return 0;
}

/* --- a foreign hub --------------------------------------------------------------------- */

static void start_hub(struct foreign *f, struct peers *w, const char *status)
{
    *f = (struct foreign){.w = w, .host = w->hub_host, .status = status};
    f->opts = w->hub_opts.quic;
    f->opts.accept = on_accept;
    f->opts.accept_user = f;
    assert_int_equal(quic_endpoint_new(&f->opts, &f->ep), 0);
    host_run(f->host, &host_engine_quic, f->ep);
}

static void stop(struct foreign *f)
{
    host_run(f->host, NULL, NULL);
    quic_endpoint_free(f->ep);
    f->ep = NULL;
}

/* The edge has a tunnel with a foreign hub. */
static struct peers *edge_up(struct foreign *f, uint64_t seed)
{
    struct peers *w = peers_new(seed, 20);

    start_hub(f, w, "200");
    peers_start_edge(w, 0);
    assert_true(peers_wait_state(w, 0, EDGE_UP, 5 * NS_PER_S));
    return w;
}

/* The edge goes to PAUSE, for this reason, and comes back over a new connection. */
static void expect_return(struct foreign *f, struct peers *w, const char *why)
{
    struct peers_edge *e = &w->edge[0];
    unsigned ups = f->ups;

    host_pump(f->host);
    assert_true(peers_wait_state(w, 0, EDGE_PAUSE, NS_PER_S));
    assert_non_null(strstr(e->state[e->n_states - 1].why, why));
    assert_true(peers_wait_state(w, 0, EDGE_UP, 2 * NS_PER_S));
    assert_int_equal(f->ups, ups + 1);
    stop(f);
    peers_free(w);
}

static void a_hub_that_ends_only_the_stream(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 1);

    f.out[1].fin = true;
    quic_lane_kick(f.lane);
    expect_return(&f, w, "the peer ended the tunnel");
}

static void a_hub_that_resets_only_the_stream(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 2);

    quic_lane_shutdown_stream(f.lane, 0, 0x10b);
    expect_return(&f, w, "the peer reset the request stream");
}

static void a_hub_that_sends_nonsense(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 3);

    bytes_capsule(&f.out[1].data, 0x03, "\x07", 1);
    quic_lane_kick(f.lane);
    expect_return(&f, w, "IP Version is neither 4 nor 6");
}

static void a_hub_that_breaks_http(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 4);

    bytes_settings(&f.out[0].data, 1, 1); /* a second time */
    quic_lane_kick(f.lane);
    expect_return(&f, w, "this side closed the connection");
}

static void a_hub_that_closes_the_control_stream(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 5);

    f.out[0].fin = true;
    quic_lane_kick(f.lane);
    expect_return(&f, w, "this side closed the connection");
}

static void a_hub_that_is_going_away(void **state)
{
    struct foreign f;
    struct peers *w = edge_up(&f, 6);

    bytes_frame(&f.out[0].data, 0x07, "\x04", 1); /* the request that it has goes on */
    quic_lane_kick(f.lane);
    host_pump(f.host);
    sim_run_for(w->sim, 20 * NS_PER_S);
    assert_int_equal(edge_state(w->edge[0].edge), EDGE_UP);
    bytes_frame(&f.out[0].data, 0x07, "\0", 1); /* no: not even that */
    quic_lane_kick(f.lane);
    expect_return(&f, w, "the hub is going away");
}

/* A hub that takes connections but never speaks, or never answers, must not hold the edge. */
static void hubs_that_say_nothing(void **state)
{
    for (int answers_settings = 0; answers_settings < 2; answers_settings++) {
        struct peers *w = peers_new(7, 20);
        struct peers_edge *e = &w->edge[0];
        struct foreign f;

        start_hub(&f, w, "200");
        f.silent = !answers_settings;
        f.no_answer = true;
        peers_start_edge(w, 0);
        assert_true(peers_wait_state(w, 0, EDGE_PAUSE, 20 * NS_PER_S));
        assert_non_null(strstr(e->state[1].why, "no tunnel was opened in time"));
        assert_int_equal(f.requests, answers_settings);
        sim_run_for(w->sim, 60 * NS_PER_S);
        assert_in_range(f.ups, 3, 6);
        assert_int_equal(e->n_failed, 0);
        f.silent = f.no_answer = false; /* it comes to its senses */
        assert_true(peers_wait_state(w, 0, EDGE_UP, 60 * NS_PER_S));
        stop(&f);
        peers_free(w);
    }
}

static void statuses(void **state)
{
    static const struct {
        const char *status;
        bool for_good;
    } answers[] = {{"302", true},  {"400", true},  {"401", true},  {"403", true}, {"404", true},
                   {"408", false}, {"425", false}, {"429", false}, {"451", true}, {"500", false},
                   {"502", false}, {"503", false}, {"504", false}, {"204", true}};

    for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
        struct peers *w = peers_new(100 + i, 20);
        struct peers_edge *e = &w->edge[0];
        struct foreign f;

        start_hub(&f, w, answers[i].status);
        peers_start_edge(w, 0);
        sim_run_for(w->sim, 10 * NS_PER_S);
        assert_int_equal(e->n_failed, answers[i].for_good);
        if (answers[i].for_good) {
            assert_int_equal(f.requests, 1);
            assert_int_equal(e->failure.http_status, atoi(answers[i].status));
        } else {
            assert_in_range(f.requests, 4, 10);
            assert_non_null(strstr(e->state[1].why, answers[i].status));
        }
        stop(&f);
        peers_free(w);
    }
}

/* --- a foreign client ------------------------------------------------------------------ */

/* Somebody who holds connections but asks for nothing. */
static void a_client_that_asks_for_nothing(void **state)
{
    struct peers *w = peers_new(8, 20);
    const struct net_addr *at = &w->edge[1].addr;
    struct foreign f = {.w = w, .host = w->edge[1].host};
    struct quic_path *path;

    peers_start_hub(w);
    f.opts = w->edge[1].opts.quic;
    assert_int_equal(quic_endpoint_new(&f.opts, &f.ep), 0);
    path = quic_path_new(f.ep, &foreign_ops, &f);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(quic_path_open_lane(path, w->sim->now_ns, at, &w->hub_addr, 0, NULL), 0);
    host_run(f.host, &host_engine_quic, f.ep);
    sim_run_for(w->sim, 10 * NS_PER_S);
    assert_int_equal(f.ups, 5);
    assert_int_equal(hub_lanes(w->hub), 5);
    assert_non_null(f.lane);
    sim_run_for(w->sim, 10 * NS_PER_S);
    assert_int_equal(hub_lanes(w->hub), 0);
    assert_null(f.lane);
    stop(&f);
    peers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hub_that_ends_only_the_stream),
        cmocka_unit_test(a_hub_that_resets_only_the_stream),
        cmocka_unit_test(a_hub_that_sends_nonsense),
        cmocka_unit_test(a_hub_that_breaks_http),
        cmocka_unit_test(a_hub_that_closes_the_control_stream),
        cmocka_unit_test(a_hub_that_is_going_away),
        cmocka_unit_test(hubs_that_say_nothing),
        cmocka_unit_test(statuses),
        cmocka_unit_test(a_client_that_asks_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
