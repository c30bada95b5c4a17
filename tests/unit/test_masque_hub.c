/* CONNECT-IP at the hub's end of a lane, with the test as the client: byte for byte, and in orders
 * that no network would bring about by itself. */
#include "masque_fixture.h"

#include <nghttp3/nghttp3.h>

static void client_settings(struct fixture *f, unsigned h3_datagram)
{
    struct bytes b = {.n = 0};

    bytes_settings(&b, 0, h3_datagram);
    feed(f, CLIENT_CONTROL, &b);
}

static void client_connect(struct fixture *f, int64_t stream)
{
    struct bytes b = {.n = 0};

    bytes_connect(&b, NULL, NULL);
    feed(f, stream, &b);
}

static struct fixture *open_hub(void)
{
    struct fixture *f = start(true);

    client_settings(f, 1);
    client_connect(f, 0);
    assert_int_equal(f->opens, 1);
    return f;
}

/* The status of a field section, read by the library's decoder. */
static int status_of(const uint8_t *p, size_t len)
{
    const nghttp3_mem *mem = nghttp3_mem_default();
    nghttp3_qpack_stream_context *context;
    nghttp3_qpack_decoder *decoder;
    uint8_t flags = 0;
    int status = -1;

    assert_int_equal(nghttp3_qpack_decoder_new(&decoder, 0, 0, mem), 0);
    assert_int_equal(nghttp3_qpack_stream_context_new(&context, 0, mem), 0);
    while (!(flags & NGHTTP3_QPACK_DECODE_FLAG_FINAL)) {
        nghttp3_qpack_nv nv;
        nghttp3_ssize n =
            nghttp3_qpack_decoder_read_request(decoder, context, &nv, &flags, p, len, 1);

        assert_true(n >= 0);
        p += n;
        len -= (size_t)n;
        if (flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT) {
            if (nv.token == NGHTTP3_QPACK_TOKEN__STATUS)
                status = atoi((const char *)nghttp3_rcbuf_get_buf(nv.value).base);
            nghttp3_rcbuf_decref(nv.name);
            nghttp3_rcbuf_decref(nv.value);
        }
    }
    nghttp3_qpack_stream_context_del(context);
    nghttp3_qpack_decoder_del(decoder);
    return status;
}

/* The status that the hub has answered on a stream with; 0: none. */
static int status_on(struct fixture *f, int64_t stream)
{
    struct fake_stream *s = fake_lane_stream(&f->lane, stream);

    if (!s || s->out_len < 2 || s->out[0] != 0x01)
        return 0;
    assert_true(s->out[1] < 0x40 && s->out_len >= 2u + s->out[1]); /* one HEADERS frame */
    return status_of(s->out + 2, s->out[1]);
}

static void a_hub_opens_a_tunnel(void **state)
{
    struct fixture *f = open_hub();

    assert_int_equal(f->requests, 1);
    assert_string_equal(f->req.method, "CONNECT");
    assert_string_equal(f->req.protocol, "connect-ip");
    assert_string_equal(f->req.authority, "example.org");
    assert_int_equal(status_on(f, 0), 200);
    assert_true(masque_is_open(f->m));
    assert_int_equal(f->packet_max, 1438);
    assert_true(f->mtu_known);
    fake_lane_set_mtu(&f->lane, 1300, true);
    assert_int_equal(f->packet_max, 1298);
    finish(f);
}

/* SETTINGS and the request are not ordered; without H3_DATAGRAM nothing may be sent (RFC 9297,
 * 2.1.1). */
static void a_hub_sends_packets_when_settings_allow(void **state)
{
    struct fixture *f = start(true);
    struct pkt *pkt;
    uint8_t probe[100];

    client_connect(f, 0);
    assert_int_equal(f->opens, 1);
    assert_null(fake_lane_pull(&f->lane, 1440));
    assert_false(masque_path_ops.dgram_probe(&f->lane, probe, sizeof(probe)));
    client_settings(f, 1);
    assert_true(f->lane.dgram_work);
    pkt = fake_lane_pull(&f->lane, 1440);
    assert_non_null(pkt);
    assert_int_equal(pkt->len, 102);
    pkt_free(f->side.pool, pkt);
    assert_true(masque_path_ops.dgram_probe(&f->lane, probe, sizeof(probe)));
    assert_int_equal(probe[0], 0);
    assert_int_not_equal(probe[1], 0);
    assert_null(fake_lane_pull(&f->lane, 2)); /* no room behind the prefix */
    finish(f);
}

