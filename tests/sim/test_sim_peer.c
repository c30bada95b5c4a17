/* The life of edge and hub: connecting, being refused, taken over, restarted, moved, ended. */
#include "peers.h"

/* --- connecting ------------------------------------------------------------------------ */

static const struct assigned_addr *assigned_to(const struct capsule_addrs *a, const char *text)
{
    struct ip_prefix p = peers_prefix(text);

    for (unsigned i = 0; i < a->n; i++)
        if (ip_prefix_equal(&a->v[i].prefix, &p))
            return &a->v[i];
    return NULL;
}

static void an_edge_connects_and_gets_its_addresses(void **state)
{
    struct peers *w = peers_up(1, 20);
    struct peers_edge *e = &w->edge[0];

    assert_int_equal(w->ups, 1);
    assert_string_equal(w->peer, "edge.example");
    assert_non_null(assigned_to(&e->assigned, "10.200.1.1/32"));
    assert_int_equal(assigned_to(&e->assigned, "10.200.1.1/32")->request_id, 1);
    assert_non_null(assigned_to(&e->assigned, "fd00:1::1/128"));
    assert_int_equal(assigned_to(&e->assigned, "fd00:1::1/128")->request_id, 2);
    assert_int_equal(w->assigned.n, 2);
    /* UDP payload 1472, less 32 of QUIC and 2 of the datagram prefix. */
    assert_int_equal(e->packet_max, 1438);
    assert_int_equal(w->packet_max, 1438);
    /* One attempt: connecting, up. */
    assert_int_equal(e->n_states, 2);
    assert_int_equal(e->state[0].state, EDGE_CONNECTING);
    assert_int_equal(e->state[1].state, EDGE_UP);
    assert_true(e->state[1].at_ns - e->state[0].at_ns < 100 * NS_PER_MS);
    peers_free(w);
}

static void the_hub_gives_what_it_has(void **state)
{
    struct peers *w = peers_new(2, 20);
    struct peers_edge *e = &w->edge[0];

    e->opts.want[0] = peers_prefix("10.99.0.1/24"); /* another network: gets one of the hub's */
    e->opts.want[1] = peers_prefix("fd00:1::77/64");
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    assert_int_equal(assigned_to(&e->assigned, "10.200.1.1/32")->request_id, 1);
    assert_int_equal(assigned_to(&e->assigned, "fd00:1::77/128")->request_id, 2);
    peers_free(w);
}

static void a_family_that_the_hub_lacks_is_refused(void **state)
{
    struct peers *w = peers_new(3, 20);
    struct peers_edge *e = &w->edge[0];
    const struct assigned_addr *a;

    w->hub_opts.n_own = 1;
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    a = assigned_to(&e->assigned, "::/128");
    assert_non_null(a);
    assert_int_equal(a->request_id, 2);
    assert_true(assigned_addr_is_refusal(a));
    assert_int_equal(w->assigned.n, 1);
    peers_free(w);
}

static void nobody_at_home(void **state)
{
    struct peers *w = peers_new(4, 20);
    struct peers_edge *e = &w->edge[0];

    e->opts.quic.handshake_timeout_ns = 2 * NS_PER_S;
    peers_start_edge(w, 0);
    sim_run_for(w->sim, 60 * NS_PER_S);
    assert_int_equal(e->n_failed, 0);
    assert_true(e->n_states > 10);
    peers_start_hub(w);
    assert_true(peers_wait_up(w, 0, 25 * NS_PER_S));
    peers_free(w);
}

/* --- being refused --------------------------------------------------------------------- */

/* The pauses of an edge that is turned away again and again. */
static unsigned pauses(const struct peers_edge *e, uint64_t *ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 1; i < MIN(e->n_states, PEERS_STATES_MAX) && n < max; i++)
        if (e->state[i - 1].state == EDGE_PAUSE && e->state[i].state == EDGE_CONNECTING)
            ret[n++] = e->state[i].at_ns - e->state[i - 1].at_ns;
    return n;
}

