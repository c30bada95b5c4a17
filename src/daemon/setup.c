/* What an instance makes once: credentials and the TUN interface. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/instance.h"

enum { TUN_MTU_MIN = 1280, TUN_ADDRESSES_MAX = 64 };

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

static enum exit_code tun_error(const char *name, int rv)
{
    const char *what = strerror(-rv);

    if (rv == -EBUSY)
        what = "another process has it open: is this instance running already?";
    else if (rv == -EEXIST)
        what = "the name belongs to an interface that is not a TUN: choose another tun_name";
    else if (rv == -EPERM)
        what = "not permitted: run as root or with CAP_NET_ADMIN";
    else if (rv == -ENOENT || rv == -ENXIO)
        what = "the kernel has no TUN driver: modprobe tun";
    log_error("tun %s: %s", name, what);
    return EXIT_CODE_START;
}

static bool is_configured(const struct tunnel_config *c, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (ip_prefix_equal(&c->tun_addr[i], p))
            return true;
    return false;
}

/* The interface outlives the process, and with it what an earlier configuration put on it. Only
 * addresses that we made ourselves are taken away. */
static void remove_stale_addresses(struct instance *inst)
{
    struct netlink_addr v[TUN_ADDRESSES_MAX];
    int n = netlink_addr_list(inst->netlink, tun_ifindex(inst->tun), v, TUN_ADDRESSES_MAX);
    char buf[IP_PREFIX_STR_MAX];

    for (int i = 0; i < MIN(n, TUN_ADDRESSES_MAX); i++) {
        if (!v[i].ours || is_configured(inst->config, &v[i].prefix))
            continue;
        if (!helper_addr_del(inst->helper, &v[i].prefix))
            log_info("tun %s: removed %s: no longer in tun_cidr", inst->config->tun_name,
                     ip_prefix_str(&v[i].prefix, buf));
    }
}

static int add_addresses(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    char buf[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < c->n_tun_addr; i++) {
        int rv = helper_addr_add(inst->helper, &c->tun_addr[i]);

        if (rv) {
            log_error("tun %s: cannot add %s: %s", c->tun_name, ip_prefix_str(&c->tun_addr[i], buf),
                      strerror(-rv));
            return rv;
        }
    }
    return 0;
}

enum exit_code instance_setup_tun(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    int rv = helper_tun_open(inst->helper, &inst->drops, &inst->tun);

    if (rv)
        return tun_error(c->tun_name, rv);
    inst->tun_mtu = c->mtu ? c->mtu : TUN_MTU_MIN;
    rv = helper_tun_mtu(inst->helper, inst->tun_mtu);
    if (!rv)
        rv = helper_tun_up(inst->helper);
    if (rv) {
        log_error("tun %s: cannot set up: %s", c->tun_name, strerror(-rv));
        return EXIT_CODE_START;
    }
    remove_stale_addresses(inst);
    if (add_addresses(inst))
        return EXIT_CODE_START;
    log_info("tun %s: %s, mtu %u%s", c->tun_name, tun_was_created(inst->tun) ? "created" : "found",
             inst->tun_mtu, c->mtu ? "" : " until the path is known");
    return EXIT_CODE_OK;
}

static bool has_ipv6(const struct tunnel_config *c)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (c->tun_addr[i].addr.family == 6)
            return true;
    return false;
}

/* Follow the path, unless the MTU is configured. IPv6 needs 1280 whatever the path carries. */
void instance_set_mtu(struct instance *inst, size_t packet_max)
{
    const struct tunnel_config *c = inst->config;
    uint32_t mtu = (uint32_t)packet_max;
    int rv;

    if (mtu < TUN_MTU_MIN) {
        log_error("path: carries packets of %u bytes only: IPv6 needs %d", mtu, TUN_MTU_MIN);
        if (has_ipv6(c))
            mtu = TUN_MTU_MIN;
    }
    if (c->mtu) {
        if (c->mtu > packet_max)
            log_info("tun %s: mtu %u is more than the path carries (%zu): larger packets are "
                     "fragmented or answered with packet-too-big",
                     c->tun_name, c->mtu, packet_max);
        return;
    }
    if (mtu == inst->tun_mtu)
        return;
    rv = helper_tun_mtu(inst->helper, mtu);
    if (rv) {
        log_error("tun %s: cannot set mtu %u: %s", c->tun_name, mtu, strerror(-rv));
        return;
    }
    inst->tun_mtu = mtu;
    log_info("tun %s: mtu %u", c->tun_name, mtu);
}
