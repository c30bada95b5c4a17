#include "config/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "base/util.h"
#include "config/report.h"

/* libyaml turns text into events; build() hangs each value under the innermost open list or
 * map. The reading stops at the first syntax error and at a bound; everything up to there
 * stays in the tree. */
struct builder {
    struct yaml_tree *tree;
    struct config_report *report;
    struct hmap keys;                        /* of all maps */
    struct yaml_value *open[YAML_DEPTH_MAX]; /* from the root inwards */
    unsigned depth;
    unsigned n_documents;
    bool stop;
    int err;
};

static struct config_where where_of(const yaml_mark_t *m)
{
    return (struct config_where){(unsigned)m->line + 1, (unsigned)m->column + 1};
}

static struct yaml_value *value_new(struct builder *b, enum yaml_kind kind, const yaml_mark_t *mark)
{
    struct yaml_value *v;

    if (b->tree->n_values >= YAML_VALUES_MAX) {
        report_add(b->report, true, where_of(mark), NULL, "the file holds more than %d values",
                   YAML_VALUES_MAX);
        b->stop = true;
        return NULL;
    }
    v = calloc(1, sizeof(*v));
    if (!v) {
        b->err = -ENOMEM;
        b->stop = true;
        return NULL;
    }
    v->kind = kind;
    v->at = where_of(mark);
    v->made_before = b->tree->made_last;
    b->tree->made_last = v;
    b->tree->n_values++;
    return v;
}

static bool same_text(const struct yaml_value *a, const struct yaml_value *b)
{
    return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

/* FNV-1a, of the map too: the same name is a key of many of them. */
static uint64_t key_hash(const struct yaml_value *map, const struct yaml_value *key)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uintptr_t)map;

    for (size_t i = 0; i < key->len; i++)
        h = (h ^ (unsigned char)key->text[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* Enter a key. Returns the one of this name that its map has already, or NULL. */
static const struct yaml_value *enter_key(struct builder *b, const struct yaml_value *map,
                                          struct yaml_value *key)
{
    uint64_t hash = key_hash(map, key);

    for (struct hmap_node *n = hmap_first(&b->keys, hash); n; n = hmap_next(n)) {
        const struct yaml_value *k = container_of(n, struct yaml_value, node);

        if (k->of == map && same_text(k, key))
            return k;
    }
    key->of = map;
    hmap_add(&b->keys, &key->node, hash);
    return NULL;
}

/* Check a new key of a map against the earlier ones. */
static void check_key(struct builder *b, const struct yaml_value *map, struct yaml_value *key)
{
    const struct yaml_value *first;
    char quote[REPORT_QUOTE_MAX], hint[64];

    if (key->bad)
        return;
    if (key->kind != YAML_KIND_SCALAR) {
        report_add(b->report, true, key->at, "write KEY: VALUE", "a key must be a plain name");
        key->bad = true;
        return;
    }
    first = enter_key(b, map, key);
    if (!first)
        return;
    snprintf(hint, sizeof(hint), "it stands in line %u already", first->at.line);
    report_add(b->report, true, key->at, hint, "duplicate key '%s'",
               report_quote(key->text, key->len, quote));
    key->bad = true;
}

/* Hang v under the innermost open value, or make it the root. */
static void attach(struct builder *b, struct yaml_value *v)
{
    struct yaml_value *parent = b->depth ? b->open[b->depth - 1] : NULL;

    if (!parent) {
        b->tree->root = v;
        return;
    }
    if (parent->kind == YAML_KIND_MAP && parent->n % 2 == 0)
        check_key(b, parent, v);
    if (parent->last)
        parent->last->next = v;
    else
        parent->child = v;
    parent->last = v;
    parent->n++;
}

static void refuse_decoration(struct builder *b, struct yaml_value *v, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (!anchor && !tag)
        return;
    report_add(b->report, true, v->at, "write the value itself", "%s are not supported",
               anchor ? "anchors (&)" : "tags (!)");
    v->bad = true;
}

static void build_scalar(struct builder *b, const yaml_event_t *e)
{
    struct yaml_value *v = value_new(b, YAML_KIND_SCALAR, &e->start_mark);

    if (!v)
        return;
    v->text = malloc(e->data.scalar.length + 1);
    if (!v->text) {
        b->err = -ENOMEM;
        b->stop = true;
        return;
    }
    memcpy(v->text, e->data.scalar.value, e->data.scalar.length);
    v->text[e->data.scalar.length] = 0;
    v->len = e->data.scalar.length;
    v->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    refuse_decoration(b, v, e->data.scalar.anchor, e->data.scalar.tag);
    attach(b, v);
}

static void build_open(struct builder *b, const yaml_event_t *e, enum yaml_kind kind)
{
    struct yaml_value *v = value_new(b, kind, &e->start_mark);
    bool map = kind == YAML_KIND_MAP;

    if (!v)
        return;
    if (b->depth == YAML_DEPTH_MAX) {
        report_add(b->report, true, v->at, NULL, "more than %d levels of nesting", YAML_DEPTH_MAX);
        b->stop = true;
        return;
    }
    refuse_decoration(b, v, map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor,
                      map ? e->data.mapping_start.tag : e->data.sequence_start.tag);
    attach(b, v);
    b->open[b->depth++] = v;
}

/* An alias stands for a value: an empty one that is not looked at takes its place. */
static void build_alias(struct builder *b, const yaml_event_t *e)
{
    struct yaml_value *v = value_new(b, YAML_KIND_SCALAR, &e->start_mark);

    if (!v)
        return;
    report_add(b->report, true, v->at, "write the value itself", "aliases (*) are not supported");
    v->bad = true;
    attach(b, v);
}

static void build(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->n_documents++) {
            report_add(b->report, true, where_of(&e->start_mark), "one file per instance",
                       "a second document starts here");
            b->stop = true;
        }
        break;
    case YAML_SCALAR_EVENT:
        build_scalar(b, e);
        break;
    case YAML_ALIAS_EVENT:
        build_alias(b, e);
        break;
    case YAML_SEQUENCE_START_EVENT:
        build_open(b, e, YAML_KIND_LIST);
        break;
    case YAML_MAPPING_START_EVENT:
        build_open(b, e, YAML_KIND_MAP);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        break;
    default:
        break;
    }
}

