#include "nft/carry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line without the white space around it. */
struct line {
    const char *s;
    size_t len;
};

/* `chain NAME {`, and what is within. */
struct block {
    struct line kind, name;
    const char *body, *end;
};

static bool next_line(const char **at, struct line *ret)
{
    const char *s = *at, *e;

    if (!*s)
        return false;
    e = strchrnul(s, '\n');
    *at = *e ? e + 1 : e;
    while (s < e && (*s == ' ' || *s == '\t'))
        s++;
    while (e > s && (e[-1] == ' ' || e[-1] == '\t'))
        e--;
    *ret = (struct line){s, (size_t)(e - s)};
    return true;
}

static bool line_equal(const struct line *a, const struct line *b)
{
    return a->len == b->len && !memcmp(a->s, b->s, a->len);
}

static bool line_is(const struct line *l, const char *s)
{
    return l->len == strlen(s) && !memcmp(l->s, s, l->len);
}

/* The two words before `{`. */
static bool block_begin(const struct line *l, struct block *ret)
{
    const char *space = memchr(l->s, ' ', l->len), *end = l->s + l->len;

    if (!space || l->len < 5 || end[-1] != '{' || end[-2] != ' ')
        return false;
    ret->kind = (struct line){l->s, (size_t)(space - l->s)};
    ret->name = (struct line){space + 1, (size_t)(end - 2 - (space + 1))};
    return end - 2 > space && !memchr(ret->name.s, ' ', ret->name.len);
}

/* The next block within the table. A rule with braces of its own is one line that does not begin
 * one. */
static bool next_block(const char **at, struct block *ret)
{
    struct line l;

    while (next_line(at, &l)) {
        if (!block_begin(&l, ret))
            continue;
        ret->body = ret->end = *at;
        while (next_line(at, &l) && !line_is(&l, "}"))
            ret->end = *at;
        return true;
    }
    return false;
}

/* Past the line `table ... {`. */
static const char *inside(const char *text)
{
    const char *at = strchr(text, '{');

    return at ? strchrnul(at, '\n') : "";
}

static bool find_block(const char *text, const struct block *like, struct block *ret)
{
    const char *at = inside(text);

    while (next_block(&at, ret))
        if (line_equal(&ret->kind, &like->kind) && line_equal(&ret->name, &like->name))
            return true;
    return false;
}

static bool body_line(const struct block *b, const char **at, struct line *ret)
{
    while (*at < b->end && next_line(at, ret))
        if (ret->len)
            return true;
    return false;
}

/* `type filter hook ...`, of a chain that is at a hook. */
static struct line hook_of(const struct block *b)
{
    const char *at = b->body;
    struct line l;

    if (body_line(b, &at, &l) && l.len > 5 && !memcmp(l.s, "type ", 5))
        return l;
    return (struct line){"", 0};
}

static bool same_body(const struct block *a, const struct block *b)
{
    const char *x = a->body, *y = b->body;
    struct line l, m;
    bool more, other;

    for (;;) {
        more = body_line(a, &x, &l);
        other = body_line(b, &y, &m);
        if (!more || !other)
            return more == other;
        if (!line_equal(&l, &m))
            return false;
    }
}

/* A chain stays when it is at the same hook; its rules are all new. */
static bool stays(const struct block *was, const char *text)
{
    struct block now;
    struct line a, b;

    if (!find_block(text, was, &now))
        return false;
    if (!line_is(&was->kind, "chain"))
        return same_body(was, &now);
    a = hook_of(was);
    b = hook_of(&now);
    return line_equal(&a, &b);
}

static void write_deletes(FILE *out, const char *table, const char *listing, const char *text,
                          bool chains)
{
    const char *at = inside(listing);
    struct block b;

    while (next_block(&at, &b))
        if (line_is(&b.kind, "chain") == chains && !stays(&b, text))
            fprintf(out, "delete %.*s %s %.*s\n", (int)b.kind.len, b.kind.s, table, (int)b.name.len,
                    b.name.s);
}

int carry_commands(const char *table, const char *listing, const char *text, char **ret)
{
    size_t len = 0;
    char *buf = NULL;
    FILE *out = open_memstream(&buf, &len);

    if (!out)
        return -ENOMEM;
    fprintf(out, "flush table %s\n", table);
    write_deletes(out, table, listing, text, true);
    write_deletes(out, table, listing, text, false);
    if (fclose(out)) {
        free(buf);
        return -ENOMEM;
    }
    *ret = buf;
    return 0;
}
