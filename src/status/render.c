/* The status for people: one fact a line, aligned. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/util.h"
#include "status/missing.h"
#include "status/status.h"

enum { LABEL_WIDTH = 14, LIST_MAX = 512, CELL_MAX = 160 };

static void label(FILE *out, unsigned indent, const char *name)
{
    fprintf(out, "%*s%-*s", (int)indent, "", LABEL_WIDTH - (int)indent + 2, name);
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* "a, b and 3 more" in at most size bytes. */
static void join(const struct status_strings *l, const char *separator, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (size_t i = 0; i < l->n; i++) {
        size_t need = strlen(l->v[i]) + (i ? strlen(separator) : 0);

        if (used + need + sizeof(" and 65536 more") > size) {
            snprintf(buf + used, size - used, " and %zu more", l->n - i);
            return;
        }
        used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? separator : "", l->v[i]);
    }
}

static void write_list(FILE *out, unsigned indent, const char *name, const struct status_strings *l)
{
    char buf[LIST_MAX];

    if (!l->n)
        return;
    join(l, ", ", buf, sizeof(buf));
    label(out, indent, name);
    fprintf(out, "%s\n", buf);
}

static void write_counts(FILE *out, unsigned indent, const char *name,
                         const struct status_counts *c)
{
    char in[STATUS_WORD_MAX], sent[STATUS_WORD_MAX];

    label(out, indent, name);
    fprintf(out, "in %llu packet%s (%s), out %llu packet%s (%s)\n",
            (unsigned long long)c->rx_packets, plural(c->rx_packets),
            status_bytes_str(c->rx_bytes, in), (unsigned long long)c->tx_packets,
            plural(c->tx_packets), status_bytes_str(c->tx_bytes, sent));
}

static void write_head(const struct status *s, FILE *out)
{
    char age[STATUS_WORD_MAX], uptime[STATUS_WORD_MAX], down[STATUS_WORD_MAX];
    bool longer = s->down_since_s && s->down_s > s->state_age_s;

    fprintf(out, "%s: %s%s%s for %s%s%s (%s, mpquic %s, pid %llu, running for %s)\n", s->instance,
            s->state, *s->reason ? ": " : "", s->reason, status_duration_str(s->state_age_s, age),
            longer ? ", down for " : "", longer ? status_duration_str(s->down_s, down) : "",
            s->role, s->version, (unsigned long long)s->pid,
            status_duration_str(s->uptime_s, uptime));
    for (size_t i = 0; i < s->warnings.n; i++) {
        label(out, 2, "warning");
        fprintf(out, "%s\n", s->warnings.v[i]);
    }
}

static void write_cert(FILE *out, unsigned indent, const struct status_cert *c)
{
    char until[STATUS_WORD_MAX];

    if (!c->present)
        return;
    label(out, indent, "certificate");
    fprintf(out, "%s, ", c->subject);
    if (c->days_left < 0)
        fprintf(out, "expired at %s\n", status_time_str(c->not_after_s, until));
    else if (!c->days_left)
        fprintf(out, "until %s (less than a day)\n", status_time_str(c->not_after_s, until));
    else
        fprintf(out, "until %s (%lld day%s)\n", status_time_str(c->not_after_s, until),
                (long long)c->days_left, plural((uint64_t)c->days_left));
}

/* "203.0.113.1" of "203.0.113.1:45001", "2001:db8::1" of "[2001:db8::1]:45001". */
static void without_port(const char *address, char *buf, size_t size)
{
    size_t n = strlen(address), bracket = *address == '[';
    const char *colon = strrchr(address, ':');

    if (colon)
        n = (size_t)(colon - address);
    n = n > 2 * bracket ? n - 2 * bracket : 0;
    snprintf(buf, size, "%.*s", (int)n, address + bracket);
}

/* Host, address and name of the certificate: each only if it is not the one before. */
static void write_server(const struct status_server *v, FILE *out)
{
    char address[STATUS_ADDR_MAX];
    struct ip_addr ip;

    if (!v->present)
        return;
    label(out, 2, "server");
    fprintf(out, "%s port %u", v->host, (unsigned)v->port);
    without_port(v->address, address, sizeof(address));
    if (*address && ip_addr_parse(v->host, &ip))
        fprintf(out, " at %s", address);
    if (*v->name && strcmp(v->name, v->host) != 0 && strcmp(v->name, address) != 0)
        fprintf(out, ", %s", v->name);
    fputc('\n', out);
    write_cert(out, 4, &v->certificate);
}