static void another_identity_waits_with_growing_pauses(void **state)
{
    struct peers *w = peers_up(5, 20);
    struct peers_edge *e = &w->edge[1];
    uint64_t pause[16], base = 250 * NS_PER_MS;
    unsigned n;

    peers_start_edge(w, 1);
    sim_run_for(w->sim, 120 * NS_PER_S);
    assert_int_equal(edge_state(w->edge[0].edge), EDGE_UP);
    assert_int_equal(w->ups, 1);
    assert_int_equal(e->n_failed, 0);
    assert_non_null(strstr(e->state[1].why, "503"));
    assert_string_equal(w->refused_why, "other.example: another peer has the tunnel");

    n = pauses(e, pause, ARRAY_LEN(pause));
    assert_true(n >= 10);
    for (unsigned i = 0; i < n; i++) {
        assert_true(pause[i] >= base / 2);
        assert_true(pause[i] <= base);
        base = MIN(2 * base, 20 * NS_PER_S);
    }
    assert_int_equal(w->n_refused, n + (edge_state(e->edge) == EDGE_PAUSE));

    /* As soon as the tunnel is free, it is let in. */
    edge_shutdown(w->edge[0].edge, w->sim->now_ns);
    host_pump(w->edge[0].host);
    assert_true(peers_wait_state(w, 1, EDGE_UP, 21 * NS_PER_S));
    assert_string_equal(w->peer, "other.example");
    peers_free(w);
}

/* A thousand edges must not come back in one moment: the random part covers the whole range. */
static void pauses_are_jittered(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (uint64_t seed = 0; seed < 40; seed++) {
        struct peers *w = peers_new(1000 + seed, 20);
        uint64_t pause[16] = {0};

        w->edge[0].opts.quic.handshake_timeout_ns = NS_PER_S;
        peers_start_edge(w, 0);
        sim_run_for(w->sim, 60 * NS_PER_S);
        assert_true(pauses(&w->edge[0], pause, 16) >= 8);
        least = MIN(least, pause[7]);
        most = MAX(most, pause[7]);
        peers_free(w);
    }
    /* The eighth is between 2.5 and 5 s: a hub that says nothing may be back any moment. */
    assert_true(least >= 5 * NS_PER_S / 2);
    assert_true(least < 3 * NS_PER_S);
    assert_true(most > 9 * NS_PER_S / 2);
    assert_true(most <= 5 * NS_PER_S);
}

static void give_token(struct peers *w, const char *given)
{
    static struct hub_token tokens[2] = {{"alice", "correct horse"}, {"bob", "battery staple"}};

    w->hub_opts.policy.tokens = tokens;
    w->hub_opts.policy.n_tokens = 2;
    w->edge[0].opts.token = given;
}

static void a_wrong_token_ends_it(void **state)
{
    struct peers *w = peers_new(6, 20);
    struct peers_edge *e = &w->edge[0];
    uint64_t sent;

    give_token(w, "correct horsf");
    e->tls.name = "";
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_state(w, 0, EDGE_FAILED, 5 * NS_PER_S));
    assert_int_equal(e->n_failed, 1);
    assert_int_equal(e->failure.http_status, 401);
    assert_int_equal(e->failure.quic.fail, QUIC_FAIL_NONE);
    assert_string_equal(w->refused_why, ": no valid bearer token");
    sim_run_for(w->sim, 2 * NS_PER_S); /* goodbye and its echoes */
    sent = e->host->tx_dgrams;
    sim_run_for(w->sim, 300 * NS_PER_S);
    assert_true(e->host->tx_dgrams == sent);
    assert_int_equal(e->n_failed, 1);
    assert_int_equal(w->ups, 0);
    /* A new address changes nothing: somebody has to look at the token. */
    edge_set_addrs(e->edge, w->sim->now_ns, 0, &w->edge[1].addr, &w->hub_addr, 0);
    assert_int_equal(edge_state(e->edge), EDGE_FAILED);
    peers_free(w);
}

