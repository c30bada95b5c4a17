/* Collecting the problems of one file in order of position. */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "config/config.h"

enum { REPORT_QUOTE_MAX = 64 };

/* Add a problem, sorted behind those at the same position. hint may be NULL. When there are
 * CONFIG_PROBLEMS_MAX already, or memory is short, it is only counted. */
void report_add(struct config_report *r, bool fatal, struct config_where at, const char *hint,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The same for an error with a kind of its own. */
void report_add_kind(struct config_report *r, enum config_problem_kind kind, struct config_where at,
                     const char *hint, const char *text);

/* Copy text from a file into buf so that it can stand in a message: printable ASCII, the rest
 * escaped, cut with "..." when longer than the buffer. Returns buf. */
const char *report_quote(const char *s, size_t len, char buf[static REPORT_QUOTE_MAX]);

#endif
