/* What goes over several paths. When a datagram of a class that is duplicated leaves over one path,
 * each other path that the class uses gets a copy, which waits for that path alone: one without
 * room holds up nobody. What has waited too long there is of no use any more, and is dropped.
 *
 *      new, or lost --> datagram --> the lane that asked
 *                          +-------> copies for the others, by path --> when they have room
 *
 * The copies of a datagram hold the same units under the same numbers: so the receiver delivers
 * one. Together they have a number here, by which the fate of one tells about all: when one has
 * arrived the others are not sent again, nor sent at all if they still wait; when one is lost and
 * none is known to have arrived, that one goes again (and is copied again), and no other. What is
 * known of a number is forgotten when TWINS_MAX others have come since, and a copy is treated as
 * the only one then.
 *
 * Two paths that lose a tenth each lose both copies of one packet in a hundred, which then comes a
 * round trip late. Where so much is to be expected, one more goes over the quickest path a moment
 * after the others, while packets are few: it costs less than a packet that comes too late.
 *
 * Where the quickest path is to take all (lowest latency), a copy now and then goes over each of
 * the others: what carries nothing is not known to be slow, nor to be quick again. And small
 * datagrams go over the next quickest as well, while they are few: what is known of a queue is a
 * round trip old, and beside bulk that is too old. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "bond/pack_internal.h"
#include "wire/class.h"

enum { TWINS_MAX = 4096, COPIES_MAX = 256, COPIES_BYTES = 256 << 10, NUMBERS = UINT16_MAX };
enum { SMALL_MAX = 400 }; /* bytes of a datagram that calls, shells and questions fit into */

/* A copy that has waited so long for its path comes too late to be of use. */
#define WAIT_MAX_NS (100 * NS_PER_MS)

/* One more, so much later, for what is lost on all paths more often; and no more often than this.
 */
#define MORE_AFTER_NS (2 * NS_PER_MS)
#define MORE_INTERVAL_NS (4 * NS_PER_MS)
static const double MORE_LOSS = 0.001;

/* Lowest latency: so often the other paths are tried. */
#define TRY_INTERVAL_NS (200 * NS_PER_MS)

struct twin {
    uint16_t number; /* 0: none */
    bool settled;    /* one has arrived, or has gone again */
    uint32_t since;  /* pack_clock() */
};

struct pack_copies {
    struct queue path[SCHED_PATHS];
    struct queue more[SCHED_PATHS]; /* not before `taken` */
    uint64_t more_ns;               /* none before */
    uint64_t try_ns;                /* lowest latency: nor a copy */
    struct twin twin[TWINS_MAX];
    uint16_t last; /* number that was given */
};

static struct pack_copies *make(struct pack *p)
{
    struct pack_copies *c = p->copies ? p->copies : calloc(1, sizeof(*c));

    for (unsigned i = 0; c && !p->copies && i < SCHED_PATHS; i++) {
        queue_init(&c->path[i], COPIES_BYTES);
        queue_init(&c->more[i], COPIES_BYTES);
    }
    p->copies = c;
    return c;
}

static struct twin *twin_of(const struct pack *p, const struct pkt *dgram)
{
    struct twin *t =
        dgram->hdr_len && p->copies ? &p->copies->twin[dgram->hdr_len % TWINS_MAX] : NULL;
    uint32_t most = pack_clock(WAIT_MAX_NS) + 1;

    /* The same number may have been given once more since. */
    return t && t->number == dgram->hdr_len && dgram->taken - t->since <= most ? t : NULL;
}

static uint16_t next_number(struct pack_copies *c, uint64_t now_ns)
{
    c->last = c->last == NUMBERS ? 1 : c->last + 1;
    c->twin[c->last % TWINS_MAX] = (struct twin){.number = c->last, .since = pack_clock(now_ns)};
    return c->last;
}

static void drop_copy(struct pack *p, struct pkt *copy)
{
    p->stats.uncopied++;
    pkt_free(p->opts.pool, copy);
}

static bool has_time(const struct pkt *dgram)
{
    struct packed_reader r;
    struct packed_head head;

    return !packed_open(&r, dgram->data, dgram->len, &head) && head.has_time;
}

/* The newest is of more use than the oldest. False: there is no buffer. */
static bool copy_to(struct pack *p, struct queue *q, const struct pkt *dgram, uint32_t when)
{
    struct pkt *copy = pkt_pool_spare(p->opts.pool, dgram->pool_class)
                           ? pkt_new(p->opts.pool, pkt_total(dgram))
                           : NULL;

    if (!copy) {
        p->stats.uncopied++;
        return false;
    }
    memcpy(copy->data, dgram->data, dgram->len);
    if (dgram->rest_len)
        memcpy(copy->data + dgram->len, dgram->rest, dgram->rest_len);
    copy->len = (uint32_t)pkt_total(dgram);
    copy->queued_ns = dgram->queued_ns;
    copy->flow = dgram->flow;
    copy->taken = when;
    copy->mark = dgram->mark;
    copy->hdr_len = dgram->hdr_len;
    while (q->n == COPIES_MAX || queue_push(q, copy))
        drop_copy(p, queue_pop(q));
    return true;
}

/* The quickest path of the set; SCHED_PATHS: it is empty. */
static unsigned quickest(const struct sched *s, uint16_t set)
{
    unsigned best = SCHED_PATHS;

    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (set >> i & 1 && (best == SCHED_PATHS || s->path[i].extra_ns < s->path[best].extra_ns))
            best = i;
    return best;
}

