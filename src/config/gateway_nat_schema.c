#include "base/util.h"
#include "config/gateway_schema.h"

static const char *const protocol_names[] = {"tcp", "udp", NULL};

static const struct config_key map_keys[] = {
    [GATEWAY_MAP_KEY_LINK] =
        {
            .name = "link",
            .type = CONFIG_TYPE_LABEL,
            .required = ALL,
            FIELD(gateway_map, link),
            .example = "att",
            .help = "the link on which it is translated",
        },
    [GATEWAY_MAP_KEY_INSIDE] =
        {
            .name = "inside",
            .type = CONFIG_TYPE_NET,
            .required = ALL,
            FIELD(gateway_map, inside),
            .example = "10.250.250.2",
            .help = "the address, or the prefix, that hosts behind this machine have",
            .man = "What leaves by the link from there has the outside one, host bits unchanged, "
                   "and what comes in by the link to the outside one goes there. On a link with "
                   "translations of a family nothing of that family leaves untranslated, even "
                   "while the rules of nftables are gone.",
        },
    [GATEWAY_MAP_KEY_OUTSIDE] =
        {
            .name = "outside",
            .type = CONFIG_TYPE_NET,
            FIELD(gateway_map, outside),
            .unset = "none: with delegated it is a part of the delegated prefix",
            .example = "104.57.226.193",
            .help = "the address, or the prefix of the same length, that the Internet sees",
            .man = "A single address is put on the interface of the link while that is up, so that "
                   "it answers ARP, unless somebody else has put it there.",
        },
    [GATEWAY_MAP_KEY_DELEGATED] =
        {
            .name = "delegated",
            .type = CONFIG_TYPE_BOOL,
            FIELD(gateway_map, delegated),
            .def = "false",
            .example = "true",
            .help = "the outside one is a part of the prefix that the provider delegates",
            .man = "IPv6. Which prefix that is says mpquic gateway event pd. While there is none, "
                   "or one that is too small, the link is unhealthy in IPv6.",
        },
    [GATEWAY_MAP_KEY_SUBNET] =
        {
            .name = "subnet",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_map, subnet),
            .min = 0,
            .max = UINT32_MAX,
            .def = "0",
            .example = "1",
            .help = "which part of the delegated prefix, counted in parts as large as inside",
            .man = "For an address it is the number of the address: 1 is the ::1 of the prefix.",
        },
    [GATEWAY_MAP_KEY_INBOUND] =
        {
            .name = "inbound",
            .type = CONFIG_TYPE_BOOL,
            FIELD(gateway_map, inbound),
            .def = "false",
            .example = "true",
            .help = "only for flows that come from outside, and their answers",
            .man = "For one more outside address of an inside one, such as the interface's own; it "
                   "is not put on the interface.",
        },
};
_Static_assert(ARRAY_LEN(map_keys) == GATEWAY_MAP_KEY_COUNT, "a key of a translation is missing");

const struct config_section gateway_map_schema = {map_keys, ARRAY_LEN(map_keys), "translation",
                                                  "nat"};

static const struct config_key port_forward_keys[] = {
    [GATEWAY_PORT_FORWARD_KEY_LINK] =
        {
            .name = "link",
            .type = CONFIG_TYPE_LABEL,
            FIELD(gateway_port_forward, link),
            .unset = "every wan",
            .example = "att",
            .help = "the link by which the packets come in",
        },
    [GATEWAY_PORT_FORWARD_KEY_PROTOCOL] =
        {
            .name = "protocol",
            .type = CONFIG_TYPE_ENUM,
            .names = protocol_names,
            FIELD(gateway_port_forward, protocol),
            .def = "tcp",
            .example = "udp",
            .help = "their protocol",
        },
    [GATEWAY_PORT_FORWARD_KEY_PORTS] =
        {
            .name = "ports",
            .type = CONFIG_TYPE_RANGE,
            .required = ALL,
            FIELD(gateway_port_forward, ports),
            .min = 1,
            .max = 65535,
            .example = "8080",
            .help = "the port, or the ports, that they are for",
        },
    [GATEWAY_PORT_FORWARD_KEY_ADDRESS] =
        {
            .name = "address",
            .type = CONFIG_TYPE_ADDR,
            FIELD(gateway_port_forward, address),
            .unset = "every address of this machine that nat does not translate",
            .example = "104.57.226.193",
            .help = "the address that they are for",
            .man = "It comes before a translation of that address in nat.",
        },
    [GATEWAY_PORT_FORWARD_KEY_TO] =
        {
            .name = "to",
            .type = CONFIG_TYPE_ADDR,
            .required = ALL,
            FIELD(gateway_port_forward, to),
            .example = "10.250.250.2",
            .help = "the host that they go to",
        },
    [GATEWAY_PORT_FORWARD_KEY_TO_PORT] =
        {
            .name = "to_port",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_port_forward, to_port),
            .min = 1,
            .max = 65535,
            .unset = "the same port",
            .example = "80",
            .help = "the port there",
        },
};
_Static_assert(ARRAY_LEN(port_forward_keys) == GATEWAY_PORT_FORWARD_KEY_COUNT,
               "a key of a forwarded port is missing");

const struct config_section gateway_port_forward_schema = {
    port_forward_keys, ARRAY_LEN(port_forward_keys), "forwarded port", "port_forwards"};

static const struct config_key route_keys[] = {
    [GATEWAY_ROUTE_KEY_PREFIX] =
        {
            .name = "prefix",
            .type = CONFIG_TYPE_NET,
            .required = ALL,
            FIELD(gateway_route, prefix),
            .example = "3d06:bad:b01::/60",
            .help = "the network, or an address",
        },
    [GATEWAY_ROUTE_KEY_VIA] =
        {
            .name = "via",
            .type = CONFIG_TYPE_ROUTER,
            FIELD(gateway_route, via),
            .unset = "none: it is on the interface itself",
            .example = "fe80::2",
            .help = "the router that leads there, which may be link-local",
            .man = "Of IPv6 only a single address can do without: this machine would ask for every "
                   "host of a network on the interface, where none answers.",
        },
    [GATEWAY_ROUTE_KEY_DEVICE] =
        {
            .name = "device",
            .type = CONFIG_TYPE_IFNAME,
            .required = ALL,
            FIELD(gateway_route, device),
            .example = "enmwanbr0",
            .help = "the interface",
        },
};
_Static_assert(ARRAY_LEN(route_keys) == GATEWAY_ROUTE_KEY_COUNT, "a key of a route is missing");

const struct config_section gateway_route_schema = {route_keys, ARRAY_LEN(route_keys), "route",
                                                    "routes"};
