/* What a configuration names and this machine does not have: right when it comes later, and else a
 * slip of the pen, which leaves the interface that was meant without a policy. */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/place.h"
#include "cli/cli.h"
#include "cli/gateway.h"
#include "control/client.h"

static bool is_configured(const char *name)
{
    char dir[PLACE_PATH_MAX], path[CLI_PATH_MAX];

    return !place_conf_dir(dir, sizeof(dir)) &&
           snprintf(path, sizeof(path), "%s/%s.yaml", dir, name) < (int)sizeof(path) &&
           !access(path, F_OK);
}

static bool is_running(const char *name)
{
    char(*names)[PLACE_NAME_MAX] = NULL;
    int n = control_instances(&names);
    bool found = false;

    for (int i = 0; i < n && !found; i++)
        found = !strcmp(names[i], name);
    free(names);
    return found;
}

static void warn_link(const struct gateway_link *l, FILE *out, const char *file)
{
    bool tunnel = l->type == GATEWAY_LINK_TUNNEL;

    if (!if_nametoindex(l->device))
        fprintf(out, "%s: warning: this machine: link %s: there is no interface %s now; %s\n", file,
                l->name, l->device,
                tunnel ? "its tunnel makes it" : "'ip link' lists those that are there");
    if (*l->instance && !is_configured(l->instance) && !is_running(l->instance))
        fprintf(out,
                "%s: warning: this machine: link %s: there is no instance %s; 'mpquic status' "
                "lists those that are there\n",
                file, l->name, l->instance);
}

/* Is it the first policy of its interface? */
static bool is_first(const struct gateway_config *c, unsigned policy)
{
    for (unsigned i = 0; i < policy; i++)
        if (!strcmp(c->policies[i].ingress, c->policies[policy].ingress))
            return false;
    return true;
}

void gatewaycli_write_warnings(const struct gateway_config *c, FILE *out, const char *file)
{
    for (unsigned i = 0; i < c->n_links; i++)
        warn_link(&c->links[i], out, file);
    for (unsigned i = 0; i < c->n_policies; i++)
        if (is_first(c, i) && !if_nametoindex(c->policies[i].ingress))
            fprintf(out,
                    "%s: warning: this machine: there is no interface %s now, which has a policy; "
                    "another one that is meant has none\n",
                    file, c->policies[i].ingress);
}
