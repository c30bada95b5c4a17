#include "cli/hubfile.h"

#include <stdio.h>

void hub_file_load(const struct pki *p, struct hub_file *ret)
{
    struct config_report report = {0};
    struct pki_error ignored;
    struct pki_hub hub;

    *ret = (struct hub_file){0};
    if (pki_read_hub(p, &hub, &ignored) || !*hub.config ||
        file_read(hub.config, &ret->text, &ignored))
        return;
    snprintf(ret->path, sizeof(ret->path), "%s", hub.config);
    if (!config_parse(ret->text.data, ret->text.len, &ret->config, &report)) {
        ret->present = ret->config.role == CONFIG_ROLE_SERVER;
        if (!ret->present)
            config_done(&ret->config);
    }
    config_report_done(&report);
}

void hub_file_done(struct hub_file *h)
{
    if (h->present)
        config_done(&h->config);
    file_text_done(&h->text);
    h->present = false;
}
