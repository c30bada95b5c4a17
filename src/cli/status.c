#include "status/status.h"

#include <stdio.h>
#include <string.h>

#include "cli/ask.h"

/* A socket that nobody listens on, or none at all. */
static void not_running(struct ask *a, const char *name)
{
    char *json = NULL;

    if (a->json) {
        if (asprintf(&json, "{\"instance\":\"%s\",\"state\":\"not running\"}", name) < 0)
            json = NULL;
        ask_print_json(a, json);
    } else {
        printf("%s%s: not running\n", a->first ? "" : "\n", name);
        a->first = false;
    }
}

static enum exit_code answer(struct ask *a, const char *name, const char *text, size_t len)
{
    enum exit_code code = EXIT_CODE_OK;
    struct status s;

    if (status_from_json(text, len, &s)) {
        fprintf(stderr, "mpquic status: %s: cannot read the answer\n", name);
        return EXIT_CODE_INTERNAL;
    }
    if (a->json) {
        code = ask_print_json(a, status_json(&s, 2));
    } else {
        if (!a->first)
            putchar('\n');
        a->first = false;
        status_write_text(&s, stdout);
    }
    if (code == EXIT_CODE_OK && !status_is_up(&s))
        code = EXIT_CODE_NOT_UP;
    status_done(&s);
    return code;
}

static int run(int argc, char **argv)
{
    struct ask a = {
        .verb = &cli_status, .cmd = CONTROL_STATUS, .answer = answer, .dead = not_running};

    return ask_run(&a, argc, argv);
}

const struct cli_verb cli_status = {
    .name = "status",
    .summary = "tell what running instances do",
    .args = "[NAME]",
    .text =
        "Asks the instance NAME over its control socket and prints its state, its server or "
        "peers, tunnel addresses, path (round-trip time, congestion window, losses, path MTU), "
        "packets and bytes, dropped packets by reason, certificates and the last error. Without "
        "NAME, all instances in the run directory are asked.\n\n"
        "The state of a client is idle (there is nothing to send from: the reason says what it "
        "waits for), connecting, up, pause (before the next attempt) or failed; a server is "
        "listening. The exit status is 0 when every instance asked is up or listening, 4 when "
        "one is not, and 3 when one is not running, so that scripts can test it.",
    .options = ask_options,
    .run = run,
};
