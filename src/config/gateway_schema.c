#include "config/gateway_schema.h"

#include <string.h>

#include "base/util.h"

static const char *const type_names[] = {"wan", "tunnel", NULL};
static const char *const closed_names[] = {"blackhole", "unreachable", NULL};
static const char *const forward_names[] = {"accept", "drop", NULL};
static const char *const level_names[] = {"error", "info", "debug", NULL};

static const struct config_key link_keys[] = {
    [GATEWAY_LINK_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_LABEL,
            .required = ALL,
            FIELD(gateway_link, name),
            .example = "wan1",
            .help = "name of the link in policies, logs and status",
            .man = "At most 15 characters. Must differ from the names of the other links.",
        },
    [GATEWAY_LINK_KEY_TYPE] =
        {
            .name = "type",
            .type = CONFIG_TYPE_ENUM,
            .names = type_names,
            FIELD(gateway_link, type),
            .def = "wan",
            .example = "tunnel",
            .help = "whether it leads to a provider's router, or into a tunnel",
        },
    [GATEWAY_LINK_KEY_DEVICE] =
        {
            .name = "device",
            .type = CONFIG_TYPE_IFNAME,
            .required = ALL,
            FIELD(gateway_link, device),
            .example = "enp7s3",
            .help = "the network interface",
            .man = "It need not be there: what comes and goes is followed.",
        },
    [GATEWAY_LINK_KEY_TABLE] =
        {
            .name = "table",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_link, table),
            .min = 1,
            .max = UINT32_MAX,
            .unset = "none: nothing can be pinned to the link",
            .example = "100",
            .help = "number of the routing table of the link",
            .man = "It belongs to the gateway alone: it always holds a default route of the worst "
                   "metric that leads nowhere, and, while the link is up, one that leads there.",
        },
    [GATEWAY_LINK_KEY_MARK] =
        {
            .name = "mark",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_link, mark),
            .min = 1,
            .max = UINT32_MAX,
            .unset = "none: it can be pinned to, and not balanced over",
            .example = "1",
            .help = "mark of the flows that use the link, within mark_mask",
            .man = "Each flow over the link carries it in conntrack and keeps to the link; a flow "
                   "that comes in by the link is answered by it. Other bits of the mark stay as "
                   "they are. Each link with a mark has its own, and a table.",
        },
    [GATEWAY_LINK_KEY_GATEWAY] =
        {
            .name = "gateway",
            .type = CONFIG_TYPE_ADDR,
            FIELD(gateway_link, gateway),
            .unset = "the one that the kernel knows is the only one",
            .example = "10.150.1.1",
            .help = "the provider's router, where the table main names none for this interface",
            .man = "Only of a wan.",
        },
    [GATEWAY_LINK_KEY_OVER] =
        {
            .name = "over",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_link, over),
            .unset = "the tunnel does not depend on a link",
            .example = "wan1",
            .help = "the wan that carries the tunnel: without it the tunnel is down",
            .man = "Only of a tunnel.",
        },
    [GATEWAY_LINK_KEY_HUB] =
        {
            .name = "hub",
            .type = CONFIG_TYPE_ADDR,
            FIELD(gateway_link, hub),
            .unset = "the tunnel's own packets find their way by the table main",
            .example = "203.0.113.10",
            .help = "the far end of the tunnel, which is reached over that wan and no other",
            .man = "Only of a tunnel with a table. The route is for sockets that are bound to the "
                   "interface of the wan; what is forwarded never takes it.",
        },
    [GATEWAY_LINK_KEY_PROBE] =
        {
            .name = "probe",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_link, probe),
            .unset = "none: the link is up while the kernel has it up",
            .example = "internet",
            .help = "the entry of probes that finds out whether the link works",
            .man = "What is pinned to a link whose probe fails is closed. A tunnel without a probe "
                   "of its own is closed when that of its wan fails; its own packets still may "
                   "leave.",
        },
    [GATEWAY_LINK_KEY_INSTANCE] =
        {
            .name = "instance",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_link, instance),
            .unset = "none",
            .example = "1",
            .help = "the instance of mpquic that this tunnel is: what it says counts as a target",
            .man = "Only of a tunnel. It answers while it has a connection (of a server: while a "
                   "client is there). Alone, without probe, it is a probe with the default "
                   "settings.",
        },
    [GATEWAY_LINK_KEY_MASQUERADE] =
        {
            .name = "masquerade",
            .type = CONFIG_TYPE_BOOL,
            FIELD(gateway_link, masquerade),
            .def = "false",
            .example = "true",
            .help = "what policies send out by it gets the address of the interface",
            .man = "What is not translated does not leave, even while the rules of nftables are "
                   "gone.",
        },
    [GATEWAY_LINK_KEY_PREFIXES] =
        {
            .name = "prefixes",
            .type = CONFIG_TYPE_PREFIX,
            LIST(gateway_link, prefixes, GATEWAY_PREFIXES_MAX),
            .unset = "none",
            .example = "172.16.1.0/30",
            .help = "networks behind the link, which this machine reaches through it",
            .man = "They are routes in the table main. While the link is down packets to them go "
                   "nowhere else.",
        },
};
_Static_assert(ARRAY_LEN(link_keys) == GATEWAY_LINK_KEY_COUNT, "a key of a link is missing");

