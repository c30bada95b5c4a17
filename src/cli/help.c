#include <stdio.h>
#include <string.h>

#include "base/exitcode.h"
#include "cli/cli.h"

enum { WRAP_COLUMN = 78 };

/* Words of text, wrapped, each line indented. */
static void write_wrapped(const char *text, unsigned indent)
{
    unsigned column = 0;

    while (*text) {
        size_t n = strcspn(text, " \n");

        if (column && column + 1 + n > WRAP_COLUMN) {
            putchar('\n');
            column = 0;
        }
        if (n) {
            printf("%*s%.*s", column ? 1 : (int)indent, "", (int)n, text);
            column += (column ? 1 : indent) + (unsigned)n;
        }
        text += n;
        if (!strncmp(text, "\n\n", 2)) {
            printf("\n\n");
            column = 0;
        }
        text += strspn(text, " \n");
    }
    putchar('\n');
}

static void list_verbs(FILE *out)
{
    fputs("usage: mpquic VERB [OPTION ...] [ARGUMENT ...]\n\n", out);
    for (const struct cli_verb *const *v = cli_verbs; *v; v++)
        fprintf(out, "  %-10s %s\n", (*v)->name, (*v)->summary);
    fputs("\n'mpquic help VERB' explains one; see also mpquic(8) and mpquic.yaml(5).\n", out);
}

static void explain(const struct cli_verb *v)
{
    printf("usage: ");
    cli_write_usage(v, stdout);
    printf("\n\n");
    write_wrapped(v->text, 0);
    for (const struct cli_option *o = v->options; o && o->letter; o++) {
        printf("\n  -%c%s%s\n", o->letter, o->arg ? " " : "", o->arg ? o->arg : "");
        write_wrapped(o->text, 6);
    }
}

/* argc 0: the program was called without a verb, which is a usage error of its caller. */
static int run(int argc, char **argv)
{
    const struct cli_verb *v;

    if (argc <= 1) {
        list_verbs(argc ? stdout : stderr);
        return EXIT_CODE_OK;
    }
    if (argc > 2)
        return cli_usage_error(&cli_help, "one verb at a time");
    v = cli_verb_find(argv[1]);
    if (!v)
        return cli_usage_error(&cli_help, "unknown verb '%s'", argv[1]);
    explain(v);
    return EXIT_CODE_OK;
}

const struct cli_verb cli_help = {
    .name = "help",
    .summary = "list the verbs, or explain one",
    .args = "[VERB]",
    .text = "Without an argument lists the verbs. With one explains it.",
    .run = run,
};
