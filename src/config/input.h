/* What every reader of a configuration begins with: the file's text, and one value of its tree. */
#ifndef CONFIG_INPUT_H
#define CONFIG_INPUT_H

#include <stddef.h>

#include "config/schema.h"
#include "config/tree.h"

/* The largest configuration. */
enum { INPUT_BYTES_MAX = 1 << 20 };

/* The text of FILE ("-" is standard input), a regular file, with a zero behind it; the caller frees
 * it. Returns 0; -EINVAL: not a regular file; -EFBIG: more than INPUT_BYTES_MAX; other -errno. */
int input_read_text(const char *file, char **ret, size_t *ret_len);

/* One value (or one element of a list) into the field. Returns false, reports why and leaves the
 * field as it was when it is not one. */
bool input_read_scalar(const struct config_key *k, const struct yaml_value *v, void *field,
                       struct config_report *report);

/* The mapping of keys that the whole file must be. NULL when there is none; that is reported,
 * unless what is there is reported already. page: the manual page with an example. */
const struct yaml_value *input_root(const struct yaml_tree *tree, const char *page,
                                    struct config_report *report);

#endif
