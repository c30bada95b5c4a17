/* The helper's request handler over effects that only take notes, for tests and fuzzing. */
#ifndef TEST_HELPER_FAKES_H
#define TEST_HELPER_FAKES_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/server.h"

enum fake_call {
    FAKE_NONE,
    FAKE_TUN_OPEN,
    FAKE_LINK_UP,
    FAKE_LINK_MTU,
    FAKE_LINK_NAME,
    FAKE_ADDR_ADD,
    FAKE_ADDR_DEL,
    FAKE_ROUTES_ADD,
    FAKE_ROUTES_DEL,
    FAKE_RULE_ADD,
    FAKE_RULE_DEL,
    FAKE_UDP_OPEN,
    FAKE_FILE_OPEN,
    FAKE_FILE_STAT,
    FAKE_CONFIG_READ,
    FAKE_CONTROL_SOCKET,
    FAKE_NOTIFY,
    FAKE_NOTIFY_STATUS,
    FAKE_TIME_LOAD,
    FAKE_TIME_SAVE,
    FAKE_RESET_SECRET,
};

enum { FAKE_IFINDEX = 7, FAKE_FD = 1000 };

/* The system's clock, and how far the time that was saved is ahead of it. */
#define FAKE_CLOCK_S 4000000000
enum { FAKE_SAVED_AHEAD_S = 5000 };

/* What the last effect was asked for. */
struct fakes {
    enum fake_call call;
    unsigned calls;
    bool alive;                  /* the TUN */
    bool ours;                   /* what addr_is_ours() says */
    bool holds;                  /* what device_holds() says */
    int error;                   /* what every effect then returns */
    struct netlink_addr kept[8]; /* what addr_all() says */
    int n_kept;                  /* or -errno */
    int open;                    /* descriptors given out and not closed by the handler */
    int ifindex;
    uint32_t value;
    struct ip_prefix prefix;
    struct netlink_route routes[HELPER_ROUTES_MAX];
    unsigned n_routes, bad_route; /* the one that fails with -EEXIST, counted from 1 */
    struct netlink_rule rule;
    struct net_addr bind;
    char device[16];
    char text[CONFIG_PATH_MAX];
    const char *config_text; /* of the configuration file */
};

static int fake_note(struct fakes *f, enum fake_call call)
{
    f->call = call;
    f->calls++;
    return f->error;
}

static int fake_fd(struct fakes *f, enum fake_call call)
{
    int r = fake_note(f, call);

    if (r)
        return r;
    f->open++;
    return FAKE_FD;
}

static int fake_tun_open(void *user, const char *name, struct tun_info *ret)
{
    struct fakes *f = user;
    int fd = fake_fd(f, FAKE_TUN_OPEN);

    strncpy(f->text, name, sizeof(f->text) - 1);
    if (fd >= 0)
        *ret = (struct tun_info){.ifindex = FAKE_IFINDEX};
    f->alive = fd >= 0;
    return fd;
}

static bool fake_tun_is_alive(void *user, int fd)
{
    return ((struct fakes *)user)->alive && fd == FAKE_FD;
}

static int fake_link_up(void *user, int ifindex)
{
    struct fakes *f = user;

    f->ifindex = ifindex;
    return fake_note(f, FAKE_LINK_UP);
}

static int fake_link_mtu(void *user, int ifindex, uint32_t mtu)
{
    struct fakes *f = user;

    f->ifindex = ifindex;
    f->value = mtu;
    return fake_note(f, FAKE_LINK_MTU);
}

static int fake_link_name(void *user, int ifindex, const char *name)
{
    struct fakes *f = user;

    f->ifindex = ifindex;
    snprintf(f->text, sizeof(f->text), "%s", name);
    return fake_note(f, FAKE_LINK_NAME);
}

static int fake_addr_add(void *user, int ifindex, const struct ip_prefix *p)
{
    struct fakes *f = user;

    f->ifindex = ifindex;
    f->prefix = *p;
    return fake_note(f, FAKE_ADDR_ADD);
}

static int fake_addr_del(void *user, int ifindex, const struct ip_prefix *p)
{
    struct fakes *f = user;

    f->ifindex = ifindex;
    f->prefix = *p;
    return fake_note(f, FAKE_ADDR_DEL);
}

static int fake_addr_is_ours(void *user, int ifindex, const struct ip_prefix *p)
{
    return ((struct fakes *)user)->ours;
}

static int fake_addr_all(void *user, int ifindex, struct netlink_addr **ret)
{
    const struct fakes *f = user;

    if (f->n_kept <= 0)
        return f->n_kept;
    *ret = malloc(sizeof(f->kept));
    if (!*ret)
        return -ENOMEM;
    memcpy(*ret, f->kept, sizeof(f->kept));
    return f->n_kept;
}

static int fake_routes(void *user, bool add, const struct netlink_route *v, unsigned n,
                       int *ret_err)
{
    struct fakes *f = user;

    for (unsigned i = 0; i < n; i++) {
        f->routes[i] = v[i];
        ret_err[i] = i + 1 == f->bad_route ? -EEXIST : 0;
    }
    f->n_routes = n;
    return fake_note(f, add ? FAKE_ROUTES_ADD : FAKE_ROUTES_DEL);
}

static int fake_rule_add(void *user, const struct netlink_rule *r)
{
    struct fakes *f = user;

    f->rule = *r;
    return fake_note(f, FAKE_RULE_ADD);
}

