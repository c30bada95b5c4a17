#include "config/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "config/nearest.h"
#include "config/report.h"

/* ---- refusing ---- */

static void set_hint(struct value_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_hint(struct value_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
    va_end(ap);
}

/* "'VALUE' WHAT". Returns false, for the reader to return. */
static bool refuse(struct value_error *err, const char *s, const char *what)
{
    char quote[REPORT_QUOTE_MAX];

    err->hint[0] = 0;
    snprintf(err->text, sizeof(err->text), "'%s' %s", report_quote(s, strlen(s), quote), what);
    return false;
}

static bool has_control_characters(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

/* Copy s into a text field of size bytes; the bytes after it become zero. */
static bool store_text(const char *s, void *field, size_t size, struct value_error *err)
{
    size_t len = strlen(s);

    if (len >= size) {
        refuse(err, s, "is too long");
        set_hint(err, "at most %zu bytes", size - 1);
        return false;
    }
    memset(field, 0, size);
    memcpy(field, s, len);
    return true;
}

/* ---- flags, words, numbers ---- */

static bool read_bool(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"yes", true},
                 {"no", false},  {"on", true},     {"off", false}};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (!strcasecmp(s, words[i].word)) {
            memcpy(field, &words[i].value, sizeof(bool));
            return true;
        }
    refuse(err, s, "is neither true nor false");
    return false;
}

static bool read_enum(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    struct nearest near = {.word = s};
    char values[128];

    for (unsigned i = 0; k->names[i]; i++) {
        if (!strcmp(s, k->names[i])) {
            memcpy(field, &i, sizeof(i));
            return true;
        }
        nearest_offer(&near, k->names[i]);
    }
    config_key_values(k, values, sizeof(values));
    refuse(err, s, "is not one of the values");
    if (near.best)
        set_hint(err, "did you mean '%s'? Values: %s", near.best, values);
    else
        set_hint(err, "values: %s", values);
    return false;
}

static void store_uint(const struct config_key *k, uint32_t v, void *field)
{
    if (k->size == sizeof(uint16_t))
        memcpy(field, &(uint16_t){(uint16_t)v}, sizeof(uint16_t));
    else
        memcpy(field, &v, sizeof(v));
}

static uint32_t load_uint(const struct config_key *k, const void *field)
{
    uint16_t small;
    uint32_t v;

    if (k->size == sizeof(small)) {
        memcpy(&small, field, sizeof(small));
        return small;
    }
    memcpy(&v, field, sizeof(v));
    return v;
}

/* The number that s begins with, at most UINT32_MAX + 9; *ret_digits: how long it is. */
static uint64_t leading_number(const char *s, size_t *ret_digits)
{
    uint64_t v = 0;

    *ret_digits = strspn(s, "0123456789");
    for (size_t i = 0; i < *ret_digits && v <= UINT32_MAX; i++)
        v = v * 10 + (uint64_t)(s[i] - '0');
    return v;
}

static bool read_uint(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    size_t digits;
    uint64_t v = leading_number(s, &digits);
    char values[64];

    if (k->zero_word && !strcmp(s, k->zero_word)) {
        store_uint(k, 0, field);
        return true;
    }
    config_key_values(k, values, sizeof(values));
    if (!digits || s[digits]) {
        refuse(err, s, k->zero_word ? "is not a valid number or word" : "is not a number");
        set_hint(err, "write %s in decimal digits", values);
        return false;
    }
    if (*s == '0' && digits > 1) {
        refuse(err, s, "starts with a zero");
        set_hint(err, "write %s without leading zeros", values);
        return false;
    }
    if (v < k->min || v > k->max) {
        refuse(err, s, "is out of range");
        set_hint(err, "write %s", values);
        return false;
    }
    store_uint(k, (uint32_t)v, field);
    return true;
}

