#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "packets.h"
#include "wire/capsule.h"
#include "wire/varint.h"

/* What came out of a stream: each capsule as type, length and value, in order. */
struct log {
    uint8_t bytes[1 << 17];
    size_t len;
    unsigned n;
};

static void log_capsule(struct log *l, const struct capsule_view *c)
{
    l->len += varint_put(l->bytes + l->len, 8, c->type);
    l->len += varint_put(l->bytes + l->len, 8, c->len);
    memcpy(l->bytes + l->len, c->value, c->len);
    l->len += c->len;
    l->n++;
}

/* Feed [p, p+len), each chunk from a block of its own that is freed afterwards. Returns what the
 * parser said last. */
static int feed(struct capsule_parser *parser, const uint8_t *p, size_t len, struct log *l)
{
    uint8_t *copy = malloc(len ? len : 1);
    const uint8_t *in = copy;
    struct capsule_view c;
    int r;

    memcpy(copy, p, len);
    while ((r = capsule_parser_next(parser, &in, &len, &c)) == 1)
        log_capsule(l, &c);
    if (!r)
        assert_int_equal(len, 0);
    free(copy);
    return r;
}

static struct capsule_parser parser;
static struct log log_a, log_b;

static void known_types_come_out_and_others_do_not(void **state)
{
    uint8_t s[200], expected[200];
    size_t n = hex_bytes("00 03 004500"           /* DATAGRAM */
                         "17 04 01020304"         /* reserved for greasing, 0x29 * 0 + 0x17 */
                         "01 00"                  /* ADDRESS_ASSIGN, empty */
                         "4040 00"                /* a longer type */
                         "02 4007 01040000000020" /* length in two bytes */
                         "c000000000000003 00"    /* ROUTE_ADVERTISEMENT, type in eight */
                         "ffffffffffffffff 01 aa",
                         s, sizeof(s));
    size_t m = hex_bytes("0003004500 0100 02070104000000 0020 0300", expected, sizeof(expected));

    capsule_parser_done(&parser);
    capsule_parser_init(&parser);
    memset(&log_a, 0, sizeof(log_a));
    assert_int_equal(feed(&parser, s, n, &log_a), 0);
    assert_int_equal(log_a.n, 4);
    assert_int_equal(log_a.len, m);
    assert_memory_equal(log_a.bytes, expected, m);
    assert_int_equal(capsule_parser_end(&parser), CAPSULE_OK);
}

/* A stream of random capsules of every kind, of lengths around the borders. */
static size_t random_stream(struct rng *rng, uint8_t *s, size_t cap)
{
    static const uint64_t types[] = {0, 1, 2, 3, 4, 0x17, 0x40, 0x17 + 0x29 * 1000, VARINT_MAX};
    size_t n = 0;

    while (n + 20000 < cap && rng_below(rng, 20)) {
        size_t len = rng_below(rng, 8) ? rng_below(rng, 80) : rng_below(rng, 18000);
        uint64_t type = types[rng_below(rng, ARRAY_LEN(types))];

        if (type >= 1 && type <= 3)
            len = MIN(len, (size_t)CAPSULE_VALUE_MAX);
        n += varint_put(s + n, 8, type);
        n += varint_put(s + n, 8, len);
        rng_bytes(rng, s + n, len);
        n += len;
    }
    return n;
}

static void chunks_make_no_difference(void **state)
{
    static uint8_t s[1 << 17];
    struct rng rng;
    unsigned capsules = 0;

    for (unsigned seed = 0; seed < 60; seed++) {
        size_t n;

        rng_seed(&rng, seed);
        n = random_stream(&rng, s, sizeof(s));
        log_a.len = log_a.n = log_b.len = log_b.n = 0;
        capsule_parser_done(&parser);
        capsule_parser_init(&parser);
        assert_int_equal(feed(&parser, s, n, &log_a), 0);
        assert_int_equal(capsule_parser_end(&parser), CAPSULE_OK);

        capsule_parser_done(&parser);
        capsule_parser_init(&parser);
        for (size_t i = 0, len; i < n; i += len) {
            len = seed % 3 ? 1 + rng_below(&rng, seed * 50) : 1;
            len = MIN(len, n - i);
            assert_int_equal(feed(&parser, s + i, len, &log_b), 0);
        }
        assert_int_equal(capsule_parser_end(&parser), CAPSULE_OK);
        assert_int_equal(log_a.n, log_b.n);
        assert_int_equal(log_a.len, log_b.len);
        assert_memory_equal(log_a.bytes, log_b.bytes, log_a.len);
        capsules += log_a.n;
    }
    assert_true(capsules > 200);
}

