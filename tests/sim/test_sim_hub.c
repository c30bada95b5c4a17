/* A hub with several peers: who may come, which addresses and sources they have, which packets find
 * whom, and what a new policy changes. */
#include "peers.h"

#include <errno.h>

/* The line of peers.h with a hub for many: 10.200.1.0/24 and fd00:1::/64. */
static struct peers *many_new(uint64_t seed)
{
    static const char *const names[] = {"a", "b", "c"};
    struct peers *w = peers_new(seed, 20);

    w->hub_opts.own[0] = peers_prefix("10.200.1.254/24");
    w->hub_opts.own[1] = peers_prefix("fd00:1::fe/64");
    w->hub_opts.policy.multi = true;
    w->hub_opts.plain = false;
    for (unsigned i = 0; i < PEERS_EDGES; i++) {
        struct peers_edge *e = &w->edge[i];

        e->tls.name = names[i];
        e->opts.instance = "mpq";
        e->opts.n_want = 0;
    }
    return w;
}

static bool is_settled(void *user)
{
    const struct peers_edge *e = user;

    return edge_state(e->edge) == EDGE_UP && e->n_assigned && e->packet_max;
}

static void edge_up(struct peers *w, unsigned i)
{
    w->edge[i].n_assigned = 0;
    w->edge[i].packet_max = 0;
    if (!w->edge[i].edge)
        peers_start_edge(w, i);
    assert_true(sim_run_cond(w->sim, 5 * NS_PER_S, is_settled, &w->edge[i]));
    sim_run_for(w->sim, 500 * NS_PER_MS);
}

/* Hub and n edges, up one after the other: 10.200.1.1, .2, .3 and fd00:1::1, ::2, ::3. */
static struct peers *many_up(struct peers *w, unsigned n)
{
    peers_start_hub(w);
    for (unsigned i = 0; i < n; i++)
        edge_up(w, i);
    return w;
}

static const char *address_of(const struct peers *w, unsigned i, uint8_t family)
{
    static char buf[IP_ADDR_STR_MAX];
    const struct capsule_addrs *a = &w->edge[i].assigned;

    for (unsigned k = 0; k < a->n; k++)
        if (a->v[k].prefix.addr.family == family && !assigned_addr_is_refusal(&a->v[k]))
            return ip_addr_str(&a->v[k].prefix.addr, buf);
    return "none";
}

static void send_up(struct peers *w, unsigned i, const char *src, const char *dst)
{
    uint8_t p[100];

    peers_edge_send(w, i, p, peers_packet(p, src, dst, sizeof(p), false));
    sim_run_for(w->sim, 50 * NS_PER_MS);
}

static void send_down(struct peers *w, const char *src, const char *dst)
{
    uint8_t p[100];

    peers_hub_send(w, p, peers_packet(p, src, dst, sizeof(p), false));
    sim_run_for(w->sim, 50 * NS_PER_MS);
}

static uint64_t drops(const struct peers *w, enum drop_reason why)
{
    return w->hub_host->drops.n[why];
}

static void stop_edge(struct peers *w, unsigned i)
{
    edge_shutdown(w->edge[i].edge, w->sim->now_ns);
    host_pump(w->edge[i].host);
    sim_run_for(w->sim, 100 * NS_PER_MS);
    peers_kill_edge(w, i);
}

static bool info_of(const struct peers *w, const char *id, struct hub_peer_info *ret)
{
    char buf[HUB_ID_STR_MAX];

    for (unsigned i = 0; i < hub_peers(w->hub); i++)
        if (hub_peer_info(w->hub, i, ret) && !strcmp(hub_peer_id_str(&ret->id, buf), id))
            return true;
    return false;
}

/* --- packets find their peer ----------------------------------------------------------------- */

static void each_peer_has_its_own(void **state)
{
    struct peers *w = many_up(many_new(1), 3);
    struct hub_peer_info info = {.n_addr = 0};

    assert_int_equal(hub_peers(w->hub), 3);
    assert_string_equal(address_of(w, 0, 4), "10.200.1.1");
    assert_string_equal(address_of(w, 1, 4), "10.200.1.2");
    assert_string_equal(address_of(w, 2, 6), "fd00:1::3");
    send_down(w, "192.0.2.1", "10.200.1.2");
    send_down(w, "2001:db8::1", "fd00:1::3");
    send_down(w, "192.0.2.1", "10.200.1.9"); /* nobody's */
    send_down(w, "192.0.2.1", "203.0.113.1");
    send_down(w, "fe80::1", "ff02::1");
    assert_int_equal(w->edge[0].taken.n, 0);
    assert_int_equal(w->edge[1].taken.n, 1);
    assert_int_equal(w->edge[2].taken.n, 1);
    assert_int_equal(drops(w, DROP_NO_PEER), 2);
    assert_int_equal(drops(w, DROP_LINK_LOCAL), 1);
    send_up(w, 0, "10.200.1.1", "192.0.2.1");
    send_up(w, 2, "fd00:1::3", "2001:db8::1");
    assert_int_equal(w->taken.n, 2);
    assert_true(info_of(w, "b/mpq", &info));
    assert_int_equal(info.n_addr, 2);
    assert_int_equal(info.session.tx_packets, 1);
    assert_int_equal(info.packet_max, 1438);
    assert_true(net_addr_equal(&info.remote, &w->edge[1].addr));
    assert_int_equal(hub_totals(w->hub).rx_packets, 2);
    peers_kill_edge(w, 2);
    sim_run_for(w->sim, 40 * NS_PER_S); /* until its connection has timed out */
    assert_int_equal(hub_peers(w->hub), 2);
    assert_int_equal(hub_kept(w->hub), 1);
    send_down(w, "192.0.2.1", "10.200.1.3"); /* it might come back soon */
    sim_run_for(w->sim, 3 * NS_PER_S);
    assert_int_equal(drops(w, DROP_STALE), 1);
    sim_run_for(w->sim, 300 * NS_PER_S);
    assert_int_equal(hub_kept(w->hub), 0);
    send_down(w, "192.0.2.1", "10.200.1.3");
    assert_int_equal(drops(w, DROP_NO_PEER), 3);
    assert_int_equal(hub_totals(w->hub).rx_packets, 2); /* also of those that are gone */
    peers_free(w);
}

