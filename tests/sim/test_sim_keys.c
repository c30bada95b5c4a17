/* Packets under a real cipher: the same bytes from every AEAD, keys changed in mid-transfer, and
 * damaged packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/util.h"
#include "quic/aead.h"
#include "sim/duo.h"

/* 20 Mbit/s, 30 ms: about 1700 full packets in a second. */
#define LINE                                             \
    {                                                    \
        .rate_bps = 20000000, .delay_ns = 15 * NS_PER_MS \
    }

/* --- counting key changes -------------------------------------------------------------- */

/* ngtcp2 asks for the next keys when the handshake is complete and after every change. */
static unsigned edge_keys, hub_keys;
static struct quic_lane *hub_lane;

typedef int update_fn(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                      ngtcp2_crypto_aead_ctx *rx_aead, uint8_t *rx_iv,
                      ngtcp2_crypto_aead_ctx *tx_aead, uint8_t *tx_iv, const uint8_t *rx_was,
                      const uint8_t *tx_was, size_t len, void *user);

static update_fn *update;

static int on_update(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                     ngtcp2_crypto_aead_ctx *rx_aead, uint8_t *rx_iv,
                     ngtcp2_crypto_aead_ctx *tx_aead, uint8_t *tx_iv, const uint8_t *rx_was,
                     const uint8_t *tx_was, size_t len, void *user)
{
    if (ngtcp2_conn_is_server(conn)) {
        hub_keys++;
        hub_lane = user;
    } else {
        edge_keys++;
    }
    return update(conn, rx_secret, tx_secret, rx_aead, rx_iv, tx_aead, tx_iv, rx_was, tx_was, len,
                  user);
}

static void callbacks(ngtcp2_callbacks *cb)
{
    quic_tls_sealed.callbacks(cb);
    update = cb->update_key;
    cb->update_key = on_update;
}

/* --- a run ----------------------------------------------------------------------------- */

struct world {
    struct sim *sim;
    struct wan wan;
    struct quic_tls_ops tls;
    struct duo *d;
};

struct setup {
    enum aead_alg alg;
    const struct aead_backend *edge, *hub;
    struct link_opts line;
    uint64_t max_encryption;
};

/* Both ends send for ever. */
static void world_init(struct world *w, const struct setup *s)
{
    struct quic_endpoint_opts edge = {.tls = &w->tls, .aead = s->edge};
    struct quic_endpoint_opts hub = {.tls = &w->tls, .aead = s->hub};
    struct duo_opts opts = {.edge = &edge, .hub = &hub};

    edge_keys = hub_keys = 0;
    w->sim = sim_new(1);
    w->tls = quic_tls_sealed;
    w->tls.callbacks = callbacks;
    wan_init(&w->wan, w->sim, "wan", &s->line, &s->line);
    w->d = duo_new(&w->wan, &opts);
    w->d->tls_edge.alg = w->d->tls_hub.alg = s->alg;
    w->d->tls_edge.max_encryption = w->d->tls_hub.max_encryption = s->max_encryption;
    assert_true(duo_wait_up(w->d, 1, 5 * NS_PER_S));
    bulk_send(&w->d->at_edge, UINT64_MAX);
    bulk_send(&w->d->at_hub, UINT64_MAX);
}

static void world_done(struct world *w)
{
    duo_free(w->d);
    wan_done(&w->wan);
    sim_free(w->sim);
}

static uint64_t undecryptable(const struct world *w)
{
    return w->d->edge->drops.n[DROP_UNDECRYPTABLE] + w->d->hub->drops.n[DROP_UNDECRYPTABLE];
}

/* No lane has ended, and the line is used in both directions. */
static void expect_traffic(struct world *w)
{
    assert_int_equal(w->d->at_edge.lanes_down + w->d->at_hub.lanes_down, 0);
    bulk_stats_reset(&w->d->at_edge);
    bulk_stats_reset(&w->d->at_hub);
    sim_run_for(w->sim, NS_PER_S);
    assert_true(w->d->at_edge.stats.rx > 500);
    assert_true(w->d->at_hub.stats.rx > 500);
    assert_int_equal(w->d->at_edge.lanes_down + w->d->at_hub.lanes_down, 0);
}

/* --- one backend like the other -------------------------------------------------------- */

static uint64_t trace_of(const struct setup *s)
{
    struct world w;
    uint64_t trace;

    world_init(&w, s);
    expect_traffic(&w);
    assert_int_equal(quic_lane_update_keys(w.d->lane[0]), 0);
    sim_run_for(w.sim, NS_PER_S / 2);
    trace = w.sim->trace;
    assert_true(edge_keys >= 2 && hub_keys >= 2);
    assert_int_equal(undecryptable(&w), 0);
    world_done(&w);
    return trace;
}

