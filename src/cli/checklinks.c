#include "cli/checklinks.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "config/report.h"
#include "config/schema.h"

static void check_bind(const struct config_bind *b, struct config_where at,
                       struct config_report *report)
{
    if (*b->ifname && !if_nametoindex(b->ifname))
        report_add(report, false, at,
                   "right when it comes later: the instance waits for it; 'ip link' lists those "
                   "that are there",
                   "there is no interface '%s' now", b->ifname);
}

/* Whether an interface that is there is no TUN or TAP; false when the kernel does not say. */
static bool is_other_kind(const char *name)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq req = {.ifr_data = (void *)&info};
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
    if (fd < 0 || !if_nametoindex(name))
        return false;
    return ioctl(fd, SIOCETHTOOL, &req) || strcmp(info.driver, "tun") != 0;
}

void check_links(const struct tunnel_config *c, struct config_report *report)
{
    check_bind(&c->bind, report->where[CONFIG_KEY_BIND_IP], report);
    for (unsigned i = 0; i < c->n_paths; i++)
        check_bind(&c->paths[i].bind, report->where[CONFIG_KEY_MULTIPATH_PATHS], report);
    if (is_other_kind(c->tun_name))
        report_add(report, false, report->where[CONFIG_KEY_TUN_NAME],
                   "choose another tun_name: the instance makes its interface itself",
                   "'%s' is an interface of this machine that is not a TUN", c->tun_name);
}