static void a_right_token_names_the_peer(void **state)
{
    struct peers *w = peers_new(7, 20);

    give_token(w, "battery staple");
    w->edge[0].tls.name = "";
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    assert_string_equal(w->peer, "bob");
    peers_free(w);
}

static void a_certificate_needs_no_token_but_a_wrong_one_counts(void **state)
{
    struct peers *w = peers_new(8, 20);

    give_token(w, NULL);
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    assert_string_equal(w->peer, "edge.example");
    peers_kill_edge(w, 0);
    w->edge[0].opts.token = "guess";
    peers_start_edge(w, 0);
    assert_true(peers_wait_state(w, 0, EDGE_FAILED, 5 * NS_PER_S));
    assert_int_equal(w->edge[0].failure.http_status, 401);
    peers_free(w);
}

static void a_certificate_that_is_refused_ends_it(void **state)
{
    struct peers *w = peers_new(9, 20);

    w->edge[0].tls.refuse = QUIC_FAIL_CERT_UNTRUSTED;
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_state(w, 0, EDGE_FAILED, 5 * NS_PER_S));
    assert_int_equal(w->edge[0].failure.quic.fail, QUIC_FAIL_CERT_UNTRUSTED);
    assert_int_equal(w->edge[0].n_failed, 1);
    peers_free(w);
}

/* --- taken over, restarted ------------------------------------------------------------- */

static void the_same_identity_takes_over_at_once(void **state)
{
    struct peers *w = peers_up(10, 20);
    uint8_t p[100];

    sim_run_for(w->sim, 20 * NS_PER_S);
    peers_kill_edge(w, 0); /* the hub will not know for half a minute */
    w->edge[1].tls.name = "edge.example";
    peers_start_edge(w, 1);
    assert_true(peers_wait_up(w, 1, NS_PER_S));
    assert_int_equal(w->ups, 2);
    assert_int_equal(w->downs, 1);
    assert_string_equal(w->down_why, "edge.example: the same peer has connected again");
    sim_run_for(w->sim, NS_PER_S);
    peers_hub_send(w, p, peers_packet(p, "10.200.1.2", "10.200.1.1", sizeof(p), false));
    sim_run_for(w->sim, 100 * NS_PER_MS);
    assert_int_equal(w->edge[1].taken.n, 1);
    sim_run_for(w->sim, 60 * NS_PER_S); /* the old connection's end is not the tunnel's */
    assert_int_equal(w->downs, 1);
    assert_int_equal(w->n_contested, 0);
    assert_int_equal(edge_state(w->edge[1].edge), EDGE_UP);
    peers_start_edge(w, 0);
    peers_free(w);
}

/* Two machines with one certificate: each takes the tunnel from the other, less and less often. */
static void two_of_one_identity_do_not_fight_for_ever(void **state)
{
    struct peers *w = peers_up(11, 20);
    struct hub_peer_info info;
    unsigned early, late;
    bool told = false;

    w->edge[1].tls.name = "edge.example";
    peers_start_edge(w, 1);
    sim_run_for(w->sim, 60 * NS_PER_S);
    early = w->ups;
    sim_run_for(w->sim, 600 * NS_PER_S);
    late = w->ups - early;
    assert_true(early >= 4);
    assert_true(late < 300); /* a change in two seconds, not eight in one */
    assert_true(w->n_contested >= 1);
    assert_true(hub_peer_info(w->hub, 0, &info));
    assert_true(info.contested >= HUB_CONTESTED);
    for (unsigned i = 0; i < w->edge[0].n_states && i < PEERS_STATES_MAX; i++)
        told |= strstr(w->edge[0].state[i].why, HUB_TAKEN_OVER) != NULL;
    assert_true(told);
    peers_free(w);
}