static void write_tunnel(const struct status_tunnel *t, FILE *out)
{
    label(out, 2, "tunnel");
    fprintf(out, "%s, MTU %llu%s\n", t->interface, (unsigned long long)t->mtu_bytes,
            t->mtu_automatic ? " (follows the path)" : "");
    if (!t->exists)
        fprintf(out, "    deleted by somebody else, it will be made anew\n");
    if (t->repairs) {
        label(out, 4, "repairs");
        fprintf(out, "%llu\n", (unsigned long long)t->repairs);
    }
    write_list(out, 4, "addresses", &t->addresses);
    write_list(out, 4, "assigned", &t->assigned);
}

static const char *both(bool a, bool b, const char *name_a, const char *name_b,
                        char buf[static STATUS_WORD_MAX])
{
    snprintf(buf, STATUS_WORD_MAX, "%s%s%s", a ? name_a : "", a && b ? ", " : "", b ? name_b : "");
    return *buf ? buf : "none";
}

static void write_offloads(const struct status_offloads *v, FILE *out)
{
    char tun[STATUS_WORD_MAX], udp[STATUS_WORD_MAX];

    label(out, 2, "offloads");
    fprintf(out, "TUN %s; UDP %s\n", both(v->tun_tso, v->tun_uso, "TSO", "USO", tun),
            both(v->udp_gso, v->udp_gro, "GSO", "GRO", udp));
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

static void write_lanes(const struct status_path *p, FILE *out)
{
    char a[STATUS_WORD_MAX], b[STATUS_WORD_MAX];

    label(out, 4, "last heard");
    fprintf(out, "%s ago\n", status_duration_str(p->quic.heard_s, a));
    label(out, 4, "RTT");
    fprintf(out, "%.1f ms (latest %.1f, min %.1f, variance %.1f)\n", ms(p->quic.rtt_smoothed_us),
            ms(p->quic.rtt_latest_us), ms(p->quic.rtt_min_us), ms(p->quic.rtt_variance_us));
    label(out, 4, "window");
    fprintf(out, "%s, %s in flight\n", status_bytes_str(p->quic.cwnd_bytes, a),
            status_bytes_str(p->quic.in_flight_bytes, b));
    label(out, 4, "path MTU");
    fprintf(out, "UDP payload %s%llu B, packets %s%llu B\n", p->mtu_known ? "" : "at least ",
            (unsigned long long)p->udp_payload_bytes, p->mtu_known ? "" : "at least ",
            (unsigned long long)p->packet_max_bytes);
    write_counts(out, 4, "UDP", &p->quic.udp);
    label(out, 4, "datagrams");
    fprintf(out, "%llu sent, %llu acknowledged, %llu lost (%.2f %%), %llu received\n",
            (unsigned long long)p->quic.datagrams_tx, (unsigned long long)p->quic.datagrams_acked,
            (unsigned long long)p->quic.datagrams_lost,
            share(p->quic.datagrams_lost, p->quic.datagrams_tx),
            (unsigned long long)p->quic.datagrams_rx);
}

/* Of one of several paths. */
static void write_path_state(const struct status_path *p, FILE *out)
{
    char age[STATUS_WORD_MAX];

    label(out, 4, "state");
    fprintf(out, "%s%s%s for %s%s\n", p->state, *p->reason ? ": " : "", p->reason,
            status_duration_str(p->state_age_s, age), p->in_use ? ", in use" : "");
}

static void write_path(const struct status_path *p, FILE *out)
{
    label(out, 2, "path");
    fprintf(out, "%s%s%s", p->name, *p->name ? ": " : "", *p->local ? p->local : "no address");
    if (*p->interface)
        fprintf(out, " on %s", p->interface);
    fprintf(out, " to %s, %llu lane%s", *p->remote ? p->remote : "no address",
            (unsigned long long)p->lanes, plural(p->lanes));
    if (p->lanes_wanted && p->lanes_wanted != p->lanes)
        fprintf(out, " (%llu wanted)", (unsigned long long)p->lanes_wanted);
    fputc('\n', out);
    if (*p->name)
        write_path_state(p, out);
    if (p->lanes)
        write_lanes(p, out);
}

static void write_drops(const struct drop_counters *c, FILE *out)
{
    bool any = false;

    for (int i = 0; i < DROP_COUNT; i++) {
        if (!c->n[i])
            continue;
        if (!any)
            label(out, 2, "drops");
        fprintf(out, "%s%s %llu", any ? ", " : "", drop_name(i), (unsigned long long)c->n[i]);
        any = true;
    }
    if (any)
        fputc('\n', out);
}

static void write_handshakes(const struct status_handshakes *h, FILE *out)
{
    label(out, 2, "handshakes");
    fprintf(out, "%llu begun, %llu completed, %llu failed", (unsigned long long)h->begun,
            (unsigned long long)h->completed, (unsigned long long)h->failed);
    if (h->retried)
        fprintf(out, ", %llu retried", (unsigned long long)h->retried);
    if (h->refused)
        fprintf(out, ", %llu refused", (unsigned long long)h->refused);
    if (h->junk)
        fprintf(out, ", %llu junk", (unsigned long long)h->junk);
    fputc('\n', out);
}

static void write_last_error(const struct status_error *e, FILE *out)
{
    char when[STATUS_WORD_MAX], age[STATUS_WORD_MAX];

    if (!e->present)
        return;
    label(out, 2, "last error");
    fprintf(out, "%s (%s ago): %s\n", status_time_str(e->time_s, when),
            status_duration_str(e->age_s, age), e->text);
}

/* --- peers ----------------------------------------------------------------------------- */

static void cell_name(const struct status_peer *p, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", p->name);
}

static void cell_instance(const struct status_peer *p, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", p->instance);
}

static void cell_remote(const struct status_peer *p, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", p->remote);
}

static void cell_addresses(const struct status_peer *p, char *buf)
{
    join(&p->addresses, ",", buf, CELL_MAX);
}

static void cell_prefixes(const struct status_peer *p, char *buf)
{
    join(&p->prefixes, ",", buf, CELL_MAX);
}

static void cell_learned(const struct status_peer *p, char *buf)
{
    if (p->learned_total)
        snprintf(buf, CELL_MAX, "%llu", (unsigned long long)p->learned_total);
}

static void cell_since(const struct status_peer *p, char *buf)
{
    status_duration_str(p->age_s, buf);
}

static void cell_heard(const struct status_peer *p, char *buf)
{
    uint64_t least_s = UINT64_MAX;

    for (size_t i = 0; i < p->n_paths; i++)
        if (p->paths[i].lanes)
            least_s = MIN(least_s, p->paths[i].quic.heard_s);
    if (least_s != UINT64_MAX)
        status_duration_str(least_s, buf);
}

static void cell_paths(const struct status_peer *p, char *buf)
{
    if (p->n_paths > 1)
        snprintf(buf, CELL_MAX, "%zu", p->n_paths);
}

static void cell_lanes(const struct status_peer *p, char *buf)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->n_paths; i++)
        n += p->paths[i].lanes;
    if (n)
        snprintf(buf, CELL_MAX, "%llu", (unsigned long long)n);
}

