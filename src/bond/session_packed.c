/* A session with a peer that speaks the session extension (doc/protocol.md). */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "bond/class.h"
#include "bond/session_internal.h"
#include "bond/unit.h"
#include "packet/segment.h"

/* --- in ------------------------------------------------------------------------------------- */

static bool on_accept(void *user, struct pkt *pkt, enum drop_reason *ret_why)
{
    struct session *s = user;
    struct ip_view v;

    return unit_settle(pkt, SESSION_PACKET_MAX, &v, ret_why) == 0 &&
           session_scope_ok(&v, ret_why) &&
           (!s->opts.admit || s->opts.admit(s->opts.admit_user, &v, ret_why));
}

static void on_deliver(void *user, struct pkt *pkt)
{
    struct session *s = user;
    enum drop_reason why;
    struct ip_view v;

    s->stats.rx_packets += segment_count(pkt);
    s->stats.rx_bytes += pkt->len;
    if (!s->opts.receive || pkt->gso != PKT_GSO_NONE ||
        ip_view_parse(pkt->data, pkt->len, &v, &why)) {
        s->opts.deliver(s->opts.deliver_user, pkt);
        return;
    }
    s->opts.receive(s->opts.deliver_user, pkt->data, &v);
    pkt_free(s->opts.pool, pkt);
}

void session_rx_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                       const uint8_t *data, size_t len)
{
    struct packed_reader r;
    struct packed_head head;
    struct packed_frame f;
    bool told = false;
    int rv;

    if (packed_open(&r, data, len, &head)) {
        drop_count(s->opts.drops, DROP_MALFORMED);
        return;
    }
    s->reasm->from = (uint8_t)pack_lane_path(lane->number);
    if (head.has_time)
        delay_in_rx(&lane->in, now_ns, head.time);
    while ((rv = packed_next(&r, &f)) > 0)
        if (f.type == PACKED_PACKET || f.type == PACKED_RANGE || f.type == PACKED_GONE)
            reasm_rx(s->reasm, now_ns, head.class, &f);
        else
            told |= session_on_report(s, now_ns, &f);
    if (told)
        session_lanes_adapt(s);
    if (rv)
        drop_count(s->opts.drops, DROP_MALFORMED);
    session_reports_look(s, now_ns);
}

uint64_t session_deadline_ns(const struct session *s)
{
    uint64_t at_ns;

    if (!s->reasm)
        return TIME_NEVER_NS;
    at_ns = MIN(reasm_deadline_ns(s->reasm), session_reports_deadline_ns(s));
    return MIN(at_ns, session_paths_deadline_ns(s));
}

void session_timeout(struct session *s, uint64_t now_ns)
{
    if (!s->reasm)
        return;
    reasm_timeout(s->reasm, now_ns);
    session_reports_timeout(s, now_ns);
    session_paths_timeout(s, now_ns);
}

/* --- out ------------------------------------------------------------------------------------ */

struct pkt *session_pull_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns,
                                size_t max, size_t burst)
{
    struct pkt *out = session_reports_pull(s, lane, now_ns, max);

    if (!out)
        out = session_paths_probe(s, lane, now_ns, max);
    if (out)
        return out;
    session_paths_ask(s, lane, now_ns);
    out = pack_pull(s->pack, lane, now_ns, max, MIN(burst + burst / 2, (size_t)PACKED_UNIT_MAX));
    session_paths_pulled(s, lane, now_ns, out);
    return out;
}

void session_sent(struct session *s, struct pack_lane *lane, uint64_t id, struct pkt *dgram)
{
    pack_sent(s->pack, lane, id, dgram);
}

void session_unsent(struct session *s, uint64_t now_ns, struct pkt *dgram)
{
    if (!s->pack) {
        drop_count(s->opts.drops, DROP_TOO_BIG);
        pkt_free(s->opts.pool, dgram);
        return;
    }
    pack_unsent(s->pack, now_ns, dgram);
    session_kick(s);
}

