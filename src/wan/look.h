/* A closer look: is what the rounds of a probe miss a packet now and then, or much of all?
 *
 * A round every quarter of a second says little about loss in three seconds: of one target there
 * are twelve answers, and two percent of loss take one of them as forty percent may. So when an
 * answer is missing targets are asked again and again, every 15 ms, until it is clear. Each answer
 * that comes tells what became of the requests before it:
 *
 *      lost, while the one before was not:  + 100     a good one:  - the limit of loss in percent
 *      lost like the one before:  0
 *
 *      score  720 ----------------------------  much is lost: the link is degraded
 *               0  begin
 *            -160 ----------------------------  it was one packet, or a burst; no more is asked
 *
 * It is a sequential test (Wald 1945). What drifts neither way is a link that loses as much as the
 * limit says, which is taken as 20 percent at least. Losses in a row count once, so a burst weighs
 * as much as a single packet. Two percent reach the upper bound in one look of a thousand million,
 * forty percent on average after 60 requests; the odds are in doc/decisions/0020-probes.md.
 *
 * With several targets they are asked in turn, and one that alone is bad does not decide. Silence
 * ends a look: it is no matter of degrees, and the rounds see it. A request is lost when a later
 * one to the same target has been answered, so a delay that grows is no loss. Pure. */
#ifndef WAN_LOOK_H
#define WAN_LOOK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LOOK_REQUESTS_MAX = 200,
    LOOK_TARGETS_MAX = 16,
    LOOK_NUMBER = 0x8000 /* in the number of each of its requests, and of no other */
};

enum look_result { LOOK_OPEN, LOOK_FINE, LOOK_BAD };

/* Treat as opaque, but for on, n_heard (targets that have answered it) and
 * loss_percent. */
struct look {
    bool on;
    uint8_t serial;
    uint8_t loss_percent; /* that the last one saw */
    unsigned n_targets, n_heard, sent;
    uint8_t target[LOOK_TARGETS_MAX]; /* request i is for target[i % n_targets] */
    uint64_t next_ns, heard_ns, silent_ns;
    int good; /* what a good one weighs */
    uint8_t fate[LOOK_REQUESTS_MAX];
    struct look_row {
        unsigned open; /* the first request that is not decided */
        bool is_lost;  /* the one before it was */
        bool is_heard;
        int score;
    } row[LOOK_TARGETS_MAX];
};

/* Begin to look: targets is a set of bits, not empty. limit_percent: of loss, 1 to 100. rtt_ns:
 * what an answer may well take. */
void look_begin(struct look *l, uint32_t targets, unsigned limit_percent, uint64_t rtt_ns,
                uint64_t now_ns);
void look_end(struct look *l);

/* When there is something to do; TIME_NEVER_NS while it is not on. */
uint64_t look_next_ns(const struct look *l);

/* Is it time for a request? Which, and to whom. Ends the look when it has been silent for too long,
 * or has asked enough. */
bool look_ask(struct look *l, uint64_t now_ns, uint16_t *ret_number, unsigned *ret_target);

/* An answer; one that does not belong to this look does not count. Ends it unless LOOK_OPEN. */
enum look_result look_on_answer(struct look *l, unsigned target, uint16_t number, uint64_t now_ns);

#endif
