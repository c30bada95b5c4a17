#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "base/place.h"
#include "cli/checklinks.h"
#include "cli/cli.h"
#include "cli/service.h"
#include "config/config.h"
#include "daemon/checkcreds.h"
#include "daemon/daemon.h"

/* What `mpquic tunnel` would find when it loads the certificate and its key. */
static int check_credentials(const struct tunnel_config *config, struct config_report *report)
{
    char err[512];
    int rv = daemon_check_credentials(config, err, sizeof(err));

    if (rv)
        daemon_report_credentials(config, err, report);
    return rv;
}

/* Check one file and say so. Returns true when it has no error. */
static bool check_file(const char *file, bool look_at_files)
{
    struct config_report report = {0};
    struct tunnel_config config = {0};
    char name[PLACE_NAME_MAX];
    int err = config_load(file, &config, &report);

    if (!err && look_at_files)
        err = config_check_files(&config, &report) || check_credentials(&config, &report);
    if (!err && look_at_files) {
        daemon_check_certificates(
            &config, service_now_s(place_instance_name(file, name) ? NULL : name), &report);
        err = report.n_errors != 0;
    }
    if (!err && look_at_files)
        check_links(&config, &report);
    config_report_write(&report, file, stdout);
    if (!err)
        printf("%s: ok\n", file);
    config_report_done(&report);
    config_done(&config);
    return !err;
}

static int run(int argc, char **argv)
{
    bool look_at_files = true, ok = true;
    char path[CLI_PATH_MAX];
    int c;

    while ((c = cli_getopt(&cli_check, argc, argv)) != -1) {
        if (c != 'n')
            return EXIT_CODE_USAGE;
        look_at_files = false;
    }
    if (optind == argc)
        return cli_usage_error(&cli_check, "no file is named");
    for (; optind < argc; optind++)
        ok &= check_file(cli_config_file(argv[optind], path, sizeof(path)), look_at_files);
    return ok ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}

static const struct cli_option options[] = {
    {'n', "no-files", NULL,
     "Do not look at the certificate, key and token files that the configuration names, nor at the "
     "interfaces of this machine."},
    {0},
};

const struct cli_verb cli_check = {
    .name = "check",
    .summary = "check configuration files and report every problem",
    .args = "FILE|NAME ...",
    .text =
        "Reads each FILE, or /etc/mpquic/NAME.yaml, and prints all of its problems, one a line, as "
        "FILE:LINE:COLUMN: error: TEXT; HINT, or warning instead of error. A file without "
        "errors is reported as ok. The files that a configuration names are looked at too: "
        "whether they are there, can be read and hold what they should, whether key and "
        "certificate belong together, whether a certificate has expired, will within 14 days, "
        "or is not for this end; and the interfaces: whether those that are named are there. "
        "FILE \"-\" is standard "
        "input.",
    .options = options,
    .run = run,
};
