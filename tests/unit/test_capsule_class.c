/* CLASS_TABLE and PATH_STATUS: what goes in comes out, and nothing that is out of its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "packets.h"
#include "wire/class.h"

static uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];

static struct class_table sample(void)
{
    struct class_table t = {.serial = 70000, .n = 2, .n_rules = 1};

    t.v[0] = (struct class_spec){.class = 2,
                                 .treatment = CLASS_DUPLICATE,
                                 .copies = 2,
                                 .recovery = CLASS_RECOVERY_AGAIN,
                                 .order = CLASS_ORDER_REORDER,
                                 .deadline_ms = 200,
                                 .path = 15};
    t.v[1] = (struct class_spec){.class = 7, .copies = 1, .deadline_ms = CLASS_DEADLINE_MAX_MS};
    t.rule[0] = (struct class_rule){.class = 2,
                                    .version = 6,
                                    .proto = 17,
                                    .dscp = CLASS_DSCP_ANY,
                                    .client_to = UINT16_MAX,
                                    .server_from = 5000,
                                    .server_to = 5001};
    assert_int_equal(ip_prefix_parse("2001:db8::/33", &t.rule[0].server), 0);
    return t;
}

/* The capsule in buf. */
static struct capsule_view parse(size_t len)
{
    static struct capsule_parser p;
    const uint8_t *in = buf;
    struct capsule_view c;

    capsule_parser_done(&p);
    capsule_parser_init(&p);
    assert_int_equal(capsule_parser_next(&p, &in, &len, &c), 1);
    assert_int_equal(len, 0);
    return c;
}

static void a_table_survives(void **state)
{
    struct class_table t = sample(), u = {0};
    struct capsule_view c;
    size_t len;

    assert_int_equal(capsule_put_classes(&t, buf, sizeof(buf), &len), 0);
    c = parse(len);
    assert_int_equal(c.type, CAPSULE_CLASS_TABLE);
    assert_int_equal(capsule_get_classes(c.value, c.len, &u), CAPSULE_OK);
    assert_memory_equal(&t, &u, sizeof(t));
    for (size_t cut = 0; cut < c.len; cut++)
        assert_int_equal(capsule_get_classes(c.value, cut, &u), CAPSULE_CUT_SHORT);
    assert_int_equal(capsule_put_classes(&t, buf, len - 1, &len), -ENOSPC);
}

/* The largest one fits a capsule. */
static void a_full_table_survives(void **state)
{
    static struct class_table t, u;
    struct capsule_view c;
    size_t len;

    t = sample();
    t.n_rules = CLASS_RULES_MAX;
    for (unsigned i = 0; i < CLASS_RULES_MAX; i++) {
        t.rule[i] = t.rule[0];
        assert_int_equal(ip_prefix_parse("2001:db8::1/128", &t.rule[i].server), 0);
        t.rule[i].client = t.rule[i].server;
    }
    assert_int_equal(capsule_put_classes(&t, buf, sizeof(buf), &len), 0);
    c = parse(len);
    assert_int_equal(capsule_get_classes(c.value, c.len, &u), CAPSULE_OK);
    assert_memory_equal(&t, &u, sizeof(t));
}

/* Each change makes the table one that is neither written nor read. */
static void values_out_of_range(void **state)
{
    static const struct {
        size_t at, size;
        uint32_t value;
    } change[] = {
#define C(x, v) {offsetof(struct class_table, x), sizeof(((struct class_table *)0)->x), v}
        C(n, PACKED_CLASSES + 1),
        C(n_rules, CLASS_RULES_MAX + 1),
        C(v[0].class, 8),
        C(v[0].class, 7), /* twice */
        C(v[0].treatment, CLASS_TREATMENTS),
        C(v[0].copies, 0),
        C(v[0].copies, CLASS_PATHS + 1),
        C(v[0].recovery, CLASS_RECOVERIES),
        C(v[1].recovery, CLASS_RECOVERY_AGAIN), /* of class 7 */
        C(v[0].order, CLASS_ORDERS),
        C(v[0].deadline_ms, CLASS_DEADLINE_MAX_MS + 1),
        C(v[0].path, CLASS_PATHS),
        C(rule[0].class, 8),
        C(rule[0].version, 5),
        C(rule[0].version, 4), /* and an IPv6 prefix */
        C(rule[0].version, 0), /* and a prefix */
        C(rule[0].dscp, 64),
        C(rule[0].server.len, 129),
        C(rule[0].server.len, 20), /* bits behind it */
        C(rule[0].server_from, 5002),
        C(rule[0].client_from, 1),
#undef C
    };
    size_t len;

    for (unsigned i = 0; i < ARRAY_LEN(change); i++) {
        static struct class_table t;
        uint16_t v16 = (uint16_t)change[i].value;
        uint8_t v8 = (uint8_t)change[i].value;

        t = sample();
        t.rule[0].client_to = i + 1 == ARRAY_LEN(change) ? 0 : UINT16_MAX;
        memcpy((uint8_t *)&t + change[i].at,
               change[i].size == 1   ? &v8
               : change[i].size == 2 ? (const void *)&v16
                                     : (const void *)&change[i].value,
               change[i].size);
        assert_int_equal(capsule_put_classes(&t, buf, sizeof(buf), &len), -EINVAL);
    }
}

