/* The values of CLASS_TABLE and PATH_STATUS (doc/protocol.md). What is in range is said once, by
 * check_table() and check_path(), for both directions. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "wire/class.h"
#include "wire/varint.h"

struct reader {
    const uint8_t *p;
    size_t len;
    bool failed; /* the value ended too soon */
};

static const uint8_t *take(struct reader *r, size_t n)
{
    const uint8_t *p = r->p;

    if (r->failed || r->len < n) {
        r->failed = true;
        return NULL;
    }
    r->p += n;
    r->len -= n;
    return p;
}

static uint8_t get_u8(struct reader *r)
{
    const uint8_t *p = take(r, 1);

    return p ? *p : 0;
}

static uint16_t get_u16(struct reader *r)
{
    const uint8_t *p = take(r, 2);

    return p ? load_be16(p) : 0;
}

static uint64_t get_int(struct reader *r)
{
    uint64_t v;
    size_t n = r->failed ? 0 : varint_get(r->p, r->len, &v);

    if (!n) {
        r->failed = true;
        return 0;
    }
    take(r, n);
    return v;
}

/* One of which a larger one than max, which no range has, becomes that. */
static uint32_t get_limited(struct reader *r, uint32_t max)
{
    uint64_t v = get_int(r);

    return v > max ? max : (uint32_t)v;
}

static uint32_t get_int32(struct reader *r)
{
    return get_limited(r, UINT32_MAX);
}

/* --- ranges --------------------------------------------------------------------------------- */

static bool prefix_ok(const struct ip_prefix *p, uint8_t version)
{
    struct ip_prefix network;

    if (!version || !p->len)
        return p->len == 0;
    if (p->addr.family != version || p->len > ip_addr_bits(&p->addr))
        return false;
    network = ip_prefix_network(p);
    return ip_prefix_equal(&network, p);
}

static bool spec_ok(const struct class_spec *s)
{
    return s->class < PACKED_CLASSES && s->treatment < CLASS_TREATMENTS && s->copies >= 1 &&
           s->copies <= CLASS_PATHS && s->recovery < CLASS_RECOVERIES && s->order < CLASS_ORDERS &&
           s->deadline_ms <= CLASS_DEADLINE_MAX_MS && s->path < CLASS_PATHS &&
           (s->class != CLASS_NONE || s->recovery == CLASS_RECOVERY_NONE);
}

static bool rule_ok(const struct class_rule *r)
{
    return r->class < PACKED_CLASSES && (!r->version || r->version == 4 || r->version == 6) &&
           (r->dscp < 64 || r->dscp == CLASS_DSCP_ANY) && prefix_ok(&r->client, r->version) &&
           prefix_ok(&r->server, r->version) && r->client_from <= r->client_to &&
           r->server_from <= r->server_to;
}

static bool table_ok(const struct class_table *t)
{
    unsigned seen = 0;

    if (t->n > PACKED_CLASSES || t->n_rules > CLASS_RULES_MAX || t->serial > VARINT_MAX)
        return false;
    for (unsigned i = 0; i < t->n; i++) {
        if (!spec_ok(&t->v[i]) || seen & 1u << t->v[i].class)
            return false;
        seen |= 1u << t->v[i].class;
    }
    for (unsigned i = 0; i < t->n_rules; i++)
        if (!rule_ok(&t->rule[i]))
            return false;
    return true;
}

static bool path_ok(const struct path_report *p)
{
    return p->path < CLASS_PATHS && p->status < PATH_STATUSES && p->serial <= VARINT_MAX &&
           p->priority <= PATH_PRIORITY_MAX && p->weight <= PATH_WEIGHT_MAX &&
           p->rate_kbps <= VARINT_MAX;
}

/* --- decoding ------------------------------------------------------------------------------- */

static void get_spec(struct reader *r, struct class_spec *s)
{
    s->class = get_u8(r);
    s->treatment = get_u8(r);
    s->copies = get_u8(r);
    s->recovery = get_u8(r);
    s->order = get_u8(r);
    s->deadline_ms = get_int32(r);
    s->path = (uint8_t)get_limited(r, UINT8_MAX);
}

static void get_prefix(struct reader *r, uint8_t version, struct ip_prefix *p)
{
    const uint8_t *bytes;

    p->len = get_u8(r);
    p->addr.family = p->len ? version : 0;
    bytes = take(r, (p->len + 7u) / 8);
    if (bytes && p->len <= 128)
        memcpy(p->addr.b, bytes, (p->len + 7u) / 8);
}

static void get_rule(struct reader *r, struct class_rule *c)
{
    c->class = get_u8(r);
    c->version = get_u8(r);
    c->proto = get_u8(r);
    c->dscp = get_u8(r);
    get_prefix(r, c->version, &c->client);
    get_prefix(r, c->version, &c->server);
    c->client_from = get_u16(r);
    c->client_to = get_u16(r);
    c->server_from = get_u16(r);
    c->server_to = get_u16(r);
}

