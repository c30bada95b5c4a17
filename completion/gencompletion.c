/* Write the completion of the command line for bash: the script mpquic.bash with the descriptors of
 * the verbs in the place of its line @VERBS@. Run by the build: gencompletion SCRIPT. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

/* What an argument called so is. A NAME is that of an instance where a verb of its own takes it;
 * sub-verbs name certificates. */
static const char *kind_of(const char *arg, bool names_instance)
{
    if (strstr(arg, "FILE"))
        return "file";
    if (strstr(arg, "DIR"))
        return "dir";
    if (strstr(arg, "IFNAME"))
        return "interface";
    if (names_instance && strstr(arg, "NAME"))
        return "instance";
    return "-";
}

/* Of "pki init", "init". */
static const char *last_word(const char *name)
{
    const char *space = strrchr(name, ' ');

    return space ? space + 1 : name;
}

static void write_words(const struct cli_verb *const *list)
{
    printf(" subs='");
    for (const struct cli_verb *const *v = list; *v; v++)
        printf("%s%s", v == list ? "" : " ", last_word((*v)->name));
    printf("'");
}

static void write_options(const struct cli_verb *v)
{
    printf(" options='");
    for (const struct cli_option *o = v->options; o && o->letter; o++)
        if (o->name)
            printf("--%s ", o->name);
        else
            printf("-%c ", o->letter);
    printf("--help' values='");
    for (const struct cli_option *o = v->options; o && o->letter; o++) {
        if (!o->arg)
            continue;
        printf(" -%c:%s", o->letter, kind_of(o->arg, false));
        if (o->name)
            printf(" --%s:%s", o->name, kind_of(o->arg, false));
    }
    printf("'");
}

static void write_verb(const struct cli_verb *v)
{
    printf("    '%s')", v->name);
    if (v->subs)
        write_words(v->subs);
    write_options(v);
    if (*v->args)
        printf(" operand=%s", kind_of(v->args, !strchr(v->name, ' ')));
    printf(" ;;\n");
    for (const struct cli_verb *const *sub = v->subs; sub && *sub; sub++)
        write_verb(*sub);
}

static void write_verbs(void)
{
    printf("    '')");
    write_words(cli_verbs);
    printf(" options='--help --version' ;;\n");
    for (const struct cli_verb *const *v = cli_verbs; *v; v++)
        write_verb(*v);
}

int main(int argc, char **argv)
{
    char line[256];
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;

    if (!f) {
        fprintf(stderr, "usage: gencompletion SCRIPT\n");
        return 2;
    }
    while (fgets(line, sizeof(line), f))
        if (!strcmp(line, "@VERBS@\n"))
            write_verbs();
        else
            fputs(line, stdout);
    fclose(f);
    return 0;
}
