/* Any bytes as a configuration: they are read or refused with a problem, and what is read means
 * the same after printing and reading again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static void check_round_trip(const struct tunnel_config *c)
{
    struct config_report report = {0};
    struct tunnel_config back;
    char *text = config_print(c);

    if (!text)
        return;
    if (config_parse(text, strlen(text), &back, &report) || !config_equal(c, &back))
        abort();
    config_done(&back);
    config_report_done(&report);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_report report = {0};
    struct tunnel_config c;
    int err = config_parse((const char *)data, size, &c, &report);

    if (!err != !report.n_errors)
        abort();
    for (size_t i = 0; i < report.n; i++)
        for (const char *s = report.v[i].text; *s; s++)
            if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
                abort();
    if (!err)
        check_round_trip(&c);
    if (!err)
        config_done(&c);
    config_report_done(&report);
    return 0;
}
