#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "quic/fail.h"

static void every_failure_has_a_name_of_its_own(void **state)
{
    for (int a = 0; a < QUIC_FAIL_COUNT; a++) {
        const char *name = quic_fail_name((enum quic_fail)a);

        assert_true(*name);
        assert_true(strspn(name, "abcdefghijklmnopqrstuvwxyz-") == strlen(name));
        assert_true(strlen(quic_fail_meaning((enum quic_fail)a)) > 8);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(name, quic_fail_name((enum quic_fail)b));
    }
}

/* What an edge must not try again: somebody has to change something first. And what it must,
 * because everything that a bad line or a restarting hub does is among it. */
static void permanent_or_not(void **state)
{
    static const enum quic_fail again[] = {QUIC_FAIL_NONE,
                                           QUIC_FAIL_LOCAL,
                                           QUIC_FAIL_PEER,
                                           QUIC_FAIL_IDLE,
                                           QUIC_FAIL_HANDSHAKE_TIMEOUT,
                                           QUIC_FAIL_RESET,
                                           QUIC_FAIL_VERSION, /* anybody can forge it */
                                           QUIC_FAIL_TLS,
                                           QUIC_FAIL_PROTOCOL,
                                           QUIC_FAIL_INTERNAL};
    static const enum quic_fail never[] = {
        QUIC_FAIL_ALPN,           QUIC_FAIL_CERT_UNTRUSTED,  QUIC_FAIL_CERT_EXPIRED,
        QUIC_FAIL_CERT_NAME,      QUIC_FAIL_CERT_MISSING,    QUIC_FAIL_CERT_INVALID,
        QUIC_FAIL_CLIENT_UNKNOWN, QUIC_FAIL_REJECTED,        QUIC_FAIL_REJECTED_EXPIRED,
        QUIC_FAIL_CERT_REVOKED,   QUIC_FAIL_REJECTED_REVOKED};

    for (unsigned i = 0; i < ARRAY_LEN(again); i++)
        assert_false(quic_fail_permanent(again[i]));
    for (unsigned i = 0; i < ARRAY_LEN(never); i++)
        assert_true(quic_fail_permanent(never[i]));
}

static void numbers_outside_the_table(void **state)
{
    static const int bad[] = {-1, QUIC_FAIL_COUNT, 1000000};

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_string_equal(quic_fail_name((enum quic_fail)bad[i]), "?");
        assert_string_equal(quic_fail_meaning((enum quic_fail)bad[i]), "?");
        assert_false(quic_fail_permanent((enum quic_fail)bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_has_a_name_of_its_own),
        cmocka_unit_test(permanent_or_not),
        cmocka_unit_test(numbers_outside_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
