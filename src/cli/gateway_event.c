/* What others have learned and the kernel does not know. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/place.h"
#include "cli/gateway.h"
#include "wan/delegation.h"

enum { LIFETIME_MAX_S = INT_MAX };

/* Seconds, or "infinite", as which DHCPv6 counts 4294967295: -1. */
static bool parse_lifetime(const char *s, int64_t *ret)
{
    char *end;
    long long n;

    if (!strcmp(s, "infinite") || !strcmp(s, "4294967295")) {
        *ret = -1;
        return true;
    }
    errno = 0;
    n = strtoll(s, &end, 10);
    if (errno || end == s || *end || n < 0 || n > LIFETIME_MAX_S)
        return false;
    *ret = n;
    return true;
}

static bool is_ifname(const char *s)
{
    return *s && strlen(s) < 16 && !strpbrk(s, "/ \t\n") && strcmp(s, ".") != 0 &&
           strcmp(s, "..") != 0;
}

static enum exit_code set_prefix(const char *device, const struct ip_prefix *prefix,
                                 int64_t lifetime_s)
{
    int64_t until_s = lifetime_s < 0 ? 0 : clock_real_s() + lifetime_s;
    char dir[PLACE_PATH_MAX], text[IP_PREFIX_STR_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));

    if (!rv)
        rv = delegations_set(dir, device, lifetime_s ? prefix : NULL, until_s);
    if (rv < 0) {
        fprintf(stderr, "mpquic gateway event: nothing was changed: %s\n", strerror(-rv));
        return EXIT_CODE_START;
    }
    if (lifetime_s)
        printf("%s: %s is delegated\n", device, ip_prefix_str(prefix, text));
    else
        printf("%s: nothing is delegated\n", device);
    return EXIT_CODE_OK;
}

static int run_event(int argc, char **argv)
{
    struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_options(&cli_gateway_event, argc, argv, &v);
    struct ip_prefix prefix, net;
    int64_t lifetime_s;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.n_args != 4 || strcmp(v.args[0], "pd") != 0)
        return cli_usage_error(&cli_gateway_event, "pd IFACE PREFIX LIFETIME is needed");
    if (!is_ifname(v.args[1]))
        return cli_usage_error(&cli_gateway_event, "'%s' is no name of an interface", v.args[1]);
    if (!strchr(v.args[2], '/') || ip_prefix_parse(v.args[2], &prefix) || prefix.addr.family != 6 ||
        !prefix.len || prefix.len > 127 || ip_addr_is_linklocal(&prefix.addr) ||
        ip_addr_is_multicast(&prefix.addr))
        return cli_usage_error(&cli_gateway_event, "'%s' is no prefix of IPv6", v.args[2]);
    if (!parse_lifetime(v.args[3], &lifetime_s))
        return cli_usage_error(&cli_gateway_event,
                               "'%s' is neither a number of seconds nor infinite", v.args[3]);
    net = ip_prefix_network(&prefix);
    return (int)set_prefix(v.args[1], &net, lifetime_s);
}

static const struct cli_option event_options[] = {{0}};

const struct cli_verb cli_gateway_event = {
    .name = "gateway event",
    .summary = "tell the gateway what a client of DHCP has learned",
    .args = "pd IFACE PREFIX LIFETIME",
    .text = "To be called by a hook of the client: the provider behind IFACE has delegated PREFIX "
            "for LIFETIME seconds (0: no longer; infinite). Entries of nat with delegated use it "
            "at once: flows that have another one are ended, and nothing leaves with it any more. "
            "It is kept on the disk, so that a restart does not forget it, and ends by itself.",
    .options = event_options,
    .run = run_event,
};