static void a_stream_that_ends_inside_a_capsule(void **state)
{
    uint8_t s[32];
    size_t n = hex_bytes("01 07 00040a00000120 4017 4003 aabbcc", s, sizeof(s));

    for (size_t cut = 0; cut <= n; cut++) {
        capsule_parser_done(&parser);
        capsule_parser_init(&parser);
        assert_int_equal(feed(&parser, s, cut, &log_a), 0);
        assert_int_equal(capsule_parser_end(&parser),
                         cut == 0 || cut == 9 || cut == n ? CAPSULE_OK : CAPSULE_STREAM_END);
    }
}

static void a_capsule_longer_than_the_bound(void **state)
{
    static uint8_t s[CAPSULE_VALUE_MAX + 16];

    for (unsigned type = 0; type < 5; type++) {
        size_t n = varint_put(s, 8, type);

        n += varint_put(s + n, 8, CAPSULE_VALUE_MAX + 1);
        memset(s + n, 0, CAPSULE_VALUE_MAX + 1);
        n += CAPSULE_VALUE_MAX + 1;
        capsule_parser_done(&parser);
        capsule_parser_init(&parser);
        log_a.n = 0;
        if (type == CAPSULE_DATAGRAM || type > CAPSULE_ROUTE_ADVERTISEMENT) {
            assert_int_equal(feed(&parser, s, n, &log_a), 0);
            assert_int_equal(capsule_parser_end(&parser), CAPSULE_OK);
        } else {
            /* Refused as soon as the length is known, and for good. */
            assert_int_equal(feed(&parser, s, 5, &log_a), -EBADMSG);
            assert_int_equal(parser.error, CAPSULE_TOO_LONG);
            assert_int_equal(feed(&parser, s, 1, &log_a), -EBADMSG);
            assert_int_equal(capsule_parser_end(&parser), CAPSULE_TOO_LONG);
        }
        assert_int_equal(log_a.n, 0);
        assert_int_equal(parser.datagrams_skipped, type == CAPSULE_DATAGRAM);
    }
}

