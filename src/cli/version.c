#include <gnutls/gnutls.h>
#include <nghttp3/nghttp3.h>
#include <ngtcp2/ngtcp2.h>
#include <stdio.h>
#include <yaml.h>

#include "base/exitcode.h"
#include "cli/cli.h"

static int run(int argc, char **argv)
{
    if (argc > 1)
        return cli_usage_error(&cli_version, "takes no arguments");
    printf("mpquic %s\n", MPQUIC_VERSION);
    printf("ngtcp2 %s\n", ngtcp2_version(0)->version_str);
    printf("nghttp3 %s\n", nghttp3_version(0)->version_str);
    printf("gnutls %s\n", gnutls_check_version(NULL));
    printf("libyaml %s\n", yaml_get_version_string());
    return EXIT_CODE_OK;
}

const struct cli_verb cli_version = {
    .name = "version",
    .summary = "print the versions of mpquic and of its libraries",
    .args = "",
    .text = "Prints the version of mpquic, then those of the libraries that it runs with. The same "
            "as mpquic --version.",
    .run = run,
};
