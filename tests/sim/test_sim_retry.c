/* What strangers get out of a hub: Retry, resets, or nothing; and that it does not cost those who
 * are connected. */
#include "crowd.h"

static struct net_addr spoofed(unsigned i)
{
    char ip[32];

    snprintf(ip, sizeof(ip), "198.18.%u.%u", i / 250, 1 + i % 250);
    return net_addr_lit(ip, (uint16_t)(2000 + i));
}

static struct net_addr edge_addr(unsigned i)
{
    return net_addr_lit("198.51.100.7", (uint16_t)(10000 + i));
}

static struct crowd *start(void)
{
    struct crowd *w = crowd_new(1);

    crowd_start_hub(w);
    return w;
}

/* n strangers, each at an address of its own, begin handshakes. */
static void knock(struct crowd *w, unsigned n)
{
    uint8_t initial[CROWD_PAYLOAD];

    for (unsigned i = 0; i < n; i++) {
        struct net_addr from = spoofed(i);
        size_t len = crowd_initial(w, i, initial);

        crowd_inject(w, &from, initial, len);
    }
}

/* --- Retry ----------------------------------------------------------------------------- */

static void quiet_times_need_no_retry(void **state)
{
    struct crowd *w = start();
    struct net_addr a = edge_addr(0);
    struct client *c = crowd_join(w, &a);

    crowd_run(w, 200);
    assert_int_equal(c->ups, 1);
    assert_int_equal(w->ups, 1);
    assert_int_equal(crowd_stats(w).retried, 0);
    assert_int_equal(crowd_stats(w).begun, 1);
    assert_int_equal(crowd_stats(w).completed, 1);
    assert_int_equal(crowd_stats(w).handshakes, 0);
    crowd_free(w);
}

/* The 65th of those who have not proved their address is sent back; who comes again with the token
 * gets in, one round trip later. */
static void retry_when_many_handshakes_are_open(void **state)
{
    struct crowd *w = start();
    struct net_addr a = edge_addr(0);
    uint64_t began_ns;
    struct client *c;

    knock(w, 64);
    assert_int_equal(crowd_stats(w).unproven, 64);
    assert_int_equal(crowd_stats(w).retried, 0);
    c = crowd_join(w, &a);
    began_ns = w->now_ns;
    crowd_run(w, 300);
    assert_int_equal(crowd_stats(w).retried, 1);
    assert_int_equal(w->drops.n[DROP_RETRY], 1);
    assert_int_equal(c->ups, 1);
    assert_int_equal(w->ups, 1);
    assert_int_equal(c->downs, 0);
    /* Retry takes a round trip, hellos and certificates one more each at the client. */
    assert_in_range(c->up_ns - began_ns, 4ull * CROWD_DELAY_MS * NS_PER_MS,
                    (4ull * CROWD_DELAY_MS + 10) * NS_PER_MS);
    crowd_run(w, 15000); /* those who do not answer are given up */
    assert_int_equal(crowd_stats(w).unproven, 0);
    assert_int_equal(crowd_stats(w).handshakes, 0);
    assert_int_equal(crowd_stats(w).lanes, 1);
    assert_int_equal(c->downs, 0);
    crowd_free(w);
}

/* Retry packets are shorter than what they answer, and leave nothing behind. */
static void retry_costs_no_state(void **state)
{
    struct crowd *w = start();
    struct quic_endpoint_stats before;
    uint64_t lost;

    knock(w, 64);
    crowd_run(w, 100);
    before = crowd_stats(w);
    lost = w->lost_bytes;
    knock(w, 128); /* the first half are known already */
    crowd_run(w, CROWD_DELAY_MS + 2);
    assert_int_equal(crowd_stats(w).retried, 64);
    assert_int_equal(crowd_stats(w).lanes, before.lanes);
    assert_int_equal(crowd_stats(w).begun, before.begun);
    assert_true(w->lost_bytes - lost <= 64 * 256 + 64 * 3 * 1200);
    crowd_free(w);
}

