#include "config/input.h"

#include <errno.h>
#include <fcntl.h>
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
