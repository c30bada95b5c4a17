/* What an instance is doing now, as plain values. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/absent.h"
#include "daemon/instance.h"

static int add_prefix(struct status_strings *l, const struct ip_prefix *p)
{
    char buf[IP_PREFIX_STR_MAX];

    return status_add_string(l, ip_prefix_str(p, buf));
}

static uint64_t age_s(uint64_t now_ns, uint64_t since_ns)
{
    return now_ns > since_ns ? (now_ns - since_ns) / NS_PER_S : 0;
}

static void set_net_addr(char dst[static STATUS_ADDR_MAX], const struct net_addr *a)
{
    char buf[NET_ADDR_STR_MAX];

    if (a->len)
        snprintf(dst, STATUS_ADDR_MAX, "%s", net_addr_str(a, buf));
}

static struct status_counts counts_of(const struct session_stats *s)
{
    return (struct status_counts){.rx_packets = s->rx_packets,
                                  .rx_bytes = s->rx_bytes,
                                  .tx_packets = s->tx_packets,
                                  .tx_bytes = s->tx_bytes};
}

static struct status_quic quic_of(const struct quic_lane_stats *st, uint64_t now_ns)
{
    return (struct status_quic){.rtt_latest_us = st->rtt_latest_ns / NS_PER_US,
                                .rtt_min_us = st->rtt_min_ns / NS_PER_US,
                                .rtt_smoothed_us = st->rtt_smoothed_ns / NS_PER_US,
                                .rtt_variance_us = st->rtt_var_ns / NS_PER_US,
                                .cwnd_bytes = st->cwnd_bytes,
                                .in_flight_bytes = st->in_flight_bytes,
                                .udp = {.rx_packets = st->udp_rx,
                                        .rx_bytes = st->udp_rx_bytes,
                                        .tx_packets = st->udp_tx,
                                        .tx_bytes = st->udp_tx_bytes},
                                .datagrams_tx = st->dgram_tx,
                                .datagrams_acked = st->dgram_acked,
                                .datagrams_lost = st->dgram_lost,
                                .datagrams_rx = st->dgram_rx,
                                .heard_s = age_s(now_ns, st->heard_ns)};
}

static void set_lanes(const struct instance *inst, struct status_path *p, unsigned lanes,
                      const struct quic_lane_stats *st)
{
    p->lanes = lanes;
    p->quic = quic_of(st, loop_now_ns(inst->loop));
    p->udp_payload_bytes = st->udp_payload;
}

/* What the session knows of it. */
static void set_known(struct status_path *p, const struct session_path_info *known)
{
    p->rate_bps = known->rate * 8;
    p->extra_delay_us = known->extra_ns / NS_PER_US;
    p->taken_over = known->taken_over;
    p->order = (struct status_order){.units = known->rx.units,
                                     .reordered = known->rx.reordered,
                                     .waited = known->rx.waited,
                                     .wait_us = known->rx.wait_ns / NS_PER_US};
}

/* --- certificates ---------------------------------------------------------------------- */

static int set_cert(struct status *s, struct status_cert *c, const struct quic_tls_cert_info *info,
                    const char *whose)
{
    int rv = 0;

    c->present = true;
    status_set_text(c->subject, sizeof(c->subject), info->subject);
    status_set_text(c->serial, sizeof(c->serial), info->serial);
    for (unsigned i = 0; i < info->n_names && !rv; i++)
        rv = status_add_string(&c->names, info->names[i]);
    c->not_before_s = info->not_before_s;
    c->not_after_s = info->not_after_s;
    return rv ? rv : status_note_expiry(s, c, whose);
}

static int fill_own_cert(const struct instance *inst, struct status *s)
{
    struct quic_tls_cert_info info;
    char text[STATUS_TEXT_MAX], when[STATUS_WORD_MAX];
    int64_t due_s = quic_tls_creds_crl_due_s(inst->cred.tls);
    int rv = 0;

    if (!quic_tls_creds_info(inst->cred.tls, &info))
        rv = set_cert(s, &s->certificate, &info, "our certificate");
    if (rv || due_s > s->now_s)
        return rv;
    snprintf(text, sizeof(text), "the revocation list should have been renewed by %s",
             status_time_str(due_s, when));
    return status_add_string(&s->warnings, text);
}

