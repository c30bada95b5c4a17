/* Files that are there whole or not at all.
 *
 * Every file is written beside its place under a name of its own (O_EXCL), made durable (fsync) and
 * then moved into place, so that a full disk, a crash or a loss of power leaves either what was
 * there before or what was to be there. Files that belong together, as a certificate and its key,
 * are a directory that is exchanged as one.
 *
 * The temporary names are fixed (".NAME.new"), which keeps a crash from leaving more than one of
 * them behind; so writers of one directory must hold its lock.
 */
#ifndef PKI_FILE_H
#define PKI_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "pki/error.h"

enum { FILE_PATH_MAX = 512, FILE_TEXT_MAX = 16 * 1024 * 1024, FILE_ITEMS_MAX = 4 };

/* Text in memory, zero-terminated for convenience. May be secret. */
struct file_text {
    char *data;
    size_t len;
};

/* Wipe and free; *t is empty afterwards. */
void file_text_done(struct file_text *t);
#define _cleanup_text_ __attribute__((cleanup(file_text_done)))

/* A copy. Returns 0 or -ENOMEM. */
int file_text_set(struct file_text *t, const void *data, size_t len, struct pki_error *e);

/* Join the parts with '/'. Returns 0, or -ENAMETOOLONG. */
int file_path(char dst[static FILE_PATH_MAX], const char *dir, const char *name,
              struct pki_error *e);

/* Read a regular file of at most FILE_TEXT_MAX bytes. Returns 0; -ENOENT when it is not there;
 * other -errno. */
int file_read(const char *path, struct file_text *ret, struct pki_error *e);

bool file_exists(const char *path);

/* Make a directory and those above it, as far as they are missing. Returns 0 or -errno. */
int file_make_dir(const char *path, mode_t mode, struct pki_error *e);

/* Take the writers' lock of a directory, waiting at most timeout_ms for another writer. Returns a
 * descriptor whose closing gives the lock back; -EBUSY when the other writer takes too long; other
 * -errno. */
int file_lock_dir(const char *dir, unsigned timeout_ms, struct pki_error *e);

/* Write dir/name, replacing a file or a link that is there. Returns 0, or -errno with nothing
 * changed; -EINVAL for what is neither. */
int file_write(const char *dir, const char *name, mode_t mode, const struct file_text *text,
               struct pki_error *e);

/* One file of a directory. */
struct file_item {
    const char *name;
    mode_t mode;
    const struct file_text *text;
};

/* Make the directory dir/name hold exactly these files. One that is there is replaced as a whole
 * when replace is set, else -EEXIST. Where the file system cannot exchange two directories the
 * files are replaced one by one, in the order given. Returns 0, or -errno with nothing changed. */
int file_write_dir(const char *dir, const char *name, const struct file_item *items, unsigned n,
                   bool replace, struct pki_error *e);

/* Remove a directory and the files in it, as far as that is possible. A link to one is removed
 * itself: what it leads to is somebody else's. */
void file_remove_dir(const char *path);

#endif
