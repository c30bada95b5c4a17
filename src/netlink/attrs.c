#include "netlink/attrs.h"

struct attrs {
    const struct nlattr **v;
    unsigned max;
    const char *end; /* of the bytes that they are in */
    bool newer;
};

static int collect(const struct nlattr *a, void *data)
{
    struct attrs *t = data;
    ptrdiff_t room = t->end - (const char *)a;

    /* libmnl lets the last attribute of a message reach, or begin, in the padding after its length.
     */
    if (room < (ptrdiff_t)sizeof(*a) || a->nla_len > room)
        return MNL_CB_ERROR;
    if (mnl_attr_get_type(a) <= t->max)
        t->v[mnl_attr_get_type(a)] = a;
    else
        t->newer = true;
    return MNL_CB_OK;
}

bool attrs_parse(const struct nlmsghdr *h, size_t header, const struct nlattr **v, unsigned max,
                 bool *ret_newer)
{
    struct attrs t = {v, max, (const char *)h + h->nlmsg_len, false};

    if (mnl_attr_parse(h, (unsigned)header, collect, &t) < 0)
        return false;
    if (ret_newer)
        *ret_newer = t.newer;
    return true;
}

bool attrs_parse_nested(const struct nlattr *a, const struct nlattr **v, unsigned max)
{
    struct attrs t = {v, max, NULL, false};

    if (!a)
        return false;
    t.end = (const char *)a + a->nla_len;
    return mnl_attr_parse_nested(a, collect, &t) >= 0;
}