/* --- client ---------------------------------------------------------------------------- */

/* Why the tunnel is not up: what is missing to begin with, or what ended the last attempt. */
static void set_reason(const struct instance *inst, enum edge_state state, struct status *s)
{
    char text[STATUS_TEXT_MAX] = "";
    const struct instance_path *p = inst->paths[0];

    if (state == EDGE_IDLE && inst->n_paths > 1)
        snprintf(text, sizeof(text), "waiting: no path has an address");
    else if (state == EDGE_IDLE && !p->remote.len)
        snprintf(text, sizeof(text), "%s %s", p->resolve ? "resolving" : "cannot resolve",
                 config_path_remote(inst->config, 0));
    else if (state == EDGE_IDLE && *p->waiting_for)
        snprintf(text, sizeof(text), "waiting: %s", p->waiting_for);
    else if (state == EDGE_PAUSE || state == EDGE_FAILED)
        snprintf(text, sizeof(text), "%s", inst->history.why);
    status_set_text(s->reason, sizeof(s->reason), text);
}

static void fill_server(const struct instance *inst, struct status_server *v)
{
    v->present = true;
    status_set_text(v->host, sizeof(v->host), inst->config->remote_addr);
    v->port = inst->config->remote_port;
    set_net_addr(v->address, &inst->paths[0]->remote);
}

static bool is_any(const struct net_addr *a)
{
    struct ip_addr ip = net_addr_ip(a), any = {.family = ip.family};

    return a->len && ip_addr_equal(&ip, &any);
}

/* Of a socket that is bound to any address: with the one that the last datagrams came to, unless
 * that is NULL. */
static void set_local(const struct instance *inst, const struct net_addr *source,
                      const struct net_addr *bound, char dst[static STATUS_ADDR_MAX])
{
    struct net_addr local = *bound;

    if (source && source->len && is_any(bound)) {
        struct ip_addr from = net_addr_ip(source);

        local = net_addr_make(&from, net_addr_port(bound));
    }
    set_net_addr(dst, &local);
}

static int fill_each_lane(const struct instance_path *path, struct status_path *p)
{
    struct status_lane *v = status_make_lanes(p, EDGE_LANES_MAX);
    const struct instance *inst = path->inst;
    struct edge_lane_info info;
    size_t n = 0;

    if (!v)
        return -ENOMEM;
    for (unsigned i = 0; i < EDGE_LANES_MAX; i++) {
        if (!edge_lane_info(inst->edge, path->number, i, &info))
            continue;
        v[n].number = i;
        set_local(inst, &path->source, &info.local, v[n].local);
        v[n++].quic = quic_of(&info.stats, loop_now_ns(inst->loop));
    }
    p->n_each_lane = n;
    return 0;
}

/* What load and losses ask for, as far as it is allowed. */
static unsigned wanted_lanes(const struct instance_path *path)
{
    const struct instance *inst = path->inst;

    if (!edge_session(inst->edge)->pack) /* with a plain server there is one */
        return 1;
    return MIN(edge_lanes_wanted(inst->edge, path->number, loop_now_ns(inst->loop)),
               inst->config->lanes.max);
}

/* What it has gone through, the last first. */
static int fill_steps(const struct instance_path *path, struct status_path *p)
{
    uint64_t now_ns = loop_now_ns(path->inst->loop);
    struct status_step *v = status_make_steps(p, TRAIL_STEPS);
    const struct path_step *step;

    if (!v)
        return -ENOMEM;
    for (p->n_history = 0; (step = trail_at(&path->trail, (unsigned)p->n_history));
         p->n_history++) {
        struct status_step *to = &v[p->n_history];

        status_set_text(to->state, sizeof(to->state), trail_state_name(step->state));
        status_set_text(to->reason, sizeof(to->reason), step->why);
        to->time_s = step->at_s;
        to->age_s = age_s(now_ns, step->at_ns);
    }
    return 0;
}

