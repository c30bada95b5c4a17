#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/util.h"
#include "config/schema.h"
#include "config_text.h"

/* A hub with many peers, and an edge that is one of them: rules between keys, and the
 * difference between two files. */

static const char *const hub_lines[] = {
    "role: server",
    "remote_port: 45010",
    "tun_name: mt1",
    "tun_cidr: [10.200.10.254/24, 'fd00:200:10::254/64']",
    "tls_cert_file: /s.crt",
    "tls_key_file: /s.key",
    "tls_ca_file: /ca.crt",
    "multi_conn_enabled: true",
    NULL,
};

static void expect(const char *const *lines, const char *first, const char *without,
                   const char *want)
{
    struct tunnel_config c = {0};
    char *text = text_make(lines, first, without), *got;
    int err;

    got = text_report(text, strlen(text), &c, &err);
    assert_string_equal(got, want);
    assert_int_equal(err, strstr(want, " error: ") ? -EINVAL : 0);
    config_done(&c);
    free(got);
    free(text);
}

static void expect_hub(const char *first, const char *want)
{
    expect(hub_lines, first, "", want);
}

static void parse_ok(const char *const *lines, const char *first, const char *without,
                     struct tunnel_config *ret)
{
    char *text = text_make(lines, first, without), *report;
    int err;

    report = text_report(text, strlen(text), ret, &err);
    assert_string_equal(report, "");
    assert_int_equal(err, 0);
    free(report);
    free(text);
}

/* ---- values ---- */

static void peers_reach_the_struct(void **state)
{
    struct tunnel_config c;
    char buf[IP_PREFIX_STR_MAX];

    parse_ok(hub_lines,
             "peers:\n"
             "  - name: edge1\n"
             "    instance_id: cr5\n"
             "    addresses: [10.200.10.1, 'fd00:200:10::1']\n"
             "    prefixes: [172.16.5.0/30, 'fd00:172:5::/64']\n"
             "  - {name: Edge Two, addresses: 10.200.10.4}\n"
             "  - name: edge3\n"
             "address_pool: [10.200.10.128/25, 'fd00:200:10::/64']\n"
             "peer_to_peer: true\nmax_peers: 65536\ntls_crl_file: /crl\n",
             "", &c);
    assert_true(c.multi_conn_enabled);
    assert_int_equal(c.n_peers, 3);
    assert_string_equal(c.peers[0].name, "edge1");
    assert_string_equal(c.peers[0].instance_id, "cr5");
    assert_int_equal(c.peers[0].n_addr, 2);
    assert_string_equal(ip_addr_str(&c.peers[0].addr[1], buf), "fd00:200:10::1");
    assert_int_equal(c.peers[0].n_prefix, 2);
    assert_string_equal(ip_prefix_str(&c.peers[0].prefix[0], buf), "172.16.5.0/30");
    assert_string_equal(c.peers[1].name, "Edge Two");
    assert_string_equal(c.peers[1].instance_id, "");
    assert_int_equal(c.peers[1].n_addr, 1);
    assert_int_equal(c.peers[1].n_prefix, 0);
    assert_int_equal(c.peers[2].n_addr, 0);
    assert_int_equal(c.n_address_pool, 2);
    assert_true(c.peer_to_peer);
    assert_int_equal(c.max_peers, 65536);
    assert_string_equal(c.tls_crl_file, "/crl");
    config_done(&c);
    assert_null(c.peers);
}

static void defaults_of_a_hub(void **state)
{
    struct tunnel_config c;

    parse_ok(hub_lines, "", "multi_conn_enabled", &c);
    assert_false(c.multi_conn_enabled);
    assert_false(c.peer_to_peer);
    assert_int_equal(c.max_peers, 1024);
    assert_int_equal(c.n_peers, 0);
    assert_null(c.peers);
    assert_int_equal(c.n_address_pool, 0);
    config_done(&c);
}

