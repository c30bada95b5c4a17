#include "status/field.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/drop.h"
#include "status/status.h"
#include "status/text.h"

/* Members are reached by memcpy: the table knows their offset and size only. */
static const void *at(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static void *at_mut(void *base, size_t offset)
{
    return (char *)base + offset;
}

static uint64_t get_u64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static bool get_bool(const void *p)
{
    bool v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static char *get_list(const void *p)
{
    char *v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static size_t get_count(const struct field *f, const void *base)
{
    size_t n;

    memcpy(&n, at(base, f->count_offset), sizeof(n));
    return n;
}

/* --- writing --------------------------------------------------------------------------- */

/* Whatever the bytes are, the answer stays valid JSON. */
static json_t *encode_text(const char *text)
{
    char safe[STATUS_TEXT_MAX];
    json_t *v = json_string(text);

    if (v)
        return v;
    status_set_text(safe, sizeof(safe), text);
    return json_string(safe);
}

static json_t *encode_time(const void *p)
{
    char buf[STATUS_WORD_MAX];
    int64_t s = (int64_t)get_u64(p);

    return s ? json_string(status_time_str(s, buf)) : json_null();
}

static json_t *encode_strings(const void *p)
{
    const struct status_strings *l = p;
    json_t *array = json_array();

    for (size_t i = 0; array && i < l->n; i++)
        if (json_array_append_new(array, encode_text(l->v[i]))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *encode_drops(const void *p)
{
    const struct drop_counters *c = p;
    json_t *object = json_object();

    for (int i = 0; object && i < DROP_COUNT; i++)
        if (json_object_set_new(object, drop_name(i), json_integer((json_int_t)c->n[i]))) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static json_t *encode_list(const struct field *f, const void *base)
{
    const char *v = get_list(at(base, f->offset));
    size_t n = get_count(f, base);
    json_t *array = json_array();

    for (size_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, field_encode(f->sub, v + i * f->size))) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *encode_one(const struct field *f, const void *base)
{
    const void *p = at(base, f->offset);

    switch (f->type) {
    case FIELD_TEXT:
        return encode_text(p);
    case FIELD_UINT:
    case FIELD_INT:
        return json_integer((json_int_t)get_u64(p));
    case FIELD_BOOL:
        return json_boolean(get_bool(p));
    case FIELD_TIME:
        return encode_time(p);
    case FIELD_STRINGS:
        return encode_strings(p);
    case FIELD_DROPS:
        return encode_drops(p);
    case FIELD_GROUP:
        return field_encode(f->sub, base);
    case FIELD_OBJECT:
        return field_encode(f->sub, p);
    case FIELD_OPTIONAL:
        return get_bool(p) ? field_encode(f->sub, p) : json_null();
    case FIELD_LIST:
        return encode_list(f, base);
    }
    return NULL;
}

json_t *field_encode(const struct field *fields, const void *base)
{
    json_t *object = json_object();

    for (const struct field *f = fields; object && f->name; f++)
        if (json_object_set_new(object, f->name, encode_one(f, base))) {
            json_decref(object);
            return NULL;
        }
    return object;
}

/* --- reading --------------------------------------------------------------------------- */

static void decode_number(const json_t *v, void *p)
{
    json_int_t n = json_integer_value(v);

    if (json_is_integer(v))
        memcpy(p, &n, sizeof(n));
}

static void decode_bool(const json_t *v, void *p)
{
    bool b = json_is_true(v);

    memcpy(p, &b, sizeof(b));
}

static void decode_time(const json_t *v, void *p)
{
    int64_t s = text_parse_time(json_string_value(v));

    memcpy(p, &s, sizeof(s));
}

static int decode_strings(const json_t *v, void *p)
{
    if (json_array_size(v) > STATUS_STRINGS_MAX)
        return -E2BIG;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *text = json_string_value(json_array_get(v, i));

        if (text && status_add_string(p, text))
            return -ENOMEM;
    }
    return 0;
}

static void decode_drops(const json_t *v, void *p)
{
    struct drop_counters *c = p;

    for (int i = 0; i < DROP_COUNT; i++)
        c->n[i] = (uint64_t)json_integer_value(json_object_get(v, drop_name(i)));
}

static int decode_list(const struct field *f, const json_t *v, void *base)
{
    size_t n = json_array_size(v);
    char *list;

    if (!n)
        return 0;
    if (n > f->max)
        return -E2BIG;
    list = calloc(n, f->size);
    if (!list)
        return -ENOMEM;
    memcpy(at_mut(base, f->offset), &list, sizeof(list));
    memcpy(at_mut(base, f->count_offset), &n, sizeof(n));
    for (size_t i = 0; i < n; i++) {
        int rv = field_decode(f->sub, json_array_get(v, i), list + i * f->size);

        if (rv)
            return rv;
    }
    return 0;
}

static int decode_optional(const struct field *f, const json_t *v, void *p)
{
    bool present = json_is_object(v);

    memcpy(p, &present, sizeof(present));
    return present ? field_decode(f->sub, v, p) : 0;
}

static int decode_one(const struct field *f, const json_t *v, void *base)
{
    void *p = at_mut(base, f->offset);

    switch (f->type) {
    case FIELD_TEXT:
        if (json_is_string(v))
            status_set_text(p, f->size, json_string_value(v));
        return 0;
    case FIELD_UINT:
    case FIELD_INT:
        decode_number(v, p);
        return 0;
    case FIELD_BOOL:
        decode_bool(v, p);
        return 0;
    case FIELD_TIME:
        decode_time(v, p);
        return 0;
    case FIELD_STRINGS:
        return decode_strings(v, p);
    case FIELD_DROPS:
        decode_drops(v, p);
        return 0;
    case FIELD_GROUP:
        return field_decode(f->sub, v, base);
    case FIELD_OBJECT:
        return field_decode(f->sub, v, p);
    case FIELD_OPTIONAL:
        return decode_optional(f, v, p);
    case FIELD_LIST:
        return decode_list(f, v, base);
    }
    return 0;
}

int field_decode(const struct field *fields, const json_t *object, void *base)
{
    int rv = 0;

    for (const struct field *f = fields; !rv && f->name; f++) {
        const json_t *v = json_object_get(object, f->name);

        if (v)
            rv = decode_one(f, v, base);
    }
    return rv;
}

/* --- freeing --------------------------------------------------------------------------- */

static void release_strings(struct status_strings *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
}

static void release_list(const struct field *f, void *base)
{
    char *list = get_list(at(base, f->offset));
    size_t n = get_count(f, base);

    for (size_t i = 0; list && i < n; i++)
        field_release(f->sub, list + i * f->size);
    free(list);
}

void field_release(const struct field *fields, void *base)
{
    for (const struct field *f = fields; f->name; f++) {
        if (f->type == FIELD_STRINGS)
            release_strings(at_mut(base, f->offset));
        else if (f->type == FIELD_LIST)
            release_list(f, base);
        else if (f->type == FIELD_GROUP)
            field_release(f->sub, base);
        else if (f->type == FIELD_OBJECT || f->type == FIELD_OPTIONAL)
            field_release(f->sub, at_mut(base, f->offset));
    }
}