static void forged_sources_are_dropped(void **state)
{
    static const char *const forged[] = {
        "10.200.1.2",   /* another peer's */
        "10.200.1.254", /* the hub's */
        "10.200.1.77",  /* nobody's, of the pool */
        "192.0.2.1",    "127.0.0.1", "0.0.0.0", "255.255.255.255",
    };
    struct peers *w = many_up(many_new(2), 2);
    struct hub_peer_id id;
    struct hub_peer_info info = {.n_addr = 0};
    struct ip_addr src;
    char buf[IP_ADDR_STR_MAX];

    assert_false(hub_bad_source(w->hub, &id, &src));
    for (unsigned i = 0; i < ARRAY_LEN(forged); i++) {
        send_up(w, 0, forged[i], "192.0.2.9");
        assert_int_equal(drops(w, DROP_SOURCE), i + 1);
        assert_true(hub_bad_source(w->hub, &id, &src));
        assert_string_equal(id.name, "a");
        assert_string_equal(ip_addr_str(&src, buf), forged[i]);
    }
    send_up(w, 0, "fd00:1::2", "2001:db8::1");
    assert_int_equal(drops(w, DROP_SOURCE), ARRAY_LEN(forged) + 1);
    assert_int_equal(w->taken.n, 0);
    assert_true(info_of(w, "a/mpq", &info));
    assert_int_equal(info.bad_sources, ARRAY_LEN(forged) + 1);
    assert_true(info_of(w, "b/mpq", &info));
    assert_int_equal(info.bad_sources, 0);
    peers_free(w);
}

static void peer_to_peer_is_policy(void **state)
{
    struct peers *w = many_up(many_new(3), 2);
    struct hub_policy p = w->hub_opts.policy;

    send_up(w, 0, "10.200.1.1", "10.200.1.2");
    send_up(w, 1, "fd00:1::2", "fd00:1::1");
    assert_int_equal(drops(w, DROP_PEER_TO_PEER), 2);
    assert_int_equal(w->taken.n, 0);
    p.peer_to_peer = true;
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    send_up(w, 0, "10.200.1.1", "10.200.1.2");
    assert_int_equal(w->taken.n, 1); /* to the TUN, not past it */
    assert_int_equal(w->edge[1].taken.n, 0);
    peers_hub_send(w, w->taken.pkt[0].data, w->taken.pkt[0].len); /* the kernel sends it back */
    sim_run_for(w->sim, 50 * NS_PER_MS);
    assert_int_equal(w->edge[1].taken.n, 1);
    assert_int_equal(hub_peers(w->hub), 2);
    peers_free(w);
}

/* --- what lies behind a peer -------------------------------------------------------------------
 */

static void networks_behind_a_peer(void **state)
{
    static const struct ip_prefix lan = {.addr = {4, {172, 16, 5, 0}}, .len = 24};
    struct hub_rule rule = {.name = "a", .prefix = {lan}, .n_prefix = 1};
    struct peers *w = many_new(4);
    struct hub_peer_info info = {.n_addr = 0};

    w->hub_opts.policy.rules = &rule;
    w->hub_opts.policy.n_rules = 1;
    many_up(w, 2);
    send_up(w, 0, "172.16.5.9", "192.0.2.1");
    assert_int_equal(w->taken.n, 1);
    send_up(w, 1, "172.16.5.9", "192.0.2.1");
    send_up(w, 0, "172.16.6.9", "192.0.2.1");
    assert_int_equal(drops(w, DROP_SOURCE), 2);
    send_down(w, "192.0.2.1", "172.16.5.200");
    assert_int_equal(w->edge[0].taken.n, 1);
    assert_true(info_of(w, "a/mpq", &info));
    assert_int_equal(info.n_prefix, 1);
    stop_edge(w, 0);
    send_down(w, "192.0.2.1", "172.16.5.200");
    assert_int_equal(drops(w, DROP_NO_PEER), 1);
    peers_free(w);
}

