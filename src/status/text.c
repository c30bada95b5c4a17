#include "status/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "status/status.h"

/* RFC 3629, with the control characters taken out. */
size_t text_character(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t code, least;
    size_t n;

    if (u[0] < 0x80)
        return u[0] >= 0x20 && u[0] != 0x7f;
    n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    least = n == 4 ? 0x10000 : n == 3 ? 0x800 : 0xa0;
    if (u[0] < 0xc2 || u[0] > 0xf4)
        return 0;
    code = u[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (u[i] & 0x3fu);
    }
    return code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : n;
}

void status_set_text(char *dst, size_t size, const char *src)
{
    size_t used = 0;

    while (*src) {
        size_t n = text_character(src);

        if (used + MAX(n, 1) >= size)
            break;
        if (n)
            memcpy(dst + used, src, n);
        else
            dst[used] = '?';
        n = MAX(n, 1);
        used += n;
        src += n;
    }
    dst[used] = 0;
}

char *status_bytes_str(uint64_t bytes, char buf[static STATUS_WORD_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes;
    unsigned unit = 0;

    if (bytes < 1024) {
        snprintf(buf, STATUS_WORD_MAX, "%u B", (unsigned)bytes);
        return buf;
    }
    for (v /= 1024; v >= 1023.95 && unit + 1 < ARRAY_LEN(units); unit++)
        v /= 1024;
    snprintf(buf, STATUS_WORD_MAX, "%.1f %s", v, units[unit]);
    return buf;
}

char *status_duration_str(uint64_t s, char buf[static STATUS_WORD_MAX])
{
    unsigned long long days = s / 86400;
    unsigned hours = (unsigned)(s / 3600 % 24), minutes = (unsigned)(s / 60 % 60);

    if (days)
        snprintf(buf, STATUS_WORD_MAX, "%llud %uh", days, hours);
    else if (hours)
        snprintf(buf, STATUS_WORD_MAX, "%uh %um", hours, minutes);
    else if (minutes)
        snprintf(buf, STATUS_WORD_MAX, "%um %us", minutes, (unsigned)(s % 60));
    else
        snprintf(buf, STATUS_WORD_MAX, "%us", (unsigned)s);
    return buf;
}

char *status_time_str(int64_t s, char buf[static STATUS_WORD_MAX])
{
    time_t t = (time_t)s;
    struct tm tm;

    buf[0] = 0;
    if (s && gmtime_r(&t, &tm))
        strftime(buf, STATUS_WORD_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return buf;
}

int64_t text_parse_time(const char *s)
{
    struct tm tm = {0};
    const char *end = s ? strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm) : NULL;

    return end && !*end ? (int64_t)timegm(&tm) : 0;
}