static void an_unknown_capsule_without_end_is_skipped(void **state)
{
    static uint8_t block[1 << 16];
    uint8_t head[16];
    size_t n = varint_put(head, 8, 0x1234);

    n += varint_put(head + n, 8, VARINT_MAX);
    capsule_parser_done(&parser);
    capsule_parser_init(&parser);
    log_a.n = 0;
    assert_int_equal(feed(&parser, head, n, &log_a), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(feed(&parser, block, sizeof(block), &log_a), 0);
    assert_int_equal(log_a.n, 0);
    assert_int_equal(capsule_parser_end(&parser), CAPSULE_STREAM_END);
}

static struct assigned_addr assigned(uint64_t id, const char *prefix)
{
    struct assigned_addr a = {.request_id = id};

    assert_int_equal(ip_prefix_parse(prefix, &a.prefix), 0);
    return a;
}

static struct ip_route_range range(const char *first, const char *last, uint8_t proto)
{
    struct ip_route_range r = {.proto = proto};

    assert_int_equal(ip_addr_parse(first, &r.first), 0);
    assert_int_equal(ip_addr_parse(last, &r.last), 0);
    return r;
}

/* The whole capsule hex decodes to addrs, and addrs encode to it. */
static void expect_addrs(const char *hex, enum capsule_type type, const struct capsule_addrs *addrs)
{
    uint8_t s[200], out[200];
    size_t n = hex_bytes(hex, s, sizeof(s)), m;
    struct capsule_addrs got;

    assert_int_equal(s[0], type);
    assert_int_equal(s[1], n - 2);
    assert_int_equal(capsule_get_addrs(type, s + 2, n - 2, &got), CAPSULE_OK);
    assert_int_equal(got.n, addrs->n);
    for (unsigned i = 0; i < got.n; i++) {
        assert_int_equal(got.v[i].request_id, addrs->v[i].request_id);
        assert_true(ip_prefix_equal(&got.v[i].prefix, &addrs->v[i].prefix));
    }
    assert_int_equal(capsule_put_addrs(type, addrs, out, sizeof(out), &m), 0);
    assert_int_equal(m, n);
    assert_memory_equal(out, s, n);
    assert_int_equal(capsule_put_addrs(type, addrs, out, n, &m), 0);
    assert_int_equal(capsule_put_addrs(type, addrs, out, n - 1, &m), -ENOSPC);
}

static void expect_routes(const char *hex, const struct capsule_routes *routes)
{
    uint8_t s[200], out[200];
    size_t n = hex_bytes(hex, s, sizeof(s)), m;
    struct capsule_routes got;

    assert_int_equal(s[0], CAPSULE_ROUTE_ADVERTISEMENT);
    assert_int_equal(s[1], n - 2);
    assert_int_equal(capsule_get_routes(s + 2, n - 2, &got), CAPSULE_OK);
    assert_int_equal(got.n, routes->n);
    for (unsigned i = 0; i < got.n; i++) {
        assert_true(ip_addr_equal(&got.v[i].first, &routes->v[i].first));
        assert_true(ip_addr_equal(&got.v[i].last, &routes->v[i].last));
        assert_int_equal(got.v[i].proto, routes->v[i].proto);
    }
    assert_int_equal(capsule_put_routes(routes, out, sizeof(out), &m), 0);
    assert_int_equal(m, n);
    assert_memory_equal(out, s, n);
    assert_int_equal(capsule_put_routes(routes, out, n - 1, &m), -ENOSPC);
}

/* RFC 9484, Figures 15 and 16: full and split tunnel. */
static void remote_access_examples(void **state)
{
    expect_addrs("02 07 01 04 00000000 20", CAPSULE_ADDRESS_REQUEST,
                 &(struct capsule_addrs){1, {assigned(1, "0.0.0.0/32")}});
    expect_addrs("01 07 01 04 c000020b 20", CAPSULE_ADDRESS_ASSIGN,
                 &(struct capsule_addrs){1, {assigned(1, "192.0.2.11/32")}});
    expect_routes("03 0a 04 00000000 ffffffff 00",
                  &(struct capsule_routes){1, {range("0.0.0.0", "255.255.255.255", 0)}});
    expect_addrs("01 07 00 04 c000022a 20", CAPSULE_ADDRESS_ASSIGN,
                 &(struct capsule_addrs){1, {assigned(0, "192.0.2.42/32")}});
    expect_routes(
        "03 14 04 c0000200 c0000229 00 04 c000022b c00002ff 00",
        &(struct capsule_routes){
            2, {range("192.0.2.0", "192.0.2.41", 0), range("192.0.2.43", "192.0.2.255", 0)}});
}

/* RFC 9484, Figures 18, 20 and 22: site to site, one SCTP flow, connection racing. */
static void site_and_flow_examples(void **state)
{
    expect_addrs("01 07 00 04 cb007164 20", CAPSULE_ADDRESS_ASSIGN,
                 &(struct capsule_addrs){1, {assigned(0, "203.0.113.100/32")}});
    expect_routes("03 0a 04 cb007100 cb0071ff 00",
                  &(struct capsule_routes){1, {range("203.0.113.0", "203.0.113.255", 0)}});
    expect_addrs("01 13 00 06 20010db812340000000000000000000a 80", CAPSULE_ADDRESS_ASSIGN,
                 &(struct capsule_addrs){1, {assigned(0, "2001:db8:1234::a/128")}});
    expect_routes(
        "03 22 06 20010db834560000000000000000000b 20010db834560000000000000000000b 84",
        &(struct capsule_routes){1, {range("2001:db8:3456::b", "2001:db8:3456::b", 132)}});
    expect_addrs("01 1a 00 04 c0000203 20 00 06 20010db8000000000000000012341234 80",
                 CAPSULE_ADDRESS_ASSIGN,
                 &(struct capsule_addrs){
                     2, {assigned(0, "192.0.2.3/32"), assigned(0, "2001:db8::1234:1234/128")}});
    expect_routes("03 2c 04 c6336402 c6336402 11"
                  "06 20010db834560000000000000000000b 20010db834560000000000000000000b 11",
                  &(struct capsule_routes){2,
                                           {range("198.51.100.2", "198.51.100.2", 17),
                                            range("2001:db8:3456::b", "2001:db8:3456::b", 17)}});
}

static void prefixes_and_empty_lists(void **state)
{
    expect_addrs("01 00", CAPSULE_ADDRESS_ASSIGN, &(struct capsule_addrs){0});
    expect_routes("03 00", &(struct capsule_routes){0});
    expect_addrs(
        "01 0f 4040 04 0ac80a00 18 00 04 00000000 00", CAPSULE_ADDRESS_ASSIGN,
        &(struct capsule_addrs){2, {assigned(64, "10.200.10.0/24"), assigned(0, "0.0.0.0/0")}});
    expect_addrs("02 13 05 06 20010db8000000000000000000000000 1d", CAPSULE_ADDRESS_REQUEST,
                 &(struct capsule_addrs){1, {assigned(5, "2001:db8::/29")}});
}

static void malformed_addresses(void **state)
{
    static const struct {
        const char *hex;
        enum capsule_type type;
        enum capsule_error error;
    } bad[] = {
        {"00", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"40", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"00 04 0a0000", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"00 04 0a000001", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"00 06 0a000001 20", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"00 04 0a000001 20 00", CAPSULE_ADDRESS_ASSIGN, CAPSULE_CUT_SHORT},
        {"00 05 0a000001 20", CAPSULE_ADDRESS_ASSIGN, CAPSULE_IP_VERSION},
        {"00 00 0a000001 20", CAPSULE_ADDRESS_ASSIGN, CAPSULE_IP_VERSION},
        {"00 04 0a000001 21", CAPSULE_ADDRESS_ASSIGN, CAPSULE_PREFIX_LENGTH},
        {"00 04 00000000 80", CAPSULE_ADDRESS_ASSIGN, CAPSULE_PREFIX_LENGTH},
        {"00 06 00000000000000000000000000000000 81", CAPSULE_ADDRESS_ASSIGN,
         CAPSULE_PREFIX_LENGTH},
        {"00 04 0a000001 1f", CAPSULE_ADDRESS_ASSIGN, CAPSULE_HOST_BITS},
        {"00 04 00000001 00", CAPSULE_ADDRESS_ASSIGN, CAPSULE_HOST_BITS},
        {"00 06 20010db8000000000000000000000001 40", CAPSULE_ADDRESS_ASSIGN, CAPSULE_HOST_BITS},
        {"", CAPSULE_ADDRESS_REQUEST, CAPSULE_REQUEST_EMPTY},
        {"00 04 00000000 20", CAPSULE_ADDRESS_REQUEST, CAPSULE_REQUEST_ID_ZERO},
        {"01 04 00000000 20 4001 06 00000000000000000000000000000000 80", CAPSULE_ADDRESS_REQUEST,
         CAPSULE_REQUEST_ID_REUSED},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t s[100];
        size_t n = hex_bytes(bad[i].hex, s, sizeof(s));
        struct capsule_addrs got = {.n = 77};
        enum capsule_error e = capsule_get_addrs(bad[i].type, s, n, &got);

        assert_string_equal(capsule_error_name(e), capsule_error_name(bad[i].error));
        assert_int_equal(capsule_error_h3_code(e), H3_MESSAGE_ERROR);
        assert_int_equal(got.n, 77);
    }
}

static void malformed_routes(void **state)
{
    static const struct {
        const char *hex;
        enum capsule_error error;
    } v[] = {
        {"04", CAPSULE_CUT_SHORT},
        {"04 0a000000 0a0000ff", CAPSULE_CUT_SHORT},
        {"06 0a000000 0a0000ff 00", CAPSULE_CUT_SHORT},
        {"04 0a000000 0a0000ff 00 00", CAPSULE_IP_VERSION},
        {"07 0a000000 0a0000ff 00", CAPSULE_IP_VERSION},
        {"04 0a000001 0a000000 00", CAPSULE_RANGE_REVERSED},
        {"04 0a000000 0a000000 00", CAPSULE_OK},
        /* addresses: each range starts behind the end of the one before */
        {"04 0a000000 0a0000ff 00 04 0a0000ff 0a000100 00", CAPSULE_RANGE_ORDER},
        {"04 0a000000 0a0000ff 00 04 0a000100 0a000100 00", CAPSULE_OK},
        {"04 0b000000 0b0000ff 00 04 0a000000 0a0000ff 00", CAPSULE_RANGE_ORDER},
        /* protocols ascend; another protocol may start over */
        {"04 0a000000 0a0000ff 11 04 0a000000 0a0000ff 06", CAPSULE_RANGE_ORDER},
        {"04 0a000000 0a0000ff 06 04 0a000000 0a0000ff 11", CAPSULE_OK},
        /* versions ascend, whatever the protocol */
        {"06 00000000000000000000000000000000 00000000000000000000000000000000 00"
         "04 0a000000 0a0000ff 11",
         CAPSULE_RANGE_ORDER},
        {"04 0a000000 0a0000ff 11"
         "06 00000000000000000000000000000000 00000000000000000000000000000000 06",
         CAPSULE_OK},
        /* a range for all protocols overlaps no other */
        {"04 0a000000 0a0000ff 00 04 0a0000ff 0a000100 06", CAPSULE_RANGE_OVERLAP},
        {"04 0a000000 0a0000ff 00 04 00000000 0a000000 06", CAPSULE_RANGE_OVERLAP},
        {"04 0a000000 0a0000ff 00 04 00000000 ffffffff 06", CAPSULE_RANGE_OVERLAP},
        {"04 0a000000 0a0000ff 00 04 09000000 09ffffff 06", CAPSULE_OK},
    };

    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        uint8_t s[100];
        size_t n = hex_bytes(v[i].hex, s, sizeof(s));
        struct capsule_routes got = {.n = 77};
        enum capsule_error e = capsule_get_routes(s, n, &got);

        assert_string_equal(capsule_error_name(e), capsule_error_name(v[i].error));
        if (v[i].error) {
            assert_int_equal(capsule_error_h3_code(e), H3_MESSAGE_ERROR);
            assert_int_equal(got.n, 77);
        }
    }
}

