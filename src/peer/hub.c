#include "peer/hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "masque/request.h"

struct hub {
    struct hub_opts opts;
    struct masque_side side;
    struct quic_endpoint *ep;
    struct session session;
    struct masque *tunnel; /* who has the session now; NULL: nobody */
    char peer_name[HUB_NAME_MAX];
    struct capsule_addrs assigned; /* the peer's, at most HUB_ADDRS_MAX; no request identifiers */
};

static struct hub *of(const struct masque *m)
{
    return masque_side_of(m)->user;
}

/* --- who is it ------------------------------------------------------------------------- */

/* Compares in a time that does not tell how much was right. */
static bool same_token(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned char diff = la != lb;

    for (size_t i = 0; i < la; i++)
        diff |= (unsigned char)(a[i] ^ b[lb ? i % lb : 0]);
    return !diff && la;
}

static const char *token_owner(const struct hub *h, const struct masque_request *req)
{
    const char *given, *name = NULL;

    if (!masque_request_bearer(req, &given))
        return NULL;
    for (unsigned i = 0; i < h->opts.n_tokens; i++)
        if (same_token(given, h->opts.tokens[i].token))
            name = h->opts.tokens[i].name;
    return name;
}

/* The peer's name, or NULL when it has shown neither certificate nor token. A token, when one is
 * shown, must be right even beside a certificate. */
static const char *identify(const struct hub *h, const struct masque *m,
                            const struct masque_request *req)
{
    const char *cert = quic_lane_peer_name(masque_lane(m));
    const char *given;

    if (h->opts.n_tokens && (!*cert || masque_request_bearer(req, &given)))
        return token_owner(h, req);
    return *cert ? cert : NULL;
}

static void refuse(struct hub *h, const struct masque *m, const char *name, const char *why)
{
    h->opts.events->refused(h->opts.user, name, quic_lane_remote(masque_lane(m)), why);
}

/* The peer has the tunnel no longer. */
static void release(struct hub *h, const char *why)
{
    bool was_up = h->session.attached;

    h->tunnel = NULL;
    session_detach(&h->session);
    session_forget_sources(&h->session);
    h->assigned.n = 0;
    if (was_up)
        h->opts.events->peer_down(h->opts.user, h->peer_name, why);
}

static int on_request(struct masque *m, const struct masque_request *req)
{
    struct hub *h = of(m);
    const char *name = identify(h, m, req);

    if (!name) {
        refuse(h, m, quic_lane_peer_name(masque_lane(m)), "no valid bearer token");
        return 401;
    }
    if (h->tunnel && strcmp(name, h->peer_name) != 0) {
        refuse(h, m, name, "another peer has the tunnel");
        return 503;
    }
    if (h->tunnel) {
        struct masque *old = h->tunnel;

        release(h, "the same peer has connected again");
        masque_close(old, MASQUE_H3_NO_ERROR, "taken over");
    }
    h->tunnel = m;
    snprintf(h->peer_name, sizeof(h->peer_name), "%s", name);
    return 200;
}

/* --- addresses ------------------------------------------------------------------------- */

static const struct ip_prefix *own_network(const struct hub *h, uint8_t family)
{
    for (unsigned i = 0; i < h->opts.n_own; i++)
        if (h->opts.own[i].addr.family == family)
            return &h->opts.own[i];
    return NULL;
}

/* Whether an address of the tunnel's network can be a peer's: not ours, and of IPv4 neither the
 * network's nor the broadcast address. */
static bool usable(const struct ip_prefix *own, const struct ip_addr *a)
{
    struct ip_prefix net = ip_prefix_network(own);
    struct ip_addr last = ip_prefix_last(own);

    if (!ip_prefix_contains(own, a) || ip_addr_equal(a, &own->addr))
        return false;
    if (a->family == 4 && own->len < 31)
        return !ip_addr_equal(a, &net.addr) && !ip_addr_equal(a, &last);
    return a->family == 4 || own->len >= 127 || !ip_addr_equal(a, &net.addr);
}

static void increment(struct ip_addr *a)
{
    for (unsigned i = ip_addr_bits(a) / 8; i-- > 0;)
        if (++a->b[i])
            return;
}

static bool has(const struct capsule_addrs *list, const struct ip_addr *a)
{
    for (unsigned i = 0; i < list->n; i++)
        if (ip_addr_equal(&list->v[i].prefix.addr, a))
            return true;
    return false;
}

static void append(struct capsule_addrs *list, uint64_t request_id, const struct ip_addr *a)
{
    list->v[list->n++] = (struct assigned_addr){
        .request_id = request_id, .prefix = {.addr = *a, .len = (uint8_t)ip_addr_bits(a)}};
}

/* An address of a family for the peer that `taken` does not hold: the first one that it has, or
 * the first one of our network. */
