#include "peer/hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "peer/internal.h"

static void set_now(struct hub *h, uint64_t now_ns)
{
    h->now_ns = now_ns;
    leases_set_now(h->leases, now_ns);
}

/* --- endpoint events --------------------------------------------------------------------- */

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    struct hub *h = user;

    *ret_ops = &masque_path_ops;
    *ret_user = &h->side;
    return 0;
}

void hub_refuse(struct hub *h, const struct quic_lane *lane, const struct hub_peer_id *id,
                const char *why)
{
    h->opts.events->refused(h->opts.user, id, quic_lane_remote(lane), why);
}

static void on_handshake_refused(void *user, const struct quic_lane *lane,
                                 const struct quic_fail_info *why)
{
    struct hub_peer_id id = {.instance = ""};
    char text[256];

    snprintf(id.name, sizeof(id.name), "%s", quic_lane_peer_name(lane));
    snprintf(text, sizeof(text), "%s%s%s%s", quic_fail_meaning(why->fail), *why->detail ? " (" : "",
             why->detail, *why->detail ? ")" : "");
    hub_refuse(user, lane, &id, text);
}

/* --- policy ------------------------------------------------------------------------------ */

static int policy_check(const struct hub_policy *p)
{
    if (p->n_pool > HUB_RANGES_MAX || p->n_peer_prefixes > HUB_RANGES_MAX ||
        p->n_tokens > HUB_TOKENS_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < p->n_rules; i++)
        if (p->rules[i].n_addr > HUB_ADDRS_MAX || p->rules[i].n_prefix > HUB_PREFIXES_MAX)
            return -EINVAL;
    return 0;
}

/* Which networks lie behind whom, from the policy in force. Without memory for one it is as if the
 * rule did not have it. */
static void apply_prefixes(struct hub *h)
{
    const struct hub_policy *p = h->policy;

    table_forget_fixed(h->table);
    for (unsigned i = 0; i < p->n_rules; i++)
        for (unsigned k = 0; k < p->rules[i].n_prefix; k++)
            table_add_fixed(h->table, &p->rules[i].prefix[k]);
    for (unsigned i = 0; i < h->n_present; i++)
        if (h->members[i]->open)
            member_claim(h->members[i]);
}

static bool may_stay_learned(void *user, const struct ip_addr *a)
{
    const struct hub *h = user;

    return policy_contains(h->policy->peer_prefixes, h->policy->n_peer_prefixes, a) &&
           !lease_governs(h->leases, a) && !table_in_fixed(h->table, a);
}

/* Why the policy in force does not let the peer go on; NULL: it does. */
static const char *lost_right(const struct hub *h, const struct member *p)
{
    struct ip_addr held[LEASE_PEER_MAX];
    unsigned n = lease_held(p->client, held);

    for (unsigned i = 0; i < p->n_kept; i++)
        held[n++] = p->kept[i]; /* it is absent, and holds none */
    if (p->by_token &&
        !policy_has_token(h->policy, lease_client_id(p->client)->name, p->token_digest))
        return "its token is not valid any more";
    for (unsigned i = 0; i < n; i++)
        if (!lease_permitted(h->leases, p->client, &held[i]))
            return "its address is no longer the one that it shall have";
    return NULL;
}

static void close_who_lost(struct hub *h)
{
    for (unsigned i = h->n_members; i-- > 0;) {
        const char *why = lost_right(h, h->members[i]);

        if (why)
            member_close(h->members[i], why);
    }
}

int hub_reconfigure(struct hub *h, uint64_t now_ns, const struct hub_policy *policy)
{
    struct hub_policy *fresh;

    h->now_ns = now_ns;
    if (policy_check(policy) || policy->multi != h->policy->multi)
        return -EINVAL;
    fresh = policy_copy(policy, &h->key);
    if (!fresh || leases_set_policy(h->leases, fresh)) {
        policy_free(fresh);
        return -ENOMEM;
    }
    policy_free(h->policy);
    h->policy = fresh;
    for (unsigned i = 0; i < h->n_members; i++)
        h->members[i]->rule = policy_rule(fresh, lease_client_id(h->members[i]->client));
    close_who_lost(h);
    close_who_lost(h); /* what those held may be fixed for others, who then change to it */
    apply_prefixes(h);
    table_filter_learned(h->table, may_stay_learned, h);
    return 0;
}

/* --- credentials ------------------------------------------------------------------------- */

