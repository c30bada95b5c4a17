/* What the verdict of a probe, and the operator, make of a link; and how both are handed on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "netlink/echo.h"
#include "wan/healthfile.h"
#include "wan/prober_internal.h"
#include "wan/telemetry.h"
#include "wan_site.h"

static const char six[] = "ipv6: true\n"
                          "probes:\n"
                          "  - {name: net, targets: [203.0.113.10, 198.51.100.1, 2001:db8::1], "
                          "need: 2}\n"
                          "  - {name: inside, targets: 10.99.0.1}\n"
                          "links:\n"
                          "  - {name: wan1, device: w1, probe: net}\n"
                          "  - {name: wan2, device: w2, table: 200, gateway: 192.0.2.1, "
                          "probe: inside}\n"
                          "  - {name: t1, type: tunnel, device: t1, table: 100, over: wan1, "
                          "hub: 203.0.113.10}\n"
                          "  - {name: t2, type: tunnel, device: t2, table: 101, over: wan1, "
                          "hub: 203.0.113.10, instance: one}\n"
                          "  - {name: t3, type: tunnel, device: t3, table: 102, probe: inside, "
                          "instance: two}\n"
                          "policies:\n"
                          "  - {ingress: lan1, pin: t1, priority: 1001}\n"
                          "  - {ingress: lan2, pin: t2, priority: 1002}\n";
enum { WAN1, WAN2, T1, T2, T3, LINKS };

static void setting(struct gateway_config *c, struct wan_facts *f)
{
    char text[32];

    site_parse(six, c);
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < LINKS; i++) {
        snprintf(text, sizeof(text), "10.%d.0.2/24", i);
        f->link[i] = site_link(i + 1, text);
        f->link[i].net[f->link[i].n_net++] = site_prefix("2001:db8:1::2/64");
    }
    f->link[WAN1].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr("10.0.0.1")};
    f->link[WAN1].hop[WAN_V6] = (struct wan_hop){.known = true, .via = site_addr("fe80::1")};
}

static enum wan_state state_of(const struct gateway_config *c, const struct wan_facts *f,
                               unsigned i, enum wan_family family)
{
    struct wan_link_state s;

    wan_state_of(c, f, i, &s);
    return s.state[family];
}

static void families_are_apart(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    char why[WAN_WHY_MAX];

    setting(&c, &f);
    assert_true(wan_has_probe(&c, WAN1, WAN_V4) && wan_has_probe(&c, WAN1, WAN_V6));
    assert_true(wan_has_probe(&c, WAN2, WAN_V4) && !wan_has_probe(&c, WAN2, WAN_V6));
    assert_false(wan_has_probe(&c, T1, WAN_V4));
    assert_true(wan_has_probe(&c, T2, WAN_V4) && wan_has_probe(&c, T2, WAN_V6));
    assert_int_equal(state_of(&c, &f, WAN1, WAN_V4), WAN_STATE_UNKNOWN);
    f.link[WAN1].health.probe[WAN_V4] =
        (struct wan_verdict){.state = WAN_STATE_HEALTHY, .answering = 2, .targets = 2, .need = 2};
    f.link[WAN1].health.probe[WAN_V6] =
        (struct wan_verdict){.state = WAN_STATE_UNHEALTHY, .targets = 1, .need = 1};
    assert_int_equal(state_of(&c, &f, WAN1, WAN_V4), WAN_STATE_HEALTHY);
    assert_int_equal(state_of(&c, &f, WAN1, WAN_V6), WAN_STATE_UNHEALTHY);
    assert_string_equal(wan_state_why(&c, &f, WAN1, WAN_V4, why),
                        "2 of 2 targets of its probe answer");
    assert_string_equal(wan_state_why(&c, &f, WAN1, WAN_V6, why),
                        "0 of 1 targets of its probe answer, 1 needed");
    assert_int_equal(state_of(&c, &f, T1, WAN_V6), WAN_STATE_HEALTHY); /* its hub is of IPv4 */
    f.link[WAN1].health.probe[WAN_V4] =
        (struct wan_verdict){.state = WAN_STATE_DEGRADED, .loss_percent = 33};
    assert_string_equal(wan_state_why(&c, &f, WAN1, WAN_V4, why), "loss 33 %");
    f.link[WAN1].carrier = false; /* the kernel first */
    assert_int_equal(state_of(&c, &f, WAN1, WAN_V4), WAN_STATE_UNHEALTHY);
    assert_string_equal(wan_state_why(&c, &f, WAN1, WAN_V4, why), "no carrier");
    f.link[WAN1].health.disabled = true;
    assert_int_equal(state_of(&c, &f, WAN1, WAN_V4), WAN_STATE_DISABLED);
}

