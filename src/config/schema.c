#include "config/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/value.h"

static const char *const role_names[] = {"client", "server", NULL};
static const char *const cc_names[] = {"cubic", "bbr", NULL};
static const char *const policy_names[] = {"priority", "failover",  "balanced",       "bond",
                                           "pin",      "duplicate", "lowest-latency", NULL};
static const char *const recovery_names[] = {"resend", "none", NULL};
static const char *const order_names[] = {"auto", "none", "reorder", "recover", NULL};
static const char *const level_names[] = {"error", "info", "debug", NULL};

#define FIELD(type, field) \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)NULL)->field)
#define LIST(type, field, max_n)                                                             \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)NULL)->field[0]), \
    .count_offset = offsetof(struct type, n_##field), .list_max = (max_n)
#define HEAP_LIST(type, field, max_n) LIST(type, field, max_n), .list_heap = true

static const struct config_key path_keys[] = {
    [CONFIG_PATH_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_LABEL,
            .roles = CONFIG_FOR_CLIENT,
            .required = CONFIG_FOR_CLIENT,
            FIELD(config_path, name),
            .example = "wan1",
            .help = "name of the path in logs and status",
            .man = "At most 15 characters. Must differ from the names of the other paths.",
        },
    [CONFIG_PATH_KEY_BIND_IP] =
        {
            .name = "bind_ip",
            .type = CONFIG_TYPE_BIND,
            .roles = CONFIG_FOR_CLIENT,
            .required = CONFIG_FOR_CLIENT,
            FIELD(config_path, bind),
            .example = "if:enp7s3",
            .help = "local address or interface of the path",
            .man = "As the bind_ip of the instance.",
        },
    [CONFIG_PATH_KEY_REMOTE_ADDR] =
        {
            .name = "remote_addr",
            .type = CONFIG_TYPE_HOST,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(config_path, remote_addr),
            .unset = "the remote_addr of the instance",
            .example = "203.0.113.10",
            .help = "the server as this path reaches it",
        },
    [CONFIG_PATH_KEY_REMOTE_PORT] =
        {
            .name = "remote_port",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(config_path, remote_port),
            .min = 1,
            .max = 65535,
            .unset = "the remote_port of the instance",
            .example = "45001",
            .help = "the server's UDP port on this path",
        },
    [CONFIG_PATH_KEY_PRIORITY] =
        {
            .name = "priority",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(config_path, priority),
            .min = 0,
            .max = 1000,
            .def = "1",
            .example = "1",
            .help = "rank of the path; the lowest number comes first",
            .man = "Used by the policy priority.",
        },
    [CONFIG_PATH_KEY_WEIGHT] =
        {
            .name = "weight",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(config_path, weight),
            .min = 1,
            .max = 1000,
            .def = "1",
            .example = "1",
            .help = "share of the path",
            .man =
                "Used by the policy balanced: a path of weight 2 gets twice the traffic of a path "
                "of weight 1.",
        },
};
_Static_assert(ARRAY_LEN(path_keys) == CONFIG_PATH_KEY_COUNT, "a key of a path is missing");

const struct config_section config_path_schema = {path_keys, ARRAY_LEN(path_keys), "path",
                                                  "multipath_paths"};

static const struct config_key peer_keys[] = {
    [CONFIG_PEER_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_NAME,
            .roles = CONFIG_FOR_SERVER,
            .required = CONFIG_FOR_SERVER,
            .live = true,
            FIELD(config_peer, name),
            .example = "edge1.example.net",
            .help = "who the peer is",
            .man = "The common name of its certificate, or the name of its token in tokens_file.",
        },
    [CONFIG_PEER_KEY_INSTANCE_ID] =
        {
            .name = "instance_id",
            .type = CONFIG_TYPE_LABEL,
            .roles = CONFIG_FOR_SERVER,
            .live = true,
            FIELD(config_peer, instance_id),
            .unset = "every instance of this name that has no entry of its own",
            .example = "cr5",
            .help = "which of the peer's instances",
            .man = "What the client has as its instance_id. Lets several tunnels of one edge share "
                   "a certificate and still have an address each.",
        },
    [CONFIG_PEER_KEY_ADDRESSES] =
        {
            .name = "addresses",
            .type = CONFIG_TYPE_ADDR,
            .roles = CONFIG_FOR_SERVER,
            .live = true,
            LIST(config_peer, addr, CONFIG_PEER_ADDRS_MAX),
            .unset = "one of each family out of address_pool",
            .example = "10.200.10.1",
            .help = "the addresses that this peer has inside the tunnel",
            .man = "Addresses, without a length, of the networks of tun_cidr. Nobody else gets "
                   "them, whether the peer is connected or not, and the peer gets no other one of "
                   "that family while one of these is free: its own tun_cidr, if it has one, must "
                   "name it. A family without an address here gets one out of address_pool. An "
                   "entry that has addresses and no instance_id "
                   "serves one instance at a time.",
        },
    [CONFIG_PEER_KEY_PREFIXES] =
        {
            .name = "prefixes",
            .type = CONFIG_TYPE_PREFIX,
            .roles = CONFIG_FOR_SERVER,
            .live = true,
            LIST(config_peer, prefix, CONFIG_PEER_PREFIXES_MAX),
            .unset = "no fixed network behind this peer",
            .example = "172.16.5.0/30",
            .help = "networks behind this peer",
            .man = "Packets to them go to this peer, packets from them are accepted from no other, "
                   "and while the instance runs they are routed into the TUN interface. Where the "
                   "networks of two peers overlap, the longer prefix decides.",
        },
};
_Static_assert(ARRAY_LEN(peer_keys) == CONFIG_PEER_KEY_COUNT, "a key of a peer is missing");

const struct config_section config_peer_schema = {peer_keys, ARRAY_LEN(peer_keys), "peer", "peers"};

static const struct config_key keys[] = {
    [CONFIG_KEY_ROLE] =
        {
            .name = "role",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, role),
            .names = role_names,
            .example = "client",
            .help = "which end of the tunnel this is",
            .man = "The client is the edge: it opens the connection and opens it again when it is "
                   "lost. The server is the hub: it listens and waits.",
        },
    [CONFIG_KEY_BIND_IP] =
        {
            .name = "bind_ip",
            .type = CONFIG_TYPE_BIND,
            .roles = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, bind),
            .unset = "any address",
            .example = "if:enp7s3",
            .help = "local address or interface of the UDP socket",
            .man = "With if:NAME the socket is bound to the interface NAME and follows the address "
                   "that the interface has at the moment, as DHCP changes it. Of several addresses "
                   "the one from which the kernel would send to the hub is tried first, and the "
                   "others in turn when nothing comes back. On a client this is "
                   "what ties the tunnel to its WAN. An interface that is deleted and made anew is "
                   "bound again, on a server too. A server may name 0.0.0.0 or :: to listen on "
                   "every address.",
        },
    [CONFIG_KEY_REMOTE_ADDR] =
        {
            .name = "remote_addr",
            .type = CONFIG_TYPE_HOST,
            .roles = CONFIG_FOR_CLIENT,
            .required = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, remote_addr),
            .unset = "not used",
            .example = "203.0.113.10",
            .help = "the server: a host name or an address",
            .man = "An IPv6 address is written without brackets. Of a name that has addresses of "
                   "both families the first is used for which there is an address to send from, "
                   "and the other one when no answer comes.",
        },
    [CONFIG_KEY_REMOTE_PORT] =
        {
            .name = "remote_port",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, remote_port),
            .min = 1,
            .max = 65535,
            .example = "45001",
            .help = "UDP port of the server",
            .man = "On a client the port to connect to, on a server the port to listen on.",
        },
    [CONFIG_KEY_TUN_NAME] =
        {
            .name = "tun_name",
            .type = CONFIG_TYPE_IFNAME,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, tun_name),
            .example = "mpq1",
            .help = "name of the TUN interface",
            .man = "At most 15 characters. An interface of this name that exists already and is a "
                   "free TUN is used; otherwise it is made.",
        },
    [CONFIG_KEY_TUN_CIDR] =
        {
            .name = "tun_cidr",
            .type = CONFIG_TYPE_IFADDR,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_SERVER,
            LIST(tunnel_config, tun_addr, CONFIG_TUN_ADDRS_MAX),
            .zero_word = "auto",
            .unset = "auto",
            .example = "10.200.1.1/30",
            .help = "address of this end inside the tunnel, with prefix length",
            .man =
                "One value, or a list of one IPv4 and one IPv6 value. The address must be a host "
                "in its network, not the network or broadcast address. The two ends use two "
                "addresses of one network. On a client auto, or nothing, means that the server "
                "assigns the addresses; they come without a network, which tun_network can tell.",
        },
    [CONFIG_KEY_TUN_NETWORK] =
        {
            .name = "tun_network",
            .type = CONFIG_TYPE_PREFIX,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            LIST(tunnel_config, tun_network, CONFIG_TUN_ADDRS_MAX),
            .unset = "an assigned address stands alone",
            .example = "10.200.10.0/24",
            .help = "networks of the tunnel, when the server assigns the addresses",
            .man =
                "One value, or a list of one IPv4 and one IPv6 network, as the server has them in "
                "its tun_cidr. An assigned address that lies in one is put on the TUN with its "
                "length, so that this machine reaches the others of that network, the server's "
                "own too, through the tunnel. No effect with addresses in tun_cidr, which have a "
                "length themselves.",
        },
    [CONFIG_KEY_INSTANCE_ID] =
        {
            .name = "instance_id",
            .type = CONFIG_TYPE_LABEL,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, instance_id),
            .unset = "the tun_name",
            .example = "cr5",
            .help = "which of this client's tunnels to the server this is",
            .man = "The server knows a client by the name in its certificate, or of its token, "
                   "together with this id. Tunnels that share a certificate need an id each; one "
                   "that comes with the name and id of another takes its place over.",
        },
    [CONFIG_KEY_ROUTES] =
        {
            .name = "routes",
            .type = CONFIG_TYPE_PREFIX,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            LIST(tunnel_config, routes, CONFIG_ROUTES_MAX),
            .unset = "no route is made",
            .example = "10.0.0.0/8",
            .help = "networks that are routed into the tunnel",
            .man =
                "One value or a list. A route for each is put into route_table when the instance "
                "starts; like the interface they stay when it stops, so that nothing takes another "
                "way meanwhile. They carry protocol number 109 and metric "
                "4096, so that in the table main a default route of the system that has a smaller "
                "metric goes before 0.0.0.0/0; 0.0.0.0/1 and 128.0.0.0/1 together go before it. "
                "The address of the server must stay reachable past the tunnel; it does when "
                "bind_ip is if:NAME.",
        },
    [CONFIG_KEY_ROUTE_TABLE] =
        {
            .name = "route_table",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, route_table),
            .min = 1,
            .max = UINT32_MAX,
            .zero_word = "main",
            .def = "main",
            .example = "104",
            .help = "the kernel's routing table for routes",
            .man =
                "Which traffic looks into a table other than main is for ip-rule(8) to say. What "
                "the tunnel's own addresses send does by itself: source_table.",
        },
    [CONFIG_KEY_SOURCE_TABLE] =
        {
            .name = "source_table",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, source_table),
            .min = 1,
            .max = UINT32_MAX,
            .zero_word = "auto",
            .def = "auto",
            .example = "auto",
            .help = "the routing table for what this machine sends from its tunnel addresses",
            .man =
                "For each address of the TUN interface there are three rules (ip-rule(8)) with the "
                "priorities 1090 to 1092 and protocol number 109, for what this machine itself "
                "sends from there, such as answers: the table main but for its default routes, "
                "then this table, then unreachable. So answers to hosts beyond the server go by "
                "the tunnel, and nothing with such an address leaves by a WAN. With auto it is "
                "the route_table, if there are routes and they are not in main. Without routes, "
                "or with routes in main, auto makes no rule, and what rules there are decides. "
                "254, which is main, makes none in any case.",
        },
    [CONFIG_KEY_MTU] =
        {
            .name = "mtu",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_BOTH,
            .live = true,
            FIELD(tunnel_config, mtu),
            .min = 1280,
            .max = 65535,
            .zero_word = "auto",
            .def = "auto",
            .example = "auto",
            .help = "MTU of the TUN interface in bytes",
            .man = "With auto the MTU follows what the path carries and is never less than 1280. "
                   "A number fixes it; a larger packet than the path carries is answered with "
                   "packet-too-big.",
        },
    [CONFIG_KEY_TLS_CERT_FILE] =
        {
            .name = "tls_cert_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_SERVER,
            .live = true,
            FIELD(tunnel_config, tls_cert_file),
            .unset = "no client certificate; token_file is needed",
            .example = "/etc/mpquic/tls/edge.crt",
            .help = "PEM file with the certificate of this end",
            .man = "Followed by intermediate certificates if there are any. A server's certificate "
                   "carries its name or address as a subject alternative name. Needs tls_key_file.",
        },
    [CONFIG_KEY_TLS_KEY_FILE] =
        {
            .name = "tls_key_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_BOTH,
            .required = CONFIG_FOR_SERVER,
            .live = true,
            FIELD(tunnel_config, tls_key_file),
            .unset = "no client certificate; token_file is needed",
            .example = "/etc/mpquic/tls/edge.key",
            .help = "PEM file with the private key of tls_cert_file",
            .man = "Only its owner should be able to read it.",
        },
    [CONFIG_KEY_TLS_CA_FILE] =
        {
            .name = "tls_ca_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_BOTH,
            .live = true,
            FIELD(tunnel_config, tls_ca_file),
            .unset = "no certificate of the peer is trusted",
            .example = "/etc/mpquic/tls/ca.crt",
            .help = "PEM file with the authority that signed the peer's certificate",
            .man = "On a client it is mandatory, unless tls_insecure_skip_verify is true: the "
                   "system's own list of authorities is never used. On a server it lets in the "
                   "clients whose certificates it signed. A server needs tls_ca_file or "
                   "tokens_file, or both.",
        },
    [CONFIG_KEY_TLS_CRL_FILE] =
        {
            .name = "tls_crl_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            FIELD(tunnel_config, tls_crl_file),
            .unset = "no certificate is taken for revoked",
            .example = "/etc/mpquic/tls/crl.pem",
            .help = "PEM file with the revocation list of tls_ca_file",
            .man = "A client whose certificate is listed is refused, and cut off when it is "
                   "connected. Needs tls_ca_file.",
        },
    [CONFIG_KEY_TLS_SERVER_NAME] =
        {
            .name = "tls_server_name",
            .type = CONFIG_TYPE_HOST,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, tls_server_name),
            .unset = "remote_addr is expected",
            .example = "hub.example.net",
            .help = "name or address expected in the server's certificate",
        },
    [CONFIG_KEY_TLS_INSECURE_SKIP_VERIFY] =
        {
            .name = "tls_insecure_skip_verify",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, tls_insecure_skip_verify),
            .def = "false",
            .example = "false",
            .help = "accept any server certificate",
            .man = "Then anybody on the way can read and change the traffic. For experiments only.",
        },
    [CONFIG_KEY_TOKEN_FILE] =
        {
            .name = "token_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_CLIENT,
            .role_strict = true,
            .live = true,
            FIELD(tunnel_config, token_file),
            .unset = "no token is sent",
            .example = "/etc/mpquic/token",
            .help = "file with the bearer token that this client shows",
            .man = "The first word of the file. Only its owner should be able to read it.",
        },
    [CONFIG_KEY_TOKENS_FILE] =
        {
            .name = "tokens_file",
            .type = CONFIG_TYPE_PATH,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            FIELD(tunnel_config, tokens_file),
            .unset = "no token is accepted",
            .example = "/etc/mpquic/tokens",
            .help = "file with the bearer tokens that the server accepts",
            .man = "One client a line: its name, a space, its token. Empty lines and lines that "
                   "begin with # are skipped. No two clients have the same token; a client may "
                   "have two while the one replaces the other. A token has 16 characters or more, "
                   "of letters, digits and - . _ ~ + / =, best made by chance: "
                   "openssl rand -base64 24. Up to 65536 of them. Only the file's owner should be "
                   "able to "
                   "read it.",
        },
    [CONFIG_KEY_ALLOWED_CLIENTS] =
        {
            .name = "allowed_clients",
            .type = CONFIG_TYPE_NAME,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            LIST(tunnel_config, allowed_clients, CONFIG_CLIENTS_MAX),
            .unset = "every client that tls_ca_file signed",
            .example = "edge1.example.net",
            .help = "names of client certificates that are let in",
            .man = "One value or a list. Compared with the names in the certificate. Needs "
                   "tls_ca_file.",
        },
    [CONFIG_KEY_PEER_PREFIXES] =
        {
            .name = "peer_prefixes",
            .type = CONFIG_TYPE_PREFIX,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            LIST(tunnel_config, peer_prefixes, CONFIG_PREFIXES_MAX),
            .unset = "only the peer's own tunnel address",
            .example = "172.16.1.0/30",
            .help = "networks behind the peers",
            .man =
                "One value or a list. A packet from the peer is dropped unless its source is the "
                "peer's tunnel address or lies in one of these. With multi_conn_enabled these are "
                "the "
                "networks in which addresses behind clients are learned: the first packet from an "
                "address binds it to the client that sent it, and another client can have it only "
                "when it was not used for 5 minutes or its holder is gone. While the instance "
                "runs, these networks are routed into the TUN interface, a /0 excepted.",
        },
    [CONFIG_KEY_MULTI_CONN_ENABLED] =
        {
            .name = "multi_conn_enabled",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_SERVER,
            FIELD(tunnel_config, multi_conn_enabled),
            .def = "false",
            .example = "true",
            .help = "serve several clients on one port and one TUN interface",
            .man = "With false the instance has one client at a time, and the next one takes its "
                   "place. With true each client, known by its name and instance id, has its own "
                   "address.",
        },
    [CONFIG_KEY_ADDRESS_POOL] =
        {
            .name = "address_pool",
            .type = CONFIG_TYPE_PREFIX,
            .roles = CONFIG_FOR_SERVER,
            .live = true,
            LIST(tunnel_config, address_pool, CONFIG_POOL_MAX),
            .unset = "all of the networks of tun_cidr",
            .example = "10.200.10.128/26",
            .help = "where clients without a fixed address get theirs from",
            .man = "One value or a list, inside the networks of tun_cidr. The addresses of this "
                   "end and those that peers reserves are left out.",
        },
    [CONFIG_KEY_PEERS] =
        {
            .name = "peers",
            .type = CONFIG_TYPE_SECTION,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            .section = &config_peer_schema,
            HEAP_LIST(tunnel_config, peers, CONFIG_PEERS_MAX),
            .unset = "every client gets its address from address_pool",
            .help = "clients with fixed addresses, or with networks behind them",
            .man = "A list; each entry has keys of its own. It lets nobody in: who may connect is "
                   "what tls_ca_file, allowed_clients and tokens_file say, and a client without an "
                   "entry gets an address out of address_pool. Needs multi_conn_enabled.",
        },
    [CONFIG_KEY_PEER_TO_PEER] =
        {
            .name = "peer_to_peer",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
            .live = true,
            FIELD(tunnel_config, peer_to_peer),
            .def = "false",
            .example = "false",
            .help = "let clients reach each other through this server",
            .man = "With false a packet from one client to the address or the network of another "
                   "is dropped and counted. With true it goes to the TUN interface like any other, "
                   "and the kernel, its forwarding and its firewall, routes it back there. So that "
                   "the kernel does not tell clients of a shorter way that they do not have, "
                   "net.ipv4.conf.all.send_redirects should be 0.",
        },
    [CONFIG_KEY_MAX_PEERS] =
        {
            .name = "max_peers",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_SERVER,
            .live = true,
            FIELD(tunnel_config, max_peers),
            .min = 1,
            .max = CONFIG_TOKENS_MAX,
            .def = "1024",
            .example = "1024",
            .help = "how many clients may be connected at a time",
            .man =
                "The next one is refused. Counts with multi_conn_enabled only. Of one name there "
                "are "
                "at most 64 instances at a time, which is not a matter of configuration: it keeps "
                "one client, or one stolen certificate, from taking all places and addresses.",
        },
    [CONFIG_KEY_CONGESTION_CONTROL] =
        {
            .name = "congestion_control",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, congestion_control),
            .names = cc_names,
            .def = "bbr",
            .example = "bbr",
            .help = "how this end finds its sending rate",
            .man = "bbr keeps its rate on links that lose packets; cubic takes every loss for "
                   "congestion.",
        },
    [CONFIG_KEY_SESSION_EXTENSION] =
        {
            .name = "session_extension",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, session_extension),
            .def = "true",
            .example = "true",
            .help = "speak the session extension with peers that do",
            .man =
                "With false, or with a peer that does not speak it, the tunnel is plain RFC 9484: "
                "each packet in a datagram of its own. To look for the cause of a fault.",
        },
    [CONFIG_KEY_LANES] =
        {
            .name = "lanes",
            .type = CONFIG_TYPE_RANGE,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, lanes),
            .min = 1,
            .max = CONFIG_LANES_MAX,
            .def = "1..16",
            .example = "1..16",
            .help = "how many QUIC connections carry the tunnel",
            .man = "From MIN to MAX, as MIN..MAX; a number alone is both. Each has a UDP port of "
                   "its own. Beyond MIN they are opened as they are needed: when much is on its "
                   "way, and more where packets get lost, because then a loss slows down one of "
                   "them only; and closed when they are not. They share one queue and one limit of "
                   "what is in flight. With session_extension: false, or a server that does not "
                   "speak it, there is one.",
        },
    [CONFIG_KEY_LOG_LEVEL] =
        {
            .name = "log_level",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_BOTH,
            .live = true,
            FIELD(tunnel_config, log_level),
            .names = level_names,
            .def = "info",
            .example = "info",
            .help = "how much is logged",
        },
    [CONFIG_KEY_TELEMETRY_INTERVAL] =
        {
            .name = "telemetry_interval",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_BOTH,
            .live = true,
            FIELD(tunnel_config, telemetry_interval_s),
            .min = 1,
            .max = 86400,
            .zero_word = "off",
            .def = "60",
            .example = "60",
            .help = "seconds between two lines of path telemetry in the log",
            .man = "A line for each path (of a server with many peers one for all), at the level "
                   "info, and one that counts what was dropped.",
        },
    [CONFIG_KEY_MULTIPATH_ENABLED] =
        {
            .name = "multipath_enabled",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, multipath_enabled),
            .def = "false",
            .example = "false",
            .help = "one session over the paths of multipath_paths",
            .man =
                "With false the instance has one path, by its own bind_ip, and the other keys of "
                "multipath have no effect. With true its own bind_ip has none. The session is "
                "up while one of its paths is; the others come and go meanwhile, and the "
                "addresses and flows in the tunnel stay. The server needs nothing for it, but "
                "it must be an mpquic that speaks the session extension: with another one path "
                "is used and the rest wait.",
        },
    [CONFIG_KEY_MULTIPATH_POLICY] =
        {
            .name = "multipath_policy",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_policy),
            .names = policy_names,
            .def = "bond",
            .example = "balanced",
            .help = "how the paths share the traffic",
            .man =
                "bond makes one link of them: each packet goes where it is expected to arrive "
                "first, so that a single flow can have all of them. balanced keeps each flow on "
                "one path and shares the flows by weight. priority uses the path with the lowest "
                "priority among those that work. failover uses one path until it fails, then the "
                "next one in the order of the list that works, and stays there. duplicate sends "
                "each packet over several paths at once, the quickest that work, and the other end "
                "delivers it once. lowest-latency uses the path that takes the least time now, "
                "another one for what would wait longer than that takes more, and for a copy of "
                "small packets while they are few. pin uses the path of multipath_pin and no "
                "other.",
        },
    [CONFIG_KEY_MULTIPATH_PIN] =
        {
            .name = "multipath_pin",
            .type = CONFIG_TYPE_LABEL,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_pin),
            .unset = "no path: the policy pin needs one",
            .example = "wan1",
            .help = "the path that carries all, by its name",
            .man = "For the policy pin. While that path does not work nothing passes, whatever "
                   "the others do.",
        },
    [CONFIG_KEY_MULTIPATH_COPIES] =
        {
            .name = "multipath_copies",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_copies),
            .min = 2,
            .max = CONFIG_PATHS_MAX,
            .def = "2",
            .example = "2",
            .help = "over how many paths each packet goes",
            .man = "For the policy duplicate. With fewer paths that work there are fewer copies; a "
                   "path that has no room gets none, and holds up nobody.",
        },
    [CONFIG_KEY_MULTIPATH_RECOVERY] =
        {
            .name = "multipath_recovery",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_recovery),
            .names = recovery_names,
            .def = "resend",
            .example = "resend",
            .help = "what becomes of lost packets",
            .man =
                "resend sends what was lost once more, over any path that the policy uses, until "
                "multipath_deadline has passed. none leaves that to what is inside the tunnel.",
        },
    [CONFIG_KEY_MULTIPATH_DEADLINE] =
        {
            .name = "multipath_deadline",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_deadline_ms),
            .min = 1,
            .max = 60000,
            .unset = "1000 for TCP, 150 for all else",
            .example = "300",
            .help = "milliseconds for which a lost packet is sent again",
            .man = "Counted from when it was sent first. Later it is of no use to anybody.",
        },
    [CONFIG_KEY_MULTIPATH_ORDER] =
        {
            .name = "multipath_order",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            FIELD(tunnel_config, multipath_order),
            .names = order_names,
            .def = "auto",
            .example = "auto",
            .help = "whether the packets of a flow keep their order",
            .man = "none delivers each as it comes. reorder lets a packet wait for earlier ones as "
                   "long as another path may still bring them. recover lets it wait for what is "
                   "sent again, too. auto is recover for TCP and reorder for all else.",
        },
    [CONFIG_KEY_MULTIPATH_PATHS] =
        {
            .name = "multipath_paths",
            .type = CONFIG_TYPE_SECTION,
            .roles = CONFIG_FOR_CLIENT,
            .live = true,
            .section = &config_path_schema,
            LIST(tunnel_config, paths, CONFIG_PATHS_MAX),
            .unset = "no paths",
            .help = "the paths of a session",
            .man =
                "A list of up to 16; each entry has keys of its own. What an entry does not say is "
                "as the keys of the instance say. A reload may add, remove and change paths while "
                "the others carry the session: one that is removed, or bound or connected to "
                "something else under its name, is used until another one works, and then closed "
                "when what is on its way has arrived.",
        },
};
_Static_assert(ARRAY_LEN(keys) == CONFIG_KEY_COUNT, "a key is missing");