static void a_client_without_datagrams_gets_no_tunnel(void **state)
{
    struct fixture *f = start(true);

    client_settings(f, 0);
    client_connect(f, 0);
    assert_int_equal(f->requests, 0);
    assert_int_equal(status_on(f, 0), 501);
    finish(f);

    f = start(true); /* its SETTINGS come late */
    client_connect(f, 0);
    client_settings(f, 0);
    assert_int_equal(f->opens, 1);
    assert_int_equal(f->downs, 1);
    assert_int_equal(fake_lane_stream(&f->lane, 0)->shutdown_code, MASQUE_H3_REQUEST_CANCELLED);
    finish(f);
}

/* The statuses are tested with request.h; here, that they are answered and the stream is let go. */
static void other_requests_are_answered(void **state)
{
    static const char *const get[] = {":method", "GET",        ":scheme", "https", ":path",
                                      "/",       ":authority", "x",       NULL};
    static const char *const wrong_path[] = {
        ":method",    "CONNECT", ":protocol", "connect-ip",
        ":scheme",    "https",   ":path",     "/.well-known/masque/ip/300/*",
        ":authority", "x",       NULL};
    struct fixture *f = start(true);
    struct bytes b = {.n = 0};

    client_settings(f, 1);
    bytes_headers(&b, get);
    feed(f, 0, &b);
    assert_int_equal(status_on(f, 0), 404);
    assert_int_equal(fake_lane_stream(&f->lane, 0)->stop_code, MASQUE_H3_NO_ERROR);
    assert_true(fake_lane_stream(&f->lane, 0)->tx_end);
    b.n = 0;
    bytes_headers(&b, wrong_path);
    feed(f, 4, &b);
    assert_int_equal(status_on(f, 4), 400);
    assert_int_equal(fake_lane_stream(&f->lane, 4)->stop_code, MASQUE_H3_MESSAGE_ERROR);
    assert_int_equal(f->requests, 0);
    f->answer = 503;
    client_connect(f, 8);
    assert_int_equal(f->requests, 1);
    assert_int_equal(status_on(f, 8), 503);
    f->answer = 200;
    client_connect(f, 12); /* it may ask again */
    assert_int_equal(status_on(f, 12), 200);
    assert_int_equal(f->opens, 1);
    finish(f);
}

static void one_lane_carries_one_tunnel(void **state)
{
    struct fixture *f = open_hub();

    client_connect(f, 4);
    assert_int_equal(f->requests, 1);
    assert_int_equal(status_on(f, 4), 503);
    dgram(f, 4, 'x');
    assert_int_equal(f->drops.n[DROP_STREAM], 1);
    dgram(f, 0, 'y');
    assert_int_equal(f->packets, 1);
    assert_int_equal(f->downs, 0);
    finish(f);
}

static void a_tunnel_that_ended_makes_room_for_the_next(void **state)
{
    struct fixture *f = open_hub();

    for (int64_t stream = 0; stream < 400; stream += 4) {
        struct bytes b = {.n = 0};
        unsigned n = (unsigned)stream / 4;

        assert_int_equal(f->opens, n + 1);
        bytes_addr_request(&b, 1); /* a new tunnel, new identifiers */
        feed(f, stream, &b);
        assert_int_equal(f->addr_requests, n + 1);
        if (n % 2)
            fake_lane_reset(&f->lane, stream, 0x10c);
        else
            fake_lane_feed(&f->lane, stream, NULL, 0, true);
        assert_int_equal(f->downs, n + 1);
        fake_lane_close_ended(&f->lane);
        assert_int_equal(f->lane.n_extended, n + 1);
        client_connect(f, stream + 4);
    }
    assert_false(f->lane.is_down);
    finish(f);
}

