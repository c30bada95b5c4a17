#include "config/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/readfile.h"
#include "base/util.h"
#include "config/report.h"
#include "config/value.h"

int input_read_text(const char *file, char **ret, size_t *ret_len)
{
    bool is_stdin = !strcmp(file, "-");
    _cleanup_close_ int fd = is_stdin ? fcntl(0, F_DUPFD_CLOEXEC, 3) : readfile_open(file);

    if (fd < 0)
        return is_stdin ? -errno : fd;
    return readfile_text(fd, INPUT_BYTES_MAX, ret, ret_len);
}

bool input_read_scalar(const struct config_key *k, const struct yaml_value *v, void *field,
                       struct config_report *report)
{
    struct value_error err;

    if (v->bad)
        return false;
    if (v->kind != YAML_KIND_SCALAR) {
        report_add(report, true, v->at, NULL, "%s: %s where one value is expected", k->name,
                   v->kind == YAML_KIND_LIST ? "a list" : "a mapping");
        return false;
    }
    if (yaml_value_is_null(v)) {
        report_add(report, true, v->at, "write one, or remove the line", "%s has no value",
                   k->name);
        return false;
    }
    if (strlen(v->text) != v->len) {
        report_add(report, true, v->at, NULL, "%s: the value has a NUL character", k->name);
        return false;
    }
    if (value_read(k, v->text, field, &err))
        return true;
    report_add(report, true, v->at, err.hint, "%s: %s", k->name, err.text);
    return false;
}

const struct yaml_value *input_root(const struct yaml_tree *tree, const char *page,
                                    struct config_report *report)
{
    const struct config_where start = {1, 1};
    const struct yaml_value *root = tree->root;
    char hint[64];

    if (root && root->kind == YAML_KIND_MAP)
        return root;
    if (!root || yaml_value_is_null(root)) {
        snprintf(hint, sizeof(hint), "see the example in %s", page);
        if (tree->complete)
            report_add(report, true, start, hint, "the file holds no configuration");
        return NULL;
    }
    if (!root->bad)
        report_add(report, true, root->at, "write one KEY: VALUE per line",
                   "the file is not a mapping of keys");
    return NULL;
}