/* What cannot be read is reported at its own place, and the rest is still looked at. */
static void bad_values_of_a_peer(void **state)
{
    expect_hub("peers:\n"
               "  - name: ''\n"
               "    instance_id: a b\n"
               "    addresses: [10.200.10.1/24, x, 127.0.0.1, 0.0.0.0, 'fe80::1']\n"
               "    prefixes: 172.16.5.1/30\n"
               "  - edge2\n"
               "  - addresses: 10.200.10.7\n"
               "    prefix: 172.16.7.0/30\n"
               "    tun_name: x\n",
               "f:2:11: error: name: '' is empty\n"
               "f:3:18: error: instance_id: 'a b' has characters other than letters, digits, "
               "\"-\", \"_\", \".\"\n"
               "f:4:17: error: addresses: '10.200.10.1/24' is not an address; write it without a "
               "length\n"
               "f:4:33: error: addresses: 'x' is not an address\n"
               "f:4:36: error: addresses: '127.0.0.1' is not in the unicast address space that a "
               "tunnel carries; take one of a private network, for example 10.200.1.1\n"
               "f:4:47: error: addresses: '0.0.0.0' is not in the unicast address space that a "
               "tunnel carries; take one of a private network, for example 10.200.1.1\n"
               "f:4:56: error: addresses: 'fe80::1' is not in the unicast address space that a "
               "tunnel carries; take one of a private network, for example fd00:200:1::1\n"
               "f:5:15: error: prefixes: '172.16.5.1/30' has bits set behind its length; the "
               "network is 172.16.5.0/30\n"
               "f:6:5: error: a peer must be a mapping of keys; write '- name: edge1.example.net' "
               "and its other keys below\n"
               "f:7:5: error: a peer needs name\n"
               "f:8:5: error: unknown key 'prefix'; did you mean 'prefixes'?\n"
               "f:9:5: error: unknown key 'tun_name'; it belongs to the instance, not to a "
               "peer\n");
    expect_hub("addresses: 10.200.10.1\n",
               "f:1:1: error: unknown key 'addresses'; it belongs into an entry of peers\n");
    expect_hub("peers: []\n",
               "f:1:8: error: peers: the list is empty; write an element, or remove the key\n");
    expect_hub("peers: [{name: a, addresses: [10.200.10.1, 10.200.10.2, 10.200.10.3, 10.200.10.4, "
               "10.200.10.5, 10.200.10.6, 10.200.10.7, 10.200.10.8, 10.200.10.9]}]\n",
               "f:1:135: error: addresses: more than 8 elements\n");
}

static void at_most_1024_peers(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    struct tunnel_config c;

    fprintf(f, "peers:\n");
    for (int i = 0; i < CONFIG_PEERS_MAX; i++)
        fprintf(f,
                "  - name: edge%d\n    instance_id: i\n    addresses: ['fd00:200:10::1:%x']\n"
                "    prefixes: [10.%d.%d.0/24]\n",
                i, i, i / 256, i % 256);
    fflush(f);
    parse_ok(hub_lines, text, "", &c);
    assert_int_equal(c.n_peers, CONFIG_PEERS_MAX);
    assert_string_equal(c.peers[1023].name, "edge1023");
    config_done(&c);
    fprintf(f, "  - name: more\n");
    fclose(f);
    expect_hub(text, "f:4098:5: error: peers: more than 1024 elements\n");
    free(text);
}

/* ---- rules ---- */