/* A number stands for the range of this number alone. */
static bool read_range(const struct config_key *k, const char *s, void *field,
                       struct value_error *err)
{
    size_t n, m;
    uint64_t lo = leading_number(s, &n);
    const char *dots = s + n, *last = *dots ? dots + 2 : s;
    uint64_t hi = lo;
    bool form = n && (!*dots || !strncmp(dots, "..", 2));

    m = n;
    if (form && *dots)
        hi = leading_number(last, &m);
    if (!form || !m || last[m] || (*s == '0' && n > 1) || (*last == '0' && m > 1)) {
        refuse(err, s, "is neither a number nor MIN..MAX");
        set_hint(err, "write for example %s", k->def ? k->def : k->example);
        return false;
    }
    if (lo < k->min || hi < k->min || lo > k->max || hi > k->max) {
        refuse(err, s, "is out of range");
        set_hint(err, "write %u to %u, or a part of it as MIN..MAX", k->min, k->max);
        return false;
    }
    if (lo > hi) {
        refuse(err, s, "ends before it begins");
        set_hint(err, "write %u..%u", (unsigned)hi, (unsigned)lo);
        return false;
    }
    memcpy(field, &(struct config_range){(uint16_t)lo, (uint16_t)hi}, sizeof(struct config_range));
    return true;
}

/* ---- names ---- */

/* What is wrong with an interface name, or NULL. The kernel replaces a number for "%d" in a TUN
 * name, and /proc/sys has directories "all" and "default" beside those of interfaces. The kernel
 * would take '"' and '*', which mean something else to nftables: its names end with the one, and
 * stand for many with the other. */
static const char *ifname_fault(const char *s)
{
    if (!*s)
        return "is empty";
    if (strlen(s) > 15)
        return "is longer than the 15 characters of an interface name";
    if (!strcmp(s, ".") || !strcmp(s, "..") || !strcmp(s, "all") || !strcmp(s, "default"))
        return "cannot be the name of an interface";
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || strchr("/:%\"*", *c))
            return "has a character that an interface name cannot have";
    return NULL;
}

static bool read_ifname(const struct config_key *k, const char *s, void *field,
                        struct value_error *err)
{
    const char *fault = ifname_fault(s);

    if (fault)
        return refuse(err, s, fault);
    if (!strcmp(s, "lo"))
        return refuse(err, s, "is the loopback interface");
    return store_text(s, field, k->size, err);
}

static bool read_path(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    if (!*s)
        return refuse(err, s, "is empty");
    if (has_control_characters(s))
        return refuse(err, s, "has control characters");
    return store_text(s, field, k->size, err);
}

static bool read_name(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    if (!*s)
        return refuse(err, s, "is empty");
    if (has_control_characters(s) || *s == ' ' || s[strlen(s) - 1] == ' ')
        return refuse(err, s, "has control characters, or spaces around it");
    return store_text(s, field, k->size, err);
}

static bool read_label(const struct config_key *k, const char *s, void *field,
                       struct value_error *err)
{
    if (!*s)
        return refuse(err, s, "is empty");
    if (!strcmp(s, ".") || !strcmp(s, ".."))
        return refuse(err, s, "is reserved");
    for (const char *c = s; *c; c++)
        if (!strchr(VALUE_LABEL_CHARS, *c))
            return refuse(err, s, "has characters other than letters, digits, \"-\", \"_\", \".\"");
    return store_text(s, field, k->size, err);
}

/* ---- addresses ---- */

static bool is_v4_mapped(const struct ip_addr *a)
{
    static const uint8_t head[12] = {[10] = 0xff, 0xff};

    return a->family == 6 && !memcmp(a->b, head, sizeof(head));
}

static bool is_loopback(const struct ip_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};

    return a->family == 4 ? a->b[0] == 127 : !memcmp(a->b, one, sizeof(one));
}

/* 0.0.0.0/8 is "this network", 240.0.0.0/4 is reserved and ends with the limited broadcast address
 * (RFC 6890): no host has one of them. */
