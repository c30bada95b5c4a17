#include "config/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/value.h"

static const char *const role_names[] = {"client", "server", NULL};
static const char *const cc_names[] = {"cubic", "bbr", NULL};
static const char *const policy_names[] = {"priority", "failover", "balanced", NULL};
static const char *const level_names[] = {"error", "info", "debug", NULL};

#define FIELD(type, field) \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)NULL)->field)
#define LIST(type, field, max_n)                                                             \
    .offset = offsetof(struct type, field), .size = sizeof(((struct type *)NULL)->field[0]), \
    .count_offset = offsetof(struct type, n_##field), .list_max = (max_n)

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
            .man = "Must differ from the names of the other paths.",
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
            .max = 65535,
            .def = "1",
            .example = "1",
            .help = "rank of the path; the lowest number comes first",
            .man = "Used by the policies priority and failover.",
        },
    [CONFIG_PATH_KEY_WEIGHT] =
        {
            .name = "weight",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(config_path, weight),
            .min = 1,
            .max = 65535,
            .def = "1",
            .example = "1",
            .help = "share of the path",
            .man =
                "Used by the policy balanced: a path of weight 2 gets twice the traffic of a path "
                "of weight 1.",
        },
};
_Static_assert(ARRAY_LEN(path_keys) == CONFIG_PATH_KEY_COUNT, "a key of a path is missing");

const struct config_section config_path_schema = {path_keys, ARRAY_LEN(path_keys)};

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
                   "that the interface has at the moment, as DHCP changes it. On a client this is "
                   "what ties the tunnel to its WAN. A server may name 0.0.0.0 or :: to listen on "
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
            .man = "An IPv6 address is written without brackets.",
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
            .required = CONFIG_FOR_BOTH,
            LIST(tunnel_config, tun_addr, CONFIG_TUN_ADDRS_MAX),
            .example = "10.200.1.1/30",
            .help = "address of this end inside the tunnel, with prefix length",
            .man =
                "One value, or a list of one IPv4 and one IPv6 value. The address must be a host "
                "in its network, not the network or broadcast address. The two ends use two "
                "addresses of one network.",
        },
    [CONFIG_KEY_MTU] =
        {
            .name = "mtu",
            .type = CONFIG_TYPE_UINT,
            .roles = CONFIG_FOR_BOTH,
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
            FIELD(tunnel_config, tls_ca_file),
            .unset = "no certificate of the peer is trusted",
            .example = "/etc/mpquic/tls/ca.crt",
            .help = "PEM file with the authority that signed the peer's certificate",
            .man = "On a client it is mandatory, unless tls_insecure_skip_verify is true: the "
                   "system's own list of authorities is never used. On a server it lets in the "
                   "clients whose certificates it signed. A server needs tls_ca_file or "
                   "tokens_file, or both.",
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
            FIELD(tunnel_config, tokens_file),
            .unset = "no token is accepted",
            .example = "/etc/mpquic/tokens",
            .help = "file with the bearer tokens that the server accepts",
            .man = "One client a line: its name, a space, its token. Empty lines and lines that "
                   "begin with # are skipped. Only its owner should be able to read it.",
        },
    [CONFIG_KEY_ALLOWED_CLIENTS] =
        {
            .name = "allowed_clients",
            .type = CONFIG_TYPE_NAME,
            .roles = CONFIG_FOR_SERVER,
            .role_strict = true,
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
            LIST(tunnel_config, peer_prefixes, CONFIG_PREFIXES_MAX),
            .unset = "only the peer's own tunnel address",
            .example = "172.16.1.0/30",
            .help = "networks behind the peer",
            .man =
                "One value or a list. A packet from the peer is dropped unless its source is the "
                "peer's tunnel address or lies in one of these.",
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
    [CONFIG_KEY_LOG_LEVEL] =
        {
            .name = "log_level",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_BOTH,
            FIELD(tunnel_config, log_level),
            .names = level_names,
            .def = "info",
            .example = "info",
            .help = "how much is logged",
        },
    [CONFIG_KEY_MULTI_CONN_ENABLED] =
        {
            .name = "multi_conn_enabled",
            .type = CONFIG_TYPE_BOOL,
            .roles = CONFIG_FOR_SERVER,
            FIELD(tunnel_config, multi_conn_enabled),
            .def = "false",
            .example = "false",
            .help = "serve several clients on one port and one TUN interface",
            .man = "This version serves one client per instance and refuses true.",
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
            .man = "This version uses one path per instance and refuses true.",
        },
    [CONFIG_KEY_MULTIPATH_POLICY] =
        {
            .name = "multipath_policy",
            .type = CONFIG_TYPE_ENUM,
            .roles = CONFIG_FOR_CLIENT,
            FIELD(tunnel_config, multipath_policy),
            .names = policy_names,
            .def = "priority",
            .example = "balanced",
            .help = "how the paths share the traffic",
            .man = "balanced shares it by weight; priority and failover go by priority.",
        },
    [CONFIG_KEY_MULTIPATH_PATHS] =
        {
            .name = "multipath_paths",
            .type = CONFIG_TYPE_SECTION,
            .roles = CONFIG_FOR_CLIENT,
            .section = &config_path_schema,
            LIST(tunnel_config, paths, CONFIG_PATHS_MAX),
            .unset = "no paths",
            .help = "the paths of a session",
            .man = "A list; each entry has keys of its own.",
        },
};
_Static_assert(ARRAY_LEN(keys) == CONFIG_KEY_COUNT, "a key is missing");

const struct config_section config_schema = {keys, ARRAY_LEN(keys)};

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
        [CONFIG_TYPE_IFADDR] = "ADDRESS/LENGTH",
        [CONFIG_TYPE_PREFIX] = "NETWORK/LENGTH",
        [CONFIG_TYPE_SECTION] = "mapping",
    };
    size_t n = 0;

    if (k->type == CONFIG_TYPE_UINT) {
        snprintf(buf, size, "%s%s%u to %u", k->zero_word ? k->zero_word : "",
                 k->zero_word ? ", or " : "", k->min, k->max);
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
