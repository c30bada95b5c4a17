#include "wan/ssh.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/util.h"

enum {
    ENVIRONMENT_MAX = 1 << 20,
    CONFIGURATION_MAX = 1 << 20,
    ANCESTORS_MAX = 64,
    SOCKETS_MAX = 64,
    ESTABLISHED = 1
};

/* --- texts ----------------------------------------------------------------------------- */

/* An IPv4 address that an IPv6 socket has. */
static void unmap(struct ip_addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct ip_addr v4 = {.family = 4};

    if (a->family != 6 || memcmp(a->b, mapped, sizeof(mapped)) != 0)
        return;
    memcpy(v4.b, a->b + 12, 4);
    *a = v4;
}

bool ssh_session_parse(const char *value, struct ssh_session *ret)
{
    struct ssh_session s;
    char peer[64], local[64];
    unsigned peer_port, local_port;
    int end = 0;

    if (sscanf(value, "%63s %5u %63s %5u%n", peer, &peer_port, local, &local_port, &end) != 4 ||
        value[end] || peer_port > UINT16_MAX || local_port > UINT16_MAX ||
        ip_addr_parse(peer, &s.peer) || ip_addr_parse(local, &s.local))
        return false;
    unmap(&s.peer);
    unmap(&s.local);
    s.peer_port = (uint16_t)peer_port;
    s.local_port = (uint16_t)local_port;
    *ret = s;
    return true;
}

/* The kernel prints each 32 bits of an address as the number that this machine has for them. */
static bool parse_address(const char *hex, uint8_t family, struct ip_addr *ret)
{
    struct ip_addr a = {.family = family};
    unsigned words = family == 4 ? 1 : 4;

    for (unsigned i = 0; i < words; i++) {
        uint32_t word;

        if (sscanf(hex + (size_t)8 * i, "%8" SCNx32, &word) != 1)
            return false;
        memcpy(a.b + (size_t)4 * i, &word, sizeof(word));
    }
    unmap(&a);
    *ret = a;
    return true;
}

bool ssh_socket_parse(const char *line, uint8_t family, struct ssh_session *ret,
                      unsigned long *ret_inode)
{
    char local[33], peer[33];
    unsigned local_port, peer_port, state;
    struct ssh_session s;

    if (sscanf(line, " %*u: %32[0-9A-F]:%4x %32[0-9A-F]:%4x %2x %*s %*s %*s %*u %*u %lu", local,
               &local_port, peer, &peer_port, &state, ret_inode) != 6 ||
        state != ESTABLISHED || strlen(local) != (family == 4 ? 8 : 32) ||
        strlen(peer) != strlen(local) || !parse_address(local, family, &s.local) ||
        !parse_address(peer, family, &s.peer))
        return false;
    s.local_port = (uint16_t)local_port;
    s.peer_port = (uint16_t)peer_port;
    *ret = s;
    return true;
}

/* --- connections ----------------------------------------------------------------------- */

static bool same_session(const struct ssh_session *a, const struct ssh_session *b)
{
    return ip_addr_equal(&a->peer, &b->peer) && ip_addr_equal(&a->local, &b->local) &&
           a->peer_port == b->peer_port && a->local_port == b->local_port;
}

