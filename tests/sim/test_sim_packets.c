/* IP packets through a whole tunnel, edge to hub and back: what arrives, what is answered, what is
 * dropped and under which name. */
#include "peers.h"

#include "packet/ip.h"

static uint64_t all_drops(const struct host *h)
{
    uint64_t n = 0;

    for (int i = 0; i < DROP_COUNT; i++)
        n += h->drops.n[i];
    return n;
}

static void expect_packet(const struct peers_taken *t, unsigned i, const uint8_t *data, size_t len)
{
    assert_true(i < t->n);
    assert_int_equal(t->pkt[i].len, len);
    assert_memory_equal(t->pkt[i].data, data, len);
}

/* The path MTU is known; nothing was counted before the test begins. */
static struct peers *begin(uint64_t seed)
{
    struct peers *w = peers_up(seed, 20);

    sim_run_for(w->sim, NS_PER_S);
    assert_int_equal(all_drops(w->hub_host), 0);
    assert_int_equal(all_drops(w->edge[0].host), 0);
    return w;
}

static void packets_arrive_as_they_were(void **state)
{
    static const size_t sizes[] = {28, 29, 100, 576, 1280, 1437, 1438};
    struct peers *w = begin(1);
    struct peers_edge *e = &w->edge[0];
    uint8_t p[1500];
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        for (int v6 = 0; v6 < 2; v6++) {
            size_t len = MAX(sizes[i], v6 ? 48u : 28u);

            peers_packet(p, v6 ? "fd00:1::1" : "10.200.1.1", v6 ? "2001:db8::9" : "192.0.2.9", len,
                         i % 2);
            peers_edge_send(w, 0, p, len);
            sim_run_for(w->sim, 20 * NS_PER_MS);
            expect_packet(&w->taken, n, p, len);
            peers_packet(p, v6 ? "2001:db8::9" : "192.0.2.9", v6 ? "fd00:1::1" : "10.200.1.1", len,
                         i % 2);
            peers_hub_send(w, p, len);
            sim_run_for(w->sim, 20 * NS_PER_MS);
            expect_packet(&e->taken, n, p, len);
            n++;
        }
    }
    assert_int_equal(w->taken.n, n);
    assert_int_equal(e->taken.n, n);
    assert_int_equal(edge_session(e->edge)->stats.tx_packets, n);
    assert_int_equal(hub_totals(w->hub).rx_packets, n);
    assert_int_equal(all_drops(w->hub_host) + all_drops(e->host), 0);
    peers_free(w);
}

static void order_is_kept(void **state)
{
    struct peers *w = begin(2);
    uint8_t p[200];

    for (unsigned i = 0; i < PEERS_PKTS_MAX; i++) {
        peers_packet(p, "10.200.1.1", "10.200.1.2", 100 + i, false);
        peers_edge_queue(w, 0, p, 100 + i);
    }
    host_pump(w->edge[0].host);
    sim_run_for(w->sim, NS_PER_S);
    assert_int_equal(w->taken.n, PEERS_PKTS_MAX);
    for (unsigned i = 0; i < PEERS_PKTS_MAX; i++)
        assert_int_equal(w->taken.pkt[i].len, 100 + i);
    peers_free(w);
}

/* RFC 1191 and RFC 4443: the sender learns exactly what fits, and a packet of that size passes. */
static void too_big_is_answered_at_either_end(void **state)
{
    struct peers *w = begin(3);
    struct peers_edge *e = &w->edge[0];
    uint8_t p[1500];

    peers_edge_send(w, 0, p, peers_packet(p, "10.200.1.1", "192.0.2.9", 1439, true));
    assert_int_equal(e->taken.n, 1);
    assert_int_equal(e->taken.pkt[0].data[20], 3);
    assert_int_equal(load_be16(e->taken.pkt[0].data + 26), 1438);
    sim_run_for(w->sim, 10 * NS_PER_MS);
    peers_edge_send(w, 0, p, peers_packet(p, "fd00:1::1", "2001:db8::9", 1439, true));
    assert_int_equal(e->taken.n, 2);
    assert_int_equal(e->taken.pkt[1].data[40], 2);
    assert_int_equal(load_be16(e->taken.pkt[1].data + 46), 1438);
    assert_int_equal(e->host->drops.n[DROP_TOO_BIG], 2);

    peers_hub_send(w, p, peers_packet(p, "192.0.2.9", "10.200.1.1", 1500, true));
    assert_int_equal(w->taken.n, 1);
    assert_int_equal(load_be16(w->taken.pkt[0].data + 26), 1438);
    assert_memory_equal(w->taken.pkt[0].data + 16, "\xc0\0\x02\x09", 4);
    assert_int_equal(w->hub_host->drops.n[DROP_TOO_BIG], 1);
    assert_int_equal(edge_session(e->edge)->stats.too_big_answers, 2);
    peers_free(w);
}