/* Longer than a lane may be without a tunnel, its handshake included. */
#define RECHECK_NEWCOMERS_NS (60 * NS_PER_S)

void hub_set_tls(struct hub *h, uint64_t now_ns, void *tls_ctx)
{
    quic_endpoint_set_tls(h->ep, tls_ctx);
    h->recheck_until_ns = now_ns + RECHECK_NEWCOMERS_NS;
}

void hub_recheck(struct hub *h, uint64_t now_ns)
{
    h->now_ns = now_ns;
    h->recheck_until_ns = now_ns + RECHECK_NEWCOMERS_NS;
    h->recheck_left = h->n_present;
}

/* Look at the certificates of all lanes of a peer. Returns how many there were. */
static unsigned recheck_member(struct member *p)
{
    unsigned n = 0;

    for (struct member_lane *l = p->lanes, *next; l; l = next, n++) {
        enum quic_fail fail = quic_lane_recheck(masque_lane(l->tunnel));

        next = l->next;
        if (fail)
            member_reject_lane(l, fail);
    }
    return n;
}

/* From the end of those present: who goes is replaced by the last one, which is in the part that
 * has been looked at, or in the other with it. */
bool hub_recheck_next(struct hub *h, uint64_t now_ns, unsigned n)
{
    set_now(h, now_ns);
    h->recheck_left = MIN(h->recheck_left, h->n_present);
    while (n && h->recheck_left) {
        unsigned lanes = recheck_member(h->members[--h->recheck_left]);

        n -= MIN(n, lanes);
    }
    return h->recheck_left;
}

/* Close the lane if its certificate has ended, or note when it will. */
static void expire_lane(struct member_lane *l, int64_t now_s, int64_t *next_s)
{
    int64_t until_s = quic_lane_peer_until_s(masque_lane(l->tunnel));

    if (until_s && until_s < now_s)
        member_reject_lane(l, QUIC_FAIL_CERT_EXPIRED);
    else if (until_s)
        *next_s = MIN(*next_s, until_s);
}

int64_t hub_expire(struct hub *h, uint64_t now_ns, int64_t now_s)
{
    int64_t next_s = INT64_MAX;

    h->now_ns = now_ns;
    for (unsigned i = h->n_present; i-- > 0;)
        for (struct member_lane *l = h->members[i]->lanes, *next; l; l = next) {
            next = l->next;
            expire_lane(l, now_s, &next_s);
        }
    return next_s;
}

/* --- life -------------------------------------------------------------------------------- */

/* Flows of the queues: all peers share them. */
enum { FLOWS = 32 * FQ_FLOWS_MAX };

/* What their receivers may have open: flows, units, bytes. */
enum { OPEN_FLOWS = 8192, OPEN_UNITS = 32768, OPEN_BYTES = 8 * REASM_BYTES_MAX };

static int make_parts(struct hub *h, const struct hub_opts *opts)
{
    h->policy = policy_copy(&opts->policy, &h->key);
    h->table = table_new(&h->key, 0, 0);
    h->leases = leases_new(&h->key, opts->own, opts->n_own);
    h->flows = fq_flows_new(FLOWS, &h->key);
    h->reasm = reasm_pool_new(OPEN_FLOWS, OPEN_UNITS, OPEN_BYTES);
    if (!h->policy || !h->table || !h->leases || !h->flows || !h->reasm ||
        leases_set_policy(h->leases, h->policy))
        return -ENOMEM;
    apply_prefixes(h);
    return quic_endpoint_new(&h->opts.quic, &h->ep);
}

int hub_new(const struct hub_opts *opts, struct hub **ret)
{
    struct hub *h;
    int rv;

    if (policy_check(&opts->policy) || opts->n_own > ARRAY_LEN(opts->own) || !opts->quic.random)
        return -EINVAL;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->opts = *opts;
    h->absent_until_ns = TIME_NEVER_NS;
    h->opts.policy = (struct hub_policy){.multi = false};
    h->opts.quic.accept = on_accept;
    h->opts.quic.refused = on_handshake_refused;
    h->opts.quic.accept_user = h;
    h->side = (struct masque_side){
        .ops = &member_ops, .user = h, .pool = opts->quic.pool, .drops = opts->quic.drops};
    opts->quic.random(opts->quic.random_user, &h->key, sizeof(h->key));
    rv = make_parts(h, opts);
    if (rv) {
        hub_free(h);
        return rv;
    }
    *ret = h;
    return 0;
}

