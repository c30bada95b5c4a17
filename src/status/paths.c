/* Paths as a table: those of a client, with what each has gone through, and those of a peer. */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "status/status.h"

enum { CELL_MAX = 160 };

/* One row: a path, and what it was in an earlier snapshot, with the seconds in between. */
struct row {
    const struct status_path *path, *before; /* before: NULL when there is none */
    double seconds;
    uint64_t all_bytes; /* of all paths, both ways, in that time */
    bool several;       /* there are others */
};

static uint64_t since(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now; /* less than before: it was counted anew */
}

static uint64_t sent_bytes(const struct row *r)
{
    return since(r->path->quic.udp.tx_bytes, r->before ? r->before->quic.udp.tx_bytes : 0);
}

static uint64_t received_bytes(const struct row *r)
{
    return since(r->path->quic.udp.rx_bytes, r->before ? r->before->quic.udp.rx_bytes : 0);
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static void put_rate(double bps, char *buf)
{
    if (bps >= 1e9)
        snprintf(buf, CELL_MAX, "%.2f Gbit/s", bps / 1e9);
    else if (bps >= 1e6)
        snprintf(buf, CELL_MAX, "%.1f Mbit/s", bps / 1e6);
    else
        snprintf(buf, CELL_MAX, "%.0f kbit/s", bps / 1e3);
}

static void put_bytes(const struct row *r, uint64_t bytes, char *buf)
{
    if (r->before && r->seconds > 0)
        put_rate((double)bytes * 8 / r->seconds, buf);
    else
        status_bytes_str(bytes, buf);
}

/* --- cells ----------------------------------------------------------------------------- */

static void cell_name(const struct row *r, char *buf)
{
    if (*r->path->name)
        snprintf(buf, CELL_MAX, "%s", r->path->name);
    else if (r->several)
        snprintf(buf, CELL_MAX, "%llu", (unsigned long long)r->path->number);
}

static void cell_state(const struct row *r, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", r->path->state);
}

static void cell_for(const struct row *r, char *buf)
{
    status_duration_str(r->path->state_age_s, buf);
}

static void cell_used(const struct row *r, char *buf)
{
    snprintf(buf, CELL_MAX, "%s", r->path->in_use ? "yes" : "");
}

/* Of a peer it is known where it comes from. */
static void cell_interface(const struct row *r, char *buf)
{
    const struct status_path *p = r->path;

    snprintf(buf, CELL_MAX, "%s", *p->interface ? p->interface : *p->local ? p->local : p->remote);
}

static void cell_lanes(const struct row *r, char *buf)
{
    if (r->path->lanes)
        snprintf(buf, CELL_MAX, "%llu", (unsigned long long)r->path->lanes);
}

static void cell_rtt(const struct row *r, char *buf)
{
    if (r->path->lanes)
        snprintf(buf, CELL_MAX, "%.1f ms", ms(r->path->quic.rtt_smoothed_us));
}

static void cell_min(const struct row *r, char *buf)
{
    if (r->path->lanes)
        snprintf(buf, CELL_MAX, "%.1f", ms(r->path->quic.rtt_min_us));
}

static void cell_jitter(const struct row *r, char *buf)
{
    if (r->path->lanes)
        snprintf(buf, CELL_MAX, "%.1f", ms(r->path->quic.rtt_variance_us));
}

static void cell_delay(const struct row *r, char *buf)
{
    if (r->path->extra_delay_us)
        snprintf(buf, CELL_MAX, "+%.1f ms", ms(r->path->extra_delay_us));
}

static void cell_lost(const struct row *r, char *buf)
{
    const struct status_quic *q = &r->path->quic, *was = r->before ? &r->before->quic : NULL;
    uint64_t sent = since(q->datagrams_tx, was ? was->datagrams_tx : 0);
    uint64_t lost = since(q->datagrams_lost, was ? was->datagrams_lost : 0);

    if (r->path->lanes && sent)
        snprintf(buf, CELL_MAX, "%.2f %%", 100 * (double)MIN(lost, sent) / (double)sent);
}

static void cell_reordered(const struct row *r, char *buf)
{
    const struct status_order *o = &r->path->order, *was = r->before ? &r->before->order : NULL;
    uint64_t units = since(o->units, was ? was->units : 0);
    uint64_t n = since(o->reordered, was ? was->reordered : 0);

    if (r->path->lanes && n && units)
        snprintf(buf, CELL_MAX, "%.2f %%", 100 * (double)MIN(n, units) / (double)units);
}

/* Of all units, those too that did not wait. */
static void cell_resequencing(const struct row *r, char *buf)
{
    const struct status_order *o = &r->path->order, *was = r->before ? &r->before->order : NULL;
    uint64_t units = since(o->units, was ? was->units : 0);
    uint64_t us = since(o->wait_us, was ? was->wait_us : 0);

    if (r->path->lanes && us && units)
        snprintf(buf, CELL_MAX, "%.2f ms", ms(us) / (double)units);
}

static void cell_rate(const struct row *r, char *buf)
{
    if (r->path->rate_bps)
        put_rate((double)r->path->rate_bps, buf);
}

static void cell_in(const struct row *r, char *buf)
{
    put_bytes(r, received_bytes(r), buf);
}

static void cell_out(const struct row *r, char *buf)
{
    put_bytes(r, sent_bytes(r), buf);
}

static void cell_share(const struct row *r, char *buf)
{
    if (r->all_bytes)
        snprintf(buf, CELL_MAX, "%.0f %%",
                 100 * (double)(sent_bytes(r) + received_bytes(r)) / (double)r->all_bytes);
}

static void cell_reason(const struct row *r, char *buf)
{
    snprintf(buf, CELL_MAX, "%.150s", r->path->reason);
}

static const struct column {
    const char *title;
    void (*cell)(const struct row *r, char *buf); /* CELL_MAX bytes, holds "" */
    bool right;
    bool seldom; /* left out when no path has it */
} columns[] = {
    {"PATH", cell_name, false, true},
    {"STATE", cell_state, false},
    {"FOR", cell_for, true},
    {"USED", cell_used, false},
    {"OVER", cell_interface, false},
    {"LANES", cell_lanes, true},
    {"RTT", cell_rtt, true},
    {"MIN", cell_min, true},
    {"JITTER", cell_jitter, true},
    {"DELAY", cell_delay, true, true},
    {"LOST", cell_lost, true},
    {"REORDERED", cell_reordered, true, true},
    {"RESEQUENCING", cell_resequencing, true, true},
    {"RATE", cell_rate, true, true},
    {"IN", cell_in, true},
    {"OUT", cell_out, true},
    {"SHARE", cell_share, true},
    {"REASON", cell_reason, false, true},
};

static void fill_cell(const struct column *c, const struct row *r, char buf[CELL_MAX])
{
    buf[0] = 0;
    c->cell(r, buf);
    if (!*buf)
        snprintf(buf, CELL_MAX, "-");
}

/* --- table ----------------------------------------------------------------------------- */

/* The paths of one session, and what they were before. */
struct table {
    const struct status_path *v, *before;
    size_t n, n_before;
    double seconds;
    uint64_t all_bytes;
    unsigned indent;
};

/* The same path: one that has been made anew under its name has another number. */
static const struct status_path *path_before(const struct table *t, const struct status_path *p)
{
    for (size_t i = 0; i < t->n_before; i++)
        if (!strcmp(t->before[i].name, p->name) && t->before[i].number == p->number)
            return &t->before[i];
    return NULL;
}

static struct row row_of(const struct table *t, size_t i)
{
    return (struct row){.path = &t->v[i],
                        .before = path_before(t, &t->v[i]),
                        .seconds = t->seconds,
                        .all_bytes = t->all_bytes,
                        .several = t->n > 1};
}

static uint64_t bytes_of_all(const struct table *t)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < t->n; i++) {
        struct row r = row_of(t, i);

        sum += sent_bytes(&r) + received_bytes(&r);
    }
    return sum;
}

