/* What a certificate says. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "quic/tls_creds.h"

void tls_cert_name(gnutls_x509_crt_t crt, char *dst, size_t len)
{
    size_t size = len;

    dst[0] = 0;
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, dst, &size) == 0 &&
        strlen(dst) == size) /* not "edge1", a zero, and something else */
        return;
    size = len;
    if (gnutls_x509_crt_get_subject_alt_name(crt, 0, dst, &size, NULL) != GNUTLS_SAN_DNSNAME ||
        strlen(dst) != size)
        dst[0] = 0;
}

static void fill_serial(gnutls_x509_crt_t crt, struct quic_tls_cert_info *ret)
{
    unsigned char serial[(QUIC_TLS_SERIAL_BYTES - 1) / 2];
    size_t n = sizeof(serial);

    if (gnutls_x509_crt_get_serial(crt, serial, &n))
        return;
    for (size_t i = 0; i < n; i++)
        snprintf(ret->serial + 2 * i, 3, "%02x", serial[i]);
}

/* One alternative name as text; false when it is neither a DNS name nor an address. */
static bool name_text(int type, const char *data, size_t len, char *dst)
{
    if (type == GNUTLS_SAN_DNSNAME && len < QUIC_TLS_NAME_BYTES) {
        memcpy(dst, data, len);
        dst[len] = 0;
        return true;
    }
    if (type != GNUTLS_SAN_IPADDRESS || (len != 4 && len != 16))
        return false;
    return inet_ntop(len == 4 ? AF_INET : AF_INET6, data, dst, QUIC_TLS_NAME_BYTES);
}

static void fill_names(gnutls_x509_crt_t crt, struct quic_tls_cert_info *ret)
{
    for (unsigned i = 0; ret->n_names < QUIC_TLS_NAMES_MAX; i++) {
        char data[QUIC_TLS_NAME_BYTES];
        size_t len = sizeof(data);
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, data, &len, NULL);

        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (type < 0)
            return;
        if (name_text(type, data, len, ret->names[ret->n_names]))
            ret->n_names++;
    }
}

/* RFC 5280, 4.2.1.12. */
static void fill_purposes(gnutls_x509_crt_t crt, struct quic_tls_cert_info *ret)
{
    bool some = false;

    for (unsigned i = 0;; i++) {
        char oid[128];
        size_t len = sizeof(oid);
        int rv = gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &len, NULL);
        bool any;

        if (rv == GNUTLS_E_SHORT_MEMORY_BUFFER) {
            some = true; /* none that we know is that long */
            continue;
        }
        if (rv < 0)
            break;
        some = true;
        any = !strcmp(oid, GNUTLS_KP_ANY);
        ret->for_server |= any || !strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER);
        ret->for_client |= any || !strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT);
    }
    if (!some)
        ret->for_server = ret->for_client = true;
}

static int cert_info(gnutls_x509_crt_t crt, struct quic_tls_cert_info *ret)
{
    size_t len = sizeof(ret->issuer);

    memset(ret, 0, sizeof(*ret));
    tls_cert_name(crt, ret->subject, sizeof(ret->subject));
    if (gnutls_x509_crt_get_issuer_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, ret->issuer,
                                             &len))
        ret->issuer[0] = 0;
    fill_serial(crt, ret);
    fill_names(crt, ret);
    fill_purposes(crt, ret);
    ret->authority = gnutls_x509_crt_get_ca_status(crt, NULL) > 0;
    ret->not_before_s = gnutls_x509_crt_get_activation_time(crt);
    ret->not_after_s = gnutls_x509_crt_get_expiration_time(crt);
    return 0;
}

static int import_info(const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format,
                       struct quic_tls_cert_info *ret)
{
    __attribute__((cleanup(tls_cleanup_crt))) gnutls_x509_crt_t crt = NULL;

    if (gnutls_x509_crt_init(&crt))
        return -ENOMEM;
    if (gnutls_x509_crt_import(crt, data, format))
        return -EINVAL;
    return cert_info(crt, ret);
}

int tls_cert_info_der(const gnutls_datum_t *der, struct quic_tls_cert_info *ret)
{
    return der->size ? import_info(der, GNUTLS_X509_FMT_DER, ret) : -ENOENT;
}

/* What GnuTLS only reads. */
static gnutls_datum_t datum_of(const void *bytes, size_t len)
{
    gnutls_datum_t d;

    d.data = (unsigned char *)bytes;
    d.size = (unsigned)len;
    return d;
}

int quic_tls_cert_info(const void *pem, size_t len, struct quic_tls_cert_info *ret)
{
    gnutls_datum_t data = datum_of(pem, len);

    return import_info(&data, GNUTLS_X509_FMT_PEM, ret);
}

int quic_tls_crl_due_s(const void *pem, size_t len, int64_t *ret)
{
    gnutls_datum_t data = datum_of(pem, len);
    gnutls_x509_crl_t *list = NULL;
    int64_t first = INT64_MAX;
    unsigned n = 0;

    if (gnutls_x509_crl_list_import2(&list, &n, &data, GNUTLS_X509_FMT_PEM, 0) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        time_t due = gnutls_x509_crl_get_next_update(list[i]);

        if (due != (time_t)-1)
            first = MIN(first, (int64_t)due);
        gnutls_x509_crl_deinit(list[i]);
    }
    gnutls_free(list);
    *ret = first;
    return 0;
}

int quic_tls_creds_info(const struct quic_tls_creds *c, struct quic_tls_cert_info *ret)
{
    return tls_cert_info_der(&c->own, ret);
}

int quic_tls_creds_ca_info(const struct quic_tls_creds *c, struct quic_tls_cert_info *ret)
{
    return tls_cert_info_der(&c->ca, ret);
}
