#include "packet/frag.h"

#include "base/util.h"
#include "packet/csum.h"

#include <errno.h>
#include <string.h>

enum {
    IP4_MORE_FRAGS = 0x2000,
    IP4_OPT_END = 0,
    IP4_OPT_NOP = 1,
    IP4_OPT_COPIED = 0x80,
};

/* How one packet is cut: header and payload of the original, and the header of all fragments but
 * the first. */
struct cut {
    const uint8_t *data;
    uint32_t hdr_len;
    uint32_t payload_len;
    uint32_t mtu;
    uint16_t first_off; /* offset of the packet itself, in bytes */
    bool more;          /* fragments of the original follow the last one made here */
    uint8_t later_hdr[IP4_HDR_MAX];
    uint32_t later_hdr_len;
};

/* Make the header of later fragments: the fixed part and the options with the copied flag,
 * padded to 4 bytes (RFC 791, 3.1). Options that cannot be walked end the list. */
static void make_later_header(struct cut *c)
{
    uint32_t n = IP4_HDR_MIN;

    memcpy(c->later_hdr, c->data, IP4_HDR_MIN);
    for (uint32_t i = IP4_HDR_MIN; i < c->hdr_len && c->data[i] != IP4_OPT_END;) {
        uint32_t opt_len;

        if (c->data[i] == IP4_OPT_NOP) {
            i++;
            continue;
        }
        if (i + 1 >= c->hdr_len)
            break;
        opt_len = c->data[i + 1];
        if (opt_len < 2 || opt_len > c->hdr_len - i)
            break;
        if (c->data[i] & IP4_OPT_COPIED) {
            memcpy(c->later_hdr + n, c->data + i, opt_len);
            n += opt_len;
        }
        i += opt_len;
    }
    while (n % 4)
        c->later_hdr[n++] = IP4_OPT_END;
    c->later_hdr[0] = (uint8_t)(0x40 | n / 4);
    c->later_hdr_len = n;
}

/* Payload bytes of the fragment that starts at off and whose header has hdr_len bytes. */
static uint32_t cut_len(const struct cut *c, uint32_t off, uint32_t hdr_len)
{
    uint32_t left = c->payload_len - off, room = c->mtu - hdr_len;

    return left <= room ? left : room & ~7u;
}

static unsigned cut_count(const struct cut *c)
{
    unsigned n = 0;

    for (uint32_t off = 0; off < c->payload_len; n++)
        off += cut_len(c, off, off ? c->later_hdr_len : c->hdr_len);
    return n;
}

static void put_fragment(const struct cut *c, struct pkt *f, uint32_t off, uint32_t len)
{
    const uint8_t *hdr = off ? c->later_hdr : c->data;
    uint32_t hdr_len = off ? c->later_hdr_len : c->hdr_len;
    bool more = c->more || off + len < c->payload_len;
    uint16_t field = (uint16_t)((c->first_off + off) / 8 | (more ? IP4_MORE_FRAGS : 0));

    memcpy(f->data, hdr, hdr_len);
    memcpy(f->data + hdr_len, c->data + c->hdr_len + off, len);
    f->len = hdr_len + len;
    store_be16(f->data + 2, (uint16_t)f->len);
    store_be16(f->data + 6, field);
    store_be16(f->data + 10, 0);
    store_be16(f->data + 10, csum_fold(csum_add(0, f->data, hdr_len)));
}

/* Append all fragments to batch, which has room for them, or none. */
static int emit(struct pkt_pool *pool, const struct cut *c, struct pkt_batch *batch)
{
    unsigned before = batch->n;

    for (uint32_t off = 0; off < c->payload_len;) {
        uint32_t hdr_len = off ? c->later_hdr_len : c->hdr_len;
        uint32_t len = cut_len(c, off, hdr_len);
        struct pkt *f = pkt_new(pool, hdr_len + len);

        if (!f) {
            while (batch->n > before)
                pkt_free(pool, batch->v[--batch->n]);
            return -ENOBUFS;
        }
        put_fragment(c, f, off, len);
        batch->v[batch->n++] = f;
        off += len;
    }
    return 0;
}

int frag_ipv4(struct pkt_pool *pool, struct pkt *pkt, const struct ip_view *v, uint32_t mtu,
              struct pkt_batch *batch)
{
    struct cut c = {
        .data = pkt->data,
        .hdr_len = v->ip_hdr_len,
        .payload_len = v->total_len - v->ip_hdr_len,
        .mtu = mtu,
        .first_off = v->frag_off,
        .more = v->more_frags,
    };
    bool fits = v->total_len <= mtu;
    int r;

    if (v->version != 4 || (v->df && !fits))
        return -EMSGSIZE;
    if (mtu < IP4_MIN_MTU || pkt->gso != PKT_GSO_NONE)
        return -EINVAL;
    make_later_header(&c);
    if ((fits ? 1 : cut_count(&c)) > PKT_BATCH_MAX - batch->n)
        return -E2BIG;
    r = csum_complete(pkt);
    if (r)
        return r;
    if (fits) {
        batch->v[batch->n++] = pkt;
        return 0;
    }
    r = emit(pool, &c, batch);
    if (!r)
        pkt_free(pool, pkt);
    return r;
}
