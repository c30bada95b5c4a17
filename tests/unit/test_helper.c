/* The helper does what the configuration allows, and nothing else whatever it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "helper/effects.h"
#include "helper/policy.h"
#include "helper_fakes.h"

struct fixture {
    struct tunnel_config config;
    struct helper_opts opts;
    struct fakes fakes;
    struct server server;
};

static int make(void **state, const char *text)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct config_report report = {0};

    assert_int_equal(config_parse(text, strlen(text), &f->config, &report), 0);
    config_report_done(&report);
    f->opts = (struct helper_opts){.config = &f->config, .file = "/c/file.yaml", .name = "mpq1"};
    server_init(&f->server, &f->opts, &fake_effects, &f->fakes);
    *state = f;
    return 0;
}

static int make_hub(void **state)
{
    return make(state, fake_server_text);
}

static int make_edge(void **state)
{
    return make(state, fake_client_text);
}

static int destroy(void **state)
{
    struct fixture *f = *state;

    server_done(&f->server);
    assert_int_equal(f->fakes.open, 0);
    config_done(&f->config);
    free(f);
    return 0;
}

/* Ask; a descriptor that comes is closed, as its receiver would. */
static int ask(struct fixture *f, const struct helper_request *q)
{
    struct server_reply reply;

    f->fakes.call = FAKE_NONE;
    server_handle(&f->server, q, sizeof(*q), &reply);
    assert_int_equal(reply.fd >= 0 && reply.answer.error, 0);
    if (reply.close_fd)
        f->fakes.open--;
    return reply.answer.error;
}

/* Ask for routes; *ret may be NULL. */
static int ask_routes(struct fixture *f, bool add, const struct helper_route *v, unsigned n,
                      struct helper_routes_result *ret)
{
    struct helper_routes_request q = {.op = HELPER_OP_ROUTES, .flag = add, .n = n};
    struct server_reply reply;

    f->fakes.call = FAKE_NONE;
    if (n <= HELPER_ROUTES_MAX)
        memcpy(q.v, v, n * sizeof(*v));
    server_handle(&f->server, &q, sizeof(q), &reply);
    assert_int_equal(reply.fd, -1);
    if (ret)
        *ret = reply.answer.routes;
    return reply.answer.error;
}

static int ask_route(struct fixture *f, bool add, struct ip_prefix dst, uint32_t table,
                     uint32_t metric)
{
    struct helper_route r = {.dst = dst, .table = table, .metric = metric};

    return ask_routes(f, add, &r, 1, NULL);
}

#define ASK(f, ...) ask((f), &(struct helper_request){__VA_ARGS__})

/* Refused, and nothing was done. */
#define assert_refused(f, ...)                           \
    do {                                                 \
        assert_int_equal(ASK((f), __VA_ARGS__), -EPERM); \
        assert_int_equal((f)->fakes.call, FAKE_NONE);    \
    } while (0)

#define assert_route_refused(f, add, dst)                         \
    do {                                                          \
        assert_int_equal(ask_route((f), add, dst, 0, 0), -EPERM); \
        assert_int_equal((f)->fakes.call, FAKE_NONE);             \
    } while (0)

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(ip_prefix_parse(text, &p), 0);
    return p;
}

static struct helper_udp udp(const char *address, uint16_t port, const char *device)
{
    struct helper_udp u = {.port = port};

    assert_int_equal(ip_addr_parse(address, &u.addr), 0);
    strncpy(u.device, device, sizeof(u.device) - 1);
    return u;
}

static void open_tun(struct fixture *f)
{
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_OPEN), 0);
    assert_string_equal(f->fakes.text, "mpq1");
}

/* --- messages -------------------------------------------------------------------------- */

static void test_messages_of_another_size(void **state)
{
    struct fixture *f = *state;
    struct helper_request q[2] = {{.op = HELPER_OP_TUN_OPEN}};
    struct server_reply reply;

    for (size_t len = 0; len <= sizeof(q); len++) {
        if (len == sizeof(q[0]))
            continue;
        server_handle(&f->server, q, len, &reply);
        assert_int_equal(reply.answer.error, -EPERM);
        assert_int_equal(reply.fd, -1);
    }
    assert_int_equal(f->fakes.calls, 0);
}