/* Eight requests that are begun, never answered and reset must leave eight places. */
static void reset_requests_leave_their_place(void **state)
{
    struct fixture *f = start(true);

    client_settings(f, 1);
    for (int64_t stream = 0; stream < 200; stream += 4) {
        struct bytes b = {.n = 0};

        bytes_connect(&b, NULL, NULL);
        fake_lane_feed(&f->lane, stream, b.p, stream % 8 ? 1 : b.n - 1, false);
        fake_lane_reset(&f->lane, stream, 0x10c);
        assert_true(fake_lane_stream(&f->lane, stream)->tx_end);
        fake_lane_close_ended(&f->lane);
    }
    assert_int_equal(f->lane.n_extended, 50);
    client_connect(f, 200);
    assert_int_equal(f->opens, 1);
    finish(f);
}

/* The client resets what it sends because we said that we do not read it: our answer must not be
 * lost by that. */
static void a_reset_does_not_take_the_answer_back(void **state)
{
    struct fixture *f = start(true);

    client_settings(f, 1);
    f->answer = 401;
    client_connect(f, 0);
    fake_lane_reset(&f->lane, 0, MASQUE_H3_NO_ERROR);
    assert_int_equal(fake_lane_stream(&f->lane, 0)->shutdown_code, FAKE_NO_CODE);
    assert_int_equal(status_on(f, 0), 401);
    finish(f);
}

static void early_datagrams_wait_for_their_request(void **state)
{
    struct fixture *f = start(true);

    client_settings(f, 1);
    for (int i = 0; i < 40; i++)
        dgram(f, i % 8 == 7 ? 4 : 0, (char)('0' + i));
    assert_int_equal(f->packets, 0);
    assert_int_equal(f->drops.n[DROP_EARLY], 8);
    client_connect(f, 0);
    assert_string_equal(f->marks, "0123456"
                                  "89:;<=>"
                                  "@ABCDEF"
                                  "HIJKLMN");
    dgram(f, 0, 'z');
    assert_int_equal(f->packets, 29);
    assert_int_equal(f->drops.n[DROP_STREAM], 0);
    finish(f);
}

static void early_datagrams_go_with_their_request(void **state)
{
    struct fixture *f = start(true);

    client_settings(f, 1);
    f->answer = 503;
    for (int i = 0; i < 32; i++)
        dgram(f, 0, 'x');
    client_connect(f, 0);
    assert_int_equal(f->drops.n[DROP_STREAM], 32);
    for (int i = 0; i < 32; i++) /* there is room again */
        dgram(f, 4, 'y');
    assert_int_equal(f->drops.n[DROP_EARLY], 0);
    f->answer = 200;
    client_connect(f, 4);
    assert_int_equal(f->packets, 32);
    fake_lane_feed(&f->lane, 4, NULL, 0, true);
    fake_lane_close_ended(&f->lane);
    dgram(f, 4, 'z'); /* late: that request is over */
    dgram(f, 0, 'z');
    assert_int_equal(f->drops.n[DROP_STREAM], 34);
    assert_int_equal(f->packets, 32);
    finish(f);
}

static void datagrams_that_are_none_of_ours(void **state)
{
    static const uint8_t unknown[] = {0, 2, 'x'}, probe[] = {0, 62, 0}, cut[] = {0, 0x40},
                         only_stream[] = {0}, too_large[] = {0xd0, 0, 0, 0, 0, 0, 0, 0, 0};
    struct fixture *f = open_hub();

    fake_lane_dgram(&f->lane, unknown, sizeof(unknown));
    assert_int_equal(f->drops.n[DROP_CONTEXT], 1);
    fake_lane_dgram(&f->lane, probe, sizeof(probe));
    assert_int_equal(f->drops.n[DROP_CONTEXT], 1);
    fake_lane_dgram(&f->lane, cut, sizeof(cut));
    fake_lane_dgram(&f->lane, only_stream, sizeof(only_stream));
    assert_int_equal(f->drops.n[DROP_MALFORMED], 2);
    assert_int_equal(f->packets, 0);
    assert_false(f->lane.is_down);
    fake_lane_dgram(&f->lane, too_large, sizeof(too_large));
    assert_true(f->lane.is_down); /* RFC 9297, 2.1 */
    assert_int_equal(f->lane.close_code, 0x33);
    assert_int_equal(f->downs, 1);
    finish(f);
    f = open_hub();
    fake_lane_dgram(&f->lane, unknown, 0);
    assert_int_equal(f->lane.close_code, 0x33);
    finish(f);
}

/* --- capsules -------------------------------------------------------------------------- */

