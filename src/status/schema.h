/* The tables behind the JSON of a status. */
#ifndef STATUS_SCHEMA_H
#define STATUS_SCHEMA_H

#include "status/field.h"

extern const struct field schema_status[]; /* of struct status: everything */
extern const struct field schema_peers[];  /* of struct status: what `mpquic peers` tells */
extern const struct field schema_paths[];  /* of struct status: what `mpquic paths` tells */

#endif