static void same_trace_whatever_the_backend(void **state)
{
    for (enum aead_alg alg = 0; alg < AEAD_ALG_COUNT; alg++) {
        struct setup s = {.alg = alg, .edge = &aead_gnutls, .hub = &aead_gnutls, .line = LINE};
        uint64_t trace = trace_of(&s);

        assert_true(trace_of(&s) == trace);
        for (const struct aead_backend *const *b = aead_backends; *b; b++) {
            if ((*b)->unusable())
                continue;
            s.edge = *b;
            s.hub = &aead_gnutls;
            assert_true(trace_of(&s) == trace);
            s.hub = *b;
            assert_true(trace_of(&s) == trace);
        }
    }
}

/* --- other keys ------------------------------------------------------------------------ */

static void for_each_backend(void (*fn)(const struct aead_backend *b))
{
    for (const struct aead_backend *const *b = aead_backends; *b; b++)
        if (!(*b)->unusable())
            fn(*b);
}

/* By the edge, by the hub, and by both at the same time, on a line that loses and reorders. */
static void change_in_mid_transfer(const struct aead_backend *b)
{
    struct setup s = {.edge = b, .hub = b, .line = LINE};
    struct world w;

    s.line.loss = 0.01;
    s.line.jitter_ns = 3 * NS_PER_MS;
    s.line.reorder = true;
    world_init(&w, &s);
    expect_traffic(&w);
    assert_int_equal(edge_keys, 1);
    assert_int_equal(hub_keys, 1);
    for (unsigned round = 1; round <= 9; round++) {
        if (round % 3 != 0)
            assert_int_equal(quic_lane_update_keys(w.d->lane[0]), 0);
        if (round % 3 != 1)
            assert_int_equal(quic_lane_update_keys(hub_lane), 0);
        /* before the peer has answered there is no further change */
        if (round % 3 != 0)
            assert_int_equal(quic_lane_update_keys(w.d->lane[0]), -EAGAIN);
        expect_traffic(&w);
        assert_int_equal(edge_keys, 1 + round);
        assert_int_equal(hub_keys, 1 + round);
    }
    assert_int_equal(undecryptable(&w), 0);
    world_done(&w);
}

static void keys_change_in_mid_transfer(void **state)
{
    for_each_backend(change_in_mid_transfer);
}

static void worn_out(const struct aead_backend *b)
{
    struct setup s = {.edge = b, .hub = b, .line = LINE, .max_encryption = 1000};
    struct world w;

    world_init(&w, &s);
    for (unsigned i = 0; i < 5; i++)
        expect_traffic(&w);
    assert_in_range(edge_keys, 5, 20);
    assert_int_equal(edge_keys, hub_keys);
    assert_int_equal(undecryptable(&w), 0);
    world_done(&w);
}

/* A key seals so many packets and no more (RFC 9001, 6.6); the next one comes by itself. */
static void a_worn_out_key_is_replaced(void **state)
{
    for_each_backend(worn_out);
}

/* --- damage ---------------------------------------------------------------------------- */

/* A damaged packet is dropped and counted, whatever byte of it has changed, unless it was in the
 * connection ID and no lane is found; the rest goes on. */
static void damaged(const struct aead_backend *b)
{
    struct setup s = {.edge = b, .hub = b, .line = LINE};
    uint64_t corrupted;
    struct world w;

    s.line.corrupt = 0.02;
    world_init(&w, &s);
    sim_run_for(w.sim, 10 * NS_PER_S);
    assert_int_equal(w.d->at_edge.lanes_down + w.d->at_hub.lanes_down, 0);
    bulk_stop(&w.d->at_edge);
    bulk_stop(&w.d->at_hub);
    sim_run_for(w.sim, NS_PER_S);
    corrupted = link_stats(w.wan.up)->corrupted + link_stats(w.wan.down)->corrupted;
    assert_true(corrupted > 50);
    assert_in_range(undecryptable(&w), corrupted * 9 / 10, corrupted);
    world_done(&w);
}

static void damaged_packets_are_counted(void **state)
{
    for_each_backend(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_trace_whatever_the_backend),
        cmocka_unit_test(keys_change_in_mid_transfer),
        cmocka_unit_test(a_worn_out_key_is_replaced),
        cmocka_unit_test(damaged_packets_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