static void cell_bad(const struct status_peer *p, char *buf)
{
    if (p->bad_sources)
        snprintf(buf, CELL_MAX, "%llu", (unsigned long long)p->bad_sources);
}

/* Of the fastest path that works. */
static void cell_rtt(const struct status_peer *p, char *buf)
{
    const struct status_path *best = NULL;

    for (size_t i = 0; i < p->n_paths; i++) {
        const struct status_path *at = &p->paths[i];

        if (at->lanes && strcmp(at->state, "suspect") != 0 &&
            (!best || at->quic.rtt_smoothed_us < best->quic.rtt_smoothed_us))
            best = at;
    }
    if (best)
        snprintf(buf, CELL_MAX, "%.1f ms", ms(best->quic.rtt_smoothed_us));
}

static void cell_in(const struct status_peer *p, char *buf)
{
    status_bytes_str(p->traffic.rx_bytes, buf);
}

static void cell_out(const struct status_peer *p, char *buf)
{
    status_bytes_str(p->traffic.tx_bytes, buf);
}

static void cell_lost(const struct status_peer *p, char *buf)
{
    uint64_t lost = 0, sent = 0, lanes = 0;

    for (size_t i = 0; i < p->n_paths; i++) {
        lost += p->paths[i].quic.datagrams_lost;
        sent += p->paths[i].quic.datagrams_tx;
        lanes += p->paths[i].lanes;
    }
    if (lanes)
        snprintf(buf, CELL_MAX, "%.2f %%", share(lost, sent));
}

static const struct column {
    const char *title;
    void (*cell)(const struct status_peer *p, char *buf); /* CELL_MAX bytes, holds "" */
    bool right;
    bool seldom; /* left out when no peer has it */
} columns[] = {
    {"NAME", cell_name, false},
    {"INSTANCE", cell_instance, false},
    {"REMOTE", cell_remote, false},
    {"ADDRESSES", cell_addresses, false},
    {"PREFIXES", cell_prefixes, false},
    {"LEARNED", cell_learned, true},
    {"CONNECTED", cell_since, true},
    {"HEARD", cell_heard, true},
    {"PATHS", cell_paths, true, true},
    {"LANES", cell_lanes, true},
    {"RTT", cell_rtt, true},
    {"IN", cell_in, true},
    {"OUT", cell_out, true},
    {"LOST", cell_lost, true},
    {"BADSRC", cell_bad, true, true},
};

