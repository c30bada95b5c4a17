#include "pki/bundle.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "pki/cert.h"

enum { LINE_BYTES_MAX = 512, PEM_LINE_MAX = 80 };

/* Where the reading is. */
enum part { PART_HEAD, PART_KEYS, PART_CA, PART_CERT, PART_KEY, PART_END, PART_COUNT };

static const char *const section_names[PART_COUNT] = {
    [PART_CA] = "[ca]", [PART_CERT] = "[certificate]", [PART_KEY] = "[key]", [PART_END] = "[end]"};

struct reader {
    enum part part;
    struct bundle b;
};

void bundle_done(struct bundle *b)
{
    file_text_done(&b->ca);
    file_text_done(&b->cert);
    file_text_done(&b->key);
}

/* --- values ---------------------------------------------------------------------------- */

bool bundle_name_ok(const char *name)
{
    return pki_name_ok(name) && strlen(name) <= BUNDLE_NAME_MAX && !strchr(name, ':');
}

/* A literal address, or a host name: letters, digits, '-', '_' and '.'. */
static bool host_ok(const char *s)
{
    struct ip_addr addr;

    if (!*s || strlen(s) >= BUNDLE_HOST_MAX || *s == '-' || *s == '.')
        return false;
    if (!ip_addr_parse(s, &addr))
        return true;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
            return false;
    return true;
}

static int parse_number(const char *s, uint32_t max, uint32_t *ret)
{
    unsigned long v;
    char *end;

    if (!isdigit((unsigned char)*s) || strlen(s) > 10)
        return -EINVAL;
    v = strtoul(s, &end, 10);
    if (*end || v > max)
        return -EINVAL;
    *ret = (uint32_t)v;
    return 0;
}

int bundle_hub_parse(const char *text, char ret_host[static BUNDLE_HOST_MAX], uint16_t *ret_port)
{
    char host[BUNDLE_HOST_MAX + 16];
    char *port = NULL;
    uint32_t number;

    if (strlen(text) >= sizeof(host))
        return -EINVAL;
    snprintf(host, sizeof(host), "%s", text);
    if (*host == '[') {
        char *end = strchr(host, ']');

        if (!end || (end[1] && end[1] != ':'))
            return -EINVAL;
        port = end[1] ? end + 2 : NULL;
        *end = 0;
        memmove(host, host + 1, strlen(host));
    } else if (strchr(host, ':') && strchr(host, ':') == strrchr(host, ':')) {
        port = strchr(host, ':');
        *port++ = 0;
    }
    if (!host_ok(host) || (port && (parse_number(port, UINT16_MAX, &number) || !number)))
        return -EINVAL;
    snprintf(ret_host, BUNDLE_HOST_MAX, "%s", host);
    if (port)
        *ret_port = (uint16_t)number;
    return 0;
}

const char *bundle_hub_str(const char *host, uint16_t port, char buf[static BUNDLE_HOST_MAX + 16])
{
    snprintf(buf, BUNDLE_HOST_MAX + 16, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    return buf;
}

static bool ifname_ok(const char *s)
{
    if (!*s || strlen(s) > 15 || *s == '.' || *s == '-')
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
            return false;
    return true;
}

/* --- keys ------------------------------------------------------------------------------ */

static int set_name(struct bundle *b, const char *value)
{
    if (!bundle_name_ok(value))
        return -EINVAL;
    snprintf(b->name, sizeof(b->name), "%s", value);
    return 0;
}

static int set_hub(struct bundle *b, const char *value)
{
    b->port = BUNDLE_PORT;
    return bundle_hub_parse(value, b->hub, &b->port);
}

static int set_server_name(struct bundle *b, const char *value)
{
    if (!host_ok(value))
        return -EINVAL;
    snprintf(b->server_name, sizeof(b->server_name), "%s", value);
    return 0;
}

static int set_tunnel(struct bundle *b, const char *value)
{
    if (!ifname_ok(value))
        return -EINVAL;
    snprintf(b->tunnel, sizeof(b->tunnel), "%s", value);
    return 0;
}

/* At most one of each family, as an interface address of the TUN. */
static int add_address(struct bundle *b, const char *value)
{
    struct ip_prefix p;

    if (b->n_addr == BUNDLE_ADDRS_MAX || ip_prefix_parse(value, &p) ||
        (b->n_addr && b->addr[0].addr.family == p.addr.family) || ip_addr_is_multicast(&p.addr))
        return -EINVAL;
    b->addr[b->n_addr++] = p;
    return 0;
}

static int parse_network(const char *value, struct ip_prefix *ret)
{
    struct ip_prefix p, network;

    if (ip_prefix_parse(value, &p))
        return -EINVAL;
    network = ip_prefix_network(&p);
    if (!ip_prefix_equal(&p, &network))
        return -EINVAL;
    *ret = p;
    return 0;
}

/* At most one of each family. */
static int add_network(struct bundle *b, const char *value)
{
    struct ip_prefix p;

    if (b->n_network == BUNDLE_ADDRS_MAX || parse_network(value, &p) || !p.len ||
        (b->n_network && b->network[0].addr.family == p.addr.family))
        return -EINVAL;
    b->network[b->n_network++] = p;
    return 0;
}

static int add_route(struct bundle *b, const char *value)
{
    if (b->n_route == BUNDLE_ROUTES_MAX || parse_network(value, &b->route[b->n_route]))
        return -EINVAL;
    b->n_route++;
    return 0;
}

static int set_route_table(struct bundle *b, const char *value)
{
    return parse_number(value, UINT32_MAX, &b->route_table);
}

static int set_created(struct bundle *b, const char *value)
{
    return pki_time_parse(value, &b->created);
}

static const struct key {
    const char *name;
    int (*set)(struct bundle *b, const char *value);
    bool repeats;
    const char *wanted;
} keys[] = {
    {"name", set_name, false, "letters, digits, '.', '_' and '-', 32 at most"},
    {"hub", set_hub, false, "HOST:PORT"},
    {"server-name", set_server_name, false, "a host name or address"},
    {"tunnel", set_tunnel, false, "an interface name"},
    {"address", add_address, true, "ADDRESS/LENGTH, one of each family"},
    {"network", add_network, true, "a prefix without host bits, one of each family"},
    {"route", add_route, true, "a prefix without host bits"},
    {"route-table", set_route_table, false, "a number"},
    {"created", set_created, false, "a time"},
};

/* --- lines ----------------------------------------------------------------------------- */

static int take_key(struct reader *r, unsigned *seen, char *line, struct pki_error *e)
{
    char *colon = strchr(line, ':'), *value;

    if (!colon)
        return pki_error_set(e, -EINVAL, "not a line \"KEY: VALUE\"");
    *colon = 0;
    value = colon + 1 + strspn(colon + 1, " \t");
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(line, keys[i].name) != 0)
            continue;
        if (*seen & 1u << i && !keys[i].repeats)
            return pki_error_set(e, -EINVAL, "a second %s", line);
        *seen |= 1u << i;
        return keys[i].set(&r->b, value)
                   ? pki_error_set(e, -EINVAL, "%s: must be %s", keys[i].name, keys[i].wanted)
                   : 0;
    }
    return pki_error_set(e, -EINVAL, "an unknown key: made by a newer mpquic?");
}

