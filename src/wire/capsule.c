#include "wire/capsule.h"

#include "base/util.h"
#include "wire/varint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* header -> (value | skip) -> header; any -> failed.
 *
 * HEADER collects type and length, which may be cut anywhere. VALUE copies only
 * when the chunk does not hold the rest of the value whole. SKIP counts bytes down. */
enum state { STATE_HEADER, STATE_VALUE, STATE_SKIP, STATE_FAILED };

static const struct {
    const char *name;
    uint64_t h3_code;
} errors[CAPSULE_ERROR_COUNT] = {
#define X(sym, code, text) [sym] = {text, code},
    CAPSULE_ERRORS(X)
#undef X
};

const char *capsule_error_name(enum capsule_error e)
{
    return (unsigned)e < CAPSULE_ERROR_COUNT ? errors[e].name : "?";
}

uint64_t capsule_error_h3_code(enum capsule_error e)
{
    return (unsigned)e < CAPSULE_ERROR_COUNT ? errors[e].h3_code : H3_MESSAGE_ERROR;
}

void capsule_parser_init(struct capsule_parser *p)
{
    p->state = STATE_HEADER;
    p->header_len = 0;
    p->error = CAPSULE_OK;
    p->type = 0;
    p->left = 0;
    p->datagrams_skipped = 0;
    p->value_len = 0;
    p->value = NULL;
}

void capsule_parser_done(struct capsule_parser *p)
{
    free(p->value);
    p->value = NULL;
}

static void take(const uint8_t **data, size_t *len, size_t n)
{
    *data += n;
    *len -= n;
}

static bool is_known(uint64_t type)
{
    return type <= CAPSULE_ROUTE_ADVERTISEMENT || type == CAPSULE_CLASS_TABLE ||
           type == CAPSULE_PATH_STATUS || type == CAPSULE_LANES;
}

/* Type and length are known: decide what becomes of the value. */
static void on_header(struct capsule_parser *p, uint64_t type, uint64_t value_len)
{
    capsule_parser_done(p); /* the value before this one has been handled */
    p->header_len = 0;
    p->type = type;
    p->left = value_len;
    p->value_len = 0;
    if (!is_known(type)) {
        p->state = STATE_SKIP;
    } else if (value_len <= CAPSULE_VALUE_MAX) {
        p->state = STATE_VALUE;
    } else if (type == CAPSULE_DATAGRAM) {
        p->state = STATE_SKIP;
        p->datagrams_skipped++;
    } else {
        p->state = STATE_FAILED;
        p->error = CAPSULE_TOO_LONG;
    }
}

/* Take header bytes one by one until both integers are whole. */
static void eat_header(struct capsule_parser *p, const uint8_t **data, size_t *len)
{
    uint64_t type, value_len;

    while (*len && p->state == STATE_HEADER) {
        size_t n;

        p->header[p->header_len++] = **data;
        take(data, len, 1);
        n = varint_get(p->header, p->header_len, &type);
        if (n && varint_get(p->header + n, p->header_len - n, &value_len))
            on_header(p, type, value_len);
    }
}

static void eat_skipped(struct capsule_parser *p, const uint8_t **data, size_t *len)
{
    size_t n = MIN((uint64_t)*len, p->left);

    take(data, len, n);
    p->left -= n;
    if (!p->left)
        p->state = STATE_HEADER;
}

/* Keep a piece of the value. */
static bool keep(struct capsule_parser *p, const uint8_t *data, size_t n)
{
    if (!p->value)
        p->value = malloc(MAX(p->left, (uint64_t)1));
    if (!p->value) {
        p->state = STATE_FAILED;
        p->error = CAPSULE_NO_MEMORY;
        return false;
    }
    memcpy(p->value + p->value_len, data, n);
    return true;
}

/* Returns 1 when the value is whole. */
static int eat_value(struct capsule_parser *p, const uint8_t **data, size_t *len,
                     struct capsule_view *ret_capsule)
{
    size_t n = MIN((uint64_t)*len, p->left);
    const uint8_t *value = *data;

    if (p->value_len || n < p->left) {
        if (!keep(p, *data, n))
            return 0;
        value = p->value;
    }
    p->value_len += n;
    p->left -= n;
    take(data, len, n);
    if (p->left)
        return 0;
    p->state = STATE_HEADER;
    *ret_capsule = (struct capsule_view){
        .type = (enum capsule_type)p->type,
        .value = value,
        .len = p->value_len,
    };
    return 1;
}

int capsule_parser_next(struct capsule_parser *p, const uint8_t **data, size_t *len,
                        struct capsule_view *ret_capsule)
{
    for (;;) {
        if (p->state == STATE_FAILED)
            return -EBADMSG;
        if (p->state == STATE_VALUE && (*len || !p->left)) {
            if (eat_value(p, data, len, ret_capsule))
                return 1;
        } else if (p->state == STATE_SKIP && (*len || !p->left)) {
            eat_skipped(p, data, len);
        } else if (p->state == STATE_HEADER && *len) {
            eat_header(p, data, len);
        } else {
            return 0;
        }
    }
}

enum capsule_error capsule_parser_end(const struct capsule_parser *p)
{
    if (p->state == STATE_FAILED)
        return p->error;
    return p->state == STATE_HEADER && !p->header_len ? CAPSULE_OK : CAPSULE_STREAM_END;
}
