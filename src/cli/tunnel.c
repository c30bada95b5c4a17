#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/place.h"
#include "cli/cli.h"
#include "config/config.h"
#include "daemon/daemon.h"

/* A server that would let everybody in has an exit code of its own, when that is all that is
 * wrong. */
static enum exit_code refusal(const struct config_report *report)
{
    for (size_t i = 0; i < report->n; i++)
        if (report->v[i].fatal && report->v[i].kind != CONFIG_PROBLEM_NO_CLIENT_AUTH)
            return EXIT_CODE_CONFIG;
    return EXIT_CODE_NO_CLIENT_AUTH;
}

/* Read the configuration and look at its files; problems go to standard error. */
static enum exit_code load(const char *file, struct tunnel_config *ret)
{
    struct config_report report = {0};
    enum exit_code code = EXIT_CODE_OK;

    if (config_load(file, ret, &report) || config_check_files(ret, &report))
        code = refusal(&report);
    config_report_write(&report, file, stderr);
    config_report_done(&report);
    return code;
}

/* The name that was given, else the file's, else (standard input, odd characters) the TUN's. */
static void find_name(const char *file, const char *given, const struct tunnel_config *config,
                      char name[static PLACE_NAME_MAX])
{
    if (given)
        snprintf(name, PLACE_NAME_MAX, "%s", given);
    else if (place_instance_name(file, name) && place_instance_name(config->tun_name, name))
        snprintf(name, PLACE_NAME_MAX, "tunnel");
}

static int run(int argc, char **argv)
{
    const char *file = NULL, *given = NULL;
    struct tunnel_config config = {0};
    char name[PLACE_NAME_MAX];
    enum exit_code code;
    int c;

    while ((c = cli_getopt(&cli_tunnel, argc, argv)) != -1) {
        if (c == 'c')
            file = optarg;
        else if (c == 'n')
            given = optarg;
        else
            return EXIT_CODE_USAGE;
    }
    if (optind < argc)
        return cli_usage_error(&cli_tunnel, "unexpected argument '%s'", argv[optind]);
    if (!file)
        return cli_usage_error(&cli_tunnel, "option -c FILE is missing");
    if (given && place_name_check(given))
        return cli_usage_error(&cli_tunnel, "'%s' cannot be the name of an instance", given);
    code = load(file, &config);
    find_name(file, given, &config, name);
    if (code == EXIT_CODE_OK)
        code = daemon_run(&config, strcmp(file, "-") != 0 ? file : NULL, name);
    config_done(&config);
    return (int)code;
}

static const struct cli_option options[] = {
    {'c', NULL, "FILE", "The configuration of the instance; see mpquic.yaml(5).", true},
    {'n', "name", "NAME",
     "The name of the instance, by which the other verbs find it. Without this option it is the "
     "name of FILE without directory and \".yaml\"."},
    {0},
};

const struct cli_verb cli_tunnel = {
    .name = "tunnel",
    .summary = "run one tunnel instance, client or server",
    .args = "",
    .text =
        "Runs in the foreground until it is told to stop. Makes the TUN interface, gives it its "
        "addresses, and carries IP packets between it and the peer. A client connects, and "
        "connects again whenever the connection is lost; a server waits for its clients. "
        "Events are logged to standard error, a line each.\n\n"
        "Nothing is started while the configuration has errors. What cannot be cured by trying "
        "again, as a certificate that is not trusted, ends the program with an exit status of "
        "its own.",
    .options = options,
    .run = run,
};
