/* What the verbs that ask running instances share. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <stdbool.h>

#include "base/exitcode.h"
#include "base/place.h"
#include "cli/cli.h"
#include "control/request.h"

/* One verb's run over the instances: its options, and what it does with an answer. */
struct ask {
    const struct cli_verb *verb;
    enum control_cmd cmd;
    bool json;           /* --json was given */
    bool watch;          /* --watch was given: ask again and again */
    bool named;          /* one NAME was given: JSON is an object, not an array */
    bool first;          /* nothing has been printed yet */
    bool any;            /* the verb's own: some instance was one that it is about */
    bool all_configured; /* without NAME, those that are configured and do not run are meant too */

    /* An answer that is no error; prints it and returns the exit code. EXIT_CODE_INTERNAL when
     * it cannot be read. */
    enum exit_code (*answer)(struct ask *a, const char *name, const char *text, size_t len);

    /* Nobody answers there; NULL: a line on standard error and EXIT_CODE_NOT_RUNNING. */
    enum exit_code (*dead)(struct ask *a, const char *name);
};

/* The whole verb: options, then each instance that is meant. Returns the worst exit code. */
int ask_run(struct ask *a, int argc, char **argv);

/* The options -j and --json, for the descriptors. */
extern const struct cli_option ask_options[];

/* Print one answer as JSON, in an array unless an instance was named; takes and frees json, and
 * tells when it is NULL. */
enum exit_code ask_print_json(struct ask *a, char *json);

#endif