/* The first established connection that is the wanted one, or that of one of the sockets. */
static bool find_connection(const struct ssh_session *want, const unsigned long *sockets,
                            unsigned n, struct ssh_session *ret)
{
    static const char *const files[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    bool found = false;

    for (unsigned i = 0; i < ARRAY_LEN(files) && !found; i++) {
        FILE *f = fopen(files[i], "re");
        char line[512];

        while (f && !found && fgets(line, sizeof(line), f)) {
            unsigned long inode;

            if (!ssh_socket_parse(line, i ? 6 : 4, ret, &inode))
                continue;
            found = want && same_session(want, ret);
            for (unsigned j = 0; j < n; j++)
                found |= inode && sockets[j] == inode;
        }
        if (f)
            fclose(f);
    }
    return found;
}

/* --- processes ------------------------------------------------------------------------- */

/* Its name, and who started it: 0 when that is not known. */
static pid_t parent_of(pid_t pid, char ret_name[static 32])
{
    char path[32], text[512] = "", *open_at, *close_at;
    int parent = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (readfile_bytes(fd, text, sizeof(text) - 1) < 0)
        text[0] = 0;
    close(fd);
    open_at = strchr(text, '(');
    close_at = strrchr(text, ')');
    if (!open_at || !close_at || sscanf(close_at + 1, " %*c %d", &parent) != 1)
        return 0;
    snprintf(ret_name, 32, "%.*s", (int)(close_at - open_at - 1), open_at + 1);
    return parent;
}

static bool session_of_environment(pid_t pid, struct ssh_session *ret)
{
    static const char key[] = "SSH_CONNECTION=";
    _cleanup_free_ char *text = NULL;
    struct ssh_session said;
    char path[32];
    size_t len = 0;
    int rv;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

        rv = fd < 0 ? -errno : readfile_text(fd, ENVIRONMENT_MAX, &text, &len);
    }
    for (const char *s = text; !rv && s < text + len; s += strlen(s) + 1)
        if (!strncmp(s, key, strlen(key)) && ssh_session_parse(s + strlen(key), &said))
            return find_connection(&said, NULL, 0, ret);
    return false;
}

static bool session_of_sockets(pid_t pid, struct ssh_session *ret)
{
    unsigned long sockets[SOCKETS_MAX];
    unsigned n = 0;
    char path[32];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    d = opendir(path);
    while (d && n < SOCKETS_MAX && (e = readdir(d))) {
        char target[64];
        ssize_t len = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

        target[MAX(len, 0)] = 0;
        n += sscanf(target, "socket:[%lu]", &sockets[n]) == 1;
    }
    if (d)
        closedir(d);
    return n && find_connection(NULL, sockets, n, ret);
}

int ssh_session_find(pid_t pid, struct ssh_session *ret)
{
    for (unsigned i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
        char name[32] = "";
        pid_t parent = parent_of(pid, name);

        if (session_of_environment(pid, ret) ||
            (!strncmp(name, "sshd", 4) && session_of_sockets(pid, ret)))
            return 1;
        pid = parent;
    }
    return 0;
}

/* --- all sessions ---------------------------------------------------------------------- */

unsigned ssh_ports_parse(const char *text, uint16_t ports[SSH_PORTS_MAX], unsigned n)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        unsigned port;
        char key[5];

        line += strspn(line, " \t\n");
        if (n < SSH_PORTS_MAX && sscanf(line, "%4[a-zA-Z] %5u", key, &port) == 2 &&
            !strcasecmp(key, "port") && port && port <= UINT16_MAX)
            ports[n++] = (uint16_t)port;
    }
    return n;
}

static unsigned ports_of_file(const char *path, uint16_t ports[SSH_PORTS_MAX], unsigned n)
{
    _cleanup_close_ int fd = readfile_open(path);
    _cleanup_free_ char *text = NULL;
    size_t len;

    if (fd < 0 || readfile_text(fd, CONFIGURATION_MAX, &text, &len))
        return n;
    return ssh_ports_parse(text, ports, n);
}

/* Port 22 whatever the files say: it may have been another one when sshd began. */
static unsigned ports_of_sshd(uint16_t ports[SSH_PORTS_MAX])
{
    static const char directory[] = "/etc/ssh/sshd_config.d";
    DIR *d = opendir(directory);
    struct dirent *e;
    unsigned n = 1;

    ports[0] = 22;
    n = ports_of_file("/etc/ssh/sshd_config", ports, n);
    while (d && (e = readdir(d))) {
        char path[sizeof(directory) + sizeof(e->d_name) + 1];

        snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
        if (*e->d_name != '.')
            n = ports_of_file(path, ports, n);
    }
    if (d)
        closedir(d);
    return n;
}

static bool is_new(const struct ssh_session *s, const struct ssh_session *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_addr_equal(&v[i].peer, &s->peer) && ip_addr_equal(&v[i].local, &s->local))
            return false;
    return true;
}