/* One address may have eight handshakes open without a token; and a whole IPv6 /64 is one. */
static void one_source_is_sent_back_earlier(void **state)
{
    struct crowd *w = start();
    uint8_t initial[CROWD_PAYLOAD];

    for (unsigned i = 0; i < 20; i++) {
        struct net_addr from = edge_addr(i);
        size_t len = crowd_initial(w, i, initial);

        crowd_inject(w, &from, initial, len);
    }
    assert_int_equal(crowd_stats(w).unproven, 8);
    assert_int_equal(crowd_stats(w).retried, 12);
    for (unsigned i = 0; i < 20; i++) {
        char ip[64];
        struct net_addr from;
        size_t len = crowd_initial(w, 100 + i, initial);

        snprintf(ip, sizeof(ip), "2001:db8:1:2:%x::1", i);
        from = net_addr_lit(ip, 4000);
        crowd_inject(w, &from, initial, len);
    }
    assert_int_equal(crowd_stats(w).unproven, 16);
    assert_int_equal(crowd_stats(w).retried, 24);
    assert_int_equal(crowd_stats(w).sources, 2);
    crowd_free(w);
}

/* --- tokens ---------------------------------------------------------------------------- */

/* The first packet that a client sends after its Retry; the client is stopped then. */
static size_t token_packet(struct crowd *w, uint8_t *ret)
{
    struct net_addr a = edge_addr(0);
    struct client *c = crowd_join(w, &a);
    size_t len = 0;

    for (unsigned i = 0; i < 200 && !len; i++) {
        crowd_run(w, 1);
        for (size_t k = w->wire_first; k < w->wire_n; k++)
            if (w->wire[k].to_hub && crowd_stats(w).retried && w->wire[k].data[5] == 8) {
                len = w->wire[k].len;
                memcpy(ret, w->wire[k].data, len);
                w->wire[k].len = 0; /* it does not arrive */
            }
    }
    assert_true(len >= 1200);
    quic_endpoint_free(c->ep);
    c->ep = NULL;
    return len;
}

static void tokens_hold_for_one_address_and_ten_seconds(void **state)
{
    struct net_addr a = edge_addr(0), port = edge_addr(1),
                    other = net_addr_lit("198.51.100.8", 10000);
    uint8_t packet[CROWD_PAYLOAD];
    struct quic_endpoint_stats s;
    struct crowd *w = start();
    size_t len;

    knock(w, 64);
    len = token_packet(w, packet);
    s = crowd_stats(w);
    crowd_inject(w, &other, packet, len);
    crowd_inject(w, &port, packet, len);
    packet[len - 1] ^= 1; /* not a part of the token */
    crowd_inject(w, &a, packet, len);
    assert_int_equal(w->drops.n[DROP_BAD_TOKEN], 2);
    assert_int_equal(crowd_stats(w).junk, s.junk + 1);
    packet[len - 1] ^= 1;
    packet[40] ^= 1;
    crowd_inject(w, &a, packet, len);
    assert_int_equal(w->drops.n[DROP_BAD_TOKEN], 3);
    packet[40] ^= 1;
    w->now_ns += 9 * NS_PER_S;
    crowd_inject(w, &a, packet, len);
    assert_int_equal(crowd_stats(w).begun, s.begun + 1);
    assert_int_equal(crowd_stats(w).unproven, s.unproven);
    crowd_inject(w, &a, packet, len); /* replayed: it is the same connection */
    assert_int_equal(crowd_stats(w).begun, s.begun + 1);
    w->now_ns += 2 * NS_PER_S;
    quic_endpoint_free(w->hub);
    crowd_start_hub(w);
    crowd_inject(w, &a, packet, len);
    assert_int_equal(w->drops.n[DROP_BAD_TOKEN], 4); /* the secret is this process's */
    assert_int_equal(crowd_stats(w).begun, 0);
    crowd_free(w);
}

static void tokens_expire(void **state)
{
    uint8_t packet[CROWD_PAYLOAD];
    struct net_addr a = edge_addr(0);
    struct crowd *w = start();
    size_t len;

    knock(w, 64);
    len = token_packet(w, packet);
    w->now_ns += 11 * NS_PER_S;
    crowd_inject(w, &a, packet, len);
    assert_int_equal(w->drops.n[DROP_BAD_TOKEN], 1);
    crowd_free(w);
}

/* --- crowds ---------------------------------------------------------------------------- */

static unsigned ups(const struct crowd *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n; i++)
        n += w->client[i].ups;
    return n;
}

