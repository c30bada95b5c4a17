#include "cli/hubfile.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "config/edit.h"
#include "control/client.h"
#include "status/reload.h"

enum { LOCK_WAIT_MS = 10000 };
#define RELOAD_TIMEOUT_NS (10 * NS_PER_S)

/* --- reading --------------------------------------------------------------------------- */

/* Without the links on the way: what is written is the file, and not a link to it. */
static bool real_path(const char *path, char ret[static FILE_PATH_MAX])
{
    char *real = realpath(path, NULL);
    bool fits = real && strlen(real) < FILE_PATH_MAX;

    if (fits)
        snprintf(ret, FILE_PATH_MAX, "%s", real);
    free(real);
    return fits;
}

void hub_file_load(const struct pki *p, struct hub_file *ret)
{
    struct config_report report = {0};
    struct pki_error ignored;
    struct pki_hub hub;

    *ret = (struct hub_file){0};
    if (pki_read_hub(p, &hub, &ignored) || !*hub.config || !real_path(hub.config, ret->path) ||
        file_read(ret->path, &ret->text, &ignored))
        return;
    if (!config_parse(ret->text.data, ret->text.len, &ret->config, &report)) {
        ret->present = ret->config.role == CONFIG_ROLE_SERVER;
        if (!ret->present)
            config_done(&ret->config);
    }
    config_report_done(&report);
}

void hub_file_done(struct hub_file *h)
{
    if (h->present)
        config_done(&h->config);
    file_text_done(&h->text);
    h->present = false;
}

/* --- an entry of peers ----------------------------------------------------------------- */

/* As config_add_peer(), with the reason of a refusal. */
static int add_peer(const struct hub_file *h, const struct config_peer *peer, char **ret,
                    struct pki_error *e)
{
    struct config_report report = {0};
    int rv = config_add_peer(h->text.data, h->text.len, peer, ret, &report);

    if (rv == -EEXIST)
        pki_error_set(
            e, rv,
            "%s has an entry for %s in peers already, which says something else: change it "
            "there, or leave --address and --behind out",
            h->path, peer->name);
    else if (rv == -EINVAL)
        pki_error_set(e, rv, "%s would be wrong", h->path);
    else if (rv == -ENOMEM)
        pki_error_set(e, rv, "out of memory");
    for (size_t i = 0; rv == -EINVAL && i < report.n; i++)
        if (report.v[i].fatal) {
            pki_error_set(e, rv, "%s would be wrong: %.200s%s%.200s", h->path, report.v[i].text,
                          *report.v[i].hint ? "; " : "", report.v[i].hint);
            break;
        }
    config_report_done(&report);
    return rv;
}

int hub_file_check_peer(const struct pki *p, const struct config_peer *peer, struct pki_error *e)
{
    struct hub_file h;
    char *text = NULL;
    int rv = 0;

    hub_file_load(p, &h);
    if (h.present)
        rv = add_peer(&h, peer, &text, e);
    hub_file_done(&h);
    free(text);
    return rv == -EALREADY || rv == -ENOTSUP ? 0 : rv;
}

static int tell(const struct hub_file *h, const struct config_peer *peer, FILE *out,
                struct pki_error *e)
{
    _cleanup_free_ char *text = config_peer_text(peer, 2);

    if (!text)
        return pki_error_set(e, -ENOMEM, "out of memory");
    fprintf(out,
            "the hub must know this too: add this entry to peers in %s%s, and run mpquic reload "
            "there:\npeers:\n%s",
            *h->path ? h->path : "its configuration", *h->path ? "" : " on the hub", text);
    return 0;
}

/* Returns what came of it, for people. */
static const char *reload(const char *path, char why[static 256])
{
    struct reload_outcome o = {0};
    char name[PLACE_NAME_MAX], *text = NULL;
    bool taken;
    size_t len;
    int rv = place_instance_name(path, name);

    if (!rv)
        rv = control_ask(name, CONTROL_RELOAD, RELOAD_TIMEOUT_NS, &text, &len);
    if (rv == -EINVAL || rv == -ENOENT || rv == -ECONNREFUSED)
        return "the hub does not run, and takes it when it is started";
    taken = !rv && !reload_outcome_from_json(text, len, &o) &&
            reload_outcome_result(&o) <= RELOAD_APPLIED;
    free(text);
    reload_outcome_done(&o);
    if (taken)
        return "the running hub has taken it over";
    snprintf(why, 256, "the running hub has not taken it over: see mpquic reload %s", name);
    return why;
}

/* Write the new text over the file, whose directory is locked. Returns -ENOTSUP when it belongs to
 * somebody else: it would become ours. */
static int write_text(const struct hub_file *h, const char *dir, const char *name, char *text,
                      struct pki_error *e)
{
    struct file_text t = {text, strlen(text)};
    struct stat st;

    if (stat(h->path, &st))
        return pki_error_set(e, -errno, "%s: %s", h->path, strerror(errno));
    if (st.st_uid != geteuid())
        return -ENOTSUP;
    return file_write(dir, name, st.st_mode & 07777, &t, e);
}

static int fix(const struct pki *p, const struct hub_file *found, const struct config_peer *peer,
               FILE *out, struct pki_error *e)
{
    char dir[FILE_PATH_MAX], why[256], *text = NULL;
    const char *slash = strrchr(found->path, '/');
    _cleanup_close_ int lock = -1;
    struct hub_file h;
    int rv;

    snprintf(dir, sizeof(dir), "%.*s", (int)MAX(slash - found->path, 1), found->path);
    lock = file_lock_dir(dir, LOCK_WAIT_MS, e);
    if (lock < 0)
        return lock;
    hub_file_load(p, &h); /* nobody else writes it now */
    rv = h.present ? add_peer(&h, peer, &text, e) : -ENOTSUP;
    if (!rv)
        rv = write_text(&h, dir, slash + 1, text, e);
    if (!rv)
        fprintf(out, "%s: added %s to peers; %s\n", h.path, peer->name, reload(h.path, why));
    else if (rv == -EALREADY)
        fprintf(out, "%s: has this in peers already\n", h.path);
    hub_file_done(&h);
    free(text);
    return rv == -EALREADY ? 0 : rv;
}

int hub_file_fix_peer(const struct pki *p, const struct config_peer *peer, FILE *out,
                      struct pki_error *e)
{
    struct hub_file h;
    int rv;

    hub_file_load(p, &h);
    rv = h.present ? fix(p, &h, peer, out, e) : -ENOTSUP;
    if (rv == -ENOTSUP)
        rv = tell(&h, peer, out, e);
    hub_file_done(&h);
    return rv;
}