/* What is pinned to it is closed, but the tunnel may try, and one that knows better stays open. */
static void a_silent_wan_closes_what_goes_over_it(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    for (unsigned how = 0; how < 4; how++) {
        setting(&c, &f);
        f.link[WAN1].health.probe[WAN_V4].state = how == 3   ? WAN_STATE_DEGRADED
                                                  : how == 0 ? WAN_STATE_HEALTHY
                                                             : WAN_STATE_UNHEALTHY;
        f.link[WAN1].health.disabled = how == 2;
        assert_int_equal(wan_desired(&c, &f, &o), 0);
        assert_true(site_has_route(&o, "-4 default dev 3 table 100") == (how == 0 || how == 3));
        assert_true(site_has_route(&o, "-4 default dev 4 table 101") == (how != 2));
        assert_true(site_has_route(&o, "-4 203.0.113.10/32 via 10.0.0.1 dev 1 table 100") ==
                    (how != 2));
        assert_true(site_has_route(&o, "-4 blackhole default table 100 metric 4294967295"));
        wan_objects_done(&o);
    }
    f.link[T2].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_false(site_has_route(&o, "-4 default dev 4 table 101"));
    wan_objects_done(&o);
}

/* Where the table main would not lead a socket that is bound to the link, its own table does, also
 * while the link is unhealthy; elsewhere nothing is added. */
