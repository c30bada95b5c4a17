/* What the paths do, in the log: at intervals, at a reload and at the end. */
#include <stdio.h>

#include "daemon/instance.h"

static double ms(uint64_t ns)
{
    return (double)ns / NS_PER_MS;
}

static void log_path(const struct session_stats *s, unsigned lanes,
                     const struct quic_lane_stats *st)
{
    log_info("path telemetry: lanes %u, rtt %.1f ms (min %.1f, var %.1f), cwnd %llu, in %llu "
             "packets %llu bytes, out %llu packets %llu bytes, lost %llu, udp payload %zu",
             lanes, ms(st->rtt_smoothed_ns), ms(st->rtt_min_ns), ms(st->rtt_var_ns),
             (unsigned long long)st->cwnd_bytes, (unsigned long long)s->rx_packets,
             (unsigned long long)s->rx_bytes, (unsigned long long)s->tx_packets,
             (unsigned long long)s->tx_bytes, (unsigned long long)st->dgram_lost, st->udp_payload);
}

/* Of one of several paths: what went over it, which is of the session's packets only a part.
 * Reordering and the resequencing delay are of what came. */
static void log_one(const char *name, const char *state, bool in_use, unsigned lanes,
                    const struct quic_lane_stats *st, const struct session_path_info *known)
{
    const struct reasm_path *rx = &known->rx;
    double units = (double)MAX(rx->units, (uint64_t)1);

    log_info("path telemetry %s: %s%s, lanes %u, rtt %.1f ms (min %.1f, var %.1f), delay +%.1f ms, "
             "rate %llu kbit/s, cwnd %llu, in %llu datagrams %llu bytes, out %llu datagrams %llu "
             "bytes, lost %llu, taken over %llu, reordered %.2f %%, resequencing %.2f ms, udp "
             "payload %zu",
             name, state, in_use ? "" : ", not in use", lanes, ms(st->rtt_smoothed_ns),
             ms(st->rtt_min_ns), ms(st->rtt_var_ns), ms(known->extra_ns),
             (unsigned long long)known->rate / 125, (unsigned long long)st->cwnd_bytes,
             (unsigned long long)st->udp_rx, (unsigned long long)st->udp_rx_bytes,
             (unsigned long long)st->udp_tx, (unsigned long long)st->udp_tx_bytes,
             (unsigned long long)st->dgram_lost, (unsigned long long)known->taken_over,
             100 * (double)rx->reordered / units, ms(rx->wait_ns) / units, st->udp_payload);
}

/* One of the paths of multipath_paths. */
static void log_named(const struct instance_path *p)
{
    const struct instance *inst = p->inst;
    struct edge_path_info info;
    struct quic_lane_stats st;

    edge_path_info(inst->edge, p->number, &info);
    if (!edge_lane_stats(inst->edge, p->number, &st)) {
        const char *why = *p->waiting_for ? p->waiting_for : info.why;

        log_info("path telemetry %s: %s%s%s", p->name, edge_state_name(info.state),
                 *why ? ": " : "", why);
        return;
    }
    log_one(p->name, trail_state_name(trail_state(info.state, info.trouble)), info.in_use,
            edge_lanes(inst->edge, p->number), &st, &info.session);
}

/* Of the only peer. */
static void log_peer(const struct hub *hub, const struct session_stats *sum)
{
    struct hub_path_info v[MASQUE_PATHS_MAX];
    unsigned n = hub_peer_paths(hub, 0, v);
    char number[16];

    if (n == 1 && !*v[0].name)
        log_path(sum, v[0].n_lanes, &v[0].lane);
    for (unsigned i = 0; i < n && (n > 1 || *v[0].name); i++) {
        snprintf(number, sizeof(number), "%u", v[i].number);
        log_one(*v[i].name ? v[i].name : number,
                trail_state_name(trail_state(EDGE_UP, v[i].trouble)), v[i].in_use, v[i].n_lanes,
                &v[i].lane, &v[i].session);
    }
}

/* Of many peers only the sum: mpquic peers tells about each. */
static void log_hub(const struct hub *hub)
{
    struct session_stats sum = hub_totals(hub);

    if (hub_peers(hub) == 1)
        log_peer(hub, &sum);
    else if (hub_peers(hub))
        log_info("path telemetry: %u peers, in %llu packets %llu bytes, out %llu packets %llu "
                 "bytes",
                 hub_peers(hub), (unsigned long long)sum.rx_packets,
                 (unsigned long long)sum.rx_bytes, (unsigned long long)sum.tx_packets,
                 (unsigned long long)sum.tx_bytes);
}

static void log_edge(const struct instance *inst)
{
    struct session_stats sum;
    struct quic_lane_stats st;

    if (*inst->paths[0]->name) {
        for (unsigned i = 0; i < inst->n_paths; i++)
            log_named(inst->paths[i]);
    } else if (edge_lane_stats(inst->edge, 0, &st)) {
        session_stats_get(edge_session(inst->edge), &sum);
        log_path(&sum, edge_lanes(inst->edge, 0), &st);
    }
}

static void log_drops(struct instance *inst)
{
    char text[512] = "";
    size_t n = 0;

    upkeep_count_drops(inst);
    for (int i = 0; i < DROP_COUNT && n < sizeof(text); i++)
        if (inst->drops.n[i])
            n += (size_t)snprintf(text + n, sizeof(text) - n, " %s %llu", drop_name(i),
                                  (unsigned long long)inst->drops.n[i]);
    if (n)
        log_info("drops:%s", text);
}

void instance_log_telemetry(struct instance *inst)
{
    if (inst->hub)
        log_hub(inst->hub);
    else if (inst->edge)
        log_edge(inst);
    log_drops(inst);
}

static void on_telemetry(struct loop_timer *timer)
{
    struct instance *inst = timer->user;

    instance_log_telemetry(inst);
    instance_apply_telemetry(inst);
}

void instance_apply_telemetry(struct instance *inst)
{
    uint64_t interval_ns = inst->config->telemetry_interval_s * NS_PER_S;

    inst->telemetry.cb = on_telemetry;
    inst->telemetry.user = inst;
    loop_timer_cancel(inst->loop, &inst->telemetry);
    if (interval_ns)
        loop_timer_set(inst->loop, &inst->telemetry, loop_now_ns(inst->loop) + interval_ns);
}
