/* The verbs of the command line. One file per verb, each with a const descriptor; dispatch,
 * `mpquic help` and mpquic(8) are driven by the descriptors. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

enum { CLI_PATH_MAX = 512 };

struct cli_option {
    char letter;      /* its own within the verb */
    const char *name; /* long form without the dashes, or NULL */
    const char *arg;  /* name of the argument, or NULL for a flag */
    const char *text; /* what it does: a sentence */
    bool required;    /* the verb cannot do without it */
};

struct cli_verb {
    const char *name;                 /* of a sub-verb: with the verb's, as "pki init" */
    const char *summary;              /* one line, lower case, no full stop */
    const char *args;                 /* operands in the usage line, or "" */
    const char *text;                 /* whole sentences; paragraphs apart by an empty line */
    const struct cli_option *options; /* ends with letter 0; NULL when there are none */
    bool runs_command; /* the operands end with a command, whose options are not the verb's */

    /* Sub-verbs, NULL at the end; the verb itself then has neither options nor run. */
    const struct cli_verb *const *subs;

    /* argv[0] is the verb, or the sub-verb's last word. Returns an exit code (base/exitcode.h). */
    int (*run)(int argc, char **argv);
};

extern const struct cli_verb cli_tunnel, cli_init, cli_join, cli_leave, cli_check, cli_print,
    cli_pki, cli_status, cli_peers, cli_paths, cli_reload, cli_tun, cli_gateway, cli_help,
    cli_version;

/* In the order in which help lists them, NULL at the end. */
extern const struct cli_verb *const cli_verbs[];

/* Of a list: the verb called name, or the sub-verb whose last word it is; NULL when none is. */
const struct cli_verb *cli_verb_find(const struct cli_verb *const *list, const char *name);

/* The whole program: find the verb, run it, see that its output arrived. */
int cli_main(int argc, char **argv);

/* getopt_long() by the verb's own option table: the letter (of a long form too), -1 at the end,
 * '?' after having said what is wrong. Options may stand after operands, until "--", but for a verb
 * that runs a command. Start with optind = 1. */
int cli_getopt(const struct cli_verb *verb, int argc, char **argv);

/* Explain a verb, or list its sub-verbs. */
void cli_help_verb(const struct cli_verb *verb, FILE *out);

/* "mpquic VERB: TEXT" and the usage line to standard error. Returns EXIT_CODE_USAGE. */
int cli_usage_error(const struct cli_verb *verb, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Say that name is no verb of the list, of = whose sub-verbs these are or NULL, and which may be
 * meant. Returns EXIT_CODE_USAGE. */
int cli_unknown_verb(const struct cli_verb *of, const struct cli_verb *const *list,
                     const char *name);

/* The configuration that a word on the command line means: the file of that name or, where there is
 * none, the one of the instance of that name. Returns given or buf. */
const char *cli_config_file(const char *given, char *buf, size_t size);

/* "usage: mpquic check [--no-files] FILE ...", wrapped, with a newline. Options show their long
 * form when they have one. */
void cli_write_usage(const struct cli_verb *verb, FILE *out);

#endif
