/* The verbs of the command line. One file per verb, each with a const descriptor; dispatch,
 * `mpquic help` and mpquic(8) are driven by the descriptors. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

struct cli_option {
    char letter;
    const char *arg;  /* name of the argument, or NULL for a flag */
    const char *text; /* what it does: a sentence */
};

struct cli_verb {
    const char *name;
    const char *summary;              /* one line, lower case, no full stop */
    const char *args;                 /* operands in the usage line, or "" */
    const char *text;                 /* whole sentences; paragraphs apart by an empty line */
    const struct cli_option *options; /* ends with letter 0; NULL when there are none */

    /* argv[0] is the verb. Returns an exit code (base/exitcode.h). */
    int (*run)(int argc, char **argv);
};

extern const struct cli_verb cli_tunnel, cli_check, cli_print, cli_help, cli_version;

/* In the order in which help lists them, NULL at the end. */
extern const struct cli_verb *const cli_verbs[];

/* The verb called name, or NULL. */
const struct cli_verb *cli_verb_find(const char *name);

/* The whole program: find the verb, run it, see that its output arrived. */
int cli_main(int argc, char **argv);

/* getopt() by the verb's own option table: the letter, -1 at the end, '?' after having said
 * what is wrong. Start with optind = 1. */
int cli_getopt(const struct cli_verb *verb, int argc, char **argv);

/* "mpquic VERB: TEXT" and the usage line to standard error. Returns EXIT_CODE_USAGE. */
int cli_usage_error(const struct cli_verb *verb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "mpquic check [-n] FILE ..." without a newline. */
void cli_write_usage(const struct cli_verb *verb, FILE *out);

#endif