const struct config_section gateway_link_schema = {link_keys, ARRAY_LEN(link_keys), "link",
                                                   "links"};

static const struct config_key keys[] = {
    [GATEWAY_KEY_LINKS] =
        {
            .name = "links",
            .type = CONFIG_TYPE_SECTION,
            .required = ALL,
            .section = &gateway_link_schema,
            LIST(gateway_config, links, GATEWAY_LINKS_MAX),
            .example = "",
            .help = "the WANs and tunnels of this machine",
        },
    [GATEWAY_KEY_PROBES] =
        {
            .name = "probes",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_probe_schema,
            LIST(gateway_config, probes, GATEWAY_PROBES_MAX),
            .unset = "none",
            .example = "",
            .help = "how links are found to work",
        },
    [GATEWAY_KEY_POLICIES] =
        {
            .name = "policies",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_policy_schema,
            LIST(gateway_config, policies, GATEWAY_POLICIES_MAX),
            .unset = "none",
            .example = "",
            .help = "what comes from where leaves by which link",
        },
    [GATEWAY_KEY_NAT] =
        {
            .name = "nat",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_map_schema,
            LIST(gateway_config, nat, GATEWAY_MAPS_MAX),
            .unset = "none",
            .example = "",
            .help = "addresses and prefixes that are translated 1:1 on a link",
        },
    [GATEWAY_KEY_PORT_FORWARDS] =
        {
            .name = "port_forwards",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_port_forward_schema,
            LIST(gateway_config, port_forwards, GATEWAY_PORT_FORWARDS_MAX),
            .unset = "none",
            .example = "",
            .help = "ports of this machine that lead to a host behind it",
        },
    [GATEWAY_KEY_ROUTES] =
        {
            .name = "routes",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_route_schema,
            LIST(gateway_config, routes, GATEWAY_ROUTES_MAX),
            .unset = "none",
            .example = "",
            .help = "networks behind inner routers, in the table main and in those of all links",
        },
    [GATEWAY_KEY_DNS] =
        {
            .name = "dns",
            .type = CONFIG_TYPE_SECTION,
            .section = &gateway_dns_schema,
            LIST(gateway_config, dns, GATEWAY_DNS_MAX),
            .unset = "none",
            .example = "",
            .help = "names that get the addresses of links, whenever these change",
        },
    [GATEWAY_KEY_OPEN_UDP] =
        {
            .name = "open_udp",
            .type = CONFIG_TYPE_RANGE,
            LIST(gateway_config, open_udp, GATEWAY_PORTS_MAX),
            .min = 1,
            .max = 65535,
            .def = NULL,
            .unset = "none",
            .example = "45001..45006",
            .help = "UDP ports of this machine that are open, those of its tunnels",
            .man = "With it the services of this machine are closed to what comes out of a tunnel, "
                   "but for ICMP and answers.",
        },
    [GATEWAY_KEY_FORWARD] =
        {
            .name = "forward",
            .type = CONFIG_TYPE_ENUM,
            .names = forward_names,
            FIELD(gateway_config, forward),
            .def = "accept",
            .example = "drop",
            .help = "what becomes of forwarded packets that no policy speaks of",
        },
    [GATEWAY_KEY_CLOSED] =
        {
            .name = "closed",
            .type = CONFIG_TYPE_ENUM,
            .names = closed_names,
            FIELD(gateway_config, closed),
            .def = "blackhole",
            .example = "unreachable",
            .help = "what becomes of a packet that has no way: it vanishes, or its sender is told",
        },
    [GATEWAY_KEY_IPV6] =
        {
            .name = "ipv6",
            .type = CONFIG_TYPE_BOOL,
            FIELD(gateway_config, ipv6),
            .def = "false",
            .example = "true",
            .help = "forward IPv6 too",
            .man = "Otherwise no IPv6 of an interface with a policy goes anywhere.",
        },
    [GATEWAY_KEY_FIRST_PRIORITY] =
        {
            .name = "first_priority",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_config, first_priority),
            .min = 1,
            .max = 32764,
            .def = "1000",
            .example = "1000",
            .help = "priority of the rules that come before those of policies",
        },
    [GATEWAY_KEY_LAST_PRIORITY] =
        {
            .name = "last_priority",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_config, last_priority),
            .min = 3,
            .max = 32765,
            .def = "1099",
            .example = "1099",
            .help = "priority of the rules that end what no policy leads anywhere",
        },
    [GATEWAY_KEY_MARK] =
        {
            .name = "mark",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_config, mark),
            .min = 1,
            .max = UINT32_MAX,
            .def = "1",
            .example = "1",
            .help = "mark of packets that will be translated",
        },
    [GATEWAY_KEY_MARK_MASK] =
        {
            .name = "mark_mask",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_config, mark_mask),
            .min = 1,
            .max = UINT32_MAX,
            .def = "255",
            .example = "255",
            .help = "bits of the mark that belong to the gateway",
        },
    [GATEWAY_KEY_LOG_LEVEL] =
        {
            .name = "log_level",
            .type = CONFIG_TYPE_ENUM,
            .names = level_names,
            FIELD(gateway_config, log_level),
            .def = "info",
            .example = "info",
            .help = "how much is logged",
        },
    [GATEWAY_KEY_EVENT_LOG] =
        {
            .name = "event_log",
            .type = CONFIG_TYPE_PATH,
            FIELD(gateway_config, event_log),
            .unset = "none",
            .example = "/var/log/mpquic/gateway.jsonl",
            .help = "file that gets every event as one line of JSON",
            .man =
                "Links that change, what is applied and repaired, conflicts, starts and stops; "
                "lines that follow from one cause have the same trace. At 8 MiB it is renamed to "
                "FILE.1, in the place of the one before.",
        },
};
_Static_assert(ARRAY_LEN(keys) == GATEWAY_KEY_COUNT, "a key is missing");

const struct config_section gateway_schema = {keys, ARRAY_LEN(keys), "gateway", NULL};

int gateway_config_probe(const struct gateway_config *c, const char *name)
{
    for (unsigned i = 0; *name && i < c->n_probes; i++)
        if (!strcmp(c->probes[i].name, name))
            return (int)i;
    return -1;
}

const struct gateway_probe *gateway_config_probe_of(const struct gateway_config *c, unsigned i)
{
    static struct gateway_probe plain;
    int n = gateway_config_probe(c, c->links[i].probe);

    if (n >= 0)
        return &c->probes[n];
    if (!*c->links[i].instance)
        return NULL;
    config_defaults(&gateway_probe_schema, &plain, sizeof(plain));
    gateway_probe_complete(&plain);
    return &plain;
}

int gateway_config_link(const struct gateway_config *c, const char *name)
{
    for (unsigned i = 0; i < c->n_links; i++)
        if (!strcmp(c->links[i].name, name))
            return (int)i;
    return -1;
}
