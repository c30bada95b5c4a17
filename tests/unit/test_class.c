/* Classes: which packets are of one, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/class.h"
#include "bond/session.h"

static const struct class_rule any = {
    .dscp = CLASS_DSCP_ANY, .client_to = UINT16_MAX, .server_to = UINT16_MAX};

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    assert_int_equal(ip_addr_parse(text, &a), 0);
    return a;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(ip_prefix_parse(text, &p), 0);
    return p;
}

/* A packet that the client sends. */
static struct ip_view packet(uint8_t proto, const char *src, uint16_t sport, const char *dst,
                             uint16_t dport)
{
    struct ip_view v = {.src = addr(src),
                        .dst = addr(dst),
                        .proto = proto,
                        .has_ports = proto == IP_PROTO_TCP || proto == IP_PROTO_UDP,
                        .sport = sport,
                        .dport = dport};

    v.version = v.src.family;
    return v;
}

/* The answer to it. */
static struct ip_view answer(const struct ip_view *v)
{
    struct ip_view a = *v;

    a.src = v->dst;
    a.dst = v->src;
    a.sport = v->dport;
    a.dport = v->sport;
    return a;
}

static void assert_class(const struct class_table *t, const struct ip_view *v, uint8_t class)
{
    struct ip_view back = answer(v);

    assert_int_equal(class_of(t, true, v), class);
    assert_int_equal(class_of(t, false, &back), class);
}

static void without_rules_tcp_is_told_from_the_rest(void **state)
{
    struct ip_view tcp = packet(IP_PROTO_TCP, "10.0.0.1", 1, "10.9.0.1", 80);
    struct ip_view icmp = packet(1, "10.0.0.1", 0, "10.9.0.1", 0);
    const struct class_table empty = {.serial = 1};

    assert_class(NULL, &tcp, CLASS_TCP);
    assert_class(NULL, &icmp, CLASS_OTHER);
    assert_class(&empty, &tcp, CLASS_TCP);
}

static void the_first_rule_that_fits_counts(void **state)
{
    struct ip_view sip = packet(IP_PROTO_UDP, "10.0.0.1", 7000, "10.9.0.1", 5060);
    struct ip_view other = packet(IP_PROTO_UDP, "10.0.0.1", 7000, "10.9.0.1", 5070);
    struct ip_view tcp = packet(IP_PROTO_TCP, "10.0.0.1", 7000, "10.9.0.1", 5060);
    struct ip_view six = packet(IP_PROTO_UDP, "2001:db8::1", 7000, "2001:db8:5::1", 99);
    struct ip_view far = packet(IP_PROTO_UDP, "10.0.0.1", 7000, "10.8.0.1", 99);
    struct ip_view fragment = sip;
    struct class_table t = {.n_rules = 4};

    t.rule[0] = any;
    t.rule[0].class = 2;
    t.rule[0].proto = IP_PROTO_UDP;
    t.rule[0].server_from = 5060;
    t.rule[0].server_to = 5061;
    t.rule[1] = any;
    t.rule[1].class = 3;
    t.rule[1].version = 4;
    t.rule[1].server = prefix("10.9.0.0/16");
    t.rule[2] = any;
    t.rule[2].class = 4;
    t.rule[2].dscp = 46;
    t.rule[3] = any;
    t.rule[3].class = 5;
    t.rule[3].version = 6;
    t.rule[3].client = prefix("2001:db8::/32");
    assert_class(&t, &sip, 2);
    assert_class(&t, &other, 3);
    assert_class(&t, &tcp, 3);
    assert_class(&t, &six, 5);
    assert_class(&t, &far, CLASS_OTHER);
    far.dscp = 46;
    assert_class(&t, &far, 4);
    fragment.has_ports = false;
    assert_class(&t, &fragment, 3);
    assert_int_equal(class_of(&t, false, &sip), CLASS_OTHER); /* 10.9 is the client then */
}

static void what_a_class_means(void **state)
{
    const struct class_table t = {.n = 2,
                                  .v = {{.class = 1,
                                         .recovery = CLASS_RECOVERY_AGAIN,
                                         .order = CLASS_ORDER_RECOVER,
                                         .deadline_ms = 3000},
                                        {.class = 0, .order = CLASS_ORDER_NONE}}};
    struct pack_class tx;
    struct reasm_class rx;

    class_meaning(NULL, 0, &tx, &rx);
    assert_true(tx.again && tx.split && tx.deadline_ns == NS_PER_S);
    assert_true(rx.order == REASM_ORDER_RECOVER && rx.wait_ns == NS_PER_S);
    class_meaning(NULL, 1, &tx, &rx);
    assert_true(tx.again && !tx.split && tx.deadline_ns == 150 * NS_PER_MS);
    assert_true(rx.order == REASM_ORDER_REORDER && rx.wait_ns == 150 * NS_PER_MS && !rx.once);
    for (unsigned c = 2; c < PACKED_CLASSES; c++) {
        class_meaning(&t, (uint8_t)c, &tx, &rx);
        assert_true(!tx.again && rx.order == REASM_ORDER_NONE);
    }
    class_meaning(&t, 1, &tx, &rx);
    assert_true(tx.again && tx.split && tx.deadline_ns == 3 * NS_PER_S);
    assert_true(rx.order == REASM_ORDER_RECOVER && rx.wait_ns == 3 * NS_PER_S);
    class_meaning(&t, 0, &tx, &rx);
    assert_true(!tx.again && !tx.split && rx.order == REASM_ORDER_NONE);
}

/* A session keeps the newest table, plain or packed, until it is told that there is none. */
static void a_session_keeps_the_newest_table(void **state)
{
    static struct class_table t = {.serial = 5, .n = 1, .v = {{.class = 0}}};
    struct pkt_pool *pool = pkt_pool_new(16, 1);
    struct reasm_pool *reasm = reasm_pool_new(4, 4, 1 << 20);
    struct drop_counters drops = {{0}};
    struct session s;

    session_init(&s, &(struct session_opts){.pool = pool, .drops = &drops});
    assert_int_equal(session_set_classes(&s, &t, false), 0);
    assert_int_equal(session_set_packed(&s, reasm), 0);
    assert_false(s.pack->class[0].again);
    t.serial = 4;
    t.n = 0;
    assert_int_equal(session_set_classes(&s, &t, false), -ESTALE);
    assert_false(s.pack->class[0].again);
    t.serial = 5;
    assert_int_equal(session_set_classes(&s, &t, false), 0);
    assert_true(s.pack->class[0].again);
    assert_int_equal(session_set_classes(&s, NULL, false), 0);
    t.serial = 0;
    assert_int_equal(session_set_classes(&s, &t, false), 0);
    session_done(&s);
    reasm_pool_free(reasm);
    pkt_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_tcp_is_told_from_the_rest),
        cmocka_unit_test(the_first_rule_that_fits_counts),
        cmocka_unit_test(what_a_class_means),
        cmocka_unit_test(a_session_keeps_the_newest_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
