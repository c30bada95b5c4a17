/* Treatments: the table that tells of one, and which path takes what under it. One session sends
 * over three paths of a lane each, another one receives; what becomes of each datagram the test
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/util.h"
#include "bond/session.h"
#include "bond/treatment.h"
#include "packet/flow.h"
#include "packets.h"

enum { PATHS = 3, DGRAM = 1438, KEPT = 4096, PACKETS = 8192, TCP = 6, UDP = 17 };

static const uint64_t T0 = 1000 * NS_PER_S;

struct dgram {
    unsigned path;
    uint64_t id;
    uint32_t len;
    uint8_t data[DGRAM];
};

struct fixture {
    struct pkt_pool *pkts;
    struct fq_flows *flows;
    struct reasm_pool *reasm;
    struct drop_counters drops[2];
    struct session tx, rx;
    struct pack_lane lane[PATHS], rx_lane[PATHS];
    uint64_t now_ns, next_id;
    unsigned kicks;
    struct dgram sent[KEPT]; /* whose fate is open */
    unsigned n_sent;
    unsigned came[PACKETS]; /* how often each packet was delivered */
};

static void on_deliver(void *user, struct pkt *pkt)
{
    struct fixture *x = user;
    uint32_t n = load_be32(pkt->data + pkt->len - 4);

    assert_in_range(n, 0, PACKETS - 1);
    x->came[n]++;
    pkt_free(x->pkts, pkt);
}

static void on_kick(void *user)
{
    struct fixture *x = user;

    x->kicks++;
}

static void make_session(struct fixture *x, struct session *s, unsigned i)
{
    session_init(s, &(struct session_opts){.pool = x->pkts,
                                           .drops = &x->drops[i],
                                           .flows = x->flows,
                                           .deliver = on_deliver,
                                           .deliver_user = x,
                                           .kick = on_kick,
                                           .kick_user = x});
    assert_int_equal(session_set_packed(s, x->reasm), 0);
    session_attach(s);
}

static int setup(void **state)
{
    static const struct siphash_key key = {{1, 2}};
    struct fixture *x = calloc(1, sizeof(*x));

    x->pkts = pkt_pool_new(16384, 16);
    x->flows = fq_flows_new(64, &key);
    x->reasm = reasm_pool_new(64, 4096, 64 << 20);
    x->now_ns = T0;
    make_session(x, &x->tx, 0);
    make_session(x, &x->rx, 1);
    *state = x;
    return 0;
}

static void path_is_gone(struct fixture *x, unsigned path)
{
    session_lane_done(&x->tx, &x->lane[path], x->now_ns);
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    for (unsigned i = 0; i < PATHS; i++)
        path_is_gone(x, i);
    session_done(&x->tx);
    session_done(&x->rx);
    assert_int_equal(pkt_pool_in_use(x->pkts), 0);
    reasm_pool_free(x->reasm);
    fq_flows_free(x->flows);
    pkt_pool_free(x->pkts);
    free(x);
    return 0;
}

static void path_is_up(struct fixture *x, unsigned path)
{
    session_lane_begin(&x->tx, &x->lane[path], (uint8_t)(16 * path));
    session_lane_rtt(&x->tx, &x->lane[path], x->now_ns, 20 * NS_PER_MS, NS_PER_MS);
    session_lane_begin(&x->rx, &x->rx_lane[path], (uint8_t)(16 * path));
}

static void treat(struct fixture *x, const struct treatment *t, unsigned paths)
{
    static struct class_table table;

    assert_true(treatment_is_valid(t, paths));
    assert_true(treatment_table(t, &table));
    assert_int_equal(session_set_classes(&x->tx, &table, true), 0);
    assert_int_equal(session_set_classes(&x->rx, &table, false), 0);
    for (unsigned i = 0; i < paths; i++)
        path_is_up(x, i);
}

