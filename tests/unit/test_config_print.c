#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/util.h"
#include "config/schema.h"
#include "config/value.h"
#include "config_text.h"

static void parse_ok(const char *text, struct tunnel_config *ret)
{
    int err;
    char *report = text_report(text, strlen(text), ret, &err);

    if (err)
        print_error("%s\n%s", report, text);
    assert_int_equal(err, 0);
    free(report);
}

/* Printing, reading back: no problem, not even a warning of the parts that c has none of, an
 * equal struct, and the same text again. */
static void expect_round_trip(const struct tunnel_config *c)
{
    char *text = config_print(c), *again;
    struct tunnel_config back;

    assert_non_null(text);
    parse_ok(text, &back);
    assert_true(config_equal(c, &back));
    again = config_print(&back);
    assert_string_equal(text, again);
    config_done(&back);
    free(again);
    free(text);
}

static void print_is_exact(void **state)
{
    struct tunnel_config c;
    char *text;

    parse_ok("{role: client, bind_ip: 'if:enp7s3', remote_addr: 203.0.113.10, remote_port: 45001, "
             "tun_name: mpq1, tun_cidr: [10.200.1.1/30, 'fd00:200:1::1/126'], "
             "token_file: '/etc/my \"token\" \\', tls_ca_file: \"/etc/citt\\u00e0/\\U0001f511\", "
             "multipath_enabled: false, multipath_paths: [{name: w1, bind_ip: 192.0.2.1}, {name: "
             "w2, bind_ip: 'fd00::', "
             "remote_addr: h, remote_port: 9, weight: 2}]}",
             &c);
    text = config_print(&c);
    assert_string_equal(text,
                        "role: client\n"
                        "bind_ip: if:enp7s3\n"
                        "remote_addr: 203.0.113.10\n"
                        "remote_port: 45001\n"
                        "tun_name: mpq1\n"
                        "tun_cidr:\n"
                        "  - 10.200.1.1/30\n"
                        "  - fd00:200:1::1/126\n"
                        "# tun_network: not set (an assigned address stands alone)\n"
                        "# instance_id: not set (the tun_name)\n"
                        "# routes: not set (no route is made)\n"
                        "route_table: main\n"
                        "source_table: auto\n"
                        "mtu: auto\n"
                        "# tls_cert_file: not set (no client certificate; token_file is needed)\n"
                        "# tls_key_file: not set (no client certificate; token_file is needed)\n"
                        "tls_ca_file: \"/etc/citt\\u00E0/\\U0001F511\"\n"
                        "# tls_server_name: not set (remote_addr is expected)\n"
                        "tls_insecure_skip_verify: false\n"
                        "token_file: \"/etc/my \\\"token\\\" \\\\\"\n"
                        "congestion_control: bbr\n"
                        "session_extension: true\n"
                        "lanes: 1..16\n"
                        "log_level: info\n"
                        "telemetry_interval: 60\n"
                        "multipath_enabled: false\n"
                        "multipath_policy: bond\n"
                        "# multipath_pin: not set (no path: the policy pin needs one)\n"
                        "multipath_copies: 2\n"
                        "multipath_recovery: resend\n"
                        "# multipath_deadline: not set (1000 for TCP, 150 for all else)\n"
                        "multipath_order: auto\n"
                        "multipath_paths:\n"
                        "  - name: w1\n"
                        "    bind_ip: 192.0.2.1\n"
                        "    # remote_addr: not set (the remote_addr of the instance)\n"
                        "    # remote_port: not set (the remote_port of the instance)\n"
                        "    priority: 1\n"
                        "    weight: 1\n"
                        "  - name: w2\n"
                        "    bind_ip: \"fd00::\"\n"
                        "    remote_addr: h\n"
                        "    remote_port: 9\n"
                        "    priority: 1\n"
                        "    weight: 2\n");
    free(text);
    expect_round_trip(&c);
}

