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

char *field_list(const struct field *f, const void *base)
{
    char *v;

    memcpy(&v, at(base, f->offset), sizeof(v));
    return v;
}

size_t field_count(const struct field *f, const void *base)
{
    size_t n;

    memcpy(&n, at(base, f->count_offset), sizeof(n));
    return n;
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
    char *list = field_list(f, base);
    size_t n = field_count(f, base);

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