static void capsules_come_in(void **state)
{
    struct fixture *f = open_hub();
    struct bytes b = {.n = 0};

    bytes_capsule(&b, 0x01, NULL, 0);
    bytes_addr_request(&b, 1);
    bytes_capsule(&b, 0x03, "\x04\0\0\0\0\xff\xff\xff\xff\0", 10);
    bytes_capsule(&b, 0x00, "\0p", 2);
    bytes_capsule(&b, 0x2575d5, "grease", 6);
    for (size_t i = 0; i < b.n; i++) /* byte by byte */
        fake_lane_feed(&f->lane, 0, b.p + i, 1, false);
    assert_int_equal(f->addr_assigns, 1);
    assert_int_equal(f->addr_requests, 1);
    assert_int_equal(f->routes, 1);
    assert_string_equal(f->marks, "p");
    assert_int_equal(f->downs, 0);
    finish(f);
}

/* A packet in a capsule of its own that is longer than any packet: dropped, and counted once. */
static void a_datagram_capsule_that_is_too_long_is_counted(void **state)
{
    static const uint8_t begin[] = {0, 5, 0, 0x80, 0, 0x40, 1}, more[] = {0, 3, 'a', 'b', 'c'};
    struct fixture *f = open_hub();

    fake_lane_feed(&f->lane, 0, begin, sizeof(begin), false);
    fake_lane_feed(&f->lane, 0, more, sizeof(more), false);
    assert_int_equal(f->drops.n[DROP_OVERSIZE_CAPSULE], 1);
    assert_int_equal(f->downs, 0);
    finish(f);
}

static void expect_abort(struct fixture *f, int64_t code)
{
    assert_int_equal(fake_lane_stream(&f->lane, 0)->shutdown_code, code);
    assert_int_equal(f->downs, 1);
    assert_false(f->lane.is_down); /* only the stream */
    finish(f);
}

static void malformed_capsules_abort_the_stream(void **state)
{
    struct fixture *f = open_hub();
    struct bytes b = {.n = 0};

    bytes_capsule(&b, 0x02, NULL, 0); /* asks for nothing */
    bytes_addr_request(&b, 1);
    feed(f, 0, &b);
    assert_int_equal(f->addr_requests, 0);
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);

    f = open_hub();
    b.n = 0;
    bytes_capsule(&b, 0x03, "\x04\0\0\0", 4);
    feed(f, 0, &b);
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);

    f = open_hub(); /* the stream ends inside a capsule */
    fake_lane_feed(&f->lane, 0, (const uint8_t *)"\x00\x02\x01\x05", 4, true);
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);
}

static struct fixture *open_packed_hub(void)
{
    struct fixture *f = start(true);

    f->packed = true;
    client_settings(f, 1);
    client_connect(f, 0);
    assert_int_equal(f->opens, 1);
    return f;
}

/* Of a session a hub takes its client's classes, and ends a tunnel with values out of their range;
 * of another client it does not understand them. */
static void a_session_has_capsules_of_its_own(void **state)
{
    struct fixture *f = open_packed_hub();
    struct bytes b = {.n = 0};

    bytes_capsule(&b, CAPSULE_CLASS_TABLE, "\x01\x00\x00", 3);
    bytes_capsule(&b, CAPSULE_PATH_STATUS, "\x01\x01\x00\x00\x00\x00", 6);
    feed(f, 0, &b);
    assert_int_equal(f->classes, 1);
    assert_int_equal(f->downs, 0);
    b.n = 0;
    bytes_capsule(&b, CAPSULE_CLASS_TABLE, "\x01\x09\x00", 3);
    feed(f, 0, &b);
    assert_int_equal(f->classes, 1);
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);

    f = open_packed_hub();
    b.n = 0;
    bytes_capsule(&b, CAPSULE_PATH_STATUS, "\x01\x01\x04\x00\x00\x00", 6);
    feed(f, 0, &b);
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);

    f = open_hub(); /* plain */
    b.n = 0;
    bytes_capsule(&b, CAPSULE_CLASS_TABLE, "\x01\x09\x00", 3);
    feed(f, 0, &b);
    assert_int_equal(f->classes, 0);
    assert_int_equal(f->downs, 0);
    finish(f);
}

