/* What the keys of a configuration say about each other. */
#include "config_expect.h"

#include "base/util.h"

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

static void paths_that_are_not_used_are_told(void **state)
{
    static const char paths[] = "multipath_paths:\n  - {name: a, bind_ip: if:w1}\n";

    expect_client(
        paths, "multipath_enabled",
        "f:2:5: warning: the paths are not used; set multipath_enabled to true; to false, "
        "if that is meant\n");
    expect_client(paths, "", "");
}

/* Also where only one path is not bound to an interface, and reaches the server by another address.
 */
static void routes_that_hold_the_server_are_told(void **state)
{
    static const char paths[] =
        "multipath_enabled: true\nroutes: 198.51.100.0/24\nmultipath_paths:\n"
        "  - {name: a, bind_ip: 'if:w1', remote_addr: 198.51.100.1}\n"
        "  - {name: b, bind_ip: %s, remote_addr: %s}\n";
    char text[512];

    snprintf(text, sizeof(text), paths, "192.0.2.1", "198.51.100.9");
    expect_client(text, "bind_ip",
                  "f:2:9: warning: the route 198.51.100.0/24 may lead the tunnel's own packets to "
                  "198.51.100.9 into the tunnel; write bind_ip: if:NAME\n");
    snprintf(text, sizeof(text), paths, "192.0.2.1", "203.0.113.9");
    expect_client(text, "bind_ip", "");
    snprintf(text, sizeof(text), paths, "if:w2", "198.51.100.9");
    expect_client(text, "bind_ip", "");
}

/* A server that is given as it is called inside the tunnel. */
static void the_server_in_the_tunnels_network_is_told(void **state)
{
    expect_client("remote_addr: 10.200.1.2\n", "remote_addr", "");
    expect_client("remote_addr: 10.200.1.2\n", "remote_addr bind_ip",
                  "f:5:11: warning: the route 10.200.1.0/30 may lead the tunnel's own packets to "
                  "10.200.1.2 into the tunnel; write bind_ip: if:NAME\n");
}

static void the_tunnels_own_interface_is_no_wan(void **state)
{
    static const char hint[] =
        "error: bind_ip is the tunnel's own interface; name the interface of "
        "the WAN\n";
    char want[256];

    snprintf(want, sizeof(want), "f:1:10: %s", hint);
    expect_client("bind_ip: if:mpq1\n", "bind_ip", want);
    expect_server("bind_ip: if:mpq1\n", "", want);
    snprintf(want, sizeof(want), "f:2:24: %s", hint);
    expect_client("multipath_paths:\n  - {name: a, bind_ip: if:mpq1}\n", "", want);
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
    expect_client("bind: if:lo\n", "",
                  "f:1:1: error: unknown key 'bind'; did you mean 'bind_ip'?\n");
    expect_client("tls_cert: /a\n", "",
                  "f:1:1: error: unknown key 'tls_cert'; did you mean 'tls_cert_file'?\n");
    expect_client("links: []\n", "",
                  "f:1:1: error: unknown key 'links'; it is of the gateway: mpquic gateway check "
                  "-c FILE\n");
    expect_client("\"a\\u001b[31mb\\\\\": 1\n", "",
                  "f:1:1: error: unknown key 'a\\x1b[31mb\\x5c'; the keys are listed in "
                  "mpquic.yaml(5)\n");
    expect_client("\"role\\0\": 1\n", "",
                  "f:1:1: error: unknown key 'role\\x00'; did you mean 'role'?\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(paths_that_are_not_used_are_told),
        cmocka_unit_test(routes_that_hold_the_server_are_told),
        cmocka_unit_test(the_server_in_the_tunnels_network_is_told),
        cmocka_unit_test(the_tunnels_own_interface_is_no_wan),
        cmocka_unit_test(relative_files),
        cmocka_unit_test(unknown_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
