#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/ask.h"
#include "status/status.h"

enum { INSTANCES_MAX = 64 };

/* What an instance said, and when. */
struct seen {
    struct status s;
    uint64_t at_ns;
};

/* The last time: rates are told of the time since. */
static struct seen seen[INSTANCES_MAX];
static size_t n_seen;

static struct seen *seen_before(const char *instance)
{
    for (size_t i = 0; i < n_seen; i++)
        if (!strcmp(seen[i].s.instance, instance))
            return &seen[i];
    return NULL;
}

/* In the place of what it said before. Takes over *s. */
static void remember(struct status *s, struct seen *place)
{
    if (place)
        status_done(&place->s);
    else if (n_seen < INSTANCES_MAX)
        place = &seen[n_seen++];
    if (place)
        *place = (struct seen){.s = *s, .at_ns = clock_mono_ns()};
    else
        status_done(s);
}

/* A server has peers, whose paths are theirs. */
static enum exit_code skip_server(const struct ask *a, const char *name)
{
    if (!a->named)
        return EXIT_CODE_OK;
    fprintf(stderr, "mpquic paths: %s is a server: see mpquic peers %s\n", name, name);
    return EXIT_CODE_USAGE;
}

static enum exit_code answer(struct ask *a, const char *name, const char *text, size_t len)
{
    enum exit_code code = EXIT_CODE_OK;
    struct seen *before;
    struct status s;

    if (status_from_json(text, len, &s)) {
        fprintf(stderr, "mpquic paths: %s: cannot read the answer\n", name);
        return EXIT_CODE_INTERNAL;
    }
    if (strcmp(s.role, "client") != 0) {
        status_done(&s);
        return skip_server(a, name);
    }
    a->any = true;
    before = seen_before(s.instance);
    if (a->json) {
        code = ask_print_json(a, status_paths_json(&s, 2));
    } else {
        if (!a->first)
            putchar('\n');
        a->first = false;
        status_write_paths(&s, before ? &before->s : NULL,
                           before ? clock_mono_ns() - before->at_ns : 0, stdout);
    }
    remember(&s, before);
    return code;
}

static int run(int argc, char **argv)
{
    struct ask a = {.verb = &cli_paths, .cmd = CONTROL_STATUS, .answer = answer};
    int code = ask_run(&a, argc, argv);

    if (code != EXIT_CODE_OK || a.named || a.any)
        return code;
    fprintf(stderr, "mpquic paths: no client runs here: mpquic peers tells of a server's peers\n");
    return EXIT_CODE_NOT_RUNNING;
}

static const struct cli_option options[] = {
    {.letter = 'j', .name = "json", .text = "Print JSON instead of text."},
    {.letter = 'w',
     .name = "watch",
     .text = "Ask again every second, until interrupted, and tell what passed since."},
    {0},
};

const struct cli_verb cli_paths = {
    .name = "paths",
    .summary = "tell how the paths of a client do",
    .args = "[NAME]",
    .text =
        "Asks the client instance NAME, or all clients in the run directory, and prints a line "
        "for each path: its state and for how long, whether the policy uses it now, the interface "
        "or address that it sends from, its connections (lanes), smoothed round-trip time, the "
        "least one and its variance, how much longer a packet takes than over the fastest path, "
        "the share of datagrams that were lost, how much of what came over the path came behind "
        "later packets of its flow (overtaken on the way, or sent again) and how long it was held "
        "back on average to keep the order, the rate at which it delivered what was sent when "
        "that was measured last (as much as it can only while it is full), the UDP bytes that came "
        "and went, and its share of them. Below are the last states of each path "
        "with their reasons.\n\n"
        "Bytes, losses and shares are those since the path was made; with --watch, from the "
        "second table on, rates, losses and shares of the time since the table before.",
    .options = options,
    .run = run,
};