static int fake_rule_del(void *user, const struct ip_addr *src, uint32_t priority)
{
    struct fakes *f = user;

    f->rule = (struct netlink_rule){.src = *src, .priority = priority};
    return fake_note(f, FAKE_RULE_DEL);
}

static int fake_device_holds(void *user, const char *device, const struct ip_addr *a)
{
    return ((struct fakes *)user)->holds;
}

static int fake_udp_open(void *user, const struct udp_socket_opts *opts)
{
    struct fakes *f = user;

    f->bind = opts->bind;
    strncpy(f->device, opts->device, sizeof(f->device) - 1);
    return fake_fd(f, FAKE_UDP_OPEN);
}

static int fake_file_open(void *user, const char *path)
{
    struct fakes *f = user;

    strncpy(f->text, path, sizeof(f->text) - 1);
    return fake_fd(f, FAKE_FILE_OPEN);
}

static int fake_file_stat(void *user, const char *path, struct helper_stamp *ret)
{
    struct fakes *f = user;

    strncpy(f->text, path, sizeof(f->text) - 1);
    ret->size_bytes = 1;
    return fake_note(f, FAKE_FILE_STAT);
}

static int fake_config_read(void *user, const char *path, struct tunnel_config **ret)
{
    struct fakes *f = user;
    struct config_report report = {0};
    int fd = fake_fd(f, FAKE_CONFIG_READ);

    strncpy(f->text, path, sizeof(f->text) - 1);
    if (fd < 0 || !f->config_text)
        return fd;
    *ret = malloc(sizeof(**ret));
    if (*ret && config_parse(f->config_text, strlen(f->config_text), *ret, &report)) {
        free(*ret);
        *ret = NULL;
    }
    config_report_done(&report);
    return fd;
}

static int fake_control_look(void *user)
{
    return ((struct fakes *)user)->error;
}

static int fake_control_socket(void *user, const char *name)
{
    return fake_fd(user, FAKE_CONTROL_SOCKET);
}

static int fake_notify(void *user, enum helper_notify what)
{
    struct fakes *f = user;

    f->value = what;
    return fake_note(f, FAKE_NOTIFY);
}

static int fake_notify_status(void *user, const char *text)
{
    struct fakes *f = user;

    snprintf(f->text, sizeof(f->text), "%s", text);
    return fake_note(f, FAKE_NOTIFY_STATUS);
}

static int fake_time_load(void *user, const char *name, int64_t *ret)
{
    *ret = FAKE_CLOCK_S + FAKE_SAVED_AHEAD_S;
    return fake_note(user, FAKE_TIME_LOAD);
}

static int fake_time_save(void *user, const char *name, int64_t now_s)
{
    struct fakes *f = user;

    f->value = (uint32_t)now_s;
    return fake_note(f, FAKE_TIME_SAVE);
}

static int fake_reset_secret(void *user, const char *name, uint8_t ret[static HELPER_SECRET_BYTES])
{
    struct fakes *f = user;

    snprintf(f->text, sizeof(f->text), "%s", name);
    memset(ret, 5, HELPER_SECRET_BYTES);
    return fake_note(f, FAKE_RESET_SECRET);
}

static void fake_close(void *user, int fd)
{
    ((struct fakes *)user)->open--;
}

static uint64_t fake_now_ns(void *user)
{
    return 0;
}

static int64_t fake_real_s(void *user)
{
    return FAKE_CLOCK_S;
}

static const struct server_effects fake_effects = {
    .tun_open = fake_tun_open,
    .tun_is_alive = fake_tun_is_alive,
    .link_up = fake_link_up,
    .link_mtu = fake_link_mtu,
    .link_name = fake_link_name,
    .addr_add = fake_addr_add,
    .addr_del = fake_addr_del,
    .addr_is_ours = fake_addr_is_ours,
    .addr_all = fake_addr_all,
    .routes = fake_routes,
    .rule_add = fake_rule_add,
    .rule_del = fake_rule_del,
    .device_holds = fake_device_holds,
    .udp_open = fake_udp_open,
    .file_open = fake_file_open,
    .file_stat = fake_file_stat,
    .config_read = fake_config_read,
    .control_socket = fake_control_socket,
    .control_look = fake_control_look,
    .notify = fake_notify,
    .notify_status = fake_notify_status,
    .time_load = fake_time_load,
    .time_save = fake_time_save,
    .reset_secret = fake_reset_secret,
    .close = fake_close,
    .now_ns = fake_now_ns,
    .real_s = fake_real_s,
};

static const char fake_server_text[] =
    "role: server\n"
    "bind_ip: 192.0.2.1\n"
    "remote_port: 45001\n"
    "tun_name: mpq1\n"
    "tun_cidr:\n  - 10.200.1.2/30\n  - fd00:200:1::2/126\n"
    "tls_cert_file: /c/cert\n"
    "tls_key_file: /c/key\n"
    "tls_ca_file: /c/ca\n"
    "peer_prefixes:\n  - 172.16.1.0/30\n  - fd16:0:0:1::/64\n  - 0.0.0.0/0\n"
    "multi_conn_enabled: true\n"
    "peers:\n  - name: site\n    prefixes:\n      - 172.17.0.0/16\n";

static const char fake_client_text[] = "role: client\n"
                                       "bind_ip: if:wan1\n"
                                       "remote_addr: 192.0.2.1\n"
                                       "remote_port: 45001\n"
                                       "tun_name: mpq1\n"
                                       "routes:\n  - 198.51.100.0/24\n"
                                       "route_table: 100\n"
                                       "tls_ca_file: /c/ca\n"
                                       "token_file: /c/token\n";

#endif
