#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/schema.h"
#include "config/value.h"

/* ---- YAML out ---- */

/* Can text stand without quotes? Only what cannot be mistaken for anything else. */
static bool is_plain(const char *s)
{
    size_t len = strlen(s);

    if (!len || !strcasecmp(s, "null") || s[len - 1] == ':')
        return false;
    if (!strchr("/:", *s) && !(*s >= '0' && *s <= '9') &&
        !((*s | 0x20) >= 'a' && (*s | 0x20) <= 'z'))
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:._-")] == 0;
}

/* Decode one UTF-8 character at s (valid, as the parser let it in). Returns its length. */
static unsigned decode_utf8(const unsigned char *s, uint32_t *ret)
{
    unsigned n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);

    for (unsigned i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            *ret = 0xfffd;
            return i;
        }
        c = c << 6 | (s[i] & 0x3f);
    }
    *ret = c;
    return n;
}

/* In double quotes; whatever is not printable ASCII as an escape, so that no line break of
 * Unicode is folded on the way back. */
static void write_scalar(FILE *f, const char *s)
{
    uint32_t c;

    if (is_plain(s)) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    while (*s) {
        s += decode_utf8((const unsigned char *)s, &c);
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", (int)c);
        else if (c >= 0x20 && c < 0x7f)
            fputc((int)c, f);
        else
            fprintf(f, c > 0xffff ? "\\U%08X" : "\\u%04X", c);
    }
    fputc('"', f);
}

/* ---- walking the schema ---- */

static void write_section(FILE *f, const struct config_section *s, unsigned roles,
                          const void *object, const char *first, const char *indent);

static void write_key(FILE *f, const struct config_key *k, const void *object, const char *indent)
{
    unsigned n = config_key_count(k, object);
    char text[VALUE_TEXT_MAX];

    if (k->type == CONFIG_TYPE_SECTION) {
        fprintf(f, "%s:\n", k->name);
        for (unsigned i = 0; i < n; i++)
            write_section(f, k->section, CONFIG_FOR_BOTH, config_key_value(k, object, i), "  - ",
                          "    ");
        return;
    }
    fprintf(f, "%s:", k->name);
    if (!n)
        fprintf(f, " %s", k->zero_word);
    for (unsigned i = 0; i < n; i++) {
        if (n > 1)
            fprintf(f, "\n%s  -", indent);
        fputc(' ', f);
        write_scalar(f, value_print(k, config_key_value(k, object, i), text));
    }
    fputc('\n', f);
}

static bool is_unset(const struct config_key *k, const void *object)
{
    char text[VALUE_TEXT_MAX];

    if (k->list_max)
        return !config_key_count(k, object) && !k->zero_word;
    return !*value_print(k, config_key_value(k, object, 0), text);
}

/* The keys of one mapping; first stands before the first of them, indent before the others. */
static void write_section(FILE *f, const struct config_section *s, unsigned roles,
                          const void *object, const char *first, const char *indent)
{
    const char *lead = first;

    for (unsigned i = 0; i < s->n_keys; i++) {
        const struct config_key *k = &s->keys[i];

        if (!(k->roles & roles))
            continue;
        if (!is_unset(k, object)) {
            fputs(lead, f);
            write_key(f, k, object, indent);
            lead = indent;
        } else if (k->unset) {
            fprintf(f, "%s# %s: not set (%s)\n", indent, k->name, k->unset);
        }
    }
}

char *config_print(const struct tunnel_config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    bool failed;

    if (!f)
        return NULL;
    write_section(f, &config_schema, 1u << c->role, c, "", "");
    failed = ferror(f);
    if (fclose(f) || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- comparing: two values are equal when they print the same ---- */

static bool section_equal(const struct config_section *s, const void *a, const void *b);

static bool key_equal(const struct config_key *k, const void *a, const void *b)
{
    char ta[VALUE_TEXT_MAX], tb[VALUE_TEXT_MAX];
    unsigned n = config_key_count(k, a);

    if (n != config_key_count(k, b))
        return false;
    for (unsigned i = 0; i < n; i++) {
        const void *va = config_key_value(k, a, i), *vb = config_key_value(k, b, i);

        if (k->type == CONFIG_TYPE_SECTION
                ? !section_equal(k->section, va, vb)
                : strcmp(value_print(k, va, ta), value_print(k, vb, tb)) != 0)
            return false;
    }
    return true;
}

static bool section_equal(const struct config_section *s, const void *a, const void *b)
{
    for (unsigned i = 0; i < s->n_keys; i++)
        if (!key_equal(&s->keys[i], a, b))
            return false;
    return true;
}

struct config_diff config_diff(const struct tunnel_config *a, const struct tunnel_config *b)
{
    struct config_diff d = {0};

    for (unsigned i = 0; i < config_schema.n_keys; i++) {
        const struct config_key *k = &config_schema.keys[i];

        if (key_equal(k, a, b))
            continue;
        d.changed |= 1ull << i;
        if (!k->live)
            d.fixed |= 1ull << i;
    }
    return d;
}

bool config_equal(const struct tunnel_config *a, const struct tunnel_config *b)
{
    return !config_diff(a, b).changed;
}

const char *config_key_names(uint64_t keys, char *buf, size_t size)
{
    size_t n = 0;

    if (size)
        *buf = 0;
    for (unsigned i = 0; i < config_schema.n_keys && n < size; i++)
        if (keys & 1ull << i)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "",
                                  config_schema.keys[i].name);
    return buf;
}