static void test_unknown_operations(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_refused(f, .op = HELPER_OP_COUNT);
    assert_refused(f, .op = UINT32_MAX);
}

static void test_nothing_about_a_tun_before_there_is_one(void **state)
{
    struct fixture *f = *state;

    for (uint32_t op = HELPER_OP_TUN_UP; op <= HELPER_OP_TUN_NAME; op++) {
        assert_int_equal(ASK(f, .op = op, .which = 1500), -ENODEV);
        assert_int_equal(f->fakes.call, FAKE_NONE);
    }
    assert_refused(f, .op = HELPER_OP_CONTROL_SOCKET);
}

static void test_nothing_about_a_tun_that_was_deleted(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_UP), 0);
    f->fakes.alive = false;
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_UP), -ENODEV);
    assert_int_equal(f->fakes.call, FAKE_NONE);
    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_UP), 0);
    assert_int_equal(f->fakes.open, 1); /* the old one was closed */
}

/* --- TUN ------------------------------------------------------------------------------- */

static void test_mtu_has_bounds(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_refused(f, .op = HELPER_OP_TUN_MTU, .which = 0);
    assert_refused(f, .op = HELPER_OP_TUN_MTU, .which = 1279);
    assert_refused(f, .op = HELPER_OP_TUN_MTU, .which = 65536);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_MTU, .which = 1280), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_MTU, .which = 65535), 0);
    assert_int_equal(f->fakes.value, 65535);
    assert_int_equal(f->fakes.ifindex, FAKE_IFINDEX);
}

static void test_only_configured_addresses(void **state)
{
    static const char *const wrong[] = {"10.200.1.2/31", "10.200.1.2/32", "10.200.1.1/30",
                                        "0.0.0.0/0",     "192.0.2.9/32",  "fd00:200:1::2/128",
                                        "::1/128"};
    struct fixture *f = *state;

    open_tun(f);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix(wrong[i]));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.200.1.2/30")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("fd00:200:1::2/126")), 0);
    assert_int_equal(f->fakes.ifindex, FAKE_IFINDEX);
}

static void test_prefixes_that_are_none(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix wrong[] = {{.addr.family = 0},
                                {.addr.family = 5, .len = 1},
                                {.addr.family = 4, .len = 33},
                                {.addr.family = 6, .len = 129},
                                {.addr.family = 255, .len = 255}};

    open_tun(f);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = wrong[i]);
        assert_refused(f, .op = HELPER_OP_ADDR_DEL, .prefix = wrong[i]);
        assert_route_refused(f, true, wrong[i]);
        assert_route_refused(f, false, wrong[i]);
    }
}

static void test_only_our_addresses_are_taken_away(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_refused(f, .op = HELPER_OP_ADDR_DEL, .prefix = prefix("192.0.2.9/24"));
    f->fakes.ours = true;
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_DEL, .prefix = prefix("192.0.2.9/24")), 0);
    assert_int_equal(f->fakes.ifindex, FAKE_IFINDEX);
}

static void test_assigned_addresses_are_few_hosts(void **state)
{
    static const char *const wrong[] = {"10.0.0.0/24",  "127.0.0.1/32",        "0.0.0.0/32",
                                        "224.0.0.1/32", "255.255.255.255/32",  "169.254.1.1/32",
                                        "fe80::1/128",  "ff02::1/128",         "::/128",
                                        "::1/128",      "::ffff:10.0.0.1/128", "2001:db8::/64"};
    struct fixture *f = *state;

    open_tun(f);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix(wrong[i]));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.2/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.2/32")), 0);
    assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.3/32"));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::1/128")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::2/128")), 0);
    assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::3/128"));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_DEL, .prefix = prefix("10.0.0.1/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.3/32")), 0);
}

