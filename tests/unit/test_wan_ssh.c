#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"
#include "wan/ssh.h"
#include "wan_site.h"

static void what_ssh_says(void **state)
{
    static const char *const bad[] = {"",
                                      "192.0.2.7",
                                      "192.0.2.7 50000 198.51.100.1",
                                      "192.0.2.7 50000 198.51.100.1 70000",
                                      "192.0.2.7 50000 198.51.100.1 22 x",
                                      "fe80::1%eth0 50000 fe80::2%eth0 22"};
    struct ssh_session s;
    struct ip_addr peer = site_addr("192.0.2.7"), six = site_addr("2001:db8::7");

    assert_true(ssh_session_parse("192.0.2.7 50000 198.51.100.1 22", &s));
    assert_true(ip_addr_equal(&s.peer, &peer));
    assert_int_equal(s.peer_port, 50000);
    assert_int_equal(s.local_port, 22);
    assert_true(ssh_session_parse("::ffff:192.0.2.7 50000 ::ffff:198.51.100.1 22", &s));
    assert_true(ip_addr_equal(&s.peer, &peer));
    assert_true(ssh_session_parse("2001:db8::7 50000 2001:db8::1 22", &s));
    assert_true(ip_addr_equal(&s.peer, &six));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(ssh_session_parse(bad[i], &s));
}

/* Lines as this machine's kernel prints them, which depends on the order of its bytes. */
static void what_the_kernel_says(void **state)
{
    struct ip_addr peer = site_addr("192.0.2.7"), local = site_addr("198.51.100.1"), a;
    struct ssh_session s;
    unsigned long inode;
    uint32_t v4[2];
    char line[512];

    memcpy(&v4[0], local.b, 4);
    memcpy(&v4[1], peer.b, 4);
    snprintf(line, sizeof(line),
             "   3: %08X:0016 %08X:C350 01 00000000:00000000 02:000A9B5F 00000000     0        0 "
             "12345 2 0000000000000000 20 4 31 10 -1\n",
             v4[0], v4[1]);
    assert_true(ssh_socket_parse(line, 4, &s, &inode));
    assert_true(ip_addr_equal(&s.peer, &peer));
    assert_true(ip_addr_equal(&s.local, &local));
    assert_int_equal(s.local_port, 22);
    assert_int_equal(s.peer_port, 50000);
    assert_int_equal(inode, 12345);
    assert_false(ssh_socket_parse(line, 6, &s, &inode));
    line[strlen("   3: 00000000:0016 00000000:C350 0")] = 'A'; /* it listens */
    assert_false(ssh_socket_parse(line, 4, &s, &inode));

    /* An IPv4 connection of a socket for both families. */
    a = site_addr("::ffff:0.0.0.0");
    memcpy(&v4[0], a.b + 8, 4);
    memcpy(&v4[1], peer.b, 4);
    snprintf(line, sizeof(line),
             " 10: 0000000000000000%08X%08X:0016 0000000000000000%08X%08X:C350 01 "
             "00000000:00000000 00:00000000 00000000  0  0 7 1 0\n",
             v4[0], v4[1], v4[0], v4[1]);
    assert_true(ssh_socket_parse(line, 6, &s, &inode));
    assert_true(ip_addr_equal(&s.peer, &peer));
    assert_int_equal(inode, 7);
}

/* Ports as in sshd_config(5): names in any case, comments not. */
static void what_sshd_listens_on(void **state)
{
    static const char text[] = "# Port 21\nPort 2222\n  port\t22022 # more\nPortx 23\nPort 0\n"
                               "Port 70000\nListenAddress 192.0.2.1:24\nPORT 443";
    uint16_t ports[SSH_PORTS_MAX] = {22};
    unsigned n = ssh_ports_parse(text, ports, 1);

    assert_int_equal(n, 4);
    assert_int_equal(ports[1], 2222);
    assert_int_equal(ports[2], 22022);
    assert_int_equal(ports[3], 443);
    assert_int_equal(ssh_ports_parse("", ports, 4), 4);
    for (unsigned i = 0; i < 20; i++)
        n = ssh_ports_parse(text, ports, n);
    assert_int_equal(n, SSH_PORTS_MAX);
}

/* --- ways ------------------------------------------------------------------------------ */

static struct ssh_session session;
static struct wan_objects world;

static struct fib_rule rule(uint32_t priority, uint32_t table)
{
    return (struct fib_rule){
        .family = 4, .priority = priority, .action = FIB_ACTION_TABLE, .table = table};
}

static struct fib_route route(const char *dst, uint32_t table, int index)
{
    return (struct fib_route){.dst = site_prefix(dst),
                              .table = table,
                              .type = index ? FIB_TYPE_UNICAST : FIB_TYPE_UNREACHABLE,
                              .index = index};
}

