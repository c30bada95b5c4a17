#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "status/reload.h"
#include "status/status.h"

#define DAY 86400

/* Fill an array of characters. */
#define set(dst, src) assert_true(snprintf(dst, sizeof(dst), "%s", src) < (int)sizeof(dst))

static struct status_path a_path(void)
{
    struct status_path p = {
        .lanes = 1,
        .quic.rtt_latest_us = 20100,
        .quic.rtt_min_us = 20000,
        .quic.rtt_smoothed_us = 20250,
        .quic.rtt_variance_us = 340,
        .quic.cwnd_bytes = 123456,
        .quic.in_flight_bytes = 1500,
        .quic.udp = {.rx_packets = 1, .rx_bytes = 1200, .tx_packets = 1500, .tx_bytes = 2000000},
        .quic.datagrams_tx = 1000,
        .quic.datagrams_acked = 990,
        .quic.datagrams_lost = 5,
        .quic.datagrams_rx = 800,
        .udp_payload_bytes = 1472,
        .packet_max_bytes = 1438,
        .quic.heard_s = 4,
        .mtu_known = true,
    };

    set(p.local, "192.0.2.5:41234");
    set(p.remote, "203.0.113.1:45001");
    set(p.interface, "enp7s3");
    return p;
}

static void make_client(struct status *s)
{
    status_init(s);
    set(s->instance, "six1");
    set(s->role, "client");
    set(s->version, "0.1.0");
    set(s->aead, "ipsec-mb");
    s->pid = 1234;
    set(s->state, "up");
    s->now_s = 1767268800; /* 2026-01-01T12:00:00Z */
    s->started_s = s->now_s - 7500;
    s->uptime_s = 7500;
    s->state_age_s = 125;
    s->server.present = true;
    set(s->server.host, "hub.example");
    s->server.port = 45001;
    set(s->server.address, "203.0.113.1:45001");
    set(s->server.name, "hub");
    set(s->tunnel.interface, "mpq1");
    s->tunnel.exists = true;
    s->tunnel.repairs = 2;
    s->tunnel.mtu_bytes = 1438;
    s->tunnel.mtu_automatic = true;
    assert_int_equal(status_add_string(&s->tunnel.addresses, "10.200.1.1/30"), 0);
    assert_int_equal(status_add_string(&s->tunnel.addresses, "fd00:200:1::1/126"), 0);
    assert_int_equal(status_add_string(&s->tunnel.assigned, "10.200.1.1/32"), 0);
    s->offloads = (struct status_offloads){.tun_tso = true, .udp_gso = true, .udp_gro = true};
    s->traffic = (struct status_counts){1, 84, 20, 3145728};
    s->queue = (struct status_queue){0, 0, 1048576};
    assert_non_null(status_make_paths(&s->paths, &s->n_paths, 1));
    s->paths[0] = a_path();
    s->drops.n[DROP_MULTICAST] = 3;
    s->drops.n[DROP_NOT_QUIC] = 1;
    s->handshakes = (struct status_handshakes){.begun = 3, .completed = 2, .failed = 1};
    s->certificate.present = true;
    set(s->certificate.subject, "CN=edge");
    set(s->certificate.serial, "2a");
    s->certificate.not_before_s = s->now_s - 10 * DAY;
    s->certificate.not_after_s = s->now_s + 5 * DAY + 10;
    assert_int_equal(status_note_expiry(s, &s->certificate, "our certificate"), 0);
    s->last_error.present = true;
    set(s->last_error.text, "no answer");
    s->last_error.time_s = s->now_s - 184;
    s->last_error.age_s = 184;
}

static void make_server(struct status *s)
{
    struct status_peer *p;

    status_init(s);
    set(s->instance, "mt1");
    set(s->role, "server");
    set(s->version, "0.1.0");
    s->pid = 77;
    set(s->state, "listening");
    s->now_s = 1767268800;
    s->started_s = s->now_s - 90;
    s->uptime_s = s->state_age_s = 90;
    assert_int_equal(status_add_string(&s->listen, "0.0.0.0:45010"), 0);
    set(s->tunnel.interface, "mt1");
    s->tunnel.exists = true;
    s->tunnel.mtu_bytes = 1400;
    s->n_peers_up = 2;
    p = status_make_peers(s, 2);
    assert_non_null(p);
    set(p[0].name, "edge");
    set(p[0].instance, "cr5");
    set(p[0].remote, "198.51.100.2:50000");
    p[0].since_s = s->now_s - 60;
    p[0].age_s = 60;
    p[0].cert_until_s = s->now_s + DAY;
    assert_int_equal(status_add_string(&p[0].addresses, "10.200.10.1"), 0);
    assert_int_equal(status_add_string(&p[0].prefixes, "172.16.5.0/30"), 0);
    assert_int_equal(status_add_string(&p[0].learned, "172.16.5.2"), 0);
    p[0].learned_total = 1;
    p[0].bad_sources = 7;
    p[0].traffic = (struct status_counts){10, 1000, 20, 2048};
    assert_non_null(status_make_paths(&p[0].paths, &p[0].n_paths, 1));
    p[0].paths[0] = a_path();
    set(p[1].name, "edge-with-a-longer-name");
    p[1].age_s = 90061;
}

