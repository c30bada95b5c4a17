#include "peer/past.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { ROOM_MIN = 16 };

void past_done(struct past *p)
{
    free(p->v);
    *p = (struct past){0};
}

static struct hub_absent_info *find(const struct past *p, const struct hub_peer_id *id)
{
    for (unsigned i = 0; i < p->n; i++)
        if (!strcmp(p->v[i].id.name, id->name) && !strcmp(p->v[i].id.instance, id->instance))
            return &p->v[i];
    return NULL;
}

static struct hub_absent_info *oldest(const struct past *p)
{
    struct hub_absent_info *found = &p->v[0];

    for (unsigned i = 1; i < p->n; i++)
        if (p->v[i].gone_ns < found->gone_ns)
            found = &p->v[i];
    return found;
}

static struct hub_absent_info *place_for(struct past *p, const struct hub_peer_id *id)
{
    struct hub_absent_info *e = find(p, id), *grown;
    unsigned room;

    if (e)
        return e;
    if (p->n == PAST_MAX)
        return oldest(p);
    if (p->n == p->room) {
        room = MIN(MAX(2 * p->room, (unsigned)ROOM_MIN), (unsigned)PAST_MAX);
        grown = reallocarray(p->v, room, sizeof(*grown));
        if (!grown)
            return NULL;
        p->v = grown;
        p->room = room;
    }
    return &p->v[p->n++];
}

void past_add(struct past *p, const struct hub_absent_info *info)
{
    struct hub_absent_info *e = place_for(p, &info->id);

    if (e)
        *e = *info;
}

void past_remove(struct past *p, const struct hub_peer_id *id)
{
    struct hub_absent_info *e = find(p, id);

    if (e)
        *e = p->v[--p->n];
}