static void test_assigned_addresses_in_a_named_network(void **state)
{
    static const char *const wrong[] = {"10.0.1.1/24", "10.0.0.1/23", "10.0.0.1/25", "0.0.0.1/24",
                                        "2001:db8::1/64"};
    struct fixture *f = *state;

    f->config.tun_network[0] = prefix("10.0.0.0/24");
    f->config.n_tun_network = 1;
    open_tun(f);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix(wrong[i]));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/24")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("192.0.2.1/32")), 0);
    assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.3/24"));
}

static void test_an_address_that_failed_does_not_count(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    f->fakes.error = -ENOMEM;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")),
                         -ENOMEM);
    f->fakes.error = 0;
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.2/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.3/32")), 0);
}

static void keep(struct fixture *f, const char *text, bool ours)
{
    f->fakes.kept[f->fakes.n_kept++] = (struct netlink_addr){.prefix = prefix(text), .ours = ours};
}

/* The TUN keeps its addresses when it is closed. */
static void test_assigned_addresses_count_in_a_tun_opened_anew(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::1/128")), 0);
    keep(f, "10.0.0.1/32", false); /* as a kernel says that does not keep who made it */
    keep(f, "10.0.0.2/32", true);
    keep(f, "10.0.0.3/32", true);
    keep(f, "192.0.2.1/32", false); /* by the administrator */
    keep(f, "2001:db8::1/128", true);
    keep(f, "fe80::1/64", false);
    for (int i = 0; i < 3; i++) {
        open_tun(f);
        assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.4/32"));
    }
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::2/128")), 0);
    assert_refused(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("2001:db8::3/128"));
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_DEL, .prefix = prefix("10.0.0.1/32")), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.4/32")), 0);
}

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

/* Rules are for addresses that we have put on the TUN, and lead into the table that is configured.
 */
static void test_rules_of_own_addresses_only(void **state)
{
    struct fixture *f = *state;
    struct ip_addr own = addr("10.0.0.1"), other = addr("10.0.0.2");

    f->config.routes[0] = prefix("0.0.0.0/0");
    f->config.n_routes = 1;
    f->config.route_table = 104;
    open_tun(f);
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .rule.src = own);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")), 0);
    for (uint32_t kind = 0; kind < NETLINK_RULE_OTHER; kind++) {
        assert_int_equal(ASK(f, .op = HELPER_OP_RULE_ADD, .which = kind, .rule.src = own), 0);
        assert_int_equal(f->fakes.call, FAKE_RULE_ADD);
        assert_int_equal(f->fakes.rule.kind, kind);
        assert_int_equal(f->fakes.rule.priority, HELPER_RULE_PRIORITY + kind);
        assert_int_equal(f->fakes.rule.table, kind == NETLINK_RULE_TABLE ? 104 : 0);
    }
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .which = NETLINK_RULE_OTHER, .rule.src = own);
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .which = UINT32_MAX, .rule.src = own);
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .rule.src = other);
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .rule.src = {.family = 5});
    f->config.route_table = 0; /* nothing is configured */
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .rule.src = own);
    f->config.source_table = 105;
    assert_int_equal(ASK(f, .op = HELPER_OP_RULE_ADD, .which = NETLINK_RULE_TABLE, .rule.src = own),
                     0);
    assert_int_equal(f->fakes.rule.table, 105);
}

/* Those of an address that another interface has belong to another instance. */
static void test_rules_that_may_be_taken_away(void **state)
{
    struct fixture *f = *state;
    struct ip_addr own = addr("10.0.0.1"), other = addr("10.0.0.2"), gone = addr("10.0.0.3");

    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")), 0);
    keep(f, "10.0.0.1/32", true);
    keep(f, "10.0.0.2/32", true);
    assert_int_equal(ASK(f, .op = HELPER_OP_RULE_DEL, .rule = {own, 77}), 0);
    assert_int_equal(f->fakes.call, FAKE_RULE_DEL);
    assert_int_equal(f->fakes.rule.priority, 77);
    assert_int_equal(ASK(f, .op = HELPER_OP_RULE_DEL, .rule = {gone, 1090}), 0);
    assert_refused(f, .op = HELPER_OP_RULE_DEL, .rule = {other, 1090});
    assert_refused(f, .op = HELPER_OP_RULE_DEL, .rule = {{.family = 0}, 1090});
    f->fakes.n_kept = -ENOMEM;
    assert_int_equal(ASK(f, .op = HELPER_OP_RULE_DEL, .rule = {gone, 1090}), -ENOMEM);
}

