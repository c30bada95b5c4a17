#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "config/nearest.h"

const struct cli_verb *cli_verb_find(const char *name)
{
    for (const struct cli_verb *const *v = cli_verbs; *v; v++)
        if (!strcmp((*v)->name, name))
            return *v;
    return NULL;
}

void cli_write_usage(const struct cli_verb *verb, FILE *out)
{
    fprintf(out, "mpquic %s", verb->name);
    for (const struct cli_option *o = verb->options; o && o->letter; o++)
        if (o->arg)
            fprintf(out, " -%c %s", o->letter, o->arg);
        else
            fprintf(out, " [-%c]", o->letter);
    fprintf(out, "%s%s", *verb->args ? " " : "", verb->args);
}

int cli_usage_error(const struct cli_verb *verb, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(stderr, "mpquic %s: %s\nusage: ", verb->name, text);
    cli_write_usage(verb, stderr);
    fputc('\n', stderr);
    return EXIT_CODE_USAGE;
}

int cli_getopt(const struct cli_verb *verb, int argc, char **argv)
{
    char letters[64] = "+:"; /* stop at the first operand; report a missing argument as ':' */
    size_t n = 2;
    int c;

    for (const struct cli_option *o = verb->options; o && o->letter && n + 3 < sizeof(letters);
         o++) {
        letters[n++] = o->letter;
        if (o->arg)
            letters[n++] = ':';
    }
    letters[n] = 0;
    c = getopt(argc, argv, letters);
    if (c == ':') {
        cli_usage_error(verb, "option -%c needs an argument", optopt);
        return '?';
    }
    if (c == '?')
        cli_usage_error(verb, "unknown option -%c", optopt);
    return c;
}

static int unknown_verb(const char *name)
{
    struct nearest near = {.word = name};

    for (const struct cli_verb *const *v = cli_verbs; *v; v++)
        nearest_offer(&near, (*v)->name);
    if (near.best)
        fprintf(stderr, "mpquic: unknown verb '%s'; did you mean '%s'?\n", name, near.best);
    else
        fprintf(stderr, "mpquic: unknown verb '%s'; 'mpquic help' lists the verbs\n", name);
    return EXIT_CODE_USAGE;
}

int cli_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct cli_verb *verb;
    int code;

    if (!name) {
        cli_help.run(0, NULL);
        return EXIT_CODE_USAGE;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    else if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        name = "version";
    verb = cli_verb_find(name);
    if (!verb)
        return unknown_verb(name);
    optind = 1;
    if (verb != &cli_help && argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h")))
        code = cli_help.run(2, (char *[]){argv[0], argv[1], NULL});
    else
        code = verb->run(argc - 1, argv + 1);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_CODE_OK) {
        fprintf(stderr, "mpquic %s: cannot write the output: %s\n", verb->name, strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    return code;
}