static bool next_free(const struct hub *h, uint8_t family, const struct capsule_addrs *taken,
                      struct ip_addr *ret)
{
    const struct ip_prefix *own = own_network(h, family);
    struct ip_addr a;

    for (unsigned i = 0; i < h->assigned.n; i++) {
        a = h->assigned.v[i].prefix.addr;
        if (a.family == family && !has(taken, &a)) {
            *ret = a;
            return true;
        }
    }
    if (!own)
        return false;
    a = ip_prefix_network(own).addr;
    for (int i = 0; i < 3 + HUB_ADDRS_MAX; i++, increment(&a)) {
        if (usable(own, &a) && !has(taken, &a)) {
            *ret = a;
            return true;
        }
    }
    return false;
}

/* The peer has this address from now on, for the life of the tunnel (RFC 9484, 4.1). False when it
 * has too many already. */
static bool grant(struct hub *h, const struct ip_addr *a)
{
    if (has(&h->assigned, a))
        return true;
    if (h->assigned.n == HUB_ADDRS_MAX)
        return false;
    append(&h->assigned, 0, a);
    return true;
}

/* The answer to one request: what is asked for when it can be a peer's, else another address; all
 * zeros when there is none to give. No two requests of a capsule get the same one. */
static void answer(struct hub *h, const struct assigned_addr *req, struct capsule_addrs *out)
{
    const struct ip_addr *wish = &req->prefix.addr;
    const struct ip_prefix *own = own_network(h, wish->family);
    struct ip_addr a = *wish, none = {.family = wish->family};

    if (!own || !usable(own, wish) || has(out, wish))
        a = next_free(h, wish->family, out, &a) ? a : none;
    if (!ip_addr_equal(&a, &none) && !grant(h, &a))
        a = none;
    append(out, req->request_id, &a);
}

static void apply_sources(struct hub *h)
{
    session_forget_sources(&h->session);
    for (unsigned i = 0; i < h->assigned.n; i++)
        session_allow_source(&h->session, &h->assigned.v[i].prefix);
    for (unsigned i = 0; i < h->opts.n_peer_prefixes; i++)
        session_allow_source(&h->session, &h->opts.peer_prefixes[i]);
}

/* Every ADDRESS_ASSIGN carries the whole list (RFC 9484, 4.7.1): the answers to these requests,
 * and what the peer has beside them. */
static int on_addr_request(struct masque *m, const struct capsule_addrs *req)
{
    struct hub *h = of(m);
    struct capsule_addrs out = {.n = 0};
    int rv;

    if (h->tunnel != m)
        return 0;
    for (unsigned i = 0; i < req->n; i++)
        answer(h, &req->v[i], &out);
    for (unsigned i = 0; i < h->assigned.n && out.n < CAPSULE_ADDRS_MAX; i++)
        if (!has(&out, &h->assigned.v[i].prefix.addr))
            append(&out, 0, &h->assigned.v[i].prefix.addr);
    apply_sources(h);
    rv = masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &out);
    if (!rv)
        h->opts.events->assigned(h->opts.user, &h->assigned);
    return rv;
}

/* What may be sent here: everything of the families that the tunnel has. */
static int send_routes(struct hub *h)
{
    struct capsule_routes routes = {.n = 0};

    for (uint8_t family = 4; family <= 6; family += 2) {
        struct ip_prefix all = {.addr.family = family};

        if (own_network(h, family))
            routes.v[routes.n++] = ip_route_range_of(&all, 0);
    }
    return masque_send_routes(h->tunnel, &routes);
}

static void on_open(struct masque *m)
{
    struct hub *h = of(m);
    struct ip_addr a;

    session_attach(&h->session);
    h->opts.events->peer_up(h->opts.user, h->peer_name, quic_lane_remote(masque_lane(m)));
    for (unsigned i = 0; i < h->opts.n_own; i++)
        if (next_free(h, h->opts.own[i].addr.family, &h->assigned, &a))
            grant(h, &a);
    apply_sources(h);
    if (masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &h->assigned) || send_routes(h))
        masque_close(m, MASQUE_H3_INTERNAL_ERROR, "cannot send addresses and routes");
}

/* --- the rest of the tunnel's events --------------------------------------------------- */

static void on_addr_assign(struct masque *m, const struct capsule_addrs *addrs)
{
    /* A hub takes its addresses from its own configuration. */
}

static void on_routes(struct masque *m, const struct capsule_routes *routes)
{
    /* What lies behind a peer is the hub's to allow: peer_prefixes. */
}

static void on_packet(struct masque *m, const uint8_t *data, size_t len)
{
    struct hub *h = of(m);

    if (h->tunnel == m)
        session_rx(&h->session, data, len);
    else
        drop_count(h->opts.quic.drops, DROP_STREAM);
}