static struct file_text *section_text(struct reader *r)
{
    return r->part == PART_CA ? &r->b.ca : r->part == PART_CERT ? &r->b.cert : &r->b.key;
}

static bool pem_line_ok(const char *line)
{
    size_t n = strlen(line);

    if (n > PEM_LINE_MAX)
        return false;
    if (!strncmp(line, "-----BEGIN ", 11) || !strncmp(line, "-----END ", 9))
        return n > 14 && !strcmp(line + n - 5, "-----");
    for (; *line; line++)
        if (!isalnum((unsigned char)*line) && !strchr("+/=", *line))
            return false;
    return true;
}

/* The room was made by the first line of the section: a section is never longer than the file. */
static int take_pem(struct reader *r, const char *line, size_t room, struct pki_error *e)
{
    struct file_text *t = section_text(r);
    size_t n = strlen(line);

    if (!pem_line_ok(line))
        return pki_error_set(e, -EINVAL, "not a line of PEM");
    if (!t->data && !(t->data = malloc(room + 1)))
        return pki_error_set(e, -ENOMEM, "out of memory");
    memcpy(t->data + t->len, line, n);
    t->len += n;
    t->data[t->len++] = '\n';
    t->data[t->len] = 0;
    return 0;
}

static int take_section(struct reader *r, const char *line, struct pki_error *e)
{
    enum part next = r->part + 1;

    if (next >= PART_COUNT || strcmp(line, section_names[next]) != 0)
        return pki_error_set(e, -EINVAL, "a section that does not belong here");
    if (r->part >= PART_CA && !section_text(r)->len)
        return pki_error_set(e, -EINVAL, "an empty section before this line");
    r->part = next;
    return 0;
}

static int take_line(struct reader *r, unsigned *seen, char *line, size_t room, struct pki_error *e)
{
    if (r->part == PART_END)
        return *line ? pki_error_set(e, -EINVAL, "text after [end]") : 0;
    if (!*line || *line == '#')
        return 0;
    if (r->part == PART_HEAD) {
        if (strncmp(line, "mpquic-bundle ", 14) != 0)
            return pki_error_set(e, -EINVAL, "not a bundle of mpquic pki client --bundle");
        if (strcmp(line + 14, "1") != 0)
            return pki_error_set(e, -EINVAL, "of another version: made by a newer mpquic?");
        r->part = PART_KEYS;
        return 0;
    }
    if (*line == '[')
        return take_section(r, line, e);
    return r->part == PART_KEYS ? take_key(r, seen, line, e) : take_pem(r, line, room, e);
}

/* Nothing is missing; what may be left out gets its default. */
static int complete(struct reader *r, struct pki_error *e)
{
    struct bundle *b = &r->b;

    if (r->part != PART_END)
        return pki_error_set(e, -EINVAL, "the file is cut short: [end] is missing: copy it again");
    if (!*b->name || !*b->hub)
        return pki_error_set(e, -EINVAL, "%s is missing", *b->name ? "hub" : "name");
    if (!*b->tunnel)
        snprintf(b->tunnel, sizeof(b->tunnel), "mpq0");
    return 0;
}

