#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "config/report.h"
#include "config_text.h"

#define LONG_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_252 LONG_63 LONG_63 LONG_63 LONG_63
#define LONG_61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HOST_253 LONG_63 "." LONG_63 "." LONG_63 "." LONG_61

/* Parse and compare the whole report. An expected report without errors means success. */
static void expect_len(const char *text, size_t len, const char *want)
{
    struct tunnel_config c;
    int err;
    char *got;

    memset(&c, 0xa5, sizeof(c));
    got = text_report(text, len, &c, &err);
    assert_string_equal(got, want);
    assert_int_equal(err, strstr(want, " error: ") ? -EINVAL : 0);
    if (!err)
        config_done(&c);
    if (err) /* the output is untouched */
        for (size_t i = 0; i < sizeof(c); i++)
            assert_int_equal(((unsigned char *)&c)[i], 0xa5);
    free(got);
}

static void expect(const char *text, const char *want)
{
    expect_len(text, strlen(text), want);
}

static void expect_client(const char *first, const char *without, const char *want)
{
    char *text = text_make(client_lines, first, without);

    expect(text, want);
    free(text);
}

static void expect_server(const char *first, const char *without, const char *want)
{
    char *text = text_make(server_lines, first, without);

    expect(text, want);
    free(text);
}

static void parse_ok(const char *text, struct tunnel_config *ret)
{
    int err;
    char *report = text_report(text, strlen(text), ret, &err);

    assert_string_equal(report, "");
    assert_int_equal(err, 0);
    free(report);
}

/* ---- single values ---- */

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
             "multipath_policy: balanced\nmultipath_paths:\n"
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

/* ---- rules between keys ---- */

static void missing_keys(void **state)
{
    static const struct {
        const char *key, *example;
    } client[] = {{"remote_addr", "203.0.113.10"},
                  {"remote_port", "45001"},
                  {"tun_name", "mpq1"},
                  {"tls_ca_file", "/etc/mpquic/tls/ca.crt"}},
      server[] = {{"remote_port", "45001"},
                  {"tun_name", "mpq1"},
                  {"tun_cidr", "10.200.1.1/30"},
                  {"tls_cert_file", "/etc/mpquic/tls/edge.crt"},
                  {"tls_key_file", "/etc/mpquic/tls/edge.key"}};
    char want[256];

    for (size_t i = 0; i < ARRAY_LEN(client); i++) {
        snprintf(want, sizeof(want), "f:1:7: error: a client needs %s; add for example '%s: %s'\n",
                 client[i].key, client[i].key, client[i].example);
        expect_client("", client[i].key, want);
    }
    for (size_t i = 0; i < ARRAY_LEN(server); i++) {
        snprintf(want, sizeof(want), "f:1:7: error: a server needs %s; add for example '%s: %s'\n",
                 server[i].key, server[i].key, server[i].example);
        expect_server("", server[i].key, want);
    }
}

static void the_role_is_mandatory(void **state)
{
    expect_client("", "role",
                  "f:1:1: error: the role is missing; add 'role: client' or 'role: server'\n");
    expect_client("role: clinet\n", "role",
                  "f:1:7: error: role: 'clinet' is not one of the values; did you mean 'client'? "
                  "Values: client or server\n");
    expect("role: [client]\n", "f:1:7: error: role: a list where one value is expected\n");
}

/* What is printed without the extension is valid: the default says nothing about it. */
static void lanes_need_the_extension(void **state)
{
    expect_client("session_extension: false\nlanes: 1..16\n", "", "");
    expect_client("lanes: 2..4\n", "", "");
    expect_client(
        "session_extension: false\nlanes: 2..4\n", "",
        "f:2:8: warning: lanes has no effect without session_extension: there is one; set "
        "session_extension to true, or remove it\n");
    expect_server("lanes: 1\n", "", "f:1:1: warning: lanes has no effect on a server; remove it\n");
}

