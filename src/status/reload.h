/* What came of a reload, as plain values: made by the daemon, sent as JSON, told by the command
 * line. */
#ifndef STATUS_RELOAD_H
#define STATUS_RELOAD_H

#include <stddef.h>
#include <stdio.h>

#include "status/status.h"

/* X(symbol, name, what it means) */
#define RELOAD_RESULTS(X)                                                               \
    X(RELOAD_UNCHANGED, "unchanged", "nothing has changed")                             \
    X(RELOAD_APPLIED, "applied", "what has changed is in force")                        \
    X(RELOAD_INVALID, "invalid", "the configuration has errors; nothing was changed")   \
    X(RELOAD_RESTART, "restart-needed",                                                 \
      "something has changed that a running instance cannot take; nothing was changed") \
    X(RELOAD_FAILED, "failed", "the new configuration could not be put in force")

enum reload_result {
#define X(sym, name, what) sym,
    RELOAD_RESULTS(X)
#undef X
        RELOAD_RESULT_COUNT
};

/* Start from {0}; reload_outcome_done() frees. */
struct reload_outcome {
    char instance[STATUS_NAME_MAX];
    char result[STATUS_WORD_MAX];   /* of the names above */
    struct status_strings changed;  /* keys, and files whose contents are others */
    struct status_strings restart;  /* those of the keys that need a restart */
    struct status_strings problems; /* "FILE:LINE:COLUMN: error: TEXT; HINT", one each */
    struct status_strings notes;    /* what followed, as "peer edge2: closed: revoked" */
};

const char *reload_result_name(enum reload_result r);
void reload_outcome_set(struct reload_outcome *o, enum reload_result r);
enum reload_result reload_outcome_result(const struct reload_outcome *o);

/* As status_json() and status_from_json(). */
char *reload_outcome_json(const struct reload_outcome *o);
int reload_outcome_from_json(const char *text, size_t len, struct reload_outcome *ret);

/* For people: problems and keys, a line each. */
void reload_outcome_write(const struct reload_outcome *o, FILE *out);

void reload_outcome_done(struct reload_outcome *o);

#endif
