/* What someone should look at, beside certificates: what cannot be sent, what is not forwarded, and
 * peers with a certificate that ends soon or with sources that they may not use. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/instance.h"

enum { PEER_LINES_MAX = 4, ROUTE_TABLE_MAIN = 254, CLOCK_BEHIND_WARN_S = 3600 };

#define BAD_SOURCE_RECENT_NS (600 * NS_PER_S)

static int warn_send(const struct instance *inst, struct status *s)
{
    char text[STATUS_TEXT_MAX], to[NET_ADDR_STR_MAX], age[STATUS_WORD_MAX];
    int rv = 0;

    for (unsigned i = 0; i < inst->n_paths && inst->edge && !rv; i++) {
        const struct instance_path *p = inst->paths[i];
        uint64_t age_ns = loop_now_ns(inst->loop) - p->send_failed_ns;

        if (!p->send_error || !p->bound.len)
            continue;
        snprintf(text, sizeof(text), "%s%.64s%snothing can be sent to %s, for %s: %s",
                 *p->name ? "path " : "", p->name, *p->name ? ": " : "",
                 net_addr_str(&p->remote, to), status_duration_str(age_ns / NS_PER_S, age),
                 strerror(-p->send_error));
        rv = status_add_string(&s->warnings, text);
    }
    return rv;
}

/* --- the clock ------------------------------------------------------------------------- */

/* A clock that is behind, or a time in it that was wrong once: certificates are not valid yet or
 * not any more by it, and nobody would look for that there. */
static int warn_clock(const struct instance *inst, struct status *s)
{
    int64_t behind_s = wallclock_behind_s();
    char text[STATUS_TEXT_MAX], when[STATUS_WORD_MAX], span[STATUS_WORD_MAX];
    int rv = 0;

    if (inst->wallclock.distrusted_s) {
        snprintf(text, sizeof(text),
                 "the time saved last, %s, is too far ahead to be true, and not used",
                 status_time_str(inst->wallclock.distrusted_s, when));
        rv = status_add_string(&s->warnings, text);
    }
    if (rv || behind_s < CLOCK_BEHIND_WARN_S)
        return rv;
    snprintf(text, sizeof(text),
             "the clock is %s behind what is known of the time: certificates are checked by %s; if "
             "the clock is right, remove %.64s.time in the state directory and restart",
             status_duration_str((uint64_t)behind_s, span),
             status_time_str(wallclock_now_s(), when), helper_name(inst->helper));
    return status_add_string(&s->warnings, text);
}

/* --- forwarding ------------------------------------------------------------------------ */

/* A switch of the kernel: whether it is off. What cannot be read is not. */
static bool is_off(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    char c = '1';

    return fd >= 0 && read(fd, &c, 1) == 1 && c == '0';
}

static bool any_of(const struct ip_prefix *v, unsigned n, uint8_t family)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].addr.family == family)
            return true;
    return false;
}

/* Whether the configuration speaks of networks behind this machine or behind its peers. A client
 * with routes in the main table may be alone with them. */
static bool is_router(const struct tunnel_config *c, uint8_t family)
{
    bool yes = false;

    if (c->role == CONFIG_ROLE_CLIENT)
        return c->route_table && c->route_table != ROUTE_TABLE_MAIN &&
               any_of(c->routes, c->n_routes, family);
    for (unsigned i = 0; i < c->n_peers && !yes; i++)
        yes = any_of(c->peers[i].prefix, c->peers[i].n_prefix, family);
    return yes || any_of(c->peer_prefixes, c->n_peer_prefixes, family);
}