/* The last column is not padded; one that is to be left out has width 0. */
static void write_cell(FILE *out, const struct column *c, const char *text, size_t width)
{
    bool last = c == &columns[ARRAY_LEN(columns) - 1];

    if (width)
        fprintf(out, c->right ? "  %*s" : "  %-*s", last ? 0 : (int)width, text);
}

static void measure(const struct table *t, size_t width[ARRAY_LEN(columns)])
{
    char buf[CELL_MAX];

    for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
        bool any = !columns[k].seldom;

        width[k] = strlen(columns[k].title);
        for (size_t i = 0; i < t->n; i++) {
            struct row r = row_of(t, i);

            fill_cell(&columns[k], &r, buf);
            any |= strcmp(buf, "-") != 0;
            width[k] = MAX(width[k], strlen(buf));
        }
        width[k] = any ? width[k] : 0;
    }
}

static void write_table(struct table *t, FILE *out)
{
    size_t width[ARRAY_LEN(columns)];
    char buf[CELL_MAX];

    t->all_bytes = bytes_of_all(t);
    measure(t, width);
    fprintf(out, "%*s", (int)t->indent, "");
    for (size_t k = 0; k < ARRAY_LEN(columns); k++)
        write_cell(out, &columns[k], columns[k].title, width[k]);
    fputc('\n', out);
    for (size_t i = 0; i < t->n; i++) {
        struct row r = row_of(t, i);

        fprintf(out, "%*s", (int)t->indent, "");
        for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
            fill_cell(&columns[k], &r, buf);
            write_cell(out, &columns[k], buf, width[k]);
        }
        fputc('\n', out);
    }
}

