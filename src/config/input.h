/* What every reader of a configuration begins with: the file's text, and one value of its tree. */
#ifndef CONFIG_INPUT_H
#define CONFIG_INPUT_H

#include <sys/types.h>

#include "config/schema.h"
#include "config/tree.h"

/* The largest configuration. */
enum { INPUT_BYTES_MAX = 1 << 20 };

/* Read FILE ("-" is standard input), a regular file, into buf. Returns the number of bytes;
 * -EINVAL: not a regular file; -EFBIG: more than size bytes; other -errno. */
ssize_t input_read_file(const char *file, char *buf, size_t size);

/* One value (or one element of a list) into the field. Returns false, reports why and leaves the
 * field as it was when it is not one. */
bool input_read_scalar(const struct config_key *k, const struct yaml_value *v, void *field,
                       struct config_report *report);

#endif
