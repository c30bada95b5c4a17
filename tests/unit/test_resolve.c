/* Name resolution with what a machine without network has: literals and its own hosts file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netdb.h>
#include <poll.h>
#include <string.h>

#include "base/util.h"
#include "daemon/resolve.h"

enum { PATIENCE_MS = 60000 }; /* a resolver without network may try for long */

static bool is_ready(const struct resolve *r, int timeout_ms)
{
    struct pollfd p = {.fd = resolve_fd(r), .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

static void literals_are_ready_at_once(void **state)
{
    static const struct {
        const char *host, *text;
        uint8_t family;
    } literals[] = {
        {"192.0.2.1", "192.0.2.1:45001", 0},
        {"192.0.2.1", "192.0.2.1:45001", 4},
        {"2001:db8::1", "[2001:db8::1]:45001", 0},
        {"2001:db8::1", "[2001:db8::1]:45001", 6},
    };

    for (unsigned i = 0; i < ARRAY_LEN(literals); i++) {
        struct resolve *r = resolve_start(literals[i].host, 45001, literals[i].family);
        struct net_addr addr[RESOLVE_MAX];
        char buf[NET_ADDR_STR_MAX];
        unsigned n = 0;

        assert_non_null(r);
        assert_true(is_ready(r, 0));
        assert_int_equal(resolve_result(r, addr, &n), 0);
        assert_int_equal(n, 1);
        assert_string_equal(net_addr_str(addr, buf), literals[i].text);
        resolve_free(r);
    }
}

static void a_literal_of_the_other_family_is_an_error(void **state)
{
    struct net_addr addr[RESOLVE_MAX] = {{.len = 77}};
    struct resolve *r = resolve_start("2001:db8::1", 45001, 4);
    unsigned n = 7;

    assert_true(is_ready(r, 0));
    assert_int_equal(resolve_result(r, addr, &n), EAI_ADDRFAMILY);
    assert_int_equal(addr[0].len, 77);
    assert_int_equal(n, 7);
    resolve_free(r);
    r = resolve_start("192.0.2.1", 45001, 6);
    assert_int_equal(resolve_result(r, addr, &n), EAI_ADDRFAMILY);
    resolve_free(r);
}

/* A name that cannot be one (RFC 1035: labels of at most 63 characters). */
static void an_impossible_name_is_an_error(void **state)
{
    char name[100];
    struct net_addr addr[RESOLVE_MAX] = {{.len = 77}};
    struct resolve *r;
    unsigned n = 7;
    int rv;

    memset(name, 'a', sizeof(name));
    name[80] = 0;
    r = resolve_start(name, 45001, 0);
    assert_non_null(r);
    assert_true(is_ready(r, PATIENCE_MS));
    rv = resolve_result(r, addr, &n);
    assert_int_not_equal(rv, 0);
    assert_non_null(gai_strerror(rv));
    assert_int_equal(addr[0].len, 77);
    resolve_free(r);
}

/* In every hosts file. */
static void localhost(void **state)
{
    struct resolve *r = resolve_start("localhost", 45001, 4);
    struct net_addr addr[RESOLVE_MAX];
    char buf[NET_ADDR_STR_MAX];
    unsigned n = 0;
    int rv;

    assert_true(is_ready(r, PATIENCE_MS));
    rv = resolve_result(r, addr, &n);
    if (rv == 0)
        assert_string_equal(net_addr_str(addr, buf), "127.0.0.1:45001");
    else
        assert_int_equal(rv, EAI_NONAME); /* without any address but loopback's */
    resolve_free(r);
}

/* The thread that is still at work owns what it needs. A sanitizer sees when not. */
static void forgetting_it_at_any_time(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        struct resolve *r = resolve_start("localhost", 45001, 4);

        assert_non_null(r);
        if (i % 2)
            is_ready(r, 1);
        resolve_free(r);
    }
    resolve_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_are_ready_at_once),
        cmocka_unit_test(a_literal_of_the_other_family_is_an_error),
        cmocka_unit_test(an_impossible_name_is_an_error),
        cmocka_unit_test(localhost),
        cmocka_unit_test(forgetting_it_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
