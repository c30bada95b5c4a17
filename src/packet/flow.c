#include "packet/flow.h"

#include "base/util.h"

#include <string.h>

/* Types whose identifier field names a conversation: echo and timestamp (RFC 792), echo (RFC
 * 4443). */
static bool has_identifier(uint8_t proto, uint8_t type)
{
    if (proto == IP_PROTO_ICMP4)
        return type == 0 || type == 8 || type == 13 || type == 14;
    return proto == IP_PROTO_ICMP6 && (type == 128 || type == 129);
}

static uint16_t icmp_identifier(const uint8_t *data, const struct ip_view *v)
{
    const uint8_t *l4 = data + v->l4_off;

    if (v->total_len - v->l4_off < 8 || !has_identifier(v->proto, l4[0]))
        return 0;
    return load_be16(l4 + 4);
}

uint64_t flow_hash(const struct siphash_key *key, const uint8_t *data, const struct ip_view *v)
{
    uint8_t b[2 * 16 + 8] = {0};
    size_t n = v->version == 4 ? 4 : 16;
    uint8_t *tail = b + 2 * n;

    memcpy(b, v->src.b, n);
    memcpy(b + n, v->dst.b, n);
    tail[0] = v->version;
    tail[1] = v->frag && v->version == 6 ? IP_PROTO_FRAGMENT : v->proto;
    if (v->has_ports && !v->frag) {
        store_be16(tail + 2, v->sport);
        store_be16(tail + 4, v->dport);
    } else if (!v->frag) {
        store_be16(tail + 2, icmp_identifier(data, v));
    }
    return siphash13(key, b, 2 * n + 8);
}
