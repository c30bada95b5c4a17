/* What a check of a running machine has found: each thing looked at, whether it is right, and what
 * helps where it is not. One list, two renderings. */
#ifndef CLI_FINDINGS_H
#define CLI_FINDINGS_H

#include <stdbool.h>
#include <stdio.h>

/* X(symbol, name) */
#define FINDING_LEVELS(X)         \
    X(FINDING_OK, "ok")           \
    X(FINDING_WARNING, "warning") \
    X(FINDING_FAILED, "failed")

enum finding_level {
#define X(sym, name) sym,
    FINDING_LEVELS(X)
#undef X
        FINDING_LEVEL_COUNT
};

const char *finding_level_name(enum finding_level l);

enum { FINDINGS_MAX = 2048, FINDING_TEXT_MAX = 320 };

struct finding {
    enum finding_level level;
    const char *check; /* the kind of thing, a literal: "link" */
    char subject[64];  /* which one; "": there is one only */
    char text[FINDING_TEXT_MAX];
    const char *remedy; /* a literal; NULL: none, or nothing is wrong */
};

/* Start from {0}; findings_done() frees. */
struct findings {
    struct finding *v;
    unsigned n, room;
    bool lost; /* some were not kept: memory, or FINDINGS_MAX */
};

void findings_add(struct findings *f, enum finding_level level, const char *check,
                  const char *subject, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void findings_done(struct findings *f);

/* The worst level; FINDING_FAILED too when some were lost. */
enum finding_level findings_worst(const struct findings *f);

/* One line each, and one below it with the remedy; all: those that are right, too. */
void findings_write(const struct findings *f, bool all, FILE *out);

/* [{"check", "subject", "level", "text", "remedy"}] */
struct json_t;
struct json_t *findings_json(const struct findings *f);

#endif
