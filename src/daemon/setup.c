/* What an instance makes once: credentials and the TUN interface. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/instance.h"

enum { TUN_MTU_MIN = 1280 };

/* --- credentials ----------------------------------------------------------------------- */

int daemon_check_credentials(const struct tunnel_config *config, char *err, size_t len)
{
    struct credentials cred = {0};
    int rv = credentials_load(config, NULL, false, &cred, err, len);

    credentials_done(&cred);
    return rv;
}

enum exit_code instance_load_credentials(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    char err[512];

    if (c->role == CONFIG_ROLE_SERVER && !*c->tls_ca_file && !*c->tokens_file) {
        log_error("no client authentication configured: set tls_ca_file or tokens_file");
        return EXIT_CODE_NO_CLIENT_AUTH;
    }
    if (credentials_load(c, inst->helper, false, &inst->cred, err, sizeof(err))) {
        log_error("credentials: %s", err);
        return EXIT_CODE_CONFIG;
    }
    if (c->tls_insecure_skip_verify)
        log_error("tls: the server's certificate is NOT verified (tls_insecure_skip_verify)");
    return EXIT_CODE_OK;
}

/* --- TUN ------------------------------------------------------------------------------- */

enum exit_code instance_setup_tun(struct instance *inst)
{
    inst->tun_mtu = inst->config->mtu ? inst->config->mtu : TUN_MTU_MIN;
    return upkeep_start(inst);
}

static bool has_ipv6(const struct tunnel_config *c)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (c->tun_addr[i].addr.family == 6)
            return true;
    return !c->n_tun_addr; /* the hub may assign one */
}

/* The configured MTU, else that of the path once it is known. IPv6 needs 1280 whatever the path
 * carries. */
static uint32_t wanted_mtu(const struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    uint32_t mtu = (uint32_t)inst->history.packet_max;

    if (c->mtu)
        return c->mtu;
    return mtu < TUN_MTU_MIN && (!mtu || has_ipv6(c)) ? TUN_MTU_MIN : mtu;
}

void instance_set_mtu(struct instance *inst, size_t packet_max)
{
    const struct tunnel_config *c = inst->config;

    inst->history.packet_max = packet_max;
    if (packet_max < TUN_MTU_MIN)
        log_error("path: carries packets of %zu bytes only: IPv6 needs %d", packet_max,
                  TUN_MTU_MIN);
    if (c->mtu > packet_max)
        log_info("tun %s: mtu %u is more than the path carries (%zu): larger packets are "
                 "fragmented or answered with packet-too-big",
                 c->tun_name, c->mtu, packet_max);
    instance_apply_mtu(inst);
}

void instance_apply_mtu(struct instance *inst)
{
    upkeep_set_mtu(inst, wanted_mtu(inst));
}
