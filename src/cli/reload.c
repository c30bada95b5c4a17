#include "status/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"

static enum exit_code code_of(enum reload_result r)
{
    switch (r) {
    case RELOAD_UNCHANGED:
    case RELOAD_APPLIED:
        return EXIT_CODE_OK;
    case RELOAD_INVALID:
        return EXIT_CODE_CONFIG;
    case RELOAD_RESTART:
        return EXIT_CODE_RESTART_NEEDED;
    default:
        return EXIT_CODE_INTERNAL;
    }
}

static enum exit_code answer(struct ask *a, const char *name, const char *text, size_t len)
{
    struct reload_outcome o;
    enum exit_code code;

    if (reload_outcome_from_json(text, len, &o)) {
        fprintf(stderr, "mpquic reload: %s: cannot read the answer\n", name);
        return EXIT_CODE_INTERNAL;
    }
    code = code_of(reload_outcome_result(&o));
    if (a->json) {
        ask_print_json(a, reload_outcome_json(&o));
    } else {
        fflush(stdout);
        reload_outcome_write(&o, code == EXIT_CODE_OK ? stdout : stderr);
    }
    reload_outcome_done(&o);
    return code;
}

static int run(int argc, char **argv)
{
    struct ask a = {.verb = &cli_reload, .cmd = CONTROL_RELOAD, .answer = answer};

    return ask_run(&a, argc, argv);
}

const struct cli_verb cli_reload = {
    .name = "reload",
    .summary = "let running instances read their configuration anew",
    .args = "[NAME]",
    .text =
        "Tells the instance NAME, or all instances in the run directory, to read its configuration "
        "file and the files that it names anew, and says what came of it. What has changed is put "
        "in force without dropping sessions, but for those that lose their right by it.\n\n"
        "When the file has errors they are listed and nothing changes: exit status 1. When a key "
        "has changed that a running instance cannot take over, it is named and nothing changes: "
        "exit status 5; restart the instance then. SIGHUP does the same, and tells the log.",
    .options = ask_options,
    .run = run,
};