static void test_a_hub_has_no_rules(void **state)
{
    struct fixture *f = *state;

    f->config.source_table = 105;
    open_tun(f);
    assert_refused(f, .op = HELPER_OP_RULE_ADD, .rule.src = f->config.tun_addr[0].addr);
}

static void test_a_tun_made_anew_has_no_addresses(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        open_tun(f);
        assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.1/32")), 0);
        assert_int_equal(ASK(f, .op = HELPER_OP_ADDR_ADD, .prefix = prefix("10.0.0.2/32")), 0);
    }
}

static void test_a_tun_whose_addresses_are_unknown_is_not_opened(void **state)
{
    struct fixture *f = *state;

    f->fakes.n_kept = -ENOMEM;
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_OPEN), -ENOMEM);
    assert_int_equal(f->fakes.open, 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_UP), -ENODEV);
}

/* --- routes ---------------------------------------------------------------------------- */

static void test_hub_routes(void **state)
{
    static const char *const wrong[] = {"0.0.0.0/0",     "::/0",       "172.16.1.0/29",
                                        "172.16.1.0/31", "10.0.0.0/8", "172.17.0.0/17"};
    struct fixture *f = *state;

    open_tun(f);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_route_refused(f, true, prefix(wrong[i]));
    assert_int_equal(ask_route(f, true, prefix("172.16.1.0/30"), 0, 0), 0);
    assert_int_equal(ask_route(f, true, prefix("fd16:0:0:1::/64"), 0, 0), 0);
    assert_int_equal(ask_route(f, true, prefix("172.17.0.0/16"), 9, 1), 0);
    assert_int_equal(f->fakes.n_routes, 1);
    assert_int_equal(f->fakes.routes[0].index, FAKE_IFINDEX);
    assert_int_equal(f->fakes.routes[0].metric, HELPER_ROUTE_METRIC);
    assert_int_equal(f->fakes.routes[0].table, 0);
}

static void test_edge_routes(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_route_refused(f, true, prefix("198.51.0.0/16"));
    assert_int_equal(ask_route(f, true, prefix("198.51.100.0/24"), 0, 0), 0);
    assert_int_equal(f->fakes.routes[0].table, 100);
    assert_int_equal(ask_route(f, false, prefix("10.0.0.0/8"), 7, 3), 0);
    assert_int_equal(f->fakes.routes[0].index, FAKE_IFINDEX);
    assert_int_equal(f->fakes.routes[0].table, 7);
}

/* One that is not allowed spoils the request, one that fails does not. */
static void test_many_routes_in_one_request(void **state)
{
    struct fixture *f = *state;
    struct helper_route v[HELPER_ROUTES_MAX];
    struct helper_routes_result result;

    open_tun(f);
    for (unsigned i = 0; i < HELPER_ROUTES_MAX; i++)
        v[i] = (struct helper_route){.dst = prefix(i % 2 ? "172.16.1.0/30" : "172.17.0.0/16")};
    assert_int_equal(ask_routes(f, true, v, HELPER_ROUTES_MAX, &result), 0);
    assert_int_equal(f->fakes.n_routes, HELPER_ROUTES_MAX);
    assert_int_equal(result.done, HELPER_ROUTES_MAX);
    assert_int_equal(result.error, 0);
    f->fakes.bad_route = 5;
    assert_int_equal(ask_routes(f, true, v, HELPER_ROUTES_MAX, &result), 0);
    assert_int_equal(result.done, HELPER_ROUTES_MAX - 1);
    assert_int_equal(result.at, 4);
    assert_int_equal(result.error, -EEXIST);
    assert_int_equal(ask_routes(f, true, v, HELPER_ROUTES_MAX + 1, NULL), -EPERM);
    assert_int_equal(f->fakes.call, FAKE_NONE);
    v[HELPER_ROUTES_MAX - 1].dst = prefix("172.18.0.0/16");
    assert_int_equal(ask_routes(f, true, v, HELPER_ROUTES_MAX, NULL), -EPERM);
    assert_int_equal(f->fakes.call, FAKE_NONE);
}