static void requests_find_their_way(void **state)
{
    struct gateway_config c;
    struct wan_facts f;
    struct wan_objects o;

    setting(&c, &f);
    f.link[WAN2].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    f.link[T3].health.probe[WAN_V4].state = WAN_STATE_UNHEALTHY;
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_false(site_has_route(&o, "-4 default via 192.0.2.1 dev 2 table 200"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 10.99.0.1/32 oif w2 lookup 200"));
    assert_true(site_has_route(&o, "-4 10.99.0.1/32 via 192.0.2.1 dev 2 table 200"));
    assert_true(site_has_route(&o, "-4 unreachable 10.99.0.1/32 table 200 metric 4294967295"));
    assert_true(site_has_rule(&o, "-4 priority 1000 to 10.99.0.1/32 oif t3 lookup 102"));
    assert_true(site_has_route(&o, "-4 10.99.0.1/32 dev 5 table 102"));
    assert_false(site_has_rule(&o, "-4 priority 1000 to 198.51.100.1/32 oif w1 lookup 0"));
    wan_objects_done(&o);
    f.link[WAN2].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr("10.1.0.1")};
    f.link[T3].net[0] = site_prefix("10.99.0.2/30");
    assert_int_equal(wan_desired(&c, &f, &o), 0);
    assert_false(site_has_rule(&o, "-4 priority 1000 to 10.99.0.1/32 oif w2 lookup 200"));
    assert_false(site_has_rule(&o, "-4 priority 1000 to 10.99.0.1/32 oif t3 lookup 102"));
    wan_objects_done(&o);
}

static void verdicts_go_through_the_file(void **state)
{
    char name[] = "/tmp/mpquic-health-XXXXXX";
    int fd = mkstemp(name);
    struct gateway_config c;
    struct wan_facts f;
    struct wan_health h = {0}, back = {0};
    const uint64_t now = 1000000000000;

    assert_true(fd >= 0);
    close(fd);
    setting(&c, &f);
    h.link[WAN1].last[WAN_V4] = WAN_STATE_DEGRADED;
    h.link[WAN1].since_s[WAN_V4] = 1769860800;
    h.link[WAN1].probe[WAN_V4] = (struct wan_verdict){.state = WAN_STATE_DEGRADED,
                                                      .by_latency = true,
                                                      .answering = 1,
                                                      .targets = 2,
                                                      .need = 2,
                                                      .loss_percent = 7,
                                                      .latency_us = 321000};
    h.link[T3].probe[WAN_V6].state = WAN_STATE_UNHEALTHY;
    assert_int_equal(healthfile_write(name, &c, &h, now), 0);
    assert_int_equal(healthfile_read(name, &c, now + NS_PER_S * 59, &back), 0);
    assert_memory_equal(&back.link[WAN1].probe[WAN_V4], &h.link[WAN1].probe[WAN_V4],
                        sizeof(struct wan_verdict));
    assert_int_equal(back.link[WAN1].since_s[WAN_V4], 1769860800);
    assert_int_equal(back.link[WAN1].last[WAN_V4], WAN_STATE_DEGRADED);
    assert_int_equal(back.link[T3].probe[WAN_V6].state, WAN_STATE_UNHEALTHY);
    assert_int_equal(back.link[WAN2].probe[WAN_V4].state, WAN_STATE_UNKNOWN);
    assert_int_equal(healthfile_read(name, &c, now + NS_PER_S * 61, &back), -ESTALE);
    assert_int_equal(healthfile_read(name, &c, now - 1, &back), -ESTALE);
    snprintf(c.links[WAN1].name, sizeof(c.links[WAN1].name), "other");
    memset(&back, 0, sizeof(back));
    assert_int_equal(healthfile_read(name, &c, now, &back), 0);
    assert_int_equal(back.link[WAN1].probe[WAN_V4].state, WAN_STATE_UNKNOWN);
    unlink(name);
    assert_int_equal(healthfile_read(name, &c, now, &back), -ENOENT);
}

static void nonsense_in_the_file_is_bounded(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{\"written_ns\": -5, \"links\": []}",
        "{\"written_ns\": 5, \"links\": 5}",
        "{\"written_ns\": 5, \"links\": [5, {}, {\"name\": \"wan1\", \"ipv4\": 7}]}",
        "{\"written_ns\": 5, \"links\": [{\"name\": \"wan1\", \"ipv4\": {\"probe\": {\"state\": "
        "\"disabled\"}}}]}",
        "{\"written_ns\": 5, \"links\": [{\"name\": \"wan1\", \"ipv4\": {\"probe\": {\"state\": "
        "\"healthy\", \"targets\": 3000000000, \"need\": -7, \"answering\": 1e99, "
        "\"loss_percent\": 999}}}]}",
    };
    struct gateway_config c;
    struct wan_facts f;

    setting(&c, &f);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct wan_health h = {0};
        const struct wan_verdict *v = &h.link[WAN1].probe[WAN_V4];
        int rv = healthfile_parse(texts[i], strlen(texts[i]), &c, 6, &h);

        assert_int_equal(rv, i < 4 ? -EINVAL : 0);
        assert_int_equal(v->state, i < 6 ? WAN_STATE_UNKNOWN : WAN_STATE_HEALTHY);
        assert_true(v->targets <= PROBE_TARGETS_MAX && v->need <= v->targets &&
                    v->answering <= v->targets && v->loss_percent <= 100);
    }
}

/* The process of the probes can say nothing that has no meaning. */
static void words_are_checked(void **state)
{
    const struct prober_word good = {.kind = PROBER_VERDICT,
                                     .link = WAN1,
                                     .family = WAN_V4,
                                     .verdict = {.state = WAN_STATE_HEALTHY, .targets = 2}};
    struct prober_word w = good;
    struct gateway_config c;
    struct wan_facts f;

    setting(&c, &f);
    assert_true(prober_word_is_sane(&c, &w));
    w.link = LINKS;
    assert_false(prober_word_is_sane(&c, &w));
    w = good;
    w.family = WAN_FAMILIES;
    assert_false(prober_word_is_sane(&c, &w));
    w = good;
    w.verdict.state = WAN_STATE_DISABLED;
    assert_false(prober_word_is_sane(&c, &w));
    w = good;
    w.verdict.answering = 3;
    assert_false(prober_word_is_sane(&c, &w));
    w = good;
    w.link = T1; /* has no probe */
    assert_false(prober_word_is_sane(&c, &w));
    w = (struct prober_word){.kind = PROBER_ASK, .link = WAN1};
    assert_false(prober_word_is_sane(&c, &w));
    w.link = T2;
    assert_true(prober_word_is_sane(&c, &w));
    w.kind = 2;
    assert_false(prober_word_is_sane(&c, &w));
    assert_true(prober_takes_socket(&c, WAN1, WAN_V4));
    assert_true(prober_takes_socket(&c, WAN1, WAN_V6));
    assert_false(prober_takes_socket(&c, T2, WAN_V4));
}

