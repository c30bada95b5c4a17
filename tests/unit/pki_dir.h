/* A temporary directory for an authority, removed with all that is in it. */
#ifndef TESTS_UNIT_PKI_DIR_H
#define TESTS_UNIT_PKI_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static inline int pki_dir_remove_entry(const char *path, const struct stat *st, int flag,
                                       struct FTW *ftw)
{
    return remove(path);
}

static inline void pki_dir_remove(const char *path)
{
    nftw(path, pki_dir_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The file's mode, -1 when it is not there. */
static inline int pki_dir_mode(const char *dir, const char *name)
{
    char path[1024];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return lstat(path, &st) ? -1 : (int)(st.st_mode & 07777);
}

#endif
