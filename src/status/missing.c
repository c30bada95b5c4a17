/* The table of peers that are not there. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "status/missing.h"

enum { CELL_MAX = 160 };

static void cell_name(const struct status_absent *a, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", a->name);
}

static void cell_instance(const struct status_absent *a, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", a->instance);
}

static void cell_seen(const struct status_absent *a, char *buf)
{
    char span[STATUS_WORD_MAX];

    if (a->last_seen_s)
        snprintf(buf, CELL_MAX, "%s ago", status_duration_str(a->gone_s, span));
    else
        snprintf(buf, CELL_MAX, "not since the start");
}

static void cell_remote(const struct status_absent *a, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", a->remote);
}

static void cell_cert(const struct status_absent *a, char *buf)
{
    char when[STATUS_WORD_MAX];

    if (a->cert_until_s)
        snprintf(buf, CELL_MAX, "%s", status_time_str(a->cert_until_s, when));
}

static void cell_reason(const struct status_absent *a, char *buf)
{
    snprintf(buf, CELL_MAX, "%.150s", a->reason);
}

static const struct column {
    const char *title;
    void (*cell)(const struct status_absent *a, char *buf);
} columns[] = {
    {"ABSENT", cell_name},        {"INSTANCE", cell_instance},      {"LAST SEEN", cell_seen},
    {"LAST REMOTE", cell_remote}, {"CERTIFICATE UNTIL", cell_cert}, {"WHY", cell_reason},
};

static void fill(const struct column *c, const struct status_absent *a, char buf[CELL_MAX])
{
    buf[0] = 0;
    c->cell(a, buf);
    if (!*buf)
        snprintf(buf, CELL_MAX, "-");
}

void missing_write(const struct status *s, unsigned indent, FILE *out)
{
    size_t width[ARRAY_LEN(columns)];
    char buf[CELL_MAX];

    for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
        width[k] = strlen(columns[k].title);
        for (size_t i = 0; i < s->n_absent; i++) {
            fill(&columns[k], &s->absent[i], buf);
            width[k] = MAX(width[k], strlen(buf));
        }
    }
    for (size_t i = 0; i <= s->n_absent; i++) { /* the titles first */
        fprintf(out, "%*s", (int)indent, "");
        for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
            bool last = k + 1 == ARRAY_LEN(columns);

            if (i)
                fill(&columns[k], &s->absent[i - 1], buf);
            fprintf(out, "%s%-*s", k ? "  " : "", last ? 0 : (int)width[k],
                    i ? buf : columns[k].title);
        }
        fputc('\n', out);
    }
}
