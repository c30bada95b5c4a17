#include "bench/sim/plan.h"

#include <stdlib.h>

#include "base/util.h"

const struct policy plan_policies[] = {
    {"demand", QUIC_CC_BBR, 0, true, 0},          {"bbr-1", QUIC_CC_BBR, 1, true, 0},
    {"cubic-1", QUIC_CC_CUBIC, 1, true, 0},       {"bbr-4", QUIC_CC_BBR, 4, true, 0},
    {"bbr-8", QUIC_CC_BBR, 8, true, 0},           {"bbr-16", QUIC_CC_BBR, 16, true, 0},
    {"cubic-8", QUIC_CC_CUBIC, 8, true, 0},       {"cubic-16", QUIC_CC_CUBIC, 16, true, 0},
    {"free-bbr-1", QUIC_CC_BBR, 1, false, 0},     {"free-bbr-8", QUIC_CC_BBR, 8, false, 0},
    {"free-cubic-1", QUIC_CC_CUBIC, 1, false, 0}, {"demand-2ms", QUIC_CC_BBR, 0, true, 2},
    {"demand-8ms", QUIC_CC_BBR, 0, true, 8},
};
const size_t plan_n_policies = ARRAY_LEN(plan_policies);
const struct policy *const plan_default = &plan_policies[0];

enum {
    P_DEMAND,
    P_BBR1,
    P_CUBIC1,
    P_BBR4,
    P_BBR8,
    P_BBR16,
    P_CUBIC8,
    P_CUBIC16,
    P_FREE_BBR1,
    P_FREE_BBR8,
    P_FREE_CUBIC1,
    P_2MS,
    P_8MS
};

struct list {
    struct plan_item *item;
    size_t n, cap;
    bool quick;
};

static void add(struct list *l, struct scenario sc, unsigned policy)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->item = realloc(l->item, l->cap * sizeof(*l->item));
        if (!l->item)
            abort();
    }
    l->item[l->n++] = (struct plan_item){sc, &plan_policies[policy]};
}

/* The base point: 100 Mbit/s, 20 ms, 40 ms of buffer. */
static struct scenario base(const char *group)
{
    return (struct scenario){
        .group = group, .rate_mbps = 100, .rtt_ms = 20, .buffer_ms = 40, .warm_s = 3, .span_s = 10};
}

static void add_loss(struct list *l)
{
    static const double loss[] = {0, 0.001, 0.01, 0.02, 0.03, 0.05};
    static const unsigned policies[] = {
        P_DEMAND,  P_BBR1,      P_CUBIC1,    P_BBR4,        P_BBR8, P_BBR16, P_CUBIC8,
        P_CUBIC16, P_FREE_BBR1, P_FREE_BBR8, P_FREE_CUBIC1, P_2MS,  P_8MS};

    for (size_t p = 0; p < ARRAY_LEN(policies); p++)
        for (size_t i = 0; i < ARRAY_LEN(loss); i++) {
            struct scenario sc = base("loss");

            sc.loss = loss[i];
            if (!l->quick || (p < 2 && i != 1))
                add(l, sc, policies[p]);
        }
}

/* One point of the star with the losses of the targets. */
static void add_line(struct list *l, struct scenario sc)
{
    static const double loss[] = {0, 0.01, 0.02, 0.03};

    for (size_t i = 0; i < ARRAY_LEN(loss); i++) {
        sc.loss = loss[i];
        if (!l->quick || i == 0 || i == 2)
            add(l, sc, P_DEMAND);
    }
}

static void add_rates(struct list *l)
{
    static const double rates[] = {5, 20, 300, 900};

    for (size_t i = 0; i < ARRAY_LEN(rates) - l->quick; i++) {
        struct scenario sc = base("rate");

        sc.rate_mbps = rates[i];
        if (rates[i] > 500) {
            sc.warm_s = 2;
            sc.span_s = 5;
        }
        add_line(l, sc);
    }
}

static void add_rtts(struct list *l)
{
    static const double rtts[] = {10, 50, 100, 300};

    for (size_t i = 0; i < ARRAY_LEN(rtts); i++) {
        struct scenario sc = base("rtt");

        sc.rtt_ms = rtts[i];
        sc.buffer_ms = 2 * rtts[i];
        sc.warm_s = MAX(3, 25 * rtts[i] / 1e3);
        add_line(l, sc);
    }
}

static void add_buffers(struct list *l)
{
    static const double bdp[] = {0.5, 1, 5, 20};

    for (size_t i = 0; i < ARRAY_LEN(bdp); i++) {
        struct scenario sc = base("buffer");

        sc.buffer_ms = bdp[i] * sc.rtt_ms;
        add_line(l, sc);
    }
}

