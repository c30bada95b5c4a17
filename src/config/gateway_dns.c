/* The entries of dns: their keys, and the rules between these. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "config/gateway_schema.h"
#include "config/nearest.h"
#include "config/report.h"

static const char *const family_names[] = {"ipv4", "ipv6", NULL};

static const struct config_key dns_keys[] = {
    [GATEWAY_DNS_KEY_LINK] =
        {
            .name = "link",
            .type = CONFIG_TYPE_LABEL,
            .required = ALL,
            FIELD(gateway_dns, link),
            .example = "lte",
            .help = "the link whose address is told",
            .man = "It is told while the link can be used, out of the link's own interface, and "
                   "again whenever it has changed. What fails is tried again, after five seconds "
                   "at first and half an hour at most.",
        },
    [GATEWAY_DNS_KEY_FAMILY] =
        {
            .name = "family",
            .type = CONFIG_TYPE_ENUM,
            .names = family_names,
            FIELD(gateway_dns, family),
            .def = "ipv4",
            .example = "ipv6",
            .help = "which address of the link",
        },
    [GATEWAY_DNS_KEY_NAME] =
        {
            .name = "name",
            .type = CONFIG_TYPE_HOST,
            FIELD(gateway_dns, name),
            .unset = "none: there is a url",
            .example = "lte.example.net",
            .help = "the name that gets the address, by an update of DNS (RFC 2136)",
            .man = "It is the only address of that family that the name has afterwards.",
        },
    [GATEWAY_DNS_KEY_ZONE] =
        {
            .name = "zone",
            .type = CONFIG_TYPE_HOST,
            FIELD(gateway_dns, zone),
            .unset = "what follows the first dot of name",
            .example = "example.net",
            .help = "the zone that the name is in",
        },
    [GATEWAY_DNS_KEY_SERVER] =
        {
            .name = "server",
            .type = CONFIG_TYPE_ADDR,
            FIELD(gateway_dns, server),
            .unset = "none: there is a url",
            .example = "203.0.113.53",
            .help = "the primary name server of the zone",
            .man = "An address of the family: it has to be reached by the link.",
        },
    [GATEWAY_DNS_KEY_PORT] =
        {
            .name = "port",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_dns, port),
            .min = 1,
            .max = 65535,
            .def = "53",
            .example = "5353",
            .help = "the UDP port of the server",
        },
    [GATEWAY_DNS_KEY_TTL] =
        {
            .name = "ttl",
            .type = CONFIG_TYPE_UINT,
            FIELD(gateway_dns, ttl_s),
            .min = 1,
            .max = 86400,
            .def = "60",
            .example = "300",
            .help = "seconds for which others may keep the address",
        },
    [GATEWAY_DNS_KEY_KEY] =
        {
            .name = "key",
            .type = CONFIG_TYPE_PATH,
            FIELD(gateway_dns, key),
            .unset = "none: there is a url",
            .example = "/etc/mpquic/gateway/dns.key",
            .help = "file with the key that signs the update (TSIG, hmac-sha256)",
            .man = "As tsig-keygen(8) writes it. Nobody but its owner may read it.",
        },
    [GATEWAY_DNS_KEY_URL] =
        {
            .name = "url",
            .type = CONFIG_TYPE_NAME,
            FIELD(gateway_dns, url),
            .unset = "none: there is a name",
            .example = "https://dyn.example.net/update?host=lte&ip={address}",
            .help = "URL that is fetched, with the address in place of {address}",
            .man = "By curl(1), which has to be installed; http or https. Any status of 200 to 299 "
                   "is success; redirections are not followed.",
        },
};
_Static_assert(ARRAY_LEN(dns_keys) == GATEWAY_DNS_KEY_COUNT, "a key of a name is missing");

const struct config_section gateway_dns_schema = {dns_keys, ARRAY_LEN(dns_keys), "name", "dns"};

/* --- rules ----------------------------------------------------------------------------- */

