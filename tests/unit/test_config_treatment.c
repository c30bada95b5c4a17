/* The keys that say how the packets of a session with several paths are treated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "config/report.h"
#include "config_text.h"

static const char paths[] = "multipath_paths:\n"
                            "  - {name: w1, bind_ip: if:w1}\n"
                            "  - {name: w2, bind_ip: if:w2}\n";

/* What is said of these lines, which follow "multipath_enabled: true" in line 1. */
static int read_lines(const char *lines, const char *want, struct tunnel_config *ret)
{
    char first[1024], *text, *got;
    int err;

    snprintf(first, sizeof(first), "multipath_enabled: true\n%s%s", lines, paths);
    text = text_make(client_lines, first, "bind_ip");
    got = text_report(text, strlen(text), ret, &err);
    assert_string_equal(got, want);
    free(got);
    free(text);
    return err;
}

static void expect(const char *lines, const char *want)
{
    struct tunnel_config c;
    int err = read_lines(lines, want, &c);

    assert_int_equal(err, strstr(want, " error: ") ? -EINVAL : 0);
    if (!err)
        config_done(&c);
}

static void what_is_not_said_is_usual(void **state)
{
    struct tunnel_config c;

    assert_int_equal(read_lines("", "", &c), 0);
    assert_int_equal(c.multipath_policy, CONFIG_MP_BOND);
    assert_string_equal(c.multipath_pin, "");
    assert_int_equal(c.multipath_copies, 2);
    assert_int_equal(c.multipath_recovery, CONFIG_RECOVERY_RESEND);
    assert_int_equal(c.multipath_order, CONFIG_ORDER_AUTO);
    assert_int_equal(c.multipath_deadline_ms, 0);
    config_done(&c);
}

static void each_value_is_read(void **state)
{
    struct tunnel_config c;

    assert_int_equal(read_lines("multipath_policy: pin\nmultipath_pin: w2\n"
                                "multipath_recovery: resend\nmultipath_deadline: 300\n"
                                "multipath_order: recover\n",
                                "", &c),
                     0);
    assert_int_equal(c.multipath_policy, CONFIG_MP_PIN);
    assert_string_equal(c.multipath_pin, "w2");
    assert_int_equal(c.multipath_deadline_ms, 300);
    assert_int_equal(c.multipath_order, CONFIG_ORDER_RECOVER);
    config_done(&c);
    assert_int_equal(
        read_lines("multipath_policy: duplicate\nmultipath_copies: 2\nmultipath_recovery: none\n",
                   "", &c),
        0);
    assert_int_equal(c.multipath_policy, CONFIG_MP_DUPLICATE);
    assert_int_equal(c.multipath_recovery, CONFIG_RECOVERY_NONE);
    config_done(&c);
    assert_int_equal(
        read_lines("multipath_policy: lowest-latency\nmultipath_order: none\n", "", &c), 0);
    assert_int_equal(c.multipath_policy, CONFIG_MP_LOWEST_LATENCY);
    config_done(&c);
}

static void wrong_values_are_named(void **state)
{
    expect("multipath_copies: 1\n",
           "f:2:19: error: multipath_copies: '1' is out of range; write 2 to 16\n");
    expect("multipath_deadline: 60001\n",
           "f:2:21: error: multipath_deadline: '60001' is out of range; write 1 to 60000\n");
    expect("multipath_recovery: resent\n",
           "f:2:21: error: multipath_recovery: 'resent' is not one of the values; did you mean "
           "'resend'? Values: resend or none\n");
    expect("multipath_order: any\n",
           "f:2:18: error: multipath_order: 'any' is not one of the values; values: auto, none, "
           "reorder or recover\n");
}

static void a_pin_needs_a_path_that_is_there(void **state)
{
    expect("multipath_policy: pin\n",
           "f:2:19: error: multipath_policy pin names no path; name the path in multipath_pin\n");
    expect("multipath_policy: pin\nmultipath_pin: wan3\n",
           "f:3:16: error: multipath_pin: no path is called 'wan3'; name one of 'w1', 'w2'\n");
    expect("multipath_pin: w1\n",
           "f:2:16: warning: multipath_pin has no effect with this multipath_policy; set "
           "multipath_policy to pin, or remove it\n");
}

static void what_has_no_effect_is_told(void **state)
{
    expect("multipath_copies: 2\n",
           "f:2:19: warning: multipath_copies has no effect with this multipath_policy; set "
           "multipath_policy to duplicate, or remove it\n");
    expect(
        "multipath_policy: duplicate\nmultipath_copies: 3\n",
        "f:3:19: warning: 3 copies of each packet, but 2 paths; add paths to multipath_paths, or "
        "ask for fewer copies\n");
    expect("multipath_recovery: none\nmultipath_deadline: 300\n",
           "f:3:21: warning: multipath_deadline has no effect: nothing is sent again; set "
           "multipath_recovery to resend, or remove it\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_is_usual),
        cmocka_unit_test(each_value_is_read),
        cmocka_unit_test(wrong_values_are_named),
        cmocka_unit_test(a_pin_needs_a_path_that_is_there),
        cmocka_unit_test(what_has_no_effect_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
