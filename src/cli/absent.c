#include "cli/absent.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/service.h"
#include "config/config.h"
#include "helper/last.h"

/* --- files ----------------------------------------------------------------------------- */

static bool config_path(const char *name, char ret[static FILE_PATH_MAX])
{
    char dir[PLACE_PATH_MAX];

    return !place_conf_dir(dir, sizeof(dir)) &&
           snprintf(ret, FILE_PATH_MAX, "%s/%s.yaml", dir, name) < FILE_PATH_MAX;
}

unsigned absent_configured(char (*names)[PLACE_NAME_MAX], unsigned max)
{
    char path[PLACE_PATH_MAX], name[PLACE_NAME_MAX];
    DIR *dir = place_conf_dir(path, sizeof(path)) ? NULL : opendir(path);
    const struct dirent *e;
    unsigned n = 0;

    while (dir && n < max && (e = readdir(dir))) {
        size_t len = strlen(e->d_name);

        if (len <= 5 || strcmp(e->d_name + len - 5, ".yaml") != 0 ||
            place_instance_name(e->d_name, name))
            continue;
        memcpy(names[n++], name, sizeof(name));
    }
    if (dir)
        closedir(dir);
    return n;
}

/* --- why ------------------------------------------------------------------------------- */

/* The first error of its configuration, if it has one: then it cannot start. */
static bool config_problem(const char *path, char *text, size_t size)
{
    struct config_report report = {0};
    struct tunnel_config config;
    bool bad = config_load(path, &config, &report) != 0;

    if (!bad) {
        bad = config_check_files(&config, &report) != 0;
        config_done(&config);
    }
    for (size_t i = 0; bad && i < report.n; i++) {
        if (!report.v[i].fatal)
            continue;
        snprintf(text, size, "%s:%u: %s", path, report.v[i].line, report.v[i].text);
        break;
    }
    config_report_done(&report);
    return bad;
}

/* Whether systemd would start it at boot: one of the links that the unit asks for is there. */
static bool is_enabled(const char *name)
{
    static const char *const wants[] = {"multi-user.target.wants", "mpquic.target.wants"};
    char path[FILE_PATH_MAX];
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
        snprintf(path, sizeof(path), "/etc/systemd/system/%s/mpquic@%s.service", wants[i], name);
        found |= !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW);
    }
    return found;
}

void absent_find(const char *name, struct absent *ret)
{
    struct absent a = {.configured = false};
    char path[FILE_PATH_MAX], dir[PLACE_PATH_MAX], socket[PLACE_PATH_MAX];
    struct last_end end;
    bool died;

    a.configured = config_path(name, path) && !access(path, F_OK);
    a.with_service = a.configured && !place_conf_dir(dir, sizeof(dir)) && service_manager_runs(dir);
    died = !place_control_socket(name, socket) && !access(socket, F_OK);
    if (!last_end_load(name, &end)) {
        died = true;
        a.code = end.code;
        a.ended_s = end.time_s;
        snprintf(a.reason, sizeof(a.reason), "%s", end.text);
    }
    a.off = a.with_service && !died && !is_enabled(name);
    if (!a.off && a.configured && !access(path, R_OK))
        a.broken = config_problem(path, a.reason, sizeof(a.reason));
    if (a.configured)
        snprintf(a.file, sizeof(a.file), "%s", path);
    *ret = a;
}
