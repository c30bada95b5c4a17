#include "pki/backup.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

enum { FILES_MAX = 32 };

/* The first name that is free. */
static int find_name(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
                     struct pki_error *e)
{
    for (unsigned i = 1; i <= BACKUP_NUMBER_MAX; i++) {
        char path[FILE_PATH_MAX];
        int rv;

        if (snprintf(ret_name, BACKUP_NAME_MAX, "%s.~%u~", name, i) >= BACKUP_NAME_MAX)
            return pki_error_set(e, -ENAMETOOLONG, "%s: the name is too long", name);
        rv = file_path(path, dir, ret_name, e);
        if (rv || !file_exists(path))
            return rv;
    }
    return pki_error_set(e, -EEXIST, "%s/%s.~*~: too many copies: remove some", dir, name);
}

int backup_move(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
                struct pki_error *e)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    int rv = find_name(dir, name, ret_name, e);

    if (!rv)
        rv = file_path(from, dir, name, e);
    if (!rv)
        rv = file_path(to, dir, ret_name, e);
    if (!rv && rename(from, to))
        rv = pki_error_set(e, -errno, "%s: cannot move it to %s: %s", from, to, strerror(errno));
    return rv;
}

/* --- files ----------------------------------------------------------------------------- */

static int copy_file(const char *from_dir, const char *from, const char *to_dir, const char *to,
                     struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    char path[FILE_PATH_MAX];
    struct stat st;
    int rv = file_path(path, from_dir, from, e);

    if (!rv && stat(path, &st))
        rv = pki_error_set(e, -errno, "%s: %s", path, strerror(errno));
    if (!rv)
        rv = file_read(path, &text, e);
    return rv ? rv : file_write(to_dir, to, st.st_mode & 07777, &text, e);
}

int backup_file(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
                struct pki_error *e)
{
    int rv = find_name(dir, name, ret_name, e);

    return rv ? rv : copy_file(dir, name, dir, ret_name, e);
}

int backup_restore_file(const char *dir, const char *name, const char *copy, struct pki_error *e)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    int rv = file_path(from, dir, copy, e);

    if (!rv)
        rv = file_path(to, dir, name, e);
    if (!rv && rename(from, to))
        rv = pki_error_set(e, -errno, "%s: cannot move it to %s: %s", from, to, strerror(errno));
    return rv;
}

/* --- directories ----------------------------------------------------------------------- */

static int copy_files(DIR *d, const char *from, const char *to, struct pki_error *e)
{
    const struct dirent *entry;
    unsigned n = 0;
    int rv = 0;

    while (!rv && (entry = readdir(d))) {
        struct stat st;

        if (fstatat(dirfd(d), entry->d_name, &st, 0) || !S_ISREG(st.st_mode))
            continue;
        rv = ++n > FILES_MAX ? pki_error_set(e, -EFBIG, "%s: more than %d files: move some away",
                                             from, FILES_MAX)
                             : copy_file(from, entry->d_name, to, entry->d_name, e);
    }
    return rv;
}

static int copy_dir(const char *dir, const char *name, const char *copy, struct pki_error *e)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    int rv = file_path(from, dir, name, e);
    DIR *d;

    if (!rv)
        rv = file_path(to, dir, copy, e);
    if (rv)
        return rv;
    d = opendir(from);
    if (!d)
        return pki_error_set(e, -errno, "%s: %s", from, strerror(errno));
    rv = file_make_dir(to, 0755, e);
    if (!rv)
        rv = copy_files(d, from, to, e);
    closedir(d);
    if (rv)
        file_remove_dir(to);
    return rv;
}

int backup_dir(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
               struct pki_error *e)
{
    int rv = find_name(dir, name, ret_name, e);

    return rv ? rv : copy_dir(dir, name, ret_name, e);
}

int backup_restore_dir(const char *dir, const char *name, const char *copy, struct pki_error *e)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    int rv = file_path(from, dir, copy, e);

    if (!rv)
        rv = file_path(to, dir, name, e);
    if (rv)
        return rv;
    file_remove_dir(to);
    rv = copy_dir(dir, copy, name, e); /* not every file system can rename a directory */
    if (!rv)
        file_remove_dir(from);
    return rv;
}
