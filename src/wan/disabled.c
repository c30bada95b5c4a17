#include "wan/disabled.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

enum { FILE_PATH_MAX = 512, LINE_BYTES = CONFIG_PATH_NAME_MAX + 32 };

const struct disabled_link *disabled_find(const struct disabled *d, const char *name)
{
    for (unsigned i = 0; i < d->n; i++)
        if (!strcmp(d->v[i].name, name))
            return &d->v[i];
    return NULL;
}

/* "NAME SECONDS\n" */
static bool parse_line(char *line, struct disabled_link *ret)
{
    char *space = strchr(line, ' '), *end;
    size_t len = space ? (size_t)(space - line) : 0;

    if (!len || len >= sizeof(ret->name))
        return false;
    *space = 0;
    memcpy(ret->name, line, len + 1);
    ret->since_s = strtoll(space + 1, &end, 10);
    return end != space + 1 && *end == '\n' && ret->since_s >= 0;
}

int disabled_read(const char *file, struct disabled *ret)
{
    struct disabled_link l;
    char line[LINE_BYTES];
    FILE *f = fopen(file, "re");
    int rv = 0;

    ret->n = 0;
    if (!f)
        return errno == ENOENT ? 0 : -errno;
    while (fgets(line, sizeof(line), f))
        if (ret->n < DISABLED_MAX && parse_line(line, &l) && !disabled_find(ret, l.name))
            ret->v[ret->n++] = l;
    if (ferror(f)) {
        rv = -EIO;
        ret->n = 0;
    }
    fclose(f);
    return rv;
}

static int write_all(const char *file, const struct disabled *d)
{
    FILE *f = fopen(file, "we");
    int rv;

    if (!f)
        return -errno;
    for (unsigned i = 0; i < d->n; i++)
        fprintf(f, "%s %" PRId64 "\n", d->v[i].name, d->v[i].since_s);
    rv = fflush(f) || fsync(fileno(f)) ? -errno : 0;
    return fclose(f) && !rv ? -errno : rv;
}

int disabled_set(const char *file, const char *name, bool off, int64_t now_s)
{
    char next[FILE_PATH_MAX];
    struct disabled d;
    const struct disabled_link *l;
    int rv = disabled_read(file, &d);

    if (rv)
        return rv;
    l = disabled_find(&d, name);
    if (!l == !off)
        return 0;
    if (l) {
        d.v[l - d.v] = d.v[d.n - 1];
        d.n--;
    } else {
        if (d.n == DISABLED_MAX)
            return -ENOSPC;
        if (snprintf(d.v[d.n].name, sizeof(d.v->name), "%s", name) >= (int)sizeof(d.v->name))
            return -ENAMETOOLONG;
        d.v[d.n++].since_s = now_s;
    }
    if (snprintf(next, sizeof(next), "%s.new", file) >= (int)sizeof(next))
        return -ENAMETOOLONG;
    rv = write_all(next, &d);
    if (!rv && rename(next, file))
        rv = -errno;
    if (rv)
        unlink(next);
    return rv ? rv : 1;
}
