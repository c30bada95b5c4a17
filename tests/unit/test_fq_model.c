/* The flow queue against a simple model of RFC 8290, over random packets: arrays instead of lists,
 * every sum computed anew, CoDel as RFC 8289 writes it down. Model and queue must give the same
 * packets in the same order, with the same marks, and drop the same ones. */
#include "fq_packets.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

enum { FLOWS = 24, PACKETS = 4096, BYTES = 60000, COUNT = 90, STEPS = 40000, RUNS = 12 };
#define AGE_NS NS_PER_S
static const uint64_t T0 = 100 * NS_PER_S;
static const struct siphash_key key = {{3, 4}};

/* --- the model ------------------------------------------------------------------------- */

struct m_packet {
    uint32_t number, len;
    int64_t at;
    bool ect;
};

struct m_flow {
    struct m_packet p[PACKETS]; /* first to last */
    unsigned n;
    int64_t first_above, drop_next;
    unsigned count, lastcount;
    bool dropping;
    int deficit;
    int list; /* 0 none, 1 new, 2 old */
};

struct model {
    struct m_flow flow[FLOWS];
    unsigned fresh[FLOWS], n_fresh, old[FLOWS], n_old;
    int64_t drain_since;
    double drain_bytes, drain_rate, target;
    int64_t left_since;
    double left_bytes, bound;
    unsigned full, stale, codel, marked;
};

static unsigned m_bytes(const struct m_flow *f)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < f->n; i++)
        sum += f->p[i].len;
    return sum;
}

static void m_sums(const struct model *m, unsigned *ret_n, unsigned *ret_bytes)
{
    *ret_n = *ret_bytes = 0;
    for (unsigned i = 0; i < FLOWS; i++) {
        *ret_n += m->flow[i].n;
        *ret_bytes += m_bytes(&m->flow[i]);
    }
}

static struct m_packet m_take(struct m_flow *f)
{
    struct m_packet p = f->p[0];

    memmove(f->p, f->p + 1, --f->n * sizeof(p));
    return p;
}

static void m_leave(unsigned *list, unsigned *n)
{
    memmove(list, list + 1, --*n * sizeof(*list));
}

/* Of flows with equally many bytes the queue may choose. fq_bytes tells what it has left of each;
 * when it took from two of them, the smaller packet came first, for the larger would have done. */
static void m_bound(struct model *m, const unsigned *fq_bytes)
{
    unsigned n, bytes;

    for (m_sums(m, &n, &bytes); n > COUNT || bytes > m->bound; m_sums(m, &n, &bytes)) {
        unsigned most = 0, at = FLOWS;

        for (unsigned i = 0; i < FLOWS; i++)
            most = m_bytes(&m->flow[i]) > most ? m_bytes(&m->flow[i]) : most;
        for (unsigned i = 0; i < FLOWS; i++)
            if (m_bytes(&m->flow[i]) == most && fq_bytes[i] < most &&
                (at == FLOWS || m->flow[i].p[0].len < m->flow[at].p[0].len))
                at = i;
        assert_true(at < FLOWS);
        m_take(&m->flow[at]);
        m->full++;
    }
}

static void m_push(struct model *m, unsigned flow, struct m_packet p, bool front,
                   const unsigned *fq_bytes)
{
    struct m_flow *f = &m->flow[flow];

    if (front)
        memmove(f->p + 1, f->p, f->n * sizeof(p));
    f->p[front ? 0 : f->n] = p;
    f->n++;
    if (!f->list) {
        f->list = 1;
        f->deficit = FQ_QUANTUM;
        m->fresh[m->n_fresh++] = flow;
    }
    m_bound(m, fq_bytes);
}

static int64_t law(int64_t t, unsigned count)
{
    return t + (int64_t)floor(100e6 / sqrt(count));
}

/* RFC 8289, 5.5, for the packet that has just been taken. */
static bool m_codel(const struct model *m, struct m_flow *f, const struct m_packet *p, int64_t now)
{
    bool ok = false;

    if ((double)(now - p->at) < m->target || m_bytes(f) <= FQ_QUANTUM)
        f->first_above = 0;
    else if (!f->first_above)
        f->first_above = now + (int64_t)FQ_CODEL_STANDING_NS;
    else
        ok = now >= f->first_above;
    if (!ok) {
        f->dropping = false;
        return false;
    }
    if (f->dropping) {
        if (now < f->drop_next)
            return false;
        f->drop_next = law(f->drop_next, ++f->count);
        return true;
    }
    unsigned delta = f->count - f->lastcount;

    f->dropping = true;
    f->count = delta > 1 && now - f->drop_next < 1600000000 ? delta : 1;
    f->lastcount = f->count;
    f->drop_next = law(now, f->count);
    return true;
}

