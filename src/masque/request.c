#include "masque/request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void take(struct masque_request *req, char *dst, size_t size, const uint8_t *v, size_t len)
{
    if (len >= size || memchr(v, 0, len)) {
        req->oversized = true;
        return;
    }
    memcpy(dst, v, len);
    dst[len] = 0;
}

/* 1 to size - 1 of A-Z a-z 0-9 . _ - */
static bool take_word(char *dst, size_t size, const uint8_t *v, size_t len)
{
    if (!len || len >= size)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum(v[i]) && v[i] != '.' && v[i] != '_' && v[i] != '-')
            return false;
    memcpy(dst, v, len);
    dst[len] = 0;
    return true;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648, 4. Returns the end. */
static char *base64_put(char *s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < n ? p[i + 2] : 0);

        *s++ = base64[v >> 18];
        *s++ = base64[v >> 12 & 63];
        *s++ = i + 1 < n ? base64[v >> 6 & 63] : '=';
        *s++ = i + 2 < n ? base64[v & 63] : '=';
    }
    return s;
}

void masque_session_print(char buf[MASQUE_SESSION_VALUE_MAX], unsigned version, const uint8_t *id,
                          size_t n)
{
    char *s = buf + snprintf(buf, MASQUE_SESSION_VALUE_MAX, "%u, :", version);

    s = base64_put(s, id, n);
    *s++ = ':';
    *s = 0;
}

/* Exactly n bytes in base64, which ends at *end. */
static bool base64_get(const char *s, const char *end, uint8_t *ret, size_t n)
{
    char again[MASQUE_SESSION_VALUE_MAX];
    uint32_t v = 0;
    size_t got = 0;

    if ((size_t)(end - s) != (n + 2) / 3 * 4)
        return false;
    for (size_t i = 0; s + i < end; i++) {
        const char *c = s[i] == '=' ? base64 : memchr(base64, s[i], 64);

        if (!c)
            return false;
        v = v << 6 | (uint32_t)(c - base64);
        if (i % 4 == 3)
            for (int shift = 16; shift >= 0 && got < n; shift -= 8)
                ret[got++] = (uint8_t)(v >> shift);
    }
    base64_put(again, ret, n); /* one encoding only: padding and spare bits as they have to be */
    return !memcmp(again, s, (size_t)(end - s));
}

bool masque_session_parse(const uint8_t *value, size_t len, unsigned *ret_version, uint8_t *ret_id,
                          size_t n)
{
    char text[MASQUE_SESSION_VALUE_MAX];
    unsigned version = 0;
    const char *s = text;

    if (!len || len >= sizeof(text))
        return false;
    memcpy(text, value, len);
    text[len] = 0;
    for (; isdigit((unsigned char)*s) && version <= 255; s++)
        version = version * 10 + (unsigned)(*s - '0');
    if (s == text || text[0] == '0' || version > 255 || *s++ != ',')
        return false;
    s += *s == ' ';
    if (*s++ != ':' || text[len - 1] != ':' || s > text + len - 1 ||
        !base64_get(s, text + len - 1, ret_id, n))
        return false;
    *ret_version = version;
    return true;
}

enum { JOIN_SESSION = 1, JOIN_PATH = 2, JOIN_LANE = 4, JOIN_NEEDED = 7, JOIN_LANES = 8 };

