/* Instances that are configured and do not run: which they are, and why. */
#ifndef CLI_ABSENT_H
#define CLI_ABSENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/place.h"

enum { ABSENT_TEXT_MAX = 1024 };

struct absent {
    bool configured;   /* NAME.yaml is there */
    bool off;          /* its service is not enabled, and it has not ended by itself */
    bool with_service; /* it is a service of systemd: there is a journal */
    bool broken;       /* its configuration has errors */
    char file[512];    /* the configuration; "": none */
    int code;          /* with which it ended; 0: not known */
    int64_t ended_s;
    char reason[ABSENT_TEXT_MAX]; /* ""; not known */
};

/* What is known about an instance that does not answer. */
void absent_find(const char *name, struct absent *ret);

/* The names of all *.yaml in the configuration directory that can be instances, at most max.
 * Returns their number. */
unsigned absent_configured(char (*names)[PLACE_NAME_MAX], unsigned max);

#endif
