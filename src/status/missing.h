/* Peers that are not there, for people. */
#ifndef STATUS_MISSING_H
#define STATUS_MISSING_H

#include <stdio.h>

#include "status/status.h"

/* A table of all of s->absent. */
void missing_write(const struct status *s, unsigned indent, FILE *out);

#endif