/* Whatever is written, reading it back gives it again. */
static void json_is_read_back(void **state)
{
    struct status s, back;
    char *first, *second;

    make_client(&s);
    first = status_json(&s, 0);
    assert_non_null(first);
    assert_int_equal(status_from_json(first, strlen(first), &back), 0);
    assert_string_equal(back.server.address, "203.0.113.1:45001");
    assert_int_equal(back.certificate.days_left, 5);
    assert_int_equal(back.drops.n[DROP_MULTICAST], 3);
    assert_int_equal(back.started_s, s.started_s);
    second = status_json(&back, 0);
    assert_string_equal(first, second);
    free(first);
    free(second);
    status_done(&s);
    status_done(&back);

    make_server(&s);
    first = status_json(&s, 2);
    assert_int_equal(status_from_json(first, strlen(first), &back), 0);
    assert_int_equal(back.n_peers, 2);
    assert_string_equal(back.peers[0].learned.v[0], "172.16.5.2");
    assert_int_equal(back.peers[0].paths[0].quic.rtt_min_us, 20000);
    assert_false(back.server.present);
    second = status_json(&back, 2);
    assert_string_equal(first, second);
    free(first);
    free(second);
    status_done(&s);
    status_done(&back);
}

/* The text is what jansson would write of it, in one line and in several. */
static void json_is_in_its_usual_form(void **state)
{
    struct status s;

    make_server(&s);
    set(s.reason, "\"quoted\" back\\slash and caf\xc3\xa9");
    s.pid = UINT64_MAX;
    s.uptime_s = INT64_MAX;
    s.certificate.present = true;
    s.certificate.days_left = INT64_MIN;
    for (unsigned indent = 0; indent <= 4; indent += 2) {
        char *text = status_json(&s, indent), *usual;
        json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

        assert_non_null(tree);
        usual = json_dumps(tree, indent ? JSON_INDENT(indent) : JSON_COMPACT);
        assert_string_equal(text, usual);
        assert_int_equal(json_integer_value(json_object_get(tree, "pid")), INT64_MAX);
        assert_int_equal(json_integer_value(json_object_get(tree, "uptime_s")), INT64_MAX);
        assert_string_equal(json_string_value(json_object_get(tree, "reason")), s.reason);
        json_decref(tree);
        free(usual);
        free(text);
    }
    status_done(&s);
}

static void json_of_peers_is_exact(void **state)
{
    static const char expected[] =
        "{\"schema\":1,\"instance\":\"mt1\",\"role\":\"server\",\"now\":\"2026-01-01T12:00:00Z\","
        "\"peers_up\":2,\"peers\":["
        "{\"name\":\"edge\",\"instance\":\"cr5\",\"remote\":\"198.51.100.2:50000\","
        "\"since\":\"2026-01-01T11:59:00Z\",\"age_s\":60,"
        "\"certificate_until\":\"2026-01-02T12:00:00Z\",\"addresses\":[\"10.200.10.1\"],"
        "\"prefixes\":[\"172.16.5.0/30\"],\"learned\":[\"172.16.5.2\"],"
        "\"learned_total\":1,\"bad_sources\":7,"
        "\"traffic\":{\"rx_packets\":10,\"rx_bytes\":1000,\"tx_packets\":20,\"tx_bytes\":2048},"
        "\"queue\":{\"bytes\":0,\"packets\":0,\"max_bytes\":0},"
        "\"paths\":[{\"name\":\"\",\"number\":0,\"state\":\"\",\"reason\":\"\",\"state_age_s\":0,"
        "\"in_use\":false,\"priority\":0,\"weight\":0,\"rate_bps\":0,\"extra_delay_us\":0,"
        "\"taken_over\":0,\"share_percent\":0,"
        "\"order\":{\"units\":0,\"reordered\":0,\"waited\":0,\"wait_us\":0},"
        "\"local\":\"192.0.2.5:41234\",\"remote\":\"203.0.113.1:45001\","
        "\"interface\":\"enp7s3\",\"lanes\":1,\"lanes_wanted\":0,"
        "\"rtt_us\":{\"latest\":20100,\"min\":20000,\"smoothed\":20250,\"variance\":340},"
        "\"cwnd_bytes\":123456,\"in_flight_bytes\":1500,"
        "\"udp\":{\"rx_packets\":1,\"rx_bytes\":1200,\"tx_packets\":1500,\"tx_bytes\":2000000},"
        "\"datagrams\":{\"tx\":1000,\"acked\":990,\"lost\":5,\"rx\":800},"
        "\"udp_payload_bytes\":1472,\"packet_max_bytes\":1438,\"heard_s\":4,\"mtu_known\":true,"
        "\"each_lane\":[]}]},"
        "{\"name\":\"edge-with-a-longer-name\",\"instance\":\"\",\"remote\":\"\",\"since\":null,"
        "\"age_s\":90061,\"certificate_until\":null,\"addresses\":[],\"prefixes\":[],\"learned\":[]"
        ","
        "\"learned_total\":0,\"bad_sources\":0,"
        "\"traffic\":{\"rx_packets\":0,\"rx_bytes\":0,\"tx_packets\":0,\"tx_bytes\":0},"
        "\"queue\":{\"bytes\":0,\"packets\":0,\"max_bytes\":0},\"paths\":[]}],"
        "\"absent\":[{\"name\":\"edge3\",\"instance\":\"mpq1\",\"remote\":\"\",\"last_seen\":null,"
        "\"gone_s\":0,\"certificate_until\":null,\"reason\":\"\"}]}";
    struct status s;
    char *json;

    make_server(&s);
    assert_non_null(status_make_absent(&s, 1));
    set(s.absent[0].name, "edge3");
    set(s.absent[0].instance, "mpq1");
    json = status_peers_json(&s, 0);
    assert_string_equal(json, expected);
    free(json);
    status_done(&s);
}