/* Packet number n of the flow with that source port. */
static void give(struct fixture *x, uint8_t proto, uint16_t port, uint32_t n)
{
    enum { LEN = 200 };
    struct pkt *pkt = pkt_new(x->pkts, LEN);

    memset(pkt->data, 0, LEN);
    put_ip4(pkt->data, LEN, proto, 0);
    store_be16(pkt->data + 20, port);
    store_be16(pkt->data + 22, 2000);
    if (proto == UDP)
        store_be16(pkt->data + 24, LEN - 20);
    pkt->data[32] = 5 << 4;
    store_be32(pkt->data + LEN - 4, n);
    pkt->len = LEN;
    session_send(&x->tx, x->now_ns, pkt);
}

/* What the path has to send now; NULL: nothing. It is the last of those sent. */
static const struct dgram *pull(struct fixture *x, unsigned path)
{
    struct pkt *p = session_pull_packed(&x->tx, &x->lane[path], x->now_ns, DGRAM, DGRAM);
    struct dgram *d = &x->sent[x->n_sent];

    if (!p)
        return NULL;
    assert_true(x->n_sent < KEPT);
    pkt_settle(x->pkts, p);
    *d = (struct dgram){.path = path, .id = x->next_id++, .len = p->len};
    memcpy(d->data, p->data, p->len);
    x->n_sent++;
    session_sent(&x->tx, &x->lane[path], d->id, p);
    return d;
}

static void arrives(struct fixture *x, const struct dgram *d)
{
    session_rx_packed(&x->rx, &x->rx_lane[d->path], x->now_ns, d->data, d->len);
}

static void acked(struct fixture *x, const struct dgram *d)
{
    session_acked(&x->tx, &x->lane[d->path], d->id);
}

static void lost(struct fixture *x, const struct dgram *d)
{
    session_lost(&x->tx, &x->lane[d->path], x->now_ns, d->id);
}

static void time_passes(struct fixture *x, uint64_t ns)
{
    x->now_ns += ns;
    session_timeout(&x->tx, x->now_ns);
    session_timeout(&x->rx, x->now_ns);
}

/* --- the table ------------------------------------------------------------------------------- */

static void what_is_usual_needs_no_table(void **state)
{
    struct class_table t;

    assert_false(treatment_table(&(struct treatment){0}, &t));
    assert_false(treatment_table(&(struct treatment){.copies = 3}, &t));
}

static const struct class_spec *spec(const struct class_table *t, uint8_t class)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->v[i].class == class)
            return &t->v[i];
    fail_msg("class %u is not in the table", class);
    return NULL;
}

static void a_table_says_it_of_all_classes(void **state)
{
    static const struct treatment all[] = {
        {.policy = BOND_BALANCED},
        {.policy = BOND_FAILOVER},
        {.policy = BOND_PRIORITY},
        {.policy = BOND_PIN, .pin = 15},
        {.policy = BOND_DUPLICATE, .copies = 16},
        {.policy = BOND_LOWEST_LATENCY, .order = TREATMENT_ORDER_NONE},
        {.recovery = TREATMENT_NONE},
        {.order = TREATMENT_ORDER_RECOVER, .deadline_ms = CLASS_DEADLINE_MAX_MS},
    };
    static const uint8_t said[] = {CLASS_BALANCED, CLASS_FAILOVER,  CLASS_FAILOVER,
                                   CLASS_PIN,      CLASS_DUPLICATE, CLASS_LOWEST_LATENCY,
                                   CLASS_BOND,     CLASS_BOND};
    static uint8_t buf[CAPSULE_HEADER_MAX + CAPSULE_VALUE_MAX];
    struct class_table t = {.serial = 3};
    size_t len;

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(treatment_table(&all[i], &t));
        assert_int_equal(capsule_put_classes(&t, buf, sizeof(buf), &len), 0);
        assert_int_equal(spec(&t, CLASS_TCP)->treatment, said[i]);
        assert_int_equal(spec(&t, CLASS_OTHER)->treatment, said[i]);
        assert_int_equal(spec(&t, CLASS_NONE)->treatment, said[i]);
        assert_int_equal(spec(&t, CLASS_NONE)->recovery, CLASS_RECOVERY_NONE);
    }
    treatment_table(&(struct treatment){.policy = BOND_DUPLICATE}, &t);
    assert_int_equal(spec(&t, CLASS_TCP)->copies, 2);
    assert_int_equal(spec(&t, CLASS_TCP)->deadline_ms, 1000);
    assert_int_equal(spec(&t, CLASS_TCP)->order, CLASS_ORDER_RECOVER);
    assert_int_equal(spec(&t, CLASS_OTHER)->deadline_ms, 150);
    assert_int_equal(spec(&t, CLASS_OTHER)->order, CLASS_ORDER_REORDER);
    treatment_table(&(struct treatment){.recovery = TREATMENT_NONE, .deadline_ms = 7}, &t);
    assert_int_equal(spec(&t, CLASS_TCP)->recovery, CLASS_RECOVERY_NONE);
    assert_int_equal(spec(&t, CLASS_OTHER)->deadline_ms, 7);
}

