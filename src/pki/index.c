#include "pki/index.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

enum { LINE_BYTES_MAX = 256, FIELDS = 6 };

static const char head[] = "# Certificates issued by this authority; written by mpquic pki.\n"
                           "# SERIAL KIND NAME NOT-BEFORE NOT-AFTER REVOKED\n";

const char *pki_kind_name(enum pki_kind kind)
{
    static const char *const names[PKI_KIND_COUNT] = {"ca", "server", "client", "other"};

    return (unsigned)kind < PKI_KIND_COUNT ? names[kind] : "?";
}

/* --- values ---------------------------------------------------------------------------- */

bool pki_name_ok(const char *name)
{
    size_t n = strlen(name);

    if (!n || n >= PKI_NAME_MAX || *name == '.' || *name == '-')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("._:-", *name))
            return false;
    return true;
}

int pki_serial_parse(const char *text, char ret[static PKI_SERIAL_STR_MAX])
{
    char digits[PKI_SERIAL_STR_MAX + 1];
    size_t n = 0;
    bool any = false;

    if (!strncmp(text, "0x", 2) || !strncmp(text, "0X", 2))
        text += 2;
    for (; *text; text++) {
        if (*text == ':')
            continue;
        if (!isxdigit((unsigned char)*text) || n == PKI_SERIAL_STR_MAX - 1)
            return -EINVAL;
        any = true;
        if (n || *text != '0')
            digits[n++] = (char)tolower((unsigned char)*text);
    }
    digits[n] = 0;
    if (!any)
        return -EINVAL;
    if (n % 2) { /* whole octets */
        memmove(digits + 1, digits, n + 1);
        digits[0] = '0';
    }
    memcpy(ret, n ? digits : "00", n ? n + n % 2 + 1 : 3);
    return 0;
}

const char *pki_time_str(int64_t t, char buf[static PKI_TIME_STR_MAX])
{
    time_t at = (time_t)t;
    struct tm tm;

    if (!t || !gmtime_r(&at, &tm) || !strftime(buf, PKI_TIME_STR_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(buf, PKI_TIME_STR_MAX, "-");
    return buf;
}

int pki_time_parse(const char *text, int64_t *ret)
{
    struct tm tm = {0};
    const char *end;

    if (!strcmp(text, "-")) {
        *ret = 0;
        return 0;
    }
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return -EINVAL;
    *ret = (int64_t)timegm(&tm);
    return 0;
}

/* --- the table ------------------------------------------------------------------------- */

void index_done(struct index_table *t)
{
    free(t->v);
    *t = (struct index_table){0};
}

int index_add(struct index_table *t, const struct index_entry *entry, struct pki_error *e)
{
    if (t->n == PKI_INDEX_MAX)
        return pki_error_set(e, -E2BIG, "more than %d certificates in the index", PKI_INDEX_MAX);
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 16;
        struct index_entry *v = realloc(t->v, room * sizeof(*v));

        if (!v)
            return pki_error_set(e, -ENOMEM, "out of memory");
        t->v = v;
        t->room = room;
    }
    t->v[t->n++] = *entry;
    return 0;
}

struct index_entry *index_find_serial(struct index_table *t, const char *serial)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->v[i].serial, serial))
            return &t->v[i];
    return NULL;
}

/* --- text ------------------------------------------------------------------------------ */

/* What is wrong with the line, or NULL. */
static const char *parse_entry(char *line, struct index_entry *ret)
{
    char *field[FIELDS], *save = NULL;
    unsigned n = 0, kind = 0;

    for (char *f = strtok_r(line, " \t", &save); f; f = strtok_r(NULL, " \t", &save)) {
        if (n == FIELDS)
            return "too many fields";
        field[n++] = f;
    }
    if (n < FIELDS)
        return "too few fields";
    if (pki_serial_parse(field[0], ret->serial))
        return "not a serial number";
    while (kind < PKI_KIND_COUNT && strcmp(field[1], pki_kind_name(kind)) != 0)
        kind++;
    if (kind == PKI_KIND_COUNT)
        return "no such kind of certificate";
    ret->kind = kind;
    if (strcmp(field[2], "-") != 0 && !pki_name_ok(field[2]))
        return "not a name";
    snprintf(ret->name, sizeof(ret->name), "%s", field[2]);
    if (pki_time_parse(field[3], &ret->not_before) || pki_time_parse(field[4], &ret->not_after) ||
        pki_time_parse(field[5], &ret->revoked))
        return "not a time";
    return NULL;
}

int index_parse(const char *text, size_t len, struct index_table *ret, struct pki_error *e)
{
    struct index_table t = {0};
    unsigned number = 0;

    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - (text + at)) : len - at;
        char line[LINE_BYTES_MAX];
        struct index_entry entry = {0};
        const char *wrong = n < sizeof(line) ? NULL : "too long a line";
        int rv;

        number++;
        if (!wrong) {
            memcpy(line, text + at, n);
            line[n] = 0;
            at += n + 1;
            if (!line[strspn(line, " \t\r")] || *line == '#')
                continue;
            wrong = strlen(line) < n ? "a zero byte" : parse_entry(line, &entry);
        }
        rv = wrong ? pki_error_set(e, -EINVAL, "line %u: %s", number, wrong)
                   : index_add(&t, &entry, e);
        if (rv) {
            index_done(&t);
            return rv;
        }
    }
    index_done(ret);
    *ret = t;
    return 0;
}

int index_print(const struct index_table *t, struct file_text *ret, struct pki_error *e)
{
    char from[PKI_TIME_STR_MAX], to[PKI_TIME_STR_MAX], revoked[PKI_TIME_STR_MAX];
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return pki_error_set(e, -ENOMEM, "out of memory");
    fputs(head, f);
    for (size_t i = 0; i < t->n; i++) {
        const struct index_entry *x = &t->v[i];

        fprintf(f, "%s %s %s %s %s %s\n", x->serial, pki_kind_name(x->kind), x->name,
                pki_time_str(x->not_before, from), pki_time_str(x->not_after, to),
                pki_time_str(x->revoked, revoked));
    }
    if (fclose(f)) {
        free(text);
        return pki_error_set(e, -ENOMEM, "out of memory");
    }
    file_text_done(ret);
    *ret = (struct file_text){.data = text, .len = len};
    return 0;
}
