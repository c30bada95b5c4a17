#include "bench/bond/cells.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 512, PATH_BYTES = 512 };

static int load_links(struct cell *c, const char *dir, char *ret_why, size_t why_size)
{
    for (unsigned i = 0; i < c->n_wans; i++) {
        char path[PATH_BYTES];
        unsigned line;
        int r;

        snprintf(path, sizeof(path), "%s/%s.link", dir, c->link[i]);
        r = wan_trace_load(&c->trace[i], path, &line);
        if (r < 0) {
            snprintf(ret_why, why_size, "%s:%u: %s", path, line, strerror(-r));
            return r;
        }
    }
    return 0;
}

static bool copy_name(char to[CELL_NAME_MAX], const char *from)
{
    size_t len = strlen(from);

    if (len >= CELL_NAME_MAX)
        return false;
    memcpy(to, from, len + 1);
    return true;
}

/* "NAME LINK ..."; nothing is fine as well. False: not a cell. */
static bool parse_line(char *text, struct cell *ret)
{
    char *save = NULL, *word;

    text[strcspn(text, "#\n")] = '\0';
    *ret = (struct cell){.n_wans = 0};
    word = strtok_r(text, " \t", &save);
    if (!word)
        return true;
    if (!copy_name(ret->name, word))
        return false;
    while ((word = strtok_r(NULL, " \t", &save)))
        if (ret->n_wans == CELL_WANS_MAX || !copy_name(ret->link[ret->n_wans++], word))
            return false;
    return ret->n_wans > 0;
}

static int read_cells(struct cells *cells, FILE *in, const char *dir, char *ret_why,
                      size_t why_size)
{
    char line[LINE_MAX_BYTES];
    unsigned number = 0;

    while (fgets(line, sizeof(line), in)) {
        struct cell *c = &cells->cell[cells->n];

        number++;
        if (cells->n == CELLS_MAX || !parse_line(line, c)) {
            snprintf(ret_why, why_size, "%s/matrix:%u: not a cell", dir, number);
            return -EINVAL;
        }
        if (!c->name[0])
            continue;
        cells->n++;
        if (load_links(c, dir, ret_why, why_size) < 0)
            return -EINVAL;
    }
    return 0;
}

int cells_load(struct cells *ret, const char *dir, char *ret_why, size_t why_size)
{
    char path[PATH_BYTES];
    FILE *in;
    int r;

    *ret = (struct cells){.n = 0};
    snprintf(path, sizeof(path), "%s/matrix", dir);
    in = fopen(path, "re");
    if (!in) {
        r = -errno;
        snprintf(ret_why, why_size, "%s: %s", path, strerror(-r));
        return r;
    }
    r = read_cells(ret, in, dir, ret_why, why_size);
    fclose(in);
    if (r < 0)
        cells_done(ret);
    return r;
}

void cells_done(struct cells *c)
{
    for (unsigned i = 0; i < c->n; i++)
        for (unsigned k = 0; k < c->cell[i].n_wans; k++)
            wan_trace_done(&c->cell[i].trace[k]);
    c->n = 0;
}