static void echo_messages(void **state)
{
    const struct echo_tag tag = {0x1234, 0x5678, 0x0123456789abcdef};
    static const uint8_t behind[] = {0x12, 0x34, 0x56, 0x78, 0x01, 0x23,
                                     0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    uint32_t sum = 0;
    uint8_t buf[ECHO_LEN], ip[24 + ECHO_LEN] = {0x46};
    struct echo_tag back;

    echo_write(4, &tag, buf);
    assert_memory_equal(buf + 4, behind, sizeof(behind));
    assert_int_equal(buf[0], 8);
    for (unsigned i = 0; i < ECHO_LEN; i += 2)
        sum += load_be16(buf + i);
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    memcpy(ip + 24, buf, ECHO_LEN);
    assert_int_equal(echo_parse(4, ip, sizeof(ip), &back), -EINVAL); /* a request */
    ip[24] = 0;
    assert_int_equal(echo_parse(4, ip, sizeof(ip), &back), 0);
    assert_true(back.id == tag.id && back.number == tag.number && back.cookie == tag.cookie);
    for (size_t len = 0; len < sizeof(ip); len++)
        assert_int_equal(echo_parse(4, ip, len, &back), -EINVAL);
    ip[0] = 0x44;
    assert_int_equal(echo_parse(4, ip, sizeof(ip), &back), -EINVAL);
    ip[0] = 0x66;
    assert_int_equal(echo_parse(4, ip, sizeof(ip), &back), -EINVAL);
    echo_write(6, &tag, buf);
    assert_int_equal(buf[0], 128);
    buf[0] = 129;
    assert_int_equal(echo_parse(6, buf, sizeof(buf), &back), 0);
    assert_true(back.cookie == tag.cookie);
    assert_int_equal(echo_parse(6, buf, sizeof(buf) - 1, &back), -EINVAL);
}

static void telemetry_says_whether_it_is_up(void **state)
{
    static const struct {
        const char *text;
        int rv;
        bool up;
    } said[] = {
        {"{\"schema\": 1, \"role\": \"client\", \"state\": \"up\"}", 0, true},
        {"{\"schema\": 1, \"role\": \"client\", \"state\": \"connecting\"}", 0, false},
        {"{\"schema\": 1, \"role\": \"server\", \"state\": \"listening\"}", 0, false},
        {"{\"schema\": 1, \"role\": \"server\", \"state\": \"listening\", \"peers_up\": 2}", 0,
         true},
        {"{\"schema\": 1, \"role\": \"client\", \"state\": \"up\"", -EINVAL, false},
        {"\n", -EINVAL, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(said); i++) {
        uint32_t rtt_us = 1;
        bool up = false;

        assert_int_equal(telemetry_read(said[i].text, strlen(said[i].text), &up, &rtt_us),
                         said[i].rv);
        assert_int_equal(up, said[i].up);
        assert_int_equal(rtt_us, said[i].rv ? 1 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_apart),
        cmocka_unit_test(a_silent_wan_closes_what_goes_over_it),
        cmocka_unit_test(requests_find_their_way),
        cmocka_unit_test(verdicts_go_through_the_file),
        cmocka_unit_test(nonsense_in_the_file_is_bounded),
        cmocka_unit_test(words_are_checked),
        cmocka_unit_test(echo_messages),
        cmocka_unit_test(telemetry_says_whether_it_is_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