/* Words that YAML or the reader could take for something else. */
static void awkward_text_survives(void **state)
{
    static const char *const names[] = {"null",
                                        "Null",
                                        "~",
                                        "true",
                                        "- a",
                                        "a: b",
                                        "a #b",
                                        "[a]",
                                        "{a}",
                                        "!a",
                                        "&a",
                                        "*a",
                                        "'a'",
                                        "\"a\"",
                                        "a\\b",
                                        "%a",
                                        "@a",
                                        "`a",
                                        "?",
                                        "-",
                                        ":",
                                        "a:",
                                        "1.0",
                                        "0x1",
                                        "\xc2\x85",
                                        "\xe2\x80\xa8",
                                        "\xef\xbb\xbf",
                                        "\xf0\x9f\x94\x91"};
    struct tunnel_config c;
    char *text = text_make(server_lines, "", "");

    parse_ok(text, &c);
    free(text);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        snprintf(c.allowed_clients[i], CONFIG_NAME_MAX, "%s", names[i]);
    c.n_allowed_clients = ARRAY_LEN(names);
    expect_round_trip(&c);
    c.n_allowed_clients = 1;
    expect_round_trip(&c);
}

static void peers_are_printed(void **state)
{
    struct tunnel_config c;
    char *text = text_make(server_lines,
                           "multi_conn_enabled: on\npeers: [{name: a b, instance_id: x, addresses: "
                           "10.200.1.1, prefixes: [172.16.5.0/30, 'fd00:5::/64']}, {name: c}]\n",
                           "");

    parse_ok(text, &c);
    free(text);
    text = config_print(&c);
    assert_non_null(strstr(text, "address_pool: not set (all of the networks of tun_cidr)\n"
                                 "peers:\n"
                                 "  - name: \"a b\"\n"
                                 "    instance_id: x\n"
                                 "    addresses: 10.200.1.1\n"
                                 "    prefixes:\n"
                                 "      - 172.16.5.0/30\n"
                                 "      - fd00:5::/64\n"
                                 "  - name: c\n"
                                 "    # instance_id: not set (every instance of this name that has "
                                 "no entry of its own)\n"));
    free(text);
    expect_round_trip(&c);
    config_done(&c);
}

/* A client without addresses of its own. */
static void auto_is_printed(void **state)
{
    struct tunnel_config c;
    char *text = text_make(client_lines, "", "tun_cidr");

    parse_ok(text, &c);
    free(text);
    text = config_print(&c);
    assert_non_null(strstr(text, "\ntun_cidr: auto\n"));
    free(text);
    expect_round_trip(&c);
}

/* ---- random configurations ---- */

static bool chance(struct rng *r)
{
    return rng_below(r, 2);
}

/* 1..max characters of an alphabet. */
static void random_text(struct rng *r, char *ret, size_t max, const char *alphabet)
{
    size_t n = 1 + rng_below(r, max);

    for (size_t i = 0; i < n; i++)
        ret[i] = alphabet[rng_below(r, strlen(alphabet))];
    ret[n] = 0;
}

#define LETTERS "abcxyzABCXYZ"
#define LABEL LETTERS "0123456789"

static void random_path(struct rng *r, char *ret)
{
    *ret = '/';
    random_text(r, ret + 1, CONFIG_PATH_MAX - 2, LABEL "/._- :#'\"\\{}[]&*!|>%@`,~?=");
}

static void random_host(struct rng *r, char *ret)
{
    for (unsigned n = 1 + (unsigned)rng_below(r, 6); n; n--) {
        random_text(r, ret, 30, LABEL);
        *ret = 'h'; /* an address begins with a digit or a letter up to f */
        ret += strlen(ret);
        if (n > 1)
            *ret++ = '.';
    }
}

static struct ip_addr random_addr(struct rng *r, int family)
{
    struct ip_addr a = {.family = (uint8_t)family};

    rng_bytes(r, a.b, family == 4 ? 4 : 16);
    a.b[0] = family == 4 ? 10 : 0xfd;
    return a;
}

static struct ip_prefix random_prefix(struct rng *r)
{
    struct ip_prefix p = {.addr = random_addr(r, chance(r) ? 4 : 6)};

    p.len = (uint8_t)(8 + rng_below(r, ip_addr_bits(&p.addr) - 7));
    return ip_prefix_network(&p);
}

/* A host inside a network of at least four addresses. */
static struct ip_prefix random_ifaddr(struct rng *r, int family)
{
    struct ip_prefix p = {.addr = random_addr(r, family)};
    uint8_t *last = &p.addr.b[family == 4 ? 3 : 15];

