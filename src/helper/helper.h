/* Two processes for one instance, so that what parses the Internet holds no privilege.
 *
 *      parent, "the helper"                        child, "the data plane"
 *      CAP_NET_ADMIN, CAP_NET_RAW,                 no capability, another user,
 *      CAP_NET_BIND_SERVICE,                       no_new_privs, seccomp
 *      CAP_DAC_READ_SEARCH
 *         |  <-- one request, one answer (descriptors by SCM_RIGHTS) --  |
 *         |  --- a stop or reload signal that the parent got  ------->   |
 *
 * The helper does the operations below and no others. Each is a request of bounded size that is
 * checked against the allow-list of the instance, which is its configuration: only the own TUN, the
 * addresses, prefixes, ports and files that stand there. What is not allowed is answered with
 * -EPERM and logged. The child ends with the parent, however that ends (PR_SET_PDEATHSIG), and the
 * parent ends with the child, with its exit code. */
#ifndef HELPER_HELPER_H
#define HELPER_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/drop.h"
#include "base/exitcode.h"
#include "config/config.h"
#include "netlink/netlink.h"
#include "tun/tun.h"
#include "udp/udp.h"

struct helper;

enum {
    HELPER_TEXT_MAX = 256,
    HELPER_FILE_MAX = 1 << 20,   /* bytes of a file that helper_file_read() takes */
    HELPER_ROUTE_METRIC = 4096,  /* of each route into the TUN */
    HELPER_RULE_PRIORITY = 1090, /* of the first kind of rule; the next one has the next */
    HELPER_ROUTES_MAX = NETLINK_BATCH_MAX,
    HELPER_SECRET_BYTES = 32,
    HELPER_AUTO_ADDRS_MAX = 2, /* assigned addresses of a family on the TUN of a client */
};

struct helper_opts {
    const struct tunnel_config *config; /* outlives helper_run() */
    const char *file;                   /* of the configuration; NULL: it cannot be read again */
    const char *name;                   /* of the instance (base/place.h) */
};

typedef enum exit_code helper_data_plane(struct helper *h, void *user);

/* Fork. The child gives up every privilege and runs fn, the parent serves its requests until it
 * ends. Both return fn's exit code (the parent: EXIT_CODE_INTERNAL when the child was killed, one
 * line has been logged then); both return EXIT_CODE_START, with one line logged, when privileges
 * cannot be given up. Must be called before the process has threads. */
enum exit_code helper_run(const struct helper_opts *opts, helper_data_plane *fn, void *user);

/* --- everything below is called by the data plane ---------------------------------------
 * Each call waits for the helper's answer. Beside what is written at each: -EPERM: not allowed
 * by the configuration, or privilege is missing; -EPIPE: the helper is gone. */

/* The instance's name. */
const char *helper_name(const struct helper *h);

/* Readable when helper_event() has something. */
int helper_event_fd(const struct helper *h);

/* The number of a signal that the helper got and that is meant for us (SIGTERM, SIGINT, SIGHUP),
 * 0 when none waits, -EPIPE when the helper is gone. */
int helper_event(struct helper *h);

/* Open the instance's TUN, as tun_open() does: persistent, and owned by the service user where
 * there is one. One that the dead process before us still holds is waited for, a second at most.
 * *ret counts its drops in drops. Errors are those of tun_open(). Called again when the TUN was
 * deleted: all requests below then mean the new one. */
int helper_tun_open(struct helper *h, struct drop_counters *drops, struct tun **ret);

/* Set the TUN up; its MTU (1280 to 65535). -ENODEV: it is not there (any more). */
int helper_tun_up(struct helper *h);
int helper_tun_mtu(struct helper *h, uint32_t mtu);

/* Give the TUN the name again that the configuration says. -EEXIST: another interface has it. */
int helper_tun_name(struct helper *h);

/* Put an address on the TUN, or take it away. Allowed are the addresses of tun_cidr; on a client
 * without tun_cidr those of policy_addr_is_assignable(), HELPER_AUTO_ADDRS_MAX of each family at a
 * time. Taken away may be whatever we made ourselves. Errors of netlink_addr_add() and
 * netlink_addr_del(). */
int helper_addr_add(struct helper *h, const struct ip_prefix *p);
int helper_addr_del(struct helper *h, const struct ip_prefix *p);

/* Put n routes into the TUN (at most HELPER_ROUTES_MAX), metric HELPER_ROUTE_METRIC, in the
 * configured table; or take n of them away. Allowed are, on a client, `routes`; on a server the
 * prefixes of peers and peer_prefixes, but no /0. Taken away may be whatever we made ourselves, in
 * any table, as long as it leads into the TUN. Of v[i] only dst counts, and table and metric when
 * it is taken away. Returns 0 when all was tried, and *ret says what came of it; -EPERM, and
 * nothing was done: one of them is not allowed; other -errno of netlink_route_batch(). */
