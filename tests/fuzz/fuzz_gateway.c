/* Any bytes as a configuration of the gateway: they are read or refused with a problem, and what is
 * read can be put in force: what should be there follows from it, whatever the links do. */
#include <stdint.h>
#include <stdlib.h>

#include "config/gateway.h"
#include "wan/desired.h"

static void check_desired(const struct gateway_config *c)
{
    static struct wan_facts facts;
    struct wan_objects want;

    for (unsigned i = 0; i < c->n_links; i++)
        facts.link[i] = (struct wan_link_facts){.index = (int)i + 1, .up = i % 3, .carrier = i % 5};
    if (wan_desired(c, &facts, &want) == 0)
        for (unsigned i = 0; i < want.n_rules; i++)
            if (want.rules[i].priority < c->first_priority ||
                want.rules[i].priority > c->last_priority)
                abort();
    wan_objects_done(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gateway_config c;
    struct config_report report = {0};
    int err = gateway_config_parse((const char *)data, size, &c, &report);

    if (!err != !report.n_errors)
        abort();
    for (size_t i = 0; i < report.n; i++)
        for (const char *s = report.v[i].text; *s; s++)
            if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
                abort();
    if (!err)
        check_desired(&c);
    config_report_done(&report);
    return 0;
}