    p.len = (uint8_t)(8 + rng_below(r, ip_addr_bits(&p.addr) - 9));
    *last = (uint8_t)((*last & ~3u) | 1);
    return p;
}

static struct config_bind random_bind(struct rng *r, int family)
{
    struct config_bind b = {0};

    if (chance(r))
        random_text(r, b.ifname, 15, LABEL ".-_");
    if (!strcmp(b.ifname, ".") || !strcmp(b.ifname, ".."))
        b.ifname[0] = 'e';
    if (!b.ifname[0])
        b.addr = random_addr(r, family);
    return b;
}

static void random_paths(struct rng *r, struct tunnel_config *c)
{
    c->n_paths = (unsigned)rng_below(r, CONFIG_PATHS_MAX + 1);
    for (unsigned i = 0; i < c->n_paths; i++) {
        struct config_path *p = &c->paths[i];

        snprintf(p->name, sizeof(p->name), "path-%u.%u", i, (unsigned)rng_below(r, 1000));
        p->bind = random_bind(r, 4);
        if (chance(r))
            random_host(r, p->remote_addr);
        p->remote_port = (uint16_t)rng_below(r, 65536);
        p->priority = (uint32_t)rng_below(r, 1001);
        p->weight = 1 + (uint32_t)rng_below(r, 1000);
    }
}

/* Distinct ones, none in another or around an address of random_ifaddr(). */
static struct ip_prefix random_nth_prefix(struct rng *r, unsigned n)
{
    struct ip_prefix p = {.addr = random_addr(r, chance(r) ? 4 : 6)};

    p.addr.b[0] = p.addr.family == 4 ? 11 : 0xfc;
    p.addr.b[1] = (uint8_t)(n >> 8);
    p.addr.b[2] = (uint8_t)n;
    p.len = (uint8_t)(24 + rng_below(r, ip_addr_bits(&p.addr) - 23));
    return ip_prefix_network(&p);
}

static void random_peers(struct rng *r, struct tunnel_config *c)
{
    c->max_peers = 1 + (uint32_t)rng_below(r, 65536);
    c->peer_to_peer = chance(r);
    c->n_peers = chance(r) ? 0 : (unsigned)rng_below(r, 20);
    c->peers = c->n_peers ? calloc(c->n_peers, sizeof(*c->peers)) : NULL;
    for (unsigned i = 0; i < c->n_peers; i++) {
        struct config_peer *p = &c->peers[i];

        snprintf(p->name, sizeof(p->name), "peer %u", i / 2);
        snprintf(p->instance_id, sizeof(p->instance_id), "%s", i % 2 ? "x" : "");
        p->n_prefix = (unsigned)rng_below(r, CONFIG_PEER_PREFIXES_MAX + 1);
        for (unsigned j = 0; j < p->n_prefix; j++)
            p->prefix[j] = random_nth_prefix(r, i * CONFIG_PEER_PREFIXES_MAX + j);
    }
    if (c->n_peers) { /* the other host of the network that random_ifaddr() chose */
        c->peers[0].addr[c->peers[0].n_addr] = c->tun_addr[0].addr;
        c->peers[0].addr[c->peers[0].n_addr++].b[c->tun_addr[0].addr.family == 4 ? 3 : 15] ^= 3;
        c->address_pool[c->n_address_pool++] = ip_prefix_network(&c->tun_addr[0]);
    }
}