static void m_drain(struct model *m, int64_t now, unsigned len)
{
    unsigned n, bytes;
    double rate;

    m_sums(m, &n, &bytes);
    if (!n) {
        m->drain_since = 0;
        return;
    }
    if (!m->drain_since) {
        m->drain_since = now;
        m->drain_bytes = 0;
        return;
    }
    m->drain_bytes += len;
    if (now - m->drain_since < 100000000)
        return;
    rate = floor(m->drain_bytes / (double)(now - m->drain_since) * 1e9);
    m->drain_rate = m->drain_rate > 0 ? floor((m->drain_rate + rate) / 2) : rate;
    m->drain_since = now;
    m->drain_bytes = 0;
    double packet = floor(FQ_QUANTUM * 1e9 / m->drain_rate);

    m->target = fmin(fmax(5e6, packet + floor(packet / 2)), 100e6);
}

static void m_left(struct model *m, int64_t now, unsigned len)
{
    m->left_bytes += len;
    if (now - m->left_since < 100000000)
        return;
    m->bound = floor(fmin(m->left_bytes / (double)(now - m->left_since) * 2.5e7, 8. * BYTES));
    m->bound = fmax(m->bound, BYTES);
    m->left_since = now;
    m->left_bytes = 0;
}

/* Returns false when there is no packet. */
static bool m_pop(struct model *m, int64_t now, unsigned *ret_flow, struct m_packet *ret,
                  bool *ret_mark)
{
    while (m->n_fresh || m->n_old) {
        bool is_new = m->n_fresh;
        unsigned i = is_new ? m->fresh[0] : m->old[0];
        struct m_flow *f = &m->flow[i];
        struct m_packet p;

        if (f->deficit <= 0) {
            f->deficit += FQ_QUANTUM;
            m_leave(is_new ? m->fresh : m->old, is_new ? &m->n_fresh : &m->n_old);
            m->old[m->n_old++] = i;
            f->list = 2;
            continue;
        }
        while (f->n) {
            p = m_take(f);
            *ret_mark = false;
            if (now - p.at > (int64_t)AGE_NS) {
                m->stale++;
                continue;
            }
            if (m_codel(m, f, &p, now)) {
                if (!p.ect) {
                    m->codel++;
                    continue;
                }
                *ret_mark = true;
                m->marked++;
            }
            f->deficit -= (int)p.len;
            m_drain(m, now, p.len);
            m_left(m, now, p.len);
            *ret_flow = i;
            *ret = p;
            return true;
        }
        f->first_above = 0;
        f->dropping = false;
        m_leave(is_new ? m->fresh : m->old, is_new ? &m->n_fresh : &m->n_old);
        f->list = is_new && m->n_old ? 2 : 0;
        if (f->list)
            m->old[m->n_old++] = i;
    }
    m->drain_since = 0;
    return false;
}

/* --- the comparison -------------------------------------------------------------------- */

struct world {
    struct pkt_pool *pool;
    struct fq_flows *flows;
    struct drop_counters drops;
    struct fq q;
    struct model m;
    struct rng rng;
    uint64_t now;
    uint32_t next;
    unsigned flows_now; /* of so many flows packets come */
};

/* What each flow of the queue has waiting. */
static void look(const struct world *w, unsigned *ret_bytes)
{
    memset(ret_bytes, 0, FLOWS * sizeof(*ret_bytes));
    for (int i = 0; i < 2; i++)
        for (const struct fq_flow *f = i ? w->q.old.head : w->q.fresh.head; f; f = f->next)
            if (f->head)
                ret_bytes[fq_packet_flow(f->head)] = f->bytes;
}

