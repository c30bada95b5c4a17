#include "cli/service.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/clockfloor.h"
#include "base/util.h"
#include "control/client.h"
#include "daemon/wallclock.h"
#include "helper/effects.h"
#include "helper/last.h"
#include "status/status.h"

#define ASK_TIMEOUT_NS (2 * NS_PER_S)
#define ASK_PAUSE_NS (200 * NS_PER_MS)

enum { UNIT_MAX = sizeof("mpquic@.service") + CONFIG_NAME_MAX };

extern char **environ;

/* --- files ----------------------------------------------------------------------------- */

int service_full_dir(const char *dir, char ret[static FILE_PATH_MAX], struct pki_error *e)
{
    char cwd[FILE_PATH_MAX] = "";
    int n;

    if (*dir != '/' && !getcwd(cwd, sizeof(cwd)))
        return pki_error_set(e, -errno, "cannot tell the current directory: %s", strerror(errno));
    n = snprintf(ret, FILE_PATH_MAX, "%s%s%s", cwd, *cwd ? "/" : "", dir);
    if (!*dir || n >= CONFIG_PATH_MAX - 2 * CONFIG_NAME_MAX)
        return pki_error_set(e, -ENAMETOOLONG, "'%.80s': the directory's path is too long or empty",
                             dir);
    while (n > 1 && ret[n - 1] == '/')
        ret[--n] = 0;
    return 0;
}

int service_config_parse(const char *text, size_t len, struct tunnel_config *ret,
                         struct pki_error *e)
{
    struct config_report report = {0};
    int rv = config_parse(text, len, ret, &report);

    for (size_t i = 0; rv && i < report.n; i++)
        if (report.v[i].fatal) {
            pki_error_set(e, rv, "the configuration would be wrong: %.200s%s%.200s",
                          report.v[i].text, *report.v[i].hint ? "; " : "", report.v[i].hint);
            break;
        }
    config_report_done(&report);
    return rv;
}

int64_t service_now_s(const char *name)
{
    int64_t saved_s = 0;

    if (name)
        files_time_load(name, &saved_s);
    if (!clock_saved_is_credible(saved_s, clock_real_s(), 0, 0))
        saved_s = 0;
    wallclock_set(saved_s);
    return wallclock_now_s();
}

enum service_file service_file_compare(const char *path, const struct tunnel_config *c)
{
    struct config_report report = {0};
    struct tunnel_config old;
    bool same;

    if (!file_exists(path))
        return SERVICE_FILE_NEW;
    if (config_load(path, &old, &report)) {
        config_report_done(&report);
        return SERVICE_FILE_OTHER;
    }
    same = config_equal(&old, c);
    config_done(&old);
    config_report_done(&report);
    return same ? SERVICE_FILE_SAME : SERVICE_FILE_OTHER;
}

/* --- systemd --------------------------------------------------------------------------- */

bool service_manager_runs(const char *config_dir)
{
    return !strcmp(config_dir, SERVICE_CONFIG_DIR) && !access("/run/systemd/system", F_OK);
}

/* Read to the end, keep what fits. */
static void read_output(int fd, char *out, size_t size)
{
    char rest[256];
    size_t len = 0;
    ssize_t n;

    while (
        (n = len + 1 < size ? read(fd, out + len, size - 1 - len) : read(fd, rest, sizeof(rest))))
        if (n > 0 && len + 1 < size)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            break;
    out[len] = 0;
}

/* Run a program and wait for it; with out its standard output goes there. Returns its exit status,
 * or -errno. */
