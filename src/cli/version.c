#include <gnutls/gnutls.h>
#include <nghttp3/nghttp3.h>
#include <ngtcp2/ngtcp2.h>
#include <stdio.h>
#include <yaml.h>

#include "base/clockfloor.h"
#include "base/exitcode.h"
#include "cli/cli.h"
#include "status/status.h"

static int run(int argc, char **argv)
{
    char when[STATUS_WORD_MAX];

    if (argc > 1)
        return cli_usage_error(&cli_version, "takes no arguments");
    printf("mpquic %s\n", MPQUIC_VERSION);
    status_time_str(clock_source_date_s(), when);
    printf("sources %s\n", *when ? when : "without a date");
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
    .text = "Prints the version of mpquic and the date of its sources, before which no certificate "
            "is judged whatever the clock says, then the versions of the libraries that it runs "
            "with. The same as mpquic --version.",
    .run = run,
};