static void compare(struct world *w)
{
    unsigned n, bytes, each[FLOWS];

    m_sums(&w->m, &n, &bytes);
    assert_int_equal(w->q.n, n);
    assert_int_equal(w->q.bytes, bytes);
    look(w, each);
    for (unsigned i = 0; i < FLOWS; i++)
        assert_int_equal(each[i], m_bytes(&w->m.flow[i]));
    assert_int_equal(w->drops.n[DROP_QUEUE_FULL], w->m.full);
    assert_int_equal(w->drops.n[DROP_STALE], w->m.stale);
    assert_int_equal(w->drops.n[DROP_CODEL], w->m.codel);
    assert_int_equal(w->q.stats.marked, w->m.marked);
    assert_int_equal(pkt_pool_in_use(w->pool), n);
    assert_true(w->q.target_ns == (uint64_t)w->m.target);
}

static void step_push(struct world *w)
{
    unsigned flow = (unsigned)rng_below(&w->rng, w->flows_now), each[FLOWS];
    bool ect = flow % 4 == 3;
    struct m_packet p = {.number = w->next++, .at = (int64_t)w->now, .ect = ect};

    /* Of all sizes, so that hardly ever two flows have equally many bytes. */
    p.len = (uint32_t)(rng_below(&w->rng, 3) ? 1000 + rng_below(&w->rng, 501)
                                             : 32 + rng_below(&w->rng, 900));
    fq_packet_push(&w->q, w->now, fq_packet(w->pool, flow, p.number, p.len, ect ? 2 : 0));
    look(w, each);
    m_push(&w->m, flow, p, false, each);
}

static void step_pop(struct world *w)
{
    struct pkt *pkt = fq_packet_pop(&w->q, w->now);
    unsigned flow = 0, each[FLOWS];
    struct m_packet p = {0};
    bool mark = false;
    bool got = m_pop(&w->m, (int64_t)w->now, &flow, &p, &mark);

    assert_int_equal(!!pkt, got);
    if (!pkt)
        return;
    assert_int_equal(fq_packet_flow(pkt), flow);
    assert_int_equal(fq_packet_number(pkt), p.number);
    assert_int_equal(pkt->len, p.len);
    assert_int_equal((pkt->data[1] & 3) == 3, mark);
    if (mark || rng_below(&w->rng, 50)) {
        pkt_free(w->pool, pkt);
        return;
    }
    fq_unpop(&w->q, w->now, pkt);
    look(w, each);
    m_push(&w->m, flow, p, true, each);
}

/* Load and pace change now and then, and sometimes the line stands still. */
static void run(struct world *w)
{
    unsigned gap_us = 100, push_share = 50;

    for (unsigned i = 0; i < STEPS; i++) {
        if (!rng_below(&w->rng, 1000)) {
            gap_us = (unsigned)(20 + rng_below(&w->rng, 2000));
            push_share = (unsigned)(30 + rng_below(&w->rng, 40));
            w->flows_now = (unsigned)(1 + rng_below(&w->rng, FLOWS));
        }
        w->now += rng_below(&w->rng, 2ull * gap_us * NS_PER_US);
        if (!rng_below(&w->rng, 3000))
            w->now += rng_below(&w->rng, 3 * NS_PER_S);
        if (rng_below(&w->rng, 100) < push_share)
            step_push(w);
        else
            step_pop(w);
        if (i % 16 == 0)
            compare(w);
    }
}

static void same_as_the_model(void **state)
{
    static struct world w;
    uint64_t full = 0, codel = 0, stale = 0, marked = 0;

    for (unsigned r = 0; r < RUNS; r++) {
        memset(&w, 0, sizeof(w));
        w = (struct world){.now = T0, .flows_now = FLOWS};
        w.m.target = 5e6;
        w.m.bound = BYTES;
        rng_seed(&w.rng, r + 1);
        w.pool = pkt_pool_new(COUNT + 2, 0);
        /* Half the runs have as few leases as there are flows: each is taken again and again. */
        w.flows = fq_flows_new(r % 2 ? FLOWS : 10 * FLOWS, &key);
        fq_init(&w.q, &(struct fq_opts){.flows = w.flows,
                                        .pool = w.pool,
                                        .drops = &w.drops,
                                        .max_bytes = BYTES,
                                        .max_packets = COUNT,
                                        .max_age_ns = AGE_NS});
        run(&w);
        compare(&w);
        full += w.m.full;
        codel += w.m.codel;
        stale += w.m.stale;
        marked += w.m.marked;
        fq_flush(&w.q, DROP_NO_SESSION);
        fq_flows_free(w.flows);
        pkt_pool_free(w.pool);
    }
    /* It has been everywhere. */
    assert_true(full > 1000 && codel > 1000 && stale > 1000 && marked > 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
