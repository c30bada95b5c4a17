#include "cli/findings.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

const char *finding_level_name(enum finding_level l)
{
    static const char *const names[FINDING_LEVEL_COUNT] = {
#define X(sym, name) [sym] = (name),
        FINDING_LEVELS(X)
#undef X
    };

    return (unsigned)l < FINDING_LEVEL_COUNT ? names[l] : "?";
}

static struct finding *next(struct findings *f)
{
    if (f->n == f->room) {
        unsigned room = f->room ? 2 * f->room : 64;
        struct finding *v = room <= FINDINGS_MAX ? realloc(f->v, room * sizeof(*v)) : NULL;

        if (!v) {
            f->lost = true;
            return NULL;
        }
        f->v = v;
        f->room = room;
    }
    return &f->v[f->n++];
}

void findings_add(struct findings *f, enum finding_level level, const char *check,
                  const char *subject, const char *remedy, const char *fmt, ...)
{
    struct finding *v = next(f);
    va_list ap;

    if (!v)
        return;
    *v = (struct finding){
        .level = level, .check = check, .remedy = level == FINDING_OK ? NULL : remedy};
    snprintf(v->subject, sizeof(v->subject), "%s", subject);
    va_start(ap, fmt);
    vsnprintf(v->text, sizeof(v->text), fmt, ap);
    va_end(ap);
}

void findings_done(struct findings *f)
{
    free(f->v);
    *f = (struct findings){0};
}

enum finding_level findings_worst(const struct findings *f)
{
    enum finding_level worst = f->lost ? FINDING_FAILED : FINDING_OK;

    for (unsigned i = 0; i < f->n; i++)
        if (f->v[i].level > worst)
            worst = f->v[i].level;
    return worst;
}

void findings_write(const struct findings *f, bool all, FILE *out)
{
    for (unsigned i = 0; i < f->n; i++) {
        const struct finding *v = &f->v[i];

        if (v->level == FINDING_OK && !all)
            continue;
        fprintf(out, "%-8s %s%s%s: %s\n", finding_level_name(v->level), v->check,
                *v->subject ? " " : "", v->subject, v->text);
        if (v->remedy)
            fprintf(out, "         -> %s\n", v->remedy);
    }
    if (f->lost)
        fprintf(out, "%-8s more than can be listed\n", finding_level_name(FINDING_FAILED));
}

json_t *findings_json(const struct findings *f)
{
    json_t *all = json_array();

    for (unsigned i = 0; i < f->n; i++) {
        const struct finding *v = &f->v[i];

        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:s, s:s?}", "check", v->check, "subject",
                                        v->subject, "level", finding_level_name(v->level), "text",
                                        v->text, "remedy", v->remedy));
    }
    return all;
}