static void random_client(struct rng *r, struct tunnel_config *c)
{
    bool cert = chance(r);

    random_host(r, c->remote_addr);
    random_path(r, c->tls_ca_file);
    if (cert)
        random_path(r, c->tls_cert_file);
    if (cert)
        random_path(r, c->tls_key_file);
    if (!cert || chance(r))
        random_path(r, c->token_file);
    if (chance(r))
        random_host(r, c->tls_server_name);
    if (chance(r))
        random_text(r, c->instance_id, CONFIG_INSTANCE_MAX - 1, LABEL);
    if (chance(r)) {
        c->tun_network[0] = ip_prefix_network(&c->tun_addr[0]);
        c->n_tun_network = c->n_tun_addr && chance(r);
        c->n_tun_addr = 0;
    }
    c->lanes.min = (uint16_t)(1 + rng_below(r, CONFIG_LANES_MAX));
    c->lanes.max = (uint16_t)(c->lanes.min + rng_below(r, CONFIG_LANES_MAX + 1u - c->lanes.min));
    c->n_routes = (unsigned)rng_below(r, 4);
    for (unsigned i = 0; i < c->n_routes; i++)
        c->routes[i] = random_nth_prefix(r, i);
    if (c->n_routes && chance(r))
        c->route_table = 256 + (uint32_t)rng_below(r, UINT32_MAX - 256);
    if (chance(r))
        c->source_table = 256 + (uint32_t)rng_below(r, UINT32_MAX - 256);
    c->multipath_recovery = (enum config_mp_recovery)rng_below(r, 2);
    c->multipath_order = (enum config_mp_order)rng_below(r, 4);
    c->multipath_copies = 2 + (uint32_t)rng_below(r, CONFIG_PATHS_MAX - 1);
    c->multipath_deadline_ms = chance(r) ? 1 + (uint32_t)rng_below(r, 60000) : 0;
    random_paths(r, c);
    c->multipath_policy = (enum config_mp_policy)rng_below(r, c->n_paths ? 7 : 4);
    if (c->multipath_policy == CONFIG_MP_PIN)
        snprintf(c->multipath_pin, sizeof(c->multipath_pin), "%s", c->paths[0].name);
}

static void random_server(struct rng *r, struct tunnel_config *c)
{
    bool ca = chance(r);

    random_path(r, c->tls_cert_file);
    random_path(r, c->tls_key_file);
    if (ca)
        random_path(r, c->tls_ca_file);
    if (!ca || chance(r))
        random_path(r, c->tokens_file);
    if (ca)
        c->n_allowed_clients = (unsigned)rng_below(r, CONFIG_CLIENTS_MAX + 1);
    for (unsigned i = 0; i < c->n_allowed_clients; i++) {
        random_text(r, c->allowed_clients[i], 50, LABEL "-._:#'\"\\{}[]&*!|>%@`,~?=");
        /* distinct, and no space at the ends */
        snprintf(c->allowed_clients[i] + strlen(c->allowed_clients[i]), 13, " %u", i);
    }
    c->multi_conn_enabled = true;
    if (!c->n_allowed_clients)
        random_peers(r, c);
    if (ca && chance(r))
        random_path(r, c->tls_crl_file);
    c->n_peer_prefixes = (unsigned)rng_below(r, CONFIG_PREFIXES_MAX + 1);
    for (unsigned i = 0; i < c->n_peer_prefixes; i++) {
        bool twice;

        do {
            twice = false;
            c->peer_prefixes[i] = random_prefix(r);
            for (unsigned j = 0; j < i; j++)
                twice |= ip_prefix_equal(&c->peer_prefixes[j], &c->peer_prefixes[i]);
        } while (twice);
    }
}

static void random_config(struct rng *r, struct tunnel_config *c)
{
    bool both = chance(r);
    int family = chance(r) ? 4 : 6;

    config_defaults(&config_schema, c, sizeof(*c));
    c->role = chance(r) ? CONFIG_ROLE_SERVER : CONFIG_ROLE_CLIENT;
    if (chance(r))
        c->bind = random_bind(r, family);
    c->remote_port = (uint16_t)(1 + rng_below(r, 65535));
    random_text(r, c->tun_name, 15, LETTERS);
    c->tun_addr[c->n_tun_addr++] = random_ifaddr(r, family);
    if (both)
        c->tun_addr[c->n_tun_addr++] = random_ifaddr(r, family == 4 ? 6 : 4);
    c->mtu = chance(r) ? 0 : 1280 + (uint32_t)rng_below(r, 64256);
    c->congestion_control = (enum config_cc)rng_below(r, 2);
    c->session_extension = chance(r);
    c->log_level = (enum log_level)rng_below(r, LOG_LEVEL_COUNT);
    (c->role == CONFIG_ROLE_SERVER ? random_server : random_client)(r, c);
}

static void random_configurations_round_trip(void **state)
{
    struct rng r;

    rng_seed(&r, 9484);
    for (int i = 0; i < 500; i++) {
        struct tunnel_config c;

        random_config(&r, &c);
        expect_round_trip(&c);
        config_done(&c);
    }
}

/* Damage printed configurations at random places: nothing may crash, and what is still valid
 * must mean the same after printing. */