static void add_corners(struct list *l)
{
    static const double corner[][3] = {/* Mbit/s, RTT in ms, buffer in BDP */
                                       {5, 10, 0.5}, {5, 10, 20},    {5, 300, 0.5},
                                       {5, 300, 2},  {20, 100, 0.5}, {300, 100, 0.5}};

    for (size_t i = 0; i < ARRAY_LEN(corner); i++) {
        struct scenario sc = base("corner");

        sc.rate_mbps = corner[i][0];
        sc.rtt_ms = corner[i][1];
        sc.buffer_ms = corner[i][2] * sc.rtt_ms;
        sc.warm_s = MAX(3, 25 * sc.rtt_ms / 1e3);
        add_line(l, sc);
    }
}

/* A rate that halves and doubles; jitter that never reorders; the other direction. */
static void add_changes(struct list *l)
{
    static const double rtts[] = {20, 100};

    for (size_t i = 0; i < ARRAY_LEN(rtts); i++)
        for (size_t k = 0; k < 2; k++) {
            struct scenario sc = base("change");

            sc.rtt_ms = rtts[i];
            sc.buffer_ms = 2 * rtts[i];
            sc.warm_s = 4;
            sc.span_s = 16;
            sc.halve_s = k ? 2 : 4;
            add(l, sc, P_DEMAND);
            if (!l->quick) {
                add(l, sc, P_BBR1);
                add(l, sc, P_CUBIC1);
            }
        }
}

static void add_others(struct list *l)
{
    static const double loss[] = {0, 0.01};

    for (size_t i = 0; i < ARRAY_LEN(loss); i++) {
        struct scenario sc = base("jitter");

        sc.loss = loss[i];
        sc.jitter_ms = 8;
        add(l, sc, P_DEMAND);
        sc = base("reverse");
        sc.loss = loss[i];
        sc.reverse = true;
        add(l, sc, P_BBR1);
    }
}

static void add_starts(struct list *l, struct scenario sc, unsigned policy)
{
    for (int k = 0; k < 3; k++) {
        sc.own_at_s = k == 2 ? 5 : 0;
        sc.foreign_at_s = k == 1 ? 5 : 0;
        if (!l->quick || k)
            add(l, sc, policy);
    }
}

static void add_foreign(struct list *l, const char *group, double rate, double rtt, double bdp,
                        unsigned policy, enum foreign from, enum foreign to)
{
    for (int f = (int)from; f <= (int)to; f++) {
        struct scenario sc = base(group);

        sc.rate_mbps = rate;
        sc.rtt_ms = rtt;
        sc.buffer_ms = bdp * rtt;
        sc.foreign = (enum foreign)f;
        sc.warm_s = 15;
        sc.span_s = 30;
        add_starts(l, sc, policy);
    }
}

/* The foreign flow ends after 15 s; figures from 10 s later. */
static void add_leaving(struct list *l)
{
    for (int f = FOREIGN_BBR; f <= FOREIGN_CUBIC; f++) {
        struct scenario sc = base("leaving");

        sc.foreign = (enum foreign)f;
        sc.foreign_at_s = 3;
        sc.foreign_until_s = 15;
        sc.warm_s = 25;
        add(l, sc, P_DEMAND);
    }
}

size_t plan_make(bool quick, struct plan_item **ret)
{
    struct list l = {.quick = quick};

    add_loss(&l);
    add_rtts(&l);
    add_buffers(&l);
    add_corners(&l);
    add_changes(&l);
    add_others(&l);
    add_foreign(&l, "foreign", 100, 20, 2, P_DEMAND, FOREIGN_BBR, FOREIGN_SAME);
    add_leaving(&l);
    if (!quick) {
        add_foreign(&l, "foreign-line", 100, 20, 0.5, P_DEMAND, FOREIGN_BBR, FOREIGN_TCP);
        add_foreign(&l, "foreign-line", 100, 20, 5, P_DEMAND, FOREIGN_BBR, FOREIGN_TCP);
        add_foreign(&l, "foreign-line", 20, 50, 2, P_DEMAND, FOREIGN_BBR, FOREIGN_TCP);
        add_foreign(&l, "foreign", 100, 20, 2, P_BBR1, FOREIGN_BBR, FOREIGN_SAME);
        add_foreign(&l, "foreign", 100, 20, 2, P_CUBIC1, FOREIGN_BBR, FOREIGN_TCP);
        add_foreign(&l, "foreign", 100, 20, 2, P_FREE_BBR1, FOREIGN_BBR, FOREIGN_SAME);
        add_foreign(&l, "foreign", 100, 20, 2, P_FREE_BBR8, FOREIGN_BBR, FOREIGN_TCP);
    }
    add_rates(&l);
    *ret = l.item;
    return l.n;
}

const char *plan_foreign_name(enum foreign f)
{
    static const char *const names[] = {"-", "bbr", "cubic", "tcp", "same"};

    return names[f];
}