/* Of several instances under one rule the first one has the network; when it goes, the next. */
static void a_network_is_handed_on(void **state)
{
    static const struct ip_prefix lan = {.addr = {4, {172, 16, 5, 0}}, .len = 24};
    struct hub_rule rule = {.name = "a", .prefix = {lan}, .n_prefix = 1};
    struct peers *w = many_new(5);

    w->hub_opts.policy.rules = &rule;
    w->hub_opts.policy.n_rules = 1;
    w->edge[1].tls.name = "a";
    w->edge[1].opts.instance = "second";
    many_up(w, 2);
    send_up(w, 1, "172.16.5.9", "192.0.2.1");
    assert_int_equal(drops(w, DROP_SOURCE_TAKEN), 1);
    stop_edge(w, 0);
    send_up(w, 1, "172.16.5.9", "192.0.2.1");
    assert_int_equal(w->taken.n, 1);
    send_down(w, "192.0.2.1", "172.16.5.9");
    assert_int_equal(w->edge[1].taken.n, 1);
    peers_free(w);
}

static void addresses_behind_peers_are_learned(void **state)
{
    struct ip_prefix range[2] = {peers_prefix("172.16.0.0/12"), peers_prefix("10.0.0.0/8")};
    struct peers *w = many_new(6);
    struct hub_peer_info info = {.n_addr = 0};

    w->hub_opts.policy.peer_prefixes = range;
    w->hub_opts.policy.n_peer_prefixes = 2;
    many_up(w, 2);
    send_down(w, "192.0.2.1", "172.16.5.9");
    assert_int_equal(drops(w, DROP_NO_PEER), 1); /* not yet */
    send_up(w, 0, "172.16.5.9", "192.0.2.1");
    send_down(w, "192.0.2.1", "172.16.5.9");
    assert_int_equal(w->edge[0].taken.n, 1);
    send_up(w, 1, "172.16.5.9", "192.0.2.1"); /* it is a's */
    assert_int_equal(drops(w, DROP_SOURCE_TAKEN), 1);
    send_up(w, 1, "10.200.1.1", "192.0.2.1");  /* a's own, inside the range */
    send_up(w, 1, "10.200.1.50", "192.0.2.1"); /* the pool is not learned */
    send_up(w, 1, "192.168.1.1", "192.0.2.1"); /* outside */
    assert_int_equal(drops(w, DROP_SOURCE), 3);
    send_up(w, 1, "10.7.0.1", "192.0.2.1");
    assert_true(info_of(w, "b/mpq", &info));
    assert_int_equal(info.n_learned, 1);
    sim_run_for(w->sim, 301 * NS_PER_S);
    send_up(w, 1, "172.16.5.9", "192.0.2.1"); /* it has not been used for five minutes */
    send_down(w, "192.0.2.1", "172.16.5.9");
    assert_int_equal(w->edge[1].taken.n, 1);
    assert_int_equal(w->taken.n, 3);
    stop_edge(w, 1); /* and its holder is gone: at once */
    send_up(w, 0, "172.16.5.9", "192.0.2.1");
    assert_int_equal(w->taken.n, 4);
    peers_free(w);
}

/* --- who comes and goes ------------------------------------------------------------------------
 */

static void instances_of_one_certificate_live_side_by_side(void **state)
{
    struct peers *w = many_new(7);
    static const char *const instance[] = {"cr5", "df5", "bk5"};

    for (unsigned i = 0; i < 3; i++) {
        w->edge[i].tls.name = "site";
        w->edge[i].opts.instance = instance[i];
    }
    many_up(w, 3);
    sim_run_for(w->sim, 60 * NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 3);
    assert_int_equal(w->ups, 3);
    assert_int_equal(w->downs, 0);
    for (unsigned i = 0; i < 3; i++)
        send_down(w, "192.0.2.1", (const char *[]){"10.200.1.1", "10.200.1.2", "10.200.1.3"}[i]);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(w->edge[i].taken.n, 1);
    peers_free(w);
}

/* The same name and instance from another address: at once, with its address and what was learned
 * behind it. The others notice nothing. */
static void a_peer_takes_its_place_over(void **state)
{
    struct ip_prefix range = peers_prefix("172.16.0.0/12");
    struct peers *w = many_new(8);

    w->hub_opts.policy.peer_prefixes = &range;
    w->hub_opts.policy.n_peer_prefixes = 1;
    many_up(w, 2);
    send_up(w, 0, "172.16.5.9", "192.0.2.1");
    peers_kill_edge(w, 0); /* the hub does not know */
    w->edge[2].tls.name = "a";
    edge_up(w, 2);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_int_equal(w->downs, 1);
    assert_string_equal(w->down_why, "a/mpq: the same peer has connected again");
    assert_string_equal(address_of(w, 2, 4), "10.200.1.1");
    send_down(w, "192.0.2.1", "172.16.5.9");
    send_down(w, "192.0.2.1", "10.200.1.1");
    assert_int_equal(w->edge[2].taken.n, 2);
    sim_run_for(w->sim, 60 * NS_PER_S);
    assert_int_equal(w->downs, 1);
    assert_int_equal(edge_state(w->edge[1].edge), EDGE_UP);
    peers_free(w);
}

static void an_address_is_kept_for_an_absent_peer(void **state)
{
    struct peers *w = many_up(many_new(9), 2);

    stop_edge(w, 0);
    stop_edge(w, 1);
    edge_up(w, 2);
    assert_string_equal(address_of(w, 2, 4), "10.200.1.3");
    edge_up(w, 1); /* a new process: it asks for any */
    assert_string_equal(address_of(w, 1, 4), "10.200.1.2");
    assert_string_equal(address_of(w, 1, 6), "fd00:1::2");
    assert_int_equal(hub_leases(w->hub), 6);
    peers_free(w);
}

