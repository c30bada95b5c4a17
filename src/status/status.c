#include "status/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "status/schema.h"

enum { S_PER_DAY = 86400 };

void status_init(struct status *s)
{
    memset(s, 0, sizeof(*s));
    s->schema = STATUS_SCHEMA;
}

void status_done(struct status *s)
{
    field_release(schema_status, s);
    status_init(s);
}

int status_add_string(struct status_strings *l, const char *src)
{
    char buf[STATUS_TEXT_MAX], *copy, **v;

    status_set_text(buf, sizeof(buf), src);
    copy = strdup(buf);
    v = copy ? realloc(l->v, (l->n + 1) * sizeof(*v)) : NULL;
    if (!v) {
        free(copy);
        return -ENOMEM;
    }
    l->v = v;
    v[l->n++] = copy;
    return 0;
}

struct status_peer *status_make_peers(struct status *s, size_t n)
{
    s->peers = n ? calloc(n, sizeof(*s->peers)) : NULL;
    s->n_peers = s->peers ? n : 0;
    return s->peers;
}

struct status_absent *status_make_absent(struct status *s, size_t n)
{
    s->absent = n ? calloc(n, sizeof(*s->absent)) : NULL;
    s->n_absent = s->absent ? n : 0;
    return s->absent;
}

struct status_path *status_make_paths(struct status_path **v, size_t *ret_n, size_t n)
{
    *v = n ? calloc(n, sizeof(**v)) : NULL;
    *ret_n = *v ? n : 0;
    return *v;
}

struct status_lane *status_make_lanes(struct status_path *p, size_t n)
{
    p->each_lane = n ? calloc(n, sizeof(*p->each_lane)) : NULL;
    p->n_each_lane = p->each_lane ? n : 0;
    return p->each_lane;
}

struct status_step *status_make_steps(struct status_path *p, size_t n)
{
    p->history = n ? calloc(n, sizeof(*p->history)) : NULL;
    p->n_history = p->history ? n : 0;
    return p->history;
}

bool status_expiry_str(int64_t now_s, int64_t until_s, char buf[static STATUS_TEXT_MAX])
{
    char when[STATUS_WORD_MAX], left[STATUS_WORD_MAX];
    int64_t left_s = until_s - now_s;
    int days = (int)(left_s / S_PER_DAY);

    status_time_str(until_s, when);
    if (left_s >= (int64_t)STATUS_EXPIRY_WARN_DAYS * S_PER_DAY)
        return false;
    if (left_s < 0)
        snprintf(buf, STATUS_TEXT_MAX, "has expired at %s", when);
    else if (days > 1)
        snprintf(buf, STATUS_TEXT_MAX, "expires in %d days, at %s", days, when);
    else
        snprintf(buf, STATUS_TEXT_MAX, "expires in %s, at %s",
                 status_duration_str((uint64_t)left_s, left), when);
    return true;
}

int status_note_expiry(struct status *s, struct status_cert *cert, const char *whose)
{
    int64_t left_s = cert->not_after_s - s->now_s;
    char text[STATUS_TEXT_MAX], buf[STATUS_WORD_MAX], how[STATUS_TEXT_MAX];

    /* rounded down, so that -1 is expired and 0 is today */
    cert->days_left = left_s >= 0 ? left_s / S_PER_DAY : -((-left_s + S_PER_DAY - 1) / S_PER_DAY);
    if (cert->not_before_s > s->now_s)
        snprintf(text, sizeof(text), "%s is not valid before %s", whose,
                 status_time_str(cert->not_before_s, buf));
    else if (status_expiry_str(s->now_s, cert->not_after_s, how))
        snprintf(text, sizeof(text), "%s %.100s", whose, how);
    else
        return 0;
    return status_add_string(&s->warnings, text);
}

bool status_is_up(const struct status *s)
{
    return !strcmp(s->state, "up") || !strcmp(s->state, "listening");
}

char *status_json(const struct status *s, unsigned indent)
{
    return field_json(schema_status, s, indent);
}

char *status_peers_json(const struct status *s, unsigned indent)
{
    return field_json(schema_peers, s, indent);
}

char *status_paths_json(const struct status *s, unsigned indent)
{
    return field_json(schema_paths, s, indent);
}

int status_from_json(const char *text, size_t len, struct status *ret)
{
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    int rv = -EINVAL;

    status_init(ret);
    if (json_is_integer(json_object_get(object, "schema")))
        rv = field_decode(schema_status, object, ret);
    json_decref(object);
    if (rv)
        status_done(ret);
    return rv;
}
