/* A certificate authority in a directory:
 *
 *      ca.crt  ca.key          the authority; made by pki_init(), or brought from elsewhere
 *      crl.pem                 what is revoked; always there
 *      index.txt               what was issued (index.h)
 *      options/NAME            with which options the bundle of an edge was made; may be missing
 *      hub.txt                 "ADDRESS:PORT" of the hub that this authority serves, and the path
 * of its configuration; may be missing server/NAME/cert.pem    a certificate and its key: exchanged
 * together, as one directory server/NAME/key.pem client/NAME/...
 *
 * Every change holds the directory's lock, and takes effect in an order in which a crash between
 * two steps can leave a line of the index without a certificate, but never a certificate without a
 * line, and never lets a revocation be forgotten: the list is made of what the old list and the
 * index hold together.
 *
 * Reading needs no lock. Times come from the caller, in seconds since 1970.
 */
#ifndef PKI_STORE_H
#define PKI_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "pki/cert.h"
#include "pki/error.h"
#include "pki/file.h"
#include "pki/index.h"

enum {
    PKI_DAY_S = 86400,
    PKI_CA_DAYS = 3650,
    PKI_CERT_DAYS = 825,
    PKI_DAYS_MAX = 36500,
    /* Certificates begin to be valid this long before they are made, because many an edge has a
     * clock that is hours behind. */
    PKI_BACKDATE_S = 12 * 3600,
    PKI_HUB_MAX = 272
};

#define PKI_CERT_FILE "cert.pem"
#define PKI_KEY_FILE "key.pem"

/* Where and when. */
struct pki {
    char dir[FILE_PATH_MAX];
    int64_t now_s;
};

struct pki_init_opts {
    const char *name; /* common name of the authority; NULL = "mpquic CA" */
    unsigned days;    /* 0 = PKI_CA_DAYS */
    unsigned rsa_bits;
};

/* Make the authority. One that is there is kept and completed by what is missing of crl.pem and
 * index.txt; ca.crt and ca.key made elsewhere are checked first. Sets *ret_made when anything was
 * written, *ret_new when the authority itself is new. Returns 0 or -errno. */
int pki_init(const struct pki *p, const struct pki_init_opts *opts, bool *ret_made, bool *ret_new,
             struct pki_error *e);

/* Whether there is an authority. */
bool pki_exists(const struct pki *p);

struct pki_issue_opts {
    enum pki_kind kind; /* SERVER or CLIENT */
    const char *name;
    const char *const *sans; /* SERVER: besides the name */
    unsigned n_sans;
    unsigned days; /* 0 = PKI_CERT_DAYS; never past the authority's end */
    unsigned rsa_bits;
};

/* Issue a certificate with a new key. Returns 0; -EEXIST when there is one of that name that has
 * neither ended nor been revoked; -ENOENT without an authority; -EINVAL; other -errno. */
int pki_issue(const struct pki *p, const struct pki_issue_opts *opts, struct pki_error *e);

struct pki_renew_opts {
    const char *name;
    const char *const *sans; /* SERVER: names and addresses besides those it is for already */
    unsigned n_sans;
    unsigned days;
    bool new_key;      /* else the key stays */
    unsigned rsa_bits; /* of a new key */
};

/* Issue the certificate of a name anew, for the same names and purpose, and of a
 * server for more names if there are. The former one stays valid
 * until its own end. Sets *ret_kind. Returns 0; -ENOENT when there is none; -EKEYREVOKED when the
 * newest one was revoked and new_key is not set (the key may be in other hands). */
int pki_renew(const struct pki *p, const struct pki_renew_opts *opts, enum pki_kind *ret_kind,
              struct pki_error *e);

/* Revoke every certificate of a name that has not ended, or the one of a serial number (which need
 * not be in the index: an authority may have issued others before). Exactly one of name and serial
 * is given. *ret_n: how many were revoked now (0: all were already). Returns 0; -ENOENT. */
int pki_revoke(const struct pki *p, const char *name, const char *serial, unsigned *ret_n,
               struct pki_error *e);

/* What was issued, revocations by the list included. Free with index_done(). */
int pki_list(const struct pki *p, struct index_table *ret, struct pki_error *e);

/* Files of a name, e.g. pki_read(p, PKI_KIND_CLIENT, "edge1", PKI_KEY_FILE, ...). */
int pki_read(const struct pki *p, enum pki_kind kind, const char *name, const char *file,
             struct file_text *ret, struct pki_error *e);

/* The CA's certificate. */
int pki_read_ca(const struct pki *p, struct file_text *ret, struct pki_error *e);

/* The newest certificate of a name in the index, or NULL. kind PKI_KIND_COUNT: any. */
const struct index_entry *pki_newest(const struct index_table *t, const char *name,
                                     enum pki_kind kind);

/* Where the hub is that the authority serves. */
struct pki_hub {
    char address[PKI_HUB_MAX];  /* "ADDRESS:PORT", "[ADDRESS]:PORT" */
    char config[FILE_PATH_MAX]; /* its configuration, if this is its machine; "" = not known */
};

/* Remember it, or tell. pki_read_hub() returns -ENOENT when nothing is remembered, and -EINVAL. */
int pki_write_hub(const struct pki *p, const struct pki_hub *hub, struct pki_error *e);
int pki_read_hub(const struct pki *p, struct pki_hub *ret, struct pki_error *e);

#endif
