#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/exitcode.h"
#include "cli/cli.h"
#include "config/config.h"

static enum exit_code print_config(const struct tunnel_config *config)
{
    char *text = config_print(config);

    if (!text) {
        fprintf(stderr, "mpquic print: out of memory\n");
        return EXIT_CODE_INTERNAL;
    }
    fputs(text, stdout);
    free(text);
    return EXIT_CODE_OK;
}

static int run(int argc, char **argv)
{
    struct config_report report = {0};
    struct tunnel_config config = {0};
    enum exit_code code = EXIT_CODE_CONFIG;
    char path[CLI_PATH_MAX];
    const char *file;

    if (cli_getopt(&cli_print, argc, argv) != -1)
        return EXIT_CODE_USAGE;
    if (optind + 1 != argc)
        return cli_usage_error(&cli_print, "exactly one file is needed");
    file = cli_config_file(argv[optind], path, sizeof(path));
    if (!config_load(file, &config, &report))
        code = print_config(&config);
    config_report_write(&report, file, stderr);
    config_report_done(&report);
    config_done(&config);
    return (int)code;
}

const struct cli_verb cli_print = {
    .name = "print",
    .summary = "print the effective configuration",
    .args = "FILE|NAME",
    .text = "Prints the configuration that FILE, or /etc/mpquic/NAME.yaml, amounts to, with every "
            "default filled in. The output "
            "is a configuration itself and means the same. FILE \"-\" is standard input.",
    .run = run,
};
