/* Files that are read as a whole. */
#ifndef BASE_READFILE_H
#define BASE_READFILE_H

#include <stddef.h>
#include <sys/types.h>

/* Open a regular file for reading, and wait for nothing: not for the writer of a FIFO, nor for a
 * device. Returns a descriptor, which the caller closes; -EINVAL: it is there, but not a regular
 * file; other -errno. */
int readfile_open(const char *path);

/* All that is left of fd, a file or the end of a pipe, into buf: at most max bytes. Returns how
 * many; -EFBIG when there are more, which buf then holds the first max of; other -errno. */
ssize_t readfile_bytes(int fd, void *buf, size_t max);

/* The same into memory of its own with a zero behind it, which the caller frees; *ret_len does not
 * count the zero. Of a text that may be secret no copy is left in freed memory. Returns 0; -EFBIG:
 * more than max bytes; -ENOMEM; other -errno. */
int readfile_text(int fd, size_t max, char **ret, size_t *ret_len);

#endif
