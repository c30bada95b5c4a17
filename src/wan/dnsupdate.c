/* The request has four sections, as any message of DNS, with meanings of their own:
 *
 *      zone: the zone's name, SOA | prerequisites: none | updates | additional: TSIG
 *      updates: delete NAME A (class ANY, no data); add NAME A ADDRESS
 *
 * Both updates are one transaction. TSIG is an HMAC over the message as it was without it, followed
 * by the variables of TSIG; in an answer the request's MAC comes before that. Names are not
 * compressed, and in small letters, as they are signed. */
#include "wan/dnsupdate.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum {
    TYPE_A = 1,
    TYPE_SOA = 6,
    TYPE_AAAA = 28,
    TYPE_TSIG = 250,
    CLASS_IN = 1,
    CLASS_ANY = 255,
    OPCODE_UPDATE = 5,
    HEADER_LEN = 12,
    FUDGE_S = 300,
    LABEL_MAX = 63,
    RCODE_BITS = 0xf,
    SIGNED_MAX = 2 * DNSUPDATE_MAX + 1024,
};

static const uint8_t algorithm[] = "\013hmac-sha256"; /* with the root's label, the last zero */

/* --- writing --------------------------------------------------------------------------- */

struct out {
    uint8_t *b;
    size_t len, max;
    bool full;
};

static void put(struct out *o, const void *data, size_t len)
{
    o->full |= len > o->max - o->len;
    if (o->full || !len)
        return;
    memcpy(o->b + o->len, data, len);
    o->len += len;
}

static void put16(struct out *o, uint16_t v)
{
    uint8_t b[2];

    store_be16(b, v);
    put(o, b, sizeof(b));
}

static void put32(struct out *o, uint32_t v)
{
    put16(o, (uint16_t)(v >> 16));
    put16(o, (uint16_t)v);
}

static void put_time(struct out *o, uint64_t s)
{
    put16(o, (uint16_t)(s >> 32));
    put32(o, (uint32_t)s);
}

static bool is_of_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static int name_parse(const char *text, struct dnsupdate_name *ret)
{
    struct dnsupdate_name n = {.len = 0};

    while (*text) {
        size_t len = strcspn(text, ".");

        if (!len || len > LABEL_MAX || n.len + len + 2 > sizeof(n.b))
            return -EINVAL;
        n.b[n.len++] = (uint8_t)len;
        for (; len; len--, text++) {
            if (!is_of_name(*text))
                return -EINVAL;
            n.b[n.len++] = (uint8_t)(*text >= 'A' && *text <= 'Z' ? *text + 32 : *text);
        }
        text += *text == '.';
    }
    n.b[n.len++] = 0;
    *ret = n;
    return 0;
}

static void put_record(struct out *o, const struct dnsupdate_name *name, uint16_t type,
                       uint16_t class, uint32_t ttl_s, uint16_t len)
{
    put(o, name->b, name->len);
    put16(o, type);
    put16(o, class);
    put32(o, ttl_s);
    put16(o, len);
}

static void put_body(struct out *o, const struct dnsupdate *u, const struct dnsupdate_name *zone,
                     const struct dnsupdate_name *name)
{
    uint16_t len = (uint16_t)(ip_addr_bits(&u->address) / 8);
    uint16_t type = u->address.family == 4 ? TYPE_A : TYPE_AAAA;

    put16(o, u->id);
    put16(o, OPCODE_UPDATE << 11);
    put16(o, 1); /* zones */
    put16(o, 0); /* prerequisites */
    put16(o, 2); /* updates */
    put16(o, 0); /* the signature is counted later */
    put(o, zone->b, zone->len);
    put16(o, TYPE_SOA);
    put16(o, CLASS_IN);
    put_record(o, name, type, CLASS_ANY, 0, 0);
    put_record(o, name, type, CLASS_IN, u->ttl_s, len);
    put(o, u->address.b, len);
}

/* --- signing --------------------------------------------------------------------------- */

/* What a TSIG says besides its MAC. */
struct tsig {
    uint64_t time_s;
    uint16_t fudge_s, error;
    const uint8_t *other;
    uint16_t other_len;
};

static void put_variables(struct out *o, const struct dnsupdate_key *key, const struct tsig *t)
{
    put(o, key->name.b, key->name.len);
    put16(o, CLASS_ANY);
    put32(o, 0);
    put(o, algorithm, sizeof(algorithm));
    put_time(o, t->time_s);
    put16(o, t->fudge_s);
    put16(o, t->error);
    put16(o, t->other_len);
    put(o, t->other, t->other_len);
}