const struct config_section config_schema = {keys, ARRAY_LEN(keys), "instance", NULL};

unsigned config_key_count(const struct config_key *k, const void *object)
{
    unsigned n = 1;

    if (k->list_max)
        memcpy(&n, (const char *)object + k->count_offset, sizeof(n));
    return MIN(n, k->list_max ? k->list_max : 1);
}

const void *config_key_value(const struct config_key *k, const void *object, unsigned i)
{
    const char *field = (const char *)object + k->offset, *first = field;

    if (k->list_heap)
        memcpy(&first, field, sizeof(first));
    return first + i * k->size;
}

const struct config_key *config_key_find(const struct config_section *s, const char *name)
{
    for (unsigned i = 0; i < s->n_keys; i++)
        if (!strcmp(s->keys[i].name, name))
            return &s->keys[i];
    return NULL;
}

const char *config_role_name(enum config_role role)
{
    return role_names[role];
}

void config_defaults(const struct config_section *s, void *object, size_t size)
{
    struct value_error e;

    memset(object, 0, size);
    for (unsigned i = 0; i < s->n_keys; i++)
        if (s->keys[i].def)
            value_read(&s->keys[i], s->keys[i].def, (char *)object + s->keys[i].offset, &e);
}

void config_instance_id(const struct tunnel_config *c, char ret[static CONFIG_INSTANCE_MAX])
{
    char *s = ret;

    snprintf(ret, CONFIG_INSTANCE_MAX, "%s", c->instance_id[0] ? c->instance_id : c->tun_name);
    while (*(s += strspn(s, VALUE_LABEL_CHARS)))
        *s = '_';
}

