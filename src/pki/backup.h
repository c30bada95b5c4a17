/* Copies of what is about to be replaced, beside it: NAME.~1~, NAME.~2~, ... The first free number
 * is taken. '~' cannot stand in the name of an instance, so that no copy is taken for one. Writers
 * of the directory must hold its lock (file.h). */
#ifndef PKI_BACKUP_H
#define PKI_BACKUP_H

#include "pki/file.h"

enum { BACKUP_NAME_MAX = 96, BACKUP_NUMBER_MAX = 999 };

/* Copy the file dir/name, or the directory dir/name with the regular files in it, with their modes.
 * ret_name is the name of the copy. Returns 0; -ENOENT when there is nothing to copy; -EEXIST when
 * no number is free; -EFBIG when the directory holds too much; other -errno, and there is none. */
int backup_file(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
                struct pki_error *e);
int backup_dir(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
               struct pki_error *e);

/* The same for either kind, without a copy: it has that name from now on. Needs no room on the
 * disk. */
int backup_move(const char *dir, const char *name, char ret_name[static BACKUP_NAME_MAX],
                struct pki_error *e);

/* Put the copy in the place of dir/name, whatever is there; the copy is gone then. Returns 0 or
 * -errno. */
int backup_restore_file(const char *dir, const char *name, const char *copy, struct pki_error *e);
int backup_restore_dir(const char *dir, const char *name, const char *copy, struct pki_error *e);

#endif
