/* Packets for tests, made byte by byte, with a checksum of its own: nothing here uses the code
 * under test but struct pkt. */
#ifndef TESTS_PACKETS_H
#define TESTS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

/* Bytes of "45 00 0054..." (blanks are skipped) into out; returns their number. */
static inline size_t hex_bytes(const char *hex, uint8_t *out, size_t cap)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;

    for (; *hex; hex++) {
        const char *d = strchr(digits, *hex);

        if (*hex == ' ' || !d)
            continue;
        if (n / 2 >= cap)
            abort();
        out[n / 2] = (uint8_t)((n % 2 ? out[n / 2] << 4 : 0) | (d - digits));
        n++;
    }
    return n / 2;
}

/* RFC 1071 as its section 4.1 says it: 16-bit words one after the other. */
static inline uint32_t plain_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static inline uint16_t plain_csum(uint32_t sum, const uint8_t *p, size_t len)
{
    return (uint16_t)~plain_sum(sum, p, len);
}

static inline uint32_t plain_pseudo(const uint8_t *src, const uint8_t *dst, size_t addr_len,
                                    uint8_t proto, uint32_t l4_len)
{
    uint8_t tail[8] = {(uint8_t)(l4_len >> 24),
                       (uint8_t)(l4_len >> 16),
                       (uint8_t)(l4_len >> 8),
                       (uint8_t)l4_len,
                       0,
                       0,
                       0,
                       proto};

    return plain_sum(plain_sum(plain_sum(0, src, addr_len), dst, addr_len), tail, 8);
}

/* An IPv4 header of 20 bytes, 10.0.0.1 -> 10.0.0.2, for a packet of total bytes. */
static inline void put_ip4(uint8_t *p, unsigned total, uint8_t proto, uint16_t frag_field)
{
    hex_bytes("4500 0000 1234 0000 4000 0000 0a000001 0a000002", p, 20);
    store_be16(p + 2, (uint16_t)total);
    store_be16(p + 6, frag_field);
    p[9] = proto;
    store_be16(p + 10, plain_csum(0, p, 20));
}

/* An IPv6 header, 2001:db8::1 -> 2001:db8::2. */
static inline void put_ip6(uint8_t *p, unsigned payload, uint8_t next)
{
    hex_bytes("6000 0000 0000 0040 20010db8000000000000000000000001"
              "20010db8000000000000000000000002",
              p, 40);
    store_be16(p + 4, (uint16_t)payload);
    p[6] = next;
}

#endif