static void write_history(const struct status_path *p, FILE *out)
{
    char when[STATUS_WORD_MAX], age[STATUS_WORD_MAX];

    for (size_t i = 0; i < MIN(p->n_history, (size_t)STATUS_PATH_STEPS); i++) {
        const struct status_step *step = &p->history[i];

        fprintf(out, "    %s  %6s ago  path%s%s: %s%s%s\n", status_time_str(step->time_s, when),
                status_duration_str(step->age_s, age), *p->name ? " " : "", p->name, step->state,
                *step->reason ? ": " : "", step->reason);
    }
}

void status_write_paths(const struct status *s, const struct status *before, uint64_t ago_ns,
                        FILE *out)
{
    struct table t = {.v = s->paths,
                      .n = s->n_paths,
                      .before = before ? before->paths : NULL,
                      .n_before = before ? before->n_paths : 0,
                      .seconds = (double)ago_ns / NS_PER_S};
    char age[STATUS_WORD_MAX];

    fprintf(out, "%s: %s%s%s for %s%s%s\n", s->instance, s->state, *s->reason ? ": " : "",
            s->reason, status_duration_str(s->state_age_s, age), *s->treatment ? "; policy: " : "",
            s->treatment);
    if (s->n_paths)
        write_table(&t, out);
    for (size_t i = 0; i < s->n_paths; i++)
        write_history(&s->paths[i], out);
}

void status_write_peer_paths(const struct status *s, size_t n, unsigned indent, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct status_peer *p = &s->peers[i];
        struct table t = {.v = p->paths, .n = p->n_paths, .indent = indent};

        if (p->n_paths < 2)
            continue;
        fprintf(out, "%*spaths of %s%s%s:\n", (int)indent, "", p->name, *p->instance ? "/" : "",
                p->instance);
        write_table(&t, out);
    }
}

void status_share_paths(struct status_path *v, size_t n)
{
    uint64_t all = 0;

    for (size_t i = 0; i < n; i++)
        all += v[i].quic.udp.rx_bytes + v[i].quic.udp.tx_bytes;
    for (size_t i = 0; i < n; i++) {
        double bytes = (double)(v[i].quic.udp.rx_bytes + v[i].quic.udp.tx_bytes);

        v[i].share_percent = all ? (uint64_t)(100 * bytes / (double)all + 0.5) : 0;
    }
}