/* A number from min to max, below 100, without sign or leading zeros. */
static bool take_number(const uint8_t *v, size_t len, unsigned min, unsigned max, uint8_t *ret)
{
    unsigned n = 0;

    if (!len || len > 2 || (len == 2 && v[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit(v[i]))
            return false;
        n = 10 * n + (unsigned)(v[i] - '0');
    }
    if (n < min || n > max)
        return false;
    *ret = (uint8_t)n;
    return true;
}

static void take_join(struct masque_request *req, unsigned field, bool ok)
{
    req->bad_join |= !ok || req->join_fields & field;
    req->join_fields |= (uint8_t)field;
}

static bool is(const char *name, size_t len, const char *what)
{
    return strlen(what) == len && !memcmp(name, what, len);
}

void masque_request_field(struct masque_request *req, const char *name, size_t name_len,
                          const uint8_t *v, size_t len)
{
    if (is(name, name_len, ":method"))
        take(req, req->method, sizeof(req->method), v, len);
    else if (is(name, name_len, ":protocol"))
        take(req, req->protocol, sizeof(req->protocol), v, len);
    else if (is(name, name_len, ":scheme"))
        take(req, req->scheme, sizeof(req->scheme), v, len);
    else if (is(name, name_len, ":authority"))
        take(req, req->authority, sizeof(req->authority), v, len);
    else if (is(name, name_len, ":path"))
        take(req, req->path, sizeof(req->path), v, len);
    else if (is(name, name_len, "authorization"))
        take(req, req->authorization, sizeof(req->authorization), v, len);
    else if (is(name, name_len, MASQUE_INSTANCE_FIELD))
        req->bad_instance = !take_word(req->instance, sizeof(req->instance), v, len);
    else if (is(name, name_len, MASQUE_SESSION_FIELD))
        take_join(req, JOIN_SESSION,
                  masque_session_parse(v, len, &req->join.version, req->join.session,
                                       sizeof(req->join.session)));
    else if (is(name, name_len, MASQUE_PATH_FIELD))
        take_join(req, JOIN_PATH, take_number(v, len, 0, MASQUE_PATHS_MAX - 1, &req->join.path));
    else if (is(name, name_len, MASQUE_LANE_FIELD))
        take_join(req, JOIN_LANE,
                  take_number(v, len, 0, MASQUE_PATH_LANES_MAX - 1, &req->join.lane));
    else if (is(name, name_len, MASQUE_LANES_FIELD))
        take_join(req, JOIN_LANES, take_number(v, len, 1, MASQUE_PATH_LANES_MAX, &req->join.lanes));
    else if (is(name, name_len, MASQUE_PATH_NAME_FIELD))
        req->bad_join |= !take_word(req->join.name, sizeof(req->join.name), v, len);
    else if (is(name, name_len, "content-length") || is(name, name_len, "content-type"))
        req->has_content = true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode one path segment up to '/' into dst. Returns the character after the slash, or NULL when
 * there is no slash, the encoding is bad or it is too long. */
static const char *segment(const char *s, char *dst, size_t size)
{
    size_t n = 0;

    for (; *s && *s != '/'; s++) {
        char c = *s;

        if (c == '%') {
            int hi = hex(s[1]), lo = hi < 0 ? -1 : hex(s[2]);

            if (lo < 0)
                return NULL;
            c = (char)(hi << 4 | lo);
            s += 2;
        }
        if (n + 1 >= size || !c)
            return NULL;
        dst[n++] = c;
    }
    dst[n] = 0;
    return *s == '/' ? s + 1 : NULL;
}

/* "*", or an IP protocol number 0..255 of one to three digits (RFC 9484, 4.6). */
static bool valid_ipproto(const char *s)
{
    size_t len = strlen(s);

    if (!strcmp(s, "*"))
        return true;
    return len && len <= 3 && strspn(s, "0123456789") == len && strtoul(s, NULL, 10) <= 255;
}

/* An address, or a prefix without host bits whose length has at most two digits for IPv4 and three
 * for IPv6. */
static bool valid_prefix(const char *s)
{
    const char *slash = strchr(s, '/');
    struct ip_prefix p, net;

    if (ip_prefix_parse(s, &p) || (slash && strlen(slash + 1) > (p.addr.family == 4 ? 2 : 3)))
        return false;
    net = ip_prefix_network(&p);
    return ip_addr_equal(&net.addr, &p.addr);
}

/* A registered name of RFC 3986, 3.2.2, after decoding: letters of any script, digits and marks,
 * but no delimiter. */
static bool valid_name(const char *s)
{
    if (!*s || strlen(s) > 253)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("\"#%/:<>?@[\\]^`{|}", *s))
            return false;
    return true;
}

static int path_status(const char *path)
{
    char target[256], proto[16];
    size_t prefix = strlen(MASQUE_PATH_PREFIX);
    const char *p;

    if (strncmp(path, MASQUE_PATH_PREFIX, prefix) != 0)
        return 404;
    if (strchr(path + prefix, ':')) /* has to be percent-encoded (RFC 9484, 4.6) */
        return 400;
    p = segment(path + prefix, target, sizeof(target));
    p = p ? segment(p, proto, sizeof(proto)) : NULL;
    if (!p || *p || !valid_ipproto(proto) || !(valid_prefix(target) || valid_name(target)))
        return 400;
    return !strcmp(target, "*") && !strcmp(proto, "*") ? 200 : 403;
}

int masque_request_status(const struct masque_request *req)
{
    if (req->oversized)
        return 431;
    if (strcmp(req->method, "CONNECT") != 0)
        return strncmp(req->path, MASQUE_PATH_PREFIX, strlen(MASQUE_PATH_PREFIX)) != 0 ? 404 : 405;
    if (strcmp(req->protocol, "connect-ip") != 0)
        return 501;
    if (strcmp(req->scheme, "https") != 0 || !*req->authority || !*req->path || req->has_content ||
        req->bad_instance || req->bad_join ||
        (req->join_fields && (req->join_fields & JOIN_NEEDED) != JOIN_NEEDED))
        return 400;
    return path_status(req->path);
}

bool masque_request_bearer(const struct masque_request *req, const char **ret)
{
    static const char scheme[] = "Bearer ";
    const char *t = req->authorization;

    if (strncasecmp(t, scheme, sizeof(scheme) - 1) != 0)
        return false;
    t += sizeof(scheme) - 1;
    while (*t == ' ')
        t++;
    if (!*t)
        return false;
    *ret = t;
    return true;
}
