#include "status/reload.h"

#include <errno.h>
#include <string.h>

#include "status/field.h"

#define MEMBER(m)                                             \
    .name = #m, .offset = offsetof(struct reload_outcome, m), \
    .size = sizeof(((struct reload_outcome *)0)->m)

static const struct field schema[] = {
    {MEMBER(instance), .type = FIELD_TEXT, .text = "name of the instance"},
    {MEMBER(result), .type = FIELD_TEXT, .text = "what came of it"},
    {MEMBER(changed), .type = FIELD_STRINGS, .text = "keys and files that have changed"},
    {MEMBER(restart), .type = FIELD_STRINGS, .text = "keys that need a restart"},
    {MEMBER(problems), .type = FIELD_STRINGS, .text = "errors and warnings"},
    {MEMBER(notes), .type = FIELD_STRINGS, .text = "what followed"},
    {0},
};

static const char *const names[RELOAD_RESULT_COUNT] = {
#define X(sym, name, what) [sym] = name,
    RELOAD_RESULTS(X)
#undef X
};

static const char *const meanings[RELOAD_RESULT_COUNT] = {
#define X(sym, name, what) [sym] = what,
    RELOAD_RESULTS(X)
#undef X
};

const char *reload_result_name(enum reload_result r)
{
    return (unsigned)r < RELOAD_RESULT_COUNT ? names[r] : "?";
}

void reload_outcome_set(struct reload_outcome *o, enum reload_result r)
{
    status_set_text(o->result, sizeof(o->result), reload_result_name(r));
}

enum reload_result reload_outcome_result(const struct reload_outcome *o)
{
    for (int i = 0; i < RELOAD_RESULT_COUNT; i++)
        if (!strcmp(o->result, names[i]))
            return (enum reload_result)i;
    return RELOAD_FAILED;
}

char *reload_outcome_json(const struct reload_outcome *o)
{
    return field_json(schema, o, 0);
}

int reload_outcome_from_json(const char *text, size_t len, struct reload_outcome *ret)
{
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    int rv = -EINVAL;

    memset(ret, 0, sizeof(*ret));
    if (json_is_string(json_object_get(object, "result")))
        rv = field_decode(schema, object, ret);
    json_decref(object);
    if (rv)
        reload_outcome_done(ret);
    return rv;
}

static void write_lines(const char *head, const struct status_strings *l, FILE *out)
{
    for (size_t i = 0; i < l->n; i++)
        fprintf(out, "%s%s\n", head, l->v[i]);
}

static void write_joined(const char *head, const struct status_strings *l, FILE *out)
{
    for (size_t i = 0; i < l->n; i++)
        fprintf(out, "%s%s%s", i ? ", " : head, l->v[i], i + 1 == l->n ? "\n" : "");
}

void reload_outcome_write(const struct reload_outcome *o, FILE *out)
{
    enum reload_result r = reload_outcome_result(o);

    write_lines("", &o->problems, out);
    fprintf(out, "%s: %s: %s\n", o->instance, o->result, meanings[r]);
    if (r == RELOAD_APPLIED)
        write_joined("  changed: ", &o->changed, out);
    if (r == RELOAD_RESTART) {
        write_joined("  needs a restart: ", &o->restart, out);
        fprintf(out, "  restart the instance to apply: systemctl restart mpquic@%s\n", o->instance);
    }
    write_lines("  ", &o->notes, out);
}

void reload_outcome_done(struct reload_outcome *o)
{
    field_release(schema, o);
    memset(o, 0, sizeof(*o));
}