/* before: the MAC of the request, when an answer is signed; else NULL. */
static int reckon_mac(const struct dnsupdate_key *key, const uint8_t *before, const void *message,
                      size_t len, const struct tsig *t, uint8_t ret[static DNSUPDATE_MAC_LEN])
{
    uint8_t buf[SIGNED_MAX];
    struct out o = {.b = buf, .max = sizeof(buf)};

    if (before) {
        put16(&o, DNSUPDATE_MAC_LEN);
        put(&o, before, DNSUPDATE_MAC_LEN);
    }
    put(&o, message, len);
    put_variables(&o, key, t);
    if (o.full)
        return -EBADMSG;
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, key->secret, key->secret_len, buf, o.len, ret)
               ? -ENOTSUP
               : 0;
}

int dnsupdate_write(const struct dnsupdate *u, const struct dnsupdate_key *key, int64_t now_s,
                    uint8_t buf[static DNSUPDATE_MAX], size_t *ret_len,
                    uint8_t ret_mac[static DNSUPDATE_MAC_LEN])
{
    struct tsig t = {.time_s = (uint64_t)now_s, .fudge_s = FUDGE_S};
    struct out o = {.b = buf, .max = DNSUPDATE_MAX};
    struct dnsupdate_name zone, name;
    int rv;

    if (!ip_addr_bits(&u->address) || name_parse(u->zone, &zone) || name_parse(u->name, &name))
        return -EINVAL;
    put_body(&o, u, &zone, &name);
    rv = reckon_mac(key, NULL, buf, o.len, &t, ret_mac);
    if (rv)
        return rv;
    put_record(&o, &key->name, TYPE_TSIG, CLASS_ANY, 0,
               (uint16_t)(sizeof(algorithm) + 10 + DNSUPDATE_MAC_LEN + 6));
    put(&o, algorithm, sizeof(algorithm));
    put_time(&o, t.time_s);
    put16(&o, FUDGE_S);
    put16(&o, DNSUPDATE_MAC_LEN);
    put(&o, ret_mac, DNSUPDATE_MAC_LEN);
    put16(&o, u->id);
    put32(&o, 0); /* no error, and nothing else to say */
    store_be16(buf + 10, 1);
    *ret_len = o.len;
    return o.full ? -EINVAL : 0;
}

/* --- reading --------------------------------------------------------------------------- */

struct in {
    const uint8_t *b;
    size_t len, at;
};

static bool has(const struct in *i, size_t n)
{
    return n <= i->len - i->at;
}

static uint16_t get16(struct in *i)
{
    i->at += 2;
    return load_be16(i->b + i->at - 2);
}

/* A name, which is passed over; one that is compressed ends with two bytes that point elsewhere. */
static bool skip_name(struct in *i)
{
    while (has(i, 1)) {
        uint8_t n = i->b[i->at];

        if ((n & 0xc0) == 0xc0) {
            i->at += 2;
            return i->at <= i->len;
        }
        if (n & 0xc0 || !has(i, 1u + n))
            return false;
        i->at += 1u + n;
        if (!n)
            return true;
    }
    return false;
}

/* The fixed part of a record behind its name: type and class only, of those in the zone section. */
static bool skip_record(struct in *i, bool question)
{
    uint16_t len;

    if (!skip_name(i) || !has(i, question ? 4 : 10))
        return false;
    if (question) {
        i->at += 4;
        return true;
    }
    i->at += 8;
    len = get16(i);
    if (!has(i, len))
        return false;
    i->at += len;
    return true;
}

static bool is_name(struct in *i, const uint8_t *name, size_t len)
{
    if (!has(i, len))
        return false;
    for (size_t n = 0; n < len; n++) {
        uint8_t c = i->b[i->at + n];

        if (c != name[n] && !(c >= 'A' && c <= 'Z' && c + 32 == name[n]))
            return false;
    }
    i->at += len;
    return true;
}

/* The record of the signature, at i. Fills *ret and points *ret_mac at it. */
static bool read_tsig(struct in *i, const struct dnsupdate_key *key, struct tsig *ret,
                      const uint8_t **ret_mac)
{
    uint16_t high, data_len;

    if (!is_name(i, key->name.b, key->name.len) || !has(i, 10) || get16(i) != TYPE_TSIG)
        return false;
    i->at += 6;
    data_len = get16(i);
    if (data_len != i->len - i->at || !is_name(i, algorithm, sizeof(algorithm)) || !has(i, 10))
        return false;
    high = get16(i);
    ret->time_s = (uint64_t)high << 32 | load_be32(i->b + i->at);
    i->at += 4;
    ret->fudge_s = get16(i);
    if (get16(i) != DNSUPDATE_MAC_LEN || !has(i, DNSUPDATE_MAC_LEN + 6))
        return false;
    *ret_mac = i->b + i->at;
    i->at += DNSUPDATE_MAC_LEN + 2; /* and the id that it was sent with */
    ret->error = get16(i);
    ret->other_len = get16(i);
    ret->other = i->b + i->at;
    return ret->other_len == i->len - i->at;
}

