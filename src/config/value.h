/* Single values: text to field and back, one reader and one printer per config_type. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/schema.h"

enum { VALUE_TEXT_MAX = 512 };

/* What a LABEL is made of. */
#define VALUE_LABEL_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* Why a value was refused. text follows the key's name: "remote_port: TEXT". */
struct value_error {
    char text[160];
    char hint[160]; /* "" when there is none */
};

/* Read one value (or one element of a list) into the field. Returns false, fills *err and leaves
 * the field as it was when s is not valid. Not for sections. */
bool value_read(const struct config_key *k, const char *s, void *field, struct value_error *err);

/* Print a field as value_read() reads it; "" when it is unset. Returns buf. */
const char *value_print(const struct config_key *k, const void *field,
                        char buf[static VALUE_TEXT_MAX]);

#endif