static void client_authentication(void **state)
{
    static const char token[] = "token_file: /t\n";

    expect_client(token, "tls_cert_file tls_key_file", "");
    expect_client(token, "", "");
    expect_client("", "tls_cert_file tls_key_file",
                  "f:1:7: error: a client needs something to show to the server; add "
                  "tls_cert_file and tls_key_file, or token_file\n");
    expect_client("", "tls_key_file",
                  "f:7:16: error: tls_cert_file without tls_key_file; a certificate and its key go "
                  "together\n");
    expect_client(token, "tls_cert_file",
                  "f:8:15: error: tls_key_file without tls_cert_file; a certificate and its key go "
                  "together\n");
}

static void verification_is_skipped_with_a_warning(void **state)
{
    static const char skip[] = "tls_insecure_skip_verify: true\n";

    expect_client(skip, "tls_ca_file",
                  "f:1:27: warning: the server's certificate is not verified: anybody on the way "
                  "can read and change the traffic; set it to false and name the CA in "
                  "tls_ca_file\n");
    expect_client("tls_insecure_skip_verify: true\ntoken_file: /t\n", "",
                  "f:1:27: warning: the server's certificate is not verified: anybody on the way "
                  "can read and change the traffic, and learns the token; set it to false and name "
                  "the CA in tls_ca_file\n");
}

static void a_server_needs_client_authentication(void **state)
{
    static const char want[] =
        "f:1:7: error: no client authentication configured; add tls_ca_file (clients show "
        "certificates) or tokens_file (clients show tokens)\n";
    struct config_report report = {0};
    struct tunnel_config c;
    char *text = text_make(server_lines, "", "tls_ca_file");

    expect(text, want);
    assert_int_equal(config_parse(text, strlen(text), &c, &report), -EINVAL);
    assert_int_equal(report.n_errors, 1);
    assert_int_equal(report.v[0].kind, CONFIG_PROBLEM_NO_CLIENT_AUTH);
    config_report_done(&report);
    free(text);
    expect_server("tokens_file: /t\n", "tls_ca_file", "");
    expect_server("allowed_clients: a\ntokens_file: /t\n", "tls_ca_file",
                  "f:1:18: error: allowed_clients names certificates, but no tls_ca_file is there "
                  "to verify them; add tls_ca_file; which tokens are valid is what tokens_file "
                  "says\n");
}

static void keys_of_the_other_role(void **state)
{
    expect_client("tokens_file: /t\n", "",
                  "f:1:1: error: tokens_file is for servers only; a client reads its token from "
                  "token_file\n");
    expect_client("peer_prefixes: x\n", "",
                  "f:1:1: error: peer_prefixes is for servers only; remove it\n");
    expect_client("allowed_clients: x\n", "",
                  "f:1:1: error: allowed_clients is for servers only; remove it\n");
    expect_client("multi_conn_enabled: true\n", "",
                  "f:1:1: warning: multi_conn_enabled has no effect on a client; remove it\n");
    expect_server("token_file: /t\n", "",
                  "f:1:1: error: token_file is for clients only; a server reads the tokens that it "
                  "accepts from tokens_file\n");
    expect_server("remote_addr: ''\n", "",
                  "f:1:1: warning: remote_addr has no effect on a server; remove it\n");
    expect_server(
        "tls_insecure_skip_verify: true\n", "",
        "f:1:1: warning: tls_insecure_skip_verify has no effect on a server; remove it\n");
    expect_server("tls_server_name: a\n", "",
                  "f:1:1: warning: tls_server_name has no effect on a server; remove it\n");
    expect_server("multipath_enabled: true\nmultipath_policy: x\nmultipath_paths: []\n", "",
                  "f:1:1: warning: multipath_enabled has no effect on a server; remove it\n"
                  "f:2:1: warning: multipath_policy has no effect on a server; remove it\n"
                  "f:3:1: warning: multipath_paths has no effect on a server; remove it\n");
}

