/* Any bytes as a configuration: they are read or refused with a problem, and what is read means
 * the same after printing and reading again, and one peer more after that was added. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/edit.h"
#include "config_problems.h"

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

static void check_add_peer(const struct tunnel_config *c, const uint8_t *data, size_t size)
{
    struct config_peer peer = {.name = "fuzz", .n_prefix = 1};
    struct config_report report = {0};
    char *text = malloc(size + 1), *more;
    struct tunnel_config back;

    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = 0;
    ip_prefix_parse("198.18.255.0/24", &peer.prefix[0]);
    if (!config_add_peer(text, size, &peer, &more, &report)) {
        config_report_done(&report);
        if (config_parse(more, strlen(more), &back, &report) || back.n_peers != c->n_peers + 1)
            abort();
        config_done(&back);
        free(more);
    }
    config_report_done(&report);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_report report = {0};
    struct tunnel_config c;
    int err = config_parse((const char *)data, size, &c, &report);

    config_problems_check(err, &report);
    if (!err)
        check_round_trip(&c);
    if (!err && c.role == CONFIG_ROLE_SERVER)
        check_add_peer(&c, data, size);
    if (!err)
        config_done(&c);
    config_report_done(&report);
    return 0;
}