/* The position of a byte offset, for errors of libyaml's decoder, which have no mark. */
static struct config_where where_at_offset(const char *text, size_t len, size_t offset)
{
    struct config_where at = {1, 1};

    for (size_t i = 0; i < MIN(len, offset); i++) {
        at.column++;
        if (text[i] == '\n')
            at = (struct config_where){at.line + 1, 1};
    }
    return at;
}

static void report_syntax(struct builder *b, const yaml_parser_t *p, const char *text, size_t len)
{
    struct config_where at = where_of(&p->problem_mark);
    const char *problem = p->problem ? p->problem : "unreadable";
    const char *hint = NULL;
    char since[96] = "";

    if (p->error == YAML_READER_ERROR) {
        at = where_at_offset(text, len, p->problem_offset);
        hint = "the file must be text in UTF-8";
    } else if (p->problem_mark.index < len && text[p->problem_mark.index] == '\t') {
        hint = "indent with spaces, not with tabs";
    }
    if (p->error != YAML_READER_ERROR && p->context)
        snprintf(since, sizeof(since), " (%s, from line %zu)", p->context,
                 p->context_mark.line + 1);
    report_add(b->report, true, at, hint, "not valid YAML: %s%s", problem, since);
}

/* Some editors begin a file with the byte order mark, which in UTF-8 says nothing. */
static size_t mark_length(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t n = strlen(mark);

    return len >= n && !memcmp(text, mark, n) ? n : 0;
}

static void read_events(struct builder *b, const char *text, size_t len)
{
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser)) {
        b->err = -ENOMEM;
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (!b->stop) {
        yaml_event_t e;

        if (!yaml_parser_parse(&parser, &e)) {
            if (parser.error == YAML_MEMORY_ERROR)
                b->err = -ENOMEM;
            else
                report_syntax(b, &parser, text, len);
            break;
        }
        b->tree->complete = e.type == YAML_STREAM_END_EVENT;
        b->stop = b->tree->complete;
        build(b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
}

int yaml_tree_parse(const char *text, size_t len, struct yaml_tree *ret,
                    struct config_report *report)
{
    struct builder b = {.tree = ret, .report = report};
    size_t mark = mark_length(text, len);

    *ret = (struct yaml_tree){0};
    if (hmap_init(&b.keys))
        return -ENOMEM;
    read_events(&b, text + mark, len - mark);
    hmap_done(&b.keys);
    return b.err;
}

void yaml_tree_done(struct yaml_tree *t)
{
    while (t->made_last) {
        struct yaml_value *v = t->made_last;

        t->made_last = v->made_before;
        free(v->text);
        free(v);
    }
    *t = (struct yaml_tree){0};
}

bool yaml_value_is_null(const struct yaml_value *v)
{
    return v->kind == YAML_KIND_SCALAR && !v->quoted && v->text &&
           (!v->len || !strcmp(v->text, "~") || !strcasecmp(v->text, "null"));
}
