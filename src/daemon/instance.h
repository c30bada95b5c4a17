/* What the parts of the daemon share: one tunnel instance. Nobody outside this folder uses it. */
#ifndef DAEMON_INSTANCE_H
#define DAEMON_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/drop.h"
#include "base/exitcode.h"
#include "base/log.h"
#include "base/util.h"
#include "config/config.h"
#include "daemon/control.h"
#include "daemon/credentials.h"
#include "daemon/local.h"
#include "daemon/remote.h"
#include "daemon/resolve.h"
#include "daemon/rxturn.h"
#include "daemon/trail.h"
#include "daemon/upkeep.h"
#include "daemon/wallclock.h"
#include "helper/helper.h"
#include "loop/loop.h"
#include "netlink/netlink.h"
#include "packet/coalesce.h"
#include "packet/pkt.h"
#include "peer/edge.h"
#include "peer/hub.h"
#include "quic/aead.h"
#include "quic/quic.h"
#include "quic/tls.h"
#include "tun/tun.h"
#include "udp/udp.h"

/* Of a server one for each family; of a client one for each lane: the first of path N is number N,
 * and the others follow behind those of all paths. */
enum { INSTANCE_SOCKETS = CONFIG_PATHS_MAX * QUIC_LANES_MAX };
_Static_assert((int)INSTANCE_SOCKETS <= (int)RXTURN_SOCKETS_MAX, "more than a turn knows");

enum { PATH_TITLE_MAX = CONFIG_NAME_MAX + 8 };

/* One UDP socket and what waits for it to become writable. */
struct instance_socket {
    struct instance *inst;
    struct instance_path *path;
    struct udp_socket *udp;
    struct loop_io io;
    struct log_limit error_limit;
};

/* One way to the server. A client has one, or those of multipath_paths, and each follows its own
 * interface and address; a server has one, which its listeners stand for. */
struct instance_path {
    struct instance *inst;
    unsigned number;              /* the edge's, and of its first socket */
    unsigned entry;               /* in the configuration: i of config_path_bind() */
    bool begun;                   /* its server's address has been asked for */
    bool leaving;                 /* it is in the configuration no more */
    enum edge_state state;        /* client: as told last */
    char name[CONFIG_NAME_MAX];   /* "" when there is only one */
    struct net_addr bound;        /* client: local address in use, no family while waiting */
    struct net_addr source;       /* client bound to any address: what the last datagrams came to */
    char device[16];              /* client: interface bound to */
    struct local_choice local;    /* client: which address of the interface */
    struct remote_choice remotes; /* client: the hub's addresses */
    struct net_addr remote;       /* of them the one in use; no family: not known yet */
    struct resolve *resolve;
    struct loop_io resolve_io;
    struct loop_timer bind_retry; /* after a local error, look again */
    char waiting_for[96];         /* why there is no socket; "" */

    struct quic_tx *tx; /* the burst being sent */
    bool tx_pending;    /* its socket is full: what is left of it waits */
    uint32_t tx_sent;
    int send_error;          /* client: of the last transmission; 0: it went out */
    uint64_t send_failed_ns; /* since when none has */
    struct path_trail trail; /* client */
    struct log_limit trouble_limit;
};

struct instance {
    const struct tunnel_config *config;
    struct tunnel_config *reloaded; /* config, when a reload has made it; owned */
    const char *file;               /* of the configuration; NULL: cannot be read again */
    struct helper *helper;
    struct loop_io helper_io;
    struct loop *loop;
    struct pkt_pool *pool;
    struct drop_counters drops;
    struct credentials cred;
    const struct aead_backend *aead;
    char authority[CONFIG_HOST_MAX + 16];
    char instance_id[CONFIG_INSTANCE_MAX];

    struct netlink *netlink;
    struct netlink_monitor *monitor;
    struct loop_io monitor_io;
    struct tun *tun; /* NULL while it is gone */
    struct loop_io tun_io;
    uint32_t tun_mtu;         /* that it has, or shall have */
    struct coalesce coalesce; /* packets for the TUN, of one turn */
    struct upkeep upkeep;

    struct instance_socket sockets[INSTANCE_SOCKETS];
    struct udp_buffers *udp_buffers; /* of all of them */
    struct rxturn rx;
    struct instance_path *paths[CONFIG_PATHS_MAX];     /* in the order of the configuration */
    unsigned n_paths;                                  /* 1 at least */
    struct instance_path *by_number[CONFIG_PATHS_MAX]; /* all, those too that leave; or NULL */

    struct edge *edge; /* one of the two */
    struct hub *hub;
    struct loop_timer timer;
    struct loop_deferred pump;
    struct quic_tx *tx; /* of the next burst */

    struct loop_signal sigterm, sigint, sighup;
    struct loop_timer telemetry, minute, watchdog;
    struct loop_deferred recheck; /* server: of the peers' certificates, after a reload */
    struct log_limit contested_limit;
    struct loop_timer expiry; /* server: of the peers' certificates */
    uint64_t expiry_ns;       /* when it is looked at next */
    uint64_t expiry_lines_ns; /* when the log tells of them again */
    struct wallclock wallclock;
    uint64_t bad_sources; /* drops of DROP_SOURCE that a line has been written about */
    struct log_limit bad_source_limit;
    struct log_limit refused_limit;
    struct log_limit up_limit, down_limit, path_limit,
        has_limit; /* server: lines that a peer can cause */
    struct {
        bool tun_offload, no_gso, no_gro, buffers;
    } told;                         /* there is a line about it */
    struct control_server *control; /* NULL: no socket */
    struct instance_history history;
    struct instance_files files;
    bool stopping;
    char assigned[256]; /* the addresses last logged */
    struct {
        bool known;              /* history.assigned is of the tunnel that is up */
        bool changed;            /* history.assigned is not in force yet */
        struct loop_timer pause; /* set: none is put in force before it ends */
    } assign;
};