static void test_no_routes_before_there_is_a_tun(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask_route(f, true, prefix("172.16.1.0/30"), 0, 0), -ENODEV);
    open_tun(f);
    f->fakes.alive = false;
    assert_int_equal(ask_route(f, true, prefix("172.16.1.0/30"), 0, 0), -ENODEV);
    assert_int_equal(f->fakes.call, FAKE_NONE);
}

/* The name is the configured one whatever is asked. */
static void test_the_tun_gets_its_name_again(void **state)
{
    struct fixture *f = *state;

    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_NAME, .udp = udp("10.0.0.1", 1, "eth0")), 0);
    assert_int_equal(f->fakes.call, FAKE_LINK_NAME);
    assert_int_equal(f->fakes.ifindex, FAKE_IFINDEX);
    assert_string_equal(f->fakes.text, "mpq1");
}

/* --- sockets --------------------------------------------------------------------------- */

static void test_hub_sockets(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("192.0.2.1", 45002, ""));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("192.0.2.1", 0, ""));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("192.0.2.2", 45001, ""));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("0.0.0.0", 45001, ""));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("192.0.2.1", 45001, "eth0"));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = {.port = 45001});
    assert_int_equal(ASK(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("192.0.2.1", 45001, "")), 0);
    assert_int_equal(net_addr_port(&f->fakes.bind), 45001);
}

static void test_edge_sockets(void **state)
{
    struct fixture *f = *state;
    struct helper_udp endless = udp("10.0.0.1", 0, "wan1");

    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 53, "wan1"));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 0, ""));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 0, "wan2"));
    memset(endless.device, 'w', sizeof(endless.device));
    assert_refused(f, .op = HELPER_OP_UDP_OPEN, .udp = endless);
    assert_int_equal(ASK(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 0, "wan1")), 0);
    assert_string_equal(f->fakes.device, "wan1");
}

static void test_a_device_that_is_not_configured_must_hold_the_address(void **state)
{
    struct fixture *f = *state;

    f->config.bind = (struct config_bind){0};
    assert_int_equal(ip_addr_parse("10.0.0.1", &f->config.bind.addr), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 0, "eth0")),
                     -EADDRNOTAVAIL);
    assert_int_equal(f->fakes.call, FAKE_NONE);
    f->fakes.holds = true;
    assert_int_equal(ASK(f, .op = HELPER_OP_UDP_OPEN, .udp = udp("10.0.0.1", 0, "eth0")), 0);
}

/* --- files and configuration ----------------------------------------------------------- */

static void test_only_configured_files(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_COUNT);
    assert_refused(f, .op = HELPER_OP_FILE_OPEN, .which = UINT32_MAX);
    assert_refused(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_KEY, .flag = 2);
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_CRL), -ENOENT);
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_KEY, .flag = 1),
                     -ENOENT);
    assert_int_equal(f->fakes.call, FAKE_NONE);
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_KEY), 0);
    assert_string_equal(f->fakes.text, "/c/key");
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_STAT, .which = HELPER_FILE_CONFIG), 0);
    assert_string_equal(f->fakes.text, "/c/file.yaml");
}

static void test_a_staged_configuration_allows_nothing_yet(void **state)
{
    struct fixture *f = *state;
    struct ip_prefix p = prefix("198.51.100.0/24");

    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 1), -ENOENT);
    f->fakes.config_text = fake_client_text;
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_STAGE), 0);
    assert_route_refused(f, true, p);
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_TOKEN, .flag = 1), 0);
    assert_string_equal(f->fakes.text, "/c/token");
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_TOKEN), -ENOENT);
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 1), 0);
    assert_int_equal(ask_route(f, true, p, 0, 0), 0);
    assert_route_refused(f, true, prefix("172.16.1.0/30"));
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 1), -ENOENT);
}

