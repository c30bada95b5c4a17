/* JSON from a table: each member of a struct has its name, type and meaning, and one piece of code
 * writes, reads and frees whatever the table describes. */
#ifndef STATUS_FIELD_H
#define STATUS_FIELD_H

#include <jansson.h>
#include <stddef.h>

enum field_type {
    FIELD_TEXT,     /* char[size] */
    FIELD_UINT,     /* uint64_t */
    FIELD_INT,      /* int64_t */
    FIELD_BOOL,     /* bool */
    FIELD_TIME,     /* int64_t seconds since 1970, as ISO 8601 text; 0 = null */
    FIELD_STRINGS,  /* struct status_strings */
    FIELD_DROPS,    /* struct drop_counters: an object with a member for every reason */
    FIELD_GROUP,    /* members of the same struct, in an object of their own */
    FIELD_OBJECT,   /* an embedded struct of `size` bytes */
    FIELD_OPTIONAL, /* the same; its first member is bool present; false = null */
    FIELD_LIST      /* pointer to `size`-byte structs from calloc(); their number, a size_t, at
                       count_offset; at most max */
};

struct field {
    const char *name; /* NULL ends a table */
    enum field_type type;
    size_t offset, size;
    const struct field *sub; /* GROUP, OBJECT, OPTIONAL, LIST */
    size_t count_offset, max;
    const char *text; /* what it means; NULL for what holds others and needs no word */
};

/* The struct at base as JSON, to be freed: one line, or several with an indent of so many spaces;
 * no newline at the end. Texts with bytes that are not printable UTF-8 have '?' for them. NULL when
 * out of memory. */
char *field_json(const struct field *fields, const void *base, unsigned indent);

/* A LIST in the struct at base, and its number of elements. */
char *field_list(const struct field *f, const void *base);
size_t field_count(const struct field *f, const void *base);

/* Fill the zeroed struct at base. What is missing, unknown or of another type is left out.
 * Returns 0, -ENOMEM, or -E2BIG for a list longer than its bound. The caller frees what has been
 * made (field_release) in any case. */
int field_decode(const struct field *fields, const json_t *object, void *base);

/* Free what the lists hold; the struct may be used anew after zeroing. */
void field_release(const struct field *fields, void *base);

#endif