struct helper_routes_result {
    uint32_t done; /* how many of them */
    uint32_t at;   /* the first that failed, and why, as netlink_route_batch(); 0: none did */
    int32_t error;
};
int helper_routes(struct helper *h, bool add, const struct netlink_route *v, unsigned n,
                  struct helper_routes_result *ret);

/* A rule for what this machine sends from a tunnel address, with the priority HELPER_RULE_PRIORITY
 * and its kind, into config_source_table(). Allowed are the addresses of tun_cidr and those that
 * helper_addr_add() has put on the TUN, while there is such a table. Taken away may be whatever we
 * made ourselves for one of these, or for an address that no interface has. Errors of
 * netlink_rule_add() and netlink_rule_del(). */
int helper_rule_add(struct helper *h, const struct ip_addr *src, enum netlink_rule_kind kind);
int helper_rule_del(struct helper *h, const struct ip_addr *src, uint32_t priority);

/* Open a UDP socket as udp_socket_open() does. Allowed are, on a server, the configured address and
 * port (":: and 0.0.0.0 when none is configured); on a client port 0 and the configured address or
 * interface. A port that the dead process before us still holds is waited for, a second at most. */
int helper_udp_open(struct helper *h, const struct udp_socket_opts *opts, struct udp_socket **ret);

/* The files that the configuration names. */
enum helper_file {
    HELPER_FILE_CONFIG,
    HELPER_FILE_CERT,
    HELPER_FILE_KEY,
    HELPER_FILE_CA,
    HELPER_FILE_CRL,
    HELPER_FILE_TOKEN,
    HELPER_FILE_TOKENS,
    HELPER_FILE_COUNT
};

/* What changes when a file is replaced or written. */
struct helper_stamp {
    uint64_t ino;
    int64_t mtime_ns;
    uint64_t size_bytes;
};

/* Read a file; staged: as the staged configuration names it. *ret is to be freed by the caller
 * (wipe it when it is a secret) and has a NUL behind its len bytes. -ENOENT: there is none, or the
 * configuration names none; -EFBIG: larger than HELPER_FILE_MAX; -EINVAL: not a regular file;
 * other -errno of open() and read(). */
int helper_file_read(struct helper *h, enum helper_file file, bool staged, char **ret, size_t *len);
int helper_file_stat(struct helper *h, enum helper_file file, bool staged,
                     struct helper_stamp *ret);

/* Only open it: returns the descriptor, which the caller closes, or -errno as above. */
int helper_file_open(struct helper *h, enum helper_file file, bool staged);

/* Read the configuration file anew. When it has no errors the helper keeps it as the staged one,
 * in place of one staged before. Its text is returned in any case (as by helper_file_read()). */
int helper_config_stage(struct helper *h, char **ret, size_t *len);

/* Make the staged configuration the one that requests are checked against, or forget it.
 * -ENOENT: nothing is staged. What was allowed before and no longer is stays open or in place; take
 * it away with the calls above. */
int helper_config_commit(struct helper *h, bool commit);

/* The listening control socket (SOCK_STREAM, non-blocking; base/place.h says where; mode 0660,
 * group mpquic where there is one). The caller owns the descriptor; the file is removed when the
 * instance ends. To be called once the TUN is open: only its owner may replace a socket file that
 * nobody listens on. Returns the descriptor or -errno (-EADDRINUSE: somebody listens on it). */
int helper_control_socket(struct helper *h);

/* Is its file still there? 0; -ENOENT: none, or another one has its name. */
int helper_control_look(struct helper *h);

/* What the service manager is told (sd_notify(3)), if there is one. */
enum helper_notify {
    HELPER_NOTIFY_READY,
    HELPER_NOTIFY_WATCHDOG,
    HELPER_NOTIFY_RELOADING, /* HELPER_NOTIFY_READY says that it is over */
    HELPER_NOTIFY_STOPPING,
    HELPER_NOTIFY_COUNT
};
int helper_notify(struct helper *h, enum helper_notify what);

/* A line, cut to HELPER_TEXT_MAX - 1 bytes: what the instance does now, for the service manager; or
 * why it is about to end, for `mpquic status` (last.h). */
enum helper_text { HELPER_TEXT_STATUS, HELPER_TEXT_END, HELPER_TEXT_COUNT };
int helper_tell(struct helper *h, enum helper_text what, const char *text);

/* How often HELPER_NOTIFY_WATCHDOG must be sent at least; 0: it need not. */
uint64_t helper_watchdog_ns(const struct helper *h);

/* The wall-clock time (seconds since 1970) that was saved last, in the state directory. -ENOENT:
 * none. Saving never fails for the caller: a directory that cannot be written, or a full disk, is
 * one line in the log. */
int helper_time_load(struct helper *h, int64_t *ret);
void helper_time_save(struct helper *h, int64_t now_s);

/* The instance's secret for stateless resets, in the state directory: made when there is none yet,
 * then always the same. Errors of the file system. */
int helper_reset_secret(struct helper *h, uint8_t ret[static HELPER_SECRET_BYTES]);

#endif