static void ipv4_without_df_arrives_in_fragments(void **state)
{
    struct peers *w = begin(4);
    uint8_t p[1500], whole[1500];
    size_t got = 0;

    peers_packet(p, "10.200.1.1", "192.0.2.9", sizeof(p), false);
    peers_edge_send(w, 0, p, sizeof(p));
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *f = w->taken.pkt[i].data;
        size_t off = (load_be16(f + 6) & 0x1fff) * 8u, len = w->taken.pkt[i].len - 20;

        assert_true(w->taken.pkt[i].len <= 1438);
        assert_int_equal(!!(load_be16(f + 6) & 0x2000), i == 0);
        memcpy(whole + off, f + 20, len);
        got += len;
    }
    assert_int_equal(got, 1480);
    assert_memory_equal(whole, p + 20, got);
    assert_int_equal(all_drops(w->edge[0].host), 0);
    peers_free(w);
}

/* Both ends look, and each counts what it drops. */
static void what_must_not_cross(void **state)
{
    struct peers *w = begin(5);
    struct host *h = w->edge[0].host, *at_hub = w->hub_host;
    uint8_t p[100];

    peers_edge_send(w, 0, p, peers_packet(p, "169.254.0.1", "192.0.2.9", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "fe80::1", "fe80::2", sizeof(p), false));
    assert_int_equal(h->drops.n[DROP_LINK_LOCAL], 2);
    peers_edge_send(w, 0, p, peers_packet(p, "10.200.1.1", "224.0.0.251", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "fd00:1::1", "ff02::fb", sizeof(p), false));
    assert_int_equal(h->drops.n[DROP_MULTICAST], 2);
    memset(p, 0, sizeof(p));
    peers_edge_send(w, 0, p, sizeof(p));
    assert_int_equal(h->drops.n[DROP_NOT_IP], 1);

    peers_edge_send(w, 0, p, peers_packet(p, "10.200.1.2", "192.0.2.9", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "172.16.1.2", "192.0.2.9", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "fd00:1::3", "2001:db8::9", sizeof(p), false));
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(at_hub->drops.n[DROP_SOURCE], 3);

    peers_hub_send(w, p, peers_packet(p, "fe80::1", "fd00:1::1", sizeof(p), false));
    assert_int_equal(at_hub->drops.n[DROP_LINK_LOCAL], 1);
    assert_int_equal(all_drops(h), 5);
    assert_int_equal(all_drops(at_hub), 4);
    assert_int_equal(w->taken.n, 0);
    assert_int_equal(w->edge[0].taken.n, 0);
    peers_free(w);
}

static void prefixes_behind_the_peer_come_in(void **state)
{
    static const struct ip_prefix behind[2] = {{{4, {172, 16, 1, 0}}, 30},
                                               {{6, {0x20, 1, 0xd, 0xb8}}, 32}};
    struct peers *w = peers_new(6, 20);
    uint8_t p[100];

    w->hub_opts.policy.peer_prefixes = behind;
    w->hub_opts.policy.n_peer_prefixes = 2;
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    peers_edge_send(w, 0, p, peers_packet(p, "172.16.1.2", "192.0.2.9", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "2001:db8:1::7", "fd00:1::2", sizeof(p), false));
    peers_edge_send(w, 0, p, peers_packet(p, "172.16.1.4", "192.0.2.9", sizeof(p), false));
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 2);
    assert_int_equal(w->hub_host->drops.n[DROP_SOURCE], 1);
    peers_free(w);
}

/* The next peer does not inherit what the one before it might use. */
static void sources_end_with_the_peer(void **state)
{
    struct peers *w = peers_new(7, 20);
    uint8_t p[100];

    w->hub_opts.own[0] = peers_prefix("10.200.1.2/24");
    w->edge[0].opts.want[0] = peers_prefix("10.200.1.77/24");
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    peers_edge_send(w, 0, p, peers_packet(p, "10.200.1.77", "192.0.2.9", sizeof(p), false));
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 1);
    edge_shutdown(w->edge[0].edge, w->sim->now_ns);
    host_pump(w->edge[0].host);
    peers_start_edge(w, 1);
    assert_true(peers_wait_up(w, 1, 5 * NS_PER_S));
    peers_edge_send(w, 1, p, peers_packet(p, "10.200.1.77", "192.0.2.9", sizeof(p), false));
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 1);
    assert_int_equal(w->hub_host->drops.n[DROP_SOURCE], 1);
    peers_free(w);
}