static void fill_cell(const struct column *c, const struct status_peer *p, char buf[CELL_MAX])
{
    buf[0] = 0;
    c->cell(p, buf);
    if (!*buf)
        snprintf(buf, CELL_MAX, "-");
}

/* A column that is to be left out has width 0. */
static void write_cell(FILE *out, const struct column *c, const char *text, size_t width)
{
    if (width)
        fprintf(out, c->right ? "%s%*s" : "%s%-*s", c == columns ? "" : "  ", (int)width, text);
}

/* The first n peers as a table. */
static void write_table(const struct status *s, size_t n, unsigned indent, FILE *out)
{
    size_t width[ARRAY_LEN(columns)];
    char buf[CELL_MAX];

    for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
        bool any = !columns[k].seldom;

        width[k] = strlen(columns[k].title);
        for (size_t i = 0; i < n; i++) {
            fill_cell(&columns[k], &s->peers[i], buf);
            any |= strcmp(buf, "-") != 0;
            width[k] = MAX(width[k], strlen(buf));
        }
        width[k] = any ? width[k] : 0;
    }
    fprintf(out, "%*s", (int)indent, "");
    for (size_t k = 0; k < ARRAY_LEN(columns); k++)
        write_cell(out, &columns[k], columns[k].title, width[k]);
    fputc('\n', out);
    for (size_t i = 0; i < n; i++) {
        fprintf(out, "%*s", (int)indent, "");
        for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
            fill_cell(&columns[k], &s->peers[i], buf);
            write_cell(out, &columns[k], buf, width[k]);
        }
        fputc('\n', out);
    }
}

static void write_peer_summary(const struct status *s, FILE *out)
{
    size_t n = MIN(s->n_peers, STATUS_TEXT_PEERS);

    label(out, 2, "peers");
    fprintf(out, "%llu up", (unsigned long long)s->n_peers_up);
    if (s->n_absent)
        fprintf(out, ", %zu absent: mpquic peers %s", s->n_absent, s->instance);
    fputc('\n', out);
    if (n)
        write_table(s, n, 4, out);
    status_write_peer_paths(s, n, 4, out);
    if (n < s->n_peers)
        fprintf(out, "    and %zu more: mpquic peers %s\n", s->n_peers - n, s->instance);
}

void status_write_peers(const struct status *s, FILE *out)
{
    fprintf(out, "%s: %llu peer%s up\n", s->instance, (unsigned long long)s->n_peers_up,
            plural(s->n_peers_up));
    if (s->n_peers)
        write_table(s, s->n_peers, 2, out);
    status_write_peer_paths(s, s->n_peers, 2, out);
    if (s->n_peers < s->n_peers_up)
        fprintf(out, "  and %llu more, too many for one answer\n",
                (unsigned long long)(s->n_peers_up - s->n_peers));
    if (s->n_absent)
        missing_write(s, 2, out);
}

void status_write_text(const struct status *s, FILE *out)
{
    char used[STATUS_WORD_MAX], bound[STATUS_WORD_MAX];

    write_head(s, out);
    write_list(out, 2, "listening on", &s->listen);
    write_server(&s->server, out);
    write_tunnel(&s->tunnel, out);
    write_offloads(&s->offloads, out);
    write_counts(out, 2, "traffic", &s->traffic);
    label(out, 2, "queue");
    fprintf(out, "%llu packet%s, %s of %s\n", (unsigned long long)s->queue.packets,
            plural(s->queue.packets), status_bytes_str(s->queue.bytes, used),
            status_bytes_str(s->queue.max_bytes, bound));
    if (*s->treatment) {
        label(out, 2, "policy");
        fprintf(out, "%s\n", s->treatment);
    }
    for (size_t i = 0; i < s->n_paths; i++)
        write_path(&s->paths[i], out);
    if (!strcmp(s->role, "server"))
        write_peer_summary(s, out);
    write_drops(&s->drops, out);
    write_handshakes(&s->handshakes, out);
    if (*s->aead) {
        label(out, 2, "AEAD");
        fprintf(out, "%s\n", s->aead);
    }
    write_cert(out, 2, &s->certificate);
    write_last_error(&s->last_error, out);
}
