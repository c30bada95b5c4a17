/* What is said about a configuration, for the tests of src/config. */
#ifndef TESTS_CONFIG_EXPECT_H
#define TESTS_CONFIG_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "config_text.h"

/* Parse and compare the whole report. An expected report without errors means success. */
static inline void expect_len(const char *text, size_t len, const char *want)
{
    struct tunnel_config c;
    int err;
    char *got;

    memset(&c, 0xa5, sizeof(c));
    got = text_report(text, len, &c, &err);
    assert_string_equal(got, want);
    assert_int_equal(err, strstr(want, " error: ") ? -EINVAL : 0);
    if (!err)
        config_done(&c);
    if (err) /* the output is untouched */
        for (size_t i = 0; i < sizeof(c); i++)
            assert_int_equal(((unsigned char *)&c)[i], 0xa5);
    free(got);
}

static inline void expect(const char *text, const char *want)
{
    expect_len(text, strlen(text), want);
}

static inline void expect_client(const char *first, const char *without, const char *want)
{
    char *text = text_make(client_lines, first, without);

    expect(text, want);
    free(text);
}

static inline void expect_server(const char *first, const char *without, const char *want)
{
    char *text = text_make(server_lines, first, without);

    expect(text, want);
    free(text);
}

static inline void parse_ok(const char *text, struct tunnel_config *ret)
{
    int err;
    char *report = text_report(text, strlen(text), ret, &err);

    assert_string_equal(report, "");
    assert_int_equal(err, 0);
    free(report);
}

#endif