static struct pkt *on_pull(struct masque *m, size_t max)
{
    struct quic_lane *lane = masque_lane(m);
    struct hub *h = of(m);

    if (h->tunnel != m)
        return NULL;
    return session_pull(&h->session, quic_lane_now_ns(lane), max, quic_lane_mtu_known(lane));
}

static void on_mtu(struct masque *m, size_t packet_max, bool known)
{
    struct hub *h = of(m);

    if (h->tunnel != m)
        return;
    if (known)
        h->opts.events->mtu(h->opts.user, packet_max);
    masque_kick(m);
}

static void on_down(struct masque *m, const struct quic_fail_info *why)
{
    struct hub *h = of(m);
    char text[256];

    if (h->tunnel != m)
        return;
    snprintf(text, sizeof(text), "%s%s%s%s", quic_fail_meaning(why->fail), *why->detail ? " (" : "",
             why->detail, *why->detail ? ")" : "");
    release(h, text);
}

/* From the session: there is something to pull. */
static void on_kick(void *user)
{
    masque_kick(((struct hub *)user)->tunnel);
}

static const struct masque_ops tunnel_ops = {
    .request = on_request,
    .open = on_open,
    .addr_assign = on_addr_assign,
    .addr_request = on_addr_request,
    .routes = on_routes,
    .packet = on_packet,
    .pull = on_pull,
    .mtu_changed = on_mtu,
    .down = on_down,
};

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    struct hub *h = user;

    *ret_ops = &masque_path_ops;
    *ret_user = &h->side;
    return 0;
}

static void on_handshake_refused(void *user, const struct quic_lane *lane,
                                 const struct quic_fail_info *why)
{
    struct hub *h = user;
    char text[256];

    snprintf(text, sizeof(text), "%s%s%s%s", quic_fail_meaning(why->fail), *why->detail ? " (" : "",
             why->detail, *why->detail ? ")" : "");
    h->opts.events->refused(h->opts.user, quic_lane_peer_name(lane), quic_lane_remote(lane), text);
}

/* --- life ------------------------------------------------------------------------------ */

int hub_new(const struct hub_opts *opts, struct hub **ret)
{
    struct session_opts so = {.pool = opts->quic.pool, .drops = opts->quic.drops};
    struct hub *h;
    int rv;

    if (opts->n_peer_prefixes > SESSION_SOURCES_MAX - HUB_ADDRS_MAX)
        return -EINVAL;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->opts = *opts;
    h->opts.quic.accept = on_accept;
    h->opts.quic.refused = on_handshake_refused;
    h->opts.quic.accept_user = h;
    for (unsigned i = 0; i < opts->n_own; i++)
        so.own[opts->own[i].addr.family == 6] = opts->own[i].addr;
    so.check_source = true;
    so.deliver = opts->events->deliver;
    so.deliver_user = opts->user;
    so.kick = on_kick;
    so.kick_user = h;
    session_init(&h->session, &so);
    h->side = (struct masque_side){
        .ops = &tunnel_ops, .user = h, .pool = opts->quic.pool, .drops = opts->quic.drops};
    rv = quic_endpoint_new(&h->opts.quic, &h->ep);
    if (rv) {
        free(h);
        return rv;
    }
    *ret = h;
    return 0;
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    quic_endpoint_free(h->ep);
    session_done(&h->session);
    free(h);
}

void hub_rx(struct hub *h, uint64_t now_ns, const struct quic_rx *rx)
{
    quic_endpoint_rx(h->ep, now_ns, rx);
}

bool hub_tx(struct hub *h, uint64_t now_ns, struct quic_tx *tx)
{
    return quic_endpoint_tx(h->ep, now_ns, tx);
}

uint64_t hub_deadline_ns(const struct hub *h)
{
    return MIN(quic_endpoint_deadline_ns(h->ep), masque_deadline_ns(&h->side));
}

void hub_timeout(struct hub *h, uint64_t now_ns)
{
    quic_endpoint_timeout(h->ep, now_ns);
    masque_timeout(&h->side, now_ns);
}

void hub_send(struct hub *h, uint64_t now_ns, struct pkt *pkt)
{
    session_send(&h->session, now_ns, pkt);
}

void hub_shutdown(struct hub *h, uint64_t now_ns)
{
    quic_endpoint_shutdown(h->ep, now_ns);
}

const struct session *hub_session(const struct hub *h)
{
    return &h->session;
}

unsigned hub_lanes(const struct hub *h)
{
    return quic_endpoint_lanes(h->ep);
}

bool hub_lane_stats(const struct hub *h, struct quic_lane_stats *ret)
{
    if (!h->tunnel)
        return false;
    quic_lane_stats(masque_lane(h->tunnel), ret);
    return true;
}