/* message: up to the signature, which starts at that offset. */
static int check_signature(const uint8_t *data, size_t len, size_t start,
                           const struct dnsupdate_key *key, const uint8_t *mac, int64_t now_s)
{
    struct in i = {.b = data, .len = len, .at = start};
    uint8_t message[DNSUPDATE_MAX], want[DNSUPDATE_MAC_LEN];
    const uint8_t *got;
    struct tsig t = {0};
    int64_t off;

    if (start > sizeof(message) || !read_tsig(&i, key, &t, &got))
        return -EKEYREJECTED;
    memcpy(message, data, start);
    store_be16(message + 10, (uint16_t)(load_be16(message + 10) - 1));
    if (reckon_mac(key, mac, message, start, &t, want) ||
        gnutls_memcmp(want, got, sizeof(want)) != 0)
        return -EKEYREJECTED;
    off = now_s - (int64_t)t.time_s;
    return off > t.fudge_s || -off > t.fudge_s ? -EKEYREJECTED : 0;
}

int dnsupdate_read(const uint8_t *data, size_t len, uint16_t id, const struct dnsupdate_key *key,
                   const uint8_t mac[static DNSUPDATE_MAC_LEN], int64_t now_s)
{
    struct in i = {.b = data, .len = len};
    uint16_t flags, zones, records, additional;
    unsigned n;
    int rcode;

    if (len < HEADER_LEN || len > DNSUPDATE_MAX || get16(&i) != id)
        return -EBADMSG;
    flags = get16(&i);
    if (!(flags & 0x8000) || (flags >> 11 & 0xf) != OPCODE_UPDATE)
        return -EBADMSG;
    rcode = flags & RCODE_BITS;
    if (rcode)
        return rcode;
    zones = get16(&i);
    records = get16(&i);
    n = records + (unsigned)get16(&i);
    additional = get16(&i);
    if (!additional)
        return -EKEYREJECTED;
    n += additional - 1u;
    for (unsigned k = 0; k < zones; k++)
        if (!skip_record(&i, true))
            return -EBADMSG;
    for (unsigned k = 0; k < n; k++)
        if (!skip_record(&i, false))
            return -EBADMSG;
    return check_signature(data, len, i.at, key, mac, now_s);
}

const char *dnsupdate_rcode_name(int rcode)
{
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                        "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                        "NXRRSET", "NOTAUTH", "NOTZONE"};

    return rcode >= 0 && (size_t)rcode < ARRAY_LEN(names) ? names[rcode] : "?";
}

/* --- keys ------------------------------------------------------------------------------ */

/* The next word: a sign of "{};", or what is between quotation marks, or what is between spaces.
 * "": the end. */
static const char *next_word(const char *s, char *ret, size_t size)
{
    size_t len, skip = 0;

    s += strspn(s, " \t\r\n");
    if (*s == '"') {
        len = strcspn(++s, "\"");
        skip = s[len] == '"';
    } else {
        len = strcspn(s, " \t\r\n{};\"");
        if (!len && *s)
            len = 1;
    }
    snprintf(ret, size, "%.*s", (int)MIN(len, size - 1), s);
    return s + len + skip;
}

static int take_secret(const char *text, struct dnsupdate_key *k)
{
    gnutls_datum_t in = {(unsigned char *)text, (unsigned)strlen(text)}, out;
    int rv = -EINVAL;

    if (!in.size || gnutls_base64_decode2(&in, &out))
        return -EINVAL;
    if (out.size && out.size <= sizeof(k->secret)) {
        memcpy(k->secret, out.data, out.size);
        k->secret_len = out.size;
        rv = 0;
    }
    explicit_bzero(out.data, out.size);
    gnutls_free(out.data);
    return rv;
}

int dnsupdate_key_parse(const char *text, struct dnsupdate_key *ret)
{
    struct dnsupdate_key k = {.secret_len = 0};
    char word[DNSUPDATE_NAME_MAX + 1], value[DNSUPDATE_NAME_MAX + 1];
    bool right = false;

    text = next_word(text, word, sizeof(word));
    text = next_word(text, value, sizeof(value));
    if (strcmp(word, "key") != 0 || name_parse(value, &k.name) || k.name.len < 2)
        return -EINVAL;
    text = next_word(text, word, sizeof(word));
    if (strcmp(word, "{") != 0)
        return -EINVAL;
    for (;;) {
        text = next_word(text, word, sizeof(word));
        if (!strcmp(word, "}"))
            break;
        text = next_word(text, value, sizeof(value));
        if (!strcmp(word, "algorithm"))
            right = !strcmp(value, "hmac-sha256");
        else if (strcmp(word, "secret") != 0 || take_secret(value, &k))
            return -EINVAL;
        text = next_word(text, word, sizeof(word));
        if (strcmp(word, ";") != 0)
            return -EINVAL;
    }
    if (!right || !k.secret_len)
        return -EINVAL;
    *ret = k;
    explicit_bzero(&k, sizeof(k));
    explicit_bzero(value, sizeof(value));
    return 0;
}