/* IPv4 asks the interface that a packet comes in by, IPv6 the switch for all. */
static int warn_forwarding(const struct instance *inst, struct status *s)
{
    char path[96];
    int rv = 0;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", inst->config->tun_name);
    if (inst->tun && is_router(inst->config, 4) && is_off(path))
        rv = status_add_string(&s->warnings,
                               "IPv4 packets of networks behind the tunnel are not forwarded: "
                               "sysctl net.ipv4.ip_forward=1");
    if (!rv && is_router(inst->config, 6) && is_off("/proc/sys/net/ipv6/conf/all/forwarding"))
        rv = status_add_string(&s->warnings,
                               "IPv6 packets of networks behind the tunnel are not forwarded: "
                               "sysctl net.ipv6.conf.all.forwarding=1");
    return rv;
}

/* --- peers ----------------------------------------------------------------------------- */

/* Each returns whether there is something to say of the peer, in text. */

static bool say_expiry(const struct instance *inst, const struct hub_peer_info *p,
                       char text[static STATUS_TEXT_MAX])
{
    char when[STATUS_TEXT_MAX], who[HUB_ID_STR_MAX];

    if (!p->cert_until_s || !status_expiry_str(wallclock_now_s(), p->cert_until_s, when))
        return false;
    snprintf(text, STATUS_TEXT_MAX, "the certificate of peer %.100s %.100s",
             hub_peer_id_str(&p->id, who), when);
    return true;
}

static bool say_bad_source(const struct instance *inst, const struct hub_peer_info *p,
                           char text[static STATUS_TEXT_MAX])
{
    char src[IP_ADDR_STR_MAX], who[HUB_ID_STR_MAX];

    if (!p->bad_sources || loop_now_ns(inst->loop) > p->bad_ns + BAD_SOURCE_RECENT_NS)
        return false;
    snprintf(text, STATUS_TEXT_MAX,
             "%llu packet%s of peer %.100s dropped for a source that it may not use, the last from "
             "%s",
             (unsigned long long)p->bad_sources, p->bad_sources == 1 ? "" : "s",
             hub_peer_id_str(&p->id, who), ip_addr_str(&p->bad, src));
    return true;
}

static bool say_contested(const struct instance *inst, const struct hub_peer_info *p,
                          char text[static STATUS_TEXT_MAX])
{
    char who[HUB_ID_STR_MAX];

    if (p->contested < HUB_CONTESTED ||
        loop_now_ns(inst->loop) > p->contested_ns + HUB_CONTESTED_GAP_NS)
        return false;
    snprintf(text, STATUS_TEXT_MAX,
             "peer %.100s: its place was taken %u times in a row: do two machines have one "
             "certificate? Give each its own, or another instance_id",
             hub_peer_id_str(&p->id, who), p->contested);
    return true;
}

/* The first few, and how many more. */
static int warn_peers(const struct instance *inst, struct status *s,
                      bool (*say)(const struct instance *, const struct hub_peer_info *, char *),
                      const char *more)
{
    unsigned n = hub_peers(inst->hub), said = 0;
    char text[STATUS_TEXT_MAX];
    struct hub_peer_info info;
    int rv = 0;

    for (unsigned i = 0; i < n && !rv; i++)
        if (hub_peer_info(inst->hub, i, &info) && say(inst, &info, text) && said++ < PEER_LINES_MAX)
            rv = status_add_string(&s->warnings, text);
    if (rv || said <= PEER_LINES_MAX)
        return rv;
    snprintf(text, sizeof(text), "%u more peers %s", said - PEER_LINES_MAX, more);
    return status_add_string(&s->warnings, text);
}

int instance_warn(const struct instance *inst, struct status *s)
{
    int rv = warn_send(inst, s);

    if (!rv)
        rv = warn_clock(inst, s);
    if (!rv)
        rv = warn_forwarding(inst, s);
    if (!rv && inst->hub)
        rv = warn_peers(inst, s, say_expiry, "have a certificate that ends soon");
    if (!rv && inst->hub)
        rv = warn_peers(inst, s, say_bad_source, "use sources that they may not use");
    if (!rv && inst->hub)
        rv = warn_peers(inst, s, say_contested, "take their places from each other");
    return rv;
}
