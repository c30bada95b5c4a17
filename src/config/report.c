#include "config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Room for one more problem at the end. Room doubles, so there is none left whenever their number
 * is a power of two. */
static bool report_grow(struct config_report *r)
{
    struct config_problem *v;

    if (r->n >= CONFIG_PROBLEMS_MAX)
        return false;
    if (r->n & (r->n - 1))
        return true;
    v = realloc(r->v, MAX(2 * r->n, 1) * sizeof(*v));
    if (!v)
        return false;
    r->v = v;
    return true;
}

/* Make room for one more problem at its place in the order. NULL when there is none. */
static struct config_problem *report_insert(struct config_report *r, struct config_where at)
{
    struct config_problem *v;
    size_t i = r->n;

    if (!report_grow(r))
        return NULL;
    v = r->v;
    while (i &&
           (v[i - 1].line > at.line || (v[i - 1].line == at.line && v[i - 1].column > at.column)))
        i--;
    memmove(v + i + 1, v + i, (r->n - i) * sizeof(*v));
    r->n++;
    memset(&v[i], 0, sizeof(v[i]));
    v[i].line = at.line;
    v[i].column = at.column;
    return &v[i];
}

void report_add(struct config_report *r, bool fatal, struct config_where at, const char *hint,
                const char *fmt, ...)
{
    struct config_problem *p = report_insert(r, at);
    va_list ap;

    r->n_errors += fatal;
    if (!p)
        return;
    p->fatal = fatal;
    snprintf(p->hint, sizeof(p->hint), "%s", hint ? hint : "");
    va_start(ap, fmt);
    vsnprintf(p->text, sizeof(p->text), fmt, ap);
    va_end(ap);
}

void report_add_kind(struct config_report *r, enum config_problem_kind kind, struct config_where at,
                     const char *hint, const char *text)
{
    struct config_problem *p = report_insert(r, at);

    r->n_errors++;
    if (!p)
        return;
    p->kind = kind;
    p->fatal = true;
    snprintf(p->hint, sizeof(p->hint), "%s", hint);
    snprintf(p->text, sizeof(p->text), "%s", text);
}

const char *report_quote(const char *s, size_t len, char buf[static REPORT_QUOTE_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';
        size_t need = plain ? 1 : 4;

        /* the last byte of the text may use the room kept for "..." */
        if (n + need + (i + 1 < len ? 4 : 1) > REPORT_QUOTE_MAX) {
            memcpy(buf + n, "...", 4);
            return buf;
        }
        if (plain)
            buf[n] = (char)c;
        else
            snprintf(buf + n, 5, "\\x%02x", c);
        n += need;
    }
    buf[n] = 0;
    return buf;
}

void config_report_write(const struct config_report *report, const char *file, FILE *out)
{
    for (size_t i = 0; i < report->n; i++) {
        const struct config_problem *p = &report->v[i];

        if (p->line)
            fprintf(out, "%s:%u:%u: ", file, p->line, p->column);
        else
            fprintf(out, "%s: ", file);
        fprintf(out, "%s: %s%s%s\n", p->fatal ? "error" : "warning", p->text,
                p->hint[0] ? "; " : "", p->hint);
    }
    if (report->n >= CONFIG_PROBLEMS_MAX)
        fprintf(out, "%s: error: too many problems; the rest is not shown\n", file);
}

void config_report_done(struct config_report *report)
{
    free(report->v);
    *report = (struct config_report){0};
}
