/* Taking over a changed configuration, or changed files that it names, while the instance runs.
 *
 * Everything that can fail comes first: reading, parsing, comparing, loading credentials, the hub's
 * new policy. What follows cannot fail, so a change is in force as a whole or not at all. Sessions
 * stay: new credentials are for new handshakes, and then each peer is asked about again, so that
 * only those who lost their right are closed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"
#include "daemon/checkcreds.h"
#include "daemon/instance.h"

#define FILES_INTERVAL_NS (10 * NS_PER_S)
#define FILES_REST_NS NS_PER_S

enum { PROBLEM_MAX = 640 };

/* --- files ----------------------------------------------------------------------------- */

static const enum config_key_id file_keys[HELPER_FILE_COUNT] = {
    [HELPER_FILE_CERT] = CONFIG_KEY_TLS_CERT_FILE, [HELPER_FILE_KEY] = CONFIG_KEY_TLS_KEY_FILE,
    [HELPER_FILE_CA] = CONFIG_KEY_TLS_CA_FILE,     [HELPER_FILE_CRL] = CONFIG_KEY_TLS_CRL_FILE,
    [HELPER_FILE_TOKEN] = CONFIG_KEY_TOKEN_FILE,   [HELPER_FILE_TOKENS] = CONFIG_KEY_TOKENS_FILE,
};

/* A file that is not there, or not named, looks like zero. */
static void look_at_files(struct instance *inst, bool staged,
                          struct helper_stamp v[HELPER_FILE_COUNT])
{
    memset(v, 0, HELPER_FILE_COUNT * sizeof(*v));
    for (int i = 0; i < HELPER_FILE_COUNT; i++)
        if (i != HELPER_FILE_CONFIG && helper_file_stat(inst->helper, i, staged, &v[i]))
            v[i] = (struct helper_stamp){0};
}

static bool same_file(const struct helper_stamp *a, const struct helper_stamp *b)
{
    return a->ino == b->ino && a->mtime_ns == b->mtime_ns && a->size_bytes == b->size_bytes;
}

static bool same_files(const struct helper_stamp *a, const struct helper_stamp *b)
{
    for (int i = 0; i < HELPER_FILE_COUNT; i++)
        if (!same_file(&a[i], &b[i]))
            return false;
    return true;
}

/* The keys of files that look different, but are the same files by name. */
static void name_changed_files(const struct helper_stamp *a, const struct helper_stamp *b,
                               uint64_t changed_keys, struct status_strings *ret)
{
    char text[STATUS_TEXT_MAX];

    for (int i = 0; i < HELPER_FILE_COUNT; i++) {
        if (same_file(&a[i], &b[i]) || changed_keys & (1ull << file_keys[i]))
            continue;
        snprintf(text, sizeof(text), "contents of %s", config_schema.keys[file_keys[i]].name);
        status_add_string(ret, text);
    }
}

/* --- putting in force ------------------------------------------------------------------ */

/* What a hub may do from now on; the only step that can fail. */
static int apply_policy(struct instance *inst, const struct tunnel_config *c,
                        const struct credentials *cred)
{
    struct hub_policy policy;
    struct hub_rule *rules;
    int rv;

    if (!inst->hub)
        return 0;
    rules = instance_hub_policy(c, cred->tokens, cred->n_tokens, &policy);
    if (!rules)
        return -ENOMEM;
    rv = hub_reconfigure(inst->hub, loop_now_ns(inst->loop), &policy);
    free(rules);
    return rv;
}

/* Of a client: what is new begins when the configuration is in force. */
static int apply_paths(struct instance *inst, const struct tunnel_config *next)
{
    uint64_t keys = 1ull << CONFIG_KEY_MULTIPATH_PATHS | 1ull << CONFIG_KEY_MULTIPATH_POLICY |
                    1ull << CONFIG_KEY_MULTIPATH_PIN | 1ull << CONFIG_KEY_MULTIPATH_COPIES |
                    1ull << CONFIG_KEY_MULTIPATH_RECOVERY | 1ull << CONFIG_KEY_MULTIPATH_DEADLINE |
                    1ull << CONFIG_KEY_MULTIPATH_ORDER;

    if (!inst->edge || !(config_diff(inst->config, next).changed & keys))
        return 0;
    return instance_change_paths(inst, next);
}

/* Takes over *cred. */
static void apply_credentials(struct instance *inst, struct credentials *cred)
{
    struct credentials old = inst->cred;

    inst->cred = *cred;
    *cred = (struct credentials){0};
    if (inst->edge) {
        edge_set_tls(inst->edge, inst->cred.tls);
        edge_set_token(inst->edge, *inst->cred.token ? inst->cred.token : NULL);
    } else {
        hub_set_tls(inst->hub, loop_now_ns(inst->loop), inst->cred.tls);
        hub_recheck(inst->hub, loop_now_ns(inst->loop));
        loop_defer(inst->loop, &inst->recheck);
    }
    credentials_done(&old);
    loop_defer(inst->loop, &inst->pump);
}