static bool is_reserved(const struct ip_addr *a)
{
    return a->family == 4 && (a->b[0] == 0 || a->b[0] >= 240);
}

static bool label_ok(const char *s, size_t len)
{
    if (!len || len > 63 || s[0] == '-' || s[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", s[i]))
            return false;
    return true;
}

/* A host name by RFC 1123: labels of letters, digits and hyphens, the last one not a number
 * (that would be a misspelt IPv4 address). The underscore that some zones use is let through. */
static bool hostname_ok(const char *s)
{
    size_t len = strlen(s), last_digits;
    const char *label = s;

    if (!len || len > 253)
        return false;
    for (;;) {
        size_t n = strcspn(label, ".");

        if (!label_ok(label, n))
            return false;
        if (!label[n] || !label[n + 1])
            break;
        label += n + 1;
    }
    last_digits = strspn(label, "0123456789");
    return label[last_digits] && label[last_digits] != '.';
}

static bool read_host(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    struct ip_addr a;

    if (!ip_addr_parse(s, &a)) {
        if (ip_addr_is_any(&a) || is_reserved(&a) || ip_addr_is_multicast(&a) || is_v4_mapped(&a)) {
            refuse(err, s, "is not the address of a host");
            set_hint(err, "write the host's own address, or its name");
            return false;
        }
        if (a.family == 6 && ip_addr_is_linklocal(&a))
            return refuse(err, s, "is a link-local address");
        return store_text(s, field, k->size, err);
    }
    if (!hostname_ok(s)) {
        const char *colon = strchr(s, ':');

        refuse(err, s, "is neither a host name nor an address");
        if (*s == '[')
            set_hint(err, "write an IPv6 address without brackets");
        else if (colon && !strchr(colon + 1, ':'))
            set_hint(err, "the port goes into remote_port");
        return false;
    }
    return store_text(s, field, k->size, err);
}

static bool read_bind(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    struct config_bind b = {0};

    if (!strncmp(s, "if:", 3)) {
        const char *fault = ifname_fault(s + 3);

        if (fault)
            return refuse(err, s + 3, fault);
        snprintf(b.ifname, sizeof(b.ifname), "%s", s + 3);
    } else if (ip_addr_parse(s, &b.addr)) {
        refuse(err, s, "is neither an address nor if:NAME");
        if (!ifname_fault(s) && !strchr(s, '.'))
            set_hint(err, "for the interface write if:%s", s);
        return false;
    } else if (ip_addr_is_multicast(&b.addr) || is_v4_mapped(&b.addr)) {
        return refuse(err, s, "is not an address that a socket can have");
    } else if (b.addr.family == 6 && ip_addr_is_linklocal(&b.addr)) {
        refuse(err, s, "is a link-local address");
        set_hint(err, "write if:NAME");
        return false;
    }
    memcpy(field, &b, sizeof(b));
    return true;
}

static bool in_tunnel_space(const struct ip_addr *a)
{
    return !ip_addr_is_multicast(a) && !is_v4_mapped(a) && !is_loopback(a) &&
           !ip_addr_is_linklocal(a);
}

/* An address, and behind it a length that is none. */
static bool has_bad_length(const char *s)
{
    const char *slash = strchr(s, '/');
    char head[IP_ADDR_STR_MAX];
    struct ip_addr a;

    return slash && (size_t)(slash - s) < sizeof(head) &&
           snprintf(head, sizeof(head), "%.*s", (int)(slash - s), s) >= 0 &&
           !ip_addr_parse(head, &a);
}

static bool refuse_space(struct value_error *err, const char *s, const char *what,
                         const char *example)
{
    refuse(err, s, what);
    set_hint(err, "take one of a private network, for example %s", example);
    return false;
}

static const char not_in_space[] = "is not in the unicast address space that a tunnel carries";

/* The part of an address check that interface addresses and prefixes share. */
static bool read_prefix_text(const char *s, struct ip_prefix *ret, struct value_error *err)
{
    char addr[IP_ADDR_STR_MAX];

    if (ip_prefix_parse(s, ret)) {
        refuse(err, s, "is not ADDRESS/LENGTH");
        if (has_bad_length(s))
            set_hint(err, "the length is at most 32 in IPv4, and 128 in IPv6");
        return false;
    }
    if (!strchr(s, '/')) {
        refuse(err, s, "has no prefix length");
        set_hint(err, "write %s/LENGTH", ip_addr_str(&ret->addr, addr));
        return false;
    }
    if (!in_tunnel_space(&ret->addr))
        return refuse_space(err, s, not_in_space,
                            ret->addr.family == 4 ? "10.200.1.1/30" : "fd00:200:1::1/64");
    return true;
}

static bool read_addr(const struct config_key *k, const char *s, void *field,
                      struct value_error *err)
{
    struct ip_addr a;

    if (ip_addr_parse(s, &a)) {
        refuse(err, s, "is not an address");
        if (strchr(s, '/'))
            set_hint(err, "write it without a length");
        return false;
    }
    if (ip_addr_is_any(&a) || is_reserved(&a) || !in_tunnel_space(&a))
        return refuse_space(err, s, not_in_space, a.family == 4 ? "10.200.1.1" : "fd00:200:1::1");
    memcpy(field, &a, sizeof(a));
    return true;
}

/* In a network of four addresses or more the first is the network's own and, in IPv4, the last
 * its broadcast address (IPv6: the first is the subnet-router anycast address). Two addresses
 * (RFC 3021, RFC 6164) and one have no such thing. */
static bool read_ifaddr(const struct config_key *k, const char *s, void *field,
                        struct value_error *err)
{
    struct ip_prefix p, net;
    struct ip_addr last;

    if (!read_prefix_text(s, &p, err))
        return false;
    if (ip_addr_is_any(&p.addr) || is_reserved(&p.addr) || !p.len)
        return refuse_space(err, s, "is not the address of a host",
                            p.addr.family == 4 ? "10.200.1.1/30" : "fd00:200:1::1/64");
    net = ip_prefix_network(&p);
    last = ip_prefix_last(&p);
    if (p.len + 2u <= ip_addr_bits(&p.addr)) {
        bool first = ip_addr_equal(&p.addr, &net.addr);

        if (first || (p.addr.family == 4 && ip_addr_equal(&p.addr, &last))) {
            refuse(err, s, first ? "is the network address" : "is the broadcast address");
            set_hint(err, "use an address between the first and the last of the network");
            return false;
        }
    }
    memcpy(field, &p, sizeof(p));
    return true;
}

static bool read_prefix(const struct config_key *k, const char *s, void *field,
                        struct value_error *err)
{
    struct ip_prefix p, net;
    char text[IP_PREFIX_STR_MAX];

    if (!read_prefix_text(s, &p, err))
        return false;
    net = ip_prefix_network(&p);
    if (!ip_prefix_equal(&p, &net)) {
        refuse(err, s, "has bits set behind its length");
        set_hint(err, "the network is %s", ip_prefix_str(&net, text));
        return false;
    }
    memcpy(field, &p, sizeof(p));
    return true;
}

static bool read_net(const struct config_key *k, const char *s, void *field,
                     struct value_error *err)
{
    struct ip_prefix p;
    char text[IP_PREFIX_STR_MAX];

    if (strchr(s, '/') || ip_prefix_parse(s, &p))
        return read_prefix(k, s, field, err);
    return read_prefix(k, ip_prefix_str(&p, text), field, err);
}

static bool read_router(const struct config_key *k, const char *s, void *field,
                        struct value_error *err)
{
    struct ip_addr a;

    if (ip_addr_parse(s, &a) || a.family != 6 || !ip_addr_is_linklocal(&a))
        return read_addr(k, s, field, err);
    memcpy(field, &a, sizeof(a));
    return true;
}

/* ---- both ways ---- */

static const struct {
    bool (*read)(const struct config_key *k, const char *s, void *field, struct value_error *err);
} types[CONFIG_TYPE_COUNT] = {
    [CONFIG_TYPE_BOOL] = {read_bool},     [CONFIG_TYPE_ENUM] = {read_enum},
    [CONFIG_TYPE_UINT] = {read_uint},     [CONFIG_TYPE_IFNAME] = {read_ifname},
    [CONFIG_TYPE_HOST] = {read_host},     [CONFIG_TYPE_PATH] = {read_path},
    [CONFIG_TYPE_NAME] = {read_name},     [CONFIG_TYPE_LABEL] = {read_label},
    [CONFIG_TYPE_BIND] = {read_bind},     [CONFIG_TYPE_IFADDR] = {read_ifaddr},
    [CONFIG_TYPE_PREFIX] = {read_prefix}, [CONFIG_TYPE_ADDR] = {read_addr},
    [CONFIG_TYPE_RANGE] = {read_range},   [CONFIG_TYPE_NET] = {read_net},
    [CONFIG_TYPE_ROUTER] = {read_router},
};

bool value_read(const struct config_key *k, const char *s, void *field, struct value_error *err)
{
    err->text[0] = err->hint[0] = 0;
    return types[k->type].read(k, s, field, err);
}

static void print_bind(const struct config_bind *b, char *buf)
{
    char addr[IP_ADDR_STR_MAX];

    if (b->ifname[0])
        snprintf(buf, VALUE_TEXT_MAX, "if:%.15s", b->ifname);
    else
        snprintf(buf, VALUE_TEXT_MAX, "%s", b->addr.family ? ip_addr_str(&b->addr, addr) : "");
}

const char *value_print(const struct config_key *k, const void *field,
                        char buf[static VALUE_TEXT_MAX])
{
    struct config_range range;
    struct config_bind bind;
    struct ip_prefix prefix;
    struct ip_addr addr;
    unsigned word;
    bool flag;
    uint32_t v;

    switch (k->type) {
    case CONFIG_TYPE_BOOL:
        memcpy(&flag, field, sizeof(flag));
        snprintf(buf, VALUE_TEXT_MAX, "%s", flag ? "true" : "false");
        break;
    case CONFIG_TYPE_ENUM:
        memcpy(&word, field, sizeof(word));
        snprintf(buf, VALUE_TEXT_MAX, "%s", k->names[word]);
        break;
    case CONFIG_TYPE_UINT:
        v = load_uint(k, field);
        if (v >= k->min)
            snprintf(buf, VALUE_TEXT_MAX, "%u", v);
        else
            snprintf(buf, VALUE_TEXT_MAX, "%s", k->zero_word ? k->zero_word : "");
        break;
    case CONFIG_TYPE_RANGE:
        memcpy(&range, field, sizeof(range));
        snprintf(buf, VALUE_TEXT_MAX, range.min < range.max ? "%u..%u" : "%u", range.min,
                 range.max);
        break;
    case CONFIG_TYPE_BIND:
        memcpy(&bind, field, sizeof(bind));
        print_bind(&bind, buf);
        break;
    case CONFIG_TYPE_ADDR:
        memcpy(&addr, field, sizeof(addr));
        ip_addr_str(&addr, buf);
        break;
    case CONFIG_TYPE_IFADDR:
    case CONFIG_TYPE_PREFIX:
    case CONFIG_TYPE_NET:
        memcpy(&prefix, field, sizeof(prefix));
        ip_prefix_str(&prefix, buf);
        break;
    default:
        snprintf(buf, VALUE_TEXT_MAX, "%.*s", (int)k->size, (const char *)field);
        break;
    }
    return buf;
}
