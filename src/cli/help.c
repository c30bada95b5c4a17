#include <stdio.h>
#include <string.h>

#include "base/exitcode.h"
#include "base/util.h"
#include "cli/cli.h"

enum { WRAP_COLUMN = 78 };

/* Words of text, wrapped, each line indented. */
static void write_wrapped(FILE *out, const char *text, unsigned indent)
{
    unsigned column = 0;

    while (*text) {
        size_t n = strcspn(text, " \n");

        if (column && column + 1 + n > WRAP_COLUMN) {
            fputc('\n', out);
            column = 0;
        }
        if (n) {
            fprintf(out, "%*s%.*s", column ? 1 : (int)indent, "", (int)n, text);
            column += (column ? 1 : indent) + (unsigned)n;
        }
        text += n;
        if (!strncmp(text, "\n\n", 2)) {
            fputs("\n\n", out);
            column = 0;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

static void list(const struct cli_verb *const *verbs, FILE *out)
{
    int width = 0;

    for (const struct cli_verb *const *v = verbs; *v; v++)
        width = MAX(width, (int)strlen((*v)->name));
    for (const struct cli_verb *const *v = verbs; *v; v++)
        fprintf(out, "  %-*s  %s\n", width, (*v)->name, (*v)->summary);
}

static void list_verbs(FILE *out)
{
    fputs("usage: mpquic VERB [OPTION ...] [ARGUMENT ...]\n\n", out);
    list(cli_verbs, out);
    fputs("\nA new hub begins with init, a new edge with join: the tutorial,\n"
          "/usr/share/doc/mpquic/tutorial.md, leads through both. 'mpquic help VERB'\n"
          "explains a verb; see also mpquic(8) and mpquic.yaml(5).\n",
          out);
}

void cli_help_verb(const struct cli_verb *v, FILE *out)
{
    if (v->subs) {
        fprintf(out, "usage: mpquic %s VERB [OPTION ...] [ARGUMENT ...]\n\n", v->name);
        list(v->subs, out);
        fputc('\n', out);
        write_wrapped(out, v->text, 0);
        return;
    }
    cli_write_usage(v, out);
    fputc('\n', out);
    write_wrapped(out, v->text, 0);
    for (const struct cli_option *o = v->options; o && o->letter; o++) {
        fprintf(out, "\n  -%c%s%s%s%s\n", o->letter, o->name ? ", --" : "", o->name ? o->name : "",
                o->arg ? " " : "", o->arg ? o->arg : "");
        write_wrapped(out, o->text, 6);
    }
}

/* argc 0: the program was called without a verb, which is a usage error of its caller. */
static int run(int argc, char **argv)
{
    const struct cli_verb *v, *sub;

    if (argc <= 1) {
        list_verbs(argc ? stdout : stderr);
        return EXIT_CODE_OK;
    }
    v = cli_verb_find(cli_verbs, argv[1]);
    if (!v)
        return cli_unknown_verb(NULL, cli_verbs, argv[1]);
    if (argc > 3 || (argc > 2 && !v->subs))
        return cli_usage_error(&cli_help, "one verb at a time");
    sub = argc > 2 ? cli_verb_find(v->subs, argv[2]) : v;
    if (!sub)
        return cli_unknown_verb(v, v->subs, argv[2]);
    cli_help_verb(sub, stdout);
    return EXIT_CODE_OK;
}

const struct cli_verb cli_help = {
    .name = "help",
    .summary = "list the verbs, or explain one",
    .args = "[VERB [SUB-VERB]]",
    .text = "Without an argument lists the verbs. With one explains it.",
    .run = run,
};