static void test_a_configuration_with_errors_is_not_staged(void **state)
{
    struct fixture *f = *state;

    f->fakes.config_text = fake_client_text;
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_STAGE), 0);
    f->fakes.config_text = "role: nothing\n";
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_STAGE), 0); /* its text comes nevertheless */
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 1), -ENOENT);
    f->fakes.config_text = fake_client_text;
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_STAGE), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 0), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 1), -ENOENT);
}

static void test_the_rest_has_bounds(void **state)
{
    struct fixture *f = *state;

    assert_refused(f, .op = HELPER_OP_NOTIFY, .which = HELPER_NOTIFY_COUNT);
    assert_refused(f, .op = HELPER_OP_TIME_SAVE, .time_s = -1);
    assert_refused(f, .op = HELPER_OP_CONFIG_COMMIT, .flag = 7);
    assert_int_equal(ASK(f, .op = HELPER_OP_NOTIFY, .which = HELPER_NOTIFY_WATCHDOG), 0);
    assert_int_equal(f->fakes.value, HELPER_NOTIFY_WATCHDOG);
    assert_int_equal(ASK(f, .op = HELPER_OP_RESET_SECRET), 0);
    assert_string_equal(f->fakes.text, "mpq1");
    open_tun(f);
    assert_int_equal(ASK(f, .op = HELPER_OP_CONTROL_SOCKET), 0);
}

/* A data plane that went astray cannot push the time into the future, and lock us out by it. */
static void test_the_time_to_save_is_bounded(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ASK(f, .op = HELPER_OP_TIME_SAVE, .time_s = FAKE_CLOCK_S), 0);
    assert_refused(f, .op = HELPER_OP_TIME_SAVE, .time_s = FAKE_CLOCK_S + 3600);
    assert_refused(f, .op = HELPER_OP_TIME_SAVE, .time_s = INT64_MAX);
    /* the clock is behind what was saved before */
    assert_int_equal(ASK(f, .op = HELPER_OP_TIME_LOAD), 0);
    assert_int_equal(ASK(f, .op = HELPER_OP_TIME_SAVE, .time_s = FAKE_CLOCK_S + FAKE_SAVED_AHEAD_S),
                     0);
    assert_refused(f, .op = HELPER_OP_TIME_SAVE,
                   .time_s = FAKE_CLOCK_S + FAKE_SAVED_AHEAD_S + 3600);
}

/* --- the secret of stateless resets, in the file system --------------------------------- */

static void test_the_reset_secret_is_made_once(void **state)
{
    char dir[] = "/tmp/mpquic-state-XXXXXX", path[64];
    uint8_t first[HELPER_SECRET_BYTES], again[HELPER_SECRET_BYTES], other[HELPER_SECRET_BYTES];
    struct stat st;
    FILE *file;

    assert_non_null(mkdtemp(dir));
    setenv("MPQUIC_STATE_DIR", dir, 1);
    assert_int_equal(files_reset_secret("mt1", first), 0);
    assert_int_equal(files_reset_secret("mt1", again), 0);
    assert_int_equal(files_reset_secret("mt2", other), 0);
    assert_memory_equal(first, again, sizeof(first));
    assert_memory_not_equal(first, other, sizeof(first));
    snprintf(path, sizeof(path), "%s/mt1.reset", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    file = fopen(path, "w"); /* spoilt: made anew */
    assert_non_null(file);
    fputs("short", file);
    fclose(file);
    assert_int_equal(files_reset_secret("mt1", again), 0);
    assert_memory_not_equal(first, again, sizeof(first));
    assert_int_equal(files_reset_secret("mt1", first), 0);
    assert_memory_equal(first, again, sizeof(first));
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0); /* cannot be kept */
    assert_true(files_reset_secret("mt1", first) < 0);
    rmdir(path);
    snprintf(path, sizeof(path), "%s/mt2.reset", dir);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
    unsetenv("MPQUIC_STATE_DIR");
}