static void lists_are_bounded(void **state)
{
    static uint8_t s[CAPSULE_VALUE_MAX];
    static struct capsule_routes routes;
    struct capsule_addrs addrs;
    size_t n = 0, entry = 7;

    for (unsigned i = 0; i <= CAPSULE_ADDRS_MAX; i++, n += entry)
        hex_bytes("00 04 0a000001 20", s + n, entry);
    assert_int_equal(capsule_get_addrs(CAPSULE_ADDRESS_ASSIGN, s, n - entry, &addrs), CAPSULE_OK);
    assert_int_equal(addrs.n, CAPSULE_ADDRS_MAX);
    assert_int_equal(capsule_get_addrs(CAPSULE_ADDRESS_ASSIGN, s, n, &addrs), CAPSULE_TOO_MANY);
    assert_int_equal(capsule_error_h3_code(CAPSULE_TOO_MANY), H3_EXCESSIVE_LOAD);

    entry = 10;
    n = 0;
    for (unsigned i = 0; i <= CAPSULE_ROUTES_MAX; i++, n += entry) {
        hex_bytes("04 0a000000 0a000000 00", s + n, entry);
        store_be16(s + n + 2, (uint16_t)i);
        store_be16(s + n + 6, (uint16_t)i);
    }
    assert_int_equal(capsule_get_routes(s, n - entry, &routes), CAPSULE_OK);
    assert_int_equal(routes.n, CAPSULE_ROUTES_MAX);
    assert_int_equal(capsule_get_routes(s, n, &routes), CAPSULE_TOO_MANY);
}