/* From the hub's restart to an edge that is up again while packets come. */
static uint64_t restart_hub(struct peers *w)
{
    uint8_t p[100];
    size_t len = peers_packet(p, "10.200.1.1", "10.200.1.2", sizeof(p), false);
    uint64_t start_ns = w->sim->now_ns;

    peers_kill_hub(w);
    peers_start_hub(w);
    w->ups = w->downs = w->n_assigned = 0;
    for (int i = 0; i < 600 && !w->ups; i++) {
        peers_edge_send(w, 0, p, len);
        sim_run_for(w->sim, 100 * NS_PER_MS);
    }
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    return w->sim->now_ns - start_ns;
}

static void a_restarted_hub_is_back_at_once(void **state)
{
    struct peers *w = peers_up(12, 20);

    assert_true(restart_hub(w) < NS_PER_S);
    assert_string_equal(w->edge[0].state[2].why, "the peer has forgotten the connection");
    peers_free(w);
}

/* A tunnel that had held: all edges of the hub have lost theirs, and each waits for up to 2 s. */
static void edges_of_a_restarted_hub_spread_out(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (uint64_t seed = 0; seed < 40; seed++) {
        struct peers *w = peers_up(2000 + seed, 20);
        uint64_t took;

        sim_run_for(w->sim, 11 * NS_PER_S);
        took = restart_hub(w);
        least = MIN(least, took);
        most = MAX(most, took);
        peers_free(w);
    }
    assert_true(least < 400 * NS_PER_MS);
    assert_true(most > 1700 * NS_PER_MS);
    assert_true(most < 2400 * NS_PER_MS);
}

/* Without the secret its resets are not believed: the idle timeout finds out. */
static void a_restarted_hub_without_its_secret(void **state)
{
    struct peers *w = peers_up(13, 20);

    memset(w->hub_opts.quic.reset_secret, 9, sizeof(w->hub_opts.quic.reset_secret));
    assert_true(restart_hub(w) < 40 * NS_PER_S);
    peers_free(w);
}

/* --- moved ----------------------------------------------------------------------------- */

static void an_address_that_vanishes_and_returns(void **state)
{
    static const struct net_addr none;
    struct peers *w = peers_up(14, 20);
    struct peers_edge *e = &w->edge[0];
    uint64_t sent;
    uint8_t p[100];

    edge_set_addrs(e->edge, w->sim->now_ns, 0, &none, &w->hub_addr, 0);
    host_pump(e->host);
    assert_int_equal(edge_state(e->edge), EDGE_IDLE);
    sim_run_for(w->sim, 5 * NS_PER_S);
    assert_int_equal(w->downs, 1); /* it had said goodbye */
    sent = e->host->tx_dgrams;
    peers_edge_send(w, 0, p, peers_packet(p, "10.200.1.1", "10.200.1.2", sizeof(p), false));
    sim_run_for(w->sim, 300 * NS_PER_S);
    assert_true(e->host->tx_dgrams == sent);
    assert_int_equal(e->host->drops.n[DROP_NO_SESSION], 1);
    assert_int_equal(edge_state(e->edge), EDGE_IDLE);

    e->packet_max = w->packet_max = 0;
    edge_set_addrs(e->edge, w->sim->now_ns, 0, &e->addr, &w->hub_addr, 0);
    host_pump(e->host);
    assert_true(peers_wait_up(w, 0, NS_PER_S)); /* without a pause */
    peers_free(w);
}

