/* Everything that an edge needs for its first connection, in one text file:
 *
 *      mpquic-bundle 1
 *      name: edge1
 *      hub: 203.0.113.10:45010
 *      server-name: 203.0.113.10
 *      tunnel: mpq0
 *      address: 10.200.10.1/24
 *      network: 10.200.10.0/24
 *      route: 0.0.0.0/0
 *      route: ::/0
 *      route-table: 100
 *      created: 2026-01-02T03:04:05Z
 *      [ca]
 *      -----BEGIN CERTIFICATE-----
 *      ...
 *      [certificate]
 *      ...
 *      [key]
 *      ...
 *      [end]
 *
 * "address" (a fixed one), "network" (of the tunnel; with addresses from the hub's pool) and
 * "route" may be repeated; name, hub and the three sections must be there, in this order; "#"
 * begins a comment. The last line shows a file that was cut short. It holds a private key: mode
 * 0600.
 *
 * Such a file travels by mail and USB stick: whatever is in one, parsing it is safe, every name in
 * it is one that can be a file's, and every PEM section holds PEM and nothing else.
 */
#ifndef PKI_BUNDLE_H
#define PKI_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "pki/error.h"
#include "pki/file.h"
#include "pki/index.h"

enum {
    BUNDLE_VERSION = 1,
    BUNDLE_BYTES_MAX = 256 * 1024,
    BUNDLE_HOST_MAX = 254,
    BUNDLE_NAME_MAX = 32, /* without the zero: it is the instance's name too */
    BUNDLE_ADDRS_MAX = 2,
    BUNDLE_ROUTES_MAX = 64,
    BUNDLE_PORT = 45010
};

struct bundle {
    char name[BUNDLE_NAME_MAX + 1];
    char hub[BUNDLE_HOST_MAX]; /* literal address or host name */
    uint16_t port;
    char server_name[BUNDLE_HOST_MAX]; /* "" = hub */
    char tunnel[16];                   /* name of the TUN interface */
    struct ip_prefix addr[BUNDLE_ADDRS_MAX];
    unsigned n_addr;
    struct ip_prefix network[BUNDLE_ADDRS_MAX];
    unsigned n_network;
    struct ip_prefix route[BUNDLE_ROUTES_MAX];
    unsigned n_route;
    uint32_t route_table; /* 0 = main */
    int64_t created;      /* seconds since 1970, 0 = not said */
    struct file_text ca, cert, key;
};

/* Wipe and free what *b holds. */
void bundle_done(struct bundle *b);

/* Read a bundle. Pure. Returns 0, or -EINVAL with the line and what is wrong with it, -ENOMEM;
 * *ret stays untouched on failure. Does not look into the certificates. */
int bundle_parse(const char *text, size_t len, struct bundle *ret, struct pki_error *e);

/* The text of a bundle, which bundle_parse() reads back to the same. Returns 0 or -ENOMEM. */
int bundle_print(const struct bundle *b, struct file_text *ret, struct pki_error *e);

/* Whether what is in the sections belongs together: the key to the certificate, the certificate to
 * the CA, for a client. Times are not looked at. Returns 0 or -EINVAL. */
int bundle_check(const struct bundle *b, struct pki_error *e);

/* Whether name can be the name of an instance: as pki_name_ok() without ':', at most
 * BUNDLE_NAME_MAX characters. */
bool bundle_name_ok(const char *name);

/* Take "HOST", "HOST:PORT", "ADDRESS", "[ADDRESS]:PORT" apart; *ret_port stays as it was when none
 * is written. Returns 0 or -EINVAL. */
int bundle_hub_parse(const char *text, char ret_host[static BUNDLE_HOST_MAX], uint16_t *ret_port);

/* The reverse. Returns buf. */
const char *bundle_hub_str(const char *host, uint16_t port, char buf[static BUNDLE_HOST_MAX + 16]);

#endif
