#include "daemon/checkcreds.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "config/report.h"
#include "config/schema.h"
#include "quic/tls.h"

enum { TEXT_MAX = 1024 * 1024, DAY_S = 24 * 3600, SOON_DAYS = 14 };

static const char begin[] = "-----BEGIN CERTIFICATE-----";

/* What is being looked at, and where complaints go. */
struct subject {
    const char *key; /* "tls_cert_file" */
    struct config_where at;
    int64_t now_s;
    struct config_report *report;
};

/* A file of at most 1 MiB, to be freed; NULL when it cannot be read or is no text. */
static char *read_text(const char *path)
{
    char *text = calloc(1, TEXT_MAX + 2);
    FILE *f = *path && text ? fopen(path, "re") : NULL;
    size_t n = f ? fread(text, 1, TEXT_MAX + 1, f) : 0;

    if (f)
        fclose(f);
    if (n && n <= TEXT_MAX && strlen(text) == n)
        return text;
    free(text);
    return NULL;
}

static const char *date_text(int64_t s, char buf[static 32])
{
    time_t t = (time_t)s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M UTC", &tm))
        snprintf(buf, 32, "an unknown time");
    return buf;
}

static const char *days_text(int64_t s, char buf[static 32])
{
    int days = (int)(s / DAY_S);

    if (days < 1)
        return "in less than a day";
    snprintf(buf, 32, "in %d day%s", days, days == 1 ? "" : "s");
    return buf;
}

static void check_dates(const struct subject *s, const struct quic_tls_cert_info *i,
                        bool others_remain, const char *remedy)
{
    char name[REPORT_QUOTE_MAX], date[32], days[32];

    report_quote(i->subject, strlen(i->subject), name);
    if (s->now_s < i->not_before_s)
        report_add(s->report, !others_remain, s->at, "is the clock of this machine right?",
                   "%s: the certificate '%s' is not valid before %s", s->key, name,
                   date_text(i->not_before_s, date));
    else if (s->now_s > i->not_after_s)
        report_add(s->report, !others_remain, s->at, remedy,
                   "%s: the certificate '%s' expired on %s", s->key, name,
                   date_text(i->not_after_s, date));
    else if (i->not_after_s - s->now_s < SOON_DAYS * DAY_S)
        report_add(s->report, false, s->at, remedy, "%s: the certificate '%s' expires on %s, %s",
                   s->key, name, date_text(i->not_after_s, date),
                   days_text(i->not_after_s - s->now_s, days));
}

/* The certificate of this end. */
static void check_own(const struct subject *s, const struct quic_tls_cert_info *i, bool server)
{
    if (server ? !i->for_server : !i->for_client)
        report_add(s->report, true, s->at,
                   server ? "use one made for a server, as mpquic pki server makes it"
                          : "use one made for a client, as mpquic pki client makes it",
                   "%s: the certificate may not be used by a %s (its extended key usage says what "
                   "for)",
                   s->key, server ? "server" : "client");
    if (server && !i->n_names)
        report_add(s->report, true, s->at,
                   "make one that carries the name or address that clients have as remote_addr",
                   "%s: the certificate has no subject alternative name, so no client can tell "
                   "whose it is",
                   s->key);
    if (i->authority)
        report_add(s->report, false, s->at, "use a certificate that the authority signed",
                   "%s: the certificate is an authority's own: who gets its key can let anybody in",
                   s->key);
    check_dates(s, i, false, server ? "make a new one: mpquic pki renew" : "get a new one");
}

/* The next certificate of a PEM text behind *at that can be read; false at the end. */
static bool next_certificate(const char **at, struct quic_tls_cert_info *ret)
{
    while ((*at = strstr(*at, begin))) {
        const char *p = *at;

        *at += sizeof(begin) - 1;
        if (!quic_tls_cert_info(p, strlen(p), ret))
            return true;
    }
    return false;
}

