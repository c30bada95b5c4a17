#include "wan/networkd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/util.h"

enum { FILES_MAX = 256, FILE_BYTES_MAX = 1 << 20 };

#define DROP_IN_DIR "/etc/systemd/networkd.conf.d"

/* --- one file -------------------------------------------------------------------------- */

static bool is_yes(const char *value)
{
    static const char *const no[] = {"no", "false", "0", "off", "n", "f"};

    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (!strcasecmp(value, no[i]))
            return false;
    return true; /* an empty value stands for what holds without one, which is yes */
}

/* Without the space around it, in place. */
static char *trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s))
        s++;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = 0;
    return s;
}

static bool take_line(char *line, struct networkd *n)
{
    char *equals = strchr(line, '='), *key, *value;
    bool *said;

    if (!equals)
        return false;
    *equals = 0;
    key = trim(line);
    value = trim(equals + 1);
    said = !strcmp(key, "ManageForeignRoutes")               ? &n->deletes_routes
           : !strcmp(key, "ManageForeignRoutingPolicyRules") ? &n->deletes_rules
                                                             : NULL;
    if (said)
        *said = is_yes(value);
    return said;
}

bool networkd_parse(const char *text, struct networkd *n)
{
    char *copy = strdup(text);
    bool network = false, any = false;
    char *save = NULL;

    for (char *s = copy ? strtok_r(copy, "\n", &save) : NULL; s; s = strtok_r(NULL, "\n", &save)) {
        char *line = trim(s);

        if (*line == '[')
            network = !strcmp(line, "[Network]");
        else if (network && *line != '#' && *line != ';')
            any |= take_line(line, n);
    }
    free(copy);
    return any;
}

/* --- all files ------------------------------------------------------------------------- */

/* Directories of drop-ins: a file in one takes the place of one of that name in those behind it. */
static const char *const places[] = {
    "/etc/systemd/networkd.conf.d",
    "/run/systemd/networkd.conf.d",
    "/usr/local/lib/systemd/networkd.conf.d",
    "/usr/lib/systemd/networkd.conf.d",
};

struct drop_in {
    char path[NETWORKD_PATH_MAX];
    size_t name; /* where it begins in path */
};

static const char *name_of(const struct drop_in *d)
{
    return d->path + d->name;
}

struct drop_ins {
    struct drop_in v[FILES_MAX];
    unsigned n;
};

static void add(struct drop_ins *all, const char *dir, const char *name)
{
    size_t len = strlen(name);
    struct drop_in *d;

    if (len < 6 || strcmp(name + len - 5, ".conf") != 0 || all->n == FILES_MAX)
        return;
    d = &all->v[all->n];
    for (unsigned i = 0; i < all->n; i++)
        if (!strcmp(name_of(&all->v[i]), name))
            return;
    if (snprintf(d->path, sizeof(d->path), "%s/%s", dir, name) >= (int)sizeof(d->path))
        return;
    d->name = strlen(d->path) - len;
    all->n++;
}

static void list(struct drop_ins *all, const char *root)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        char dir[NETWORKD_PATH_MAX];
        struct dirent *e;
        DIR *d;

        if (snprintf(dir, sizeof(dir), "%s%s", root, places[i]) >= (int)sizeof(dir))
            continue;
        d = opendir(dir);
        while (d && (e = readdir(d)))
            add(all, dir, e->d_name);
        if (d)
            closedir(d);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(a), name_of(b));
}

static void read_one(const char *path, struct networkd *n)
{
    _cleanup_close_ int fd = readfile_open(path);
    _cleanup_free_ char *text = NULL;
    size_t len;

    if (fd >= 0 && !readfile_text(fd, FILE_BYTES_MAX, &text, &len) && networkd_parse(text, n))
        snprintf(n->said, sizeof(n->said), "%s", path);
}

static bool is_there(const char *root, const char *path)
{
    char full[NETWORKD_PATH_MAX];

    return snprintf(full, sizeof(full), "%s%s", root, path) < (int)sizeof(full) &&
           !access(full, F_OK);
}

int networkd_read(const char *root, struct networkd *ret)
{
    _cleanup_free_ struct drop_ins *all = calloc(1, sizeof(*all));
    struct networkd n = {.deletes_routes = true, .deletes_rules = true};
    char path[NETWORKD_PATH_MAX];

    if (!all)
        return -ENOMEM;
    n.runs = is_there(root, "/run/systemd/netif/state");
    if (snprintf(path, sizeof(path), "%s/etc/systemd/networkd.conf", root) < (int)sizeof(path))
        read_one(path, &n);
    list(all, root);
    qsort(all->v, all->n, sizeof(all->v[0]), by_name);
    for (unsigned i = 0; i < all->n; i++)
        read_one(all->v[i].path, &n);
    *ret = n;
    return 0;
}

const char *networkd_str(const struct networkd *n, char buf[static NETWORKD_TEXT_MAX])
{
    snprintf(buf, NETWORKD_TEXT_MAX, "systemd-networkd deletes %s%s%s of others%s%s",
             n->deletes_routes ? "routes" : "",
             n->deletes_routes && n->deletes_rules ? " and " : "", n->deletes_rules ? "rules" : "",
             *n->said ? ": " : "", n->said);
    return buf;
}

/* --- the drop-in ----------------------------------------------------------------------- */

int networkd_hold(const char *root)
{
    char path[NETWORKD_PATH_MAX];
    FILE *f;

    if (snprintf(path, sizeof(path), "%s" DROP_IN_DIR, root) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (mkdir(path, 0755) && errno != EEXIST)
        return -errno;
    snprintf(path, sizeof(path), "%s" NETWORKD_DROP_IN, root);
    f = fopen(path, "we");
    if (!f)
        return -errno;
    fputs("# Of mpquic gateway apply --take-over; mpquic gateway down removes it.\n[Network]\n"
          "ManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
          f);
    return fclose(f) ? -errno : 0;
}

int networkd_release(const char *root)
{
    char path[NETWORKD_PATH_MAX];

    if (snprintf(path, sizeof(path), "%s" NETWORKD_DROP_IN, root) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if (!unlink(path))
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}
