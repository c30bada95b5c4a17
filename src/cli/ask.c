#include "cli/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/absent.h"
#include "control/client.h"

#define ANSWER_TIMEOUT_NS (10 * NS_PER_S)

enum { WATCH_S = 1 };

const struct cli_option ask_options[] = {
    {.letter = 'j', .name = "json", .text = "Print JSON instead of text."},
    {0},
};

/* What is worse comes first. */
static enum exit_code worse(enum exit_code a, enum exit_code b)
{
    static const enum exit_code order[] = {
        EXIT_CODE_INTERNAL, EXIT_CODE_USAGE,          EXIT_CODE_UNREACHABLE, EXIT_CODE_NOT_RUNNING,
        EXIT_CODE_NOT_UP,   EXIT_CODE_RESTART_NEEDED, EXIT_CODE_CONFIG};

    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return EXIT_CODE_OK;
}

enum exit_code ask_print_json(struct ask *a, char *json)
{
    if (!json) {
        fprintf(stderr, "mpquic %s: out of memory\n", a->verb->name);
        return EXIT_CODE_INTERNAL;
    }
    printf("%s%s%s", a->named ? "" : a->first ? "[\n" : ",\n", json, a->named ? "\n" : "");
    a->first = false;
    free(json);
    return EXIT_CODE_OK;
}

static enum exit_code no_answer(struct ask *a, const char *name, int rv)
{
    bool dead = rv == -ENOENT || rv == -ECONNREFUSED;
    char path[PLACE_PATH_MAX] = "";

    if (dead && a->dead)
        return a->dead(a, name);
    if (dead)
        fprintf(stderr, "mpquic %s: %s: not running\n", a->verb->name, name);
    else if (rv == -EACCES || rv == -EPERM)
        fprintf(stderr, "mpquic %s: %s: not allowed: be root, or a member of the group of %s\n",
                a->verb->name, name, place_control_socket(name, path) ? "its socket" : path);
    else
        fprintf(stderr, "mpquic %s: %s: no answer: %s\n", a->verb->name, name, strerror(-rv));
    return dead ? EXIT_CODE_NOT_RUNNING : EXIT_CODE_UNREACHABLE;
}

static enum exit_code ask_one(struct ask *a, const char *name)
{
    char *text, err[256];
    size_t len;
    enum exit_code code = EXIT_CODE_UNREACHABLE;
    int rv = control_ask(name, a->cmd, ANSWER_TIMEOUT_NS, &text, &len);

    if (rv)
        return no_answer(a, name, rv);
    if (control_answer_error(text, len, err, sizeof(err)))
        fprintf(stderr, "mpquic %s: %s: %s\n", a->verb->name, name, err);
    else
        code = a->answer(a, name, text, len);
    free(text);
    return code;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The instances that are meant without a NAME: their number, or -errno. */
static int find_all(const struct ask *a, char (**ret)[PLACE_NAME_MAX])
{
    char(*v)[PLACE_NAME_MAX] = NULL, (*grown)[PLACE_NAME_MAX];
    int n = control_instances(&v);
    size_t used = 0;

    if (n >= 0 && a->all_configured) {
        grown = realloc(v, 2 * CONTROL_INSTANCES_MAX * sizeof(*v));
        if (!grown) {
            free(v);
            return -ENOMEM;
        }
        v = grown;
        n += (int)absent_configured(v + n, CONTROL_INSTANCES_MAX);
        qsort(v, (size_t)n, sizeof(*v), by_name);
        for (int i = 0; i < n; i++)
            if (!used || strcmp(v[used - 1], v[i]) != 0)
                memmove(v[used++], v[i], sizeof(*v));
        n = (int)used;
    }
    *ret = v;
    return n;
}

static enum exit_code ask_all(struct ask *a)
{
    char(*names)[PLACE_NAME_MAX] = NULL, dir[PLACE_PATH_MAX] = "";
    enum exit_code code = EXIT_CODE_OK;
    int n = find_all(a, &names);

    if (n <= 0) {
        if (n == 0 && a->json)
            printf("[]\n");
        if (place_run_dir(dir, sizeof(dir)))
            dir[0] = 0;
        fprintf(stderr, "mpquic %s: %s: %s\n", a->verb->name, dir,
                n ? strerror(-n) : "no instance is running");
        free(names);
        return n ? EXIT_CODE_UNREACHABLE : EXIT_CODE_NOT_RUNNING;
    }
    for (int i = 0; i < n; i++)
        code = worse(code, ask_one(a, names[i]));
    if (a->json)
        printf("%s]\n", a->first ? "[" : "\n");
    free(names);
    return code;
}

/* Ask again every second; on a terminal each answer takes the place of the one before. Ends when
 * nobody reads any more, or by a signal. */
static int watch(struct ask *a, const char *name)
{
    for (;;) {
        if (isatty(STDOUT_FILENO))
            fputs("\033[H\033[2J", stdout);
        a->first = true;
        if (name)
            ask_one(a, name);
        else
            ask_all(a);
        if (!a->json && !isatty(STDOUT_FILENO))
            putchar('\n');
        if (fflush(stdout))
            return EXIT_CODE_OK;
        sleep(WATCH_S);
    }
}

int ask_run(struct ask *a, int argc, char **argv)
{
    const char *name;
    int c;

    a->first = true;
    while ((c = cli_getopt(a->verb, argc, argv)) != -1) {
        if (c == 'j')
            a->json = true;
        else if (c == 'w')
            a->watch = true;
        else
            return EXIT_CODE_USAGE;
    }
    if (optind + 1 < argc)
        return cli_usage_error(a->verb, "one instance at a time, or none for all");
    name = optind < argc ? argv[optind] : NULL;
    a->named = name != NULL;
    if (name && place_name_check(name))
        return cli_usage_error(a->verb, "'%s' cannot be the name of an instance", name);
    if (a->watch)
        return watch(a, name);
    return (int)(name ? ask_one(a, name) : ask_all(a));
}
