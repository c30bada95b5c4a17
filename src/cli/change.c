#include "cli/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "helper/ensure.h"

enum { LOCK_WAIT_MS = 10000 };

int change_begin(struct change *x, const char *dir, const char *name, const char *tun,
                 struct pki_error *e)
{
    *x = (struct change){.dir = dir, .had_tun = ensure_tun_exists(tun)};
    snprintf(x->name, sizeof(x->name), "%s", name);
    snprintf(x->file, sizeof(x->file), "%s.yaml", name);
    snprintf(x->tun, sizeof(x->tun), "%s", tun);
    service_look(dir, name, &x->service);
    return file_path(x->tls, dir, CHANGE_TLS_DIR, e);
}

/* --- files ----------------------------------------------------------------------------- */

static bool is_there(const char *dir, const char *name)
{
    char path[FILE_PATH_MAX];
    struct pki_error ignored;

    return !file_path(path, dir, name, &ignored) && file_exists(path);
}

static int keep_old(struct change *x, struct pki_error *e)
{
    int rv = 0;

    if (is_there(x->dir, x->file))
        rv = backup_file(x->dir, x->file, x->old_config, e);
    if (!rv && is_there(x->tls, x->name))
        rv = backup_dir(x->tls, x->name, x->old_keys, e);
    return rv;
}

static int write_files(struct change *x, const struct bundle *b, const struct file_text *yaml,
                       bool keep, struct pki_error *e)
{
    const struct file_item items[] = {{CHANGE_KEY_FILE, 0600, &b->key},
                                      {CHANGE_CERT_FILE, 0644, &b->cert},
                                      {CHANGE_CA_FILE, 0644, &b->ca}};
    int rv = keep ? keep_old(x, e) : 0;

    if (!rv)
        rv = file_write_dir(x->tls, x->name, items, ARRAY_LEN(items), keep || !yaml, e);
    x->wrote_keys = !rv;
    if (!rv && yaml) {
        rv = file_write(x->dir, x->file, 0644, yaml, e);
        x->wrote_config = !rv;
    }
    return rv;
}

static int restore_config(const struct change *x, struct pki_error *e)
{
    char path[FILE_PATH_MAX];
    int rv;

    if (*x->old_config)
        return backup_restore_file(x->dir, x->file, x->old_config, e);
    rv = file_path(path, x->dir, x->file, e);
    if (!rv && unlink(path))
        rv = pki_error_set(e, -errno, "cannot remove %s: %s", path, strerror(errno));
    return rv;
}

static int restore_keys(const struct change *x, struct pki_error *e)
{
    char path[FILE_PATH_MAX];
    int rv;

    if (*x->old_keys)
        return backup_restore_dir(x->tls, x->name, x->old_keys, e);
    rv = file_path(path, x->tls, x->name, e);
    if (rv)
        return rv;
    file_remove_dir(path);
    if (file_exists(path))
        return pki_error_set(e, -ENOTEMPTY, "cannot remove %s", path);
    rmdir(x->tls); /* when nothing else is in it */
    return 0;
}

static int restore_files(struct change *x, struct pki_error *e)
{
    int rv = x->wrote_config ? restore_config(x, e) : 0;

    if (!rv && x->wrote_keys)
        rv = restore_keys(x, e);
    if (!rv)
        x->wrote_config = x->wrote_keys = false;
    return rv;
}

int change_write(struct change *x, const struct bundle *b, const struct file_text *yaml, bool keep,
                 struct pki_error *e)
{
    struct pki_error ignored;
    _cleanup_close_ int lock = -1;
    int rv = file_make_dir(x->tls, 0755, e);

    if (rv)
        return rv;
    lock = file_lock_dir(x->dir, LOCK_WAIT_MS, e);
    if (lock < 0)
        return lock;
    rv = write_files(x, b, yaml, keep, e);
    if (rv)
        restore_files(x, &ignored);
    return rv;
}

/* --- taking back ----------------------------------------------------------------------- */

void change_drop_tun(struct change *x, const char *old_tun)
{
    const struct service_state off = {.enabled = x->service.enabled};

    service_restore(x->dir, x->name, &off);
    ensure_no_tun(old_tun);
}

int change_undo(struct change *x, struct pki_error *e)
{
    const struct service_state off = {.enabled = x->service.enabled};
    _cleanup_close_ int lock = -1;
    int rv;

    service_restore(x->dir, x->name, &off);
    if (!x->had_tun && ensure_no_tun(x->tun))
        return pki_error_set(e, -EBUSY, "cannot remove the interface %s: ip link delete %s", x->tun,
                             x->tun);
    lock = file_lock_dir(x->dir, LOCK_WAIT_MS, e);
    if (lock < 0)
        return lock;
    rv = restore_files(x, e);
    if (!rv && x->service.active)
        service_restore(x->dir, x->name, &x->service);
    return rv;
}