/* Takes over *next. */
static void apply_config(struct instance *inst, struct tunnel_config *next)
{
    struct tunnel_config *old = inst->reloaded;
    uint32_t interval_s = inst->config->telemetry_interval_s;

    inst->config = inst->reloaded = next;
    log_set_level(next->log_level);
    instance_apply_mtu(inst);
    upkeep_apply(inst);
    if (next->telemetry_interval_s != interval_s)
        instance_apply_telemetry(inst);
    if (inst->edge)
        edge_set_lanes(inst->edge, loop_now_ns(inst->loop), next->lanes.min, next->lanes.max);
    if (inst->edge)
        instance_begin_paths(inst);
    if (old)
        config_done(old);
    free(old);
}

void instance_reload_done(struct instance *inst)
{
    if (inst->reloaded)
        config_done(inst->reloaded);
    free(inst->reloaded);
    inst->reloaded = NULL;
}

/* --- reload ---------------------------------------------------------------------------- */

static void problem(struct reload_outcome *out, const char *text)
{
    status_add_string(&out->problems, text);
}

/* A report as it is written to a terminal, a line each. */
static void list_problems(const struct config_report *report, const char *file,
                          struct reload_outcome *out)
{
    char *text = NULL, *save = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return;
    config_report_write(report, file, f);
    if (!fclose(f))
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            problem(out, line);
    free(text);
}

static void list_keys(uint64_t keys, struct status_strings *ret)
{
    for (unsigned i = 0; i < config_schema.n_keys; i++)
        if (keys & (1ull << i))
            status_add_string(ret, config_schema.keys[i].name);
}

static int open_staged(void *user, unsigned key, const char *path)
{
    struct instance *inst = user;

    for (int i = 0; i < HELPER_FILE_COUNT; i++)
        if (i != HELPER_FILE_CONFIG && file_keys[i] == key)
            return helper_file_open(inst->helper, (enum helper_file)i, true);
    return -ENOENT;
}

/* The configuration file's text as a configuration whose files are in order, with the problems in
 * *report. Returns 0 or -errno. */
static int parse_staged(struct instance *inst, struct tunnel_config *ret,
                        struct config_report *report)
{
    char *text = NULL;
    size_t len = 0;
    int rv = helper_config_stage(inst->helper, &text, &len);

    if (rv) {
        config_report_unreadable(report, rv);
        return rv;
    }
    rv = config_parse(text, len, ret, report);
    free(text);
    if (rv || !config_check_files_by(ret, report, open_staged, inst))
        return rv;
    config_done(ret);
    helper_config_commit(inst->helper, false);
    return -EINVAL;
}

/* The configuration to take over; NULL when there is none, with the problems in *report. */
static struct tunnel_config *stage(struct instance *inst, struct config_report *report,
                                   struct reload_outcome *out)
{
    struct tunnel_config *next = inst->file ? calloc(1, sizeof(*next)) : NULL;

    if (!inst->file)
        problem(out, "standard input: cannot read the configuration: it cannot be read again");
    else if (!next)
        problem(out, "out of memory");
    if (next && !parse_staged(inst, next, report))
        return next;
    free(next);
    return NULL;
}

/* What differs, by keys and by contents; false: nothing. */
static bool compare(struct instance *inst, const struct tunnel_config *next,
                    struct helper_stamp stamps[HELPER_FILE_COUNT], struct reload_outcome *out)
{
    struct config_diff diff = config_diff(inst->config, next);

    list_keys(diff.changed, &out->changed);
    list_keys(diff.fixed, &out->restart);
    look_at_files(inst, true, stamps);
    name_changed_files(inst->files.loaded, stamps, diff.changed, &out->changed);
    return out->changed.n != 0;
}

/* Consumes next, also when it fails. */
static enum reload_result take(struct instance *inst, struct tunnel_config *next,
                               const struct helper_stamp stamps[HELPER_FILE_COUNT],
                               struct config_report *report, struct reload_outcome *out)
{
    enum reload_result result = RELOAD_INVALID;
    struct credentials cred = {0};
    char err[PROBLEM_MAX];
    int rv = credentials_load(next, inst->helper, true, &cred, err, sizeof(err));

    if (rv) {
        daemon_report_credentials(next, err, report);
    } else if ((rv = apply_policy(inst, next, &cred))) {
        result = RELOAD_FAILED;
        snprintf(err, sizeof(err), "the new policy cannot be put in force: %s", strerror(-rv));
        problem(out, err);
    } else if ((rv = apply_paths(inst, next))) {
        result = RELOAD_FAILED;
        snprintf(err, sizeof(err), "the paths cannot be changed: %s", strerror(-rv));
        problem(out, err);
    }
    if (rv) {
        credentials_done(&cred);
        config_done(next);
        free(next);
        helper_config_commit(inst->helper, false);
        return result;
    }
    helper_config_commit(inst->helper, true);
    memcpy(inst->files.loaded, stamps, sizeof(inst->files.loaded));
    memcpy(inst->files.changed, stamps, sizeof(inst->files.changed));
    apply_config(inst, next);
    apply_credentials(inst, &cred);
    return RELOAD_APPLIED;
}