static char *text_of(const struct status *s, void (*write)(const struct status *, FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    write(s, f);
    fclose(f);
    return text;
}

static void text_of_a_client_is_exact(void **state)
{
    static const char expected[] =
        "six1: up for 2m 5s (client, mpquic 0.1.0, pid 1234, running for 2h 5m)\n"
        "  warning       our certificate expires in 5 days, at 2026-01-06T12:00:10Z\n"
        "  server        hub.example port 45001 at 203.0.113.1, hub\n"
        "  tunnel        mpq1, MTU 1438 (follows the path)\n"
        "    repairs     2\n"
        "    addresses   10.200.1.1/30, fd00:200:1::1/126\n"
        "    assigned    10.200.1.1/32\n"
        "  offloads      TUN TSO; UDP GSO, GRO\n"
        "  traffic       in 1 packet (84 B), out 20 packets (3.0 MiB)\n"
        "  queue         0 packets, 0 B of 1.0 MiB\n"
        "  path          192.0.2.5:41234 on enp7s3 to 203.0.113.1:45001, 1 lane\n"
        "    last heard  4s ago\n"
        "    RTT         20.2 ms (latest 20.1, min 20.0, variance 0.3)\n"
        "    window      120.6 KiB, 1.5 KiB in flight\n"
        "    path MTU    UDP payload 1472 B, packets 1438 B\n"
        "    UDP         in 1 packet (1.2 KiB), out 1500 packets (1.9 MiB)\n"
        "    datagrams   1000 sent, 990 acknowledged, 5 lost (0.50 %), 800 received\n"
        "  drops         multicast 3, not-quic 1\n"
        "  handshakes    3 begun, 2 completed, 1 failed\n"
        "  AEAD          ipsec-mb\n"
        "  certificate   CN=edge, until 2026-01-06T12:00:10Z (5 days)\n"
        "  last error    2026-01-01T11:56:56Z (3m 4s ago): no answer\n";
    struct status s;
    char *text;

    make_client(&s);
    text = text_of(&s, status_write_text);
    assert_string_equal(text, expected);
    free(text);
    status_done(&s);
}

/* Further lanes of a path: the text has their number and their sums, the JSON has each. */
static void lanes_of_a_path_are_told(void **state)
{
    struct status s, back;
    char *text, *json;

    make_client(&s);
    s.paths[0].lanes = 2;
    s.paths[0].lanes_wanted = 3;
    assert_non_null(status_make_lanes(&s.paths[0], 2));
    for (unsigned i = 0; i < 2; i++) {
        s.paths[0].each_lane[i].number = 3 * i;
        s.paths[0].each_lane[i].quic = a_path().quic;
        set(s.paths[0].each_lane[i].local, "192.0.2.5:1");
    }
    s.paths[0].each_lane[1].quic.datagrams_lost = 77;
    text = text_of(&s, status_write_text);
    assert_non_null(strstr(text, " on enp7s3 to 203.0.113.1:45001, 2 lanes (3 wanted)\n"));
    free(text);
    s.paths[0].lanes_wanted = 2;
    text = text_of(&s, status_write_text);
    assert_non_null(strstr(text, " on enp7s3 to 203.0.113.1:45001, 2 lanes\n"));
    free(text);
    json = status_json(&s, 0);
    assert_non_null(strstr(
        json,
        "\"each_lane\":[{\"number\":0,\"local\":\"192.0.2.5:1\",\"rtt_us\":{\"latest\":20100,"));
    assert_int_equal(status_from_json(json, strlen(json), &back), 0);
    assert_int_equal(back.paths[0].lanes, 2);
    assert_int_equal(back.paths[0].n_each_lane, 2);
    assert_int_equal(back.paths[0].each_lane[1].number, 3);
    assert_int_equal(back.paths[0].each_lane[1].quic.datagrams_lost, 77);
    assert_string_equal(back.paths[0].each_lane[1].local, "192.0.2.5:1");
    free(json);
    status_done(&back);
    status_done(&s);
}

/* Attempts come and go; how long the tunnel has been down is said beside them. */
static void down_is_told_over_attempts(void **state)
{
    struct status s;
    char *text;

    make_client(&s);
    set(s.state, "connecting");
    s.state_age_s = 5;
    s.down_since_s = s.now_s - 303;
    s.down_s = 303;
    text = text_of(&s, status_write_text);
    assert_memory_equal(text, "six1: connecting for 5s, down for 5m 3s (client, ", 49);
    free(text);
    status_done(&s);
}

/* The line about the server says nothing twice. */
static void the_server_is_told_once(void **state)
{
    static const struct {
        const char *host, *address, *name, *expected;
    } cases[] = {
        {"hub.example", "", "", "hub.example port 443\n"},
        {"hub.example", "203.0.113.1:443", "hub", "hub.example port 443 at 203.0.113.1, hub\n"},
        {"hub.example", "[2001:db8::1]:443", "hub.example",
         "hub.example port 443 at 2001:db8::1\n"},
        {"203.0.113.1", "203.0.113.1:443", "203.0.113.1", "203.0.113.1 port 443\n"},
        {"203.0.113.1", "203.0.113.1:443", "hub", "203.0.113.1 port 443, hub\n"},
        {"2001:db8:0::1", "[2001:db8::1]:443", "2001:db8::1", "2001:db8:0::1 port 443\n"},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[128], *text;
        struct status s;

        make_client(&s);
        s.server.port = 443;
        set(s.server.host, cases[i].host);
        set(s.server.address, cases[i].address);
        set(s.server.name, cases[i].name);
        text = text_of(&s, status_write_text);
        snprintf(line, sizeof(line), "\n  server        %s", cases[i].expected);
        assert_non_null(strstr(text, line));
        free(text);
        status_done(&s);
    }
}

static void text_of_a_waiting_client_tells_why(void **state)
{
    static const char expected[] =
        "six2: idle: waiting: no IPv4 address on enp7s4 for 1d 1h (client, mpquic 0.1.0, pid 9, "
        "running for 1d 1h)\n"
        "  server        203.0.113.1 port 45002\n"
        "  tunnel        mpq2, MTU 1280\n"
        "  offloads      TUN none; UDP none\n"
        "  traffic       in 0 packets (0 B), out 0 packets (0 B)\n"
        "  queue         0 packets, 0 B of 0 B\n"
        "  path          no address on enp7s4 to 203.0.113.1:45002, 0 lanes\n"
        "  handshakes    0 begun, 0 completed, 0 failed\n";
    struct status s;
    char *text;

    status_init(&s);
    set(s.instance, "six2");
    set(s.role, "client");
    set(s.version, "0.1.0");
    s.pid = 9;
    set(s.state, "idle");
    set(s.reason, "waiting: no IPv4 address on enp7s4");
    s.uptime_s = s.state_age_s = 90061;
    s.down_since_s = 1;
    s.down_s = 90061;
    s.server.present = true;
    set(s.server.host, "203.0.113.1");
    s.server.port = 45002;
    set(s.server.address, "203.0.113.1:45002");
    set(s.tunnel.interface, "mpq2");
    s.tunnel.exists = true;
    s.tunnel.mtu_bytes = 1280;
    assert_non_null(status_make_paths(&s.paths, &s.n_paths, 1));
    set(s.paths[0].interface, "enp7s4");
    set(s.paths[0].remote, "203.0.113.1:45002");
    text = text_of(&s, status_write_text);
    assert_string_equal(text, expected);
    assert_false(status_is_up(&s));
    free(text);
    status_done(&s);
}

static void text_of_peers_is_a_table(void **state)
{
    static const char expected[] =
        "mt1: 2 peers up\n"
        "  NAME                     INSTANCE  REMOTE              ADDRESSES    PREFIXES       "
        "LEARNED  CONNECTED  HEARD  LANES      RTT      IN      OUT    LOST  BADSRC\n"
        "  edge                     cr5       198.51.100.2:50000  10.200.10.1  172.16.5.0/30  "
        "      1      1m 0s     4s      1  20.2 ms  1000 B  2.0 KiB  0.50 %       7\n"
        "  edge-with-a-longer-name  -         -                   -            -              "
        "      -      1d 1h      -      -        -     0 B      0 B       -       -\n";
    struct status s;
    char *text;

    make_server(&s);
    text = text_of(&s, status_write_peers);
    assert_string_equal(text, expected);
    assert_true(status_is_up(&s));
    free(text);
    s.peers[0].bad_sources = 0; /* nobody has any: no column */
    text = text_of(&s, status_write_peers);
    assert_null(strstr(text, "BADSRC"));
    assert_non_null(strstr(text, "0.50 %\n"));
    free(text);
    text = text_of(&s, status_write_text);
    assert_non_null(strstr(text, "\n  listening on  0.0.0.0:45010\n"));
    assert_non_null(strstr(text, "\n  peers         2 up\n    NAME "));
    free(text);
    status_done(&s);
}

static void text_of_peers_tells_who_is_absent(void **state)
{
    static const char expected[] =
        "mt1: 0 peers up\n"
        "  ABSENT  INSTANCE  LAST SEEN            LAST REMOTE      CERTIFICATE UNTIL     WHY\n"
        "  edge1   mpq1      2h 0m ago            192.0.2.9:50000  2026-01-02T12:00:00Z  nothing "
        "was heard\n"
        "  edge2   -         not since the start  -                -                     -\n";
    struct status s;
    char *text;

    make_server(&s);
    s.n_peers = s.n_peers_up = 0;
    assert_non_null(status_make_absent(&s, 2));
    set(s.absent[0].name, "edge1");
    set(s.absent[0].instance, "mpq1");
    set(s.absent[0].remote, "192.0.2.9:50000");
    set(s.absent[0].reason, "nothing was heard");
    s.absent[0].gone_s = 7200;
    s.absent[0].last_seen_s = s.now_s - 7200;
    s.absent[0].cert_until_s = s.now_s + 86400;
    set(s.absent[1].name, "edge2");
    text = text_of(&s, status_write_peers);
    assert_string_equal(text, expected);
    free(text);
    text = text_of(&s, status_write_text);
    assert_non_null(strstr(text, "\n  peers         0 up, 2 absent: mpquic peers mt1\n"));
    free(text);
    s.n_peers_up = 7;
    s.n_peers = 2;
    text = text_of(&s, status_write_peers);
    assert_non_null(strstr(text, "\n  and 5 more, too many for one answer\n"));
    free(text);
    status_done(&s);
}

static void many_peers_are_cut_in_the_text_only(void **state)
{
    struct status s;
    char *text;

    status_init(&s);
    set(s.instance, "mt1");
    set(s.role, "server");
    s.n_peers_up = 100;
    assert_non_null(status_make_peers(&s, 100));
    text = text_of(&s, status_write_text);
    assert_non_null(strstr(text, "    and 84 more: mpquic peers mt1\n"));
    free(text);
    text = status_json(&s, 0);
    status_done(&s);
    assert_int_equal(status_from_json(text, strlen(text), &s), 0);
    assert_int_equal(s.n_peers, 100);
    free(text);
    status_done(&s);
}

static void long_lists_are_cut_in_cells(void **state)
{
    struct status s;
    char *text;

    status_init(&s);
    set(s.instance, "mt1");
    assert_non_null(status_make_peers(&s, 1));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(status_add_string(&s.peers[0].prefixes, "172.16.0.0/16"), 0);
    text = text_of(&s, status_write_peers);
    assert_non_null(strstr(text, "172.16.0.0/16,172.16.0.0/16"));
    assert_non_null(strstr(text, " more "));
    free(text);
    status_done(&s);
}

static void text_from_peers_is_made_safe(void **state)
{
    char buf[16];

    status_set_text(buf, sizeof(buf), "a\x1b[31m\nb\x7f");
    assert_string_equal(buf, "a?[31m?b?");
    status_set_text(buf, sizeof(buf), "caf\xc3\xa9");
    assert_string_equal(buf, "caf\xc3\xa9");
    status_set_text(buf, sizeof(buf), "\xc3(\xff\xc0\x80\xed\xa0\x80\xc2\x9b");
    assert_string_equal(buf, "?(????????");
    status_set_text(buf, 4, "ab\xc3\xa9"); /* no half characters */
    assert_string_equal(buf, "ab");
    status_set_text(buf, 1, "ab");
    assert_string_equal(buf, "");
    status_set_text(buf, sizeof(buf), "\xf0\x9f\x98\x80 ok");
    assert_string_equal(buf, "\xf0\x9f\x98\x80 ok");
    status_set_text(buf, sizeof(buf), "x\xf0\x9f");
    assert_string_equal(buf, "x??");
}

static void bytes_that_are_no_text_stay_valid_json(void **state)
{
    struct status s, back;
    char *json;

    status_init(&s);
    set(s.reason, "bad \xff\xfe bytes");
    json = status_json(&s, 0);
    assert_non_null(json);
    assert_int_equal(status_from_json(json, strlen(json), &back), 0);
    assert_string_equal(back.reason, "bad ?? bytes");
    free(json);
    status_done(&back);
}

static void strange_json_is_refused_or_ignored(void **state)
{
    static const char *const refused[] = {"",
                                          "{",
                                          "[]",
                                          "null",
                                          "{}",
                                          "{\"schema\":\"1\"}",
                                          "{\"schema\":1,\"schema\":1}",
                                          "{\"schema\":1} x"};
    static const char odd[] =
        "{\"schema\":1,\"instance\":5,\"pid\":\"x\",\"peers\":{\"a\":1},\"drops\":[1],"
        "\"paths\":[1,null,\"x\",{\"lanes\":\"many\",\"udp\":7}],\"server\":[],\"unknown\":{},"
        "\"warnings\":[1,\"two\",null],\"now\":\"yesterday\",\"rtt_us\":1}";
    struct status s;

    for (unsigned i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        assert_int_equal(status_from_json(refused[i], strlen(refused[i]), &s), -EINVAL);
    assert_int_equal(status_from_json(odd, strlen(odd), &s), 0);
    assert_string_equal(s.instance, "");
    assert_int_equal(s.pid, 0);
    assert_int_equal(s.n_peers, 0);
    assert_int_equal(s.n_paths, 4);
    assert_int_equal(s.paths[3].lanes, 0);
    assert_false(s.server.present);
    assert_int_equal(s.warnings.n, 1);
    assert_string_equal(s.warnings.v[0], "two");
    assert_int_equal(s.now_s, 0);
    status_done(&s);
}

static void lists_are_bounded(void **state)
{
    char text[1024] = "{\"schema\":1,\"paths\":[";
    size_t n = strlen(text);
    struct status s;

    for (unsigned i = 0; i < 65; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{}", i ? "," : "");
    snprintf(text + n, sizeof(text) - n, "]}");
    assert_int_equal(status_from_json(text, strlen(text), &s), -E2BIG);
}

static void units_are_rounded_for_people(void **state)
{
    char buf[STATUS_WORD_MAX];

    assert_string_equal(status_bytes_str(0, buf), "0 B");
    assert_string_equal(status_bytes_str(1023, buf), "1023 B");
    assert_string_equal(status_bytes_str(1024, buf), "1.0 KiB");
    assert_string_equal(status_bytes_str(1048575, buf), "1.0 MiB");
    assert_string_equal(status_bytes_str(UINT64_MAX, buf), "16.0 EiB");
    assert_string_equal(status_duration_str(0, buf), "0s");
    assert_string_equal(status_duration_str(61, buf), "1m 1s");
    assert_string_equal(status_duration_str(3600, buf), "1h 0m");
    assert_string_equal(status_duration_str(86400, buf), "1d 0h");
    assert_string_equal(status_time_str(0, buf), "");
    assert_string_equal(status_time_str(1767268800, buf), "2026-01-01T12:00:00Z");
}

static void expiry(int64_t left_s, int64_t days, const char *warning)
{
    struct status s;
    struct status_cert c = {.present = true};

    status_init(&s);
    s.now_s = 1767268800;
    c.not_before_s = s.now_s - DAY;
    c.not_after_s = s.now_s + left_s;
    assert_int_equal(status_note_expiry(&s, &c, "it"), 0);
    assert_int_equal(c.days_left, days);
    assert_int_equal(s.warnings.n, warning ? 1 : 0);
    if (warning)
        assert_string_equal(s.warnings.v[0], warning);
    status_done(&s);
}

static void expiry_is_warned_of(void **state)
{
    expiry(14 * DAY, 14, NULL);
    expiry(14 * DAY - 1, 13, "it expires in 13 days, at 2026-01-15T11:59:59Z");
    expiry(DAY + 3, 1, "it expires in 1d 0h, at 2026-01-02T12:00:03Z");
    expiry(3, 0, "it expires in 3s, at 2026-01-01T12:00:03Z");
    expiry(-1, -1, "it has expired at 2026-01-01T11:59:59Z");
    expiry(-DAY - 1, -2, "it has expired at 2025-12-31T11:59:59Z");
}

static void a_reload_is_told(void **state)
{
    static const char *const expected[RELOAD_RESULT_COUNT] = {
        [RELOAD_UNCHANGED] = "six1: unchanged: nothing has changed\n",
        [RELOAD_APPLIED] = "six1: applied: what has changed is in force\n"
                           "  changed: log_level, mtu\n",
        [RELOAD_INVALID] = "/etc/mpquic/six1.yaml:3:7: error: out of range\n"
                           "six1: invalid: the configuration has errors; nothing was changed\n",
        [RELOAD_RESTART] = "six1: restart-needed: something has changed that a running instance "
                           "cannot take; nothing was changed\n"
                           "  needs a restart: tun_name\n"
                           "  restart the instance to apply: systemctl restart mpquic@six1\n",
        [RELOAD_FAILED] = "six1: failed: the new configuration could not be put in force\n",
    };

    for (int i = 0; i < RELOAD_RESULT_COUNT; i++) {
        struct reload_outcome o = {.instance = "six1"}, back;
        char *json, *text = NULL;
        size_t len = 0;
        FILE *f;

        reload_outcome_set(&o, (enum reload_result)i);
        assert_int_equal(status_add_string(&o.changed, "log_level"), 0);
        assert_int_equal(status_add_string(&o.changed, "mtu"), 0);
        assert_int_equal(status_add_string(&o.restart, "tun_name"), 0);
        if (i == RELOAD_INVALID)
            assert_int_equal(
                status_add_string(&o.problems, "/etc/mpquic/six1.yaml:3:7: error: out of range"),
                0);
        json = reload_outcome_json(&o);
        assert_non_null(json);
        assert_int_equal(reload_outcome_from_json(json, strlen(json), &back), 0);
        assert_int_equal(reload_outcome_result(&back), i);
        f = open_memstream(&text, &len);
        assert_non_null(f);
        reload_outcome_write(&back, f);
        fclose(f);
        assert_string_equal(text, expected[i]);
        free(json);
        free(text);
        reload_outcome_done(&o);
        reload_outcome_done(&back);
    }
}

static void what_is_no_outcome_is_refused(void **state)
{
    struct reload_outcome o;

    assert_int_equal(reload_outcome_from_json("{}", 2, &o), -EINVAL);
    assert_int_equal(reload_outcome_from_json("{\"result\":1}", 12, &o), -EINVAL);
    assert_int_equal(reload_outcome_from_json("{\"result\":\"?\"}", 14, &o), 0);
    assert_int_equal(reload_outcome_result(&o), RELOAD_FAILED);
    reload_outcome_done(&o);
}

static char *paths_text(const struct status *s, const struct status *before, uint64_t ago_ns)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    status_write_paths(s, before, ago_ns, f);
    fclose(f);
    return text;
}

static void two_paths(struct status *s)
{
    struct status_step *step;

    status_init(s);
    snprintf(s->instance, sizeof(s->instance), "bond");
    snprintf(s->state, sizeof(s->state), "up");
    assert_non_null(status_make_paths(&s->paths, &s->n_paths, 2));
    s->paths[0] = (struct status_path){.name = "wan1",
                                       .state = "up",
                                       .state_age_s = 70,
                                       .in_use = true,
                                       .interface = "enp7s3",
                                       .lanes = 2,
                                       .rate_bps = 80 * 1000 * 1000,
                                       .quic = {.rtt_smoothed_us = 12340,
                                                .rtt_min_us = 10000,
                                                .rtt_variance_us = 500,
                                                .datagrams_tx = 1000,
                                                .datagrams_lost = 5,
                                                .udp = {.rx_bytes = 3 << 20, .tx_bytes = 0}}};
    s->paths[1] = (struct status_path){.name = "lte",
                                       .state = "idle",
                                       .interface = "lte0",
                                       .quic = {.udp = {.rx_bytes = 1 << 20}}};
    snprintf(s->paths[1].reason, sizeof(s->paths[1].reason), "waiting: no carrier on lte0");
    step = status_make_steps(&s->paths[1], 1);
    assert_non_null(step);
    snprintf(step->state, sizeof(step->state), "idle");
    snprintf(step->reason, sizeof(step->reason), "waiting: no carrier on lte0");
    step->time_s = 1767225600;
    step->age_s = 5;
}

static void paths_are_a_table(void **state)
{
    struct status s, before, back;
    char *text, *json;

    two_paths(&s);
    text = paths_text(&s, NULL, 0);
    assert_string_equal(
        text,
        "bond: up for 0s\n"
        "  PATH  STATE     FOR  USED  OVER    LANES      RTT   MIN  JITTER    LOST         RATE    "
        "   "
        "IN  OUT  SHARE  REASON\n"
        "  wan1  up     1m 10s  yes   enp7s3      2  12.3 ms  10.0     0.5  0.50 %  80.0 Mbit/s  "
        "3.0 "
        "MiB  0 B   75 %  -\n"
        "  lte   idle       0s  -     lte0        -        -     -       -       -            -  "
        "1.0 "
        "MiB  0 B   25 %  waiting: no carrier on lte0\n"
        "    2026-01-01T00:00:00Z      5s ago  path lte: idle: waiting: no carrier on lte0\n");
    free(text);

    two_paths(&before);
    s.paths[0].quic.udp.rx_bytes += 250000;
    s.paths[0].quic.datagrams_tx += 100;
    s.paths[0].quic.datagrams_lost += 2;
    text = paths_text(&s, &before, 2 * NS_PER_S);
    assert_non_null(strstr(text, "  2.00 %  80.0 Mbit/s  1.0 Mbit/s  0 kbit/s  100 %"));
    free(text);

    json = status_paths_json(&s, 0);
    assert_int_equal(status_from_json(json, strlen(json), &back), 0);
    assert_int_equal(back.n_paths, 2);
    assert_true(back.paths[0].in_use);
    assert_int_equal(back.paths[0].rate_bps, 80 * 1000 * 1000);
    assert_int_equal(back.paths[1].n_history, 1);
    assert_string_equal(back.paths[1].history[0].reason, "waiting: no carrier on lte0");
    free(json);
    status_done(&s);
    status_done(&before);
    status_done(&back);
}

/* One that is the only one of its peer needs no table. */
static void several_paths_of_a_peer_are_a_table(void **state)
{
    struct status s;
    struct status_path *p;
    char *text;

    make_server(&s);
    text = text_of(&s, status_write_peers);
    assert_null(strstr(text, "paths of"));
    assert_null(strstr(text, "PATHS"));
    free(text);
    assert_non_null(status_make_paths(&s.peers[1].paths, &s.peers[1].n_paths, 2));
    p = s.peers[1].paths;
    p[0] = (struct status_path){.name = "wan1",
                                .state = "suspect",
                                .remote = "198.51.100.7:40000",
                                .lanes = 2,
                                .quic = {.rtt_smoothed_us = 5000,
                                         .heard_s = 30,
                                         .udp = {.rx_bytes = 1000, .tx_bytes = 2000}}};
    p[1] = (struct status_path){
        .number = 3,
        .state = "up",
        .in_use = true,
        .remote = "203.0.113.7:40000",
        .lanes = 1,
        .order = {.units = 200, .reordered = 3, .waited = 2, .wait_us = 4000},
        .quic = {
            .rtt_smoothed_us = 40000, .heard_s = 2, .udp = {.rx_bytes = 3000, .tx_bytes = 6000}}};
    status_share_paths(p, 2);
    assert_int_equal(p[0].share_percent, 25);
    assert_int_equal(p[1].share_percent, 75);
    text = text_of(&s, status_write_peers);
    assert_non_null(strstr(text, "PATHS  LANES      RTT"));
    assert_non_null(strstr(text, "2s      2      3  40.0 ms")); /* heard, paths, lanes, RTT */
    assert_non_null(strstr(text, "  paths of edge-with-a-longer-name:\n    PATH  STATE "));
    assert_non_null(strstr(text, "\n    wan1  suspect "));
    assert_non_null(strstr(text, "\n    3     up "));
    assert_non_null(strstr(text, "  1.50 %       0.02 ms  "));
    assert_non_null(strstr(text, "203.0.113.7:40000"));
    free(text);
    status_done(&s);
}

static void shares_of_nothing_are_nothing(void **state)
{
    struct status_path p[2] = {{.share_percent = 7}, {.name = "x"}};

    status_share_paths(p, 2);
    assert_int_equal(p[0].share_percent, 0);
    assert_int_equal(p[1].share_percent, 0);
}

/* doc/status.md holds the schema, line by line. */
static void the_schema_is_documented(void **state)
{
    FILE *doc = fopen(STATUS_DOC, "re"), *f;
    char *text = NULL, *schema = NULL, *line, *save = NULL;
    size_t size = 0, len = 0;

    assert_non_null(doc);
    assert_true(getdelim(&text, &size, 0, doc) > 0);
    fclose(doc);
    f = open_memstream(&schema, &len);
    assert_non_null(f);
    status_write_schema(f);
    fclose(f);
    for (line = strtok_r(schema, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (!strstr(text, line))
            fail_msg("doc/status.md lacks the line: %s", line);
    for (int i = 0; i < DROP_COUNT; i++) {
        char row[256];

        snprintf(row, sizeof(row), "\n| `%s` | %s |\n", drop_name(i), drop_meaning(i));
        if (!strstr(text, row))
            fail_msg("doc/status.md lacks the line: %s", row);
    }
    free(text);
    free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_read_back),
        cmocka_unit_test(json_is_in_its_usual_form),
        cmocka_unit_test(json_of_peers_is_exact),
        cmocka_unit_test(text_of_a_client_is_exact),
        cmocka_unit_test(lanes_of_a_path_are_told),
        cmocka_unit_test(down_is_told_over_attempts),
        cmocka_unit_test(the_server_is_told_once),
        cmocka_unit_test(text_of_a_waiting_client_tells_why),
        cmocka_unit_test(text_of_peers_is_a_table),
        cmocka_unit_test(text_of_peers_tells_who_is_absent),
        cmocka_unit_test(many_peers_are_cut_in_the_text_only),
        cmocka_unit_test(long_lists_are_cut_in_cells),
        cmocka_unit_test(text_from_peers_is_made_safe),
        cmocka_unit_test(bytes_that_are_no_text_stay_valid_json),
        cmocka_unit_test(strange_json_is_refused_or_ignored),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(units_are_rounded_for_people),
        cmocka_unit_test(expiry_is_warned_of),
        cmocka_unit_test(a_reload_is_told),
        cmocka_unit_test(what_is_no_outcome_is_refused),
        cmocka_unit_test(paths_are_a_table),
        cmocka_unit_test(several_paths_of_a_peer_are_a_table),
        cmocka_unit_test(shares_of_nothing_are_nothing),
        cmocka_unit_test(the_schema_is_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