static unsigned sessions_of_file(const char *path, uint8_t family, const uint16_t *ports,
                                 unsigned n_ports, struct ssh_session ret[SSH_SESSIONS_MAX],
                                 unsigned n)
{
    FILE *f = fopen(path, "re");
    char line[512];

    while (f && n < SSH_SESSIONS_MAX && fgets(line, sizeof(line), f)) {
        struct ssh_session s;
        unsigned long inode;
        bool ours = false;

        if (!ssh_socket_parse(line, family, &s, &inode))
            continue;
        for (unsigned i = 0; i < n_ports; i++)
            ours |= ports[i] == s.local_port;
        if (ours && is_new(&s, ret, n))
            ret[n++] = s;
    }
    if (f)
        fclose(f);
    return n;
}

unsigned ssh_session_all(struct ssh_session ret[SSH_SESSIONS_MAX])
{
    uint16_t ports[SSH_PORTS_MAX];
    unsigned n_ports = ports_of_sshd(ports);
    unsigned n = sessions_of_file("/proc/net/tcp", 4, ports, n_ports, ret, 0);

    return sessions_of_file("/proc/net/tcp6", 6, ports, n_ports, ret, n);
}

/* --- the way back ---------------------------------------------------------------------- */

static bool rule_matches(const struct fib_rule *r, const struct ssh_session *s)
{
    return r->family == s->peer.family &&
           (!r->from.addr.family || ip_prefix_contains(&r->from, &s->local)) &&
           (!r->to.addr.family || ip_prefix_contains(&r->to, &s->peer)) &&
           (!*r->iif || !strcmp(r->iif, "lo")) && !*r->oif && (!r->mask || !r->mark);
}

static const struct fib_route *look_up(const struct wan_objects *world, uint32_t table,
                                       const struct ip_addr *to)
{
    const struct fib_route *best = NULL;

    for (unsigned i = 0; i < world->n_routes; i++) {
        const struct fib_route *r = &world->routes[i];

        if (r->table == table && ip_prefix_contains(&r->dst, to) &&
            (!best || r->dst.len > best->dst.len ||
             (r->dst.len == best->dst.len && r->metric < best->metric)))
            best = r;
    }
    return best;
}

void ssh_way_of(const struct wan_objects *world, const struct ssh_session *s, struct ssh_way *ret)
{
    *ret = (struct ssh_way){0};
    for (unsigned i = 0; i < world->n_rules; i++) {
        const struct fib_rule *rule = &world->rules[i];
        const struct fib_route *route;

        if (!rule_matches(rule, s))
            continue;
        if (rule->more || rule->action == FIB_ACTION_OTHER) {
            ret->unsure = true;
            continue;
        }
        if (rule->action != FIB_ACTION_TABLE)
            return;
        route = look_up(world, rule->table, &s->peer);
        if (!route || (rule->near_only && !route->dst.len))
            continue;
        ret->found = route->type == FIB_TYPE_UNICAST || route->type == FIB_TYPE_OTHER;
        ret->index = route->index;
        ret->via = route->via;
        return;
    }
}

struct reader {
    const struct ssh_session *s;
    struct wan_objects *world;
    int err;
};

static void on_rule(void *user, const struct fib_rule *rule)
{
    struct reader *r = user;

    if (!rule)
        r->world->n_rules = 0;
    else if (rule_matches(rule, r->s) && !r->err)
        r->err = wan_objects_add_rule(r->world, rule);
}

static void on_route(void *user, const struct fib_route *route)
{
    struct reader *r = user;

    if (!route)
        r->world->n_routes = 0;
    else if (!r->err && ip_prefix_contains(&route->dst, &r->s->peer))
        r->err = wan_objects_add_route(r->world, route);
}

int ssh_world_read(struct netlink *nl, const struct ssh_session *s, struct wan_objects *ret)
{
    struct reader r = {.s = s, .world = ret};
    int rv;

    *ret = (struct wan_objects){0};
    rv = fib_rule_each(nl, on_rule, &r);
    if (!rv)
        rv = fib_route_each(nl, s->peer.family, 0, 0, on_route, &r);
    return rv ? rv : r.err;
}

/* Behind those of the same priority, as the kernel does it. */
static int insert_rule(struct wan_objects *world, const struct ssh_session *s,
                       const struct fib_rule *rule)
{
    unsigned n = world->n_rules, at = 0;
    int rv = rule_matches(rule, s) ? wan_objects_add_rule(world, rule) : 0;

    if (rv || world->n_rules == n)
        return rv;
    while (at < n && world->rules[at].priority <= rule->priority)
        at++;
    memmove(&world->rules[at + 1], &world->rules[at], (n - at) * sizeof(world->rules[0]));
    world->rules[at] = *rule;
    wan_objects_moved(world);
    return 0;
}