static void another_address_connects_anew_at_once(void **state)
{
    struct peers *w = peers_up(15, 20);
    struct peers_edge *e = &w->edge[0];
    struct net_addr moved = net_addr_lit("198.18.0.50", 40000);
    unsigned socket = host_add_socket(e->host, &moved, link_sink(w->wan.up));
    unsigned n_states = e->n_states;

    router_add(&w->wan.at_edge, &moved, &e->host->socket[socket].sink);
    edge_set_addrs(e->edge, w->sim->now_ns, 0, &e->addr, &w->hub_addr, 0); /* the same: nothing */
    assert_int_equal(e->n_states, n_states);
    edge_set_addrs(e->edge, w->sim->now_ns, 0, &moved, &w->hub_addr, socket);
    host_pump(e->host);
    assert_int_equal(edge_state(e->edge), EDGE_CONNECTING);
    e->packet_max = w->packet_max = 0;
    assert_true(peers_wait_up(w, 0, NS_PER_S));
    assert_int_equal(w->ups, 2);
    assert_int_equal(e->host->socket[socket].host == e->host, 1);
    peers_free(w);
}

/* --- ended ----------------------------------------------------------------------------- */

static void an_edge_says_goodbye(void **state)
{
    struct peers *w = peers_up(16, 20);
    uint64_t at_ns = w->sim->now_ns;

    edge_shutdown(w->edge[0].edge, at_ns);
    host_pump(w->edge[0].host);
    sim_run_for(w->sim, NS_PER_S);
    assert_int_equal(w->downs, 1);
    assert_true(w->down_ns - at_ns < 20 * NS_PER_MS);
    assert_non_null(strstr(w->down_why, "the peer closed the connection"));
    sim_run_for(w->sim, 100 * NS_PER_S);
    assert_int_equal(edge_state(w->edge[0].edge), EDGE_IDLE);
    assert_int_equal(w->ups, 1);
    peers_free(w);
}

static void a_hub_says_goodbye(void **state)
{
    struct peers *w = peers_up(17, 20);

    hub_shutdown(w->hub, w->sim->now_ns);
    host_pump(w->hub_host);
    assert_true(peers_wait_state(w, 0, EDGE_PAUSE, 50 * NS_PER_MS));
    assert_int_equal(w->downs, 1);
    assert_true(peers_wait_state(w, 0, EDGE_UP, NS_PER_S));
    peers_free(w);
}

/* Nothing at all comes from the edge: the hub has the tunnel free after the idle timeout. */
static void a_silent_edge_is_forgotten(void **state)
{
    struct peers *w = peers_up(18, 20);

    peers_kill_edge(w, 0);
    sim_run_for(w->sim, 29 * NS_PER_S);
    assert_int_equal(w->downs, 0);
    sim_run_for(w->sim, 5 * NS_PER_S);
    assert_int_equal(w->downs, 1);
    assert_non_null(strstr(w->down_why, "idle time"));
    peers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edge_connects_and_gets_its_addresses),
        cmocka_unit_test(the_hub_gives_what_it_has),
        cmocka_unit_test(a_family_that_the_hub_lacks_is_refused),
        cmocka_unit_test(nobody_at_home),
        cmocka_unit_test(another_identity_waits_with_growing_pauses),
        cmocka_unit_test(pauses_are_jittered),
        cmocka_unit_test(a_wrong_token_ends_it),
        cmocka_unit_test(a_right_token_names_the_peer),
        cmocka_unit_test(a_certificate_needs_no_token_but_a_wrong_one_counts),
        cmocka_unit_test(a_certificate_that_is_refused_ends_it),
        cmocka_unit_test(the_same_identity_takes_over_at_once),
        cmocka_unit_test(two_of_one_identity_do_not_fight_for_ever),
        cmocka_unit_test(a_restarted_hub_is_back_at_once),
        cmocka_unit_test(edges_of_a_restarted_hub_spread_out),
        cmocka_unit_test(a_restarted_hub_without_its_secret),
        cmocka_unit_test(an_address_that_vanishes_and_returns),
        cmocka_unit_test(another_address_connects_anew_at_once),
        cmocka_unit_test(an_edge_says_goodbye),
        cmocka_unit_test(a_hub_says_goodbye),
        cmocka_unit_test(a_silent_edge_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