static int run_program(char *const argv[], char *out, size_t size)
{
    int pipes[2] = {-1, -1}, status, rv;
    posix_spawn_file_actions_t actions;
    pid_t pid;

    if (out && pipe2(pipes, O_CLOEXEC))
        return -errno;
    rv = posix_spawn_file_actions_init(&actions);
    if (!rv && out)
        rv = posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    if (!rv)
        rv = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    cleanup_close(&pipes[1]);
    if (!rv && out)
        read_output(pipes[0], out, size);
    cleanup_close(&pipes[0]);
    if (rv)
        return -rv;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int systemctl(const char *verb, const char *unit)
{
    char *const argv[] = {(char *)"systemctl", (char *)"--quiet", (char *)verb, (char *)unit, NULL};

    return run_program(argv, NULL, 0);
}

/* What systemd says of one property of a unit, "" when it says nothing. */
static void show_property(const char *unit, const char *property, char *ret, size_t size)
{
    char *const argv[] = {(char *)"systemctl",
                          (char *)"show",
                          (char *)"--value",
                          (char *)"--property",
                          (char *)property,
                          (char *)unit,
                          NULL};

    if (run_program(argv, ret, size) < 0)
        ret[0] = 0;
    ret[strcspn(ret, "\n")] = 0;
}

/* --- waiting --------------------------------------------------------------------------- */

struct last_word {
    char state[STATUS_WORD_MAX];
    char reason[STATUS_TEXT_MAX];
};

/* 1: it works; 0: not yet; -1: nobody answers. */
static int ask(const char *name, struct last_word *ret)
{
    char *text;
    size_t len;
    struct status s;
    int up = -1;

    if (control_ask(name, CONTROL_STATUS, ASK_TIMEOUT_NS, &text, &len))
        return -1;
    if (!status_from_json(text, len, &s)) {
        up = status_is_up(&s);
        snprintf(ret->state, sizeof(ret->state), "%s", s.state);
        snprintf(ret->reason, sizeof(ret->reason), "%s",
                 *s.reason              ? s.reason
                 : s.last_error.present ? s.last_error.text
                                        : "");
        status_done(&s);
    }
    free(text);
    return up;
}

/* The exit code with which the unit's program last ended; 0 when it runs or has not ended. */
static int ended_with(const char *unit)
{
    char sub[32], status[32];

    show_property(unit, "SubState", sub, sizeof(sub));
    if (strcmp(sub, "auto-restart") != 0 && strcmp(sub, "failed") != 0)
        return 0;
    show_property(unit, "ExecMainStatus", status, sizeof(status));
    return (int)strtol(status, NULL, 10);
}

static enum exit_code not_up(const struct cli_verb *verb, const char *unit, unsigned wait_s,
                             const struct last_word *said)
{
    fprintf(
        stderr,
        "mpquic %s: it is started, but not up within %u s: %s%s%s: journalctl -u %s tells more\n",
        verb->name, wait_s, *said->state ? said->state : "no answer", *said->reason ? ": " : "",
        said->reason, unit);
    return EXIT_CODE_NOT_UP;
}

static enum exit_code wait_until_up(const struct cli_verb *verb, const char *name, const char *unit,
                                    unsigned wait_s)
{
    uint64_t until_ns = clock_mono_ns() + wait_s * NS_PER_S;
    struct last_word said = {0};

    while (clock_mono_ns() < until_ns) {
        int up = ask(name, &said), code;

        if (up > 0) {
            printf("%s: %s\n", name, said.state);
            return EXIT_CODE_OK;
        }
        code = up < 0 ? ended_with(unit) : 0;
        if (code) {
            fprintf(stderr,
                    "mpquic %s: it ends with exit status %d (see mpquic(8)): journalctl -u %s "
                    "tells why\n",
                    verb->name, code, unit);
            return (enum exit_code)code;
        }
        nanosleep(&(struct timespec){.tv_nsec = ASK_PAUSE_NS}, NULL);
    }
    return not_up(verb, unit, wait_s, &said);
}

static void unit_name(const char *name, char ret[static UNIT_MAX])
{
    snprintf(ret, UNIT_MAX, "mpquic@%s.service", name);
}

void service_look(const char *config_dir, const char *name, struct service_state *ret)
{
    char unit[UNIT_MAX];

    *ret = (struct service_state){0};
    if (!service_manager_runs(config_dir))
        return;
    unit_name(name, unit);
    ret->enabled = !systemctl("is-enabled", unit);
    ret->active = !systemctl("is-active", unit);
}

void service_restore(const char *config_dir, const char *name, const struct service_state *was)
{
    char unit[UNIT_MAX];

    if (!service_manager_runs(config_dir))
        return;
    unit_name(name, unit);
    systemctl(was->active ? "restart" : "stop", unit);
    if (!was->enabled)
        systemctl("disable", unit);
    if (!was->active) {
        systemctl("reset-failed", unit);
        last_end_forget(name);
    }
}

void service_tell_start(const char *config_dir, const char *name)
{
    if (service_manager_runs(config_dir))
        printf("start it with: systemctl enable --now mpquic@%s\n", name);
    else
        printf("start it with: mpquic tunnel -c %s/%s.yaml\n", config_dir, name);
}

enum exit_code service_start(const struct cli_verb *verb, const char *config_dir, const char *name,
                             bool changed, unsigned wait_s)
{
    char unit[UNIT_MAX];
    bool runs;
    int rv;

    if (!service_manager_runs(config_dir)) {
        service_tell_start(config_dir, name);
        return EXIT_CODE_OK;
    }
    unit_name(name, unit);
    runs = !systemctl("is-active", unit);
    rv = systemctl("enable", unit);
    if (!rv)
        rv = systemctl(runs && changed ? "restart" : "start", unit);
    if (rv < 0) {
        fprintf(stderr, "mpquic %s: cannot run systemctl: %s\n", verb->name, strerror(-rv));
        return EXIT_CODE_START;
    }
    if (rv) {
        int code = ended_with(unit);

        fprintf(stderr, "mpquic %s: %s does not start: journalctl -u %s tells why\n", verb->name,
                unit, unit);
        return code ? (enum exit_code)code : EXIT_CODE_START;
    }
    return wait_s ? wait_until_up(verb, name, unit, wait_s) : EXIT_CODE_OK;
}
