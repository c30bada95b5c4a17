/* The attributes of one level of a netlink message, by type, with every length checked. */
#ifndef NETLINK_ATTRS_H
#define NETLINK_ATTRS_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>

/* Point v[type], for types up to max, into the attributes of the message behind its header of that
 * many bytes, or into those nested in a (NULL: there are none). v begins as NULLs; of several of a
 * type the last one stays. *ret_newer (may be NULL): are there types above max, of a newer kernel?
 * False when they do not fit into the bytes that they are in; then v holds a part of them. */
bool attrs_parse(const struct nlmsghdr *h, size_t header, const struct nlattr **v, unsigned max,
                 bool *ret_newer);
bool attrs_parse_nested(const struct nlattr *a, const struct nlattr **v, unsigned max);

#endif
