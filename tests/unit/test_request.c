#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "masque/request.h"

static void field(struct masque_request *req, const char *name, const char *value)
{
    masque_request_field(req, name, strlen(name), (const uint8_t *)value, strlen(value));
}

/* The request of RFC 9484, figure 4, with another path. */
static struct masque_request connect_ip(const char *path)
{
    struct masque_request req = {0};

    field(&req, ":method", "CONNECT");
    field(&req, ":protocol", "connect-ip");
    field(&req, ":scheme", "https");
    field(&req, ":path", path);
    field(&req, ":authority", "example.org");
    field(&req, "capsule-protocol", "?1");
    return req;
}

static int path_status(const char *path)
{
    struct masque_request req = connect_ip(path);

    return masque_request_status(&req);
}

/* The status for a target and a protocol in the default template. */
static int scope_status(const char *target, const char *ipproto)
{
    char path[600];

    snprintf(path, sizeof(path), "/.well-known/masque/ip/%s/%s/", target, ipproto);
    return path_status(path);
}

static void everything_is_offered(void **state)
{
    assert_int_equal(path_status("/.well-known/masque/ip/*/*/"), 200);
    assert_int_equal(path_status(MASQUE_PATH_ANY), 200);
    assert_int_equal(scope_status("%2A", "%2A"), 200);
    assert_int_equal(scope_status("%2a", "*"), 200);
    assert_int_equal(scope_status("*", "%2a"), 200);
}

/* Valid by RFC 9484, 4.6, but this hub limits nothing. */
static void scopes_are_refused(void **state)
{
    static const struct {
        const char *target, *ipproto;
    } scopes[] = {
        {"192.0.2.1", "*"},
        {"192.0.2.1", "17"},
        {"*", "0"},
        {"*", "6"},
        {"*", "255"},
        {"*", "006"},
        {"*", "%31%37"},
        {"192.0.2.0%2F24", "*"},
        {"192.0.2.0%2f24", "%2A"},
        {"0.0.0.0%2F0", "*"},
        {"192.0.2.1%2F32", "*"},
        {"2001%3Adb8%3A%3A42", "*"},
        {"2001%3adb8%3a%3a%2F32", "58"},
        {"%3A%3A%2F0", "*"},
        {"%3A%3A%2F000", "*"},
        {"%3A%3Affff%3A192.0.2.1", "*"},
        {"target.example.com", "132"},
        {"xn--bcher-kva.example", "*"},
        {"b%C3%BCcher.example", "*"},
        {"_sip._udp.example.com", "*"},
        {"a!$&'()*+,;=b~", "*"},
        {"300.1.2.3", "*"}, /* no address, but a name */
    };

    for (unsigned i = 0; i < ARRAY_LEN(scopes); i++)
        if (scope_status(scopes[i].target, scopes[i].ipproto) != 403)
            fail_msg("%s %s", scopes[i].target, scopes[i].ipproto);
}

