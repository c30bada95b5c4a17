#include "cli/remember.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { LOCK_WAIT_MS = 10000 };

#define OPTIONS_DIR "options"

static const struct field {
    const char *name;
    size_t offset; /* in struct cli_bundle_opts */
    bool is_list;
} fields[] = {
    {"hub", offsetof(struct cli_bundle_opts, hub), false},
    {"server-name", offsetof(struct cli_bundle_opts, server_name), false},
    {"tunnel", offsetof(struct cli_bundle_opts, tunnel), false},
    {"route-table", offsetof(struct cli_bundle_opts, table), false},
    {"address", offsetof(struct cli_bundle_opts, addresses), true},
    {"network", offsetof(struct cli_bundle_opts, networks), true},
    {"behind", offsetof(struct cli_bundle_opts, behind), true},
    {"route", offsetof(struct cli_bundle_opts, routes), true},
};

static const void *at(const struct cli_bundle_opts *opts, const struct field *f)
{
    return (const char *)opts + f->offset;
}

static bool was_given(const struct cli_bundle_opts *opts, const struct field *f)
{
    return f->is_list ? ((const struct cli_list *)at(opts, f))->n > 0
                      : *(const char *const *)at(opts, f) != NULL;
}

/* --- loading --------------------------------------------------------------------------- */

/* One line; given: those that stood on the command line. Returns whether it was taken. */
static bool take(struct cli_bundle_opts *opts, const bool *given, char *line)
{
    char *colon = strstr(line, ": ");

    if (!colon)
        return false;
    *colon = 0;
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        void *field = (char *)opts + fields[i].offset;

        if (given[i] || strcmp(line, fields[i].name) != 0)
            continue;
        if (fields[i].is_list)
            return cli_list_add(field, colon + 2);
        *(const char **)field = colon + 2;
        return true;
    }
    return false;
}

int remember_load(const struct pki *p, const char *name, struct cli_bundle_opts *opts,
                  struct file_text *text, struct pki_error *e)
{
    bool given[ARRAY_LEN(fields)];
    char dir[FILE_PATH_MAX], path[FILE_PATH_MAX], *save = NULL;
    int taken = 0, rv = pki_name_ok(name) ? file_path(dir, p->dir, OPTIONS_DIR, e) : -ENOENT;

    if (rv == -ENOENT) /* what the name is refused for is said later */
        return 0;
    if (!rv)
        rv = file_path(path, dir, name, e);
    if (rv || !file_exists(path))
        return rv;
    rv = file_read(path, text, e);
    if (rv)
        return rv;
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        given[i] = was_given(opts, &fields[i]);
    for (char *line = strtok_r(text->data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        taken += take(opts, given, line);
    return taken;
}

/* --- saving ---------------------------------------------------------------------------- */

static void write_options(const struct cli_bundle_opts *opts, FILE *f)
{
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++) {
        const struct cli_list *list = at(opts, &fields[i]);

        if (!was_given(opts, &fields[i]))
            continue;
        if (!fields[i].is_list)
            fprintf(f, "%s: %s\n", fields[i].name, *(const char *const *)at(opts, &fields[i]));
        for (unsigned k = 0; fields[i].is_list && k < list->n; k++)
            fprintf(f, "%s: %s\n", fields[i].name, list->v[k]);
    }
}

int remember_save(const struct pki *p, const char *name, const struct cli_bundle_opts *opts,
                  struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    _cleanup_close_ int lock = -1;
    char dir[FILE_PATH_MAX];
    FILE *f = open_memstream(&text.data, &text.len);
    int rv;

    if (!f)
        return pki_error_set(e, -ENOMEM, "out of memory");
    write_options(opts, f);
    if (fclose(f))
        return pki_error_set(e, -ENOMEM, "out of memory");
    rv = file_path(dir, p->dir, OPTIONS_DIR, e);
    if (!rv)
        rv = file_make_dir(dir, 0755, e);
    if (rv)
        return rv;
    lock = file_lock_dir(dir, LOCK_WAIT_MS, e);
    return lock < 0 ? lock : file_write(dir, name, 0644, &text, e);
}