/* A thousand clients behind one address, all at the same instant. */
static void a_thousand_behind_one_nat(void **state)
{
    struct crowd *w = start();

    for (unsigned i = 0; i < CROWD_MAX; i++) {
        struct net_addr a = edge_addr(i);

        crowd_join(w, &a);
    }
    crowd_run(w, 8000);
    assert_int_equal(ups(w), CROWD_MAX);
    assert_int_equal(w->ups, CROWD_MAX);
    assert_int_equal(w->downs, 0);
    assert_true(crowd_stats(w).retried >= CROWD_MAX - 64);
    crowd_free(w);
}

static void a_thousand_from_everywhere(void **state)
{
    struct crowd *w = start();

    for (unsigned i = 0; i < CROWD_MAX; i++) {
        struct net_addr a = spoofed(i);

        crowd_join(w, &a);
    }
    crowd_run(w, 3500);
    assert_int_equal(ups(w), CROWD_MAX);
    crowd_free(w);
}

/* A hundred hosts who all prove their addresses get no more handshakes together than the hub
 * spares: twenty at once, then twenty a second. Those who wait send again. */
static void all_together_have_a_rate(void **state)
{
    struct crowd *w = crowd_new(1);

    w->opts.retry_always = true;
    w->opts.handshake_rate = 20;
    crowd_start_hub(w);
    for (unsigned i = 0; i < 100; i++) {
        struct net_addr a = spoofed(i);

        crowd_join(w, &a);
    }
    crowd_run(w, 500);
    assert_int_equal(crowd_stats(w).retried, 100);
    assert_in_range(crowd_stats(w).begun, 20, 30);
    assert_in_range(w->drops.n[DROP_SOURCE_LIMIT], 70, 200);
    crowd_run(w, 1500);
    assert_in_range(crowd_stats(w).begun, 21, 20 + 2 * 20);
    assert_int_equal(crowd_stats(w).completed, crowd_stats(w).begun);
    assert_int_equal(w->downs, 0);
    crowd_free(w);
}

/* The hub's process is another one: whoever says something is told so, within seconds, though all
 * are behind one NAT. */
static void resets_reach_a_thousand(void **state)
{
    unsigned reset = 0;
    struct crowd *w = start();

    for (unsigned i = 0; i < CROWD_MAX; i++) {
        struct net_addr a = edge_addr(i);

        crowd_join(w, &a);
    }
    crowd_run(w, 8000);
    assert_int_equal(ups(w), CROWD_MAX);
    quic_endpoint_free(w->hub);
    crowd_start_hub(w);
    crowd_run(w, 10000); /* each one's keepalive falls into this time */
    crowd_run(w, 5000);
    for (unsigned i = 0; i < CROWD_MAX; i++)
        reset += w->client[i].downs && w->client[i].why.fail == QUIC_FAIL_RESET;
    assert_int_equal(reset, CROWD_MAX);
    assert_in_range(crowd_stats(w).resets, CROWD_MAX, CROWD_MAX + 500);
    crowd_free(w);
}

/* --- amplification --------------------------------------------------------------------- */

/* Whoever sends one first packet under another's name makes the hub send him three times that, and
 * no more (RFC 9000, 8.1), however long. */
static void no_more_than_three_times(void **state)
{
    uint8_t initial[CROWD_PAYLOAD];
    struct net_addr from = spoofed(0);
    struct crowd *w = start();
    size_t len = crowd_initial(w, 1, initial);

    crowd_inject(w, &from, initial, len);
    crowd_run(w, 20000);
    assert_true(w->lost_bytes > 1200); /* hello and certificate, again and again */
    assert_true(w->lost_bytes <= 3 * len);
    assert_int_equal(crowd_stats(w).lanes, 0);
    crowd_free(w);
}

/* The same when the handshake fails: the close counts, and so do the packets that come after. */
static void a_close_is_no_amplifier(void **state)
{
    uint8_t initial[CROWD_PAYLOAD], junk[64] = {0};
    struct net_addr from = spoofed(0);
    struct crowd *w = start();
    size_t len = crowd_initial(w, 1, initial), sent = len;

    crowd_inject(w, &from, initial, len);
    crowd_run(w, 30);
    quic_endpoint_shutdown(w->hub, w->now_ns, 0x100);
    memcpy(junk, initial, 7 + initial[5] + 1); /* long header and connection IDs of this one */
    for (unsigned i = 0; i < 2000; i++) {
        crowd_inject(w, &from, junk, 30);
        sent += 30;
        crowd_run(w, 1);
    }
    crowd_run(w, 5000);
    assert_true(w->lost_bytes <= 3 * sent);
    assert_true(w->lost < 20);
    crowd_free(w);
}