/* The endpoint first: what it ends releases the members, which need all the rest. */
void hub_free(struct hub *h)
{
    if (!h)
        return;
    quic_endpoint_free(h->ep);
    while (h->n_members)
        member_close(h->members[0], "the hub ends");
    table_free(h->table);
    leases_free(h->leases);
    policy_free(h->policy);
    past_done(&h->past);
    fq_flows_free(h->flows);
    reasm_pool_free(h->reasm);
    heap_done(&h->waiting);
    free(h->members);
    free(h);
}

void hub_rx(struct hub *h, uint64_t now_ns, const struct quic_rx *rx)
{
    set_now(h, now_ns);
    quic_endpoint_rx(h->ep, now_ns, rx);
}

bool hub_tx(struct hub *h, uint64_t now_ns, struct quic_tx *tx)
{
    set_now(h, now_ns);
    return quic_endpoint_tx(h->ep, now_ns, tx);
}

/* What waits for a peer that does not take it, and is never asked for again, gives the buffers of
 * all back. */
static void age_queues(struct hub *h, uint64_t now_ns)
{
    bool waits = false;

    if (!h->age_ns || now_ns < h->age_ns)
        return;
    for (unsigned i = 0; i < h->n_members; i++) {
        struct member *p = h->members[i];

        struct pack_lane none = {.unit = NULL};

        waits |= session_age(&p->session, now_ns);
        for (struct member_lane *l = p->lanes; l; l = l->next)
            session_age_packed(&p->session, &l->pack, now_ns);
        waits |= session_age_packed(&p->session, &none, now_ns);
    }
    h->age_ns = waits ? now_ns + SESSION_AGE_MAX_NS : 0;
}

uint64_t hub_deadline_ns(const struct hub *h)
{
    uint64_t at = MIN(quic_endpoint_deadline_ns(h->ep), masque_deadline_ns(&h->side));

    at = MIN(at, h->absent_until_ns);
    if (h->age_ns)
        at = MIN(at, h->age_ns);
    return heap_top(&h->waiting) ? MIN(at, heap_top(&h->waiting)->key_ns) : at;
}

void hub_timeout(struct hub *h, uint64_t now_ns)
{
    set_now(h, now_ns);
    quic_endpoint_timeout(h->ep, now_ns);
    masque_timeout(&h->side, now_ns);
    while (heap_top(&h->waiting) && heap_top(&h->waiting)->key_ns <= now_ns)
        member_timeout(container_of(heap_top(&h->waiting), struct member, timer), now_ns);
    age_queues(h, now_ns);
    hub_age_absent(h);
}

void hub_shutdown(struct hub *h, uint64_t now_ns)
{
    h->now_ns = now_ns;
    quic_endpoint_shutdown(h->ep, now_ns, MASQUE_H3_NO_ERROR);
}

/* --- packets from the TUN ---------------------------------------------------------------- */

/* Whose the packet is; NULL: nobody's, and why it is dropped. */
static struct member *receiver(const struct hub *h, const struct ip_view *v,
                               enum drop_reason *ret_why)
{
    struct table_owner *owner = NULL;
    enum table_kind kind;

    if (!session_scope_ok(v, ret_why))
        return NULL;
    if (!h->policy->multi) {
        *ret_why = DROP_NO_SESSION;
        return h->n_members ? h->members[0] : NULL;
    }
    *ret_why = DROP_NO_PEER;
    table_find(h->table, &v->dst, &owner, &kind);
    return owner ? container_of(owner, struct member, owner) : NULL;
}

void hub_send(struct hub *h, uint64_t now_ns, struct pkt *pkt)
{
    struct member *p = NULL;
    enum drop_reason why;
    struct ip_view v;

    h->now_ns = now_ns;
    if (!ip_view_parse_pkt(pkt, &v, &why))
        p = receiver(h, &v, &why);
    if (p) {
        session_send_view(&p->session, now_ns, pkt, &v);
        if (!h->age_ns)
            h->age_ns = now_ns + SESSION_AGE_MAX_NS;
        return;
    }
    drop_count(h->opts.quic.drops, why);
    pkt_free(h->opts.quic.pool, pkt);
}

void hub_tell_mtu(struct hub *h)
{
    size_t most = 0;

    for (unsigned i = 0; i < h->n_members; i++)
        most = MAX(most, h->members[i]->packet_max);
    if (!most || (most == h->packet_max && h->policy->multi))
        return;
    h->packet_max = most;
    h->opts.events->mtu(h->opts.user, most);
}
