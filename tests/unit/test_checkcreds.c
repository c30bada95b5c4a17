#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "certs.h"
#include "config/schema.h"
#include "daemon/checkcreds.h"

/* What `mpquic check` says about certificates that parse: made here, looked at on given days. */

static struct fixture {
    char dir[64];
    struct cert ca;
    int64_t today_s;
} fx;

static int setup(void **state)
{
    snprintf(fx.dir, sizeof(fx.dir), "/tmp/test-checkcreds-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    fx.today_s = time(NULL);
    cert_make(&fx.ca, fx.dir,
              &(struct cert_spec){.name = "authority", .days_from = -1000, .days_to = 1000});
    return 0;
}

static int teardown(void **state)
{
    cert_done(&fx.ca);
    return rmdir(fx.dir);
}

/* A sound certificate of either end, of which a test changes one thing. */
static struct cert_spec sound(bool server)
{
    return (struct cert_spec){.name = server ? "hub" : "edge",
                              .issuer = &fx.ca,
                              .dns = server ? "hub.example" : NULL,
                              .purpose =
                                  server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT,
                              .days_from = -100,
                              .days_to = 100};
}

static void config_fill(struct tunnel_config *c, bool server, const char *cert, const char *ca)
{
    *c = (struct tunnel_config){.role = server ? CONFIG_ROLE_SERVER : CONFIG_ROLE_CLIENT};
    snprintf(c->tls_cert_file, sizeof(c->tls_cert_file), "%s", cert);
    snprintf(c->tls_ca_file, sizeof(c->tls_ca_file), "%s", ca);
}

/* The report on c, days from today, as lines "E: TEXT". To be freed. */
static char *report_on(const struct tunnel_config *c, int days)
{
    struct config_report report = {0};
    char *out = NULL;
    size_t len;
    FILE *f = open_memstream(&out, &len);

    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
        report.where[i] = (struct config_where){i + 1, 1};
    daemon_check_certificates(c, fx.today_s + days * 86400LL, &report);
    for (size_t i = 0; i < report.n; i++) {
        fprintf(f, "%c%u: %s\n", report.v[i].fatal ? 'E' : 'W', report.v[i].line, report.v[i].text);
        assert_true(report.v[i].hint[0] != 0);
    }
    fclose(f);
    config_report_done(&report);
    return out;
}

/* Make the certificate and compare what is said about it; "" means nothing. Every "%" in want
 * stands for a date. */
static void expect(bool server, const struct cert_spec *spec, int days, const char *want)
{
    struct tunnel_config c;
    struct cert cert;
    char *got, *g;

    cert_make(&cert, fx.dir, spec);
    config_fill(&c, server, cert.cert_file, fx.ca.cert_file);
    got = g = report_on(&c, days);
    for (const char *w = want; *w; w++) {
        if (*w == '%') {
            assert_true(strlen(g) > 20);
            assert_memory_equal(g + 16, " UTC", 4);
            g += 20;
            continue;
        }
        if (*g != *w)
            print_error("%s", got);
        assert_int_equal(*g++, *w);
    }
    if (*g)
        print_error("%s", got);
    assert_string_equal(g, "");
    free(got);
    cert_done(&cert);
}

static void sound_ones(void **state)
{
    struct cert_spec server = sound(true), client = sound(false);

    expect(true, &server, 0, "");
    expect(false, &client, 0, "");
    expect(true, &server, 85, "");
    server.purpose = client.purpose = NULL; /* not restricted */
    expect(true, &server, 0, "");
    expect(false, &client, 0, "");
    server.purpose = GNUTLS_KP_ANY;
    expect(true, &server, 0, "");
}

static void dates(void **state)
{
    struct cert_spec s = sound(false);
    char at[16], want[256];

    snprintf(at, sizeof(at), "%d", CONFIG_KEY_TLS_CERT_FILE + 1);
    snprintf(want, sizeof(want),
             "W%s: tls_cert_file: the certificate 'edge' expires on %%, in 13 "
             "days\n",
             at);
    expect(false, &s, 87, want);
    snprintf(want, sizeof(want), "E%s: tls_cert_file: the certificate 'edge' expired on %%\n", at);
    expect(false, &s, 101, want);
    snprintf(want, sizeof(want),
             "E%s: tls_cert_file: the certificate 'edge' is not valid before "
             "%%\n",
             at);
    expect(false, &s, -101, want);
}

static void the_other_end(void **state)
{
    struct cert_spec server = sound(true), client = sound(false);
    char want[512];

    snprintf(want, sizeof(want),
             "E%d: tls_cert_file: the certificate may not be used by a client (its extended key "
             "usage says what for)\n",
             CONFIG_KEY_TLS_CERT_FILE + 1);
    expect(false, &server, 0, want);
    snprintf(want, sizeof(want),
             "E%d: tls_cert_file: the certificate may not be used by a server (its extended key "
             "usage says what for)\n"
             "E%d: tls_cert_file: the certificate has no subject alternative name, so no client "
             "can tell whose it is\n",
             CONFIG_KEY_TLS_CERT_FILE + 1, CONFIG_KEY_TLS_CERT_FILE + 1);
    expect(true, &client, 0, want);
    client.purpose = GNUTLS_KP_CODE_SIGNING;
    expect(true, &client, 0, want);
}

static void an_address_is_a_name(void **state)
{
    struct cert_spec s = sound(true);

    s.dns = NULL;
    s.ip4 = (const unsigned char[]){203, 0, 113, 10};
    expect(true, &s, 0, "");
}

static void authorities(void **state)
{
    struct cert_spec s = sound(false), old = {.name = "old", .days_from = -9, .days_to = -2};
    struct tunnel_config c;
    struct cert cert, second;
    char want[256], *got, both[128];
    FILE *f;

    cert_make(&cert, fx.dir, &s);
    cert_make(&second, fx.dir, &old);
    config_fill(&c, false, cert.cert_file, second.cert_file);
    got = report_on(&c, 0);
    snprintf(want, sizeof(want), "E%d: tls_ca_file: the certificate 'old' expired on ",
             CONFIG_KEY_TLS_CA_FILE + 1);
    assert_memory_equal(got, want, strlen(want));
    free(got);

    /* beside one that is valid an old one does no harm */
    snprintf(both, sizeof(both), "%s/both", fx.dir);
    f = fopen(both, "w");
    fwrite(second.cert_pem.data, 1, second.cert_pem.size, f);
    fwrite(fx.ca.cert_pem.data, 1, fx.ca.cert_pem.size, f);
    fclose(f);
    config_fill(&c, false, cert.cert_file, both);
    got = report_on(&c, 0);
    assert_int_equal(got[0], 'W');
    assert_null(strchr(strchr(got, '\n') + 1, '\n'));
    free(got);
    remove(both);

    /* the server's own certificate where the authority's belongs */
    config_fill(&c, false, cert.cert_file, cert.cert_file);
    got = report_on(&c, 0);
    snprintf(want, sizeof(want),
             "W%d: tls_ca_file: the certificate 'edge' is no authority's: it vouches for nobody "
             "but itself\n",
             CONFIG_KEY_TLS_CA_FILE + 1);
    assert_string_equal(got, want);
    free(got);
    cert_done(&cert);
    cert_done(&second);
}

static void the_authority_as_a_server(void **state)
{
    struct tunnel_config c;
    char *got;

    config_fill(&c, false, fx.ca.cert_file, "");
    got = report_on(&c, 0);
    assert_non_null(strstr(got,
                           "tls_cert_file: the certificate is an authority's own: who gets its "
                           "key can let anybody in\n"));
    free(got);
}

static void revocation_lists(void **state)
{
    struct tunnel_config c;
    gnutls_datum_t crl = cert_crl(&fx.ca, NULL, -9, 3);
    char path[128], *got;

    snprintf(path, sizeof(path), "%s/crl", fx.dir);
    cert_write(path, &crl);
    config_fill(&c, true, "", "");
    snprintf(c.tls_crl_file, sizeof(c.tls_crl_file), "%s", path);
    got = report_on(&c, 0);
    assert_string_equal(got, "");
    free(got);
    got = report_on(&c, 4);
    assert_int_equal(got[0], 'W');
    assert_non_null(strstr(got, "tls_crl_file: the revocation list should have been replaced on "));
    free(got);
    remove(path);
    gnutls_free(crl.data);
}

/* What cannot be read is somebody else's to report. */
static void files_that_are_not_there(void **state)
{
    struct tunnel_config c;
    char *got;

    config_fill(&c, true, "/nonexistent/a", "/dev/null");
    got = report_on(&c, 0);
    assert_string_equal(got, "");
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_ones),       cmocka_unit_test(dates),
        cmocka_unit_test(the_other_end),    cmocka_unit_test(an_address_is_a_name),
        cmocka_unit_test(authorities),      cmocka_unit_test(the_authority_as_a_server),
        cmocka_unit_test(revocation_lists), cmocka_unit_test(files_that_are_not_there),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
