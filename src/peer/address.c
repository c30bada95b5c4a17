/* The addresses of a peer: what it asks for, what it gets, and what becomes of them while it is
 * absent. Then its leases are idle (lease.h), but the table still says that they are its own: so
 * that packets for it find its queue until somebody else is given one of them. */
#include "base/util.h"
#include "peer/internal.h"

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

/* What the peer has, and is not in the list yet. */
static void append_held(struct capsule_addrs *list, const struct member *p)
{
    struct ip_addr held[LEASE_PEER_MAX];
    unsigned n = lease_held(p->client, held);

    for (unsigned i = 0; i < n && list->n < CAPSULE_ADDRS_MAX; i++)
        if (!has(list, &held[i]))
            append(list, 0, &held[i]);
}

/* An address of the family that the list does not hold yet; all zeros when there is none to
 * give. */
static struct ip_addr any_address(struct member *p, uint8_t family,
                                  const struct capsule_addrs *list)
{
    struct ip_addr except[CAPSULE_ADDRS_MAX], a = {.family = family};

    for (unsigned i = 0; i < list->n; i++)
        except[i] = list->v[i].prefix.addr;
    lease_take_any(p->hub->leases, p->client, family, except, list->n, &a);
    return a;
}

/* The address is the peer's now: one who is absent has it no longer. */
static int assign(struct member *p, const struct ip_addr *a)
{
    struct table_owner *owner = NULL;
    enum table_kind kind;
    struct member *other;

    if (table_find(p->hub->table, a, &owner, &kind) && owner && owner != &p->owner &&
        kind == TABLE_ASSIGNED) {
        other = container_of(owner, struct member, owner);
        if (member_is_absent(other))
            member_close(other, "another peer has its address now");
    }
    return table_assign(p->hub->table, &p->owner, a);
}

/* The answer to one request: what is asked for when the peer may have it, else another address. No
 * two requests of a capsule get the same one. */
static void answer(struct member *p, const struct assigned_addr *req, struct capsule_addrs *out)
{
    const struct ip_addr *wish = &req->prefix.addr;
    struct ip_addr none = {.family = wish->family}, a = none;

    if (!has(out, wish) && !lease_take(p->hub->leases, p->client, wish))
        a = *wish;
    else
        a = any_address(p, wish->family, out);
    if (!ip_addr_equal(&a, &none) && assign(p, &a))
        a = none;
    append(out, req->request_id, &a);
}

static void tell_assigned(struct member *p)
{
    struct capsule_addrs all = {.n = 0};

    append_held(&all, p);
    p->hub->opts.events->assigned(p->hub->opts.user, member_id(p), &all);
}

/* Every ADDRESS_ASSIGN carries the whole list (RFC 9484, 4.7.1): the answers to these requests,
 * and what the peer has beside them. */
int member_on_addr_request(struct masque *m, const struct capsule_addrs *req)
{
    struct member_lane *l = member_lane_of(m);
    struct capsule_addrs out = {.n = 0};
    struct member *p;
    int rv;

    if (!l)
        return 0;
    p = l->member;
    for (unsigned i = 0; i < req->n; i++)
        answer(p, &req->v[i], &out);
    append_held(&out, p);
    rv = masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &out);
    if (rv)
        return rv;
    for (l = p->lanes; l; l = l->next)
        if (l->tunnel != m && l->open && member_send_held(p, l->tunnel))
            masque_close(l->tunnel, MASQUE_H3_INTERNAL_ERROR, "cannot send addresses");
    tell_assigned(p);
    return 0;
}

int member_send_held(struct member *p, struct masque *m)
{
    struct capsule_addrs list = {.n = 0};

    append_held(&list, p);
    return list.n ? masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &list) : 0;
}

int member_send_addresses(struct member *p, struct masque *m)
{
    const struct hub *h = p->hub;
    struct capsule_addrs list = {.n = 0};

    for (unsigned i = 0; i < h->opts.n_own; i++) {
        uint8_t family = h->opts.own[i].addr.family;
        struct ip_addr none = {.family = family}, a = any_address(p, family, &list);

        if (!ip_addr_equal(&a, &none) && !assign(p, &a))
            append(&list, 0, &a);
    }
    return masque_send_addrs(m, CAPSULE_ADDRESS_ASSIGN, &list);
}

void member_rest_addresses(struct member *p)
{
    p->n_kept = lease_held(p->client, p->kept);
    lease_client_rest(p->hub->leases, p->client);
}

void member_resume_addresses(struct member *p)
{
    table_unassign(p->hub->table, &p->owner);
    for (unsigned i = 0; i < p->n_kept; i++)
        if (!lease_take(p->hub->leases, p->client, &p->kept[i]))
            assign(p, &p->kept[i]);
    p->n_kept = 0;
}