static void malformed_scopes(void **state)
{
    static const struct {
        const char *target, *ipproto;
    } scopes[] = {
        {"192.0.2.1%2F24", "*"}, /* host bits */
        {"2001%3Adb8%3A%3A1%2F64", "*"},
        {"192.0.2.0%2F33", "*"},
        {"192.0.2.0%2F024", "*"}, /* two digits at most */
        {"192.0.2.0%2F", "*"},
        {"192.0.2.0%2F-1", "*"},
        {"192.0.2.0%2F24%2F24", "*"},
        {"2001%3Adb8%3A%3A%2F129", "*"},
        {"2001%3Adb8%3A%3A%2F0032", "*"},
        {"2001:db8::42", "*"}, /* colons have to be encoded */
        {"2001%3Adb8:%3A42", "*"},
        {"2001%3Adb8", "*"}, /* neither address nor name */
        {"%5B2001%3Adb8%3A%3A1%5D", "*"},
        {"fe80%3A%3A1%25eth0", "*"}, /* zone identifiers are not supported */
        {"fe80%3A%3A1%2525eth0", "*"},
        {"", "*"},
        {"host%00name", "*"},
        {"host%20name", "*"},
        {"host%7Fname", "*"},
        {"host%", "*"},
        {"host%2", "*"},
        {"host%G0", "*"},
        {"host%0G", "*"},
        {"*", ""},
        {"*", "256"},
        {"*", "999"},
        {"*", "0006"},
        {"*", "-1"},
        {"*", "+6"},
        {"*", " 6"},
        {"*", "6%20"},
        {"*", "udp"},
        {"*", "0x11"},
        {"*", "**"},
        {"*", "12345678901234567890"},
        {"*", "18446744073709551617"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(scopes); i++)
        if (scope_status(scopes[i].target, scopes[i].ipproto) != 400)
            fail_msg("%s %s", scopes[i].target, scopes[i].ipproto);
}

static void names_have_a_longest_length(void **state)
{
    char name[256];

    memset(name, 'a', sizeof(name));
    name[253] = 0;
    assert_int_equal(scope_status(name, "*"), 403);
    name[253] = 'a';
    name[254] = 0;
    assert_int_equal(scope_status(name, "*"), 400);
}

static void paths(void **state)
{
    assert_int_equal(path_status("/"), 404);
    assert_int_equal(path_status("/.well-known/masque/udp/*/*/"), 404);
    assert_int_equal(path_status("/.well-known/masque/ip"), 404);
    assert_int_equal(path_status("/.well-known/masque/ip/"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/*"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/*/"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/*/*"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/*/*/x"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/*/*/?q=1"), 400);
    assert_int_equal(path_status("/.well-known/masque/ip/192.0.2.0/24/*/"), 400);
}

static int status_with(const char *name, const char *value)
{
    struct masque_request req = connect_ip(MASQUE_PATH_ANY);

    field(&req, name, value);
    return masque_request_status(&req);
}

static void methods_and_protocols(void **state)
{
    struct masque_request req = {0};

    field(&req, ":method", "GET");
    field(&req, ":path", "/");
    assert_int_equal(masque_request_status(&req), 404);
    field(&req, ":path", MASQUE_PATH_ANY);
    assert_int_equal(masque_request_status(&req), 405);
    assert_int_equal(status_with(":method", "POST"), 405);
    assert_int_equal(status_with(":method", "connect"), 405); /* methods have a case */
    assert_int_equal(status_with(":protocol", "connect-udp"), 501);
    assert_int_equal(status_with(":protocol", "websocket"), 501);

    memset(&req, 0, sizeof(req)); /* the CONNECT of RFC 9110, 9.3.6 */
    field(&req, ":method", "CONNECT");
    field(&req, ":authority", "example.org:443");
    assert_int_equal(masque_request_status(&req), 501);
}

/* RFC 9484, 4.4: authority, scheme and path; RFC 9297, 3.2: no content. */
static void malformed_requests(void **state)
{
    assert_int_equal(status_with(":scheme", "http"), 400);
    assert_int_equal(status_with(":scheme", ""), 400);
    assert_int_equal(status_with(":authority", ""), 400);
    assert_int_equal(status_with(":path", ""), 400);
    assert_int_equal(status_with("content-length", "0"), 400);
    assert_int_equal(status_with("content-type", "text/plain"), 400);
}

static void fields_that_do_not_matter_are_ignored(void **state)
{
    char long_value[5000];

    memset(long_value, 'x', sizeof(long_value));
    long_value[sizeof(long_value) - 1] = 0;
    assert_int_equal(status_with("user-agent", long_value), 200);
    assert_int_equal(status_with("", ""), 200);
    assert_int_equal(status_with(":metho", "GET"), 200);
    assert_int_equal(status_with(":methods", "GET"), 200);
    assert_int_equal(status_with("capsule-protocol", "?0"), 200);
}

/* The longest value of a field that is taken, and one more. */
static void check_longest(const char *name, size_t size)
{
    struct masque_request req = {0};
    char value[1024];

    memset(value, 'v', sizeof(value));
    value[size - 1] = 0;
    field(&req, name, value);
    assert_false(req.oversized);
    value[size - 1] = 'v';
    value[size] = 0;
    field(&req, name, value);
    assert_true(req.oversized);
    assert_int_equal(masque_request_status(&req), 431);
}

static void oversize_fields(void **state)
{
    struct masque_request req = connect_ip(MASQUE_PATH_ANY);

    check_longest(":method", sizeof(req.method));
    check_longest(":protocol", sizeof(req.protocol));
    check_longest(":scheme", sizeof(req.scheme));
    check_longest(":authority", sizeof(req.authority));
    check_longest(":path", sizeof(req.path));
    check_longest("authorization", sizeof(req.authorization));

    /* A NUL would hide what follows it. */
    masque_request_field(&req, ":path", 5, (const uint8_t *)"/\0x", 3);
    assert_true(req.oversized);
    assert_string_equal(req.path, MASQUE_PATH_ANY);
}

static const char *bearer(const char *authorization)
{
    static struct masque_request req;
    const char *token = NULL;

    memset(&req, 0, sizeof(req));
    field(&req, "authorization", authorization);
    return masque_request_bearer(&req, &token) ? token : NULL;
}

static void bearer_tokens(void **state)
{
    assert_string_equal(bearer("Bearer abc"), "abc");
    assert_string_equal(bearer("bearer abc"), "abc"); /* RFC 9110, 11.1: no case */
    assert_string_equal(bearer("BEARER   abc"), "abc");
    assert_string_equal(bearer("Bearer a b"), "a b");
    assert_null(bearer(""));
    assert_null(bearer("Bearer"));
    assert_null(bearer("Bearer "));
    assert_null(bearer("Bearer   "));
    assert_null(bearer("Bearerabc"));
    assert_null(bearer("Basic YTpi"));
    assert_null(bearer(" Bearer abc"));
}

/* One more lane of a session, of a path that has that name; NULL: none is told. */
static int join_status(const char *name, char ret[MASQUE_PATH_NAME_MAX])
{
    struct masque_request req = connect_ip(MASQUE_PATH_ANY);

    field(&req, MASQUE_SESSION_FIELD, "1, :AAECAwQFBgcICQoLDA0ODw==:");
    field(&req, MASQUE_PATH_FIELD, "3");
    field(&req, MASQUE_LANE_FIELD, "2");
    if (name)
        field(&req, MASQUE_PATH_NAME_FIELD, name);
    snprintf(ret, MASQUE_PATH_NAME_MAX, "%s", req.join.name);
    return masque_request_status(&req);
}

static void a_path_may_have_a_name(void **state)
{
    static const char *const bad[] = {"", "sixteen-and-more", "two words", "a/b", "caf\xc3\xa9"};
    char name[MASQUE_PATH_NAME_MAX];

    assert_int_equal(join_status(NULL, name), 200);
    assert_string_equal(name, "");
    assert_int_equal(join_status("wan1", name), 200);
    assert_string_equal(name, "wan1");
    assert_int_equal(join_status("A.z_0-9.........", name), 400);
    assert_int_equal(join_status("A.z_0-9........", name), 200);
    assert_string_equal(name, "A.z_0-9........");
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(join_status(bad[i], name), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_offered),
        cmocka_unit_test(scopes_are_refused),
        cmocka_unit_test(malformed_scopes),
        cmocka_unit_test(names_have_a_longest_length),
        cmocka_unit_test(paths),
        cmocka_unit_test(methods_and_protocols),
        cmocka_unit_test(malformed_requests),
        cmocka_unit_test(fields_that_do_not_matter_are_ignored),
        cmocka_unit_test(oversize_fields),
        cmocka_unit_test(bearer_tokens),
        cmocka_unit_test(a_path_may_have_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
