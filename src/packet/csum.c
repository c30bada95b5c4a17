#include "packet/csum.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* a + b in ones' complement: the carry comes back in at the bottom (RFC 1071, 2 B: any word size
 * gives the same sum after folding). */
static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
    a += b;
    return a + (a < b);
}

static inline uint64_t load_native64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* The last bytes (fewer than 8), as if zeros followed. */
static uint64_t load_tail(const uint8_t *p, size_t len)
{
    uint64_t v = 0;

    memcpy(&v, p, len);
    return v;
}

/* Four sums side by side, because one is a chain of dependent additions. */
uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t s[3] = {0};

    for (; len >= 32; p += 32, len -= 32) {
        sum = add_carry(sum, load_native64(p));
        s[0] = add_carry(s[0], load_native64(p + 8));
        s[1] = add_carry(s[1], load_native64(p + 16));
        s[2] = add_carry(s[2], load_native64(p + 24));
    }
    for (; len >= 8; p += 8, len -= 8)
        sum = add_carry(sum, load_native64(p));
    if (len)
        sum = add_carry(sum, load_tail(p, len));
    return add_carry(add_carry(sum, s[0]), add_carry(s[1], s[2]));
}

uint64_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
                     uint32_t l4_len)
{
    size_t n = src->family == 4 ? 4 : 16;
    uint64_t sum = csum_add(csum_add(0, src->b, n), dst->b, n);

    return add_carry(sum, (uint64_t)htonl(l4_len) + htonl(proto));
}

uint16_t csum_fold_partial(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return ntohs((uint16_t)sum);
}

uint16_t csum_fold(uint64_t sum)
{
    return (uint16_t)~csum_fold_partial(sum);
}

uint16_t csum_update16(uint16_t csum, uint16_t was, uint16_t is)
{
    uint32_t sum = (uint32_t)(uint16_t)~csum + (uint16_t)~was + is;

    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

int csum_complete(struct pkt *pkt)
{
    uint32_t start = pkt->csum_start, field = start + pkt->csum_offset;
    uint16_t csum;

    if (!start)
        return 0;
    if (field + 2 > pkt->len || pkt->csum_offset % 2)
        return -EINVAL;
    csum = csum_fold(csum_add(0, pkt->data + start, pkt->len - start));
    store_be16(pkt->data + field, csum ? csum : 0xffff);
    pkt->csum_start = 0;
    pkt->csum_offset = 0;
    return 0;
}
