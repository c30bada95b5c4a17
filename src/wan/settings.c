#include "wan/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

enum { LINE_MAX_BYTES = WAN_SETTING_NAME_MAX + 16, TEXT_MAX = 16 };

static int open_setting(const char *name, int flags)
{
    char path[WAN_SETTING_NAME_MAX + 16];
    int fd;

    if (strstr(name, ".."))
        return -EINVAL;
    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int setting_read(const char *name)
{
    _cleanup_close_ int fd = open_setting(name, O_RDONLY);
    char text[TEXT_MAX] = "", *end;
    ssize_t n;
    long v;

    if (fd < 0)
        return fd;
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    v = strtol(text, &end, 10);
    return end == text || v < 0 || v > INT32_MAX ? -EINVAL : (int)v;
}

static int write_value(const char *name, int value)
{
    _cleanup_close_ int fd = open_setting(name, O_WRONLY);
    char text[TEXT_MAX];
    int len = snprintf(text, sizeof(text), "%d\n", value);

    if (fd < 0)
        return fd;
    return write(fd, text, (size_t)len) == len ? 0 : -EIO;
}

/* --- what they were -------------------------------------------------------------------- */

int settings_each(const char *file, setting_cb *cb, void *user)
{
    FILE *f = fopen(file, "re");
    char line[LINE_MAX_BYTES];

    if (!f)
        return errno == ENOENT ? 0 : -errno;
    while (fgets(line, sizeof(line), f)) {
        char name[WAN_SETTING_NAME_MAX];
        int value;

        /* A line that a crash has cut has no end: the setting was not changed yet. */
        if (strchr(line, '\n') && sscanf(line, "%63s %d", name, &value) == 2 && value >= 0)
            cb(user, name, value);
    }
    fclose(f);
    return 0;
}

struct search {
    const char *name;
    bool found;
};

static void on_search(void *user, const char *name, int value)
{
    struct search *s = user;

    s->found |= !strcmp(name, s->name);
}

/* Append a line, whole or not at all. One that was cut before it, by a crash, gets its end. */
static int append(int fd, const char *name, int value)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char line[LINE_MAX_BYTES], last = '\n';
    ssize_t n;
    int len;

    if (size < 0 || (size && pread(fd, &last, 1, size - 1) != 1))
        return -EIO;
    len = snprintf(line, sizeof(line), "%s%s %d\n", last == '\n' ? "" : "\n", name, value);
    n = write(fd, line, (size_t)len);
    if (n == len)
        return fdatasync(fd) ? -errno : 0;
    len = n < 0 ? -errno : -ENOSPC;
    return ftruncate(fd, size) ? -EIO : len;
}

/* Keep the value that it has, once. */
static int remember(const char *file, const char *name)
{
    struct search s = {.name = name};
    int rv = settings_each(file, on_search, &s), was;
    _cleanup_close_ int fd = -1;

    if (rv || s.found)
        return rv;
    was = setting_read(name);
    if (was < 0)
        return was;
    fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : append(fd, name, was);
}

int setting_write(const char *file, const char *name, int value)
{
    int rv = remember(file, name);

    return rv ? rv : write_value(name, value);
}

static void on_restore(void *user, const char *name, int value)
{
    int rv = write_value(name, value), *first = user;

    if (rv && rv != -ENOENT && !*first)
        *first = rv;
}

int settings_restore(const char *file)
{
    int first = 0, rv = settings_each(file, on_restore, &first);

    if (rv || first)
        return rv ? rv : first;
    return unlink(file) && errno != ENOENT ? -errno : 0;
}