/* A line that has gone: the queue takes a megabyte and refuses the rest, and what waits is
 * dropped when the tunnel ends. */
static void the_queue_does_not_grow(void **state)
{
    struct peers *w = peers_new(8, 20);
    struct peers_edge *e = &w->edge[0];
    uint8_t p[1400];
    size_t len = peers_packet(p, "10.200.1.1", "192.0.2.9", sizeof(p), false);
    const struct session *s;

    e->opts.quic.idle_timeout_ns = 10 * NS_PER_S;
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 5 * NS_PER_S));
    s = edge_session(e->edge);
    link_set_on(w->wan.up, false);
    for (unsigned i = 0; i < 2000; i++) {
        peers_edge_send(w, 0, p, len);
        sim_run_for(w->sim, NS_PER_MS);
    }
    assert_true(s->queue.bytes <= SESSION_QUEUE_BYTES);
    assert_true(s->queue.bytes > SESSION_QUEUE_BYTES - sizeof(p));
    assert_true(e->host->drops.n[DROP_QUEUE_FULL] > 1000);
    assert_int_equal(s->queue.n + s->stats.tx_packets + e->host->drops.n[DROP_QUEUE_FULL], 2000);
    assert_true(peers_wait_state(w, 0, EDGE_PAUSE, 30 * NS_PER_S));
    assert_int_equal(s->queue.n, 0);
    assert_true(e->host->drops.n[DROP_NO_SESSION] > 700);
    peers_free(w);
}

/* More packets than buffers: dropped and counted, and all buffers come back. */
static void an_empty_pool_is_counted(void **state)
{
    struct peers *w = begin(9);
    struct pkt *hoard[PEERS_PKTS + 1];
    uint8_t p[100];
    size_t len = peers_packet(p, "10.200.1.1", "10.200.1.2", sizeof(p), false);
    unsigned n = 0;

    while ((hoard[n] = pkt_new(w->hub_host->pool, 100)))
        n++;
    peers_edge_send(w, 0, p, len);
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 0);
    assert_int_equal(w->hub_host->drops.n[DROP_NO_BUFFER], 1);
    while (n > 0)
        pkt_free(w->hub_host->pool, hoard[--n]);
    peers_edge_send(w, 0, p, len);
    sim_run_for(w->sim, 20 * NS_PER_MS);
    assert_int_equal(w->taken.n, 1);
    peers_free(w);
}

/* A narrow line: what fits is told at both ends, and exactly that passes. */
static void the_mtu_follows_the_path(void **state)
{
    struct peers *w = peers_new(10, 20);
    uint8_t p[1500];

    link_set_mtu(w->wan.up, 1400);
    link_set_mtu(w->wan.down, 1400);
    peers_start_hub(w);
    peers_start_edge(w, 0);
    assert_true(peers_wait_up(w, 0, 20 * NS_PER_S));
    /* 1400 less IP and UDP (28), QUIC (32) and the prefix (2) is 1338; the search stops nearby. */
    assert_in_range(w->edge[0].packet_max, 1280, 1338);
    assert_in_range(w->packet_max, 1280, 1338);
    peers_edge_send(w, 0, p,
                    peers_packet(p, "fd00:1::1", "2001:db8::9", w->edge[0].packet_max, true));
    peers_hub_send(w, p, peers_packet(p, "2001:db8::9", "fd00:1::1", w->packet_max, true));
    sim_run_for(w->sim, 100 * NS_PER_MS);
    assert_int_equal(w->taken.n, 1);
    assert_int_equal(w->edge[0].taken.n, 1);
    peers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_arrive_as_they_were),
        cmocka_unit_test(order_is_kept),
        cmocka_unit_test(too_big_is_answered_at_either_end),
        cmocka_unit_test(ipv4_without_df_arrives_in_fragments),
        cmocka_unit_test(what_must_not_cross),
        cmocka_unit_test(prefixes_behind_the_peer_come_in),
        cmocka_unit_test(sources_end_with_the_peer),
        cmocka_unit_test(the_queue_does_not_grow),
        cmocka_unit_test(an_empty_pool_is_counted),
        cmocka_unit_test(the_mtu_follows_the_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
