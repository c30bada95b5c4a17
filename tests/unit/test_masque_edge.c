/* CONNECT-IP at the edge's end of a lane, with the test as the hub; and both ends together. */
#include "masque_fixture.h"

static void server_settings(struct fixture *f, unsigned connect_protocol, unsigned h3_datagram)
{
    struct bytes b = {.n = 0};

    bytes_settings(&b, connect_protocol, h3_datagram);
    feed(f, SERVER_CONTROL, &b);
}

static void server_answer(struct fixture *f, const char *status, const char *name,
                          const char *value)
{
    struct bytes b = {.n = 0};

    bytes_answer(&b, status, name, value);
    feed(f, 0, &b);
}

static struct fixture *asking_edge(void)
{
    struct fixture *f = start(false);

    server_settings(f, 1, 1);
    assert_non_null(fake_lane_stream(&f->lane, 0));
    assert_true(fake_lane_stream(&f->lane, 0)->out_len > 50);
    return f;
}

static struct fixture *open_edge(void)
{
    struct fixture *f = asking_edge();

    server_answer(f, "200", "capsule-protocol", "?1");
    assert_int_equal(f->opens, 1);
    return f;
}

static void an_edge_waits_for_settings(void **state)
{
    struct fixture *f = start(false);

    assert_null(fake_lane_stream(&f->lane, 0)); /* RFC 9220, 3: not before */
    server_settings(f, 1, 1);
    assert_non_null(fake_lane_stream(&f->lane, 0));
    assert_int_equal(f->opens, 0);
    server_answer(f, "200", "capsule-protocol", "?1");
    assert_int_equal(f->opens, 1);
    assert_int_equal(f->packet_max, 1438);
    dgram(f, 0, 'x');
    assert_int_equal(f->packets, 1);
    finish(f);
}

static void an_edge_needs_both_settings(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct fixture *f = start(false);

        server_settings(f, i & 1, i >> 1);
        assert_int_equal(f->refusals, 1);
        assert_int_equal(f->refused_status, 0);
        assert_int_equal(f->downs, 0);
        assert_true(f->lane.is_down);
        assert_null(fake_lane_stream(&f->lane, 0));
        finish(f);
    }
}

/* A setting that promises datagrams over a transport without them (RFC 9297, 2.1.1). */
static void h3_datagram_needs_quic_datagrams(void **state)
{
    struct fixture *f = start(false);

    f->lane.dgram_max = 0;
    server_settings(f, 1, 1);
    assert_int_equal(f->lane.close_code, MASQUE_H3_SETTINGS_ERROR);
    assert_int_equal(f->downs, 1);
    finish(f);
}

static void interim_answers_are_passed_over(void **state)
{
    struct fixture *f = asking_edge();

    server_answer(f, "103", NULL, NULL);
    server_answer(f, "100", NULL, NULL);
    assert_int_equal(f->opens + f->refusals + f->downs, 0);
    server_answer(f, "200", "capsule-protocol", "?1");
    assert_int_equal(f->opens, 1);
    finish(f);
}

/* RFC 9484, 4.5: anything but a 2xx is a failure, 3xx included; RFC 9297, 3.2: so are the 2xx that
 * have no content, and fields that describe one. */
static void answers_that_open_nothing(void **state)
{
    static const struct {
        const char *status, *name, *value;
    } answers[] = {
        {"301", "location", "/"}, {"307", "location", "/"},
        {"400", NULL, NULL},      {"401", NULL, NULL},
        {"404", NULL, NULL},      {"503", "retry-after", "5"},
        {"204", NULL, NULL},      {"205", NULL, NULL},
        {"206", NULL, NULL},      {"200", "content-type", "text/html"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(answers); i++) {
        struct fixture *f = asking_edge();

        server_answer(f, answers[i].status, answers[i].name, answers[i].value);
        assert_int_equal(f->opens, 0);
        assert_int_equal(f->refusals, 1);
        assert_int_equal(f->refused_status, atoi(answers[i].status));
        assert_int_equal(f->downs, 0);
        assert_true(f->lane.is_down);
        finish(f);
    }
}

static void other_successes_open_the_tunnel(void **state)
{
    static const char *const statuses[] = {"200", "201", "202", "203", "299"};

    for (unsigned i = 0; i < ARRAY_LEN(statuses); i++) {
        struct fixture *f = asking_edge();

        server_answer(f, statuses[i], NULL, NULL);
        assert_int_equal(f->opens, 1);
        finish(f);
    }
}

static void datagrams_before_the_answer_wait(void **state)
{
    struct fixture *f = start(false);

    dgram(f, 0, 'a'); /* there is no request yet */
    assert_int_equal(f->drops.n[DROP_STREAM], 1);
    server_settings(f, 1, 1);
    dgram(f, 0, 'b');
    dgram(f, 4, 'c');
    assert_int_equal(f->drops.n[DROP_STREAM], 2);
    dgram(f, 0, 'd');
    server_answer(f, "200", NULL, NULL);
    assert_string_equal(f->marks, "bd");
    finish(f);
}

static void a_hub_that_resets_the_request(void **state)
{
    struct fixture *f = asking_edge();

    fake_lane_reset(&f->lane, 0, 0x10b);
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->refusals, 0);
    finish(f);
    f = open_edge();
    fake_lane_reset(&f->lane, 0, 0x100);
    assert_int_equal(f->downs, 1);
    assert_int_equal(fake_lane_stream(&f->lane, 0)->shutdown_code, MASQUE_H3_REQUEST_CANCELLED);
    fake_lane_close_ended(&f->lane);
    assert_int_equal(f->downs, 1);
    finish(f);
    f = open_edge();
    fake_lane_feed(&f->lane, 0, NULL, 0, true); /* an orderly end */
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->why.fail, QUIC_FAIL_PEER);
    finish(f);
}