static void tunnel_addresses_are_one_of_each_family(void **state)
{
    expect_client("tun_cidr: [10.1.0.1/30, 10.2.0.1/30]\n", "tun_cidr",
                  "f:1:12: error: tun_cidr has two IPv4 addresses; give at most one IPv4 and one "
                  "IPv6 address\n");
    expect_client("tun_cidr:\n  - fd00::1/126\n  - fd01::1/126\n", "tun_cidr",
                  "f:2:5: error: tun_cidr has two IPv6 addresses; give at most one IPv4 and one "
                  "IPv6 address\n");
    expect_client("tun_cidr: [10.1.0.1/30, 'fd00::1/64', 10.2.0.1/30]\n", "tun_cidr",
                  "f:1:39: error: tun_cidr: more than 2 elements\n");
}

static void families_match(void **state)
{
    static const char hint[] = "use addresses of one family, or bind_ip: if:NAME\n";
    char want[256];

    snprintf(want, sizeof(want),
             "f:2:14: error: an IPv6 remote_addr cannot be reached from an IPv4 bind_ip; %s", hint);
    expect_client("bind_ip: 192.0.2.1\nremote_addr: 2001:db8::1\n", "bind_ip remote_addr", want);
    snprintf(want, sizeof(want),
             "f:1:14: error: an IPv4 remote_addr cannot be reached from an IPv6 bind_ip; %s", hint);
    expect_client("remote_addr: 192.0.2.1\nbind_ip: 2001:db8::1\n", "bind_ip remote_addr", want);
    expect_client("remote_addr: hub.example\nbind_ip: 2001:db8::1\n", "bind_ip remote_addr", "");
    expect_client(
        "bind_ip: 0.0.0.0\n", "bind_ip",
        "f:1:10: warning: this bind_ip ties the tunnel to no WAN; write if:NAME, or leave "
        "it out if any WAN will do\n");
}

static void peer_prefixes_are_looked_at(void **state)
{
    expect_server("peer_prefixes: [10.0.0.0/8, 0.0.0.0/0, 10.0.0.0/8]\n", "",
                  "f:1:29: warning: a peer may use any source address of this family; name the "
                  "networks behind the peer\n"
                  "f:1:40: warning: peer_prefixes lists this network twice; remove one\n");
    expect_server("allowed_clients: [a, b, a]\n", "",
                  "f:1:25: warning: allowed_clients lists this name twice; remove one\n");
}

static void what_a_path_does_not_say_is_the_instances(void **state)
{
    char *text = text_make(client_lines,
                           "multipath_enabled: true\nmultipath_paths:\n"
                           "  - {name: a, bind_ip: if:w1}\n"
                           "  - {name: b, bind_ip: 192.0.2.1, remote_addr: h, "
                           "remote_port: 7}\n",
                           "bind_ip");
    struct tunnel_config c;

    parse_ok(text, &c);
    assert_int_equal(config_paths(&c), 2);
    assert_string_equal(config_path_name(&c, 1), "b");
    assert_string_equal(config_path_bind(&c, 0)->ifname, "w1");
    assert_int_equal(config_path_bind(&c, 1)->addr.family, 4);
    assert_string_equal(config_path_remote(&c, 0), c.remote_addr);
    assert_string_equal(config_path_remote(&c, 1), "h");
    assert_int_equal(config_path_port(&c, 0), c.remote_port);
    assert_int_equal(config_path_port(&c, 1), 7);
    assert_int_equal(c.multipath_policy, CONFIG_MP_BOND);
    c.multipath_enabled = false;
    assert_int_equal(config_paths(&c), 1);
    assert_string_equal(config_path_name(&c, 0), "");
    assert_ptr_equal(config_path_bind(&c, 0), &c.bind);
    assert_string_equal(config_path_remote(&c, 0), c.remote_addr);
    config_done(&c);
    free(text);
}