void config_done(struct tunnel_config *c)
{
    free(c->peers);
    *c = (struct tunnel_config){0};
}

const char *config_key_values(const struct config_key *k, char *buf, size_t size)
{
    static const char *const text[CONFIG_TYPE_COUNT] = {
        [CONFIG_TYPE_BOOL] = "true or false",
        [CONFIG_TYPE_IFNAME] = "interface name",
        [CONFIG_TYPE_HOST] = "host name or address",
        [CONFIG_TYPE_PATH] = "file name",
        [CONFIG_TYPE_NAME] = "name",
        [CONFIG_TYPE_LABEL] = "letters, digits, \"-\", \"_\" and \".\"",
        [CONFIG_TYPE_BIND] = "address, or if:NAME",
        [CONFIG_TYPE_ADDR] = "address",
        [CONFIG_TYPE_IFADDR] = "ADDRESS/LENGTH",
        [CONFIG_TYPE_PREFIX] = "NETWORK/LENGTH",
        [CONFIG_TYPE_NET] = "ADDRESS or NETWORK/LENGTH",
        [CONFIG_TYPE_ROUTER] = "ADDRESS",
        [CONFIG_TYPE_SECTION] = "mapping",
    };
    size_t n = 0;

    if (k->type == CONFIG_TYPE_UINT) {
        snprintf(buf, size, "%s%s%u to %u", k->zero_word ? k->zero_word : "",
                 k->zero_word ? ", or " : "", k->min, k->max);
        return buf;
    }
    if (k->type == CONFIG_TYPE_RANGE) {
        snprintf(buf, size, "%u to %u, or MIN..MAX", k->min, k->max);
        return buf;
    }
    if (k->type != CONFIG_TYPE_ENUM) {
        snprintf(buf, size, "%s", text[k->type]);
        return buf;
    }
    for (unsigned i = 0; k->names[i] && n < size; i++) {
        const char *sep = !i ? "" : k->names[i + 1] ? ", " : " or ";

        n += (size_t)snprintf(buf + n, size - n, "%s%s", sep, k->names[i]);
    }
    return buf;
}