/* RFC 9484, 4.7.2: "Request IDs MUST NOT be reused by an endpoint". */
static void request_identifiers_are_used_once(void **state)
{
    struct fixture *f = open_hub();
    struct bytes b = {.n = 0};

    bytes_addr_request(&b, 7);
    bytes_addr_request(&b, 9);
    bytes_addr_request(&b, 8);
    feed(f, 0, &b);
    assert_int_equal(f->addr_requests, 3);
    b.n = 0;
    bytes_addr_request(&b, 7);
    bytes_addr_request(&b, 10);
    feed(f, 0, &b);
    assert_int_equal(f->addr_requests, 3);
    assert_string_equal(f->why.detail, "Request ID is used twice");
    expect_abort(f, MASQUE_H3_MESSAGE_ERROR);
}

/* A peer that asks for ever but reads no answer cannot fill our memory. */
static void asking_without_reading_ends_the_tunnel(void **state)
{
    struct fixture *f = open_hub();
    uint64_t id = 0;

    while (!f->downs && id < 100000) {
        struct bytes b = {.n = 0};

        bytes_addr_request(&b, ++id);
        fake_lane_feed(&f->lane, 0, b.p, b.n, false);
    }
    assert_int_equal(f->downs, 1);
    assert_in_range(id, MASQUE_OUT_MAX / 20, MASQUE_OUT_MAX / 8);
    expect_abort(f, 0x107);
}

static void asking_and_reading_goes_on_for_ever(void **state)
{
    struct fixture *f = open_hub();

    for (uint64_t id = 1; id < 20000; id++) {
        struct bytes b = {.n = 0};

        bytes_addr_request(&b, id);
        feed(f, 0, &b);
        fake_lane_ack(&f->lane, 0, SIZE_MAX);
    }
    assert_int_equal(f->downs, 0);
    assert_int_equal(f->addr_requests, 19999);
    finish(f);
}

static void identifiers_all_over_the_place_are_too_many(void **state)
{
    struct fixture *f = open_hub();

    for (uint64_t id = 1; !f->downs && id < 1000; id += 2) {
        struct bytes b = {.n = 0};

        bytes_addr_request(&b, id);
        feed(f, 0, &b);
        fake_lane_ack(&f->lane, 0, SIZE_MAX);
    }
    expect_abort(f, 0x107);
}

static void only_an_open_tunnel_sends_capsules(void **state)
{
    struct fixture *f = open_hub();
    struct capsule_addrs addrs = {.n = 1}, none = {.n = 0};
    struct capsule_routes routes = {.n = 0};
    struct masque *m = f->m;

    assert_int_equal(masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &none), 0);
    assert_int_equal(masque_send_routes(m, &routes), 0);
    assert_int_equal(masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &addrs), -EINVAL);
    assert_int_equal(masque_send_addrs(m, CAPSULE_ADDRESS_REQUEST, &none), -EINVAL);
    fake_lane_feed(&f->lane, 0, NULL, 0, true);
    assert_int_equal(masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &none), -ENOTCONN);
    assert_int_equal(masque_send_routes(m, &routes), -ENOTCONN);
    assert_int_equal(masque_packet_max(m), 0);
    assert_null(fake_lane_pull(&f->lane, 1440));
    finish(f);
}

static void a_peer_that_stops_reading_ends_the_tunnel(void **state)
{
    struct fixture *f = open_hub();
    struct capsule_addrs none = {.n = 0};

    fake_lane_stop(&f->lane, 0);
    assert_int_equal(masque_send_addrs(f->m, CAPSULE_ADDRESS_ASSIGN, &none), 0);
    fake_lane_pump(&f->lane, SIZE_MAX);
    assert_int_equal(f->downs, 1);
    finish(f);
}

/* --- lanes without a tunnel ------------------------------------------------------------ */

static void a_lane_without_a_tunnel_has_its_time(void **state)
{
    struct fixture *f = start(true);
    uint64_t since_ns = f->lane.now_ns;

    assert_true(masque_deadline_ns(&f->side) == since_ns + MASQUE_WAIT_NS);
    masque_timeout(&f->side, since_ns + MASQUE_WAIT_NS - 1);
    assert_false(f->lane.close_wanted);
    masque_timeout(&f->side, since_ns + MASQUE_WAIT_NS);
    assert_true(f->lane.close_wanted);
    assert_true(masque_deadline_ns(&f->side) == TIME_NEVER_NS);
    fake_lane_settle(&f->lane);
    finish(f);

    f = open_hub();
    assert_true(masque_deadline_ns(&f->side) == TIME_NEVER_NS);
    f->lane.now_ns += 1000 * NS_PER_S; /* from the end of the tunnel it runs again */
    fake_lane_feed(&f->lane, 0, NULL, 0, true);
    assert_true(masque_deadline_ns(&f->side) == f->lane.now_ns + MASQUE_WAIT_NS);
    fake_lane_close_ended(&f->lane);
    client_connect(f, 4);
    assert_true(masque_deadline_ns(&f->side) == TIME_NEVER_NS);
    finish(f);
}