static void fill_path_state(const struct instance_path *path, struct status_path *p)
{
    const struct instance *inst = path->inst;
    uint64_t now_ns = loop_now_ns(inst->loop);
    struct edge_path_info info;
    char text[STATUS_TEXT_MAX];

    edge_path_info(inst->edge, path->number, &info);
    snprintf(text, sizeof(text), "%s%s", *path->waiting_for ? "waiting: " : "",
             *path->waiting_for ? path->waiting_for : info.why);
    status_set_text(p->name, sizeof(p->name), path->name);
    status_set_text(p->state, sizeof(p->state),
                    trail_state_name(trail_state(info.state, info.trouble)));
    status_set_text(p->reason, sizeof(p->reason), info.state == EDGE_UP ? "" : text);
    p->state_age_s = age_s(now_ns, info.since_ns);
    p->in_use = info.in_use;
    p->priority = info.priority;
    p->weight = info.weight;
    p->number = path->number;
    set_known(p, &info.session);
}

static int fill_edge_path(const struct instance_path *path, struct status_path *p)
{
    const struct instance *inst = path->inst;
    const struct config_bind *b = config_path_bind(inst->config, path->entry);
    struct quic_lane_stats st;
    bool up = edge_lane_stats(inst->edge, path->number, &st);
    const struct masque *tunnel = edge_path_tunnel(inst->edge, path->number);

    fill_path_state(path, p);
    set_local(inst, up ? &path->source : NULL, &path->bound, p->local);
    set_net_addr(p->remote, &path->remote);
    status_set_text(p->interface, sizeof(p->interface), path->bound.len ? path->device : b->ifname);
    if (fill_steps(path, p))
        return -ENOMEM;
    if (!up)
        return 0;
    set_lanes(inst, p, edge_lanes(inst->edge, path->number), &st);
    p->packet_max_bytes = masque_packet_max(tunnel);
    p->mtu_known = quic_lane_mtu_known(masque_lane(tunnel));
    p->lanes_wanted = wanted_lanes(path);
    return fill_each_lane(path, p);
}

/* What is known of the server: from any tunnel that is up. */
static int fill_tunnel_end(const struct instance *inst, struct status *s)
{
    const struct masque *tunnel = edge_tunnel(inst->edge);
    struct quic_tls_cert_info info;

    if (!tunnel)
        return 0;
    status_set_text(s->server.name, sizeof(s->server.name),
                    quic_lane_peer_name(masque_lane(tunnel)));
    if (quic_lane_peer_cert(masque_lane(tunnel), &info))
        return 0;
    return set_cert(s, &s->server.certificate, &info, "the server's certificate");
}

static int fill_edge(struct instance *inst, struct status *s)
{
    const struct session *session = edge_session(inst->edge);
    struct session_stats stats;
    const struct capsule_addrs *assigned = &inst->history.assigned;
    enum edge_state state = edge_state(inst->edge);
    int rv = 0;

    status_set_text(s->state, sizeof(s->state), edge_state_name(state));
    set_reason(inst, state, s);
    fill_server(inst, &s->server);
    if (inst->config->multipath_enabled)
        instance_treatment_str(inst->config, s->treatment, sizeof(s->treatment));
    session_stats_get(session, &stats);
    s->traffic = counts_of(&stats);
    s->queue.packets = session_queued(session);
    s->queue.bytes = session->queue.bytes + session->held.bytes;
    s->queue.max_bytes = session->queue.max_bytes;
    s->handshakes.begun = inst->history.begun;
    s->handshakes.completed = inst->history.completed;
    s->handshakes.failed = inst->history.failed;
    for (unsigned i = 0; i < assigned->n && !rv && state == EDGE_UP; i++)
        if (!assigned_addr_is_refusal(&assigned->v[i]))
            rv = add_prefix(&s->tunnel.assigned, &assigned->v[i].prefix);
    if (rv || !status_make_paths(&s->paths, &s->n_paths, inst->n_paths))
        return -ENOMEM;
    for (unsigned i = 0; i < inst->n_paths && !rv; i++)
        rv = fill_edge_path(inst->paths[i], &s->paths[i]);
    status_share_paths(s->paths, s->n_paths);
    return rv ? rv : fill_tunnel_end(inst, s);
}

/* --- server ---------------------------------------------------------------------------- */

