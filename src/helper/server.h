/* The helper's side of a request: take it apart, check it against the allow-list, have it done.
 * What is done in the kernel is behind a table of functions, so that this part can be tested and
 * fuzzed without one. */
#ifndef HELPER_SERVER_H
#define HELPER_SERVER_H

#include "base/clockfloor.h"
#include "base/log.h"
#include "helper/message.h"
#include "helper/policy.h"
#include "netlink/netlink.h"

/* Each returns 0 or -errno; those that open something return a descriptor or -errno, and the
 * caller then owns it. What they are asked for has been checked. */
struct server_effects {
    int (*tun_open)(void *user, const char *name, struct tun_info *ret);
    bool (*tun_is_alive)(void *user, int fd);
    int (*link_up)(void *user, int ifindex);
    int (*link_mtu)(void *user, int ifindex, uint32_t mtu);
    int (*link_name)(void *user, int ifindex, const char *name);
    int (*addr_add)(void *user, int ifindex, const struct ip_prefix *p);
    int (*addr_del)(void *user, int ifindex, const struct ip_prefix *p);
    int (*addr_is_ours)(void *user, int ifindex, const struct ip_prefix *p); /* 1, 0, -errno */
    /* All of the interface (0: of all), in *ret, which is to be freed; their number or -errno. */
    int (*addr_all)(void *user, int ifindex, struct netlink_addr **ret);
    /* ret_err[i] for each, as netlink_route_batch(). */
    int (*routes)(void *user, bool add, const struct netlink_route *v, unsigned n, int *ret_err);
    int (*rule_add)(void *user, const struct netlink_rule *r);
    int (*rule_del)(void *user, const struct ip_addr *src, uint32_t priority);
    int (*device_holds)(void *user, const char *device, const struct ip_addr *a); /* 1, 0, -errno */
    int (*udp_open)(void *user, const struct udp_socket_opts *opts);
    int (*file_open)(void *user, const char *path);
    int (*file_stat)(void *user, const char *path, struct helper_stamp *ret);
    /* A descriptor with the text; *ret is a configuration from malloc(), or NULL when it
     * has errors. */
    int (*config_read)(void *user, const char *path, struct tunnel_config **ret);
    int (*control_socket)(void *user, const char *name);
    int (*control_look)(void *user); /* 0: its file is there; -ENOENT */
    int (*notify)(void *user, enum helper_notify what);
    int (*notify_status)(void *user, const char *text); /* without control characters */
    int (*time_load)(void *user, const char *name, int64_t *ret);
    int (*time_save)(void *user, const char *name, int64_t now_s);
    int (*reset_secret)(void *user, const char *name, uint8_t ret[static HELPER_SECRET_BYTES]);
    void (*close)(void *user, int fd);
    uint64_t (*now_ns)(void *user);
    int64_t (*real_s)(void *user); /* the system's clock */
};

enum { SERVER_ASSIGNED_MAX = 2 * HELPER_AUTO_ADDRS_MAX };

struct server {
    const struct helper_opts *opts;
    const struct tunnel_config *config;       /* what requests are checked against */
    struct tunnel_config *committed, *staged; /* owned; config is opts->config or committed */
    const struct server_effects *fx;
    void *fx_user;
    int tun_fd, ifindex;                            /* of the TUN last opened; -1 and 0: none */
    struct ip_prefix assigned[SERVER_ASSIGNED_MAX]; /* put on the TUN without being configured */
    unsigned n_assigned;
    struct policy_routes routes; /* of config, once it was asked for */
    struct log_limit refused_limit;
    char end[HELPER_TEXT_MAX]; /* why the data plane is about to end, as it says; "" */
    struct clock_floor known;  /* of the time, with what had been saved before */
    bool time_loaded;
    bool save_failed; /* a line about it has been logged */
};

struct server_reply {
    struct helper_answer answer;
    int fd;        /* goes with it; -1: none */
    bool close_fd; /* when it has been sent */
};

void server_init(struct server *s, const struct helper_opts *opts, const struct server_effects *fx,
                 void *fx_user);
void server_done(struct server *s);

/* Answer the len bytes at msg, whatever they are. */
void server_handle(struct server *s, const void *msg, size_t len, struct server_reply *ret);

#endif
