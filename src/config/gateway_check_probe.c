/* The rules of a probe that depend on what it asks. */
#include <string.h>

#include "base/util.h"
#include "config/gateway_schema.h"
#include "config/report.h"

enum {
    ICMP = 1 << GATEWAY_PROBE_ICMP,
    TCP = 1 << GATEWAY_PROBE_TCP,
    DNS = 1 << GATEWAY_PROBE_DNS,
    HTTP = 1 << GATEWAY_PROBE_HTTP,
    HTTPS = 1 << GATEWAY_PROBE_HTTPS
};

/* The types that a key is for, where it is not for all. */
static const struct {
    enum gateway_probe_key_id key;
    unsigned types;
    const char *text;
} only[] = {
    {GATEWAY_PROBE_KEY_PORT, TCP | DNS | HTTP | HTTPS, "an echo request has no port"},
    {GATEWAY_PROBE_KEY_QUERY, DNS, "query is for type dns"},
    {GATEWAY_PROBE_KEY_RECORD, DNS, "record is for type dns"},
    {GATEWAY_PROBE_KEY_EXPECT, DNS, "expect is for type dns"},
    {GATEWAY_PROBE_KEY_HOST, HTTP | HTTPS, "host is for type http or https"},
    {GATEWAY_PROBE_KEY_PATH, HTTP | HTTPS, "path is for type http or https"},
    {GATEWAY_PROBE_KEY_METHOD, HTTP | HTTPS, "method is for type http or https"},
    {GATEWAY_PROBE_KEY_STATUS, HTTP | HTTPS, "status is for type http or https"},
    {GATEWAY_PROBE_KEY_VERIFY, HTTPS, "verify is for type https"},
    {GATEWAY_PROBE_KEY_CA_FILE, HTTPS, "ca_file is for type https"},
};

static void error(const struct gateway_input *in, unsigned i, enum gateway_probe_key_id key,
                  const char *hint, const char *text, struct config_report *report)
{
    const struct gateway_places *at = &in->probe[i];

    report_add(report, true, at->key[key].line ? at->key[key] : at->at, hint, "probe %s: %s",
               in->config->probes[i].name, text);
}

static bool is_there(const struct gateway_input *in, unsigned i, enum gateway_probe_key_id key)
{
    return in->probe[i].key[key].line != 0;
}

void gateway_check_probe(const struct gateway_input *in, unsigned i, struct config_report *report)
{
    const struct gateway_probe *p = &in->config->probes[i];
    struct ip_addr a;

    if (in->probe[i].bad)
        return;
    for (size_t n = 0; n < ARRAY_LEN(only); n++)
        if (is_there(in, i, only[n].key) && !(only[n].types & 1u << p->type))
            error(in, i, only[n].key, "set its type, or remove the key", only[n].text, report);
    if (p->type == GATEWAY_PROBE_TCP && !p->port)
        error(in, i, GATEWAY_PROBE_KEY_PORT, "add 'port: NUMBER'", "a connection needs a port",
              report);
    if (p->type != GATEWAY_PROBE_ICMP && p->timeout_ms > 4 * p->interval_ms)
        error(in, i, GATEWAY_PROBE_KEY_TIMEOUT, "four rounds are under way at most",
              "its timeout is longer than four intervals", report);
    if (*p->query && !ip_addr_parse(p->query, &a))
        error(in, i, GATEWAY_PROBE_KEY_QUERY, "write a name", "query is an address", report);
    if (p->expect == GATEWAY_EXPECT_ADDRESS && p->record != GATEWAY_RECORD_A &&
        p->record != GATEWAY_RECORD_AAAA)
        error(in, i, GATEWAY_PROBE_KEY_EXPECT, "add 'record: a' or 'record: aaaa'",
              "no address answers such a question", report);
    if (*p->path != '/' || strchr(p->path, ' '))
        error(in, i, GATEWAY_PROBE_KEY_PATH, "write for example /generate_204",
              "path does not begin with a slash, or has a space", report);
    if (p->verify && *p->ca_file && p->type == GATEWAY_PROBE_HTTPS && *p->ca_file != '/')
        error(in, i, GATEWAY_PROBE_KEY_CA_FILE, NULL, "ca_file must be a whole path", report);
}