static void values_out_of_range_are_refused(void **state)
{
    assert_true(treatment_is_valid(&(struct treatment){.policy = BOND_PIN, .pin = 1}, 2));
    assert_false(treatment_is_valid(&(struct treatment){.policy = BOND_PIN, .pin = 2}, 2));
    assert_false(treatment_is_valid(&(struct treatment){.policy = BOND_POLICIES}, 2));
    assert_false(treatment_is_valid(&(struct treatment){.recovery = TREATMENT_RECOVERIES}, 2));
    assert_false(treatment_is_valid(&(struct treatment){.order = TREATMENT_ORDERS}, 2));
    assert_false(treatment_is_valid(&(struct treatment){.copies = CLASS_PATHS + 1}, 2));
    assert_false(
        treatment_is_valid(&(struct treatment){.deadline_ms = CLASS_DEADLINE_MAX_MS + 1}, 2));
}

/* --- duplicate ------------------------------------------------------------------------------- */

static const struct treatment twice = {.policy = BOND_DUPLICATE, .deadline_ms = 10000};

static void each_packet_goes_over_both_and_comes_once(void **state)
{
    struct fixture *x = *state;

    treat(x, &twice, 2);
    for (unsigned n = 0; n < 10; n++) {
        unsigned first = n % 2;
        struct dgram a;

        give(x, UDP, 1000, n);
        x->kicks = 0;
        assert_non_null(pull(x, first));
        assert_true(x->kicks); /* the other one has something to send now */
        assert_non_null(pull(x, !first));
        a = x->sent[x->n_sent - 2];
        assert_int_equal(x->sent[x->n_sent - 1].len, a.len);
        assert_null(pull(x, 0));
        assert_null(pull(x, 1));
        arrives(x, &a);
        assert_int_equal(x->came[n], 1);
        arrives(x, &x->sent[x->n_sent - 1]);
        assert_int_equal(x->came[n], 1);
        time_passes(x, 20 * NS_PER_MS);
    }
    assert_int_equal(x->drops[1].n[DROP_DUPLICATE], 10);
    assert_int_equal(x->tx.pack->stats.copies, 10);
}

static void two_of_three_paths_are_enough(void **state)
{
    struct fixture *x = *state;
    unsigned n = 0;

    treat(x, &twice, 3);
    give(x, UDP, 1000, 0);
    for (unsigned i = 0; i < PATHS; i++)
        n += pull(x, i) != NULL;
    assert_int_equal(n, 2);
}

static void the_arrival_of_one_spares_the_other(void **state)
{
    struct fixture *x = *state;

    treat(x, &twice, 2);
    give(x, UDP, 1000, 0);
    pull(x, 0);
    pull(x, 1);
    acked(x, &x->sent[0]);
    lost(x, &x->sent[1]);
    assert_null(pull(x, 0));
    assert_null(pull(x, 1));
    give(x, UDP, 1000, 1);
    pull(x, 1);
    acked(x, &x->sent[2]);
    assert_null(pull(x, 0)); /* it need not go any more */
}

static void when_both_are_lost_one_goes_again_twice(void **state)
{
    struct fixture *x = *state;

    treat(x, &twice, 2);
    give(x, UDP, 1000, 0);
    pull(x, 0);
    pull(x, 1);
    lost(x, &x->sent[0]);
    lost(x, &x->sent[1]);
    time_passes(x, 50 * NS_PER_MS);
    assert_non_null(pull(x, 0));
    assert_non_null(pull(x, 1));
    assert_null(pull(x, 0));
    assert_null(pull(x, 1));
    assert_int_equal(x->tx.pack->stats.again, 1);
    arrives(x, &x->sent[2]);
    arrives(x, &x->sent[3]);
    assert_int_equal(x->came[0], 1);
}