static enum capsule_error judge(const struct reader *r, bool in_range)
{
    if (r->failed)
        return CAPSULE_CUT_SHORT;
    return in_range && !r->len ? CAPSULE_OK : CAPSULE_BAD_VALUE;
}

enum capsule_error capsule_get_classes(const uint8_t *value, size_t len, struct class_table *ret)
{
    struct reader r = {.p = value, .len = len};
    struct class_table t = {0};
    enum capsule_error e;

    t.serial = get_int(&r);
    t.n = get_int32(&r);
    if (t.n > PACKED_CLASSES)
        return CAPSULE_BAD_VALUE;
    for (unsigned i = 0; i < t.n; i++)
        get_spec(&r, &t.v[i]);
    t.n_rules = get_int32(&r);
    if (t.n_rules > CLASS_RULES_MAX)
        return CAPSULE_BAD_VALUE;
    for (unsigned i = 0; i < t.n_rules; i++)
        get_rule(&r, &t.rule[i]);
    e = judge(&r, table_ok(&t));
    if (!e)
        *ret = t;
    return e;
}

enum capsule_error capsule_get_path(const uint8_t *value, size_t len, struct path_report *ret)
{
    struct reader r = {.p = value, .len = len};
    struct path_report p = {0};
    enum capsule_error e;

    p.path = (uint8_t)get_limited(&r, UINT8_MAX);
    p.serial = get_int(&r);
    p.status = get_u8(&r);
    p.priority = get_int32(&r);
    p.weight = get_int32(&r);
    p.rate_kbps = get_int(&r);
    e = judge(&r, path_ok(&p));
    if (!e)
        *ret = p;
    return e;
}

/* --- encoding ------------------------------------------------------------------------------- */

/* Room for every table: 8 classes of 5 + 4 + 1 bytes, 256 rules of 4 + 2 x 17 + 8. */
enum { VALUE_MAX = VARINT_LEN_MAX + 4 + PACKED_CLASSES * 10 + CLASS_RULES_MAX * 46 };
_Static_assert((int)VALUE_MAX <= (int)CAPSULE_VALUE_MAX, "a table fits a capsule");

static uint8_t *put_int(uint8_t *p, uint64_t v)
{
    return p + varint_put(p, VARINT_LEN_MAX, v);
}

static uint8_t *put_u16(uint8_t *p, uint16_t v)
{
    store_be16(p, v);
    return p + 2;
}

static uint8_t *put_prefix(uint8_t *p, const struct ip_prefix *prefix)
{
    size_t n = (prefix->len + 7u) / 8;

    *p++ = prefix->len;
    memcpy(p, prefix->addr.b, n);
    return p + n;
}

static uint8_t *put_spec(uint8_t *p, const struct class_spec *s)
{
    *p++ = s->class;
    *p++ = s->treatment;
    *p++ = s->copies;
    *p++ = s->recovery;
    *p++ = s->order;
    return put_int(put_int(p, s->deadline_ms), s->path);
}

static uint8_t *put_rule(uint8_t *p, const struct class_rule *c)
{
    *p++ = c->class;
    *p++ = c->version;
    *p++ = c->proto;
    *p++ = c->dscp;
    p = put_prefix(put_prefix(p, &c->client), &c->server);
    p = put_u16(put_u16(p, c->client_from), c->client_to);
    return put_u16(put_u16(p, c->server_from), c->server_to);
}

static int put_capsule(uint64_t type, const uint8_t *value, size_t len, uint8_t *buf, size_t cap,
                       size_t *ret_len)
{
    size_t n = varint_put(buf, cap, type), m = n ? varint_put(buf + n, cap - n, len) : 0;

    if (!m || cap - n - m < len)
        return -ENOSPC;
    memcpy(buf + n + m, value, len);
    *ret_len = n + m + len;
    return 0;
}

int capsule_put_classes(const struct class_table *t, uint8_t *buf, size_t cap, size_t *ret_len)
{
    uint8_t value[VALUE_MAX], *p;

    if (!table_ok(t))
        return -EINVAL;
    p = put_int(put_int(value, t->serial), t->n);
    for (unsigned i = 0; i < t->n; i++)
        p = put_spec(p, &t->v[i]);
    p = put_int(p, t->n_rules);
    for (unsigned i = 0; i < t->n_rules; i++)
        p = put_rule(p, &t->rule[i]);
    return put_capsule(CAPSULE_CLASS_TABLE, value, (size_t)(p - value), buf, cap, ret_len);
}

int capsule_put_path(const struct path_report *path, uint8_t *buf, size_t cap, size_t *ret_len)
{
    uint8_t value[6 * VARINT_LEN_MAX], *p;

    if (!path_ok(path))
        return -EINVAL;
    p = put_int(put_int(value, path->path), path->serial);
    *p++ = path->status;
    p = put_int(put_int(put_int(p, path->priority), path->weight), path->rate_kbps);
    return put_capsule(CAPSULE_PATH_STATUS, value, (size_t)(p - value), buf, cap, ret_len);
}
