/* The flows that the kernel knows, by link. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/gateway_world.h"
#include "netlink/conntrack.h"
#include "wan/flows.h"

enum { SHOWN_DEFAULT = 100, PEER_MAX = IP_ADDR_STR_MAX + 8, PROTOCOL_MAX = 16 };

#define NS_PER_SECOND 1000000000ull

struct shown {
    struct flow flow;
    struct conntrack_entry entry;
};

/* All of them: the sums of each link and, behind the last, of what uses none; and some one by one.
 */
struct told {
    const struct why_world *w;
    const char *only; /* a link; NULL: all */
    unsigned max, n, room;
    struct shown *v;
    bool lost; /* for want of memory */
    unsigned n_all;
    struct flow_sum sum[GATEWAY_LINKS_MAX + 1];
};

static const char *link_name(const struct why_world *w, const struct flow *f)
{
    return f->link < 0 ? NULL : w->config->links[f->link].name;
}

static void keep(struct told *t, const struct flow *f, const struct conntrack_entry *e)
{
    unsigned room = t->room ? 2 * t->room : 64;
    struct shown *v;

    if (t->n >= t->max)
        return;
    if (t->n == t->room) {
        v = realloc(t->v, room * sizeof(*v));
        t->lost |= !v;
        if (!v)
            return;
        t->v = v;
        t->room = room;
    }
    t->v[t->n++] = (struct shown){.flow = *f, .entry = *e};
}

static void on_entry(void *user, const struct conntrack_entry *e)
{
    struct told *t = user;
    struct flow f;

    flow_find(t->w, e, &f);
    if (t->only && (f.link < 0 || strcmp(t->only, link_name(t->w, &f)) != 0))
        return;
    t->n_all++;
    flow_sum_add(&t->sum[f.link < 0 ? t->w->config->n_links : (unsigned)f.link], &f, e);
    keep(t, &f, e);
}

/* By link, those of none at the end; then by protocol. */
static int compare(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    unsigned i = (unsigned)x->flow.link, j = (unsigned)y->flow.link;

    if (i != j)
        return i < j ? -1 : 1;
    if (x->entry.orig.protocol != y->entry.orig.protocol)
        return x->entry.orig.protocol < y->entry.orig.protocol ? -1 : 1;
    return ip_addr_cmp(&x->entry.orig.src, &y->entry.orig.src);
}

/* --- words ----------------------------------------------------------------------------- */

static const char *protocol_str(uint8_t protocol, char buf[static PROTOCOL_MAX])
{
    switch (protocol) {
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
        return "icmp";
    case IPPROTO_ICMPV6:
        return "icmpv6";
    default:
        snprintf(buf, PROTOCOL_MAX, "protocol %u", protocol);
        return buf;
    }
}

