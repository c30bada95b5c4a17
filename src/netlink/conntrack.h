/* The kernel's table of connections (ctnetlink): read it, and delete from it.
 *
 * Wants CAP_NET_ADMIN in the network namespace, and nothing else: reading, too. A kernel in which
 * nothing tracks connections has an empty table. */
#ifndef NETLINK_CONNTRACK_H
#define NETLINK_CONNTRACK_H

#include "base/addr.h"

/* One direction of a flow, as the packets of that direction look where they come in. */
struct conntrack_tuple {
    struct ip_addr src, dst;
    uint8_t protocol;
    uint16_t src_port, dst_port; /* TCP, UDP, SCTP, DCCP; GRE: its keys; else 0 */
    uint16_t icmp_id;            /* ICMP, ICMPv6; else 0 */
    uint8_t icmp_type, icmp_code;
};

/* Bits of the status, with the values of linux/netfilter/nf_conntrack_common.h
 * (ip_conntrack_status). */
enum {
    CONNTRACK_SEEN_REPLY = 1 << 1, /* packets went both ways */
    CONNTRACK_ASSURED = 1 << 2,
    CONNTRACK_SRC_NAT = 1 << 4,
    CONNTRACK_DST_NAT = 1 << 5,
};

struct conntrack_count {
    uint64_t packets, bytes;
};

struct conntrack_entry {
    struct conntrack_tuple orig,
        reply; /* reply is orig turned around, but for what is translated */
    uint32_t status;
    uint32_t mark;
    uint32_t timeout_s; /* until it is forgotten, when no packet comes */
    uint32_t id;        /* another one has another */
    uint16_t zone;      /* of the original direction */
    bool zone_of_orig;  /* the zone is of that direction alone */
    bool has_counts;    /* net.netfilter.nf_conntrack_acct is on */
    struct conntrack_count sent, received;
    uint64_t began_real_ns; /* since 1970; 0: net.netfilter.nf_conntrack_timestamp is off */
    uint8_t tcp_state;      /* TCP_CONNTRACK_* of linux/netfilter/nf_conntrack_tcp.h; else 0 */
};

/* Which entries: those that meet all that is set. Start from {0}: all entries of every zone. */
struct conntrack_filter {
    uint8_t family;                        /* 4 or 6; 0: both */
    uint8_t protocol;                      /* 0: any */
    uint32_t mark, mark_mask;              /* mask 0: any */
    uint32_t status, status_mask;          /* mask 0: any */
    struct ip_prefix orig_src, orig_dst;   /* family 0: any */
    struct ip_prefix reply_src, reply_dst; /* what is translated: reply_dst is its public source */
    bool (*also)(void *user, const struct conntrack_entry *e); /* NULL: no further condition */
    void *user;
};

bool conntrack_matches(const struct conntrack_filter *f, const struct conntrack_entry *e);

/* What becomes of the tuple in an answer: what the packets of the other direction look like when
 * nothing is translated. */
struct conntrack_tuple conntrack_tuple_turned(const struct conntrack_tuple *t);

/* Returns 0 or -errno (-EPROTONOSUPPORT: a kernel without netfilter). Close accepts NULL. */
struct conntrack;
int conntrack_open(struct conntrack **ret);
void conntrack_close(struct conntrack *ct);

/* Hand the entries that meet the filter (NULL: all) to cb, in no order. Such as come or go
 * meanwhile may be missing. cb may delete entries, and no more of ct. Returns 0 or -errno: -EPERM;
 * -EBADMSG: an entry could not be understood, and was left out. */
typedef void conntrack_cb(void *user, const struct conntrack_entry *e);
int conntrack_each(struct conntrack *ct, const struct conntrack_filter *f, conntrack_cb *cb,
                   void *user);

/* Delete exactly this entry. -ENOENT: it is gone, perhaps with another one in its place. */
int conntrack_delete(struct conntrack *ct, const struct conntrack_entry *e);

/* Delete all that meet the filter (NULL: everything): the next packet of each begins a new flow.
 * *ret_n (may be NULL) is how many were deleted, also when it fails. The table is walked once, so
 * that the time is bounded however fast others add to it. Returns 0 or -errno, as above. */
int conntrack_flush(struct conntrack *ct, const struct conntrack_filter *f, unsigned *ret_n);

/* A message about an entry (IPCTNL_MSG_CT_NEW) to its struct. Returns 0; -ENOMSG: it is about
 * something else, or not of IPv4 or IPv6; -EBADMSG: it cannot be understood. */
int conntrack_parse(const void *message, struct conntrack_entry *ret);

#endif