static void a_path_without_room_holds_up_nobody(void **state)
{
    struct fixture *x = *state;
    unsigned late = 0;

    treat(x, &twice, 2);
    for (unsigned n = 0; n < 2000; n++) {
        const struct dgram *d;

        give(x, UDP, 1000, n);
        d = pull(x, 0);
        assert_non_null(d);
        arrives(x, d);
        if (n % 2)
            acked(x, d);
        x->n_sent = 0;
        time_passes(x, NS_PER_MS);
        assert_int_equal(x->came[n], 1);
    }
    while (pull(x, 1)) { /* only what is of use still */
        arrives(x, &x->sent[--x->n_sent]);
        late++;
    }
    assert_in_range(late, 40, 101);
    for (unsigned n = 0; n < 2000; n++)
        assert_int_equal(x->came[n], 1);
}

static void what_a_path_has_still_to_send_is_bounded(void **state)
{
    struct fixture *x = *state;
    unsigned before;

    treat(x, &twice, 2);
    give(x, UDP, 1000, 0);
    pull(x, 0);
    before = pkt_pool_in_use(x->pkts);
    for (unsigned n = 1; n < 3000; n++) {
        give(x, UDP, 1000, n);
        assert_non_null(pull(x, 0));
        acked(x, &x->sent[--x->n_sent]);
    }
    assert_in_range(pkt_pool_in_use(x->pkts), before, before + 256);
    path_is_gone(x, 1);
    assert_in_range(pkt_pool_in_use(x->pkts), 1, 1);
}

/* A chaotic channel, a receiver that reports nothing: each packet comes, and comes once. */
static void whatever_happens_each_comes_once(void **state)
{
    struct fixture *x = *state;
    unsigned given = 0;
    struct rng rng;

    rng_seed(&rng, 9);
    treat(x, &twice, 3);
    while (given < PACKETS || x->n_sent) {
        unsigned path = (unsigned)rng_below(&rng, PATHS);

        if (given < PACKETS)
            give(x, rng_below(&rng, 2) ? TCP : UDP, (uint16_t)(1000 + rng_below(&rng, 4)), given);
        given += given < PACKETS;
        for (unsigned k = 0; k < 3; k++)
            pull(x, (path + k) % PATHS);
        while (x->n_sent && (rng_below(&rng, 3) || given == PACKETS)) {
            unsigned i = (unsigned)rng_below(&rng, MIN(x->n_sent, 32u));
            struct dgram d = x->sent[i];
            bool is_lost = rng_double(&rng) < 0.3;

            memmove(&x->sent[i], &x->sent[i + 1], (--x->n_sent - i) * sizeof(d));
            if (!is_lost)
                arrives(x, &d);
            if (is_lost || rng_double(&rng) < 0.05)
                lost(x, &d);
            else
                acked(x, &d);
            for (unsigned k = 0; k < PATHS; k++)
                while (x->n_sent < KEPT / 2 && pull(x, k))
                    ;
        }
        time_passes(x, NS_PER_MS / 4);
    }
    time_passes(x, 20 * NS_PER_S);
    for (unsigned n = 0; n < PACKETS; n++)
        assert_int_equal(x->came[n], 1);
}

/* --- pin, and classes that are treated in different ways ---------------------------------------
 */

static void pinned_packets_take_no_other_path(void **state)
{
    struct fixture *x = *state;

    treat(x, &(struct treatment){.policy = BOND_PIN, .pin = 1}, 2);
    give(x, UDP, 1000, 0);
    assert_null(pull(x, 0));
    assert_non_null(pull(x, 1));
    lost(x, &x->sent[0]);
    assert_null(pull(x, 0));
    assert_non_null(pull(x, 1));
    path_is_gone(x, 1);
    give(x, UDP, 1000, 1);
    assert_null(pull(x, 0)); /* though it is the only one that is up */
    path_is_up(x, 1);
    assert_non_null(pull(x, 1));
}