static void what_breaks_a_rule_is_not_sent(void **state)
{
    uint8_t buf[100];
    size_t n = 5;
    struct capsule_addrs a = {1, {assigned(0, "10.0.0.1/24")}};
    struct capsule_routes r = {
        2, {range("10.0.0.1", "10.0.0.2", 0), range("10.0.0.2", "10.0.0.3", 0)}};

    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_ASSIGN, &a, buf, sizeof(buf), &n), -EINVAL);
    a.v[0] = assigned(VARINT_MAX + 1, "10.0.0.1/32");
    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_ASSIGN, &a, buf, sizeof(buf), &n), -EINVAL);
    a.v[0] = (struct assigned_addr){.request_id = 1};
    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_REQUEST, &a, buf, sizeof(buf), &n), -EINVAL);
    a.n = 0;
    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_REQUEST, &a, buf, sizeof(buf), &n), -EINVAL);
    a.n = CAPSULE_ADDRS_MAX + 1;
    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_ASSIGN, &a, buf, sizeof(buf), &n), -EINVAL);
    assert_int_equal(capsule_put_routes(&r, buf, sizeof(buf), &n), -EINVAL);
    r.v[1].last.family = 6;
    assert_int_equal(capsule_put_routes(&r, buf, sizeof(buf), &n), -EINVAL);
    assert_int_equal(n, 5);
}