static void do_rule(bool add, struct fib_rule r)
{
    struct wan_op op = {.kind = add ? WAN_OP_RULE_ADD : WAN_OP_RULE_DEL, .rule = &r};

    assert_int_equal(ssh_world_apply(&world, &session, &op), 0);
}

static void do_route(bool add, struct fib_route r)
{
    struct wan_op op = {.kind = add ? WAN_OP_ROUTE_ADD : WAN_OP_ROUTE_DEL, .route = &r};

    assert_int_equal(ssh_world_apply(&world, &session, &op), 0);
}

/* By which interface the answer leaves; 0: none. */
static int way(void)
{
    struct ssh_way w;

    ssh_way_of(&world, &session, &w);
    return w.found ? w.index : 0;
}

static int setup(void **state)
{
    assert_true(ssh_session_parse("192.0.2.7 50000 10.150.1.2 22", &session));
    do_rule(true, rule(0, FIB_TABLE_LOCAL));
    do_rule(true, rule(32766, FIB_TABLE_MAIN));
    do_route(true, route("0.0.0.0/0", FIB_TABLE_MAIN, 1));
    return 0;
}

static int teardown(void **state)
{
    wan_objects_done(&world);
    return 0;
}

static void rules_in_their_order(void **state)
{
    struct fib_rule r = rule(1000, 100);

    assert_int_equal(way(), 1);
    do_route(true, route("0.0.0.0/0", 100, 2));
    snprintf(r.iif, sizeof(r.iif), "lan0");
    do_rule(true, r); /* not for what this machine sends */
    assert_int_equal(way(), 1);
    r = rule(1001, 100);
    snprintf(r.oif, sizeof(r.oif), "wan0");
    do_rule(true, r); /* for sockets that are bound */
    assert_int_equal(way(), 1);
    r = rule(1002, 100);
    r.mark = r.mask = 1;
    do_rule(true, r);
    assert_int_equal(way(), 1);
    r = rule(1003, 100);
    r.from = site_prefix("10.150.1.2/32");
    do_rule(true, r);
    assert_int_equal(way(), 2);
    do_rule(false, r);
    assert_int_equal(way(), 1);
    r = rule(1004, 100);
    r.to = site_prefix("192.0.2.0/24");
    r.near_only = true;
    do_rule(true, r); /* its only route is the default one */
    assert_int_equal(way(), 1);
    do_route(true, route("192.0.2.0/24", 100, 3));
    assert_int_equal(way(), 3);
    r = rule(1, 0);
    r.action = FIB_ACTION_UNREACHABLE;
    do_rule(true, r);
    assert_int_equal(way(), 0);
}

static void routes_by_length_and_metric(void **state)
{
    struct fib_route worse = route("0.0.0.0/0", FIB_TABLE_MAIN, 2);

    worse.metric = 10;
    do_route(true, worse);
    assert_int_equal(way(), 1);
    do_route(false, route("0.0.0.0/0", FIB_TABLE_MAIN, 1));
    assert_int_equal(way(), 2);
    do_route(true, route("192.0.2.0/24", FIB_TABLE_MAIN, 3));
    assert_int_equal(way(), 3);
    do_route(true, route("192.0.2.0/25", FIB_TABLE_MAIN, 0)); /* unreachable */
    assert_int_equal(way(), 0);
    do_route(false, route("192.0.2.0/25", FIB_TABLE_MAIN, 0));
    do_route(true, route("192.0.2.0/24", FIB_TABLE_MAIN, 4)); /* a later one is in front */
    assert_int_equal(way(), 4);
}

static void what_is_not_known_is_told(void **state)
{
    struct fib_rule r = rule(5, 100);
    struct ssh_way w;

    r.more = true;
    do_rule(true, r);
    ssh_way_of(&world, &session, &w);
    assert_true(w.found);
    assert_true(w.unsure);
    assert_int_equal(w.index, 1);
}

static void a_firewall_that_begins(void **state)
{
    struct wan_op op = {.kind = WAN_OP_NFT};
    struct wan_plan p = {&op, 1, 1};
    struct gateway_config c;

    site_edge(&c, "");
    op.nft.text = "table inet t {\n\tchain input {\n\t}\n}\n";
    assert_true(ssh_is_closed(&c, &p, "mpq1"));
    assert_false(ssh_is_closed(&c, &p, "enp7s3"));
    op.nft.before = op.nft.text;
    assert_false(ssh_is_closed(&c, &p, "mpq1"));
    op.nft.text = "table inet t {\n}\n";
    op.nft.before = NULL;
    assert_false(ssh_is_closed(&c, &p, "mpq1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ssh_says),
        cmocka_unit_test(what_the_kernel_says),
        cmocka_unit_test(what_sshd_listens_on),
        cmocka_unit_test_setup_teardown(rules_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(routes_by_length_and_metric, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_known_is_told, setup, teardown),
        cmocka_unit_test(a_firewall_that_begins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
