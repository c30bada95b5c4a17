#include "config/config.h"

/* The entry of multipath_paths; NULL: the instance's own keys are the only path. */
static const struct config_path *entry(const struct tunnel_config *c, unsigned i)
{
    return c->role == CONFIG_ROLE_CLIENT && c->multipath_enabled && i < c->n_paths ? &c->paths[i]
                                                                                   : NULL;
}

unsigned config_paths(const struct tunnel_config *c)
{
    return entry(c, 0) ? c->n_paths : 1;
}

const char *config_path_name(const struct tunnel_config *c, unsigned i)
{
    const struct config_path *p = entry(c, i);

    return p ? p->name : "";
}

const struct config_bind *config_path_bind(const struct tunnel_config *c, unsigned i)
{
    const struct config_path *p = entry(c, i);

    return p ? &p->bind : &c->bind;
}

const char *config_path_remote(const struct tunnel_config *c, unsigned i)
{
    const struct config_path *p = entry(c, i);

    return p && p->remote_addr[0] ? p->remote_addr : c->remote_addr;
}

uint16_t config_path_port(const struct tunnel_config *c, unsigned i)
{
    const struct config_path *p = entry(c, i);

    return p && p->remote_port ? p->remote_port : c->remote_port;
}
