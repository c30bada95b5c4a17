/* Revocation lists. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "pki/cert.h"
#include "pki/x509.h"

void crl_done(struct crl_table *t)
{
    free(t->v);
    *t = (struct crl_table){0};
}

static int read_entry(gnutls_x509_crl_t crl, unsigned i, struct crl_entry *ret)
{
    unsigned char raw[64];
    size_t n = sizeof(raw);
    time_t at = 0;

    if (gnutls_x509_crl_get_crt_serial(crl, i, raw, &n, &at) < 0)
        return -EINVAL;
    ret->revoked = (int64_t)at;
    return x509_serial_str(raw, n, ret->serial);
}

static uint64_t read_number(gnutls_x509_crl_t crl)
{
    unsigned char raw[64];
    size_t n = sizeof(raw);
    unsigned critical;
    uint64_t number = 0;

    if (gnutls_x509_crl_get_number(crl, raw, &n, &critical) < 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        number = number << 8 | raw[i];
    return number;
}

int crl_read(const struct file_text *crl, struct crl_table *ret, struct pki_error *e)
{
    _cleanup_crl_ gnutls_x509_crl_t list = NULL;
    struct crl_table t = {0};
    int n, rv = x509_crl_read(crl, &list, e);

    if (rv)
        return rv;
    n = gnutls_x509_crl_get_crt_count(list);
    if (n < 0 || n > PKI_INDEX_MAX)
        return pki_error_set(e, -EINVAL, "a revocation list of too many entries");
    t.v = calloc((size_t)n + 1, sizeof(*t.v));
    if (!t.v)
        return pki_error_set(e, -ENOMEM, "out of memory");
    for (int i = 0; i < n; i++)
        if (read_entry(list, (unsigned)i, &t.v[t.n++])) {
            crl_done(&t);
            return pki_error_set(e, -EINVAL, "entry %d of the revocation list is unreadable",
                                 i + 1);
        }
    t.this_update = (int64_t)gnutls_x509_crl_get_this_update(list);
    t.next_update = (int64_t)gnutls_x509_crl_get_next_update(list);
    t.number = read_number(list);
    crl_done(ret);
    *ret = t;
    return 0;
}

int crl_check_issuer(const struct file_text *crl, const struct file_text *ca, struct pki_error *e)
{
    _cleanup_crl_ gnutls_x509_crl_t list = NULL;
    _cleanup_crt_ gnutls_x509_crt_t crt = NULL;
    const unsigned in_time =
        GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE | GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED;
    unsigned status = 0;
    int rv = x509_crl_read(crl, &list, e);

    if (!rv)
        rv = x509_crt_read(ca, &crt, e);
    if (rv)
        return rv;
    rv = gnutls_x509_crl_verify(list, &crt, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    /* GnuTLS compares the times of a list whatever the flag says; a list from the future is not
     * wrong, this machine's clock is. */
    if (status & in_time)
        status &= ~(in_time | GNUTLS_CERT_INVALID);
    if (rv < 0 || status)
        return pki_error_set(e, -EINVAL, "the revocation list was not signed by this CA");
    return 0;
}

static int add_entry(gnutls_x509_crl_t crl, const struct crl_entry *entry)
{
    unsigned char raw[PKI_SERIAL_STR_MAX];
    size_t n = sizeof(raw);
    gnutls_datum_t hex = {.data = (unsigned char *)entry->serial,
                          .size = (unsigned)strlen(entry->serial)};
    int rv = gnutls_hex_decode(&hex, raw, &n);

    return rv < 0 ? rv : gnutls_x509_crl_set_crt_serial(crl, raw, n, (time_t)entry->revoked);
}

static int fill(gnutls_x509_crl_t crl, const struct crl_table *t, gnutls_x509_crt_t ca)
{
    unsigned char id[64], number[8];
    size_t len = sizeof(id), zeros = 0;
    int rv = gnutls_x509_crl_set_version(crl, 2);

    store_be32(number, (uint32_t)(t->number >> 32));
    store_be32(number + 4, (uint32_t)t->number);
    while (zeros < sizeof(number) - 1 && !number[zeros] && !(number[zeros + 1] & 0x80))
        zeros++; /* DER wants the shortest form */
    if (rv >= 0)
        rv = gnutls_x509_crl_set_this_update(crl, (time_t)t->this_update);
    if (rv >= 0)
        rv = gnutls_x509_crl_set_next_update(crl, (time_t)t->next_update);
    for (size_t i = 0; rv >= 0 && i < t->n; i++)
        rv = add_entry(crl, &t->v[i]);
    if (rv >= 0)
        rv = gnutls_x509_crl_set_number(crl, number + zeros, sizeof(number) - zeros);
    if (rv >= 0 && gnutls_x509_crt_get_subject_key_id(ca, id, &len, NULL) >= 0)
        rv = gnutls_x509_crl_set_authority_key_id(crl, id, len);
    return rv;
}

int crl_make(const struct crl_table *t, const struct cert_issuer *issuer, struct file_text *ret,
             struct pki_error *e)
{
    _cleanup_crl_ gnutls_x509_crl_t crl = NULL;
    _cleanup_crt_ gnutls_x509_crt_t ca = NULL;
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem;
    int rv = x509_crt_read(&issuer->cert, &ca, e);

    if (!rv)
        rv = x509_key_read(&issuer->key, &key, e);
    if (rv)
        return rv;
    rv = gnutls_x509_crl_init(&crl);
    if (rv >= 0)
        rv = fill(crl, t, ca);
    if (rv >= 0)
        rv = gnutls_x509_crl_sign2(crl, ca, key, x509_digest_of(ca), 0);
    if (rv >= 0)
        rv = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &pem);
    if (rv < 0)
        return pki_error_set(e, -EIO, "cannot make the revocation list: %s", gnutls_strerror(rv));
    return x509_text_take(&pem, ret, e);
}

int64_t crl_find(const struct crl_table *t, const char *serial)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->v[i].serial, serial))
            return t->v[i].revoked;
    return 0;
}
