/* The request of a probe by HTTP, and the status that an answer begins with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "wan/http.h"

static void request_is(const struct gateway_probe *conf, const char *target, const char *line,
                       const char *host)
{
    char buf[HTTP_REQUEST_MAX], begin[HTTP_REQUEST_MAX];
    struct ip_addr a;
    size_t len;

    assert_int_equal(ip_addr_parse(target, &a), 0);
    len = http_request_write(conf, &a, buf);
    assert_int_equal(len, strlen(buf));
    snprintf(begin, sizeof(begin), "%s HTTP/1.1\r\nHost: %s\r\n", line, host);
    assert_memory_equal(buf, begin, strlen(begin));
    assert_string_equal(buf + len - 4, "\r\n\r\n");
}

static void requests(void **state)
{
    struct gateway_probe c = {.type = GATEWAY_PROBE_HTTP, .port = 80, .path = "/"};

    request_is(&c, "192.0.2.1", "HEAD /", "192.0.2.1");
    request_is(&c, "2001:db8::1", "HEAD /", "[2001:db8::1]");
    c.port = 8080;
    c.method = GATEWAY_METHOD_GET;
    request_is(&c, "2001:db8::1", "GET /", "[2001:db8::1]:8080");
    snprintf(c.host, sizeof(c.host), "www.example.com");
    snprintf(c.path, sizeof(c.path), "/generate_204");
    request_is(&c, "192.0.2.1", "GET /generate_204", "www.example.com:8080");
    c.type = GATEWAY_PROBE_HTTPS;
    c.port = 443;
    request_is(&c, "192.0.2.1", "GET /generate_204", "www.example.com");
    memset(c.host, 'h', sizeof(c.host) - 1);
    memset(c.path, '/', sizeof(c.path) - 1);
    c.port = 65535;
    c.host[sizeof(c.host) - 1] = c.path[sizeof(c.path) - 1] = 0;
    {
        char buf[HTTP_REQUEST_MAX];
        struct ip_addr a = {.family = 4};
        size_t len = http_request_write(&c, &a, buf);

        assert_true(len < HTTP_REQUEST_MAX);
        assert_string_equal(buf + len - 4, "\r\n\r\n"); /* the longest of all is whole */
    }
}

static void statuses(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n", 200}, {"HTTP/1.0 404", 404},        {"HTTP/1.1 599 \r\n", 599},
        {"HTTP/1.1 099 x", -EINVAL},  {"HTTP/1.1 600 x", -EINVAL},  {"HTTP/2.0 200 x", -EINVAL},
        {"HTTP/1.x 200 x", -EINVAL},  {"http/1.1 200 x", -EINVAL},  {"HTTP/1.1 2x0 x", -EINVAL},
        {"HTTP/1.1  200", -EINVAL},   {"SSH-2.0-OpenSSH", -EINVAL}, {"", 0},
        {"HTTP/1.1 20", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(http_status_read(cases[i].text, strlen(cases[i].text)), cases[i].status);
    for (size_t n = 0; n < HTTP_STATUS_LEN; n++) /* piece by piece */
        assert_int_equal(http_status_read("HTTP/1.1 204 No", n), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
