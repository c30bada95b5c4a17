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

static unsigned element_count(const struct config_key *k, const void *object)
{
    unsigned n = 1;

    if (k->list_max)
        memcpy(&n, (const char *)object + k->count_offset, sizeof(n));
    return MIN(n, k->list_max ? k->list_max : 1);
}

static const void *element(const struct config_key *k, const void *object, unsigned i)
{
    return (const char *)object + k->offset + i * k->size;
}

static void write_section(FILE *f, const struct config_section *s, unsigned roles,
                          const void *object, const char *first, const char *indent);

static void write_key(FILE *f, const struct config_key *k, const void *object, const char *indent)
{
    unsigned n = element_count(k, object);
    char text[VALUE_TEXT_MAX];

    if (k->type == CONFIG_TYPE_SECTION) {
        fprintf(f, "%s:\n", k->name);
        for (unsigned i = 0; i < n; i++)
            write_section(f, k->section, CONFIG_FOR_BOTH, element(k, object, i), "  - ", "    ");
        return;
    }
    fprintf(f, "%s:", k->name);
    for (unsigned i = 0; i < n; i++) {
        if (n > 1)
            fprintf(f, "\n%s  -", indent);
        fputc(' ', f);
        write_scalar(f, value_print(k, element(k, object, i), text));
    }
    fputc('\n', f);
}

static bool is_unset(const struct config_key *k, const void *object)
{
    char text[VALUE_TEXT_MAX];

    if (k->list_max)
        return !element_count(k, object);
    return !*value_print(k, element(k, object, 0), text);
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

static bool section_equal(const struct config_section *s, const void *a, const void *b)
{
    char ta[VALUE_TEXT_MAX], tb[VALUE_TEXT_MAX];

    for (unsigned i = 0; i < s->n_keys; i++) {
        const struct config_key *k = &s->keys[i];
        unsigned n = element_count(k, a);

        if (n != element_count(k, b))
            return false;
        for (unsigned j = 0; j < n; j++) {
            const void *ea = element(k, a, j), *eb = element(k, b, j);

            if (k->type == CONFIG_TYPE_SECTION
                    ? !section_equal(k->section, ea, eb)
                    : strcmp(value_print(k, ea, ta), value_print(k, eb, tb)) != 0)
                return false;
        }
    }
    return true;
}

bool config_equal(const struct tunnel_config *a, const struct tunnel_config *b)
{
    return section_equal(&config_schema, a, b);
}