static void damaged_configurations(void **state)
{
    static const char salt[] = ":-[]{}#&*!|>'\"%@`,?\t\n\r \\0x~\xc3\xff";
    unsigned n_valid = 0, n_invalid = 0;
    struct rng r;

    rng_seed(&r, 9297);
    for (int i = 0; i < 2000; i++) {
        struct config_report report = {0};
        struct tunnel_config c, back;
        size_t len;
        char *text, *again;

        random_config(&r, &c);
        c.n_paths = MIN(c.n_paths, 2);
        c.n_peer_prefixes = MIN(c.n_peer_prefixes, 2);
        c.n_allowed_clients = MIN(c.n_allowed_clients, 2);
        c.n_peers = MIN(c.n_peers, 2);
        text = config_print(&c);
        config_done(&c);
        len = strlen(text);
        for (unsigned k = (unsigned)rng_below(&r, 4); k; k--)
            text[rng_below(&r, len)] = salt[rng_below(&r, sizeof(salt))];
        if (!config_parse(text, len, &back, &report)) {
            n_valid++;
            again = config_print(&back);
            parse_ok(again, &c);
            assert_true(config_equal(&c, &back));
            config_done(&c);
            config_done(&back);
            free(again);
        } else {
            n_invalid++;
            assert_true(report.n_errors > 0);
            assert_true(report.n > 0);
        }
        config_report_done(&report);
        free(text);
    }
    assert_true(n_valid > 100);
    assert_true(n_invalid > 100);
}

/* ---- equal ---- */

/* Every key of the schema makes a difference. */
static void each_key_counts(void **state)
{
    static const char *const other[CONFIG_KEY_COUNT] = {
        [CONFIG_KEY_ROLE] = "server",
        [CONFIG_KEY_BIND_IP] = "if:other",
        [CONFIG_KEY_REMOTE_ADDR] = "other",
        [CONFIG_KEY_REMOTE_PORT] = "2",
        [CONFIG_KEY_TUN_NAME] = "other",
        [CONFIG_KEY_TUN_CIDR] = "10.9.9.9/24",
        [CONFIG_KEY_TUN_NETWORK] = "10.9.9.0/24",
        [CONFIG_KEY_MTU] = "1500",
        [CONFIG_KEY_TLS_CERT_FILE] = "/other",
        [CONFIG_KEY_TLS_KEY_FILE] = "/other",
        [CONFIG_KEY_TLS_CA_FILE] = "/other",
        [CONFIG_KEY_TLS_SERVER_NAME] = "other",
        [CONFIG_KEY_TLS_INSECURE_SKIP_VERIFY] = "true",
        [CONFIG_KEY_TOKEN_FILE] = "/other",
        [CONFIG_KEY_TOKENS_FILE] = "/other",
        [CONFIG_KEY_ALLOWED_CLIENTS] = "other",
        [CONFIG_KEY_PEER_PREFIXES] = "10.9.0.0/16",
        [CONFIG_KEY_CONGESTION_CONTROL] = "cubic",
        [CONFIG_KEY_SESSION_EXTENSION] = "false",
        [CONFIG_KEY_LOG_LEVEL] = "debug",
        [CONFIG_KEY_TELEMETRY_INTERVAL] = "5",
        [CONFIG_KEY_MULTI_CONN_ENABLED] = "true",
        [CONFIG_KEY_MULTIPATH_ENABLED] = "true",
        [CONFIG_KEY_MULTIPATH_POLICY] = "balanced",
        [CONFIG_KEY_MULTIPATH_PIN] = "other",
        [CONFIG_KEY_MULTIPATH_COPIES] = "3",
        [CONFIG_KEY_MULTIPATH_RECOVERY] = "none",
        [CONFIG_KEY_MULTIPATH_DEADLINE] = "5",
        [CONFIG_KEY_MULTIPATH_ORDER] = "none",
        [CONFIG_KEY_INSTANCE_ID] = "other",
        [CONFIG_KEY_ROUTES] = "10.9.0.0/16",
        [CONFIG_KEY_ROUTE_TABLE] = "9",
        [CONFIG_KEY_SOURCE_TABLE] = "9",
        [CONFIG_KEY_TLS_CRL_FILE] = "/other",
        [CONFIG_KEY_ADDRESS_POOL] = "10.9.0.0/16",
        [CONFIG_KEY_PEER_TO_PEER] = "true",
        [CONFIG_KEY_MAX_PEERS] = "9",
        [CONFIG_KEY_LANES] = "2..16",
    };
    struct tunnel_config a, b;
    struct value_error err;

    config_defaults(&config_schema, &a, sizeof(a));
    a.n_tun_addr = a.n_peer_prefixes = a.n_allowed_clients = a.n_paths = a.n_routes =
        a.n_address_pool = a.n_tun_network = 1;
    assert_true(config_equal(&a, &a));
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_key *k = &config_schema.keys[i];

        if (k->type == CONFIG_TYPE_SECTION)
            continue;
        b = a;
        assert_true(value_read(k, other[i], (char *)&b + k->offset, &err));
        assert_false(config_equal(&a, &b));
        assert_false(config_equal(&b, &a));
    }
    for (unsigned i = 0; i < CONFIG_PATH_KEY_COUNT; i++) {
        const struct config_key *k = &config_path_schema.keys[i];

        b = a;
        assert_true(value_read(k, k->type == CONFIG_TYPE_BIND ? "if:x" : "7",
                               (char *)&b.paths[0] + k->offset, &err) ||
                    value_read(k, "seven", (char *)&b.paths[0] + k->offset, &err));
        assert_false(config_equal(&a, &b));
    }
    b = a;
    b.n_paths = 2;
    assert_false(config_equal(&a, &b));
}

