/* Flow numbers of the sender: lent to a flow of packets, and lent again when it has been silent. */
#include <stdlib.h>

#include "base/util.h"
#include "bond/class.h"
#include "bond/pack_internal.h"

static void list_remove(struct pack *p, struct pack_flow *f)
{
    *(f->older ? &f->older->newer : &p->oldest) = f->newer;
    *(f->newer ? &f->newer->older : &p->newest) = f->older;
}

static void list_append(struct pack *p, struct pack_flow *f)
{
    f->newer = NULL;
    f->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = f;
    p->newest = f;
}

/* A number that was never lent, or NULL. */
static struct pack_flow *new_number(struct pack *p)
{
    unsigned chunk = p->n_flows / PACK_CHUNK;
    struct pack_flow *f;

    if (p->n_flows == PACKED_FLOWS)
        return NULL;
    if (!p->chunk[chunk])
        p->chunk[chunk] = calloc(PACK_CHUNK, sizeof(*f));
    if (!p->chunk[chunk])
        return NULL;
    f = &p->chunk[chunk][p->n_flows % PACK_CHUNK];
    f->number = (uint16_t)p->n_flows++;
    return f;
}

static void find_class(const struct pack *p, struct pack_flow *f, const struct pkt *pkt)
{
    enum drop_reason why;
    struct ip_view v;

    f->class_of = p->rules_set;
    f->class = CLASS_OTHER;
    if (!ip_view_parse(pkt->data, pkt->len, &v, &why))
        f->class = class_of(p->rules, p->from_client, &v);
}

/* A number for a flow that has none: that of a silent one, else one never lent, else, only if it
 * cannot do without, that of the one that has been silent for longest. */
static struct pack_flow *number_for_another(struct pack *p, uint64_t now_ns, bool needed)
{
    struct pack_flow *f = p->oldest, *fresh;
    bool silent = f && now_ns - f->used_ns >= PACK_FLOW_QUIET_NS;

    if (!silent) {
        fresh = new_number(p);
        if (fresh || !needed)
            return fresh;
    }
    if (!f)
        return NULL;
    list_remove(p, f);
    hmap_remove(&p->by_hash, &f->node);
    return f;
}

struct pack_flow *pack_number_of(struct pack *p, uint64_t now_ns, const struct pkt *pkt,
                                 bool needed)
{
    struct hmap_node *node = hmap_first(&p->by_hash, pkt->flow);
    struct pack_flow *f = node ? container_of(node, struct pack_flow, node) : NULL;

    if (f) {
        list_remove(p, f);
    } else {
        f = number_for_another(p, now_ns, needed);
        if (!f)
            return NULL;
        hmap_add(&p->by_hash, &f->node, pkt->flow);
        find_class(p, f, pkt);
    }
    if (f->class_of != p->rules_set)
        find_class(p, f, pkt);
    f->used_ns = now_ns;
    list_append(p, f);
    return f;
}

uint8_t pack_class_of_packet(struct pack *p, uint64_t now_ns, const struct pkt *pkt)
{
    const struct pack_flow *f = pack_number_of(p, now_ns, pkt, true);
    struct pack_flow other;

    if (f)
        return f->class;
    find_class(p, &other, pkt);
    return other.class;
}

void pack_numbers_reset(struct pack *p)
{
    for (unsigned i = 0; i < p->n_flows; i++) {
        struct pack_flow *f = &p->chunk[i / PACK_CHUNK][i % PACK_CHUNK];

        hmap_remove(&p->by_hash, &f->node);
    }
    for (unsigned i = 0; i < ARRAY_LEN(p->chunk); i++) {
        free(p->chunk[i]);
        p->chunk[i] = NULL;
    }
    p->n_flows = 0;
    p->oldest = p->newest = NULL;
}