static void addresses_of_peers(void **state)
{
    expect_hub("peers:\n"
               "  - name: a\n"
               "    addresses: [10.200.11.1, 10.200.10.254, 10.200.10.0, 10.200.10.255]\n"
               "  - name: b\n"
               "    addresses: ['fd00:200:10::254', 'fd00:200:10::', 'fd00:200:10:0:ffff::ffff']\n"
               "  - name: c\n"
               "    addresses: [10.200.10.1, 10.200.10.2, 10.200.10.1]\n"
               "  - name: d\n"
               "    addresses: 10.200.10.2\n",
               "f:3:17: error: the address 10.200.11.1 is in no network of tun_cidr; choose one of "
               "a network of tun_cidr\n"
               "f:3:30: error: the address 10.200.10.254 is this server's own; choose another one "
               "of this network\n"
               "f:3:45: error: the address 10.200.10.0 is the network or broadcast address; "
               "choose one between the first and the last of the network\n"
               "f:3:58: error: the address 10.200.10.255 is the network or broadcast address; "
               "choose one between the first and the last of the network\n"
               "f:5:17: error: the address fd00:200:10::254 is this server's own; choose another "
               "one of this network\n"
               "f:5:37: error: the address fd00:200:10:: is the network or broadcast address; "
               "choose one between the first and the last of the network\n"
               "f:7:43: error: the address 10.200.10.1 is given twice; the first time is in line "
               "7\n"
               "f:9:16: error: the address 10.200.10.2 is given twice; the first time is in line "
               "7\n");
}

/* When tun_cidr itself is wrong nothing is said about what depends on it. */
static void rules_keep_quiet_behind_a_bad_value(void **state)
{
    expect(hub_lines,
           "tun_cidr: 10.200.10.0/24\naddress_pool: 10.9.0.0/16\n"
           "peers: [{name: a, addresses: 10.1.1.1}]\n",
           "tun_cidr",
           "f:1:11: error: tun_cidr: '10.200.10.0/24' is the network address; use an address "
           "between the first and the last of the network\n");
}

static void networks_behind_peers(void **state)
{
    expect_hub("peers:\n"
               "  - name: a\n"
               "    prefixes: [172.16.0.0/16, 172.16.5.0/24, 10.200.0.0/16]\n"
               "  - name: b\n"
               "    prefixes: [172.16.6.0/24, 172.17.0.0/16, 172.16.0.0/16]\n"
               "  - name: c\n"
               "    prefixes: [172.17.0.0/16, 172.16.6.0/30, '::/0']\n",
               "f:3:46: error: the network 10.200.0.0/16 holds this server's own address; name the "
               "networks behind the peer only\n"
               "f:5:16: warning: the network 172.16.6.0/24 lies in one of another peer (line 3); "
               "packets to and from it belong to this one\n"
               "f:5:46: error: the network 172.16.0.0/16 is given twice; the first time is in line "
               "3\n"
               "f:7:16: error: the network 172.17.0.0/16 is given twice; the first time is in line "
               "5\n"
               "f:7:31: warning: the network 172.16.6.0/30 lies in one of another peer (line 5); "
               "packets to and from it belong to this one\n"
               "f:7:46: warning: this peer may use any source address of this family; name the "
               "networks behind the peer\n");
    expect_hub("peers: [{name: a, prefixes: [10.0.0.0/24, 10.0.0.0/24]}]\n",
               "f:1:43: error: the network 10.0.0.0/24 is given twice; the first time is in line "
               "1\n");
}

static void names_of_peers(void **state)
{
    expect_hub("peers:\n"
               "  - {name: a, instance_id: x}\n"
               "  - {name: a, instance_id: y}\n"
               "  - {name: a}\n"
               "  - {name: b, instance_id: x}\n"
               "  - {instance_id: x, name: a}\n"
               "  - {name: a}\n",
               "f:6:28: error: two peers have this name and the same instance_id; the other entry "
               "is in line 2\n"
               "f:7:12: error: two peers have this name and no instance_id; the other entry is in "
               "line 4\n");
    expect_hub("allowed_clients: [a]\npeers: [{name: a}, {name: b}]\n",
               "f:2:27: warning: allowed_clients does not let this peer in; add it there\n");
    expect_hub("allowed_clients: [a]\ntokens_file: /t\npeers: [{name: a}, {name: b}]\n", "");
}