static int fill_listen(const struct instance *inst, struct status *s)
{
    char buf[NET_ADDR_STR_MAX];
    int rv = 0;

    for (unsigned i = 0; i < INSTANCE_SOCKETS && !rv; i++)
        if (inst->sockets[i].udp)
            rv = status_add_string(&s->listen,
                                   net_addr_str(udp_socket_local(inst->sockets[i].udp), buf));
    return rv;
}

static int fill_peer_lists(const struct hub_peer_info *info, struct status_peer *p)
{
    char buf[IP_ADDR_STR_MAX];
    int rv = 0;

    for (unsigned i = 0; i < info->n_addr && !rv; i++)
        rv = status_add_string(&p->addresses, ip_addr_str(&info->addr[i], buf));
    for (unsigned i = 0; i < info->n_prefix && !rv; i++)
        rv = add_prefix(&p->prefixes, &info->prefix[i]);
    for (unsigned i = 0; i < MIN(info->n_learned, (unsigned)HUB_INFO_LEARNED_MAX) && !rv; i++)
        rv = status_add_string(&p->learned, ip_addr_str(&info->learned[i], buf));
    return rv;
}

static int fill_peer(const struct instance *inst, const struct status *s,
                     const struct hub_peer_info *info, struct status_peer *p)
{
    status_set_text(p->name, sizeof(p->name), info->id.name);
    status_set_text(p->instance, sizeof(p->instance), info->id.instance);
    set_net_addr(p->remote, &info->remote);
    p->age_s = age_s(loop_now_ns(inst->loop), info->up_ns);
    p->since_s = s->now_s - (int64_t)p->age_s;
    p->cert_until_s = info->cert_until_s;
    p->traffic = counts_of(&info->session);
    p->learned_total = info->n_learned;
    p->bad_sources = info->bad_sources;
    p->queue.packets = info->queued;
    p->queue.bytes = info->queued_bytes;
    p->queue.max_bytes = SESSION_QUEUE_BYTES;
    return fill_peer_lists(info, p);
}

static void fill_peer_path(const struct instance *inst, const struct hub_path_info *info,
                           struct status_path *p)
{
    status_set_text(p->name, sizeof(p->name), info->name);
    p->number = info->number;
    status_set_text(p->state, sizeof(p->state),
                    trail_state_name(trail_state(EDGE_UP, info->trouble)));
    p->state_age_s = age_s(loop_now_ns(inst->loop), info->up_ns);
    p->in_use = info->in_use;
    p->priority = info->session.priority;
    p->weight = info->session.weight;
    set_known(p, &info->session);
    set_net_addr(p->remote, &info->remote);
    set_lanes(inst, p, info->n_lanes, &info->lane);
    p->packet_max_bytes = info->packet_max;
    p->mtu_known = info->mtu_known;
}

static int fill_peer_paths(const struct instance *inst, unsigned i, struct status_peer *p)
{
    struct hub_path_info info[MASQUE_PATHS_MAX];
    unsigned n = hub_peer_paths(inst->hub, i, info);

    if (n && !status_make_paths(&p->paths, &p->n_paths, n))
        return -ENOMEM;
    for (unsigned k = 0; k < n; k++)
        fill_peer_path(inst, &info[k], &p->paths[k]);
    status_share_paths(p->paths, p->n_paths);
    return 0;
}

static void fill_handshakes(const struct instance *inst, struct status_handshakes *h)
{
    struct quic_endpoint_stats st;

    hub_endpoint_stats(inst->hub, &st);
    *h = (struct status_handshakes){.begun = st.begun,
                                    .completed = st.completed,
                                    .failed = st.failed,
                                    .refused = st.refused,
                                    .retried = st.retried,
                                    .junk = st.junk,
                                    .resets = st.resets,
                                    .unanswered = st.unanswered,
                                    .open = st.handshakes};
}