static void paths_are_checked(void **state)
{
    static const char good[] = "multipath_paths:\n"
                               "  - name: w1\n"
                               "    bind_ip: if:w1\n"
                               "  - name: w2\n"
                               "    bind_ip: 192.0.2.1\n";
    char text[512];

    expect_client(good, "", "");
    snprintf(text, sizeof(text), "multipath_enabled: true\n%s", good);
    expect_client(text, "bind_ip", "");
    snprintf(text, sizeof(text), "multipath_enabled: true\nbind_ip: if:w1\n%s", good);
    expect_client(text, "bind_ip",
                  "f:2:10: warning: bind_ip has no effect with multipath_enabled; remove it: each "
                  "path has its own\n");
    snprintf(text, sizeof(text), "multipath_enabled: true\nsession_extension: false\n%s", good);
    expect_client(text, "bind_ip",
                  "f:1:20: error: multipath_enabled needs the session extension; set "
                  "session_extension to true\n");
    expect_client("multipath_enabled: true\n", "bind_ip",
                  "f:1:20: error: multipath_enabled without any path; list the paths in "
                  "multipath_paths\n");
    expect_client("multipath_paths:\n"
                  "  - {name: a, bind_ip: if:w1}\n"
                  "  - {name: b, bind_ip: if:w1}\n"
                  "  - {name: c, bind_ip: 192.0.2.1}\n"
                  "  - {name: d, bind_ip: 192.0.2.1}\n"
                  "  - {name: e, bind_ip: 0.0.0.0}\n",
                  "",
                  "f:3:24: warning: the paths 'a' and 'b' use one WAN; give each path a WAN of its "
                  "own; several connections over one WAN are what lanes says\n"
                  "f:5:24: warning: the paths 'c' and 'd' use one WAN; give each path a WAN of its "
                  "own; several connections over one WAN are what lanes says\n"
                  "f:6:24: warning: this bind_ip ties the path to no WAN; write if:NAME\n");
    expect_client("multipath_paths:\n"
                  "  - name: w1\n"
                  "    bind_ip: if:w1\n"
                  "    wieght: 3\n"
                  "  - name: w1\n"
                  "    bind_ip: 2001:db8::1\n"
                  "  - weight: 2\n"
                  "  - just text\n"
                  "  - name: w4\n"
                  "    bind_ip: 192.0.2.1\n"
                  "    remote_addr: 2001:db8::2\n"
                  "    tun_name: x\n",
                  "",
                  "f:4:5: error: unknown key 'wieght'; did you mean 'weight'?\n"
                  "f:5:5: error: an IPv4 remote_addr cannot be reached from an IPv6 bind_ip; use "
                  "addresses of one family, or bind_ip: if:NAME\n"
                  "f:5:11: error: two paths are called 'w1'; give each its own name\n"
                  "f:7:5: error: a path needs name\n"
                  "f:7:5: error: a path needs bind_ip\n"
                  "f:8:5: error: a path must be a mapping of keys; write '- name: wan1' and its "
                  "other keys below\n"
                  "f:11:18: error: an IPv6 remote_addr cannot be reached from an IPv4 bind_ip; use "
                  "addresses of one family, or bind_ip: if:NAME\n"
                  "f:12:5: error: unknown key 'tun_name'; it belongs to the instance, not to a "
                  "path\n");
}

static void relative_files(void **state)
{
    expect_client("tls_ca_file: ca.crt\n", "tls_ca_file",
                  "f:1:14: warning: tls_ca_file is relative to the directory that mpquic is "
                  "started in; write it from the root: /...\n");
}

static void unknown_keys(void **state)
{
    expect_client("remote_prot: 1\n", "",
                  "f:1:1: error: unknown key 'remote_prot'; did you mean 'remote_port'?\n");
    expect_client("  \n", "", "");
    expect_client("weight: 1\n", "",
                  "f:1:1: error: unknown key 'weight'; it belongs into an entry of "
                  "multipath_paths\n");
    expect_client("colour: red\n", "",
                  "f:1:1: error: unknown key 'colour'; the keys are listed in mpquic.yaml(5)\n");
    expect_client("\"a\\u001b[31mb\\\\\": 1\n", "",
                  "f:1:1: error: unknown key 'a\\x1b[31mb\\x5c'; the keys are listed in "
                  "mpquic.yaml(5)\n");
    expect_client("\"role\\0\": 1\n", "",
                  "f:1:1: error: unknown key 'role\\x00'; did you mean 'role'?\n");
}