static void three_treatments(struct fixture *x)
{
    static struct class_table t = {.n = 3,
                                   .v = {{.class = 2,
                                          .treatment = CLASS_PIN,
                                          .copies = 1,
                                          .path = 1,
                                          .recovery = 1,
                                          .deadline_ms = 10000},
                                         {.class = 3,
                                          .treatment = CLASS_DUPLICATE,
                                          .copies = 2,
                                          .recovery = 1,
                                          .deadline_ms = 10000},
                                         {.class = CLASS_OTHER,
                                          .treatment = CLASS_BOND,
                                          .copies = 1,
                                          .recovery = 1,
                                          .deadline_ms = 10000}},
                                   .n_rules = 2};

    for (unsigned i = 0; i < t.n_rules; i++)
        t.rule[i] = (struct class_rule){.class = (uint8_t)(2 + i),
                                        .dscp = CLASS_DSCP_ANY,
                                        .client_from = (uint16_t)(2002 + i),
                                        .client_to = (uint16_t)(2002 + i),
                                        .server_to = UINT16_MAX};
    assert_int_equal(session_set_classes(&x->tx, &t, true), 0);
    assert_int_equal(session_set_classes(&x->rx, &t, false), 0);
    path_is_up(x, 0);
    path_is_up(x, 1);
}

static unsigned class_of_dgram(const struct dgram *d)
{
    return d->data[0] & 7;
}

static void each_class_is_treated_as_it_says(void **state)
{
    struct fixture *x = *state;
    const struct dgram *d;

    three_treatments(x);
    give(x, UDP, 2002, 0); /* pinned to path 1 */
    assert_null(pull(x, 0));
    give(x, UDP, 1000, 1); /* over either, */
    give(x, UDP, 2003, 2); /* over both */
    d = pull(x, 0);
    assert_int_equal(class_of_dgram(d), CLASS_OTHER);
    d = pull(x, 0);
    assert_int_equal(class_of_dgram(d), 3);
    assert_null(pull(x, 0));
    d = pull(x, 1);
    assert_int_equal(class_of_dgram(d), 3);
    d = pull(x, 1);
    assert_int_equal(class_of_dgram(d), 2);
    assert_null(pull(x, 1));
    for (unsigned i = 0; i < x->n_sent; i++)
        arrives(x, &x->sent[i]);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(x->came[n], 1);
}

static void what_is_lost_goes_again_as_its_class_says(void **state)
{
    struct fixture *x = *state;
    const struct dgram *d;

    three_treatments(x);
    for (unsigned n = 0; n < 20; n++) {
        give(x, UDP, 2002, n);
        pull(x, 1);
    }
    give(x, UDP, 1000, 20);
    pull(x, 0);
    for (unsigned i = 0; i < x->n_sent; i++)
        lost(x, &x->sent[i]);
    path_is_gone(x, 1);
    x->n_sent = 0;
    d = pull(x, 0); /* the pinned ones do not stand in its way */
    assert_non_null(d);
    assert_int_equal(class_of_dgram(d), CLASS_OTHER);
    assert_null(pull(x, 0));
    path_is_up(x, 1);
    for (unsigned n = 0; n < 20; n++) {
        d = pull(x, 1);
        assert_non_null(d);
        assert_int_equal(class_of_dgram(d), 2);
    }
    assert_null(pull(x, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_usual_needs_no_table),
        cmocka_unit_test(a_table_says_it_of_all_classes),
        cmocka_unit_test(values_out_of_range_are_refused),
        T(each_packet_goes_over_both_and_comes_once),
        T(two_of_three_paths_are_enough),
        T(the_arrival_of_one_spares_the_other),
        T(when_both_are_lost_one_goes_again_twice),
        T(a_path_without_room_holds_up_nobody),
        T(what_a_path_has_still_to_send_is_bounded),
        T(whatever_happens_each_comes_once),
        T(pinned_packets_take_no_other_path),
        T(each_class_is_treated_as_it_says),
        T(what_is_lost_goes_again_as_its_class_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
