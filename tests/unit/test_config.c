/* Single values: which are taken, what is said of the others, and where they go. */
#include "config_expect.h"

#include "base/util.h"

#define LONG_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_252 LONG_63 LONG_63 LONG_63 LONG_63
#define LONG_61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HOST_253 LONG_63 "." LONG_63 "." LONG_63 "." LONG_61

struct value_case {
    const char *key, *value;
    const char *want; /* NULL: valid; else what follows "f:1:COLUMN: error: KEY: " */
};

static void check_values(const char *const *lines, const struct value_case *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char first[512], want[768] = "";
        char *text;

        snprintf(first, sizeof(first), "%s: %s\n", t[i].key, t[i].value);
        if (t[i].want)
            snprintf(want, sizeof(want), "f:1:%zu: error: %s: %s\n", strlen(t[i].key) + 3, t[i].key,
                     t[i].want);
        text = text_make(lines, first, t[i].key);
        expect(text, want);
        free(text);
    }
}

static void client_values(void **state)
{
    static const struct value_case t[] = {
        {"remote_port", "1", NULL},
        {"remote_port", "65535", NULL},
        {"remote_port", "'443'", NULL},
        {"remote_port", "0", "'0' is out of range; write 1 to 65535"},
        {"remote_port", "65536", "'65536' is out of range; write 1 to 65535"},
        {"remote_port", "4294967297", "'4294967297' is out of range; write 1 to 65535"},
        {"remote_port", "18446744073709551617",
         "'18446744073709551617' is out of range; write 1 to 65535"},
        {"remote_port", "-1", "'-1' is not a number; write 1 to 65535 in decimal digits"},
        {"remote_port", "0x50", "'0x50' is not a number; write 1 to 65535 in decimal digits"},
        {"remote_port", "080", "'080' starts with a zero; write 1 to 65535 without leading zeros"},
        {"remote_port", "45_001", "'45_001' is not a number; write 1 to 65535 in decimal digits"},
        {"remote_port", "''", "'' is not a number; write 1 to 65535 in decimal digits"},

        {"mtu", "auto", NULL},
        {"mtu", "1280", NULL},
        {"mtu", "65535", NULL},
        {"mtu", "1279", "'1279' is out of range; write auto, or 1280 to 65535"},
        {"mtu", "65536", "'65536' is out of range; write auto, or 1280 to 65535"},
        {"mtu", "0", "'0' is out of range; write auto, or 1280 to 65535"},
        {"mtu", "automatic",
         "'automatic' is not a valid number or word; write auto, or 1280 to 65535 in decimal "
         "digits"},

        {"bind_ip", "192.0.2.7", NULL},
        {"bind_ip", "if:enatt0.3242", NULL},
        {"bind_ip", "if:abcdefghijklmno", NULL},
        {"bind_ip", "'if:'", "'' is empty"},
        {"bind_ip", "if:abcdefghijklmnop",
         "'abcdefghijklmnop' is longer than the 15 characters of an interface name"},
        {"bind_ip", "if:a/b", "'a/b' has a character that an interface name cannot have"},
        {"bind_ip", "if:..", "'..' cannot be the name of an interface"},
        {"bind_ip", "enp7s3",
         "'enp7s3' is neither an address nor if:NAME; for the interface write if:enp7s3"},
        {"bind_ip", "192.0.2.256", "'192.0.2.256' is neither an address nor if:NAME"},
        {"bind_ip", "224.0.0.1", "'224.0.0.1' is not an address that a socket can have"},
        {"bind_ip", "::ffff:192.0.2.1",
         "'::ffff:192.0.2.1' is not an address that a socket can have"},
        {"bind_ip", "fe80::1", "'fe80::1' is a link-local address; write if:NAME"},

        {"remote_addr", "2001:db8:1::7", NULL},
        {"remote_addr", "vps.example.net", NULL},
        {"remote_addr", "vps.example.net.", NULL},
        {"remote_addr", "vps_1.example.net", NULL},
        {"remote_addr", "vps", NULL},
        {"remote_addr", "3com.example", NULL},
        {"remote_addr", HOST_253, NULL},
        {"remote_addr", HOST_253 "a",
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is neither a host name "
         "nor an address"},
        {"remote_addr", "xn--caf-dma.example", NULL},
        {"remote_addr", "''", "'' is neither a host name nor an address"},
        {"remote_addr", "203.0.113.300", "'203.0.113.300' is neither a host name nor an address"},
        {"remote_addr", "203.0.113", "'203.0.113' is neither a host name nor an address"},
        {"remote_addr", "a..b", "'a..b' is neither a host name nor an address"},
        {"remote_addr", ".a", "'.a' is neither a host name nor an address"},
        {"remote_addr", "-a.example", "'-a.example' is neither a host name nor an address"},
        {"remote_addr", "a b", "'a b' is neither a host name nor an address"},
        {"remote_addr", "vps.example.net:45001",
         "'vps.example.net:45001' is neither a host name nor an address; the port goes into "
         "remote_port"},
        {"remote_addr", "'[2001:db8::7]'",
         "'[2001:db8::7]' is neither a host name nor an address; write an IPv6 address without "
         "brackets"},
        {"remote_addr", LONG_63 "a.example",
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is neither a host name "
         "nor an address"},
        {"remote_addr", "0.0.0.0",
         "'0.0.0.0' is not the address of a host; write the host's own address, or its name"},
        {"remote_addr", "0.1.2.3",
         "'0.1.2.3' is not the address of a host; write the host's own address, or its name"},
        {"remote_addr", "255.255.255.255",
         "'255.255.255.255' is not the address of a host; write the host's own address, or its "
         "name"},
        {"remote_addr", "1.2.3.4.5", "'1.2.3.4.5' is neither a host name nor an address"},
        {"remote_addr", "ff02::1",
         "'ff02::1' is not the address of a host; write the host's own address, or its name"},
        {"remote_addr", "fe80::1", "'fe80::1' is a link-local address"},
        {"tls_server_name", "hub.example.net", NULL},
        {"tls_server_name", "203.0.113.10", NULL},
        {"tls_server_name", "h/b", "'h/b' is neither a host name nor an address"},

        {"tun_name", "mpq1", NULL},
        {"tun_name", "abcdefghijklmno", NULL},
        {"tun_name", "abcdefghijklmnop",
         "'abcdefghijklmnop' is longer than the 15 characters of an interface name"},
        {"tun_name", "''", "'' is empty"},
        {"tun_name", ".", "'.' cannot be the name of an interface"},
        {"tun_name", "..", "'..' cannot be the name of an interface"},
        {"tun_name", "lo", "'lo' is the loopback interface"},
        {"tun_name", "all", "'all' cannot be the name of an interface"},
        {"tun_name", "mpq/1", "'mpq/1' has a character that an interface name cannot have"},
        {"tun_name", "mpq%d", "'mpq%d' has a character that an interface name cannot have"},
        {"tun_name", "mpq 1", "'mpq 1' has a character that an interface name cannot have"},
        {"tun_name", "mpq:1", "'mpq:1' has a character that an interface name cannot have"},
        {"tun_name", "mpq*", "'mpq*' has a character that an interface name cannot have"},
        {"tun_name", "'mp\"q'", "'mp\"q' has a character that an interface name cannot have"},
        {"tun_name", "\"mpq\\u00e9\"",
         "'mpq\\xc3\\xa9' has a character that an interface name cannot have"},

        {"tun_cidr", "auto", NULL},
        {"tun_cidr", "Auto", "'Auto' is not ADDRESS/LENGTH"},
        {"tun_cidr", "10.200.1.1/31", NULL},
        {"tun_cidr", "10.200.1.0/31", NULL},
        {"tun_cidr", "10.200.1.0/32", NULL},
        {"tun_cidr", "fd00:200:1::1/126", NULL},
        {"tun_cidr", "fd00:200:1::3/126", NULL},
        {"tun_cidr", "fd00:200:1::/127", NULL},
        {"tun_cidr", "[10.200.1.1/30, 'fd00:200:1::1/126']", NULL},
        {"tun_cidr", "10.200.1.0/30",
         "'10.200.1.0/30' is the network address; use an address between the first and the last of "
         "the network"},
        {"tun_cidr", "10.200.1.3/30",
         "'10.200.1.3/30' is the broadcast address; use an address between the first and the last "
         "of the network"},
        {"tun_cidr", "fd00:200:1::/126",
         "'fd00:200:1::/126' is the network address; use an address between the first and the last "
         "of the network"},
        {"tun_cidr", "10.200.1.1", "'10.200.1.1' has no prefix length; write 10.200.1.1/LENGTH"},
        {"tun_cidr", "10.200.1.1/33",
         "'10.200.1.1/33' is not ADDRESS/LENGTH; the length is at most 32 in IPv4, and 128 in "
         "IPv6"},
        {"tun_cidr", "255.255.255.255/32",
         "'255.255.255.255/32' is not the address of a host; take one of a private network, for "
         "example 10.200.1.1/30"},
        {"tun_cidr", "240.0.0.1/24",
         "'240.0.0.1/24' is not the address of a host; take one of a private network, for example "
         "10.200.1.1/30"},
        {"tun_cidr", "0.1.2.3/24",
         "'0.1.2.3/24' is not the address of a host; take one of a private network, for example "
         "10.200.1.1/30"},
        {"tun_cidr", "10.200.1.1/0",
         "'10.200.1.1/0' is not the address of a host; take one of a private network, for example "
         "10.200.1.1/30"},
        {"tun_cidr", "0.0.0.0/8",
         "'0.0.0.0/8' is not the address of a host; take one of a private network, for example "
         "10.200.1.1/30"},
        {"tun_cidr", "fe80::1/64",
         "'fe80::1/64' is not in the unicast address space that a tunnel carries; take one of a "
         "private network, for example fd00:200:1::1/64"},
        {"tun_cidr", "127.0.0.1/8",
         "'127.0.0.1/8' is not in the unicast address space that a tunnel carries; take one of a "
         "private network, for example 10.200.1.1/30"},
        {"tun_cidr", "239.0.0.1/8",
         "'239.0.0.1/8' is not in the unicast address space that a tunnel carries; take one of a "
         "private network, for example 10.200.1.1/30"},

        {"instance_id", "cr5", NULL},
        {"instance_id", "aA0.-_aA0.-_aA0.-_aA0.-_aA0.-_aA", NULL},
        {"instance_id", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is too long; at most 32 bytes"},
        {"instance_id", "''", "'' is empty"},
        {"instance_id", ".", "'.' is reserved"},
        {"instance_id", "..", "'..' is reserved"},
        {"instance_id", "a/b",
         "'a/b' has characters other than letters, digits, \"-\", \"_\", \".\""},
        {"routes", "10.0.0.0/8", NULL},
        {"routes", "[0.0.0.0/1, 128.0.0.0/1, '::/0']", NULL},
        {"routes", "10.0.0.1/8",
         "'10.0.0.1/8' has bits set behind its length; the network is 10.0.0.0/8"},

        {"tls_ca_file", "\"/etc/citt\\u00e0.pem\"", NULL},
        {"tls_ca_file", "/with space and #.pem", NULL},
        {"tls_ca_file", "''", "'' is empty"},
        {"tls_ca_file", "\"/a\\nb\"", "'/a\\x0ab' has control characters"},
        {"tls_ca_file", "/" LONG_252 "aa", NULL},
        {"tls_ca_file", "/" LONG_252 "aaa",
         "'/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is too long; at most "
         "255 "
         "bytes"},
        {"token_file", "/etc/mpquic/token", NULL},
        {"token_file", "''", "'' is empty"},

        {"tls_insecure_skip_verify", "false", NULL},
        {"tls_insecure_skip_verify", "No", NULL},
        {"tls_insecure_skip_verify", "nope", "'nope' is neither true nor false"},
        {"multipath_enabled", "off", NULL},
        {"multipath_enabled", "1", "'1' is neither true nor false"},
        {"multipath_policy", "priority", NULL},
        {"multipath_policy", "failover", NULL},
        {"multipath_policy", "balanced", NULL},
        {"multipath_policy", "bond", NULL},
        {"multipath_policy", "ballanced",
         "'ballanced' is not one of the values; did you mean 'balanced'? Values: priority, "
         "failover, balanced, bond, pin, duplicate or lowest-latency"},
        {"congestion_control", "cubic", NULL},
        {"congestion_control", "bbr", NULL},
        {"congestion_control", "reno", "'reno' is not one of the values; values: cubic or bbr"},
        {"lanes", "1", NULL},
        {"lanes", "16", NULL},
        {"lanes", "2..2", NULL},
        {"lanes", "1..16", NULL},
        {"lanes", "0", "'0' is out of range; write 1 to 16, or a part of it as MIN..MAX"},
        {"lanes", "17", "'17' is out of range; write 1 to 16, or a part of it as MIN..MAX"},
        {"lanes", "0..4", "'0..4' is out of range; write 1 to 16, or a part of it as MIN..MAX"},
        {"lanes", "1..99999999999999999999",
         "'1..99999999999999999999' is out of range; write 1 to 16, or a part of it as MIN..MAX"},
        {"lanes", "8..4", "'8..4' ends before it begins; write 4..8"},
        {"lanes", "1-4", "'1-4' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "1.4", "'1.4' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "1..", "'1..' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "..4", "'..4' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "1..4x", "'1..4x' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "01..4", "'01..4' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "1..04", "'1..04' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "auto", "'auto' is neither a number nor MIN..MAX; write for example 1..16"},
        {"lanes", "''", "'' is neither a number nor MIN..MAX; write for example 1..16"},
        {"log_level", "error", NULL},
        {"log_level", "info", NULL},
        {"log_level", "debug", NULL},
        {"log_level", "debgu",
         "'debgu' is not one of the values; did you mean 'debug'? Values: error, info or debug"},
        {"log_level", "INFO", "'INFO' is not one of the values; values: error, info or debug"},
    };

    check_values(client_lines, t, ARRAY_LEN(t));
}

static void server_values(void **state)
{
    static const struct value_case t[] = {
        {"bind_ip", "0.0.0.0", NULL},
        {"bind_ip", "'::'", NULL},
        {"bind_ip", "if:eth0", NULL},
        {"peer_prefixes", "172.16.1.0/30", NULL},
        {"peer_prefixes", "10.1.2.3/32", NULL},
        {"peer_prefixes", "[172.16.1.0/30, 'fd00:16:1::/64']", NULL},
        {"peer_prefixes", "172.16.1.1/30",
         "'172.16.1.1/30' has bits set behind its length; the network is 172.16.1.0/30"},
        {"peer_prefixes", "172.16.1.0",
         "'172.16.1.0' has no prefix length; write 172.16.1.0/LENGTH"},
        {"peer_prefixes", "fe80::/64",
         "'fe80::/64' is not in the unicast address space that a tunnel carries; take one of a "
         "private network, for example fd00:200:1::1/64"},
        {"peer_prefixes", "LAN", "'LAN' is not ADDRESS/LENGTH"},
        {"allowed_clients", "edge1.example.net", NULL},
        {"allowed_clients", "[Edge One, \"Edge Zw\\u00f6lf\"]", NULL},
        {"allowed_clients", "' x'", "' x' has control characters, or spaces around it"},
        {"allowed_clients", "\"x\\ty\"", "'x\\x09y' has control characters, or spaces around it"},
        {"allowed_clients", "''", "'' is empty"},
        {"allowed_clients", LONG_63, NULL},
        {"allowed_clients", LONG_63 "a",
         "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' is too long; at most "
         "63 "
         "bytes"},
        {"tokens_file", "/etc/mpquic/tokens", NULL},
        {"multi_conn_enabled", "false", NULL},
        {"multi_conn_enabled", "true", NULL},
        {"multi_conn_enabled", "maybe", "'maybe' is neither true nor false"},
        {"tls_crl_file", "/etc/mpquic/tls/crl.pem", NULL},
        {"address_pool", "10.200.1.0/30", NULL},
        {"address_pool", "10.200.1.1",
         "'10.200.1.1' has no prefix length; write 10.200.1.1/LENGTH"},
        {"max_peers", "0", "'0' is out of range; write 1 to 65536"},
        {"max_peers", "65537", "'65537' is out of range; write 1 to 65536"},
    };

    check_values(server_lines, t, ARRAY_LEN(t));
}

static void values_of_a_path(void **state)
{
    static const struct value_case t[] = {
        {"name", "wan-1.a_b", NULL},
        {"name", "''", "'' is empty"},
        {"name", "wan 1", "'wan 1' has characters other than letters, digits, \"-\", \"_\", \".\""},
        {"name", "fifteen-letters", NULL},
        {"name", "sixteen-letters-", "'sixteen-letters-' is too long; at most 15 bytes"},
        {"bind_ip", "192.0.2.7", NULL},
        {"bind_ip", "wan",
         "'wan' is neither an address nor if:NAME; for the interface write if:wan"},
        {"remote_addr", "hub.example.net", NULL},
        {"remote_addr", "h h", "'h h' is neither a host name nor an address"},
        {"remote_port", "45001", NULL},
        {"remote_port", "0", "'0' is out of range; write 1 to 65535"},
        {"priority", "0", NULL},
        {"priority", "1000", NULL},
        {"priority", "1001", "'1001' is out of range; write 0 to 1000"},
        {"weight", "1", NULL},
        {"weight", "1000", NULL},
        {"weight", "0", "'0' is out of range; write 1 to 1000"},
        {"weight", "1001", "'1001' is out of range; write 1 to 1000"},
    };

    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char first[512], want[512] = "";

        snprintf(first, sizeof(first), "multipath_paths:\n  - %s: %s\n%s%s", t[i].key, t[i].value,
                 strcmp(t[i].key, "name") ? "    name: a\n" : "",
                 strcmp(t[i].key, "bind_ip") ? "    bind_ip: if:a\n" : "");
        if (t[i].want)
            snprintf(want, sizeof(want), "f:2:%zu: error: %s: %s\n", strlen(t[i].key) + 7, t[i].key,
                     t[i].want);
        expect_client(first, "", want);
    }
}

static void values_reach_the_struct(void **state)
{
    struct tunnel_config c;
    char buf[IP_PREFIX_STR_MAX];

    parse_ok("role: client\nbind_ip: if:enp7s3\nremote_addr: hub.example.net\nremote_port: 45001\n"
             "tun_name: mpq1\ntun_cidr: [10.200.1.1/30, 'fd00:200:1::1/126']\nmtu: 1400\n"
             "tls_cert_file: /c\ntls_key_file: /k\ntls_ca_file: /a\ntls_server_name: hub\n"
             "token_file: /t\ncongestion_control: cubic\nlanes: 2..5\nlog_level: debug\n"
             "multipath_enabled: false\nmultipath_policy: balanced\nmultipath_paths:\n"
             "  - {name: w1, bind_ip: 192.0.2.1, remote_addr: 203.0.113.9, remote_port: 7, "
             "priority: 2, weight: 3}\n"
             "  - {name: w2, bind_ip: 'if:w2'}\n",
             &c);
    assert_int_equal(c.role, CONFIG_ROLE_CLIENT);
    assert_string_equal(c.bind.ifname, "enp7s3");
    assert_int_equal(c.bind.addr.family, 0);
    assert_string_equal(c.remote_addr, "hub.example.net");
    assert_int_equal(c.remote_port, 45001);
    assert_string_equal(c.tun_name, "mpq1");
    assert_int_equal(c.n_tun_addr, 2);
    assert_string_equal(ip_prefix_str(&c.tun_addr[0], buf), "10.200.1.1/30");
    assert_string_equal(ip_prefix_str(&c.tun_addr[1], buf), "fd00:200:1::1/126");
    assert_int_equal(c.mtu, 1400);
    assert_string_equal(c.tls_cert_file, "/c");
    assert_string_equal(c.tls_key_file, "/k");
    assert_string_equal(c.tls_ca_file, "/a");
    assert_string_equal(c.tls_server_name, "hub");
    assert_string_equal(c.token_file, "/t");
    assert_int_equal(c.congestion_control, CONFIG_CC_CUBIC);
    assert_int_equal(c.lanes.min, 2);
    assert_int_equal(c.lanes.max, 5);
    assert_int_equal(c.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c.multipath_policy, CONFIG_MP_BALANCED);
    assert_int_equal(c.n_paths, 2);
    assert_string_equal(c.paths[0].name, "w1");
    assert_int_equal(c.paths[0].bind.addr.family, 4);
    assert_int_equal(c.paths[0].remote_port, 7);
    assert_int_equal(c.paths[0].priority, 2);
    assert_int_equal(c.paths[0].weight, 3);
    assert_string_equal(c.paths[1].bind.ifname, "w2");
    assert_string_equal(c.paths[1].remote_addr, "");
    assert_int_equal(c.paths[1].priority, 1);
    assert_int_equal(c.paths[1].weight, 1);
}

static void defaults(void **state)
{
    struct tunnel_config c;
    char *text = text_make(server_lines, "", "");

    parse_ok(text, &c);
    assert_int_equal(c.role, CONFIG_ROLE_SERVER);
    assert_int_equal(c.bind.addr.family, 0);
    assert_string_equal(c.bind.ifname, "");
    assert_int_equal(c.mtu, 0);
    assert_int_equal(c.congestion_control, CONFIG_CC_BBR);
    assert_int_equal(c.log_level, LOG_LEVEL_INFO);
    assert_false(c.tls_insecure_skip_verify);
    assert_false(c.multi_conn_enabled);
    assert_false(c.multipath_enabled);
    assert_int_equal(c.n_allowed_clients, 0);
    assert_int_equal(c.n_peer_prefixes, 0);
    assert_int_equal(c.n_paths, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_values),    cmocka_unit_test(server_values),
        cmocka_unit_test(values_of_a_path), cmocka_unit_test(values_reach_the_struct),
        cmocka_unit_test(defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
