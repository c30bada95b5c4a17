#include "packet/segment.h"

#include "base/util.h"
#include "packet/csum.h"
#include "packet/ecn.h"
#include "packet/super.h"

/* The sum of the addresses, which lie one behind the other in both versions. */
static uint64_t address_sum(const uint8_t *ip)
{
    return ip[0] >> 4 == 4 ? csum_add(0, ip + 12, 8) : csum_add(0, ip + 8, 32);
}

static void put_ip(uint8_t *p, uint32_t len, unsigned number)
{
    if (p[0] >> 4 == 6) {
        store_be16(p + IP6_LEN, (uint16_t)(len - IP6_HDR));
        return;
    }
    store_be16(p + IP4_LEN, (uint16_t)len);
    store_be16(p + IP4_ID, (uint16_t)(load_be16(p + IP4_ID) + number));
    store_be16(p + IP4_CSUM, 0);
    store_be16(p + IP4_CSUM, csum_fold(csum_add(0, p, (p[0] & 0x0f) * 4u)));
}

/* The urgent pointer counts from the sequence number of its own segment (RFC 9293, 3.8.5). */
static void put_urgent(uint8_t *tcp, uint32_t at)
{
    uint16_t ptr = load_be16(tcp + TCP_URG_PTR);

    if (ptr <= at)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_URG;
    store_be16(tcp + TCP_URG_PTR, (uint16_t)(ptr <= at ? 0 : ptr - at));
}

static void put_tcp(uint8_t *tcp, uint32_t at, bool last)
{
    if (at && tcp[TCP_FLAGS] & TCP_URG)
        put_urgent(tcp, at);
    store_be32(tcp + TCP_SEQ, load_be32(tcp + TCP_SEQ) + at);
    if (at)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    if (!last)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_PSH | TCP_FIN);
}

uint32_t segment_write(const struct pkt *super, uint32_t at, uint8_t *out)
{
    uint32_t left = super->len - super->hdr_len - at, n = MIN(left, (uint32_t)super->gso_size);
    uint32_t l4_len = super->hdr_len - super->csum_start + n;
    uint8_t *l4 = out + super->csum_start;
    bool udp = super->gso == PKT_GSO_UDP;
    uint8_t pseudo[4] = {0, udp ? IP_PROTO_UDP : IP_PROTO_TCP};
    uint16_t csum;

    memcpy(out, super->data, super->hdr_len);
    memcpy(out + super->hdr_len, super->data + super->hdr_len + at, n);
    put_ip(out, super->hdr_len + n, at / super->gso_size);
    if (udp)
        store_be16(l4 + UDP_LEN, (uint16_t)l4_len);
    else
        put_tcp(l4, at, n == left);
    store_be16(pseudo + 2, (uint16_t)l4_len);
    store_be16(l4 + super->csum_offset, 0);
    csum = csum_fold(csum_add(csum_add(address_sum(out), pseudo, sizeof(pseudo)), l4, l4_len));
    store_be16(l4 + super->csum_offset, csum ? csum : 0xffff);
    return super->hdr_len + n;
}

struct pkt *segment_take(struct pkt_pool *pool, struct pkt *super)
{
    uint32_t payload = segment_payload(super);
    struct pkt *pkt = pkt_new(pool, super->hdr_len + payload);

    if (!pkt)
        return NULL;
    pkt->len = segment_write(super, super->taken, pkt->data);
    pkt->queued_ns = super->queued_ns;
    pkt->flow = super->flow;
    if (super->mark)
        ecn_mark_ce(pkt);
    super->mark = false;
    super->taken += payload;
    return pkt;
}

struct pkt *segment_run(struct pkt_pool *pool, struct pkt *super, size_t max)
{
    uint32_t left = segment_left(super), at = super->taken, payload;
    size_t fit = max > super->hdr_len ? (max - super->hdr_len) / super->gso_size : 0;
    struct pkt *run;

    payload = (uint32_t)MIN(MIN(fit, (size_t)SEGMENT_RUN_MAX) * super->gso_size, (size_t)left);
    if (payload <= super->gso_size || super->mark)
        return segment_take(pool, super);
    run = pkt_new(pool, super->hdr_len + payload);
    if (!run)
        return NULL;
    memcpy(run->data, super->data, super->hdr_len);
    memcpy(run->data + super->hdr_len, super->data + super->hdr_len + at, payload);
    run->len = super->hdr_len + payload;
    run->queued_ns = super->queued_ns;
    run->flow = super->flow;
    run->gso = super->gso;
    run->gso_size = super->gso_size;
    run->hdr_len = super->hdr_len;
    run->csum_start = super->csum_start;
    run->csum_offset = super->csum_offset;
    put_ip(run->data, run->len, at / super->gso_size);
    if (run->gso != PKT_GSO_UDP)
        put_tcp(run->data + run->csum_start, at, payload == left);
    super_finish(run);
    super->taken += payload;
    return run;
}