static void the_pool(void **state)
{
    expect_hub(
        "address_pool: [10.200.0.0/16, 10.201.0.0/24, 10.200.10.0/24, 10.200.10.254/32, "
        "10.200.10.255/32, 'fd00:200:10:1::/64', 'fd00:200:10::8000/113']\n",
        "f:1:16: error: the pool 10.200.0.0/16 is not inside a network of tun_cidr; choose a "
        "part of a network of tun_cidr\n"
        "f:1:31: error: the pool 10.201.0.0/24 is not inside a network of tun_cidr; choose a "
        "part of a network of tun_cidr\n"
        "f:1:62: error: the pool 10.200.10.254/32 holds no address that a client can have; "
        "choose another part of the network\n"
        "f:1:80: error: the pool 10.200.10.255/32 holds no address that a client can have; "
        "choose another part of the network\n"
        "f:1:98: error: the pool fd00:200:10:1::/64 is not inside a network of tun_cidr; "
        "choose a part of a network of tun_cidr\n");
}

static void many_peers_are_asked_for(void **state)
{
    expect(hub_lines, "peer_to_peer: true\nmax_peers: 5\npeers: {name: a}\n", "multi_conn_enabled",
           "f:1:15: warning: peer_to_peer has no effect without multi_conn_enabled; add "
           "'multi_conn_enabled: true', or remove it\n"
           "f:2:12: warning: max_peers has no effect without multi_conn_enabled; add "
           "'multi_conn_enabled: true', or remove it\n"
           "f:3:8: error: peers needs multi_conn_enabled; add 'multi_conn_enabled: true'\n");
    expect_hub("", "");
}

static void a_server_has_its_own_address(void **state)
{
    expect(hub_lines, "tun_cidr: auto\n", "tun_cidr",
           "f:2:7: error: a server needs tun_cidr; add for example 'tun_cidr: 10.200.1.1/30'\n");
}

static void revocation_needs_an_authority(void **state)
{
    expect(hub_lines, "tls_crl_file: /crl\ntokens_file: /t\n", "tls_ca_file",
           "f:1:15: error: tls_crl_file without tls_ca_file; add tls_ca_file, or remove it; a "
           "token is withdrawn by removing its line\n");
}

static void keys_of_a_hub_on_a_client(void **state)
{
    expect(client_lines, "tls_crl_file: /x\npeers: []\npeer_to_peer: true\n", "",
           "f:1:1: error: tls_crl_file is for servers only; remove it\n"
           "f:2:1: error: peers is for servers only; remove it\n"
           "f:3:1: error: peer_to_peer is for servers only; remove it\n");
    expect(client_lines, "address_pool: x\nmax_peers: 3\n", "",
           "f:1:1: warning: address_pool has no effect on a client; remove it\n"
           "f:2:1: warning: max_peers has no effect on a client; remove it\n");
    expect_hub("instance_id: a\nroutes: x\nroute_table: x\n",
               "f:1:1: warning: instance_id has no effect on a server; remove it\n"
               "f:2:1: warning: routes has no effect on a server; remove it\n"
               "f:3:1: warning: route_table has no effect on a server; remove it\n");
}

static void routes_of_a_client(void **state)
{
    static const char loop[] = "f:1:9: warning: the route 203.0.113.0/24 may lead the tunnel's own "
                               "packets to 203.0.113.10 into the tunnel; write bind_ip: if:NAME\n";

    expect(client_lines, "routes: 203.0.113.0/24\n", "", "");
    expect(client_lines, "routes: 203.0.113.0/24\n", "bind_ip", loop);
    expect(client_lines, "routes: 203.0.113.0/24\nbind_ip: 192.0.2.1\n", "bind_ip", loop);
    expect(client_lines, "routes: 203.0.113.0/24\nroute_table: 254\n", "bind_ip", loop);
    expect(client_lines, "routes: 203.0.113.0/24\nroute_table: 104\n", "bind_ip", "");
    expect(client_lines, "routes: [10.0.0.0/8, 10.0.0.0/8]\n", "",
           "f:1:22: warning: routes lists this network twice; remove one\n");
    expect(client_lines, "routes: 10.0.0.0/8\nroute_table: 255\n", "",
           "f:2:14: error: table 255 is the kernel's own; choose another number\n");
    expect(client_lines, "source_table: 255\n", "",
           "f:1:15: error: table 255 is the kernel's own; choose another number\n");
    expect(client_lines, "route_table: 104\n", "",
           "f:1:14: warning: route_table has no effect without routes; list the networks in "
           "routes, or remove it\n");
}