/* ---- YAML ---- */

static void all_problems_at_once_in_order(void **state)
{
    expect("role: client\n"
           "bind_ip: enp7s3\n"
           "remote_add: 1.2.3.4\n"
           "remote_port: 70000\n"
           "tun_name: mpq1\n"
           "tun_cidr: [10.200.1.0/30, 10.1.1.1/24]\n"
           "log_level: inf\n"
           "log_level: info\n"
           "tls_ca_file: &a /x\n"
           "tls_key_file: /k\n",
           "f:1:7: error: a client needs remote_addr; add for example 'remote_addr: "
           "203.0.113.10'\n"
           "f:2:10: error: bind_ip: 'enp7s3' is neither an address nor if:NAME; for the interface "
           "write if:enp7s3\n"
           "f:3:1: error: unknown key 'remote_add'; did you mean 'remote_addr'?\n"
           "f:4:14: error: remote_port: '70000' is out of range; write 1 to 65535\n"
           "f:6:12: error: tun_cidr: '10.200.1.0/30' is the network address; use an address "
           "between the first and the last of the network\n"
           "f:7:12: error: log_level: 'inf' is not one of the values; did you mean 'info'? Values: "
           "error, info or debug\n"
           "f:8:1: error: duplicate key 'log_level'; it stands in line 7 already\n"
           "f:9:14: error: anchors (&) are not supported; write the value itself\n"
           "f:10:15: error: tls_key_file without tls_cert_file; a certificate and its key go "
           "together\n");
}

static void what_is_refused_of_yaml(void **state)
{
    expect_client("log_level: !!str info\n", "",
                  "f:1:12: error: tags (!) are not supported; write the value itself\n");
    expect_client("multipath_paths: &p\n  - {name: a, bind_ip: 'if:a'}\n", "",
                  "f:1:18: error: anchors (&) are not supported; write the value itself\n");
    expect_client("log_level: *x\n", "",
                  "f:1:12: error: aliases (*) are not supported; write the value itself\n");
    expect_client("[a, b]: info\n", "",
                  "f:1:1: error: a key must be a plain name; write KEY: VALUE\n");
    expect_client("*x : info\n", "",
                  "f:1:1: error: aliases (*) are not supported; write the value itself\n");
    expect_client("log_level:\n", "",
                  "f:1:11: error: log_level has no value; write one, or remove the line\n");
    expect_client("log_level: ~\n", "",
                  "f:1:12: error: log_level has no value; write one, or remove the line\n");
    expect_client("log_level: {a: b}\n", "",
                  "f:1:12: error: log_level: a mapping where one value is expected\n");
    expect_client("log_level: \"in\\0fo\"\n", "",
                  "f:1:12: error: log_level: the value has a NUL character\n");
    expect_client("tun_cidr: []\n", "tun_cidr",
                  "f:1:11: error: tun_cidr: the list is empty; write an element, or remove the "
                  "key\n");
    expect_client("tun_cidr: [[10.200.1.1/30]]\n", "tun_cidr",
                  "f:1:12: error: tun_cidr: a list where one value is expected\n");
    expect("- role\n", "f:1:1: error: the file is not a mapping of keys; write one KEY: VALUE per "
                       "line\n");
    expect("just text\n", "f:1:1: error: the file is not a mapping of keys; write one KEY: VALUE "
                          "per line\n");
    expect("",
           "f:1:1: error: the file holds no configuration; see the example in mpquic.yaml(5)\n");
    expect("# nothing\n",
           "f:1:1: error: the file holds no configuration; see the example in mpquic.yaml(5)\n");
    expect("---\n---\nrole: client\n",
           "f:2:1: error: a second document starts here; one file per instance\n");
}