static enum reload_result reload(struct instance *inst, struct config_report *report,
                                 struct reload_outcome *out)
{
    struct helper_stamp stamps[HELPER_FILE_COUNT];
    struct tunnel_config *next = stage(inst, report, out);
    enum reload_result result;

    if (!next)
        return inst->file ? RELOAD_INVALID : RELOAD_FAILED;
    result = compare(inst, next, stamps, out) ? RELOAD_RESTART : RELOAD_UNCHANGED;
    if (result == RELOAD_RESTART && !out->restart.n)
        return take(inst, next, stamps, report, out);
    helper_config_commit(inst->helper, false);
    config_done(next);
    free(next);
    return result;
}

static void log_outcome(const struct reload_outcome *out)
{
    enum reload_result result = reload_outcome_result(out);
    bool good = result == RELOAD_APPLIED || result == RELOAD_UNCHANGED; /* only warnings, then */

    for (size_t i = 0; i < out->problems.n; i++)
        log_msg(good ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "reload: %s", out->problems.v[i]);
    for (size_t i = 0; i < out->restart.n; i++)
        log_error("reload: %s has changed, which needs a restart: nothing was changed",
                  out->restart.v[i]);
    log_info("reload: %s", out->result);
    if (result == RELOAD_APPLIED)
        for (size_t i = 0; i < out->changed.n; i++)
            log_info("reload: changed: %s", out->changed.v[i]);
}

void instance_reload(struct instance *inst, struct reload_outcome *out)
{
    struct config_report report = {0};
    enum reload_result result;

    helper_notify(inst->helper, HELPER_NOTIFY_RELOADING);
    status_set_text(out->instance, sizeof(out->instance), helper_name(inst->helper));
    result = reload(inst, &report, out);
    list_problems(&report, inst->file ? inst->file : "standard input", out);
    config_report_done(&report);
    reload_outcome_set(out, result);
    log_outcome(out);
    if (reload_outcome_result(out) == RELOAD_APPLIED ||
        reload_outcome_result(out) == RELOAD_UNCHANGED)
        instance_error_mended(inst, "reload: ");
    if (reload_outcome_result(out) == RELOAD_APPLIED)
        instance_error_mended(inst, "files: ");
    helper_notify(inst->helper, HELPER_NOTIFY_READY);
}

/* --- files that are replaced ----------------------------------------------------------- */

/* They have rested for a moment, so that certificate and key are both there: read them. A broken
 * one is reported once, and the old ones stay. */
static void take_files(struct instance *inst)
{
    struct instance_files *f = &inst->files;
    struct status_strings names = {0};
    struct credentials cred = {0};
    char err[PROBLEM_MAX];
    int rv = credentials_load(inst->config, inst->helper, false, &cred, err, sizeof(err));

    if (!rv) {
        rv = apply_policy(inst, inst->config, &cred);
        snprintf(err, sizeof(err), "%s", strerror(-rv));
    }
    name_changed_files(f->loaded, f->changed, 0, &names);
    memcpy(f->loaded, f->changed, sizeof(f->loaded));
    for (size_t i = 0; i < names.n; i++) {
        if (!rv)
            log_info("files: new %s", names.v[i]);
        free(names.v[i]);
    }
    free(names.v);
    if (rv) {
        log_error("files: a replaced file cannot be used, the old ones stay in force: %s", err);
        credentials_done(&cred);
        return;
    }
    apply_credentials(inst, &cred);
    instance_error_mended(inst, "files: ");
}

static void on_files(struct loop_timer *timer)
{
    struct instance *inst = timer->user;
    struct instance_files *f = &inst->files;
    struct helper_stamp now[HELPER_FILE_COUNT];
    uint64_t next_ns = FILES_INTERVAL_NS;

    look_at_files(inst, false, now);
    if (!same_files(now, f->changed)) {
        memcpy(f->changed, now, sizeof(now));
        next_ns = FILES_REST_NS;
    } else if (!same_files(now, f->loaded)) {
        take_files(inst);
    }
    instance_control_look(inst);
    loop_timer_set(inst->loop, timer, loop_now_ns(inst->loop) + next_ns);
}

void instance_files_note(struct instance *inst)
{
    look_at_files(inst, false, inst->files.loaded);
    memcpy(inst->files.changed, inst->files.loaded, sizeof(inst->files.changed));
}

void instance_files_watch(struct instance *inst)
{
    inst->files.timer = (struct loop_timer){.cb = on_files, .user = inst};
    loop_timer_set(inst->loop, &inst->files.timer, loop_now_ns(inst->loop) + FILES_INTERVAL_NS);
}