/* One line of the text, without its end. Returns 0 or -EINVAL. */
static int cut_line(const char *text, size_t len, size_t *at, char line[static LINE_BYTES_MAX],
                    struct pki_error *e)
{
    const char *end = memchr(text + *at, '\n', len - *at);
    size_t n = end ? (size_t)(end - (text + *at)) : len - *at;

    if (n >= LINE_BYTES_MAX)
        return pki_error_set(e, -EINVAL, "too long a line");
    memcpy(line, text + *at, n);
    *at += n + 1;
    while (n && strchr(" \t\r", line[n - 1]))
        n--;
    line[n] = 0;
    return strlen(line) < n ? pki_error_set(e, -EINVAL, "a zero byte") : 0;
}

int bundle_parse(const char *text, size_t len, struct bundle *ret, struct pki_error *e)
{
    struct reader r = {0};
    char line[LINE_BYTES_MAX] = "";
    unsigned number = 0, seen = 0;
    int rv = 0;

    if (len > BUNDLE_BYTES_MAX)
        return pki_error_set(e, -EINVAL, "larger than %d bytes: not a bundle", BUNDLE_BYTES_MAX);
    for (size_t at = 0; !rv && at < len;) {
        struct pki_error inner = {0};

        number++;
        rv = cut_line(text, len, &at, line, &inner);
        if (!rv)
            rv = take_line(&r, &seen, line, len, &inner);
        /* a line of PEM without its end is what a copy that was cut short ends with */
        if (rv == -EINVAL && at > len && r.part >= PART_CA && r.part < PART_END)
            pki_error_set(e, rv, "line %u: the file is cut short here: copy it again", number);
        else if (rv)
            pki_error_set(e, rv, "line %u: %.400s", number, inner.text);
    }
    explicit_bzero(line, sizeof(line));
    if (!rv)
        rv = complete(&r, e);
    if (rv)
        bundle_done(&r.b);
    else
        *ret = r.b;
    return rv;
}

/* --- printing -------------------------------------------------------------------------- */

static void print_prefixes(FILE *f, const char *key, const struct ip_prefix *v, unsigned n)
{
    char buf[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < n; i++)
        fprintf(f, "%s: %s\n", key, ip_prefix_str(&v[i], buf));
}

/* Only the PEM of it: certificates made by others often have text around. */
static void print_section(FILE *f, const char *name, const struct file_text *t)
{
    bool inside = false;

    fprintf(f, "%s\n", name);
    for (size_t at = 0; at < t->len;) {
        const char *line = t->data + at, *end = memchr(line, '\n', t->len - at);
        size_t n = end ? (size_t)(end - line) : t->len - at;

        at += n + 1;
        if (n && line[n - 1] == '\r')
            n--;
        inside |= n > 11 && !memcmp(line, "-----BEGIN ", 11);
        if (inside && n)
            fprintf(f, "%.*s\n", (int)n, line);
        if (n > 9 && !memcmp(line, "-----END ", 9))
            inside = false;
    }
}

int bundle_print(const struct bundle *b, struct file_text *ret, struct pki_error *e)
{
    char hub[BUNDLE_HOST_MAX + 16], created[PKI_TIME_STR_MAX];
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return pki_error_set(e, -ENOMEM, "out of memory");
    fprintf(f,
            "mpquic-bundle %d\n"
            "# Holds a private key. On the edge: mpquic join %s.mpquic; then delete this file.\n"
            "name: %s\nhub: %s\n",
            BUNDLE_VERSION, b->name, b->name, bundle_hub_str(b->hub, b->port, hub));
    if (*b->server_name)
        fprintf(f, "server-name: %s\n", b->server_name);
    fprintf(f, "tunnel: %s\n", b->tunnel);
    print_prefixes(f, "address", b->addr, b->n_addr);
    print_prefixes(f, "network", b->network, b->n_network);
    print_prefixes(f, "route", b->route, b->n_route);
    if (b->route_table)
        fprintf(f, "route-table: %u\n", b->route_table);
    fprintf(f, "created: %s\n", pki_time_str(b->created, created));
    print_section(f, section_names[PART_CA], &b->ca);
    print_section(f, section_names[PART_CERT], &b->cert);
    print_section(f, section_names[PART_KEY], &b->key);
    fprintf(f, "%s\n", section_names[PART_END]);
    if (fclose(f)) {
        free(text);
        return pki_error_set(e, -ENOMEM, "out of memory");
    }
    file_text_done(ret);
    *ret = (struct file_text){.data = text, .len = len};
    return 0;
}

int bundle_check(const struct bundle *b, struct pki_error *e)
{
    int rv = cert_check_key(&b->cert, &b->key, e);

    if (!rv)
        rv = cert_check_chain(&b->cert, &b->ca, NULL, PKI_KIND_CLIENT, e);
    if (rv == -EINVAL) {
        struct pki_error inner = *e;

        pki_error_set(e, rv, "%.300s: copy the bundle again, or have it made again", inner.text);
    }
    return rv;
}