/* IPv4 puts a route in front of one with the same metric, IPv6 behind it. */
static int insert_route(struct wan_objects *world, const struct ssh_session *s,
                        const struct fib_route *route)
{
    unsigned n = world->n_routes;
    int rv = ip_prefix_contains(&route->dst, &s->peer) ? wan_objects_add_route(world, route) : 0;

    if (rv || world->n_routes == n || route->dst.addr.family == 6)
        return rv;
    memmove(&world->routes[1], &world->routes[0], n * sizeof(world->routes[0]));
    world->routes[0] = *route;
    wan_objects_moved(world);
    return 0;
}

static void remove_rule(struct wan_objects *world, const struct fib_rule *rule)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < world->n_rules; i++)
        if (!fib_rule_equal(&world->rules[i], rule))
            world->rules[kept++] = world->rules[i];
    world->n_rules = kept;
    wan_objects_moved(world);
}

static void remove_route(struct wan_objects *world, const struct fib_route *route)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < world->n_routes; i++)
        if (!fib_route_equal(&world->routes[i], route))
            world->routes[kept++] = world->routes[i];
    world->n_routes = kept;
    wan_objects_moved(world);
}

int ssh_world_apply(struct wan_objects *world, const struct ssh_session *s, const struct wan_op *op)
{
    switch (op->kind) {
    case WAN_OP_RULE_ADD:
        return insert_rule(world, s, op->rule);
    case WAN_OP_ROUTE_ADD:
        return insert_route(world, s, op->route);
    case WAN_OP_RULE_DEL:
        remove_rule(world, op->rule);
        return 0;
    case WAN_OP_ROUTE_DEL:
        remove_route(world, op->route);
        return 0;
    default:
        return 0;
    }
}

/* What is given back comes first, what is taken away goes last. */
static int change_world(struct wan_objects *world, const struct ssh_session *s,
                        const struct ssh_change *c)
{
    int rv = 0;

    for (unsigned i = 0; c->given && i < c->given->n_rules && !rv; i++)
        rv = insert_rule(world, s, &c->given->rules[i]);
    for (unsigned i = 0; c->given && i < c->given->n_routes && !rv; i++)
        rv = insert_route(world, s, &c->given->routes[i]);
    for (unsigned i = 0; i < c->plan->n && !rv; i++)
        rv = ssh_world_apply(world, s, &c->plan->ops[i]);
    for (unsigned i = 0; c->taken && i < c->taken->n_rules; i++)
        remove_rule(world, &c->taken->rules[i]);
    for (unsigned i = 0; c->taken && i < c->taken->n_routes; i++)
        remove_route(world, &c->taken->routes[i]);
    return rv;
}

int ssh_is_cut(struct netlink *nl, const struct ssh_session *s, const struct ssh_change *change,
               struct ssh_way *ret_before, struct ssh_way *ret_after)
{
    struct wan_objects world;
    int rv = ssh_world_read(nl, s, &world);

    if (!rv)
        ssh_way_of(&world, s, ret_before);
    if (!rv)
        rv = change_world(&world, s, change);
    if (!rv)
        ssh_way_of(&world, s, ret_after);
    wan_objects_done(&world);
    if (rv)
        return rv;
    return ret_before->found && (!ret_after->found || ret_after->index != ret_before->index);
}

bool ssh_is_closed(const struct gateway_config *c, const struct wan_plan *plan, const char *device)
{
    static const char chain[] = "chain input {";
    bool tunnel = false, closes = false;

    for (unsigned i = 0; i < c->n_links; i++)
        tunnel |= c->links[i].type == GATEWAY_LINK_TUNNEL && !strcmp(c->links[i].device, device);
    for (unsigned i = 0; i < plan->n; i++) {
        const struct wan_op *op = &plan->ops[i];

        closes |= op->kind == WAN_OP_NFT && op->nft.text && strstr(op->nft.text, chain) &&
                  !(op->nft.before && strstr(op->nft.before, chain));
    }
    return tunnel && closes;
}
