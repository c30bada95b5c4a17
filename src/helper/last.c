#include "helper/last.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/place.h"
#include "base/util.h"

void last_text_clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static int last_path(const char *name, const char *suffix, char path[static PLACE_PATH_MAX])
{
    char dir[PLACE_PATH_MAX];
    int r = place_run_dir(dir, sizeof(dir)), n;

    if (r)
        return r;
    n = snprintf(path, PLACE_PATH_MAX, "%s/%s.last%s", dir, name, suffix);
    return n < 0 || n >= PLACE_PATH_MAX ? -ENAMETOOLONG : 0;
}

static int write_file(const char *path, const char *text, const gid_t *group)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), r = 0;
    ssize_t len = (ssize_t)strlen(text);

    if (fd < 0)
        return -errno;
    if (group && fchown(fd, (uid_t)-1, *group) && errno != EPERM)
        r = -errno;
    if (!r && group && fchmod(fd, 0640))
        r = -errno;
    if (!r && write(fd, text, (size_t)len) != len)
        r = errno ? -errno : -ENOSPC;
    if (close(fd) && !r)
        r = -errno;
    return r;
}

int last_end_save(const char *name, const struct last_end *end, const gid_t *group)
{
    char dir[PLACE_PATH_MAX], path[PLACE_PATH_MAX], fresh[PLACE_PATH_MAX], clean[LAST_TEXT_MAX],
        text[LAST_TEXT_MAX + 64];
    int r = last_path(name, "", path);

    if (!r)
        r = last_path(name, ".new", fresh);
    if (!r)
        r = place_run_dir(dir, sizeof(dir));
    if (r)
        return r;
    mkdir(dir, 0755); /* when it fails, so does what follows */
    snprintf(clean, sizeof(clean), "%s", end->text);
    last_text_clean(clean);
    snprintf(text, sizeof(text), "%d %" PRId64 "\n%s\n", end->code, end->time_s, clean);
    r = write_file(fresh, text, group);
    if (!r && rename(fresh, path))
        r = -errno;
    if (r)
        unlink(fresh);
    return r;
}

int last_end_load(const char *name, struct last_end *ret)
{
    char path[PLACE_PATH_MAX], text[LAST_TEXT_MAX + 64] = "", *line, *end;
    int r = last_path(name, "", path);
    _cleanup_close_ int fd = r ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct last_end e = {0};

    if (fd < 0)
        return r ? r : -errno;
    if (read(fd, text, sizeof(text) - 1) <= 0)
        return -EINVAL;
    line = strchr(text, '\n');
    e.code = (int)strtol(text, &end, 10);
    if (!line || end == text || *end != ' ')
        return -EINVAL;
    e.time_s = strtoll(end, &end, 10);
    if (end != line)
        return -EINVAL;
    line[1 + strcspn(line + 1, "\n")] = 0;
    snprintf(e.text, sizeof(e.text), "%s", line + 1);
    last_text_clean(e.text);
    *ret = e;
    return 0;
}

void last_end_forget(const char *name)
{
    char path[PLACE_PATH_MAX];

    if (!last_path(name, "", path))
        unlink(path);
}