/* --- junk ------------------------------------------------------------------------------ */

/* Looks like a first packet, but is encrypted with nothing that we know: not a word, and nothing is
 * kept of it. */
static void silence_to_first_packets_of_junk(void **state)
{
    static const uint8_t head[] = {0xc3, 0, 0, 0, 1, 8};
    struct crowd *w = start();
    uint8_t junk[1200];

    for (unsigned i = 0; i < 30; i++) {
        struct net_addr from = spoofed(i);

        rng_bytes(&w->rng, junk, sizeof(junk));
        memcpy(junk, head, sizeof(head));
        junk[14] = 8; /* length of the source connection ID */
        junk[23] = 0; /* of the token */
        store_be16(junk + 24, 0x4000 | (sizeof(junk) - 26)); /* and of the rest */
        crowd_inject(w, &from, junk, sizeof(junk));
    }
    assert_int_equal(crowd_stats(w).junk, 30);
    assert_int_equal(crowd_stats(w).lanes, 0);
    assert_int_equal(w->drops.n[DROP_NOT_QUIC], 30);
    crowd_run(w, 5000);
    assert_int_equal(w->lost, 0);
    assert_int_equal(w->refused, 0);
    crowd_free(w);
}

/* Whatever a stranger invents, he gets less than he sends. */
static void less_for_more(void **state)
{
    struct crowd *w = start();
    struct net_addr from = edge_addr(0);
    uint8_t junk[1300];
    uint64_t sent = 0;

    for (unsigned i = 0; i < 20000; i++) {
        size_t len = rng_below(&w->rng, sizeof(junk));

        rng_bytes(&w->rng, junk, len);
        if (i % 4 == 0)
            len = MIN(len, (size_t)60);
        crowd_inject(w, &from, junk, len);
        sent += len;
        if (i % 2)
            crowd_run(w, 1);
    }
    crowd_run(w, 5000);
    assert_true(w->lost_bytes * 10 < sent);
    assert_true(crowd_stats(w).resets <= 500 * 15 + 1000);
    assert_true(crowd_stats(w).version_negotiations <= 100 * 10 + 100);
    assert_true(crowd_stats(w).unanswered > 0);
    assert_int_equal(crowd_stats(w).lanes, 0);
    crowd_free(w);
}

/* A reset is shorter than what it answers, so that two who do not know each other come to an end.
 */
static void resets_do_not_play_ping_pong(void **state)
{
    struct net_addr from = edge_addr(0);
    struct crowd *w = start();
    uint8_t packet[100];

    for (size_t len = 1; len < sizeof(packet); len++) {
        uint64_t lost = w->lost;

        rng_bytes(&w->rng, packet, len);
        packet[0] = 0x40;
        crowd_inject(w, &from, packet, len);
        crowd_run(w, CROWD_DELAY_MS + 2);
        assert_int_equal(w->lost - lost, len >= 22);
        if (len >= 22)
            assert_true(w->lost_len < len && w->lost_len >= 21);
    }
    crowd_free(w);
}

/* Two instances with one certificate have one reset secret. What one says about a connection ID
 * that belongs to the other must not end that one's connection. */
static void a_reset_holds_for_one_address_and_port(void **state)
{
    struct net_addr from = edge_addr(5);
    uint8_t packet[60] = {0x40}, first[60];
    struct crowd *w = start();

    crowd_inject(w, &from, packet, sizeof(packet));
    crowd_run(w, CROWD_DELAY_MS + 2);
    memcpy(first, w->lost_data, w->lost_len);
    crowd_inject(w, &from, packet, sizeof(packet));
    crowd_run(w, CROWD_DELAY_MS + 2);
    assert_memory_equal(first + w->lost_len - 16, w->lost_data + w->lost_len - 16, 16);
    for (unsigned i = 0; i < 2; i++) {
        w->hub_addr = i ? net_addr_lit("192.0.2.2", 443) : net_addr_lit("192.0.2.1", 444);
        crowd_inject(w, &from, packet, sizeof(packet));
        crowd_run(w, CROWD_DELAY_MS + 2);
        assert_memory_not_equal(first + w->lost_len - 16, w->lost_data + w->lost_len - 16, 16);
    }
    crowd_free(w);
}

/* --- the connected --------------------------------------------------------------------- */

/* Ten thousand first packets a second, replayed, junk and under all kinds of addresses, for ten
 * seconds: nobody who is connected loses a packet, and somebody new still gets in. */