static void goaway(struct fixture *f, unsigned id)
{
    struct bytes b = {.n = 0};
    uint8_t stream = (uint8_t)id;

    bytes_frame(&b, 0x07, &stream, 1);
    feed(f, SERVER_CONTROL, &b);
}

/* RFC 9114, 5.2: requests from the identifier on are not processed; those below go on. */
static void goaway_ends_what_is_not_processed(void **state)
{
    struct fixture *f = asking_edge();

    goaway(f, 0);
    assert_int_equal(f->downs, 1);
    assert_string_equal(f->why.detail, "the hub is going away");
    finish(f);
    f = asking_edge();
    goaway(f, 4);
    assert_int_equal(f->downs, 0);
    server_answer(f, "200", NULL, NULL);
    assert_int_equal(f->opens, 1);
    finish(f);
    f = open_edge();
    goaway(f, 8);
    goaway(f, 4);
    dgram(f, 0, 'x');
    assert_int_equal(f->packets, 1);
    assert_int_equal(f->downs, 0);
    finish(f);
    f = start(false); /* before there is a request */
    server_settings(f, 1, 1);
    assert_int_equal(f->downs, 0);
    finish(f);
}

/* A hub that takes the connection and then says nothing. */
static void an_edge_does_not_wait_for_ever(void **state)
{
    struct fixture *f = asking_edge();

    masque_timeout(&f->side, f->lane.now_ns + MASQUE_WAIT_NS);
    fake_lane_settle(&f->lane);
    assert_int_equal(f->downs, 1);
    assert_int_equal(f->why.fail, QUIC_FAIL_LOCAL);
    finish(f);
    f = start(false);
    masque_timeout(&f->side, f->lane.now_ns + MASQUE_WAIT_NS);
    fake_lane_settle(&f->lane);
    assert_int_equal(f->downs, 1);
    finish(f);
    f = open_edge();
    masque_timeout(&f->side, f->lane.now_ns + 100 * MASQUE_WAIT_NS);
    assert_false(f->lane.close_wanted);
    finish(f);
}

/* --- both ------------------------------------------------------------------------------ */

/* Carry what one end has sent since the last time to the other. */
static void carry(struct fixture *from, struct fixture *to)
{
    for (unsigned i = 0; i < FAKE_STREAMS_MAX; i++) {
        struct fake_stream *s = &from->lane.stream[i];
        size_t at = s->out_acked;

        if (s->id < 0 || at == s->out_len)
            continue;
        fake_lane_feed(&to->lane, s->id, s->out + at, s->out_len - at, false);
        fake_lane_ack(&from->lane, s->id, SIZE_MAX);
    }
    fake_lane_pump(&to->lane, SIZE_MAX);
}

static void edge_and_hub_understand_each_other(void **state)
{
    struct fixture *edge = start(false), *hub = start(true);
    struct capsule_addrs want = {.n = 1};
    struct pkt *pkt;

    carry(hub, edge);
    carry(edge, hub);
    assert_string_equal(hub->req.path, "/.well-known/masque/ip/%2A/%2A/");
    assert_string_equal(hub->req.authority, "hub.example:443");
    assert_string_equal(hub->req.authorization, "");
    carry(hub, edge);
    assert_int_equal(edge->opens, 1);
    want.v[0].request_id = 1;
    assert_int_equal(ip_prefix_parse("10.0.0.1/32", &want.v[0].prefix), 0);
    assert_int_equal(masque_send_addrs(edge->m, CAPSULE_ADDRESS_REQUEST, &want), 0);
    fake_lane_pump(&edge->lane, SIZE_MAX);
    carry(edge, hub);
    assert_int_equal(hub->addr_requests, 1);
    carry(hub, edge);
    assert_int_equal(edge->addr_assigns, 1);
    pkt = fake_lane_pull(&edge->lane, 1440);
    fake_lane_dgram(&hub->lane, pkt->data, pkt->len);
    pkt_free(edge->side.pool, pkt);
    assert_string_equal(hub->marks, "E");
    finish(edge);
    finish(hub);
}

static void the_token_travels(void **state)
{
    struct fixture *edge = start(false), *hub = start(true);

    edge->side.token = "s3cret";
    carry(hub, edge);
    carry(edge, hub);
    assert_string_equal(hub->req.authorization, "Bearer s3cret");
    finish(edge);
    finish(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edge_waits_for_settings),
        cmocka_unit_test(an_edge_needs_both_settings),
        cmocka_unit_test(h3_datagram_needs_quic_datagrams),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(answers_that_open_nothing),
        cmocka_unit_test(other_successes_open_the_tunnel),
        cmocka_unit_test(datagrams_before_the_answer_wait),
        cmocka_unit_test(a_hub_that_resets_the_request),
        cmocka_unit_test(goaway_ends_what_is_not_processed),
        cmocka_unit_test(an_edge_does_not_wait_for_ever),
        cmocka_unit_test(edge_and_hub_understand_each_other),
        cmocka_unit_test(the_token_travels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
