/* Where the entry goes: a file without peers gets them at its end; in one with peers the entry
 * becomes the first of the list, in the line behind "peers:", as far to the right as the entry that
 * was the first. That is found by its position, which the parser keeps. Whatever else the file may
 * look like, the result is taken only when it parses to what was there and the one entry more. */
#include "config/edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/schema.h"

static const char key[] = "peers:";

static void write_addresses(FILE *f, const struct config_peer *peer)
{
    char buf[IP_ADDR_STR_MAX];

    for (unsigned i = 0; i < peer->n_addr; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : "", ip_addr_str(&peer->addr[i], buf));
}

static void write_prefixes(FILE *f, const struct config_peer *peer)
{
    char buf[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < peer->n_prefix; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : "", ip_prefix_str(&peer->prefix[i], buf));
}

static void write_peer(FILE *f, const struct config_peer *peer, unsigned indent)
{
    int n = (int)indent;

    fprintf(f, "%*s- name: \"%s\"\n", n, "", peer->name);
    if (peer->n_addr) {
        fprintf(f, "%*s  addresses: [", n, "");
        write_addresses(f, peer);
        fprintf(f, "]\n");
    }
    if (peer->n_prefix) {
        fprintf(f, "%*s  prefixes: [", n, "");
        write_prefixes(f, peer);
        fprintf(f, "]\n");
    }
}

char *config_peer_text(const struct config_peer *peer, unsigned indent)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    write_peer(f, peer, indent);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

/* --- where it goes --------------------------------------------------------------------- */

static size_t line_at(const char *text, size_t len, unsigned line)
{
    size_t at = 0;

    for (unsigned i = 1; i < line && at < len; i++) {
        const char *end = memchr(text + at, '\n', len - at);

        at = end ? (size_t)(end - text) + 1 : len;
    }
    return at;
}

/* Find "peers:" in a line of its own before the line of its first entry, with nothing but comments
 * between. Returns where the next line begins, or -ENOTSUP. */
static ssize_t behind_key(const char *text, size_t len, unsigned first)
{
    for (unsigned line = first - 1; line; line--) {
        size_t at = line_at(text, len, line), end = line_at(text, len, line + 1);
        size_t blank = strspn(text + at, " \t");

        if (!strncmp(text + at, key, strlen(key))) {
            blank = strspn(text + at + strlen(key), " \t\r");
            return strchr("#\n", text[at + strlen(key) + blank]) ? (ssize_t)end : -ENOTSUP;
        }
        if (!strchr("#\r\n", text[at + blank]))
            return -ENOTSUP;
    }
    return -ENOTSUP;
}

/* How far to the right the "-" of the first entry stands, or -ENOTSUP when nothing but that stands
 * before it in its line. */
static int indent_of(const char *text, size_t len, struct config_where first)
{
    const char *line = text + line_at(text, len, first.line);
    size_t n = strspn(line, " ");

    if (line[n] != '-' || n + 1 + strspn(line + n + 1, " ") != first.column - 1)
        return -ENOTSUP;
    return (int)n;
}

/* Returns 0 or -errno. */
static int insert(const char *text, size_t len, struct config_where first,
                  const struct config_peer *peer, char **ret)
{
    bool ended = !len || text[len - 1] == '\n';
    ssize_t at = first.line ? behind_key(text, len, first.line) : (ssize_t)len;
    int indent = first.line ? indent_of(text, len, first) : 2;
    char *entry, *out;

    if (at < 0 || indent < 0)
        return -ENOTSUP;
    entry = config_peer_text(peer, (unsigned)indent);
    if (!entry || asprintf(&out, "%.*s%s%s%s%s%s", (int)at, text, ended ? "" : "\n",
                           first.line ? "" : key, first.line ? "" : "\n", entry, text + at) < 0)
        out = NULL;
    free(entry);
    if (!out)
        return -ENOMEM;
    *ret = out;
    return 0;
}

/* --- whether it is right --------------------------------------------------------------- */

static bool has_addr(const struct config_peer *p, const struct ip_addr *a)
{
    for (unsigned i = 0; i < p->n_addr; i++)
        if (ip_addr_equal(&p->addr[i], a))
            return true;
    return false;
}

static bool has_prefix(const struct config_peer *p, const struct ip_prefix *x)
{
    for (unsigned i = 0; i < p->n_prefix; i++)
        if (ip_prefix_equal(&p->prefix[i], x))
            return true;
    return false;
}

static bool has_all(const struct config_peer *p, const struct config_peer *wanted)
{
    for (unsigned i = 0; i < wanted->n_addr; i++)
        if (!has_addr(p, &wanted->addr[i]))
            return false;
    for (unsigned i = 0; i < wanted->n_prefix; i++)
        if (!has_prefix(p, &wanted->prefix[i]))
            return false;
    return true;
}

static int look_for(const struct tunnel_config *c, const struct config_peer *peer)
{
    for (unsigned i = 0; i < c->n_peers; i++)
        if (!strcmp(c->peers[i].name, peer->name) && !*c->peers[i].instance_id)
            return has_all(&c->peers[i], peer) ? -EALREADY : -EEXIST;
    return 0;
}

/* The new one is the old one with the entry in front of its peers. */
static bool is_old_and_peer(const struct tunnel_config *now, const struct tunnel_config *old,
                            const struct config_peer *peer)
{
    struct tunnel_config rest = *now;
    const struct config_peer *p = now->peers;

    if (now->n_peers != old->n_peers + 1 || strcmp(p->name, peer->name) != 0 || *p->instance_id ||
        p->n_addr != peer->n_addr || p->n_prefix != peer->n_prefix || !has_all(p, peer))
        return false;
    rest.peers++; /* borrowed */
    rest.n_peers--;
    return config_equal(&rest, old);
}

static int check(char *text, const struct tunnel_config *old, const struct config_peer *peer,
                 struct config_report *report)
{
    struct tunnel_config now;
    bool good;

    config_report_done(report);
    if (config_parse(text, strlen(text), &now, report))
        return -EINVAL;
    good = is_old_and_peer(&now, old, peer);
    config_done(&now);
    return good ? 0 : -ENOTSUP;
}

int config_add_peer(const char *text, size_t len, const struct config_peer *peer, char **ret,
                    struct config_report *report)
{
    struct tunnel_config old;
    char *out = NULL;
    int rv;

    if (memchr(text, 0, len))
        return -ENOTSUP;
    if (config_parse(text, len, &old, report))
        return -EINVAL;
    rv = text[strspn(text, " \t\r\n")] == '{' ? -ENOTSUP : look_for(&old, peer);
    if (!rv)
        rv = insert(text, len, report->where[CONFIG_KEY_PEERS], peer, &out);
    if (!rv)
        rv = check(out, &old, peer, report);
    config_done(&old);
    if (rv)
        free(out);
    else
        *ret = out;
    return rv;
}