static const char *peer_str(const struct ip_addr *a, uint16_t port, char buf[static PEER_MAX])
{
    char text[IP_ADDR_STR_MAX];

    ip_addr_str(a, text);
    if (port)
        snprintf(buf, PEER_MAX, a->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
    else
        snprintf(buf, PEER_MAX, "%s", text);
    return buf;
}

static const char *tcp_state(const struct conntrack_entry *e)
{
    static const char *const names[] = {
        [TCP_CONNTRACK_SYN_SENT] = "opening",   [TCP_CONNTRACK_SYN_RECV] = "opening",
        [TCP_CONNTRACK_ESTABLISHED] = "open",   [TCP_CONNTRACK_FIN_WAIT] = "closing",
        [TCP_CONNTRACK_CLOSE_WAIT] = "closing", [TCP_CONNTRACK_LAST_ACK] = "closing",
        [TCP_CONNTRACK_TIME_WAIT] = "closed",   [TCP_CONNTRACK_CLOSE] = "closed",
        [TCP_CONNTRACK_SYN_SENT2] = "opening",
    };
    const char *name = e->tcp_state < ARRAY_LEN(names) ? names[e->tcp_state] : NULL;

    return e->orig.protocol == IPPROTO_TCP ? name : NULL;
}

/* Seconds; -1: not known. */
static int64_t age_of(const struct conntrack_entry *e)
{
    int64_t age = clock_real_s() - (int64_t)(e->began_real_ns / NS_PER_SECOND);

    return !e->began_real_ns ? -1 : MAX(age, 0);
}

static bool is_source_translated(const struct conntrack_entry *e)
{
    return e->status & CONNTRACK_SRC_NAT;
}

static bool is_destination_translated(const struct conntrack_entry *e)
{
    return e->status & CONNTRACK_DST_NAT;
}

/* --- text ------------------------------------------------------------------------------ */

static void print_flow(const struct why_world *w, const struct shown *s)
{
    const struct conntrack_entry *e = &s->entry;
    char protocol[PROTOCOL_MAX], src[PEER_MAX], dst[PEER_MAX];
    const char *link = link_name(w, &s->flow), *state = tcp_state(e);

    printf("%s %s %s -> %s", link ? link : "-", protocol_str(e->orig.protocol, protocol),
           peer_str(&e->orig.src, e->orig.src_port, src),
           peer_str(&e->orig.dst, e->orig.dst_port, dst));
    if (is_source_translated(e))
        printf(", as %s", peer_str(&e->reply.dst, e->reply.dst_port, src));
    if (is_destination_translated(e))
        printf(", to %s", peer_str(&e->reply.src, e->reply.src_port, dst));
    if (s->flow.policy)
        printf(", policy of %s", s->flow.policy->ingress);
    printf("%s%s", s->flow.inbound ? ", inbound" : "", s->flow.here ? ", here" : "");
    if (state)
        printf(", %s", state);
    if (!(e->status & CONNTRACK_SEEN_REPLY))
        printf(", unanswered");
    if (age_of(e) >= 0)
        printf(", since %" PRId64 " s", age_of(e));
    if (e->has_counts)
        printf(", sent %" PRIu64 " bytes, received %" PRIu64, e->sent.bytes, e->received.bytes);
    printf(", for %u s\n", e->timeout_s);
}

static void print_sum(const char *name, const struct flow_sum *s)
{
    printf("%s: %u flows, %u answered, %u inbound, %u translated", name, s->flows, s->answered,
           s->inbound, s->translated);
    if (s->has_counts)
        printf("; sent %" PRIu64 " packets, %" PRIu64 " bytes; received %" PRIu64
               " packets, %" PRIu64 " bytes",
               s->sent.packets, s->sent.bytes, s->received.packets, s->received.bytes);
    printf("\n");
}

static enum exit_code print_text(const struct told *t)
{
    const struct gateway_config *c = t->w->config;

    for (unsigned i = 0; i < t->n; i++)
        print_flow(t->w, &t->v[i]);
    if (t->n < t->n_all)
        printf("... %u more\n", t->n_all - t->n);
    for (unsigned i = 0; i <= c->n_links; i++) {
        const char *name = i < c->n_links ? c->links[i].name : "without a link";

        if (t->only ? !strcmp(t->only, name) : i < c->n_links || t->sum[i].flows)
            print_sum(name, &t->sum[i]);
    }
    return EXIT_CODE_OK;
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_t *count_json(bool known, const struct conntrack_count *c)
{
    if (!known)
        return json_null();
    return json_pack("{s:I, s:I}", "packets", (json_int_t)c->packets, "bytes",
                     (json_int_t)c->bytes);
}

static json_t *peer_json(const struct ip_addr *a, uint16_t port)
{
    char text[IP_ADDR_STR_MAX];

    return json_pack("{s:s, s:i}", "address", ip_addr_str(a, text), "port", (int)port);
}

static json_t *flow_json(const struct why_world *w, const struct shown *s)
{
    const struct conntrack_entry *e = &s->entry;
    bool to = is_destination_translated(e), as = is_source_translated(e);
    char protocol[PROTOCOL_MAX];
    int64_t age = age_of(e);

    return json_pack(
        "{s:s?, s:s, s:s?, s:b, s:b, s:s, s:o, s:o, s:o, s:o, s:s?, s:b, s:I, s:o, s:o, s:o, s:I}",
        "link", link_name(w, &s->flow), "known_by", flow_how_name(s->flow.how), "policy",
        s->flow.policy ? s->flow.policy->ingress : NULL, "inbound", s->flow.inbound, "here",
        s->flow.here, "protocol", protocol_str(e->orig.protocol, protocol), "source",
        peer_json(&e->orig.src, e->orig.src_port), "destination",
        peer_json(&e->orig.dst, e->orig.dst_port), "source_as",
        as ? peer_json(&e->reply.dst, e->reply.dst_port) : json_null(), "destination_as",
        to ? peer_json(&e->reply.src, e->reply.src_port) : json_null(), "state", tcp_state(e),
        "answered", (e->status & CONNTRACK_SEEN_REPLY) != 0, "mark", (json_int_t)e->mark,
        "age_seconds", age < 0 ? json_null() : json_integer(age), "sent",
        count_json(e->has_counts, &e->sent), "received", count_json(e->has_counts, &e->received),
        "timeout_seconds", (json_int_t)e->timeout_s);
}

static json_t *sum_json(const char *name, const struct flow_sum *s)
{
    return json_pack("{s:s?, s:i, s:i, s:i, s:i, s:i, s:o, s:o}", "link", name, "flows",
                     (int)s->flows, "answered", (int)s->answered, "inbound", (int)s->inbound,
                     "here", (int)s->here, "translated", (int)s->translated, "sent",
                     count_json(s->has_counts, &s->sent), "received",
                     count_json(s->has_counts, &s->received));
}

static enum exit_code print_json(const struct told *t)
{
    const struct gateway_config *c = t->w->config;
    json_t *links = json_array(), *flows = json_array();

    for (unsigned i = 0; i < t->n; i++)
        json_array_append_new(flows, flow_json(t->w, &t->v[i]));
    for (unsigned i = 0; i <= c->n_links; i++) {
        const char *name = i < c->n_links ? c->links[i].name : NULL;

        if (!t->only || (name && !strcmp(t->only, name)))
            json_array_append_new(links, sum_json(name, &t->sum[i]));
    }
    return gatewaycli_print_json(json_pack("{s:i, s:i, s:o, s:o}", "flows_total", (int)t->n_all,
                                           "flows_shown", (int)t->n, "links", links, "flows",
                                           flows));
}

/* --- the verb -------------------------------------------------------------------------- */

static enum exit_code fail(int rv)
{
    fprintf(stderr, "mpquic gateway flows: the table of connections: %s\n", strerror(-rv));
    return EXIT_CODE_START;
}

static enum exit_code tell(struct conntrack *ct, const struct gatewaycli *v, struct told *t)
{
    int rv = conntrack_each(ct, NULL, on_entry, t);

    if (!rv && t->lost)
        rv = -ENOMEM;
    if (rv)
        return fail(rv);
    if (t->n)
        qsort(t->v, t->n, sizeof(*t->v), compare);
    return v->json ? print_json(t) : print_text(t);
}

struct of_link {
    const struct why_world *w;
    int link;
};

static bool is_of_link(void *user, const struct conntrack_entry *e)
{
    const struct of_link *o = user;
    struct flow f;

    flow_find(o->w, e, &f);
    return f.link == o->link;
}

static enum exit_code flush(struct conntrack *ct, const struct gatewaycli *v,
                            const struct why_world *w)
{
    struct of_link of = {w, gateway_config_link(w->config, v->link)};
    struct conntrack_filter f = {.also = is_of_link, .user = &of};
    unsigned n = 0;
    int rv = conntrack_flush(ct, &f, &n);

    if (rv)
        return fail(rv);
    if (v->json)
        return gatewaycli_print_json(
            json_pack("{s:s, s:i}", "link", v->link, "flows_deleted", (int)n));
    printf("%s: %u flows deleted\n", v->link, n);
    return EXIT_CODE_OK;
}

static enum exit_code look(const struct gateway *g, const struct gatewaycli *v)
{
    struct gateway_world w;
    struct told *t = calloc(1, sizeof(*t));
    struct conntrack *ct = NULL;
    enum exit_code code = EXIT_CODE_START;
    int rv = gateway_world_read(g, &w);

    if (!rv)
        rv = t ? conntrack_open(&ct) : -ENOMEM;
    if (rv) {
        fprintf(stderr, "mpquic gateway flows: cannot read the kernel: %s\n", strerror(-rv));
    } else if (v->flush) {
        code = flush(ct, v, &w.why);
    } else {
        t->w = &w.why;
        t->only = v->link;
        t->max = v->limit ? v->limit : SHOWN_DEFAULT;
        code = tell(ct, v, t);
    }
    conntrack_close(ct);
    gateway_world_done(&w);
    if (t)
        free(t->v);
    free(t);
    return code;
}

static int run(int argc, char **argv)
{
    const struct cli_verb *verb = &cli_gateway_flows;
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(verb, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.flush && !v.link)
        return cli_usage_error(verb, "--flush needs --link");
    if (v.link && gateway_config_link(v.config, v.link) < 0)
        return cli_usage_error(verb, "%s has no link '%s'", v.file, v.link);
    g = gatewaycli_open(verb, v.config);
    code = g ? gatewaycli_look(verb, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = look(g, &v);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'l', "link", "LINK", "The flows of this link alone.", false},
    {'n', "limit", "N", "At most so many flows one by one; without it 100. The sums are of all.",
     false},
    {'F', "flush", NULL, "Delete the flows of the link: their next packets begin new ones.", false},
    {'j', "json", NULL, "Print JSON.", false},
    {0},
};

const struct cli_verb cli_gateway_flows = {
    .name = "gateway flows",
    .summary = "tell which flows use which link, or end those of a link",
    .args = "",
    .text =
        "Prints the flows that the kernel tracks, with link, translation and the policy of the "
        "interface behind which they begin, and the sums of each link. The link is that whose mark "
        "the flow bears, else that whose "
        "interface has one of the addresses of the flow; where none has, the one that the policy "
        "leads to now. Ages and bytes are there while the settings "
        "net.netfilter.nf_conntrack_timestamp and nf_conntrack_acct are on. Nothing is tracked "
        "where neither this gateway nor anybody else has a rule of nftables that needs it.",
    .options = options,
    .run = run,
};
