#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "status/status.h"

/* A client has a server, not peers: it is told so when it was asked for by its name. */
static enum exit_code skip_client(const struct ask *a, const char *name)
{
    if (!a->named)
        return EXIT_CODE_OK;
    fprintf(stderr, "mpquic peers: %s is a client: see mpquic status %s\n", name, name);
    return EXIT_CODE_USAGE;
}

static enum exit_code answer(struct ask *a, const char *name, const char *text, size_t len)
{
    enum exit_code code = EXIT_CODE_OK;
    struct status s;

    if (status_from_json(text, len, &s)) {
        fprintf(stderr, "mpquic peers: %s: cannot read the answer\n", name);
        return EXIT_CODE_INTERNAL;
    }
    a->any |= !strcmp(s.role, "server");
    if (strcmp(s.role, "server") != 0) {
        code = skip_client(a, name);
    } else if (a->json) {
        code = ask_print_json(a, status_peers_json(&s, 2));
    } else {
        if (!a->first)
            putchar('\n');
        a->first = false;
        status_write_peers(&s, stdout);
    }
    status_done(&s);
    return code;
}

static int run(int argc, char **argv)
{
    struct ask a = {.verb = &cli_peers, .cmd = CONTROL_PEERS, .answer = answer};

    int code = ask_run(&a, argc, argv);

    if (code != EXIT_CODE_OK || a.named || a.any)
        return code;
    fprintf(stderr, "mpquic peers: no server runs here: mpquic status tells of the clients\n");
    return EXIT_CODE_NOT_RUNNING;
}

const struct cli_verb cli_peers = {
    .name = "peers",
    .summary = "list who is connected to a server",
    .args = "[NAME]",
    .text =
        "Asks the server instance NAME, or all servers in the run directory, and prints a line "
        "for each connected peer: the name of its certificate or token, its instance id, the "
        "address and UDP port that it comes from, its tunnel addresses, the prefixes behind "
        "it and the number of addresses learned there, how long it has been connected, how long "
        "nothing has come from it, the smoothed round-trip time, bytes received from it and sent "
        "to it, the share of "
        "datagrams to it that were lost, and the packets from it that were dropped for a source "
        "that it may not use. Of a peer with several paths the number of paths is told, and a "
        "table "
        "of them follows, as mpquic paths has it on the other end, by the names that the peer "
        "gives "
        "them. Then come those who are not there: peers that have gone, with when "
        "and why, and entries of the configuration that nobody has used since the server started.",
    .options = ask_options,
    .run = run,
};