/* Each time as another process, with another session. */
static void who_stops_and_starts_contests_nothing(void **state)
{
    struct peers *w = many_up(many_new(241), 1);

    for (unsigned i = 0; i < 2 * HUB_CONTESTED; i++) {
        stop_edge(w, 0);
        edge_up(w, 0);
    }
    assert_int_equal(w->n_contested, 0);
    peers_free(w);
}

static void who_is_gone_is_remembered_until_it_returns(void **state)
{
    struct peers *w = many_up(many_new(240), 2);
    struct hub_absent_info info;

    assert_int_equal(hub_absentees(w->hub), 0);
    assert_false(hub_absent_info(w->hub, 0, &info));
    w->tls_hub.ending = "b";
    w->tls_hub.ending_s = 5000;
    stop_edge(w, 1);
    assert_int_equal(hub_absentees(w->hub), 1);
    assert_true(hub_absent_info(w->hub, 0, &info));
    assert_string_equal(info.id.name, "b");
    assert_string_equal(info.id.instance, "mpq");
    assert_in_range(info.gone_ns, w->sim->now_ns - NS_PER_S, w->sim->now_ns);
    assert_int_equal(info.cert_until_s, 5000);
    assert_true(*info.why);
    assert_int_equal(net_addr_port(&info.remote), net_addr_port(&w->edge[1].addr));
    edge_up(w, 1);
    assert_int_equal(hub_absentees(w->hub), 0);
    peers_free(w);
}

