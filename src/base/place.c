#include "base/place.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int place_name_check(const char *name)
{
    size_t len = strlen(name);

    if (!len || len >= PLACE_NAME_MAX || *name == '.' || *name == '-')
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return -EINVAL;
    return 0;
}

int place_instance_name(const char *file, char ret[static PLACE_NAME_MAX])
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t len = strlen(base);
    char name[PLACE_NAME_MAX] = "";

    if (len > 5 && !strcmp(base + len - 5, ".yaml"))
        len -= 5;
    if (len >= sizeof(name))
        return -EINVAL;
    memcpy(name, base, len);
    if (place_name_check(name))
        return -EINVAL;
    memcpy(ret, name, sizeof(name));
    return 0;
}

/* The first of a colon-separated list, as systemd gives several directories. */
static int directory(const char *own, const char *manager, const char *otherwise, char *buf,
                     size_t len)
{
    const char *dir = getenv(own);
    int n, width;

    if (!dir || !*dir)
        dir = getenv(manager);
    if (!dir || !*dir)
        dir = otherwise;
    width = (int)strcspn(dir, dir == getenv(manager) ? ":" : "");
    n = snprintf(buf, len, "%.*s", width, dir);
    return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int place_run_dir(char *buf, size_t len)
{
    return directory("MPQUIC_RUN_DIR", "RUNTIME_DIRECTORY", "/run/mpquic", buf, len);
}

int place_state_dir(char *buf, size_t len)
{
    return directory("MPQUIC_STATE_DIR", "STATE_DIRECTORY", "/var/lib/mpquic", buf, len);
}

int place_conf_dir(char *buf, size_t len)
{
    return directory("MPQUIC_CONF_DIR", "CONFIGURATION_DIRECTORY", "/etc/mpquic", buf, len);
}

int place_control_socket(const char *name, char ret[static PLACE_PATH_MAX])
{
    char dir[PLACE_PATH_MAX], path[PLACE_PATH_MAX];
    int r = place_run_dir(dir, sizeof(dir)), n;

    if (r)
        return r;
    n = snprintf(path, sizeof(path), "%s/%s.sock", dir, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    memcpy(ret, path, sizeof(path));
    return 0;
}
