/* Input: packed datagrams as a hostile peer could send them to a session with two lanes that has
 * packets on their way: a byte of time (in ms) whose top bit names the lane, two of length, the
 * payload; repeated. Whatever it reports, what is on its way stays bounded, everything that is sent
 * decodes, and in the end every buffer is given back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/session.h"
#include "packet/flow.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum { LANES = 2, DGRAM = 1200 };

static struct pkt_pool *pool;
static struct fq_flows *flows;
static struct reasm_pool *reasm;
static struct drop_counters drops;

static void on_deliver(void *user, struct pkt *pkt)
{
    CHECK(pkt->len);
    pkt_free(pool, pkt);
}

static void on_kick(void *user)
{
}

/* A TCP packet of one of four flows. */
static void give(struct session *s, uint64_t now_ns, unsigned n)
{
    enum { LEN = 300 };
    struct pkt *pkt = pkt_new(pool, LEN);

    if (!pkt)
        return;
    memset(pkt->data, 0, LEN);
    pkt->data[0] = 0x45;
    store_be16(pkt->data + 2, LEN);
    pkt->data[9] = 6;
    store_be32(pkt->data + 12, 0x0a000001);
    store_be32(pkt->data + 16, 0x0a000002);
    store_be16(pkt->data + 20, (uint16_t)(1000 + n % 4));
    pkt->data[32] = 5 << 4;
    pkt->len = LEN;
    session_send(s, now_ns, pkt);
}

static void pull(struct session *s, struct pack_lane *lane, uint64_t now_ns, uint64_t *id)
{
    struct packed_reader r;
    struct packed_head head;
    struct packed_frame f;
    struct pkt *d;
    int rv;

    for (unsigned i = 0; i < 2 && (d = session_pull_packed(s, lane, now_ns, DGRAM, DGRAM)); i++) {
        pkt_settle(pool, d);
        CHECK(d->len && d->len <= DGRAM && !packed_open(&r, d->data, d->len, &head));
        while ((rv = packed_next(&r, &f)) > 0)
            ;
        CHECK(rv == 0);
        session_sent(s, lane, (*id)++, d);
    }
}

static void run(struct session *s, struct pack_lane lane[LANES], const uint8_t *data, size_t size)
{
    uint64_t now_ns = NS_PER_S, id = 0;

    for (unsigned n = 0; size > 3; n++) {
        size_t len = MIN((size_t)load_be16(data + 1), size - 3);
        struct pack_lane *l = &lane[data[0] >> 7];

        now_ns += (data[0] & 0x7f) * NS_PER_MS;
        session_timeout(s, now_ns);
        if (session_lane_rtt_due(l, now_ns))
            session_lane_rtt(s, l, now_ns, 20 * NS_PER_MS, NS_PER_MS);
        give(s, now_ns, n);
        pull(s, &lane[n % LANES], now_ns, &id);
        session_rx_packed(s, l, now_ns, data + 3, len);
        if (n % 3 == 0)
            session_lost(s, l, now_ns, n);
        session_acked(s, &lane[n % LANES], n);
        pull(s, l, now_ns, &id);
        data += 3 + len;
        size -= 3 + len;
    }
    for (unsigned i = 0; i < LANES; i++)
        session_lane_done(s, &lane[i], now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct siphash_key key = {{1, 2}};
    struct pack_lane lane[LANES] = {0};
    struct session s;

    if (!pool) {
        pool = pkt_pool_new(512, 16);
        flows = fq_flows_new(16, &key);
        reasm = reasm_pool_new(8, 64, 1 << 20);
    }
    session_init(
        &s,
        &(struct session_opts){
            .pool = pool, .drops = &drops, .flows = flows, .deliver = on_deliver, .kick = on_kick});
    CHECK(session_set_packed(&s, reasm) == 0);
    session_attach(&s);
    for (unsigned i = 0; i < LANES; i++)
        session_lane_begin(&s, &lane[i], (uint8_t)i);
    run(&s, lane, data, size);
    session_done(&s);
    CHECK(pkt_pool_in_use(pool) == 0);
    return 0;
}