/* uplink.c: the paths of a client. Make what there is of each by the configuration; returns 0 or
 * -ENOMEM. A server has one too. */
int instance_make_paths(struct instance *inst);
void instance_free_paths(struct instance *inst);

/* The same as the edge wants it. Returns how many: 0 without multipath_enabled. */
unsigned instance_path_opts(const struct tunnel_config *c,
                            struct edge_path_opts ret[EDGE_PATHS_MAX]);

/* Client: from now on the paths are those of next, which will be the configuration. What is new
 * begins with instance_begin_paths(), when that is in force. Returns 0, or -ENOMEM: nothing has
 * changed. */
int instance_change_paths(struct instance *inst, const struct tunnel_config *next);
void instance_begin_paths(struct instance *inst);

/* One that has left is over. */
void instance_path_gone(struct instance *inst, unsigned number);

/* Find the hub's address (anew), as this path reaches it; what is found goes to edge_set_addrs().
 */
void path_resolve(struct instance_path *p);

/* (Re)bind as the kernel says. */
void path_follow_address(struct instance_path *p);

/* A tunnel is up, from that address to the one in use. */
void path_proven(struct instance_path *p, const struct ip_addr *local);

/* In front of what is logged about a path: "path" or "path NAME". Returns buf. */
const char *path_title(const struct instance_path *p, char buf[static PATH_TITLE_MAX]);

/* setup.c: everything that is made once. Each returns EXIT_CODE_OK, or logs and returns why. */
enum exit_code instance_load_credentials(struct instance *inst);
enum exit_code instance_setup_tun(struct instance *inst);
void instance_set_mtu(struct instance *inst, size_t packet_max);
void instance_apply_mtu(struct instance *inst); /* the configuration has changed */

/* socket.c */
enum exit_code instance_open_listeners(struct instance *inst);
void instance_follow_addresses(struct instance *inst); /* (re)bind as the kernel says */
int path_open_socket(struct instance_path *p, unsigned slot, const struct net_addr *bind,
                     const char *device);
void path_close_sockets(struct instance_path *p);
void path_wait_for(struct instance_path *p, const char *what); /* without sockets, for that */
bool path_is_deaf(struct instance_path *p, const struct udp_socket *s, const char *device);
void path_retry_later(struct instance_path *p); /* after an error that no kernel event will end */
void path_socket_lost(struct instance_path *p); /* its interface is gone: look soon */
void instance_close_socket(struct instance *inst, unsigned slot);

/* Client: a socket for one more lane, bound as the first one but to a port of its own; and its end.
 * For struct edge_opts. */
int instance_lane_socket(void *user, unsigned path, unsigned lane, struct net_addr *ret_local,
                         unsigned *ret_socket);
void instance_lane_socket_done(void *user, unsigned path, unsigned lane, unsigned socket);
void instance_tell_udp_offload(struct instance *inst, const struct udp_socket *s);

/* traffic.c */
int instance_watch_tun(struct instance *inst);
int instance_watch_socket(struct instance *inst, struct instance_socket *s);
void instance_pump(struct instance *inst);
void instance_flush(struct instance *inst);    /* send all that can be sent now: the last words */
void path_drop_burst(struct instance_path *p); /* what is left to send is lost, and counted */
void instance_deliver(void *user, struct pkt *pkt);
void instance_receive(void *user, const uint8_t *data, const struct ip_view *v);

/* telemetry.c: a line about each path, and one about what was dropped */
void instance_log_telemetry(struct instance *inst);
void instance_apply_telemetry(struct instance *inst); /* from now on as often as configured */

/* expiry.c: from now on close peers whose certificate ends. */
void instance_watch_expiry(struct instance *inst);

/* A peer has come: its certificate may be the next one that ends. */
void instance_look_at_expiry(struct instance *inst);

/* warnings.c: what someone should look at, into s->warnings. Returns 0 or -ENOMEM. */
int instance_warn(const struct instance *inst, struct status *s);

/* treatment.c: how all packets of a session over several paths are treated, as the configuration
 * says; and the same for people, in a buffer of at least STATUS_TEXT_MAX bytes. */
struct treatment instance_treatment(const struct tunnel_config *c);
void instance_treatment_str(const struct tunnel_config *c, char *buf, size_t size);

/* policy.c: what the configuration allows, in *ret, which borrows from c, tokens and the list of
 * rules that is returned: free() it when *ret is done with. NULL when out of memory. */
struct hub_rule *instance_hub_policy(const struct tunnel_config *c, const struct hub_token *tokens,
                                     unsigned n_tokens, struct hub_policy *ret);

/* How many connections a hub takes with that configuration. */
unsigned instance_hub_lanes(const struct tunnel_config *c);

/* events.c: what edge and hub report, and a line about packets from sources not allowed */
void instance_note_bad_sources(struct instance *inst);
enum exit_code instance_exit_code(const struct edge_failure *f); /* of an edge that gave up */
/* What is outside the tunnel has changed: look soon whether the addresses that the hub has assigned
 * can be used still, or again. */
void instance_recheck_assigned(struct instance *inst);
extern const struct edge_events instance_edge_events;
extern const struct hub_events instance_hub_events;

#endif
