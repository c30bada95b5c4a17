#include "config/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "config/report.h"
#include "config/value.h"

/* Read all that is left of fd into buf, at most size bytes. Returns the number, or -errno; -EFBIG
 * when there is more. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;
    char more;

    for (;;) {
        ssize_t n = len < size ? read(fd, buf + len, size - len) : read(fd, &more, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return (ssize_t)len;
        if (len == size)
            return -EFBIG;
        len += (size_t)n;
    }
}

ssize_t input_read_file(const char *file, char *buf, size_t size)
{
    bool is_stdin = !strcmp(file, "-");
    /* O_NONBLOCK: nobody waits for the writer of a FIFO */
    _cleanup_close_ int fd = is_stdin ? fcntl(0, F_DUPFD_CLOEXEC, 3)
                                      : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        return -errno;
    if (!is_stdin && !S_ISREG(st.st_mode))
        return -EINVAL;
    return read_all(fd, buf, size);
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
