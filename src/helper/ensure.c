#include "helper/ensure.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "helper/policy.h"
#include "helper/sandbox.h"
#include "netlink/netlink.h"
#include "tun/tun.h"

enum { RULES_MAX = 256 };

/* Make it or attach to it for a moment, which also makes it persistent and sets its owner. */
static int make(const struct tunnel_config *c, enum ensure_result *ret)
{
    struct sandbox_user user = {0};
    struct tun_opts opts = {.persist = true};
    struct tun_info info;
    int fd = sandbox_user_find(&user);

    if (fd)
        return fd;
    opts.set_owner = user.changes && user.is_service;
    opts.owner = user.uid;
    opts.group = user.gid;
    fd = tun_fd_open(c->tun_name, &opts, &info);
    if (fd == -EBUSY) {
        *ret = ENSURE_IN_USE;
        return 0;
    }
    if (fd < 0)
        return fd;
    close(fd);
    *ret = info.created ? ENSURE_MADE : ENSURE_WAS_THERE;
    return 0;
}

static int set_link(struct netlink *nl, const struct tunnel_config *c,
                    const struct netlink_link *link, enum ensure_result how)
{
    uint32_t mtu = c->mtu ? c->mtu : how == ENSURE_MADE ? (uint32_t)POLICY_MTU_MIN : link->mtu;
    int r = mtu == link->mtu ? 0 : netlink_link_set_mtu(nl, link->index, mtu);

    if (!r && !(link->flags & IFF_UP))
        r = netlink_link_set_up(nl, link->index, true);
    return r;
}

static int set_up(struct netlink *nl, const struct tunnel_config *c, enum ensure_result how,
                  const char **ret_what)
{
    struct netlink_link link;
    int r = netlink_link_by_name(nl, c->tun_name, &link);

    *ret_what = "set it up";
    if (!r)
        r = set_link(nl, c, &link, how);
    for (unsigned i = 0; i < c->n_tun_addr && !r; i++) {
        *ret_what = "add its addresses";
        r = netlink_addr_add(nl, link.index, &c->tun_addr[i], NULL);
    }
    return r;
}

int ensure_tun(const struct tunnel_config *c, const char **ret_what)
{
    enum ensure_result how;
    struct netlink *nl;
    int r;

    *ret_what = "make it";
    r = make(c, &how);
    if (r)
        return r;
    *ret_what = "ask the kernel";
    r = netlink_open(&nl);
    if (r)
        return r;
    r = set_up(nl, c, how, ret_what);
    netlink_close(nl);
    return r ? r : (int)how;
}

bool ensure_tun_exists(const char *name)
{
    struct netlink_link link;
    struct netlink *nl = NULL;
    bool there =
        !netlink_open(&nl) && !netlink_link_by_name(nl, name, &link) && !strcmp(link.kind, "tun");

    netlink_close(nl);
    return there;
}

/* --- and taking it away ---------------------------------------------------------------- */

struct rule_list {
    struct netlink_rule v[RULES_MAX];
    unsigned n;
};

static void append_rule(void *user, const struct netlink_rule *r)
{
    struct rule_list *l = user;

    if (l->n < RULES_MAX)
        l->v[l->n++] = *r;
}

/* Of rules that are ours, those for addresses that no interface has any more. */
static int remove_rules(void)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct rule_list rules = {.n = 0};
    struct netlink *nl = NULL;
    int r = netlink_open(&nl), n = 0;

    if (!r)
        r = netlink_rule_each(nl, append_rule, &rules);
    if (!r)
        r = n = netlink_addr_all(nl, 0, &v);
    for (unsigned i = 0; r >= 0 && i < rules.n; i++) {
        bool there = false;

        for (int k = 0; k < n; k++)
            there |= ip_addr_equal(&v[k].prefix.addr, &rules.v[i].src);
        if (!there)
            netlink_rule_del(nl, &rules.v[i].src, rules.v[i].priority);
    }
    netlink_close(nl);
    return MIN(r, 0);
}

int ensure_no_tun(const char *name)
{
    const struct tun_opts opts = {0};
    struct tun *tun;
    int r;

    if (!ensure_tun_exists(name))
        return 0;
    r = tun_open(name, &opts, &tun);
    if (r)
        return r;
    r = tun_set_persist(tun, false);
    tun_close(tun);
    return r ? r : remove_rules();
}
