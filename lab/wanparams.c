#include "lab/wanparams.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MIN_BYTES = 3028 }; /* two full frames: less could carry nothing */

uint64_t wan_queue_limit(const struct wan_params *p)
{
    uint64_t limit = p->queue_bytes;

    if (p->queue_ns && p->rate_bps) {
        double bytes = (double)p->rate_bps * (double)p->queue_ns / 8e9;

        if (!limit || bytes < (double)limit)
            limit = (uint64_t)bytes;
    }
    return limit && limit < QUEUE_MIN_BYTES ? QUEUE_MIN_BYTES : limit;
}

/* A number with one of the suffixes "name=factor", e.g. {"k", 1e3}. The text must end there. */
struct unit {
    const char *name;
    double factor;
};

static const struct unit rate_units[] = {{"", 1}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {NULL, 0}};
static const struct unit time_units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit share_units[] = {{"", 1}, {"%", 0.01}, {NULL, 0}};

static bool parse_number(const char *s, size_t len, const struct unit *units, double *ret)
{
    char text[32], *end;
    double v;

    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, s, len);
    text[len] = '\0';
    v = strtod(text, &end);
    if (end == text || !isfinite(v) || v < 0 || v > 1e12)
        return false;
    for (; units->name; units++)
        if (strcmp(units->name, end) == 0) {
            *ret = v * units->factor;
            return true;
        }
    return false;
}

static bool parse_share(const char *s, size_t len, double *ret)
{
    double v;

    if (!parse_number(s, len, share_units, &v) || v > 1)
        return false;
    *ret = v;
    return true;
}

static bool parse_uint(const char *s, size_t len, const struct unit *units, uint64_t *ret)
{
    double v;

    if (!parse_number(s, len, units, &v) || v > 1e18)
        return false;
    *ret = (uint64_t)(v + 0.5);
    return true;
}

bool wan_time_parse(const char *s, size_t len, uint64_t *ret_ns)
{
    return parse_uint(s, len, time_units, ret_ns);
}

static bool parse_queue(struct wan_params *p, const char *s, size_t len)
{
    uint64_t bytes = 0, ns = 0;

    if (!parse_uint(s, len, rate_units, &bytes) && !parse_uint(s, len, time_units, &ns))
        return false;
    p->queue_bytes = bytes;
    p->queue_ns = ns;
    return true;
}

/* "BAD,GOOD,LOSS", or "0" for none. */
static bool parse_burst(struct wan_params *p, const char *s, size_t len)
{
    double v[3] = {0, 0, 0};
    unsigned n = 0;

    for (;;) {
        const char *comma = memchr(s, ',', len);
        size_t word = comma ? (size_t)(comma - s) : len;

        if (n == 3 || !parse_share(s, word, &v[n++]))
            return false;
        if (!comma)
            break;
        s += word + 1;
        len -= word + 1;
    }
    if (n != 3 && !(n == 1 && v[0] == 0))
        return false;
    p->ge_bad = v[0];
    p->ge_good = v[1];
    p->ge_loss = v[2];
    return true;
}

static bool parse_flag(const char *s, size_t len, bool *ret)
{
    if (len != 1 || (s[0] != '0' && s[0] != '1'))
        return false;
    *ret = s[0] == '1';
    return true;
}

static bool parse_mtu(struct wan_params *p, const char *s, size_t len)
{
    uint64_t v;

    if (!parse_uint(s, len, share_units, &v) || v > WAN_FRAME_MAX)
        return false;
    p->mtu = (uint32_t)v;
    return true;
}

static bool parse_word(struct wan_params *p, const char *w, size_t len)
{
    const char *eq = memchr(w, '=', len);
    size_t key = eq ? (size_t)(eq - w) : len;
    const char *v = w + key + 1;
    size_t n = eq ? len - key - 1 : 0;

#define KEY(name) (key == sizeof(name) - 1 && memcmp(w, name, key) == 0)
    if (!eq)
        return false;
    if (KEY("rate"))
        return parse_uint(v, n, rate_units, &p->rate_bps);
    if (KEY("delay"))
        return parse_uint(v, n, time_units, &p->delay_ns);
    if (KEY("jitter"))
        return parse_uint(v, n, time_units, &p->jitter_ns);
    if (KEY("jitter-period"))
        return parse_uint(v, n, time_units, &p->jitter_period_ns);
    if (KEY("queue"))
        return parse_queue(p, v, n);
    if (KEY("mtu"))
        return parse_mtu(p, v, n);
    if (KEY("loss"))
        return parse_share(v, n, &p->loss);
    if (KEY("burst"))
        return parse_burst(p, v, n);
    if (KEY("reorder"))
        return parse_flag(v, n, &p->reorder);
    if (KEY("down"))
        return parse_flag(v, n, &p->down);
    if (KEY("cut"))
        return parse_flag(v, n, &p->cut);
#undef KEY
    return false;
}

int wan_params_parse(struct wan_params *p, const char *words, const char **ret_bad)
{
    struct wan_params new = *p;

    for (;;) {
        size_t len;

        words += strspn(words, " ");
        if (!*words)
            break;
        len = strcspn(words, " ");
        if (!parse_word(&new, words, len)) {
            *ret_bad = words;
            return -EINVAL;
        }
        words += len;
    }
    *p = new;
    return 0;
}
