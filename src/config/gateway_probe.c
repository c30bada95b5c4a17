/* The keys of a probe of the gateway. */
#include "config/gateway_schema.h"

#include "base/util.h"

static const char *const type_names[] = {"icmp", "tcp", "dns", "http", "https", NULL};
static const char *const record_names[] = {"a", "aaaa", "ns", "soa", NULL};
static const char *const expect_names[] = {"answer", "any", "address", "nxdomain", NULL};
static const char *const method_names[] = {"head", "get", NULL};

/* By type, where the file says nothing. */
static const struct {
    uint32_t interval_ms, timeout_ms;
    uint16_t port;
} usual[] = {
    [GATEWAY_PROBE_ICMP] = {250, 1000, 0},     [GATEWAY_PROBE_TCP] = {1000, 2000, 0},
    [GATEWAY_PROBE_DNS] = {1000, 1000, 53},    [GATEWAY_PROBE_HTTP] = {3000, 2000, 80},
    [GATEWAY_PROBE_HTTPS] = {3000, 2000, 443},
};

static const struct config_key probe_keys[] = {
    [GATEWAY_PROBE_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_LABEL,
            .required = ALL,
            FIELD(gateway_probe, name),
            .example = "internet",
            .help = "name of the probe, for links",
            .man = "At most 15 characters. Each link that names it is probed on its own.",
        },
    [GATEWAY_PROBE_KEY_TYPE] =
        {
            .name = "type",
            .type = CONFIG_TYPE_ENUM,
            .names = type_names,
            FIELD(gateway_probe, type),
            .def = "icmp",
            .example = "dns",
            .help = "what the targets are asked",
            .man = "icmp: an echo request. tcp: a connection, which is closed again. dns: a "
                   "question. http and https: one resource; https checks the certificate.",
        },
    [GATEWAY_PROBE_KEY_TARGETS] =
        {
            .name = "targets",
            .type = CONFIG_TYPE_ADDR,
            LIST(gateway_probe, targets, GATEWAY_TARGETS_MAX),
            .unset = "none: only the telemetry of tunnels, by their key instance",
            .example = "198.51.100.1",
            .help = "addresses that are asked out of the link's device",
            .man = "IPv4 and IPv6 are two probes: a family without a target is not probed.",
        },
    [GATEWAY_PROBE_KEY_PORT] =
        {
            .name = "port",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, port),
            .min = 1,
            .max = 65535,
            .unset = "53 of dns, 80 of http, 443 of https; tcp needs one",
            .example = "443",
            .help = "the port of the targets that is asked",
        },
    [GATEWAY_PROBE_KEY_QUERY] =
        {
            .name = "query",
            .type = CONFIG_TYPE_HOST,
            FIELD(gateway_probe, query),
            .unset = "the root of all names",
            .example = "example.com",
            .help = "of dns: the name in question",
        },
    [GATEWAY_PROBE_KEY_RECORD] =
        {
            .name = "record",
            .type = CONFIG_TYPE_ENUM,
            .names = record_names,
            FIELD(gateway_probe, record),
            .def = "ns",
            .example = "a",
            .help = "of dns: the type of record in question",
        },
    [GATEWAY_PROBE_KEY_EXPECT] =
        {
            .name = "expect",
            .type = CONFIG_TYPE_ENUM,
            .names = expect_names,
            FIELD(gateway_probe, expect),
            .def = "answer",
            .example = "address",
            .help = "of dns: what counts as an answer",
            .man = "answer: the name exists or it does not. address: an A or AAAA record is there. "
                   "nxdomain: the name does not exist. any: whatever the server says, refusals and "
                   "failures of its own included.",
        },
    [GATEWAY_PROBE_KEY_HOST] =
        {
            .name = "host",
            .type = CONFIG_TYPE_HOST,
            FIELD(gateway_probe, host),
            .unset = "the address of the target",
            .example = "www.example.com",
            .help = "of http and https: the name of the server",
            .man = "The certificate must be for it.",
        },
    [GATEWAY_PROBE_KEY_PATH] =
        {
            .name = "path",
            .type = CONFIG_TYPE_NAME,
            FIELD(gateway_probe, path),
            .def = "/",
            .example = "/generate_204",
            .help = "of http and https: the resource that is asked for",
        },
    [GATEWAY_PROBE_KEY_METHOD] =
        {
            .name = "method",
            .type = CONFIG_TYPE_ENUM,
            .names = method_names,
            FIELD(gateway_probe, method),
            .def = "head",
            .example = "get",
            .help = "of http and https: how it is asked for",
            .man = "Of what comes no more than the status is read.",
        },
    [GATEWAY_PROBE_KEY_STATUS] =
        {
            .name = "status",
            .type = CONFIG_TYPE_RANGE,
            FIELD(gateway_probe, status),
            .min = 100,
            .max = 599,
            .def = "200..399",
            .example = "204",
            .help = "of http and https: the status that counts as an answer",
        },
    [GATEWAY_PROBE_KEY_VERIFY] =
        {
            .name = "verify",
            .type = CONFIG_TYPE_BOOL,
            FIELD(gateway_probe, verify),
            .def = "true",
            .example = "false",
            .help = "of https: whether the certificate of the server is checked",
            .man = "Without it anybody on the way can answer.",
        },
    [GATEWAY_PROBE_KEY_CA_FILE] =
        {
            .name = "ca_file",
            .type = CONFIG_TYPE_PATH,
            FIELD(gateway_probe, ca_file),
            .unset = "those that the system trusts",
            .example = "/etc/mpquic/tls/probe-ca.pem",
            .help = "of https: the certificate authorities that are trusted",
            .man = "Read when probing begins, as an unprivileged user.",
        },
    [GATEWAY_PROBE_KEY_NEED] =
        {
            .name = "need",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, need),
            .min = 1,
            .max = GATEWAY_TARGETS_MAX,
            .def = "1",
            .example = "2",
            .help = "how many of the targets of a family have to answer in a round",
            .man = "All of them where there are fewer.",
        },
    [GATEWAY_PROBE_KEY_INTERVAL] =
        {
            .name = "interval",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, interval_ms),
            .min = 100,
            .max = 60000,
            .unset = "250 of icmp, 1000 of tcp and dns, 3000 of http and https",
            .example = "100",
            .help = "milliseconds between two rounds",
        },
    [GATEWAY_PROBE_KEY_TIMEOUT] =
        {
            .name = "timeout",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, timeout_ms),
            .min = 50,
            .max = 3000,
            .unset = "1000 of icmp and dns, 2000 of tcp, http and https",
            .example = "1000",
            .help = "milliseconds after which an answer does not count any more",
        },
    [GATEWAY_PROBE_KEY_DOWN] =
        {
            .name = "down",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, down),
            .min = 1,
            .max = GATEWAY_WINDOW_MAX,
            .unset = "as many as take three seconds, at least 3 of icmp, 6 of dns, 4 of the others",
            .example = "6",
            .help = "rounds in a row that fail until the link is unhealthy",
        },
    [GATEWAY_PROBE_KEY_UP] =
        {
            .name = "up",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, up),
            .min = 1,
            .max = GATEWAY_WINDOW_MAX,
            .unset = "as many as take three seconds, at least 3",
            .example = "6",
            .help = "rounds in a row that succeed until it is healthy again",
            .man =
                "Twice as many, up to eight times, when it did not stay healthy for long the last "
                "time: ten times as long as these rounds take.",
        },
    [GATEWAY_PROBE_KEY_LOSS] =
        {
            .name = "loss",
            .type = CONFIG_TYPE_UINT,
            .zero_word = "off",
            FIELD(gateway_probe, loss_percent),
            .min = 1,
            .max = 100,
            .def = "20",
            .example = "10",
            .help = "percent of lost requests at which the link is degraded",
            .man = "Of the best of the targets, as many as are needed. At half of it the link is "
                   "healthy again. Where an echo is missing a closer look finds twice as much loss "
                   "within seconds.",
        },
    [GATEWAY_PROBE_KEY_LATENCY] =
        {
            .name = "latency",
            .type = CONFIG_TYPE_UINT,
            .zero_word = "off",
            FIELD(gateway_probe, latency_ms),
            .min = 1,
            .max = 3000,
            .def = "off",
            .example = "300",
            .help = "milliseconds of round trip, on average, at which the link is degraded",
            .man = "Of the best of the targets, as many as are needed. Below four fifths of it the "
                   "link is healthy again.",
        },
    [GATEWAY_PROBE_KEY_WINDOW] =
        {
            .name = "window",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_probe, window),
            .min = 10,
            .max = GATEWAY_WINDOW_MAX,
            .unset = "as many as take thirty seconds, 100 at least and 120 at most",
            .example = "60",
            .help = "rounds that loss and latency are reckoned over",
        },
};
_Static_assert(ARRAY_LEN(probe_keys) == GATEWAY_PROBE_KEY_COUNT, "a key of a probe is missing");

const struct config_section gateway_probe_schema = {probe_keys, ARRAY_LEN(probe_keys), "probe",
                                                    "probes"};

void gateway_probe_complete(struct gateway_probe *p)
{
    if (!p->interval_ms)
        p->interval_ms = usual[p->type].interval_ms;
    if (!p->timeout_ms)
        p->timeout_ms = usual[p->type].timeout_ms;
    if (!p->port)
        p->port = usual[p->type].port;
}