/* The largest lists fit the buffer that the header promises, and come back through the parser. */
static void the_largest_lists_fit(void **state)
{
    static uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];
    static struct capsule_routes routes, got_routes;
    struct capsule_addrs addrs = {.n = CAPSULE_ADDRS_MAX}, got;
    struct capsule_view c;
    const uint8_t *in = buf;
    size_t n;

    for (unsigned i = 0; i < CAPSULE_ADDRS_MAX; i++)
        addrs.v[i] = assigned(VARINT_MAX - i, "2001:db8::1/128");
    assert_int_equal(capsule_put_addrs(CAPSULE_ADDRESS_REQUEST, &addrs, buf, sizeof(buf), &n), 0);
    capsule_parser_done(&parser);
    capsule_parser_init(&parser);
    assert_int_equal(capsule_parser_next(&parser, &in, &n, &c), 1);
    assert_int_equal(capsule_get_addrs(c.type, c.value, c.len, &got), CAPSULE_OK);
    assert_int_equal(got.n, CAPSULE_ADDRS_MAX);

    routes.n = CAPSULE_ROUTES_MAX;
    for (unsigned i = 0; i < CAPSULE_ROUTES_MAX; i++) {
        routes.v[i] = range("2001:db8::", "2001:db8::ff", 6);
        store_be16(routes.v[i].first.b + 8, (uint16_t)i);
        store_be16(routes.v[i].last.b + 8, (uint16_t)i);
    }
    assert_int_equal(capsule_put_routes(&routes, buf, sizeof(buf), &n), 0);
    in = buf;
    assert_int_equal(capsule_parser_next(&parser, &in, &n, &c), 1);
    assert_int_equal(c.type, CAPSULE_ROUTE_ADVERTISEMENT);
    assert_int_equal(capsule_get_routes(c.value, c.len, &got_routes), CAPSULE_OK);
    assert_int_equal(got_routes.n, CAPSULE_ROUTES_MAX);
    assert_int_equal(n, 0);
}

static bool is_refusal(uint64_t id, const char *prefix)
{
    struct assigned_addr a = assigned(id, prefix);

    return assigned_addr_is_refusal(&a);
}

static void refusals(void **state)
{
    assert_true(is_refusal(3, "0.0.0.0/32"));
    assert_true(is_refusal(3, "::/128"));
    assert_false(is_refusal(0, "::/128"));
    assert_false(is_refusal(3, "::/0"));
    assert_false(is_refusal(3, "::1/128"));
}

