/* YAML text as a small tree that keeps the line and column of every value.
 *
 * Only what a configuration needs: one document of mappings, lists and plain or quoted scalars.
 * Anchors, aliases, tags, duplicate keys and keys that are not scalars are refused with a
 * problem at their place, and the value concerned is marked bad, so that the rest of the file
 * is still read. Depth and number of values are bounded. */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/hmap.h"
#include "config/config.h"

enum { YAML_DEPTH_MAX = 8, YAML_VALUES_MAX = 32768 };

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAP };

struct yaml_value {
    enum yaml_kind kind;
    bool bad;    /* a problem is reported for it already: do not look inside */
    bool quoted; /* scalar in quotes or as a block */
    struct config_where at;
    char *text; /* scalar: UTF-8, NUL-terminated; may hold NULs before len */
    size_t len;
    struct yaml_value *child; /* first element; of a map: key, value, key, value ... */
    struct yaml_value *next;  /* next element of the same parent */

    struct yaml_value *last;     /* last child; used while building */
    const struct yaml_value *of; /* of a key: its map; used while building, as is node */
    struct hmap_node node;
    struct yaml_value *made_before;
    size_t n; /* number of children */
};

struct yaml_tree {
    struct yaml_value *root;      /* NULL when the text holds no document */
    bool complete;                /* false: a syntax error or a bound ended the reading */
    struct yaml_value *made_last; /* every value, for yaml_tree_done() */
    size_t n_values;
};

/* Read text into *ret (to be released with yaml_tree_done() in every case), adding problems to
 * the report. Returns 0 (also when problems were found) or -ENOMEM. */
int yaml_tree_parse(const char *text, size_t len, struct yaml_tree *ret,
                    struct config_report *report);

void yaml_tree_done(struct yaml_tree *t);

/* True for a scalar that says "nothing": empty, ~ or null, not in quotes. */
bool yaml_value_is_null(const struct yaml_value *v);

#endif
