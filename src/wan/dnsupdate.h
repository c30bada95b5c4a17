/* A signed update of one name in DNS (RFC 2136, TSIG of RFC 8945 with hmac-sha256), and the answer
 * to it. Pure, but for the HMAC of the library. */
#ifndef WAN_DNSUPDATE_H
#define WAN_DNSUPDATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum { DNSUPDATE_MAX = 1400, DNSUPDATE_NAME_MAX = 255, DNSUPDATE_MAC_LEN = 32 };

/* A name as on the wire, in small letters. */
struct dnsupdate_name {
    uint8_t b[DNSUPDATE_NAME_MAX];
    size_t len;
};

struct dnsupdate_key {
    struct dnsupdate_name name;
    uint8_t secret[128];
    size_t secret_len;
};

struct dnsupdate {
    const char *zone, *name;
    uint32_t ttl_s;
    struct ip_addr address; /* the only one of its family that the name is to have */
    uint16_t id;
};

/* `key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`, as tsig-keygen(8) writes it. Returns
 * 0; -EINVAL: it is none, or of another algorithm. */
int dnsupdate_key_parse(const char *text, struct dnsupdate_key *ret);

/* The request, signed at that time (seconds since 1970). Returns 0; -EINVAL: no such name can be;
 * -ENOTSUP: no HMAC. */
int dnsupdate_write(const struct dnsupdate *u, const struct dnsupdate_key *key, int64_t now_s,
                    uint8_t buf[static DNSUPDATE_MAX], size_t *ret_len,
                    uint8_t ret_mac[static DNSUPDATE_MAC_LEN]);

/* What the server says to the request with that id and mac. 0: it is done; a positive rcode of DNS:
 * refused (that may be unsigned); -EKEYREJECTED: its signature is missing or wrong; -EBADMSG: it is
 * no answer to this. */
int dnsupdate_read(const uint8_t *data, size_t len, uint16_t id, const struct dnsupdate_key *key,
                   const uint8_t mac[static DNSUPDATE_MAC_LEN], int64_t now_s);

/* "NOTAUTH"; "?" for what has no name. */
const char *dnsupdate_rcode_name(int rcode);

#endif