/* How much of what goes over all paths of the set is lost on all of them, as far as known. */
static double joint_loss(const struct pack *p, uint16_t set)
{
    double sum[SCHED_PATHS] = {0}, all = 1;
    unsigned n[SCHED_PATHS] = {0};

    for (const struct pack_lane *l = p->lanes; l; l = l->next) {
        sum[pack_lane_path(l->number)] += l->loss;
        n[pack_lane_path(l->number)]++;
    }
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (n[i] && set >> i & 1)
            all *= sum[i] / n[i];
    return all;
}

static void copy_once_more(struct pack *p, const struct sched *s, uint64_t now_ns,
                           const struct pkt *dgram)
{
    unsigned best = quickest(s, s->in_use);

    if (best == SCHED_PATHS || now_ns < p->copies->more_ns || joint_loss(p, s->in_use) < MORE_LOSS)
        return;
    p->copies->more_ns = now_ns + MORE_INTERVAL_NS;
    if (copy_to(p, &p->copies->more[best], dgram, pack_clock(now_ns + MORE_AFTER_NS)))
        p->kick_ns = MIN(p->kick_ns, now_ns + MORE_AFTER_NS);
}

/* Lowest latency: which of the others get a copy. */
static uint16_t worth_trying(struct pack_copies *c, const struct sched *s, uint16_t others,
                             uint64_t now_ns, const struct pkt *dgram)
{
    unsigned next = quickest(s, others);

    if (now_ns >= c->try_ns && has_time(dgram)) {
        c->try_ns = now_ns + TRY_INTERVAL_NS;
        return others;
    }
    if (next == SCHED_PATHS || now_ns < c->more_ns || pkt_total(dgram) > SMALL_MAX)
        return 0;
    c->more_ns = now_ns + MORE_INTERVAL_NS;
    return (uint16_t)(1u << next);
}

/* What has no number would be delivered each time that it comes. */
void pack_copy(struct pack *p, const struct pack_lane *lane, uint64_t now_ns, struct pkt *dgram)
{
    uint8_t class = pack_class_of_dgram(dgram);
    const struct sched *s = &p->sched[class];
    uint16_t to = s->in_use & (uint16_t) ~(1u << pack_lane_path(lane->number));
    bool all = s->policy == BOND_DUPLICATE;

    if (class == CLASS_NONE || (!all && s->policy != BOND_LOWEST_LATENCY) || !make(p))
        return;
    if (!all)
        to = worth_trying(p->copies, s, to, now_ns, dgram);
    if (!all && !to)
        return;
    dgram->hdr_len = next_number(p->copies, now_ns);
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        if (to >> i & 1)
            p->copied |= copy_to(p, &p->copies->path[i], dgram, dgram->taken);
    if (all)
        copy_once_more(p, s, now_ns, dgram);
}

/* The first of the queue that is of use still; NULL: none, or it is too early for it. */
static struct pkt *take_from(struct pack *p, struct queue *q, uint64_t now_ns, size_t max)
{
    struct pkt *copy;

    while ((copy = queue_peek(q))) {
        int32_t late = (int32_t)(pack_clock(now_ns) - copy->taken);
        const struct twin *t = twin_of(p, copy);

        if (late < 0 && t && !t->settled) {
            p->kick_ns = MIN(p->kick_ns, now_ns + ((uint64_t)-late << DELAY_SHIFT));
            return NULL;
        }
        queue_pop(q);
        if (t && !t->settled && copy->len <= max && late <= (int32_t)pack_clock(WAIT_MAX_NS)) {
            pack_stamp(copy, now_ns);
            p->stats.copies++;
            return copy;
        }
        drop_copy(p, copy);
    }
    return NULL;
}

struct pkt *pack_take_copy(struct pack *p, const struct pack_lane *lane, uint64_t now_ns,
                           size_t max)
{
    unsigned path = pack_lane_path(lane->number);
    struct pkt *copy;

    if (!p->copies)
        return NULL;
    copy = take_from(p, &p->copies->path[path], now_ns, max);
    return copy ? copy : take_from(p, &p->copies->more[path], now_ns, max);
}

void pack_copy_arrived(struct pack *p, const struct pkt *dgram)
{
    struct twin *t = twin_of(p, dgram);

    if (t)
        t->settled = true;
}

bool pack_copy_settled(struct pack *p, struct pkt *dgram)
{
    struct twin *t = twin_of(p, dgram);

    if (t && t->settled)
        return true;
    if (t)
        t->settled = true;
    dgram->hdr_len = 0;
    return false;
}

size_t pack_copy_max(const struct pack *p, uint8_t class, size_t max)
{
    const struct sched *s = &p->sched[class];

    if (s->policy != BOND_DUPLICATE)
        return max;
    for (const struct pack_lane *l = p->lanes; l; l = l->next)
        if (l->max && sched_in_use(s, pack_lane_path(l->number)))
            max = MIN(max, l->max);
    return max;
}

void pack_copies_drop(struct pack *p, unsigned path)
{
    struct pkt *copy;

    while (p->copies && ((copy = queue_pop(&p->copies->path[path])) ||
                         (copy = queue_pop(&p->copies->more[path]))))
        drop_copy(p, copy);
}

void pack_copies_done(struct pack *p)
{
    for (unsigned i = 0; i < SCHED_PATHS; i++)
        pack_copies_drop(p, i);
    free(p->copies);
    p->copies = NULL;
}