struct checker {
    const struct gateway_input *in;
    const struct gateway_config *c;
    struct config_report *report;
};

static void complain(const struct checker *k, unsigned i, enum gateway_dns_key_id key,
                     const char *hint, const char *text)
{
    const struct gateway_places *p = &k->in->dns[i];

    report_add(k->report, true, p->key[key].line ? p->key[key] : p->at, hint, "%s", text);
}

static void check_link(const struct checker *k, unsigned i)
{
    const char *name = k->c->dns[i].link;
    struct nearest near = {.word = name};
    char hint[64], text[64];

    if (!*name || gateway_config_link(k->c, name) >= 0)
        return;
    for (unsigned j = 0; j < k->c->n_links; j++)
        nearest_offer(&near, k->c->links[j].name);
    snprintf(hint, sizeof(hint),
             near.best ? "did you mean '%s'?" : "the links are named in links%s",
             near.best ? near.best : "");
    snprintf(text, sizeof(text), "there is no link '%s'", name);
    complain(k, i, GATEWAY_DNS_KEY_LINK, hint, text);
}

/* curl reads it between quotation marks. */
static void check_url(const struct checker *k, unsigned i)
{
    const char *url = k->c->dns[i].url;
    bool plain = true;

    for (const char *s = url; *s; s++)
        plain &= *s > ' ' && *s < 127 && *s != '"' && *s != '\\';
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        complain(k, i, GATEWAY_DNS_KEY_URL, NULL, "url does not begin with http:// or https://");
    else if (!plain)
        complain(k, i, GATEWAY_DNS_KEY_URL, "write them as %XX",
                 "url holds characters that a URL cannot hold");
    else if (!strstr(url, "{address}"))
        complain(k, i, GATEWAY_DNS_KEY_URL, NULL, "url does not say {address}");
}

static void check_name(const struct checker *k, unsigned i)
{
    const struct gateway_dns *d = &k->c->dns[i];
    const struct gateway_places *p = &k->in->dns[i];
    size_t name = strlen(d->name), zone = strlen(d->zone);

    if (!p->key[GATEWAY_DNS_KEY_SERVER].line)
        complain(k, i, GATEWAY_DNS_KEY_SERVER, "add 'server: ADDRESS'", "server is missing");
    if (!p->key[GATEWAY_DNS_KEY_KEY].line)
        complain(k, i, GATEWAY_DNS_KEY_KEY, "add 'key: FILE'", "key is missing");
    if (d->server.family && (d->server.family == 6) != (d->family == GATEWAY_DNS_IPV6))
        complain(k, i, GATEWAY_DNS_KEY_SERVER, NULL, "server is not of the family of the address");
    if (*d->key && *d->key != '/')
        complain(k, i, GATEWAY_DNS_KEY_KEY, NULL, "key is not an absolute path");
    if (!strchr(d->name, '.'))
        complain(k, i, GATEWAY_DNS_KEY_NAME, NULL, "name is in no zone");
    else if (zone && (name < zone || strcasecmp(d->name + name - zone, d->zone) != 0 ||
                      (name > zone && d->name[name - zone - 1] != '.')))
        complain(k, i, GATEWAY_DNS_KEY_ZONE, NULL, "name is not in that zone");
}

void gateway_check_dns(const struct gateway_input *in, struct config_report *report)
{
    struct checker k = {in, in->config, report};

    for (unsigned i = 0; i < k.c->n_dns; i++) {
        const struct gateway_places *p = &in->dns[i];
        bool by_name = p->key[GATEWAY_DNS_KEY_NAME].line, by_url = p->key[GATEWAY_DNS_KEY_URL].line;

        check_link(&k, i);
        if (p->bad)
            continue;
        if (by_name == by_url)
            complain(&k, i, GATEWAY_DNS_KEY_URL, NULL, "either name or url is wanted");
        else if (by_url)
            check_url(&k, i);
        else
            check_name(&k, i);
    }
}
