/* A histogram of durations with a relative error below 2 %: 64 steps in every power of two. */
#ifndef SIM_HIST_H
#define SIM_HIST_H

#include <stdint.h>

enum { HIST_STEPS = 64, HIST_BUCKETS = 58 * HIST_STEPS };

struct hist {
    uint64_t n, max_ns;
    double sum_ns;
    uint32_t bucket[HIST_BUCKETS];
};

void hist_reset(struct hist *h);
void hist_add(struct hist *h, uint64_t ns);

/* 0 when nothing was added. The quantile q is in [0, 1]; its answer is the middle of a step. */
double hist_mean_ns(const struct hist *h);
uint64_t hist_quantile_ns(const struct hist *h, double q);

#endif