/* What follows the end of a text is no part of the value. */
static void leftovers_do_not_count(void **state)
{
    struct tunnel_config a, b;

    config_defaults(&config_schema, &a, sizeof(a));
    b = a;
    snprintf(a.tun_name, sizeof(a.tun_name), "x");
    snprintf(b.tun_name, sizeof(b.tun_name), "xyz");
    b.tun_name[1] = 0;
    b.peer_prefixes[3].len = 7; /* beyond the count */
    assert_true(config_equal(&a, &b));
}

/* Every default is a value that the reader takes, every example too. */
static void the_table_is_sound(void **state)
{
    static const struct config_section *const sections[] = {&config_schema, &config_path_schema,
                                                            &config_peer_schema};
    char field[1024], text[VALUE_TEXT_MAX];
    struct value_error err;

    for (size_t s = 0; s < ARRAY_LEN(sections); s++)
        for (unsigned i = 0; i < sections[s]->n_keys; i++) {
            const struct config_key *k = &sections[s]->keys[i];

            assert_non_null(k->name);
            assert_non_null(k->help);
            assert_ptr_equal(config_key_find(sections[s], k->name), k);
            assert_true(k->roles & CONFIG_FOR_BOTH);
            assert_false(k->required & ~k->roles);
            assert_true(k->size <= sizeof(field));
            if (k->type == CONFIG_TYPE_SECTION)
                continue;
            assert_true(value_read(k, k->example, field, &err));
            assert_string_equal(value_print(k, field, text), k->example);
            assert_true(k->def || k->unset || k->required == k->roles);
            if (k->def) {
                assert_true(value_read(k, k->def, field, &err));
                assert_string_equal(value_print(k, field, text), k->def);
            }
        }
}

/* ---- the shipped files ---- */

static void load_file(const char *name, struct tunnel_config *ret)
{
    struct config_report report = {0};
    char file[512];

    snprintf(file, sizeof(file), EXAMPLES "/%s.yaml", name);
    assert_int_equal(config_load(file, ret, &report), 0);
    assert_int_equal(report.n, 0);
    config_report_done(&report);
    expect_round_trip(ret);
}

static void load_example(const char *end, int i, struct tunnel_config *ret)
{
    char name[64];

    snprintf(name, sizeof(name), "edge-six/%s/%d", end, i);
    load_file(name, ret);
}

static void expect_tun(const struct tunnel_config *c, int i, int host)
{
    char want[IP_PREFIX_STR_MAX], got[IP_PREFIX_STR_MAX];

    snprintf(want, sizeof(want), "mpq%d", i);
    assert_string_equal(c->tun_name, want);
    assert_int_equal(c->remote_port, 45000 + i);
    assert_int_equal(c->n_tun_addr, 2);
    snprintf(want, sizeof(want), "10.200.%d.%d/30", i, host);
    assert_string_equal(ip_prefix_str(&c->tun_addr[0], got), want);
    snprintf(want, sizeof(want), "fd00:200:%d::%d/126", i, host);
    assert_string_equal(ip_prefix_str(&c->tun_addr[1], got), want);
}

