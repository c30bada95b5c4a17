/* JSON out of a struct and its table, as text and in one go: an instance with thousands of peers
 * answers on the loop that carries their packets, where a tree of values, allocated one by one and
 * freed again, would cost ten times as much. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/drop.h"
#include "base/util.h"
#include "status/field.h"
#include "status/status.h"
#include "status/text.h"

enum { FIRST_BYTES = 4096, NUMBER_BYTES = 24 };

struct writer {
    char *v; /* NULL: out of memory, and nothing more is written */
    size_t len, cap;
    unsigned indent, depth;
};

/* --- text ------------------------------------------------------------------------------ */

static bool make_room(struct writer *w, size_t n)
{
    size_t cap = w->cap;
    char *grown;

    if (!w->v || n <= cap - w->len)
        return w->v;
    while (n > cap - w->len)
        cap *= 2;
    grown = realloc(w->v, cap);
    if (!grown)
        free(w->v);
    w->v = grown;
    w->cap = cap;
    return grown;
}

static void put(struct writer *w, const char *text, size_t n)
{
    if (!make_room(w, n))
        return;
    memcpy(w->v + w->len, text, n);
    w->len += n;
}

static void put_word(struct writer *w, const char *text)
{
    put(w, text, strlen(text));
}

static void put_line(struct writer *w)
{
    size_t n = (size_t)w->indent * w->depth;

    if (!w->indent)
        return;
    put(w, "\n", 1);
    if (!make_room(w, n))
        return;
    memset(w->v + w->len, ' ', n);
    w->len += n;
}

/* Brackets around elements. */
static void open_(struct writer *w, char opening)
{
    put(w, &opening, 1);
    w->depth++;
}

static void close_(struct writer *w, char closing, bool empty)
{
    w->depth--;
    if (!empty)
        put_line(w);
    put(w, &closing, 1);
}

/* Before each element. */
static void next(struct writer *w, bool *empty)
{
    if (!*empty)
        put(w, ",", 1);
    *empty = false;
    put_line(w);
}

/* Names in tables are plain words. */
static void put_name(struct writer *w, const char *name)
{
    put(w, "\"", 1);
    put_word(w, name);
    put_word(w, w->indent ? "\": " : "\":");
}

/* --- values ---------------------------------------------------------------------------- */

/* Whatever the bytes are, the answer stays valid JSON: what is not printable becomes '?'. */
static void put_text(struct writer *w, const char *text)
{
    put(w, "\"", 1);
    while (*text) {
        size_t n = text_character(text);

        if (*text == '"' || *text == '\\')
            put(w, "\\", 1);
        put(w, n ? text : "?", n ? n : 1);
        text += n ? n : 1;
    }
    put(w, "\"", 1);
}

static void put_uint(struct writer *w, uint64_t v)
{
    char buf[NUMBER_BYTES];
    size_t at = sizeof(buf);

    do
        buf[--at] = (char)('0' + v % 10);
    while (v /= 10);
    put(w, buf + at, sizeof(buf) - at);
}

static void put_int(struct writer *w, int64_t v)
{
    if (v < 0)
        put(w, "-", 1);
    put_uint(w, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

static void put_time(struct writer *w, int64_t s)
{
    char buf[STATUS_WORD_MAX];

    if (s)
        put_text(w, status_time_str(s, buf));
    else
        put_word(w, "null");
}

static void put_strings(struct writer *w, const struct status_strings *l)
{
    bool empty = true;

    open_(w, '[');
    for (size_t i = 0; i < l->n; i++) {
        next(w, &empty);
        put_text(w, l->v[i]);
    }
    close_(w, ']', empty);
}

static void put_drops(struct writer *w, const struct drop_counters *c)
{
    bool empty = true;

    open_(w, '{');
    for (int i = 0; i < DROP_COUNT; i++) {
        next(w, &empty);
        put_name(w, drop_name(i));
        put_uint(w, c->n[i]);
    }
    close_(w, '}', empty);
}

/* --- tables ---------------------------------------------------------------------------- */

static void put_object(struct writer *w, const struct field *fields, const void *base);

static void put_list(struct writer *w, const struct field *f, const void *base)
{
    const char *v = field_list(f, base);
    size_t n = field_count(f, base);
    bool empty = true;

    open_(w, '[');
    for (size_t i = 0; i < n; i++) {
        next(w, &empty);
        put_object(w, f->sub, v + i * f->size);
    }
    close_(w, ']', empty);
}

static void put_optional(struct writer *w, const struct field *f, const void *p)
{
    bool present;

    memcpy(&present, p, sizeof(present));
    if (present)
        put_object(w, f->sub, p);
    else
        put_word(w, "null");
}

/* Members are reached by memcpy: the table knows their offset and size only. */
static void put_number(struct writer *w, enum field_type type, const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    if (type == FIELD_UINT)
        put_uint(w, MIN(v, (uint64_t)INT64_MAX)); /* readers take no more */
    else if (type == FIELD_INT)
        put_int(w, (int64_t)v);
    else
        put_time(w, (int64_t)v);
}

static void put_bool(struct writer *w, const void *p)
{
    bool v;

    memcpy(&v, p, sizeof(v));
    put_word(w, v ? "true" : "false");
}

static void put_value(struct writer *w, const struct field *f, const void *base)
{
    const void *p = (const char *)base + f->offset;

    switch (f->type) {
    case FIELD_TEXT:
        put_text(w, p);
        break;
    case FIELD_UINT:
    case FIELD_INT:
    case FIELD_TIME:
        put_number(w, f->type, p);
        break;
    case FIELD_BOOL:
        put_bool(w, p);
        break;
    case FIELD_STRINGS:
        put_strings(w, p);
        break;
    case FIELD_DROPS:
        put_drops(w, p);
        break;
    case FIELD_GROUP:
        put_object(w, f->sub, base);
        break;
    case FIELD_OBJECT:
        put_object(w, f->sub, p);
        break;
    case FIELD_OPTIONAL:
        put_optional(w, f, p);
        break;
    case FIELD_LIST:
        put_list(w, f, base);
        break;
    }
}

static void put_object(struct writer *w, const struct field *fields, const void *base)
{
    bool empty = true;

    open_(w, '{');
    for (const struct field *f = fields; f->name; f++) {
        next(w, &empty);
        put_name(w, f->name);
        put_value(w, f, base);
    }
    close_(w, '}', empty);
}

char *field_json(const struct field *fields, const void *base, unsigned indent)
{
    struct writer w = {.v = malloc(FIRST_BYTES), .cap = FIRST_BYTES, .indent = indent};

    put_object(&w, fields, base);
    put(&w, "", 1);
    return w.v;
}
