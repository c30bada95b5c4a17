/* What the verbs around certificates (pki, init, join) share. */
#ifndef CLI_PKI_H
#define CLI_PKI_H

#include "cli/cli.h"
#include "config/config.h"
#include "pki/bundle.h"
#include "pki/store.h"

enum { CLI_LIST_MAX = 64 };

/* What a repeated option has gathered; borrowed from argv. */
struct cli_list {
    const char *v[CLI_LIST_MAX];
    unsigned n;
};

/* Returns false when the list is full. */
bool cli_list_add(struct cli_list *list, const char *value);

/* "mpquic VERB: TEXT" to standard error. Returns EXIT_CODE_FILES. */
int cli_failed(const struct cli_verb *verb, const struct pki_error *e);

/* The authority's directory: dir, else $MPQUIC_PKI_DIR, else /etc/mpquic/pki; and the time now.
 * Returns 0 or -errno. */
int cli_pki_at(const char *dir, struct pki *ret, struct pki_error *e);

/* A number of an option. Returns 0, or -EINVAL after having said what is wrong. */
int cli_number(const struct cli_verb *verb, const char *option, const char *text, unsigned max,
               unsigned *ret);

/* The network that an option names, ADDRESS/LENGTH without host bits. Returns 0 or -EINVAL. */
int cli_network(const char *option, const char *text, struct ip_prefix *ret, struct pki_error *e);

/* The network of a tunnel that an option names, as the hub's own address in it: ADDRESS/LENGTH is
 * taken as it is, of NETWORK/LENGTH the hub gets the last address that a host can have (IPv6: the
 * one that ends in fe). Returns 0 or -EINVAL. */
int cli_hub_network(const char *option, const char *text, struct ip_prefix *ret,
                    struct pki_error *e);

/* A host name or literal address, of a host that others reach. Returns 0 or -EINVAL. */
int cli_host(const char *text, struct pki_error *e);

/* The number of a routing table, 0 is main. Returns 0 or -EINVAL. */
int cli_table(const char *option, const char *text, uint32_t *ret, struct pki_error *e);

/* What goes into a bundle, besides the certificates. */
struct cli_bundle_opts {
    const char *out;         /* file to write; NULL = NAME.mpquic; "-" = standard output */
    const char *hub;         /* NULL = what mpquic init has remembered */
    const char *server_name; /* NULL = found from the server certificates, else the hub */
    const char *tunnel;      /* NULL = mpq0 */
    const char *table;       /* NULL = 100 */
    struct cli_list addresses, networks, behind, routes;
};

/* Fill everything of the bundle but the certificates, and the entry that the hub must have in peers
 * (nothing but a name: none): what can be wrong is found before a certificate is issued. Returns 0
 * or -errno. */
int cli_bundle_begin(const struct pki *p, const char *name, const struct cli_bundle_opts *opts,
                     struct bundle *ret, struct config_peer *ret_fixed, struct pki_error *e);

/* Add the client's certificate and write the file, whose name is ret_file. */
int cli_bundle_finish(const struct pki *p, const struct cli_bundle_opts *opts, struct bundle *b,
                      char ret_file[static FILE_PATH_MAX], struct pki_error *e);

extern const struct cli_verb cli_pki_show;

#endif