static void networks_of_assigned_addresses(void **state)
{
    expect(client_lines, "tun_network: [10.200.10.0/24, 'fd00:200:10::/64']\n", "tun_cidr", "");
    expect(client_lines, "tun_network: 10.200.10.0/24\ntun_cidr: auto\n", "tun_cidr", "");
    expect(client_lines, "tun_network: 10.200.10.1/24\n", "tun_cidr",
           "f:1:14: error: tun_network: '10.200.10.1/24' has bits set behind its length; the "
           "network is 10.200.10.0/24\n");
    expect(client_lines, "tun_network: ::/0\n", "tun_cidr",
           "f:1:14: error: tun_network cannot be everything; name the network of the server's "
           "tun_cidr; what else is to go through the tunnel stands in routes\n");
    expect(client_lines, "tun_network: [10.0.0.0/24, 10.1.0.0/24]\n", "tun_cidr",
           "f:1:15: error: tun_network has two IPv4 networks; give at most one IPv4 and one IPv6 "
           "network\n");
    expect(client_lines, "tun_network: 10.200.10.0/24\n", "",
           "f:1:14: warning: tun_network has no effect with addresses in tun_cidr; remove it, or "
           "set tun_cidr to auto\n");
    expect(client_lines, "tun_network: 203.0.113.0/24\nroute_table: 104\nroutes: 10.0.0.0/8\n",
           "bind_ip tun_cidr",
           "f:1:14: warning: the route 203.0.113.0/24 may lead the tunnel's own packets to "
           "203.0.113.10 into the tunnel; write bind_ip: if:NAME\n");
}

static void the_instance_id(void **state)
{
    char id[CONFIG_INSTANCE_MAX];
    struct tunnel_config c;

    parse_ok(client_lines, "", "", &c);
    config_instance_id(&c, id);
    assert_string_equal(id, "mpq1");
    config_done(&c);
    parse_ok(client_lines, "instance_id: cr5\n", "", &c);
    config_instance_id(&c, id);
    assert_string_equal(id, "cr5");
    config_done(&c);
    parse_ok(client_lines, "tun_name: 'a+b=c'\n", "tun_name", &c);
    config_instance_id(&c, id);
    assert_string_equal(id, "a_b_c");
    config_done(&c);
}

/* ---- difference ---- */

static void expect_diff(const char *first, const char *without, const char *changed,
                        const char *fixed)
{
    struct tunnel_config a, b;
    struct config_diff d;
    char names[512];

    parse_ok(hub_lines, "peers: [{name: a, addresses: 10.200.10.1}, {name: b}]\n", "", &a);
    parse_ok(hub_lines, first, without, &b);
    d = config_diff(&a, &b);
    assert_string_equal(config_key_names(d.changed, names, sizeof(names)), changed);
    assert_string_equal(config_key_names(d.fixed, names, sizeof(names)), fixed);
    assert_int_equal(config_equal(&a, &b), !d.changed);
    d = config_diff(&b, &a);
    assert_string_equal(config_key_names(d.changed, names, sizeof(names)), changed);
    config_done(&a);
    config_done(&b);
}

static void differences_are_named(void **state)
{
    static const char same[] = "peers: [{name: a, addresses: 10.200.10.1}, {name: b}]\n";
    char text[512];

    expect_diff(same, "", "", "");
    expect_diff("peers: [{name: a, addresses: 10.200.10.2}, {name: b}]\n", "", "peers", "");
    expect_diff("peers: [{name: a, addresses: 10.200.10.1}]\n", "", "peers", "");
    expect_diff("", "", "peers", "");
    snprintf(text, sizeof(text), "%smtu: 1400\nlog_level: debug\npeer_to_peer: on\n", same);
    expect_diff(text, "", "mtu, peer_to_peer, log_level", "");
    snprintf(text, sizeof(text), "%sremote_port: 1\ntls_key_file: /other\n", same);
    expect_diff(text, "remote_port tls_key_file", "remote_port, tls_key_file", "remote_port");
}