static void routes_say_where_packets_may_go(void **state)
{
    struct ip_prefix lan;
    struct ip_addr a;
    struct capsule_routes r = {
        3,
        {range("10.0.0.0", "10.0.0.255", 0), range("192.0.2.1", "192.0.2.1", 6),
         range("2001:db8::", "2001:db8::ffff", 17)},
    };

    ip_addr_parse("10.0.0.255", &a);
    assert_true(capsule_routes_allow(&r, &a, 17));
    ip_addr_parse("10.0.1.0", &a);
    assert_false(capsule_routes_allow(&r, &a, 17));
    ip_addr_parse("192.0.2.1", &a);
    assert_true(capsule_routes_allow(&r, &a, 6));
    assert_false(capsule_routes_allow(&r, &a, 17));
    assert_true(capsule_routes_allow(&r, &a, 1));   /* ICMP always may */
    assert_false(capsule_routes_allow(&r, &a, 58)); /* ICMPv6 is not ICMP here */
    ip_addr_parse("2001:db8::7", &a);
    assert_true(capsule_routes_allow(&r, &a, 17));
    assert_true(capsule_routes_allow(&r, &a, 58));
    assert_false(capsule_routes_allow(&r, &a, 1));

    ip_prefix_parse("10.200.1.1/30", &lan);
    r.v[0] = ip_route_range_of(&lan, 0);
    ip_addr_parse("10.200.1.0", &a);
    assert_true(ip_addr_equal(&r.v[0].first, &a));
    ip_addr_parse("10.200.1.3", &a);
    assert_true(ip_addr_equal(&r.v[0].last, &a));
}

/* doc/protocol.md, "Lanes" */
static void lanes_wanted(void **state)
{
    static const struct {
        const char *hex;
        enum capsule_error error;
    } bad[] = {{"", CAPSULE_CUT_SHORT},     {"00", CAPSULE_LANES_RANGE},
               {"11", CAPSULE_LANES_RANGE}, {"0101", CAPSULE_CUT_SHORT},
               {"40", CAPSULE_CUT_SHORT},   {"ffffffffffffffff", CAPSULE_LANES_RANGE}};
    uint8_t buf[CAPSULE_HEADER_MAX], value[8];
    struct capsule_view c;
    struct capsule_parser p;
    size_t len;
    unsigned n = 99;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        len = strlen(bad[i].hex) / 2;
        for (size_t k = 0; k < len; k++)
            sscanf(bad[i].hex + 2 * k, "%2hhx", &value[k]);
        assert_int_equal(capsule_get_lanes(value, len, &n), bad[i].error);
        assert_int_equal(n, 99);
    }
    assert_int_equal(capsule_put_lanes(0, buf, sizeof(buf), &len), -EINVAL);
    assert_int_equal(capsule_put_lanes(CAPSULE_LANES_MAX + 1, buf, sizeof(buf), &len), -EINVAL);
    assert_int_equal(capsule_put_lanes(1, buf, 5, &len), -ENOSPC);
    for (unsigned lanes = 1; lanes <= CAPSULE_LANES_MAX; lanes++) {
        const uint8_t *at = buf;

        assert_int_equal(capsule_put_lanes(lanes, buf, sizeof(buf), &len), 0);
        capsule_parser_init(&p);
        assert_int_equal(capsule_parser_next(&p, &at, &len, &c), 1);
        assert_int_equal(c.type, CAPSULE_LANES);
        assert_int_equal(capsule_get_lanes(c.value, c.len, &n), CAPSULE_OK);
        assert_int_equal(n, lanes);
        capsule_parser_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_types_come_out_and_others_do_not),
        cmocka_unit_test(chunks_make_no_difference),
        cmocka_unit_test(a_stream_that_ends_inside_a_capsule),
        cmocka_unit_test(a_capsule_longer_than_the_bound),
        cmocka_unit_test(an_unknown_capsule_without_end_is_skipped),
        cmocka_unit_test(remote_access_examples),
        cmocka_unit_test(site_and_flow_examples),
        cmocka_unit_test(prefixes_and_empty_lists),
        cmocka_unit_test(malformed_addresses),
        cmocka_unit_test(malformed_routes),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(what_breaks_a_rule_is_not_sent),
        cmocka_unit_test(the_largest_lists_fit),
        cmocka_unit_test(refusals),
        cmocka_unit_test(lanes_wanted),
        cmocka_unit_test(routes_say_where_packets_may_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