static void the_examples_hold_the_values_of_the_site(void **state)
{
    struct tunnel_config c;
    char want[IP_PREFIX_STR_MAX], got[IP_PREFIX_STR_MAX];

    for (int i = 1; i <= 6; i++) {
        load_example("client", i, &c);
        assert_int_equal(c.role, CONFIG_ROLE_CLIENT);
        expect_tun(&c, i, 1);
        snprintf(want, sizeof(want), "enp7s%d", i + 2);
        assert_string_equal(c.bind.ifname, want);
        assert_string_equal(c.remote_addr, "203.0.113.10");
        load_example("server", i, &c);
        assert_int_equal(c.role, CONFIG_ROLE_SERVER);
        expect_tun(&c, i, 2);
        assert_int_equal(c.n_peer_prefixes, 1);
        snprintf(want, sizeof(want), "172.16.%d.0/30", i);
        assert_string_equal(ip_prefix_str(&c.peer_prefixes[0], got), want);
    }
}

static void the_bond_has_a_path_for_each_wan(void **state)
{
    struct tunnel_config edge, hub;
    char want[CONFIG_PATH_NAME_MAX];

    load_file("bond/client/bond", &edge);
    load_file("bond/server/bond", &hub);
    assert_int_equal(config_paths(&edge), 3);
    assert_int_equal(edge.multipath_policy, CONFIG_MP_BOND);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(want, sizeof(want), "wan%u", i + 1);
        assert_string_equal(config_path_name(&edge, i), want);
        snprintf(want, sizeof(want), "enp7s%u", i + 3);
        assert_string_equal(config_path_bind(&edge, i)->ifname, want);
        assert_string_equal(config_path_remote(&edge, i), "203.0.113.10");
        assert_int_equal(config_path_port(&edge, i), hub.remote_port);
    }
    assert_string_equal(edge.tun_name, hub.tun_name);
}

/* The three tunnels on one WAN: what the hub keeps for each is what the edge says it is. */
static void the_tunnels_of_one_link_agree(void **state)
{
    static const char *const names[] = {"cr5", "df5", "bk5"};
    struct tunnel_config hub, edge;
    char want[64];

    load_file("multi-tunnel/server/mt1", &hub);
    assert_string_equal(hub.tun_name, "mt1");
    assert_int_equal(hub.remote_port, 45010);
    assert_true(hub.multi_conn_enabled);
    assert_string_equal(ip_prefix_str(&hub.tun_addr[0], want), "10.200.10.254/24");
    assert_int_equal(hub.n_peers, ARRAY_LEN(names));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct config_peer *p = &hub.peers[i];

        snprintf(want, sizeof(want), "multi-tunnel/client/%s", names[i]);
        load_file(want, &edge);
        assert_string_equal(edge.tun_name, names[i]);
        assert_string_equal(edge.instance_id, names[i]);
        assert_string_equal(edge.bind.ifname, "enp7s7");
        assert_int_equal(edge.remote_port, hub.remote_port);
        assert_string_equal(p->name, "edge");
        assert_string_equal(p->instance_id, names[i]);
        assert_int_equal(p->n_addr, edge.n_tun_addr);
        for (unsigned j = 0; j < p->n_addr; j++) {
            assert_true(ip_addr_equal(&p->addr[j], &edge.tun_addr[j].addr));
            assert_int_equal(edge.tun_addr[j].len, hub.tun_addr[j].len);
        }
        config_done(&edge);
    }
    config_done(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_is_exact),
        cmocka_unit_test(awkward_text_survives),
        cmocka_unit_test(peers_are_printed),
        cmocka_unit_test(auto_is_printed),
        cmocka_unit_test(random_configurations_round_trip),
        cmocka_unit_test(damaged_configurations),
        cmocka_unit_test(each_key_counts),
        cmocka_unit_test(leftovers_do_not_count),
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(the_bond_has_a_path_for_each_wan),
        cmocka_unit_test(the_tunnels_of_one_link_agree),
        cmocka_unit_test(the_examples_hold_the_values_of_the_site),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