static void names_are_cut(void **state)
{
    char buf[8];

    assert_string_equal(config_key_names(1u << CONFIG_KEY_ROLE | 1u << CONFIG_KEY_MTU, buf, 8),
                        "role, m");
    assert_string_equal(config_key_names(0, buf, 8), "");
}

/* Where what this machine sends from its tunnel addresses looks. */
static void which_table_answers_look_into(void **state)
{
    static const struct {
        const char *first;
        uint32_t table;
    } cases[] = {
        {"", 0},
        {"routes: 10.0.0.0/8\n", 0},
        {"routes: 10.0.0.0/8\nroute_table: 254\n", 0},
        {"routes: 10.0.0.0/8\nroute_table: 104\n", 104},
        {"routes: 10.0.0.0/8\nroute_table: 104\nsource_table: auto\n", 104},
        {"routes: 10.0.0.0/8\nroute_table: 104\nsource_table: 254\n", 0},
        {"routes: 10.0.0.0/8\nroute_table: 104\nsource_table: 105\n", 105},
        {"source_table: 100\n", 100},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_report report = {0};
        char *text = text_make(client_lines, cases[i].first, "");
        struct tunnel_config c;

        assert_int_equal(config_parse(text, strlen(text), &c, &report), 0);
        assert_int_equal(config_source_table(&c), cases[i].table);
        c.role = CONFIG_ROLE_SERVER;
        assert_int_equal(config_source_table(&c), 0);
        config_report_done(&report);
        free(text);
    }
}

/* A reload may change what is about policy and credentials, not what the sockets and the TUN
 * interface are made of. */
static void what_a_reload_may_change(void **state)
{
    static const char *const live[] = {
        "tun_network",
        "routes",
        "mtu",
        "tls_cert_file",
        "tls_key_file",
        "tls_ca_file",
        "tls_crl_file",
        "token_file",
        "tokens_file",
        "allowed_clients",
        "peer_prefixes",
        "address_pool",
        "peers",
        "peer_to_peer",
        "max_peers",
        "log_level",
        "lanes",
        "source_table",
        "telemetry_interval",
        "multipath_policy",
        "multipath_pin",
        "multipath_copies",
        "multipath_recovery",
        "multipath_deadline",
        "multipath_order",
        "multipath_paths",
    };

    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *k = &config_schema.keys[i];
        bool want = false;

        for (size_t j = 0; j < ARRAY_LEN(live); j++)
            want |= !strcmp(live[j], k->name);
        if (k->live != want)
            print_error("%s\n", k->name);
        assert_int_equal(k->live, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_reach_the_struct),
        cmocka_unit_test(defaults_of_a_hub),
        cmocka_unit_test(bad_values_of_a_peer),
        cmocka_unit_test(at_most_1024_peers),
        cmocka_unit_test(addresses_of_peers),
        cmocka_unit_test(rules_keep_quiet_behind_a_bad_value),
        cmocka_unit_test(networks_behind_peers),
        cmocka_unit_test(names_of_peers),
        cmocka_unit_test(the_pool),
        cmocka_unit_test(many_peers_are_asked_for),
        cmocka_unit_test(a_server_has_its_own_address),
        cmocka_unit_test(revocation_needs_an_authority),
        cmocka_unit_test(keys_of_a_hub_on_a_client),
        cmocka_unit_test(routes_of_a_client),
        cmocka_unit_test(networks_of_assigned_addresses),
        cmocka_unit_test(the_instance_id),
        cmocka_unit_test(differences_are_named),
        cmocka_unit_test(names_are_cut),
        cmocka_unit_test(which_table_answers_look_into),
        cmocka_unit_test(what_a_reload_may_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