static void an_exhausted_pool(void **state)
{
    struct ip_prefix pool = peers_prefix("10.200.1.8/31");
    struct peers *w = many_new(10);

    w->hub_opts.policy.pool = &pool;
    w->hub_opts.policy.n_pool = 1;
    many_up(w, 2);
    assert_string_equal(address_of(w, 0, 4), "10.200.1.8");
    assert_string_equal(address_of(w, 1, 4), "10.200.1.9");
    assert_string_equal(address_of(w, 1, 6), "none");
    peers_start_edge(w, 2);
    sim_run_for(w->sim, 20 * NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_string_equal(w->refused_why, "c/mpq: no address is left for another peer");
    assert_int_equal(w->edge[2].n_failed, 0);
    stop_edge(w, 0); /* its address is idle now: nobody else has one to give */
    assert_true(peers_wait_state(w, 2, EDGE_UP, 21 * NS_PER_S));
    sim_run_for(w->sim, NS_PER_S);
    assert_string_equal(address_of(w, 2, 4), "10.200.1.8");
    peers_free(w);
}

static void a_wish_is_granted_when_it_can_be(void **state)
{
    struct hub_rule rule = {.name = "c", .addr = {{4, {10, 200, 1, 50}}}, .n_addr = 1};
    struct peers *w = many_new(11);

    w->hub_opts.policy.rules = &rule;
    w->hub_opts.policy.n_rules = 1;
    for (unsigned i = 0; i < 2; i++) {
        w->edge[i].opts.n_want = 1;
        w->edge[i].opts.want[0] = peers_prefix("10.200.1.40/24");
    }
    many_up(w, 3);
    assert_string_equal(address_of(w, 0, 4), "10.200.1.40");
    assert_string_equal(address_of(w, 1, 4), "10.200.1.1"); /* taken: another one */
    assert_string_equal(address_of(w, 2, 4), "10.200.1.50");
    stop_edge(w, 1);
    w->edge[1].opts.want[0] = peers_prefix("10.200.1.50/24");
    edge_up(w, 1);
    assert_string_equal(address_of(w, 1, 4), "10.200.1.1"); /* fixed for another */
    stop_edge(w, 0);
    stop_edge(w, 1);
    w->edge[1].opts.want[0] = peers_prefix("10.200.1.40/24");
    edge_up(w, 1);
    assert_string_equal(address_of(w, 1, 4), "10.200.1.1"); /* of one that may be back at once */
    stop_edge(w, 1);
    sim_run_for(w->sim, 60 * NS_PER_S);
    edge_up(w, 1);
    assert_string_equal(address_of(w, 1, 4), "10.200.1.40"); /* of one that is away */
    peers_free(w);
}

static void no_more_than_may_be(void **state)
{
    struct peers *w = many_new(12);

    w->hub_opts.policy.max_peers = 2;
    many_up(w, 2);
    peers_start_edge(w, 2);
    sim_run_for(w->sim, 60 * NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_string_equal(w->refused_why, "c/mpq: as many peers as may be are connected");
    assert_true(w->n_refused < 15); /* less and less often */
    assert_int_equal(w->downs, 0);
    peers_kill_edge(w, 0);
    peers_start_edge(w, 0); /* one of the two comes back: that is no third */
    assert_true(peers_wait_state(w, 0, EDGE_UP, NS_PER_S));
    peers_free(w);
}

/* --- sessions, and their lanes -----------------------------------------------------------------
 */

static int open_socket(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                       unsigned *ret_socket)
{
    struct peers_edge *e = user;
    struct ip_addr ip = net_addr_ip(&e->addr);

    *ret_local = net_addr_make(&ip, (uint16_t)(net_addr_port(&e->addr) + 100 * lane));
    for (*ret_socket = 1; *ret_socket < e->host->n_sockets; ++*ret_socket)
        if (net_addr_equal(&e->host->socket[*ret_socket].local, ret_local))
            return 0; /* from another time */
    *ret_socket = host_add_socket(e->host, ret_local, link_sink(e->world->wan.up));
    router_add(&e->world->wan.at_edge, ret_local, &e->host->socket[*ret_socket].sink);
    return 0;
}

static void let_open_lanes(struct peers *w, unsigned i, unsigned n)
{
    w->edge[i].opts.lane_socket = open_socket;
    w->edge[i].opts.min_lanes = n;
}

static unsigned lanes_of(const struct peers *w, const char *id)
{
    struct hub_peer_info info;

    return info_of(w, id, &info) ? info.n_lanes : 0;
}

/* Packets in both directions between edge i, which has that address, and the hub. */
static void assert_passes(struct peers *w, unsigned i, const char *addr)
{
    unsigned up = w->taken.n, down = w->edge[i].taken.n;

    for (unsigned k = 0; k < 5; k++) {
        send_up(w, i, addr, "10.200.1.254");
        send_down(w, "10.200.1.254", addr);
    }
    assert_int_equal(w->taken.n, up + 5);
    assert_int_equal(w->edge[i].taken.n, down + 5);
}

/* Peers that speak plain RFC 9484 beside one with several lanes, at one hub. */
static void plain_peers_beside_lanes(void **state)
{
    static const char *const addr[] = {"10.200.1.1", "10.200.1.2", "10.200.1.3"};
    struct peers *w = many_new(30);

    w->edge[0].opts.plain = w->edge[2].opts.plain = true;
    let_open_lanes(w, 1, 4);
    many_up(w, 3);
    sim_run_for(w->sim, 20 * NS_PER_S);
    assert_int_equal(lanes_of(w, "a/mpq"), 1);
    assert_int_equal(lanes_of(w, "b/mpq"), 4);
    assert_int_equal(lanes_of(w, "c/mpq"), 1);
    assert_int_equal(hub_lanes(w->hub), 6);
    for (unsigned i = 0; i < 3; i++)
        assert_passes(w, i, addr[i]);
    stop_edge(w, 1);
    assert_passes(w, 0, addr[0]);
    edge_up(w, 1);
    sim_run_for(w->sim, 20 * NS_PER_S);
    assert_int_equal(lanes_of(w, "b/mpq"), 4);
    for (unsigned i = 0; i < 3; i++)
        assert_passes(w, i, addr[i]);
    assert_int_equal(w->downs, 1);
    peers_free(w);
}

/* Further lanes take no more than half of the connections: who has none yet comes in. */
static void further_lanes_leave_room(void **state)
{
    struct peers *w = many_new(31);

    w->hub_opts.quic.max_lanes = 10;
    let_open_lanes(w, 0, 16);
    many_up(w, 1);
    sim_run_for(w->sim, 20 * NS_PER_S);
    assert_true(w->n_refused > 0);
    assert_string_equal(w->refused_why, "a/mpq: too many connections for a further lane");
    assert_int_equal(lanes_of(w, "a/mpq"), 5);
    assert_passes(w, 0, "10.200.1.1");
    edge_up(w, 1);
    edge_up(w, 2);
    assert_passes(w, 1, "10.200.1.2");
    assert_int_equal(w->downs, 0);
    peers_free(w);
}

/* The edge has lost its connection and the hub does not know it: the new one has the same numbers,
 * and takes its place in the session. */
static void a_lane_replaces_the_one_of_its_number(void **state)
{
    static const struct net_addr none;
    struct peers *w = many_up(many_new(32), 1);
    struct hub_peer_info before = {0}, after = {0};

    assert_passes(w, 0, "10.200.1.1");
    assert_true(info_of(w, "a/mpq", &before));
    link_set_on(w->wan.up, false);
    edge_set_addrs(w->edge[0].edge, w->sim->now_ns, 0, &none, &w->hub_addr, 0);
    host_pump(w->edge[0].host);
    sim_run_for(w->sim, 100 * NS_PER_MS);
    link_set_on(w->wan.up, true);
    assert_int_equal(hub_lanes(w->hub), 1);
    edge_set_addrs(w->edge[0].edge, w->sim->now_ns, 0, &w->edge[0].addr, &w->hub_addr, 0);
    host_pump(w->edge[0].host);
    assert_true(peers_wait_state(w, 0, EDGE_UP, 5 * NS_PER_S));
    sim_run_for(w->sim, NS_PER_S);
    assert_int_equal(lanes_of(w, "a/mpq"), 1);
    assert_int_equal(w->ups, 1);
    assert_int_equal(w->downs, 0);
    assert_true(info_of(w, "a/mpq", &after));
    assert_int_equal(after.session.rx_packets, before.session.rx_packets);
    assert_passes(w, 0, "10.200.1.1");
    sim_run_for(w->sim, 5 * NS_PER_S);
    assert_int_equal(hub_lanes(w->hub), 1);
    peers_free(w);
}

/* Who is away does not keep a place from who comes: the one that has been away longest goes. */
static void absent_sessions_make_room(void **state)
{
    struct peers *w = many_new(33);

    w->hub_opts.policy.max_peers = 2;
    many_up(w, 2);
    peers_kill_edge(w, 0);
    sim_run_for(w->sim, 5 * NS_PER_S);
    peers_kill_edge(w, 1);
    sim_run_for(w->sim, 60 * NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 0);
    assert_int_equal(hub_kept(w->hub), 2);
    edge_up(w, 2);
    assert_int_equal(hub_peers(w->hub), 1);
    assert_int_equal(hub_kept(w->hub), 1);
    edge_up(w, 0);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_int_equal(hub_kept(w->hub), 0);
    peers_start_edge(w, 1);
    sim_run_for(w->sim, 5 * NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_string_equal(w->refused_why, "b/mpq: as many peers as may be are connected");
    peers_free(w);
}

/* Its place is free at once, and its session is not kept. */
static void who_stops_leaves_at_once(void **state)
{
    struct peers *w = many_new(34);

    let_open_lanes(w, 0, 4);
    many_up(w, 1);
    sim_run_for(w->sim, 20 * NS_PER_S);
    stop_edge(w, 0);
    assert_int_equal(hub_peers(w->hub), 0);
    assert_int_equal(hub_kept(w->hub), 0);
    assert_string_equal(w->down_why, "a/mpq: it has stopped");
    assert_int_equal(w->downs, 1);
    sim_run_for(w->sim, 5 * NS_PER_S);
    assert_int_equal(hub_lanes(w->hub), 0);
    peers_free(w);
}

/* --- another policy ----------------------------------------------------------------------------
 */

static void only_who_lost_its_right_is_closed(void **state)
{
    static struct hub_token tokens[2] = {{"alice", "correct horse"}, {"bob", "battery staple"}};
    struct ip_prefix pool = peers_prefix("10.200.1.0/24"), half = peers_prefix("10.200.1.2/31");
    struct hub_policy p;
    struct peers *w = many_new(13);

    for (unsigned i = 0; i < 2; i++) {
        w->edge[i].tls.name = "";
        w->edge[i].opts.token = tokens[i].token;
    }
    w->hub_opts.policy.tokens = tokens;
    w->hub_opts.policy.n_tokens = 2;
    w->hub_opts.policy.pool = &pool;
    w->hub_opts.policy.n_pool = 1;
    many_up(w, 3); /* alice .1, bob .2, c .3 */
    p = w->hub_opts.policy;
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    assert_int_equal(w->downs, 0); /* nothing has changed */

    p.tokens = tokens + 1; /* without alice */
    p.n_tokens = 1;
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    host_pump(w->hub_host);
    assert_int_equal(w->downs, 1);
    assert_string_equal(w->down_why, "alice/mpq: its token is not valid any more");
    assert_true(peers_wait_state(w, 0, EDGE_FAILED, 5 * NS_PER_S));
    assert_int_equal(w->edge[0].failure.http_status, 401);

    p.pool = &half; /* .2 and .3: still theirs */
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    assert_int_equal(w->downs, 1);
    half = peers_prefix("10.200.1.4/31");
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    host_pump(w->hub_host);
    assert_int_equal(w->downs, 3);
    assert_non_null(strstr(w->down_why, "its address is no longer the one that it shall have"));
    assert_true(peers_wait_state(w, 1, EDGE_UP, 5 * NS_PER_S));
    assert_true(peers_wait_state(w, 2, EDGE_UP, 5 * NS_PER_S));
    sim_run_for(w->sim, NS_PER_S);
    assert_int_equal(hub_peers(w->hub), 2);
    assert_memory_equal(address_of(w, 1, 4), "10.200.1.", 9);
    assert_in_range(address_of(w, 1, 4)[9], '4', '5');

    p.multi = false;
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), -EINVAL);
    assert_int_equal(hub_peers(w->hub), 2);
    peers_free(w);
}

/* The pool gave a and b .1 and .2; then .50 is fixed for a, and .1 for c. Nobody is started anew.
 */
static void a_fixed_address_moves_its_peer(void **state)
{
    struct hub_rule rule[2] = {{.name = "a", .addr = {{4, {10, 200, 1, 50}}}, .n_addr = 1},
                               {.name = "c", .addr = {{4, {10, 200, 1, 1}}}, .n_addr = 1}};
    struct peers *w = many_up(many_new(15), 3);
    struct hub_policy p = w->hub_opts.policy;

    assert_string_equal(address_of(w, 0, 4), "10.200.1.1");
    assert_string_equal(address_of(w, 2, 4), "10.200.1.3");
    p.rules = rule;
    p.n_rules = 2;
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    host_pump(w->hub_host);
    assert_int_equal(w->downs, 2); /* b goes on */
    assert_true(peers_wait_state(w, 0, EDGE_UP, 5 * NS_PER_S));
    assert_true(peers_wait_state(w, 2, EDGE_UP, 5 * NS_PER_S));
    sim_run_for(w->sim, NS_PER_S);
    assert_string_equal(address_of(w, 0, 4), "10.200.1.50");
    assert_string_equal(address_of(w, 0, 6), "fd00:1::1");
    assert_string_equal(address_of(w, 2, 4), "10.200.1.1");

    p.n_rules = 0; /* what was fixed is of the pool, and may be kept */
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    assert_int_equal(w->downs, 2);
    peers_free(w);
}

/* An edge that remembers what another hub process gave it asks for that: it gets what is fixed. */
static void a_fixed_address_is_given_by_a_hub_that_was_restarted(void **state)
{
    struct hub_rule rule = {.name = "a", .addr = {{4, {10, 200, 1, 50}}}, .n_addr = 1};
    struct peers *w = many_up(many_new(16), 1);

    assert_string_equal(address_of(w, 0, 4), "10.200.1.1");
    peers_kill_hub(w);
    w->hub_opts.policy.rules = &rule;
    w->hub_opts.policy.n_rules = 1;
    peers_start_hub(w);
    w->edge[0].n_assigned = 0;
    assert_true(sim_run_cond(w->sim, 60 * NS_PER_S, is_settled, &w->edge[0]));
    assert_string_equal(address_of(w, 0, 4), "10.200.1.50");
    assert_string_equal(address_of(w, 0, 6), "fd00:1::1");
    peers_free(w);
}

static void other_networks_take_effect_at_once(void **state)
{
    static const struct ip_prefix lan = {.addr = {4, {172, 16, 5, 0}}, .len = 24};
    struct hub_rule rule[2] = {{.name = "a", .prefix = {lan}, .n_prefix = 1}, {.name = "b"}};
    struct ip_prefix range = peers_prefix("192.168.0.0/16");
    struct hub_policy p;
    struct peers *w = many_new(14);

    w->hub_opts.policy.rules = rule;
    w->hub_opts.policy.n_rules = 2;
    w->hub_opts.policy.peer_prefixes = &range;
    w->hub_opts.policy.n_peer_prefixes = 1;
    many_up(w, 2);
    send_up(w, 0, "192.168.1.1", "192.0.2.1");
    send_up(w, 0, "192.168.2.1", "192.0.2.1");
    p = w->hub_opts.policy;
    rule[0].n_prefix = 0; /* the network moves from a to b */
    rule[1].prefix[0] = lan;
    rule[1].n_prefix = 1;
    range = peers_prefix("192.168.1.0/24");
    assert_int_equal(hub_reconfigure(w->hub, w->sim->now_ns, &p), 0);
    assert_int_equal(w->downs, 0);
    send_up(w, 0, "172.16.5.9", "192.0.2.1");
    assert_int_equal(drops(w, DROP_SOURCE), 1);
    send_up(w, 1, "172.16.5.9", "192.0.2.1");
    assert_int_equal(w->taken.n, 3);
    send_down(w, "192.0.2.1", "172.16.5.9");
    assert_int_equal(w->edge[1].taken.n, 1);
    send_down(w, "192.0.2.1", "192.168.1.1"); /* what was learned and still may be stays */
    send_down(w, "192.0.2.1", "192.168.2.1");
    assert_int_equal(w->edge[0].taken.n, 1);
    assert_int_equal(drops(w, DROP_NO_PEER), 1);
    peers_free(w);
}

/* --- time ----------------------------------------------------------------------------------- */

/* A few at a time; who is revoked goes in whatever place it stands, the others stay. */
static void peers_are_looked_at_again_in_steps(void **state)
{
    static const char *const names[] = {"a", "b", "c"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct peers *w = many_up(many_new(230 + i), 3);
        unsigned steps = 1;

        hub_recheck(w->hub, w->sim->now_ns);
        while (hub_recheck_next(w->hub, w->sim->now_ns, 1))
            steps++;
        assert_int_equal(steps, 3);
        assert_int_equal(hub_peers(w->hub), 3);
        assert_false(hub_recheck_next(w->hub, w->sim->now_ns, 1));

        w->tls_hub.revoked = names[i];
        hub_recheck(w->hub, w->sim->now_ns);
        assert_int_equal(hub_peers(w->hub), 3);
        assert_true(hub_recheck_next(w->hub, w->sim->now_ns, 1));
        if (i == 1) /* another one goes by itself meanwhile */
            stop_edge(w, 0);
        while (hub_recheck_next(w->hub, w->sim->now_ns, 2))
            ;
        host_pump(w->hub_host);
        sim_run_for(w->sim, 500 * NS_PER_MS);
        assert_int_equal(hub_peers(w->hub), i == 1 ? 1 : 2);
        assert_int_equal(edge_state(w->edge[i].edge), EDGE_FAILED);
        assert_int_equal(w->edge[i].failure.quic.fail, QUIC_FAIL_REJECTED_REVOKED);
        peers_free(w);
    }
}

static void a_certificate_that_ends_ends_the_session(void **state)
{
    struct peers *w = many_new(17);

    w->tls_hub.ending = "b";
    w->tls_hub.ending_s = 5000;
    many_up(w, 3);
    assert_int_equal(hub_expire(w->hub, w->sim->now_ns, 4000), 5000);
    assert_int_equal(hub_expire(w->hub, w->sim->now_ns, 5000), 5000); /* its last second */
    host_pump(w->hub_host);
    assert_int_equal(w->downs, 0);
    assert_true(hub_expire(w->hub, w->sim->now_ns, 5001) == INT64_MAX);
    host_pump(w->hub_host);
    assert_int_equal(w->downs, 1);
    assert_non_null(strstr(w->down_why, "b/mpq: "));
    assert_non_null(strstr(w->down_why, "expired"));
    assert_int_equal(hub_peers(w->hub), 2);
    assert_true(peers_wait_state(w, 1, EDGE_FAILED, 5 * NS_PER_S)); /* no retry can help */
    assert_int_equal(w->edge[1].failure.quic.fail, QUIC_FAIL_REJECTED_EXPIRED);
    assert_int_equal(edge_state(w->edge[0].edge), EDGE_UP);
    peers_free(w);
}

/* --- nobody starves ----------------------------------------------------------------------------
 */

/* Two peers behind dead lines are sent more than they can take: the third has its packets all the
 * same. */
static void slow_peers_leave_buffers_to_others(void **state)
{
    struct peers *w = many_up(many_new(15), 3);
    struct hub_peer_info info = {.n_addr = 0};
    uint8_t p[100], q[100];
    size_t len = peers_packet(p, "192.0.2.1", "10.200.1.3", sizeof(p), false);
    unsigned before = w->edge[2].taken.n;

    host_run(w->edge[0].host, NULL, NULL); /* their machines hang */
    host_run(w->edge[1].host, NULL, NULL);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < 40; k++) {
            peers_packet(q, "192.0.2.1", k % 2 ? "10.200.1.1" : "10.200.1.2", sizeof(q), false);
            hub_send(w->hub, w->sim->now_ns, peers_pkt(w->hub_host->pool, q, sizeof(q)));
        }
        peers_hub_send(w, p, len);
        sim_run_for(w->sim, NS_PER_MS);
    }
    sim_run_for(w->sim, 50 * NS_PER_MS);
    assert_int_equal(w->edge[2].taken.n - before, 300);
    assert_true(drops(w, DROP_QUEUE_FULL) > 0);
    assert_int_equal(drops(w, DROP_NO_BUFFER), 0);
    assert_true(info_of(w, "a/mpq", &info));
    assert_true(info.queued > 100);
    assert_true(pkt_pool_in_use(w->hub_host->pool) < PEERS_PKTS / 2);
    host_run(w->edge[0].host, &host_engine_edge, w->edge[0].edge);
    host_run(w->edge[1].host, &host_engine_edge, w->edge[1].edge);
    peers_free(w);
}