static int fill_hub(const struct instance *inst, struct status *s)
{
    struct session_stats sum = hub_totals(inst->hub);
    unsigned n = hub_peers(inst->hub);
    int rv = fill_listen(inst, s);
    struct hub_peer_info info;

    status_set_text(s->state, sizeof(s->state),
                    *inst->paths[0]->waiting_for ? "waiting" : "listening");
    status_set_text(s->reason, sizeof(s->reason), inst->paths[0]->waiting_for);
    s->traffic = counts_of(&sum);
    fill_handshakes(inst, &s->handshakes);
    if (rv || (n && !status_make_peers(s, n)))
        return -ENOMEM;
    s->n_peers = 0;
    for (unsigned i = 0; i < n && !rv; i++) {
        struct status_peer *p = &s->peers[s->n_peers];

        if (!hub_peer_info(inst->hub, i, &info))
            continue;
        s->n_peers++;
        rv = fill_peer(inst, s, &info, p);
        if (!rv)
            rv = fill_peer_paths(inst, i, p);
        s->queue.packets += p->queue.packets;
        s->queue.bytes += p->queue.bytes;
        s->queue.max_bytes += p->queue.max_bytes;
    }
    s->n_peers_up = s->n_peers;
    return rv ? rv : absent_list(inst->hub, inst->config, loop_now_ns(inst->loop), s);
}

/* --- all ------------------------------------------------------------------------------- */

static void fill_head(struct instance *inst, struct status *s)
{
    const struct instance_history *h = &inst->history;
    uint64_t now_ns = loop_now_ns(inst->loop);

    status_set_text(s->instance, sizeof(s->instance), helper_name(inst->helper));
    status_set_text(s->role, sizeof(s->role),
                    inst->config->role == CONFIG_ROLE_CLIENT ? "client" : "server");
    status_set_text(s->version, sizeof(s->version), MPQUIC_VERSION);
    status_set_text(s->aead, sizeof(s->aead), inst->aead->name);
    s->pid = (uint64_t)getpid();
    s->now_s = clock_real_s();
    s->started_s = h->started_s;
    s->uptime_s = age_s(now_ns, h->started_ns);
    s->state_age_s = age_s(now_ns, h->state_ns);
    if (inst->edge && h->state != EDGE_UP) {
        s->down_s = age_s(now_ns, h->down_ns);
        s->down_since_s = s->now_s - (int64_t)s->down_s;
    }
    upkeep_count_drops(inst);
    s->drops = inst->drops;
    s->last_error.present = h->error_s != 0;
    status_set_text(s->last_error.text, sizeof(s->last_error.text), h->error);
    s->last_error.time_s = h->error_s;
    s->last_error.age_s = age_s(now_ns, h->error_ns);
}

/* The interface's addresses as the kernel has them, but for its link-local one. */
static int fill_tunnel(const struct instance *inst, struct status_tunnel *t)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    int n = 0, rv = 0;

    if (inst->tun)
        n = netlink_addr_all(inst->netlink, tun_ifindex(inst->tun), &v);
    t->exists = inst->tun != NULL;
    t->repairs = inst->upkeep.repairs;
    status_set_text(t->interface, sizeof(t->interface), inst->config->tun_name);
    t->mtu_bytes = inst->tun_mtu;
    t->mtu_automatic = !inst->config->mtu;
    for (int i = 0; i < n && !rv; i++)
        if (!ip_addr_is_linklocal(&v[i].prefix.addr))
            rv = add_prefix(&t->addresses, &v[i].prefix);
    return rv;
}

static void fill_offloads(const struct instance *inst, struct status_offloads *o)
{
    unsigned n = 0, gso = 0, gro = 0;

    for (unsigned i = 0; i < ARRAY_LEN(inst->sockets); i++) {
        const struct udp_socket *s = inst->sockets[i].udp;

        n += s != NULL;
        gso += s && udp_socket_has_gso(s);
        gro += s && udp_socket_has_gro(s);
    }
    *o = (struct status_offloads){.tun_tso = inst->tun && tun_has_offload(inst->tun),
                                  .tun_uso = inst->tun && tun_has_uso(inst->tun),
                                  .udp_gso = n && gso == n,
                                  .udp_gro = n && gro == n};
}

int instance_snapshot(struct instance *inst, struct status *ret)
{
    int rv;

    fill_head(inst, ret);
    fill_offloads(inst, &ret->offloads);
    rv = fill_tunnel(inst, &ret->tunnel);
    if (!rv)
        rv = inst->edge ? fill_edge(inst, ret) : fill_hub(inst, ret);
    if (!rv)
        rv = instance_warn(inst, ret);
    return rv ? rv : fill_own_cert(inst, ret);
}
