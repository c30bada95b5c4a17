/* What every reader of a configuration owes: errors are reported if and only if it fails, and what
 * is reported can be shown. */
#ifndef FUZZ_CONFIG_PROBLEMS_H
#define FUZZ_CONFIG_PROBLEMS_H

#include <stdlib.h>

#include "config/config.h"

static inline void config_problems_check(int err, const struct config_report *report)
{
    if (!err != !report->n_errors)
        abort();
    for (size_t i = 0; i < report->n; i++)
        for (const char *s = report->v[i].text; *s; s++)
            if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
                abort();
}

#endif