static void the_connected_do_not_notice(void **state)
{
    struct net_addr a = edge_addr(0), b = net_addr_lit("203.0.113.9", 999);
    static uint8_t initial[200][CROWD_PAYLOAD];
    struct crowd *w = start();
    struct client *c = crowd_join(w, &a), *late = NULL;
    size_t len[200];

    crowd_run(w, 500);
    for (unsigned i = 0; i < 200; i++)
        len[i] = crowd_initial(w, i, initial[i]);
    for (unsigned ms = 0; ms < 10000; ms++) {
        for (unsigned k = 0; k < 10; k++) {
            unsigned n = rng_below(&w->rng, 200);
            struct net_addr from = k < 8 ? a : spoofed(rng_below(&w->rng, 5000));

            if (rng_below(&w->rng, 4) == 0)
                initial[n][6 + rng_below(&w->rng, 1000)] ^= 1;
            crowd_inject(w, &from, initial[n], len[n]);
        }
        if (ms == 2000)
            late = crowd_join(w, &b);
        crowd_run(w, 1);
    }
    assert_int_equal(c->downs, 0);
    assert_int_equal(w->downs, 0);
    assert_int_equal(late->ups, 1);
    assert_int_equal(w->ups, 2);
    assert_true(crowd_stats(w).handshakes <= 72);
    assert_true(crowd_stats(w).begun < 2000);
    crowd_run(w, 20000);
    assert_int_equal(crowd_stats(w).lanes, 2);
    assert_int_equal(c->downs + late->downs, 0);
    crowd_free(w);
}

/* When all places for handshakes are taken, nobody else gets one, and those who are up stay. */
static void handshakes_have_a_bound(void **state)
{
    struct crowd *w = crowd_new(1);
    struct net_addr a = edge_addr(0);
    struct client *c;

    w->opts.max_handshakes = 16;
    crowd_start_hub(w);
    c = crowd_join(w, &a);
    crowd_run(w, 200);
    knock(w, 40);
    assert_int_equal(crowd_stats(w).handshakes, 16);
    assert_int_equal(w->drops.n[DROP_QUIC_LIMIT], 24);
    assert_int_equal(crowd_stats(w).refused, 24);
    crowd_run(w, 15000);
    assert_int_equal(c->downs, 0);
    assert_int_equal(crowd_stats(w).lanes, 1);
    crowd_free(w);
}

/* Those who hold the places and do nothing lose them to whoever comes, after two seconds. */
static void the_stalled_make_room(void **state)
{
    struct net_addr a = edge_addr(0), b = edge_addr(1);
    struct crowd *w = crowd_new(1);
    struct client *first, *second;

    w->opts.max_handshakes = 16;
    crowd_start_hub(w);
    knock(w, 16);
    first = crowd_join(w, &a);
    crowd_run(w, 1900);
    assert_int_equal(first->ups, 0);
    crowd_run(w, 2000);
    assert_int_equal(first->ups, 1);
    second = crowd_join(w, &b);
    crowd_run(w, 500);
    assert_int_equal(second->ups, 1);
    assert_int_equal(crowd_stats(w).handshakes, 15);
    assert_int_equal(first->downs + second->downs, 0);
    crowd_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_times_need_no_retry),
        cmocka_unit_test(retry_when_many_handshakes_are_open),
        cmocka_unit_test(retry_costs_no_state),
        cmocka_unit_test(one_source_is_sent_back_earlier),
        cmocka_unit_test(tokens_hold_for_one_address_and_ten_seconds),
        cmocka_unit_test(tokens_expire),
        cmocka_unit_test(a_thousand_behind_one_nat),
        cmocka_unit_test(a_thousand_from_everywhere),
        cmocka_unit_test(all_together_have_a_rate),
        cmocka_unit_test(resets_reach_a_thousand),
        cmocka_unit_test(no_more_than_three_times),
        cmocka_unit_test(a_close_is_no_amplifier),
        cmocka_unit_test(silence_to_first_packets_of_junk),
        cmocka_unit_test(less_for_more),
        cmocka_unit_test(resets_do_not_play_ping_pong),
        cmocka_unit_test(a_reset_holds_for_one_address_and_port),
        cmocka_unit_test(the_connected_do_not_notice),
        cmocka_unit_test(handshakes_have_a_bound),
        cmocka_unit_test(the_stalled_make_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