static void lanes_without_a_tunnel_are_few(void **state)
{
    enum { LANES = MASQUE_WAITING_MAX + 20 };
    struct quic_lane *lanes = calloc(LANES, sizeof(*lanes));
    struct fixture *f = open_hub();

    for (unsigned i = 0; i < LANES; i++) {
        fake_lane_init(&lanes[i], true, &f->side);
        fake_lane_up(&lanes[i]);
    }
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(lanes[i].close_wanted, i < 20); /* the oldest had to go */
    assert_false(f->lane.close_wanted);
    assert_int_equal(f->side.n_waiting, MASQUE_WAITING_MAX);
    for (unsigned i = 0; i < LANES; i += 2)
        fake_lane_down(&lanes[i], QUIC_FAIL_PEER);
    for (unsigned i = 1; i < LANES; i += 2)
        fake_lane_down(&lanes[i], QUIC_FAIL_PEER);
    finish(f);
    free(lanes);
}

static void the_end_of_the_lane_is_told_once(void **state)
{
    struct fixture *f = open_hub();

    fake_lane_down(&f->lane, QUIC_FAIL_IDLE);
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->why.fail, QUIC_FAIL_IDLE);
    finish(f);
    f = open_hub();
    fake_lane_feed(&f->lane, 0, NULL, 0, true);
    assert_int_equal(f->downs, 1);
    fake_lane_down(&f->lane, QUIC_FAIL_PEER);
    assert_int_equal(f->downs, 1);
    finish(f);

    f = calloc(1, sizeof(*f));
    f->side = (struct masque_side){
        .ops = &ops, .user = f, .drops = &f->drops, .lane_failed = on_lane_failed};
    fake_lane_init(&f->lane, false, &f->side);
    fake_lane_down(&f->lane, QUIC_FAIL_ALPN); /* the handshake fails */
    assert_int_equal(f->lane_failures, 1);
    assert_int_equal(f->downs, 0);
    assert_int_equal(f->why.fail, QUIC_FAIL_ALPN);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hub_opens_a_tunnel),
        cmocka_unit_test(a_hub_sends_packets_when_settings_allow),
        cmocka_unit_test(a_client_without_datagrams_gets_no_tunnel),
        cmocka_unit_test(other_requests_are_answered),
        cmocka_unit_test(one_lane_carries_one_tunnel),
        cmocka_unit_test(a_tunnel_that_ended_makes_room_for_the_next),
        cmocka_unit_test(reset_requests_leave_their_place),
        cmocka_unit_test(a_reset_does_not_take_the_answer_back),
        cmocka_unit_test(early_datagrams_wait_for_their_request),
        cmocka_unit_test(early_datagrams_go_with_their_request),
        cmocka_unit_test(datagrams_that_are_none_of_ours),
        cmocka_unit_test(capsules_come_in),
        cmocka_unit_test(a_datagram_capsule_that_is_too_long_is_counted),
        cmocka_unit_test(malformed_capsules_abort_the_stream),
        cmocka_unit_test(a_session_has_capsules_of_its_own),
        cmocka_unit_test(request_identifiers_are_used_once),
        cmocka_unit_test(asking_without_reading_ends_the_tunnel),
        cmocka_unit_test(asking_and_reading_goes_on_for_ever),
        cmocka_unit_test(identifiers_all_over_the_place_are_too_many),
        cmocka_unit_test(only_an_open_tunnel_sends_capsules),
        cmocka_unit_test(a_peer_that_stops_reading_ends_the_tunnel),
        cmocka_unit_test(a_lane_without_a_tunnel_has_its_time),
        cmocka_unit_test(lanes_without_a_tunnel_are_few),
        cmocka_unit_test(the_end_of_the_lane_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