static void syntax_errors(void **state)
{
    expect("role: client\n\tbind_ip: x\n",
           "f:2:1: error: not valid YAML: found a tab character that violates indentation (while "
           "scanning a plain scalar, from line 1); indent with spaces, not with tabs\n");
    /* what stands before it is still looked at, and nothing is called missing */
    expect("role: client\nlog_level: x\nbind_ip: 'open\n",
           "f:2:12: error: log_level: 'x' is not one of the values; values: error, info or debug\n"
           "f:4:1: error: not valid YAML: found unexpected end of stream (while scanning a quoted "
           "scalar, from line 3)\n");
    expect("role: client\nbind_ip: \xff\n",
           "f:2:10: error: not valid YAML: invalid leading UTF-8 octet; the file must be text in "
           "UTF-8\n");
    expect_len("a: \0b\n", 6,
               "f:1:4: error: not valid YAML: control characters are not allowed; the file must be "
               "text in UTF-8\n");
}

static void depth_is_bounded(void **state)
{
    /* the root is the first level */
    expect("a: [[[[[[[x]]]]]]]\n",
           "f:1:1: error: unknown key 'a'; the keys are listed in mpquic.yaml(5)\n"
           "f:1:1: error: the role is missing; add 'role: client' or 'role: server'\n");
    expect("a: [[[[[[[[x]]]]]]]]\n",
           "f:1:1: error: unknown key 'a'; the keys are listed in mpquic.yaml(5)\n"
           "f:1:11: error: more than 8 levels of nesting\n");
}

static void the_number_of_values_is_bounded(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char text[65536 + 4096], *p = text;

    p += sprintf(p, "peer_prefixes: [");
    for (int i = 0; i < 32768; i++)
        p += sprintf(p, "x,");
    assert_int_equal(config_parse(text, strlen(text), &c, &report), -EINVAL);
    assert_string_equal(report.v[report.n - 1].text, "the file holds more than 32768 values");
    config_report_done(&report);
}

static void at_most_200_problems_are_kept(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char text[8192], *p = text;

    for (int i = 0; i < 300; i++)
        p += sprintf(p, "k%d: 1\n", i);
    assert_int_equal(config_parse(text, strlen(text), &c, &report), -EINVAL);
    assert_int_equal(report.n, CONFIG_PROBLEMS_MAX);
    assert_int_equal(report.n_errors, 301); /* and the missing role */
    for (size_t i = 1; i < report.n; i++)
        assert_true(report.v[i].line >= report.v[i - 1].line);
    config_report_done(&report);
    assert_null(report.v);
}

static void positions_of_values(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char *text = text_make(client_lines, "\n", "");

    assert_int_equal(config_parse(text, strlen(text), &c, &report), 0);
    assert_int_equal(report.where[0].line, 2); /* the role */
    assert_int_equal(report.where[0].column, 7);
    config_report_done(&report);
    free(text);
}

/* What some editors put in front counts neither as text nor as columns. */
static void a_byte_order_mark(void **state)
{
    static const char bom[] = "\xef\xbb\xbf";
    char first[64];

    snprintf(first, sizeof(first), "%srole: client\n", bom);
    expect_client(first, "role", "");
    snprintf(first, sizeof(first), "%srole: clinet\n", bom);
    expect_client(first, "role",
                  "f:1:7: error: role: 'clinet' is not one of the values; did you mean 'client'? "
                  "Values: client or server\n");
    expect_len(bom, 3,
               "f:1:1: error: the file holds no configuration; see the example in "
               "mpquic.yaml(5)\n");
}