void session_acked(struct session *s, struct pack_lane *lane, uint64_t id)
{
    pack_acked(s->pack, lane, id);
}

void session_lost(struct session *s, struct pack_lane *lane, uint64_t now_ns, uint64_t id)
{
    if (pack_lost(s->pack, lane, now_ns, id, session_path_is_sick(s, lane)))
        session_kick(s);
}

void session_lane_done(struct session *s, struct pack_lane *lane, uint64_t now_ns)
{
    if (!s->pack)
        return;
    pack_lane_done(s->pack, lane, now_ns);
    if (session_paths_update(s) || s->pack->again.n)
        session_kick(s);
}

bool session_age_packed(struct session *s, struct pack_lane *lane, uint64_t now_ns)
{
    if (!s->pack)
        return false;
    pack_age(s->pack, lane, now_ns);
    return s->pack->kept > 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static int make(struct session *s, struct reasm_pool *pool)
{
    struct pack *pack = malloc(sizeof(*pack));
    struct reasm *reasm = malloc(sizeof(*reasm));
    struct session_reports *reports = malloc(sizeof(*reports));
    struct session_health *health = calloc(SCHED_PATHS, sizeof(*health));

    if (!pack || !reasm || !reports || !health ||
        pack_init(pack, &(struct pack_opts){
                            .fq = &s->queue, .pool = s->opts.pool, .drops = s->opts.drops})) {
        free(pack);
        free(reasm);
        free(reports);
        free(health);
        return -ENOMEM;
    }
    reasm_init(reasm, &(struct reasm_opts){.pool = pool,
                                           .pkts = s->opts.pool,
                                           .drops = s->opts.drops,
                                           .accept = on_accept,
                                           .deliver = on_deliver,
                                           .user = s});
    s->pack = pack;
    s->reasm = reasm;
    s->reports = reports;
    s->health = health;
    *reports = (struct session_reports){.gaps_ns = TIME_NEVER_NS};
    return 0;
}

static void apply_classes(struct session *s)
{
    pack_set_rules(s->pack, s->classes, s->is_client);
    for (unsigned i = 0; i < PACKED_CLASSES; i++) {
        struct reasm_class rx;
        struct pack_class tx;

        class_meaning(s->classes, (uint8_t)i, &tx, &rx);
        pack_set_class(s->pack, i, &tx);
        reasm_set_class(s->reasm, i, &rx);
    }
    session_paths_set_policy(s);
}

int session_set_packed(struct session *s, struct reasm_pool *pool)
{
    if (s->pack)
        return 0;
    if (make(s, pool))
        return -ENOMEM;
    apply_classes(s);
    return 0;
}

int session_set_classes(struct session *s, const struct class_table *table, bool client)
{
    struct class_table *copy = NULL;

    if (table && s->classes && table->serial < s->classes->serial)
        return -ESTALE;
    if (table) {
        copy = malloc(sizeof(*copy));
        if (!copy)
            return -ENOMEM;
        *copy = *table;
    }
    free(s->classes);
    s->classes = copy;
    s->is_client = client;
    if (s->pack)
        apply_classes(s);
    return 0;
}

void session_begin_anew(struct session *s)
{
    if (!s->pack)
        return;
    pack_reset(s->pack);
    session_paths_reset(s);
    reasm_reset(s->reasm);
    *s->reports = (struct session_reports){.gaps_ns = TIME_NEVER_NS};
}

void session_set_plain(struct session *s)
{
    if (!s->pack)
        return;
    session_stats_get(s, &s->stats);
    pack_done(s->pack);
    reasm_done(s->reasm);
    free(s->pack);
    free(s->reasm);
    free(s->reports);
    free(s->health);
    s->pack = NULL;
    s->reasm = NULL;
    s->reports = NULL;
    s->health = NULL;
}
