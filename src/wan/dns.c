#include "wan/dns.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

enum {
    HEADER = 12,
    LABEL_MAX = 63,
    NAME_MAX_BYTES = 255, /* RFC 1035 2.3.4, with the root's length */
    FLAG_RESPONSE = 0x8000,
    FLAG_CUT = 0x0200,
    FLAG_RECURSE = 0x0100,
    OPCODE = 0x7800,
    RCODE = 0x000f,
    RCODE_OK = 0,
    RCODE_NXDOMAIN = 3,
    CLASS_IN = 1,
    TYPE_A = 1,
    TYPE_AAAA = 28
};

static const uint16_t types[] = {[GATEWAY_RECORD_A] = TYPE_A,
                                 [GATEWAY_RECORD_AAAA] = TYPE_AAAA,
                                 [GATEWAY_RECORD_NS] = 2,
                                 [GATEWAY_RECORD_SOA] = 6};

/* --- the question ---------------------------------------------------------------------- */

/* A name as labels. A dot at its end changes nothing. Returns its length, 0: it cannot be. */
static size_t write_name(const char *name, uint8_t *buf)
{
    size_t n = 0;

    while (*name) {
        size_t label = strcspn(name, ".");

        if (!label || label > LABEL_MAX || n + 1 + label + 1 > NAME_MAX_BYTES)
            return 0;
        buf[n++] = (uint8_t)label;
        memcpy(buf + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    buf[n] = 0;
    return n + 1;
}

int dns_query_write(const char *name, enum gateway_record record, uint16_t id,
                    uint8_t buf[static DNS_QUERY_MAX], size_t *ret_len)
{
    size_t n;

    memset(buf, 0, DNS_QUERY_MAX);
    n = write_name(name, buf + HEADER);
    if (!n || (size_t)record >= ARRAY_LEN(types))
        return -EINVAL;
    store_be16(buf, id);
    store_be16(buf + 2, FLAG_RECURSE);
    store_be16(buf + 4, 1);
    store_be16(buf + HEADER + n, types[record]);
    store_be16(buf + HEADER + n + 2, CLASS_IN);
    *ret_len = HEADER + n + 4;
    return 0;
}

/* --- the answer ------------------------------------------------------------------------ */

/* Upper and lower case are the same (RFC 4343); what is no letter is a length or a number. */
static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_question(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len)
{
    if (len < query_len || query_len < HEADER + 5)
        return false;
    for (size_t i = HEADER; i < query_len - 4; i++)
        if (lower(data[i]) != lower(query[i]))
            return false;
    return !memcmp(data + query_len - 4, query + query_len - 4, 4);
}

/* Past a name that may end in a pointer to another place, which is not followed. 0: there is
 * none. */
static size_t skip_name(const uint8_t *data, size_t len, size_t at)
{
    size_t begin = at;

    while (at < len && at - begin < NAME_MAX_BYTES) {
        if (!data[at])
            return at + 1;
        if (data[at] >> 6 == 3)
            return at + 2 <= len ? at + 2 : 0;
        if (data[at] >> 6)
            return 0;
        at += 1u + data[at];
    }
    return 0;
}

/* Past one record, which is counted when it is an address. 0: there is none. */
static size_t read_record(const uint8_t *data, size_t len, size_t at, unsigned *addresses)
{
    uint16_t type, class, bytes;

    at = skip_name(data, len, at);
    if (!at || len - at < 10)
        return 0;
    type = load_be16(data + at);
    class = load_be16(data + at + 2);
    bytes = load_be16(data + at + 8);
    at += 10;
    if (len - at < bytes)
        return 0;
    *addresses +=
        class == CLASS_IN && ((type == TYPE_A && bytes == 4) || (type == TYPE_AAAA && bytes == 16));
    return at + bytes;
}

int dns_answer_read(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len,
                    uint16_t *ret_id, struct dns_answer *ret)
{
    struct dns_answer a = {0};
    size_t at = query_len;
    uint16_t flags;

    if (len < HEADER)
        return -EINVAL;
    flags = load_be16(data + 2);
    if (!(flags & FLAG_RESPONSE) || flags & OPCODE || load_be16(data + 4) != 1 ||
        !same_question(data, len, query, query_len))
        return -EINVAL;
    for (unsigned i = load_be16(data + 6); i; i--) {
        at = read_record(data, len, at, &a.n_addresses);
        if (!at && flags & FLAG_CUT)
            break;
        if (!at)
            return -EINVAL;
    }
    a.rcode = flags & RCODE;
    *ret_id = load_be16(data);
    *ret = a;
    return 0;
}

bool dns_answer_counts(const struct dns_answer *a, enum gateway_expect expect)
{
    switch (expect) {
    case GATEWAY_EXPECT_ANSWER:
        return a->rcode == RCODE_OK || a->rcode == RCODE_NXDOMAIN;
    case GATEWAY_EXPECT_ANY:
        return true;
    case GATEWAY_EXPECT_ADDRESS:
        return a->rcode == RCODE_OK && a->n_addresses;
    case GATEWAY_EXPECT_NXDOMAIN:
        return a->rcode == RCODE_NXDOMAIN;
    }
    return false;
}