/* The TUN takes what the largest path carries; whoever has less answers for itself. */
static void the_largest_path_sets_the_mtu(void **state)
{
    struct peers *w = many_new(16);
    uint8_t p[1400];

    w->edge[1].opts.quic.udp_payload_max = 1472;
    w->hub_opts.plain = true;
    peers_start_hub(w);
    edge_up(w, 0);
    assert_int_equal(w->packet_max, 1438);
    link_set_mtu(w->wan.up, 1300);
    link_set_mtu(w->wan.down, 1300);
    edge_up(w, 1);
    assert_int_equal(w->packet_max, 1438); /* b has 1272 - 34 */
    link_set_mtu(w->wan.up, 1500);
    link_set_mtu(w->wan.down, 1500);
    peers_hub_send(w, p, peers_packet(p, "192.0.2.1", "10.200.1.2", sizeof(p), true));
    sim_run_for(w->sim, 50 * NS_PER_MS);
    assert_int_equal(w->edge[1].taken.n, 0);
    assert_int_equal(w->taken.n, 1); /* packet-too-big, to the TUN */
    assert_int_equal(w->taken.pkt[0].data[20], 3);
    peers_hub_send(w, p, peers_packet(p, "192.0.2.1", "10.200.1.1", sizeof(p), true));
    sim_run_for(w->sim, 50 * NS_PER_MS);
    assert_int_equal(w->edge[0].taken.n, 1);
    peers_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_peer_has_its_own),
        cmocka_unit_test(forged_sources_are_dropped),
        cmocka_unit_test(peer_to_peer_is_policy),
        cmocka_unit_test(networks_behind_a_peer),
        cmocka_unit_test(a_network_is_handed_on),
        cmocka_unit_test(addresses_behind_peers_are_learned),
        cmocka_unit_test(instances_of_one_certificate_live_side_by_side),
        cmocka_unit_test(a_peer_takes_its_place_over),
        cmocka_unit_test(an_address_is_kept_for_an_absent_peer),
        cmocka_unit_test(who_stops_and_starts_contests_nothing),
        cmocka_unit_test(who_is_gone_is_remembered_until_it_returns),
        cmocka_unit_test(an_exhausted_pool),
        cmocka_unit_test(a_wish_is_granted_when_it_can_be),
        cmocka_unit_test(no_more_than_may_be),
        cmocka_unit_test(plain_peers_beside_lanes),
        cmocka_unit_test(further_lanes_leave_room),
        cmocka_unit_test(a_lane_replaces_the_one_of_its_number),
        cmocka_unit_test(absent_sessions_make_room),
        cmocka_unit_test(who_stops_leaves_at_once),
        cmocka_unit_test(only_who_lost_its_right_is_closed),
        cmocka_unit_test(a_fixed_address_moves_its_peer),
        cmocka_unit_test(a_fixed_address_is_given_by_a_hub_that_was_restarted),
        cmocka_unit_test(other_networks_take_effect_at_once),
        cmocka_unit_test(peers_are_looked_at_again_in_steps),
        cmocka_unit_test(a_certificate_that_ends_ends_the_session),
        cmocka_unit_test(slow_peers_leave_buffers_to_others),
        cmocka_unit_test(the_largest_path_sets_the_mtu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
