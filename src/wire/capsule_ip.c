/* The values of ADDRESS_ASSIGN, ADDRESS_REQUEST and ROUTE_ADVERTISEMENT (RFC 9484, 4.7). The
 * rules live in check_addrs() and check_routes(), which both directions use. */
#include "base/util.h"
#include "wire/capsule.h"
#include "wire/varint.h"

#include <errno.h>
#include <string.h>

/* A cursor over the value of a capsule. */
struct reader {
    const uint8_t *p;
    size_t len;
};

static enum capsule_error read_u8(struct reader *r, uint8_t *ret)
{
    if (!r->len)
        return CAPSULE_CUT_SHORT;
    *ret = *r->p++;
    r->len--;
    return CAPSULE_OK;
}

static enum capsule_error read_varint(struct reader *r, uint64_t *ret)
{
    size_t n = varint_get(r->p, r->len, ret);

    r->p += n;
    r->len -= n;
    return n ? CAPSULE_OK : CAPSULE_CUT_SHORT;
}

static enum capsule_error read_version(struct reader *r, uint8_t *ret)
{
    uint8_t v;

    if (read_u8(r, &v))
        return CAPSULE_CUT_SHORT;
    if (v != 4 && v != 6)
        return CAPSULE_IP_VERSION;
    *ret = v;
    return CAPSULE_OK;
}

static enum capsule_error read_addr(struct reader *r, uint8_t version, struct ip_addr *ret)
{
    size_t n = version == 4 ? 4 : 16;

    if (r->len < n)
        return CAPSULE_CUT_SHORT;
    *ret = (struct ip_addr){.family = version};
    memcpy(ret->b, r->p, n);
    r->p += n;
    r->len -= n;
    return CAPSULE_OK;
}

static enum capsule_error read_assigned(struct reader *r, struct assigned_addr *a)
{
    uint8_t version;
    enum capsule_error e = read_varint(r, &a->request_id);

    if (!e)
        e = read_version(r, &version);
    if (!e)
        e = read_addr(r, version, &a->prefix.addr);
    if (!e)
        e = read_u8(r, &a->prefix.len);
    return e;
}

static enum capsule_error read_range(struct reader *r, struct ip_route_range *a)
{
    uint8_t version;
    enum capsule_error e = read_version(r, &version);

    if (!e)
        e = read_addr(r, version, &a->first);
    if (!e)
        e = read_addr(r, version, &a->last);
    if (!e)
        e = read_u8(r, &a->proto);
    return e;
}

static bool family_ok(const struct ip_addr *a)
{
    return a->family == 4 || a->family == 6;
}

static enum capsule_error check_addr(const struct assigned_addr *a)
{
    struct ip_prefix network;

    if (!family_ok(&a->prefix.addr))
        return CAPSULE_IP_VERSION;
    if (a->prefix.len > ip_addr_bits(&a->prefix.addr))
        return CAPSULE_PREFIX_LENGTH;
    network = ip_prefix_network(&a->prefix);
    return ip_prefix_equal(&network, &a->prefix) ? CAPSULE_OK : CAPSULE_HOST_BITS;
}

/* Request IDs of requests are not zero and differ. */
static enum capsule_error check_request_ids(const struct capsule_addrs *addrs)
{
    if (!addrs->n)
        return CAPSULE_REQUEST_EMPTY;
    for (unsigned i = 0; i < addrs->n; i++) {
        if (!addrs->v[i].request_id)
            return CAPSULE_REQUEST_ID_ZERO;
        for (unsigned j = 0; j < i; j++)
            if (addrs->v[j].request_id == addrs->v[i].request_id)
                return CAPSULE_REQUEST_ID_REUSED;
    }
    return CAPSULE_OK;
}

static enum capsule_error check_addrs(enum capsule_type type, const struct capsule_addrs *addrs)
{
    enum capsule_error e;

    if (addrs->n > CAPSULE_ADDRS_MAX)
        return CAPSULE_TOO_MANY;
    for (unsigned i = 0; i < addrs->n; i++) {
        e = check_addr(&addrs->v[i]);
        if (e)
            return e;
    }
    return type == CAPSULE_ADDRESS_REQUEST ? check_request_ids(addrs) : CAPSULE_OK;
}

/* Range b after range a: versions and protocols ascend, and ranges of the same ones do not touch
 * from above. */
static enum capsule_error check_order(const struct ip_route_range *a,
                                      const struct ip_route_range *b)
{
    if (a->first.family != b->first.family)
        return a->first.family < b->first.family ? CAPSULE_OK : CAPSULE_RANGE_ORDER;
    if (a->proto != b->proto)
        return a->proto < b->proto ? CAPSULE_OK : CAPSULE_RANGE_ORDER;
    return ip_addr_cmp(&a->last, &b->first) < 0 ? CAPSULE_OK : CAPSULE_RANGE_ORDER;
}

static bool overlaps(const struct ip_route_range *a, const struct ip_route_range *b)
{
    return a->first.family == b->first.family && ip_addr_cmp(&a->first, &b->last) <= 0 &&
           ip_addr_cmp(&b->first, &a->last) <= 0;
}

/* A range for all protocols (they come first within a version) against the ranges for one. */
static enum capsule_error check_wildcards(const struct capsule_routes *routes)
{
    for (unsigned i = 0; i < routes->n; i++) {
        if (routes->v[i].proto)
            continue;
        for (unsigned j = i + 1; j < routes->n; j++)
            if (routes->v[j].proto && overlaps(&routes->v[i], &routes->v[j]))
                return CAPSULE_RANGE_OVERLAP;
    }
    return CAPSULE_OK;
}