/* All that this end trusts. Only when none of them is valid does nothing work. */
static void check_authorities(const struct subject *s, const char *text)
{
    struct quic_tls_cert_info i;
    const char *at = text;
    bool some_valid = false;

    while (next_certificate(&at, &i))
        some_valid |= s->now_s >= i.not_before_s && s->now_s <= i.not_after_s;
    for (at = text; next_certificate(&at, &i);) {
        char name[REPORT_QUOTE_MAX];

        if (!i.authority)
            report_add(s->report, false, s->at,
                       "name the file of the authority that signed the peer's certificate",
                       "%s: the certificate '%s' is no authority's: it vouches for nobody but "
                       "itself",
                       s->key, report_quote(i.subject, strlen(i.subject), name));
        check_dates(s, &i, some_valid, "make a new authority, and give it to both ends");
    }
}

static void check_revocations(const struct subject *s, const char *text)
{
    int64_t due;
    char date[32];

    if (!quic_tls_crl_due_s(text, strlen(text), &due) && due < s->now_s)
        report_add(s->report, false, s->at, "put a newer one there",
                   "%s: the revocation list should have been replaced on %s; it still counts",
                   s->key, date_text(due, date));
}

void daemon_check_certificates(const struct tunnel_config *c, int64_t now_s,
                               struct config_report *report)
{
    struct subject own = {"tls_cert_file", report->where[CONFIG_KEY_TLS_CERT_FILE], now_s, report};
    struct subject ca = {"tls_ca_file", report->where[CONFIG_KEY_TLS_CA_FILE], now_s, report};
    struct subject crl = {"tls_crl_file", report->where[CONFIG_KEY_TLS_CRL_FILE], now_s, report};
    _cleanup_free_ char *own_text = read_text(c->tls_cert_file);
    _cleanup_free_ char *ca_text = read_text(c->tls_ca_file);
    _cleanup_free_ char *crl_text = read_text(c->tls_crl_file);
    struct quic_tls_cert_info i;

    if (own_text && !quic_tls_cert_info(own_text, strlen(own_text), &i))
        check_own(&own, &i, c->role == CONFIG_ROLE_SERVER);
    if (ca_text)
        check_authorities(&ca, ca_text);
    if (crl_text)
        check_revocations(&crl, crl_text);
}

/* The key whose file a complaint begins with; CONFIG_KEY_COUNT: none. */
static enum config_key_id key_of(const struct tunnel_config *c, const char *complaint)
{
    const struct {
        enum config_key_id key;
        const char *path;
    } files[] = {
        {CONFIG_KEY_TLS_CERT_FILE, c->tls_cert_file}, {CONFIG_KEY_TLS_CRL_FILE, c->tls_crl_file},
        {CONFIG_KEY_TLS_KEY_FILE, c->tls_key_file},   {CONFIG_KEY_TLS_CA_FILE, c->tls_ca_file},
        {CONFIG_KEY_TOKEN_FILE, c->token_file},       {CONFIG_KEY_TOKENS_FILE, c->tokens_file}};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        size_t n = strlen(files[i].path);

        if (n && !strncmp(complaint, files[i].path, n) && complaint[n] == ':')
            return files[i].key;
    }
    return CONFIG_KEY_COUNT;
}

void daemon_report_credentials(const struct tunnel_config *c, const char *complaint,
                               struct config_report *report)
{
    enum config_key_id key = key_of(c, complaint);
    bool is_token = key == CONFIG_KEY_TOKEN_FILE || key == CONFIG_KEY_TOKENS_FILE;
    struct config_where at = report->where[key < CONFIG_KEY_COUNT ? key : CONFIG_KEY_TLS_CERT_FILE];

    report_add(report, true, at.line ? at : report->where[CONFIG_KEY_TLS_CA_FILE],
               is_token ? NULL : "mpquic pki show FILE tells what a file holds", "%s", complaint);
}