static void tell(struct fixture *f, uint32_t which, const char *text, int expected)
{
    struct helper_text_request q = {.op = HELPER_OP_TEXT, .which = which};
    struct server_reply reply;

    snprintf(q.text, sizeof(q.text), "%s", text);
    server_handle(&f->server, &q, sizeof(q), &reply);
    assert_int_equal(reply.answer.error, expected);
    assert_int_equal(reply.fd, -1);
}

/* A line end would let the data plane write other fields of sd_notify(3). */
static void test_texts_are_one_line(void **state)
{
    struct fixture *f = *state;
    struct helper_text_request q = {.op = HELPER_OP_TEXT, .which = HELPER_TEXT_END};
    struct server_reply reply;

    tell(f, HELPER_TEXT_STATUS, "up\nWATCHDOG=1", 0);
    assert_int_equal(f->fakes.call, FAKE_NOTIFY_STATUS);
    assert_string_equal(f->fakes.text, "up?WATCHDOG=1");
    assert_string_equal(f->server.end, "");
    tell(f, HELPER_TEXT_END, "giving up", 0);
    assert_string_equal(f->server.end, "giving up");
    tell(f, HELPER_TEXT_COUNT, "", -EPERM);
    memset(q.text, 'x', sizeof(q.text)); /* without an end */
    server_handle(&f->server, &q, sizeof(q), &reply);
    assert_int_equal(strlen(f->server.end), HELPER_TEXT_MAX - 1);
    q.op = HELPER_OP_NOTIFY; /* that has another size */
    server_handle(&f->server, &q, sizeof(q), &reply);
    assert_int_equal(reply.answer.error, -EPERM);
    assert_refused(f, .op = HELPER_OP_TEXT);
}

static void test_errors_of_the_kernel_are_passed_on(void **state)
{
    struct fixture *f = *state;

    f->fakes.error = -EBUSY;
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_OPEN), -EBUSY);
    assert_int_equal(ASK(f, .op = HELPER_OP_TUN_UP), -ENODEV);
    f->fakes.error = -EACCES;
    assert_int_equal(ASK(f, .op = HELPER_OP_FILE_OPEN, .which = HELPER_FILE_KEY), -EACCES);
}

#define HUB(t) cmocka_unit_test_setup_teardown(t, make_hub, destroy)
#define EDGE(t) cmocka_unit_test_setup_teardown(t, make_edge, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HUB(test_messages_of_another_size),
        HUB(test_unknown_operations),
        HUB(test_nothing_about_a_tun_before_there_is_one),
        HUB(test_nothing_about_a_tun_that_was_deleted),
        HUB(test_mtu_has_bounds),
        HUB(test_only_configured_addresses),
        HUB(test_prefixes_that_are_none),
        HUB(test_only_our_addresses_are_taken_away),
        EDGE(test_assigned_addresses_are_few_hosts),
        EDGE(test_assigned_addresses_in_a_named_network),
        EDGE(test_rules_of_own_addresses_only),
        EDGE(test_rules_that_may_be_taken_away),
        HUB(test_a_hub_has_no_rules),
        EDGE(test_an_address_that_failed_does_not_count),
        EDGE(test_assigned_addresses_count_in_a_tun_opened_anew),
        EDGE(test_a_tun_made_anew_has_no_addresses),
        EDGE(test_a_tun_whose_addresses_are_unknown_is_not_opened),
        HUB(test_hub_routes),
        EDGE(test_edge_routes),
        cmocka_unit_test(test_the_reset_secret_is_made_once),
        HUB(test_many_routes_in_one_request),
        HUB(test_no_routes_before_there_is_a_tun),
        HUB(test_the_tun_gets_its_name_again),
        HUB(test_hub_sockets),
        EDGE(test_edge_sockets),
        EDGE(test_a_device_that_is_not_configured_must_hold_the_address),
        HUB(test_only_configured_files),
        HUB(test_a_staged_configuration_allows_nothing_yet),
        HUB(test_a_configuration_with_errors_is_not_staged),
        HUB(test_the_rest_has_bounds),
        HUB(test_the_time_to_save_is_bounded),
        HUB(test_texts_are_one_line),
        HUB(test_errors_of_the_kernel_are_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