static void bytes_out_of_range(void **state)
{
    static const struct {
        const char *hex;
        enum capsule_error e;
    } v[] = {
        {"00 00 00", CAPSULE_OK},
        {"00 00 00 00", CAPSULE_BAD_VALUE}, /* something behind it */
        {"00 09", CAPSULE_BAD_VALUE},
        {"00 00 4101", CAPSULE_BAD_VALUE}, /* 257 rules */
        {"00 00", CAPSULE_CUT_SHORT},
        {"00 01 00 00 01 01 02 43e8 00 00", CAPSULE_OK},
        {"00 01 00 00 01 01 03 43e8 00 00", CAPSULE_BAD_VALUE},
        {"00 01 00 00 01 01 02 43e8 10 00", CAPSULE_BAD_VALUE},
        {"00 01 00 00 01 01 02 c000000100000001 00 00", CAPSULE_BAD_VALUE}, /* 2^32 + 1 ms */
        {"00 01 00 00 01 01 02 43e8 4110 00", CAPSULE_BAD_VALUE},           /* path 272 */
        {"00 00 01 02 04 11 ff 09 0a80 00 0000 ffff 1388 1388", CAPSULE_OK},
        {"00 00 01 02 04 11 ff 09 0ac0 00 0000 ffff 1388 1388", CAPSULE_BAD_VALUE},
        {"00 00 01 02 04 11 ff 21 0a80000000 00 0000 ffff 1388 1388", CAPSULE_BAD_VALUE},
        {"00 00 01 02 04 11 ff 00 00 0000 ffff 1389 1388", CAPSULE_BAD_VALUE},
        {"00 00 01 02 00 11 40 00 00 0000 ffff 1388 1388", CAPSULE_BAD_VALUE},
        {"00 00 01 02 00 11 3f 00 00 0000 ffff 1388 1388", CAPSULE_OK},
        {"00 00 01 02 00 11 ff 08 0a 00 0000 ffff 1388 1388", CAPSULE_BAD_VALUE},
    };

    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        static struct class_table t;
        uint8_t bytes[64];
        size_t n = hex_bytes(v[i].hex, bytes, sizeof(bytes));

        assert_int_equal(capsule_get_classes(bytes, n, &t), v[i].e);
    }
}

static void a_path_survives(void **state)
{
    struct path_report p = {.path = 15,
                            .status = PATH_LEAVING,
                            .serial = 3,
                            .priority = PATH_PRIORITY_MAX,
                            .weight = PATH_WEIGHT_MAX,
                            .rate_kbps = 100000};
    struct path_report q = {0}, bad;
    struct capsule_view c;
    size_t len;

    assert_int_equal(capsule_put_path(&p, buf, sizeof(buf), &len), 0);
    c = parse(len);
    assert_int_equal(c.type, CAPSULE_PATH_STATUS);
    assert_int_equal(capsule_get_path(c.value, c.len, &q), CAPSULE_OK);
    assert_memory_equal(&p, &q, sizeof(p));
    for (size_t cut = 0; cut < c.len; cut++)
        assert_int_equal(capsule_get_path(c.value, cut, &q), CAPSULE_CUT_SHORT);
    assert_int_equal(capsule_get_path(c.value, c.len + 1, &q), CAPSULE_BAD_VALUE);
    bad = p;
    bad.path = CLASS_PATHS;
    assert_int_equal(capsule_put_path(&bad, buf, sizeof(buf), &len), -EINVAL);
    bad = p;
    bad.status = PATH_STATUSES;
    assert_int_equal(capsule_put_path(&bad, buf, sizeof(buf), &len), -EINVAL);
    bad = p;
    bad.weight++;
    assert_int_equal(capsule_put_path(&bad, buf, sizeof(buf), &len), -EINVAL);
    bad = p;
    bad.priority++;
    assert_int_equal(capsule_put_path(&bad, buf, sizeof(buf), &len), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_survives),    cmocka_unit_test(a_full_table_survives),
        cmocka_unit_test(values_out_of_range), cmocka_unit_test(bytes_out_of_range),
        cmocka_unit_test(a_path_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
