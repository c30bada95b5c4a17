#include "wan/delegation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "wan/statefile.h"

static struct delegation *find(struct delegations *d, const char *device)
{
    for (unsigned i = 0; i < d->n; i++)
        if (!strcmp(d->v[i].device, device))
            return &d->v[i];
    return NULL;
}

static bool parse_line(const char *line, struct delegation *ret)
{
    struct delegation d = {0};
    char prefix[IP_PREFIX_STR_MAX];
    int end = 0;

    if (sscanf(line, "%15s %49s %" SCNd64 "%n", d.device, prefix, &d.until_s, &end) != 3 ||
        line[end] || d.until_s < 0 || ip_prefix_parse(prefix, &d.prefix) ||
        d.prefix.addr.family != 6)
        return false;
    *ret = d;
    return true;
}

void delegations_parse(const char *text, struct delegations *ret)
{
    struct delegation d;
    char line[128];

    ret->n = 0;
    while (*text && ret->n < DELEGATIONS_MAX) {
        size_t len = strcspn(text, "\n");

        if (len < sizeof(line)) {
            memcpy(line, text, len);
            line[len] = 0;
            if (parse_line(line, &d) && !find(ret, d.device))
                ret->v[ret->n++] = d;
        }
        text += len + (text[len] == '\n');
    }
}

int delegations_read(const char *dir, struct delegations *ret)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int rv = statefile_read(dir, DELEGATION_NAME, &text, &len);

    ret->n = 0;
    if (rv)
        return rv == -ENOENT ? 0 : rv;
    delegations_parse(text, ret);
    return 0;
}

const struct delegation *delegations_find(const struct delegations *d, const char *device,
                                          int64_t now_s)
{
    for (unsigned i = 0; i < d->n; i++)
        if (!strcmp(d->v[i].device, device) && (!d->v[i].until_s || now_s < d->v[i].until_s))
            return &d->v[i];
    return NULL;
}

static int write_all(const char *dir, const struct delegations *d)
{
    char text[DELEGATIONS_MAX * 96], prefix[IP_PREFIX_STR_MAX];
    size_t len = 0;

    for (unsigned i = 0; i < d->n; i++)
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, "%s %s %" PRId64 "\n", d->v[i].device,
                             ip_prefix_str(&d->v[i].prefix, prefix), d->v[i].until_s);
    return statefile_write(dir, DELEGATION_NAME, text, len);
}

int delegations_set(const char *dir, const char *device, const struct ip_prefix *prefix,
                    int64_t until_s)
{
    struct delegations d;
    struct delegation *was;
    int rv = delegations_read(dir, &d);

    if (rv)
        return rv;
    was = find(&d, device);
    if (!prefix && !was)
        return 0;
    if (prefix && was && ip_prefix_equal(&was->prefix, prefix) && was->until_s == until_s)
        return 0;
    if (!was && d.n == DELEGATIONS_MAX)
        return -ENOSPC;
    if (!was) {
        was = &d.v[d.n];
        if (snprintf(was->device, sizeof(was->device), "%s", device) >= (int)sizeof(was->device))
            return -ENAMETOOLONG;
        d.n++;
    }
    if (prefix) {
        was->prefix = ip_prefix_network(prefix);
        was->until_s = until_s;
    } else {
        *was = d.v[--d.n];
    }
    rv = write_all(dir, &d);
    return rv ? rv : 1;
}
