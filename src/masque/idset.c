#include "masque/idset.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void idset_init(struct idset *s)
{
    s->n = 0;
}

/* The first range that ends at or behind id; s->n when there is none. */
static unsigned find(const struct idset *s, uint64_t id)
{
    unsigned i = 0;

    while (i < s->n && s->range[i].last < id)
        i++;
    return i;
}

static void remove_at(struct idset *s, unsigned i)
{
    s->n--;
    memmove(&s->range[i], &s->range[i + 1], (s->n - i) * sizeof(s->range[0]));
}

static int insert_at(struct idset *s, unsigned i, uint64_t id)
{
    if (s->n == IDSET_RANGES_MAX)
        return -ENOSPC;
    memmove(&s->range[i + 1], &s->range[i], (s->n - i) * sizeof(s->range[0]));
    s->range[i].first = s->range[i].last = id;
    s->n++;
    return 0;
}

int idset_add(struct idset *s, uint64_t id)
{
    unsigned i = find(s, id);
    /* No sum wraps: the range before ends below id, the one at i begins above it. */
    bool joins_before, joins_after;

    if (i < s->n && s->range[i].first <= id)
        return -EEXIST;
    joins_before = i > 0 && s->range[i - 1].last + 1 == id;
    joins_after = i < s->n && s->range[i].first - 1 == id;
    if (joins_before && joins_after) {
        s->range[i - 1].last = s->range[i].last;
        remove_at(s, i);
    } else if (joins_before) {
        s->range[i - 1].last = id;
    } else if (joins_after) {
        s->range[i].first = id;
    } else {
        return insert_at(s, i, id);
    }
    return 0;
}
