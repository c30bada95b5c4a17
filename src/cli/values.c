/* Values of options that several verbs have. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pki.h"
#include "config/value.h"

int cli_number(const struct cli_verb *verb, const char *option, const char *text, unsigned max,
               unsigned *ret)
{
    unsigned long v;
    char *end;

    errno = 0;
    v = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || !v || v > max) {
        cli_usage_error(verb, "option --%s: '%.40s' is not a number from 1 to %u", option, text,
                        max);
        return -EINVAL;
    }
    *ret = (unsigned)v;
    return 0;
}

/* A number behind the slash: 192.168.77.0 alone may be a slip, and mean 192.168.77.0/24. */
static int parse_prefix(const char *option, const char *text, struct ip_prefix *ret,
                        struct pki_error *e)
{
    if (ip_prefix_parse(text, ret))
        return pki_error_set(e, -EINVAL, "--%s: '%.80s' is not ADDRESS/LENGTH", option, text);
    if (!strchr(text, '/'))
        return pki_error_set(e, -EINVAL, "--%s: '%.80s' has no prefix length: write %.80s/LENGTH",
                             option, text, text);
    return 0;
}

int cli_network(const char *option, const char *text, struct ip_prefix *ret, struct pki_error *e)
{
    char buf[IP_PREFIX_STR_MAX];
    struct ip_prefix p, network;

    if (parse_prefix(option, text, &p, e))
        return -EINVAL;
    network = ip_prefix_network(&p);
    if (!ip_prefix_equal(&p, &network))
        return pki_error_set(e, -EINVAL,
                             "--%s: '%.80s' has bits set behind its length: the network is %s",
                             option, text, ip_prefix_str(&network, buf));
    *ret = p;
    return 0;
}

int cli_table(const char *option, const char *text, uint32_t *ret, struct pki_error *e)
{
    unsigned long long v;
    char *end;

    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || v > UINT32_MAX)
        return pki_error_set(e, -EINVAL, "--%s: '%.80s' is not a number of a table", option, text);
    *ret = (uint32_t)v;
    return 0;
}

/* The last address that a host can have in an IPv4 network, or the one of an IPv6 network that ends
 * in fe, as far as it has that many. */
static struct ip_addr last_host(const struct ip_prefix *network)
{
    struct ip_addr a = ip_prefix_last(network);
    unsigned host_bits = ip_addr_bits(&a) - network->len;

    if (a.family == 6 && host_bits >= 8) {
        a = network->addr;
        a.b[15] = 0xfe;
    } else if (host_bits >= 2) {
        a.b[a.family == 4 ? 3 : 15]--;
    }
    return a;
}

int cli_hub_network(const char *option, const char *text, struct ip_prefix *ret,
                    struct pki_error *e)
{
    struct ip_prefix p, network;

    if (parse_prefix(option, text, &p, e))
        return -EINVAL;
    if (p.len == ip_addr_bits(&p.addr))
        return pki_error_set(e, -EINVAL,
                             "--%s: '%.80s' has no room for an edge: take a shorter "
                             "length",
                             option, text);
    network = ip_prefix_network(&p);
    if (ip_prefix_equal(&p, &network))
        p.addr = last_host(&network);
    *ret = p;
    return 0;
}

int cli_host(const char *text, struct pki_error *e)
{
    const struct config_key *key = &config_schema.keys[CONFIG_KEY_REMOTE_ADDR];
    char field[CONFIG_HOST_MAX];
    struct value_error why;

    if (value_read(key, text, field, &why))
        return 0;
    return pki_error_set(e, -EINVAL, "%s%s%s", why.text, *why.hint ? ": " : "", why.hint);
}
