#include "cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/place.h"
#include "config/nearest.h"

enum { OPTIONS_MAX = 24, USAGE_COLUMN = 78, USAGE_INDENT = 11 };

/* The last word of a verb's name: of "pki init", "init". */
static const char *last_word(const char *name)
{
    const char *space = strrchr(name, ' ');

    return space ? space + 1 : name;
}

const struct cli_verb *cli_verb_find(const struct cli_verb *const *list, const char *name)
{
    for (; *list; list++)
        if (!strcmp(last_word((*list)->name), name))
            return *list;
    return NULL;
}

static bool is_option(const struct cli_option *o)
{
    return o && o->letter;
}

/* "--name ARG", in brackets when it may be left out. */
static const char *option_str(const struct cli_option *o, char *buf, size_t size)
{
    char letter[2] = {o->letter, 0};

    snprintf(buf, size, "%s%s%s%s%s%s", o->required ? "" : "[", o->name ? "--" : "-",
             o->name ? o->name : letter, o->arg ? " " : "", o->arg ? o->arg : "",
             o->required ? "" : "]");
    return buf;
}

/* The next piece of a usage line, on a new line when this one is full. */
static void write_piece(FILE *out, const char *piece, size_t *column)
{
    if (*column + 1 + strlen(piece) > USAGE_COLUMN) {
        fprintf(out, "\n%*s", USAGE_INDENT - 1, "");
        *column = USAGE_INDENT - 1;
    }
    fprintf(out, " %s", piece);
    *column += 1 + strlen(piece);
}

void cli_write_usage(const struct cli_verb *verb, FILE *out)
{
    size_t column = (size_t)fprintf(out, "usage: mpquic %s", verb->name);
    char buf[128];

    for (const struct cli_option *o = verb->options; is_option(o); o++)
        write_piece(out, option_str(o, buf, sizeof(buf)), &column);
    if (*verb->args)
        write_piece(out, verb->args, &column);
    fputc('\n', out);
}

int cli_usage_error(const struct cli_verb *verb, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(stderr, "mpquic %s: %s\n", verb->name, text);
    cli_write_usage(verb, stderr);
    return EXIT_CODE_USAGE;
}

/* What getopt_long() stopped at, for a message. */
static const char *culprit(char **argv, char buf[static 3])
{
    if (optopt) {
        buf[0] = '-';
        buf[1] = (char)optopt;
        buf[2] = 0;
        return buf;
    }
    return argv[optind - 1];
}

static void unknown_option(const struct cli_verb *verb, const char *given)
{
    const char *name = given + strspn(given, "-");
    struct nearest near;
    char word[64];

    /* "--name=value": the value is not part of what was misspelt */
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "="), name);
    near = (struct nearest){.word = word};
    for (const struct cli_option *o = verb->options; is_option(o); o++)
        if (o->name && !strncmp(given, "--", 2))
            nearest_offer(&near, o->name);
    if (near.best)
        cli_usage_error(verb, "unknown option %s; did you mean --%s?", given, near.best);
    else
        cli_usage_error(verb, "unknown option %s", given);
}

int cli_getopt(const struct cli_verb *verb, int argc, char **argv)
{
    char letters[2 * OPTIONS_MAX + 3] = "+:"; /* stop at operands; ':' for a missing argument */
    struct option names[OPTIONS_MAX + 1] = {0};
    size_t n = 2, n_names = 0, i = 0;
    char buf[3];
    int c;

    for (const struct cli_option *o = verb->options; is_option(o) && i < OPTIONS_MAX; o++, i++) {
        letters[n++] = o->letter;
        if (o->arg)
            letters[n++] = ':';
        if (o->name)
            names[n_names++] =
                (struct option){o->name, o->arg ? required_argument : no_argument, NULL, o->letter};
    }
    letters[n] = 0;
    opterr = 0;
    c = getopt_long(argc, argv, verb->runs_command ? letters : letters + 1, names, NULL);
    if (c == ':') {
        cli_usage_error(verb, "option %s needs an argument", argv[optind - 1]);
        return '?';
    }
    if (c == '?')
        unknown_option(verb, culprit(argv, buf));
    return c;
}

int cli_unknown_verb(const struct cli_verb *of, const struct cli_verb *const *list,
                     const char *name)
{
    struct nearest near = {.word = name};
    const char *space = of ? " " : "", *head = of ? of->name : "";

    for (const struct cli_verb *const *v = list; *v; v++)
        nearest_offer(&near, last_word((*v)->name));
    fprintf(stderr, "mpquic%s%s: unknown verb '%s'; ", space, head, name);
    if (near.best)
        fprintf(stderr, "did you mean '%s'?\n", near.best);
    else
        fprintf(stderr, "'mpquic help%s%s' lists the verbs\n", space, head);
    return EXIT_CODE_USAGE;
}

const char *cli_config_file(const char *given, char *buf, size_t size)
{
    char dir[PLACE_PATH_MAX];

    if (!access(given, F_OK) || place_name_check(given) || place_conf_dir(dir, sizeof(dir)) ||
        snprintf(buf, size, "%s/%s.yaml", dir, given) >= (int)size || access(buf, F_OK))
        return given;
    return buf;
}

static bool asks_help(const char *arg)
{
    return arg && (!strcmp(arg, "--help") || !strcmp(arg, "-h"));
}

/* Run a verb; argv[0] is its name. */
static int run_verb(const struct cli_verb *verb, int argc, char **argv)
{
    if (verb->subs) {
        const struct cli_verb *sub = argc > 1 ? cli_verb_find(verb->subs, argv[1]) : NULL;

        if (argc < 2 || asks_help(argv[1])) {
            cli_help_verb(verb, argc < 2 ? stderr : stdout);
            return argc < 2 ? EXIT_CODE_USAGE : EXIT_CODE_OK;
        }
        return sub ? run_verb(sub, argc - 1, argv + 1)
                   : cli_unknown_verb(verb, verb->subs, argv[1]);
    }
    if (verb != &cli_help && argc > 1 && asks_help(argv[1])) {
        cli_help_verb(verb, stdout);
        return EXIT_CODE_OK;
    }
    optind = 1;
    return verb->run(argc, argv);
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
    verb = cli_verb_find(cli_verbs, name);
    if (!verb)
        return cli_unknown_verb(NULL, cli_verbs, name);
    code = run_verb(verb, argc - 1, argv + 1);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_CODE_OK) {
        fprintf(stderr, "mpquic %s: cannot write the output: %s\n", verb->name, strerror(errno));
        return EXIT_CODE_INTERNAL;
    }
    return code;
}
