#include "status/status.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/absent.h"
#include "cli/ask.h"

static char *absent_json(const char *name, const struct absent *v)
{
    json_t *o = json_pack("{s:s, s:s}", "instance", name, "state", "not running");
    char *text, when[STATUS_WORD_MAX], reason[ABSENT_TEXT_MAX];

    status_set_text(reason, sizeof(reason), v->reason);
    if (*reason)
        json_object_set_new(o, "reason", json_string(reason));
    if (v->code)
        json_object_set_new(o, "exit_code", json_integer(v->code));
    if (v->ended_s)
        json_object_set_new(o, "ended", json_string(status_time_str(v->ended_s, when)));
    if (v->off)
        json_object_set_new(o, "enabled", json_false());
    text = json_dumps(o, JSON_INDENT(2));
    json_decref(o);
    return text;
}

static void absent_write(const char *name, const struct absent *v)
{
    char reason[ABSENT_TEXT_MAX], age[STATUS_WORD_MAX];
    int64_t now_s = clock_real_s();

    status_set_text(reason, sizeof(reason), v->reason);
    printf("%s: not running%s%s%s\n", name, v->off ? ", and not enabled" : "", *reason ? ": " : "",
           reason);
    if (v->code && !v->broken)
        printf("  ended         with exit status %d, %s ago\n", v->code,
               status_duration_str((uint64_t)MAX(now_s - v->ended_s, 0), age));
    if (v->broken)
        printf("  see           mpquic check %s\n", v->file);
    else if (v->off)
        printf("  start it      systemctl enable --now mpquic@%s\n", name);
    else if (v->with_service)
        printf("  see           journalctl -u mpquic@%s\n", name);
}

/* A socket that nobody listens on, or none at all. One that nobody has switched on counts only when
 * it was asked for by its name. */
static enum exit_code not_running(struct ask *a, const char *name)
{
    struct absent v;

    absent_find(name, &v);
    if (a->json) {
        ask_print_json(a, absent_json(name, &v));
    } else {
        if (!a->first)
            putchar('\n');
        a->first = false;
        absent_write(name, &v);
    }
    return v.off && !a->named ? EXIT_CODE_OK : EXIT_CODE_NOT_RUNNING;
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
    struct ask a = {.verb = &cli_status,
                    .cmd = CONTROL_STATUS,
                    .answer = answer,
                    .dead = not_running,
                    .all_configured = true};

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
        "NAME, all instances are asked: those in the run directory, and those that the "
        "configuration directory has a file for. Of one that does not run it tells why, as far as "
        "that is known: what is wrong with its configuration, or its last words.\n\n"
        "The state of a client is idle (there is nothing to send from: the reason says what it "
        "waits for), connecting, up, pause (before the next attempt) or failed; a server is "
        "listening. The exit status is 0 when every instance asked is up or listening, 4 when "
        "one is not, and 3 when one is not running, so that scripts can test it. An instance whose "
        "service is not enabled, and was not started otherwise, is listed but does not count.",
    .options = ask_options,
    .run = run,
};