/* Of each pair of lines the second is named, wherever they stand; many cost no more than few. */
static void thousands_of_keys(void **state)
{
    enum { PAIRS = 8000 };
    struct config_report report = {0};
    struct tunnel_config c;
    char *text = malloc(32 * 2 * PAIRS), *p = text;

    for (int twice = 0; twice < 2; twice++)
        for (int i = 0; i < PAIRS; i++)
            p += sprintf(p, "k%d: 1\n", i);
    assert_int_equal(config_parse(text, (size_t)(p - text), &c, &report), -EINVAL);
    assert_int_equal(report.n_errors, 2 * PAIRS + 1); /* unknown, or twice; and the missing role */
    config_report_done(&report);
    p = text;
    p += sprintf(p, "multipath_paths:\n");
    for (int i = 0; i < 3; i++)
        p += sprintf(p, "  - name: p%d\n    bind_ip: if:w%d\n", i, i);
    sprintf(p, "    name: p9\n");
    expect_client(text, "", "f:8:5: error: duplicate key 'name'; it stands in line 6 already\n");
    free(text);
}

static void quoting(void **state)
{
    char buf[REPORT_QUOTE_MAX], text[128];

    assert_string_equal(report_quote("plain", 5, buf), "plain");
    assert_string_equal(report_quote("a\0b", 3, buf), "a\\x00b");
    assert_string_equal(report_quote("\xc3\xa9\\", 3, buf), "\\xc3\\xa9\\x5c");
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, len % 2 ? 'x' : '\n', sizeof(text));
        report_quote(text, len, buf);
        assert_true(strlen(buf) < REPORT_QUOTE_MAX);
        assert_true(strlen(buf) == len * (len % 2 ? 1 : 4) || strstr(buf, "..."));
    }
}

static void expect_unreadable(const char *file, int rv, const char *text)
{
    struct config_report report = {0};
    struct tunnel_config c;

    assert_int_equal(config_load(file, &c, &report), rv);
    assert_int_equal(report.n, 1);
    assert_string_equal(report.v[0].text, text);
    config_report_done(&report);
}

/* Nobody waits for what never ends, or never comes. */
static void what_is_no_plain_file(void **state)
{
    char dir[] = "/tmp/mpquic-config-XXXXXX", path[64];
    int fd;

    assert_non_null(mkdtemp(dir));
    expect_unreadable(dir, -EINVAL, "cannot read: not a regular file");
    expect_unreadable("/dev/zero", -EINVAL, "cannot read: not a regular file");
    snprintf(path, sizeof(path), "%s/f", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_unreadable(path, -EINVAL, "cannot read: not a regular file");
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    close(fd);
    expect_unreadable(path, -EFBIG, "cannot read: the file is too large");
    unlink(path);
    rmdir(dir);
}

static void an_unreadable_file_is_one_problem(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;

    assert_int_equal(config_load("/nonexistent/1.yaml", &c, &report), -ENOENT);
    assert_int_equal(report.n, 1);
    assert_int_equal(report.v[0].line, 0);
    assert_string_equal(report.v[0].text, "cannot read: No such file or directory");
    config_report_done(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_values),
        cmocka_unit_test(server_values),
        cmocka_unit_test(values_of_a_path),
        cmocka_unit_test(values_reach_the_struct),
        cmocka_unit_test(defaults),
        cmocka_unit_test(missing_keys),
        cmocka_unit_test(the_role_is_mandatory),
        cmocka_unit_test(lanes_need_the_extension),
        cmocka_unit_test(client_authentication),
        cmocka_unit_test(verification_is_skipped_with_a_warning),
        cmocka_unit_test(a_server_needs_client_authentication),
        cmocka_unit_test(keys_of_the_other_role),
        cmocka_unit_test(tunnel_addresses_are_one_of_each_family),
        cmocka_unit_test(families_match),
        cmocka_unit_test(peer_prefixes_are_looked_at),
        cmocka_unit_test(what_a_path_does_not_say_is_the_instances),
        cmocka_unit_test(paths_are_checked),
        cmocka_unit_test(relative_files),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(all_problems_at_once_in_order),
        cmocka_unit_test(what_is_refused_of_yaml),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(at_most_200_problems_are_kept),
        cmocka_unit_test(positions_of_values),
        cmocka_unit_test(a_byte_order_mark),
        cmocka_unit_test(thousands_of_keys),
        cmocka_unit_test(quoting),
        cmocka_unit_test(what_is_no_plain_file),
        cmocka_unit_test(an_unreadable_file_is_one_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
