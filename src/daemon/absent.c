#include "daemon/absent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Whom we have seen, to be searched for by name. */
struct seen {
    const char *name, *instance;
};

static int compare(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int d = strcmp(x->name, y->name);

    return d ? d : strcmp(x->instance, y->instance);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->name, ((const struct seen *)b)->name);
}

/* An entry without instance id is for every instance of its name. */
static bool was_seen(const struct seen *v, size_t n, const struct status_absent *who)
{
    struct seen key = {who->name, who->instance};

    return n && bsearch(&key, v, n, sizeof(*v), *key.instance ? compare : compare_names);
}

static void fill(struct status_absent *a, const struct hub_absent_info *info, uint64_t now_ns,
                 int64_t now_s)
{
    char buf[NET_ADDR_STR_MAX];

    status_set_text(a->name, sizeof(a->name), info->id.name);
    status_set_text(a->instance, sizeof(a->instance), info->id.instance);
    status_set_text(a->remote, sizeof(a->remote), net_addr_str(&info->remote, buf));
    status_set_text(a->reason, sizeof(a->reason), info->why);
    a->gone_s = now_ns > info->gone_ns ? (now_ns - info->gone_ns) / NS_PER_S : 0;
    a->last_seen_s = now_s - (int64_t)a->gone_s;
    a->cert_until_s = info->cert_until_s;
}

static void fill_entry(struct status_absent *a, const struct config_peer *entry)
{
    status_set_text(a->name, sizeof(a->name), entry->name);
    status_set_text(a->instance, sizeof(a->instance), entry->instance_id);
}

/* Returns NULL when out of memory. */
static struct seen *all_seen(const struct status *s)
{
    size_t n = 0;
    struct seen *v = calloc(s->n_peers + s->n_absent + 1, sizeof(*v));

    if (!v)
        return NULL;
    for (size_t i = 0; i < s->n_peers; i++)
        v[n++] = (struct seen){s->peers[i].name, s->peers[i].instance};
    for (size_t i = 0; i < s->n_absent; i++)
        v[n++] = (struct seen){s->absent[i].name, s->absent[i].instance};
    qsort(v, n, sizeof(*v), compare);
    return v;
}

int absent_list(const struct hub *hub, const struct tunnel_config *c, uint64_t now_ns,
                struct status *s)
{
    struct hub_absent_info info;
    _cleanup_free_ struct seen *seen = NULL;
    size_t n_seen;

    if (!status_make_absent(s, hub_absentees(hub) + c->n_peers))
        return hub_absentees(hub) + c->n_peers ? -ENOMEM : 0;
    s->n_absent = 0;
    for (unsigned i = 0; hub_absent_info(hub, i, &info); i++)
        fill(&s->absent[s->n_absent++], &info, now_ns, s->now_s);
    seen = all_seen(s);
    n_seen = s->n_peers + s->n_absent;
    for (unsigned i = 0; i < c->n_peers && seen; i++) {
        struct status_absent *a = &s->absent[s->n_absent];

        fill_entry(a, &c->peers[i]);
        if (was_seen(seen, n_seen, a))
            *a = (struct status_absent){.name = ""};
        else
            s->n_absent++;
    }
    return seen ? 0 : -ENOMEM;
}
