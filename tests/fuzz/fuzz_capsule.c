/* Input: a seed for the chunk sizes in one byte, then a request stream. The stream goes through
 * the parser at once and in chunks, which must give the same; what decodes must encode to the same
 * meaning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "wire/capsule.h"
#include "wire/class.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

/* A digest of what came out, in order (FNV-1a). */
struct outcome {
    uint64_t hash;
    uint64_t skipped;
    enum capsule_error error;
};

static void mix(struct outcome *o, const void *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        o->hash = (o->hash ^ ((const uint8_t *)p)[i]) * UINT64_C(0x100000001b3);
}

static uint8_t encoded[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX], encoded2[sizeof(encoded)];

/* The capsule in encoded[] gives back its value. */
static struct capsule_view reparse(size_t len)
{
    static struct capsule_parser p;
    const uint8_t *in = encoded;
    struct capsule_view c;

    capsule_parser_done(&p);
    capsule_parser_init(&p);
    CHECK(capsule_parser_next(&p, &in, &len, &c) == 1 && len == 0);
    return c;
}

static void check_addrs(const struct capsule_view *c, struct outcome *o)
{
    struct capsule_addrs a, b;
    struct capsule_view again;
    size_t len;
    enum capsule_error e = capsule_get_addrs(c->type, c->value, c->len, &a);

    mix(o, &e, sizeof(e));
    if (e)
        return;
    CHECK(capsule_put_addrs(c->type, &a, encoded, sizeof(encoded), &len) == 0);
    again = reparse(len);
    CHECK(again.type == c->type && again.len <= c->len);
    CHECK(capsule_get_addrs(again.type, again.value, again.len, &b) == CAPSULE_OK);
    CHECK(a.n == b.n);
    for (unsigned i = 0; i < a.n; i++)
        CHECK(a.v[i].request_id == b.v[i].request_id &&
              ip_prefix_equal(&a.v[i].prefix, &b.v[i].prefix));
}

static void check_routes(const struct capsule_view *c, struct outcome *o)
{
    static struct capsule_routes routes;
    struct capsule_view again;
    size_t len;
    enum capsule_error e = capsule_get_routes(c->value, c->len, &routes);

    mix(o, &e, sizeof(e));
    if (e)
        return;
    for (unsigned i = 0; i < routes.n; i++)
        CHECK(capsule_routes_allow(&routes, &routes.v[i].last, routes.v[i].proto));
    CHECK(capsule_put_routes(&routes, encoded, sizeof(encoded), &len) == 0);
    again = reparse(len);
    CHECK(again.len == c->len && !memcmp(again.value, c->value, c->len)); /* only one encoding */
}

/* What decodes encodes to the same; how long an integer was is not told. */
static void check_classes(const struct capsule_view *c, struct outcome *o)
{
    static struct class_table a, b;
    struct capsule_view again;
    size_t len, len2;
    enum capsule_error e = capsule_get_classes(c->value, c->len, &a);

    mix(o, &e, sizeof(e));
    if (e)
        return;
    CHECK(a.n <= PACKED_CLASSES && a.n_rules <= CLASS_RULES_MAX);
    CHECK(capsule_put_classes(&a, encoded, sizeof(encoded), &len) == 0);
    again = reparse(len);
    CHECK(again.type == c->type && again.len <= c->len);
    CHECK(capsule_get_classes(again.value, again.len, &b) == CAPSULE_OK);
    CHECK(capsule_put_classes(&b, encoded2, sizeof(encoded2), &len2) == 0);
    CHECK(len == len2 && !memcmp(encoded, encoded2, len));
}

static void check_path(const struct capsule_view *c, struct outcome *o)
{
    struct path_report a, b;
    struct capsule_view again;
    size_t len, len2;
    enum capsule_error e = capsule_get_path(c->value, c->len, &a);

    mix(o, &e, sizeof(e));
    if (e)
        return;
    CHECK(capsule_put_path(&a, encoded, sizeof(encoded), &len) == 0);
    again = reparse(len);
    CHECK(again.type == c->type && again.len <= c->len);
    CHECK(capsule_get_path(again.value, again.len, &b) == CAPSULE_OK);
    CHECK(capsule_put_path(&b, encoded2, sizeof(encoded2), &len2) == 0);
    CHECK(len == len2 && !memcmp(encoded, encoded2, len));
}

static void on_capsule(const struct capsule_view *c, struct outcome *o)
{
    mix(o, &c->type, sizeof(c->type));
    mix(o, &c->len, sizeof(c->len));
    mix(o, c->value, c->len);
    CHECK(c->len <= CAPSULE_VALUE_MAX);
    if (c->type == CAPSULE_ADDRESS_ASSIGN || c->type == CAPSULE_ADDRESS_REQUEST)
        check_addrs(c, o);
    else if (c->type == CAPSULE_ROUTE_ADVERTISEMENT)
        check_routes(c, o);
    else if (c->type == CAPSULE_CLASS_TABLE)
        check_classes(c, o);
    else if (c->type == CAPSULE_PATH_STATUS)
        check_path(c, o);
}

/* rng NULL: at once. Each chunk lies in memory of its own. */
static struct outcome run(const uint8_t *data, size_t size, struct rng *rng)
{
    static struct capsule_parser p;
    struct outcome o = {.hash = UINT64_C(0xcbf29ce484222325)};

    capsule_parser_done(&p);
    capsule_parser_init(&p);
    while (size) {
        size_t longest = rng ? 1 + rng_below(rng, 64) : size;
        size_t len = rng ? 1 + rng_below(rng, MIN(size, longest)) : size;
        uint8_t *chunk = malloc(len);
        const uint8_t *in = chunk;
        size_t left = len;
        struct capsule_view c;

        memcpy(chunk, data, len);
        while (capsule_parser_next(&p, &in, &left, &c) == 1)
            on_capsule(&c, &o);
        CHECK(p.error || left == 0);
        free(chunk);
        data += len;
        size -= len;
    }
    o.error = capsule_parser_end(&p);
    o.skipped = p.datagrams_skipped;
    CHECK(capsule_error_name(o.error));
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome once, chunked;
    struct rng rng;

    if (!size)
        return 0;
    rng_seed(&rng, data[0]);
    once = run(data + 1, size - 1, NULL);
    chunked = run(data + 1, size - 1, &rng);
    CHECK(once.hash == chunked.hash);
    CHECK(once.error == chunked.error);
    CHECK(once.skipped == chunked.skipped);
    return 0;
}