static enum capsule_error check_routes(const struct capsule_routes *routes)
{
    if (routes->n > CAPSULE_ROUTES_MAX)
        return CAPSULE_TOO_MANY;
    for (unsigned i = 0; i < routes->n; i++) {
        const struct ip_route_range *a = &routes->v[i];

        if (!family_ok(&a->first) || a->first.family != a->last.family)
            return CAPSULE_IP_VERSION;
        if (ip_addr_cmp(&a->first, &a->last) > 0)
            return CAPSULE_RANGE_REVERSED;
        if (i && check_order(a - 1, a))
            return CAPSULE_RANGE_ORDER;
    }
    return check_wildcards(routes);
}

enum capsule_error capsule_get_addrs(enum capsule_type type, const uint8_t *value, size_t len,
                                     struct capsule_addrs *ret)
{
    struct reader r = {value, len};
    struct capsule_addrs addrs = {0};
    enum capsule_error e;

    while (r.len) {
        if (addrs.n == CAPSULE_ADDRS_MAX)
            return CAPSULE_TOO_MANY;
        e = read_assigned(&r, &addrs.v[addrs.n]);
        if (e)
            return e;
        addrs.n++;
    }
    e = check_addrs(type, &addrs);
    if (!e)
        *ret = addrs;
    return e;
}

enum capsule_error capsule_get_routes(const uint8_t *value, size_t len, struct capsule_routes *ret)
{
    struct reader r = {value, len};
    struct capsule_routes routes = {0};
    enum capsule_error e;

    while (r.len) {
        if (routes.n == CAPSULE_ROUTES_MAX)
            return CAPSULE_TOO_MANY;
        e = read_range(&r, &routes.v[routes.n]);
        if (e)
            return e;
        routes.n++;
    }
    e = check_routes(&routes);
    if (!e)
        *ret = routes;
    return e;
}

static uint8_t *put_addr(uint8_t *p, const struct ip_addr *a)
{
    size_t n = ip_addr_bits(a) / 8;

    memcpy(p, a->b, n);
    return p + n;
}

static size_t assigned_len(const struct assigned_addr *a)
{
    return varint_len(a->request_id) + 1 + ip_addr_bits(&a->prefix.addr) / 8 + 1;
}

static uint8_t *put_assigned(uint8_t *p, const struct assigned_addr *a)
{
    p += varint_put(p, VARINT_LEN_MAX, a->request_id);
    *p++ = a->prefix.addr.family;
    p = put_addr(p, &a->prefix.addr);
    *p++ = a->prefix.len;
    return p;
}

static size_t range_len(const struct ip_route_range *a)
{
    return 1 + 2 * ip_addr_bits(&a->first) / 8 + 1;
}

static uint8_t *put_range(uint8_t *p, const struct ip_route_range *a)
{
    *p++ = a->first.family;
    p = put_addr(put_addr(p, &a->first), &a->last);
    *p++ = a->proto;
    return p;
}

/* Write type and length when the whole capsule fits. Returns where the value goes, or NULL. */
static uint8_t *put_header(enum capsule_type type, size_t value_len, uint8_t *buf, size_t cap)
{
    size_t n = varint_len(type) + varint_len(value_len);

    if (n > cap || value_len > cap - n)
        return NULL;
    buf += varint_put(buf, cap, type);
    return buf + varint_put(buf, cap, value_len);
}

int capsule_put_addrs(enum capsule_type type, const struct capsule_addrs *addrs, uint8_t *buf,
                      size_t cap, size_t *ret_len)
{
    size_t value_len = 0;
    uint8_t *p;

    if (check_addrs(type, addrs))
        return -EINVAL;
    for (unsigned i = 0; i < addrs->n; i++) {
        if (addrs->v[i].request_id > VARINT_MAX)
            return -EINVAL;
        value_len += assigned_len(&addrs->v[i]);
    }
    p = put_header(type, value_len, buf, cap);
    if (!p)
        return -ENOSPC;
    for (unsigned i = 0; i < addrs->n; i++)
        p = put_assigned(p, &addrs->v[i]);
    *ret_len = (size_t)(p - buf);
    return 0;
}

int capsule_put_routes(const struct capsule_routes *routes, uint8_t *buf, size_t cap,
                       size_t *ret_len)
{
    size_t value_len = 0;
    uint8_t *p;

    if (check_routes(routes))
        return -EINVAL;
    for (unsigned i = 0; i < routes->n; i++)
        value_len += range_len(&routes->v[i]);
    p = put_header(CAPSULE_ROUTE_ADVERTISEMENT, value_len, buf, cap);
    if (!p)
        return -ENOSPC;
    for (unsigned i = 0; i < routes->n; i++)
        p = put_range(p, &routes->v[i]);
    *ret_len = (size_t)(p - buf);
    return 0;
}

bool assigned_addr_is_refusal(const struct assigned_addr *a)
{
    static const uint8_t zero[16];

    return a->request_id && a->prefix.len == ip_addr_bits(&a->prefix.addr) &&
           !memcmp(a->prefix.addr.b, zero, sizeof(zero));
}

struct ip_route_range ip_route_range_of(const struct ip_prefix *prefix, uint8_t proto)
{
    return (struct ip_route_range){
        .first = ip_prefix_network(prefix).addr,
        .last = ip_prefix_last(prefix),
        .proto = proto,
    };
}

bool capsule_routes_allow(const struct capsule_routes *routes, const struct ip_addr *dst,
                          uint8_t proto)
{
    bool icmp = proto == (dst->family == 4 ? 1 : 58);

    for (unsigned i = 0; i < routes->n; i++) {
        const struct ip_route_range *a = &routes->v[i];

        if (a->first.family != dst->family || (a->proto && a->proto != proto && !icmp))
            continue;
        if (ip_addr_cmp(&a->first, dst) <= 0 && ip_addr_cmp(dst, &a->last) <= 0)
            return true;
    }
    return false;
}
