/* Lanes on demand: a path that becomes several connections under load, and one again. */
#include "scene.h"

#include "base/util.h"

static const struct tunnel_opts many = {
    .packed = true, .cc = QUIC_CC_BBR, .lanes = 16, .n_pkts = 8192};

static void start_up(struct scene *s, uint64_t seed, const struct link_opts *line,
                     const struct tunnel_opts *o)
{
    scene_init(s, seed, line, line);
    scene_start(s, o);
    assert_true(tunnel_wait_up(s->t, 60 * NS_PER_S));
    sim_run_for(s->sim, NS_PER_S);
}

static const struct session_stats *edge_stats(const struct scene *s)
{
    static struct session_stats st;

    session_stats_get(edge_session(s->t->edge), &st);
    return &st;
}

static unsigned lanes(const struct scene *s)
{
    return edge_lanes(s->t->edge);
}

static double tcp_share(struct scene *s, bool up, uint64_t seconds, double rate)
{
    struct tcp *tcp = tunnel_tcp(s->t, up, NULL);
    double share;

    tcp_start(tcp);
    sim_run_for(s->sim, 5 * NS_PER_S);
    tcp_stats_reset(tcp);
    sim_run_for(s->sim, seconds * NS_PER_S);
    assert_int_equal(tcp->stats.rx_bad, 0);
    share = (double)tcp->stats.delivered_bytes * 8 / (double)seconds / rate;
    print_message("tcp %s: %.3f of the line, %llu retransmits, %u lanes, again %llu gone %llu\n",
                  up ? "up" : "down", share, (unsigned long long)tcp->stats.retransmits, lanes(s),
                  (unsigned long long)edge_stats(s)->again,
                  (unsigned long long)edge_stats(s)->gone);
    tcp_free(tcp);
    return share;
}

static struct link_opts lossy(double loss)
{
    struct link_opts line = scene_line(100000000, 20);

    line.loss = loss;
    line.queue_bytes = 100000000 / 8 * 40 / 1000;
    return line;
}

static void more_lanes_carry_more_over_a_lossy_line(void **state)
{
    struct link_opts line = lossy(0.01);
    struct tunnel_opts one = many;

    one.lanes = 1;
    for (unsigned up = 0; up < 2; up++) {
        struct scene s;
        double with_one, with_many;

        start_up(&s, 1, &line, &one);
        with_one = tcp_share(&s, up, 10, 100e6);
        scene_done(&s);
        start_up(&s, 1, &line, &many);
        with_many = tcp_share(&s, up, 10, 100e6);
        assert_true(lanes(&s) > 1);
        scene_done(&s);
        print_message("%f %f\n", with_one, with_many);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_lanes_carry_more_over_a_lossy_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
