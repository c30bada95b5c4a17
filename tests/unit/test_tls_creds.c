/* Credentials that change while connections live: revocation, other authorities, other names, and
 * the clock; and what a certificate says about itself. */
#include "tls_meeting.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/test_tls_creds.XXXXXX";
static struct cert ca, other_ca, false_ca, server, edge1, edge2, stranger;

static struct quic_tls_blob pem(const gnutls_datum_t *text)
{
    return (struct quic_tls_blob){"crl.pem", text->data, text->size};
}

static struct quic_tls_files hub_files(void)
{
    return (struct quic_tls_files){.server = true,
                                   .cert = cert_of(&server),
                                   .key = key_of(&server),
                                   .ca = cert_of(&ca),
                                   .require_client_cert = true};
}

static struct quic_tls_files edge_files(const struct cert *who)
{
    return (struct quic_tls_files){.cert = cert_of(who), .key = key_of(who), .ca = cert_of(&ca)};
}

static struct quic_tls_creds *load(const struct quic_tls_files *files)
{
    struct quic_tls_creds *creds;
    char err[256];

    if (quic_tls_creds_load(files, &creds, err, sizeof(err)))
        fail_msg("%s", err);
    return creds;
}

/* --- revocation ------------------------------------------------------------------------ */

static void expect_revoked(const struct quic_tls_files *hub, const struct cert *who, bool revoked)
{
    struct quic_tls_files edge = edge_files(who);
    struct meeting m;

    meet(&m, hub, &edge, "hub.example");
    assert_int_equal(m.hub.ups, !revoked);
    assert_int_equal(m.hub.refused, revoked);
    assert_int_equal(m.edge.downs, revoked);
    if (revoked) {
        assert_int_equal(m.hub.why.fail, QUIC_FAIL_CERT_REVOKED);
        assert_int_equal(m.edge.why.fail, QUIC_FAIL_REJECTED_REVOKED);
    }
    part(&m);
}

static void a_revoked_client_is_refused(void **state)
{
    gnutls_datum_t list = cert_crl(&ca, &edge1, -1, 30);
    struct quic_tls_files hub = hub_files();

    hub.crl = pem(&list);
    expect_revoked(&hub, &edge1, true);
    expect_revoked(&hub, &edge2, false);
    gnutls_free(list.data);
}

/* Somebody forgot to renew the list, or the clock is wrong: it counts all the same, and does not
 * lock out the others. */
static void a_list_out_of_date_counts(void **state)
{
    gnutls_datum_t old = cert_crl(&ca, &edge1, -30, -1), young = cert_crl(&ca, &edge1, 2, 30);
    struct quic_tls_files hub = hub_files();
    struct quic_tls_creds *creds;

    hub.crl = pem(&old);
    expect_revoked(&hub, &edge1, true);
    expect_revoked(&hub, &edge2, false);
    creds = load(&hub);
    assert_true(quic_tls_creds_crl_due_s(creds) < time(NULL));
    quic_tls_creds_unref(creds);
    hub.crl = pem(&young);
    expect_revoked(&hub, &edge1, true);
    expect_revoked(&hub, &edge2, false);
    gnutls_free(old.data);
    gnutls_free(young.data);
}

/* Whoever stands in one of them is revoked, in whatever order they stand in the file. */
static void several_lists_of_one_authority(void **state)
{
    gnutls_datum_t list[] = {cert_crl(&ca, &edge1, -2, 30), cert_crl(&ca, &edge2, -1, 40),
                             cert_crl(&ca, NULL, 0, 50)};
    struct quic_tls_files hub = hub_files();
    struct quic_tls_creds *creds;
    char text[8192];

    for (unsigned turn = 0; turn < 3; turn++) {
        snprintf(text, sizeof(text), "%s%s%s", list[turn].data, list[(turn + 1) % 3].data,
                 list[(turn + 2) % 3].data);
        hub.crl = (struct quic_tls_blob){"crl.pem", text, strlen(text)};
        expect_revoked(&hub, &edge1, true);
        expect_revoked(&hub, &edge2, true);
        expect_revoked(&hub, &stranger, false);
    }
    creds = load(&hub);
    assert_in_range(quic_tls_creds_crl_due_s(creds), time(NULL) + 29 * 86400,
                    time(NULL) + 31 * 86400);
    quic_tls_creds_unref(creds);
    for (unsigned i = 0; i < ARRAY_LEN(list); i++)
        gnutls_free(list[i].data);
}

static void expect_bad_list(const struct cert *issuer, int days_from, int days_to)
{
    gnutls_datum_t list = cert_crl(issuer, &edge1, days_from, days_to);
    struct quic_tls_files hub = hub_files();
    struct quic_tls_creds *creds;
    char err[256];

    hub.crl = pem(&list);
    assert_int_equal(quic_tls_creds_load(&hub, &creds, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "crl.pem: a revocation list that the CA has not signed"));
    hub.ca = (struct quic_tls_blob){0};
    assert_int_equal(quic_tls_creds_load(&hub, &creds, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "needs the CA"));
    gnutls_free(list.data);
}

/* Another authority's, one by a key that pretends to be our authority's, and the same out of date:
 * age excuses nothing else. */
static void a_list_of_somebody_else(void **state)
{
    expect_bad_list(&other_ca, -1, 30);
    expect_bad_list(&other_ca, -30, -1);
    expect_bad_list(&false_ca, -1, 30);
    expect_bad_list(&false_ca, -30, -1);
    expect_bad_list(&false_ca, 1, 30);
}

static void no_list_is_never_due(void **state)
{
    struct quic_tls_files hub = hub_files();
    struct quic_tls_creds *creds = load(&hub);

    assert_true(quic_tls_creds_crl_due_s(creds) == INT64_MAX);
    quic_tls_creds_unref(creds);
}

/* --- connections that live ------------------------------------------------------------- */

/* An edge is connected; then the hub gets other credentials. */
static enum quic_fail rechecked(const struct quic_tls_files *now)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    struct quic_tls_creds *next = load(now);
    enum quic_fail why;
    struct meeting m;

    meet(&m, &hub, &edge, "hub.example");
    assert_non_null(m.hub.lane);
    assert_int_equal(quic_lane_recheck(m.hub.lane), QUIC_FAIL_NONE);
    quic_endpoint_set_tls(m.hub.ep, next);
    quic_tls_creds_unref(m.hub.creds); /* the connection may hold them longer */
    m.hub.creds = next;
    why = quic_lane_recheck(m.hub.lane);
    assert_int_equal(m.hub.downs, 0); /* what to do about it is the caller's */
    part(&m);
    return why;
}

static void recheck_finds_what_has_changed(void **state)
{
    static const char *others[] = {"edge2", NULL}, *same[] = {"edge1", NULL};
    gnutls_datum_t list = cert_crl(&ca, &edge1, -1, 30), list2 = cert_crl(&ca, &edge2, -1, 30);
    struct quic_tls_files now = hub_files();

    assert_int_equal(rechecked(&now), QUIC_FAIL_NONE);
    now.crl = pem(&list);
    assert_int_equal(rechecked(&now), QUIC_FAIL_CERT_REVOKED);
    now.crl = pem(&list2);
    assert_int_equal(rechecked(&now), QUIC_FAIL_NONE);
    now.crl = (struct quic_tls_blob){0};
    now.allowed_names = others;
    assert_int_equal(rechecked(&now), QUIC_FAIL_CLIENT_UNKNOWN);
    now.allowed_names = same;
    assert_int_equal(rechecked(&now), QUIC_FAIL_NONE);
    now.ca = cert_of(&other_ca);
    assert_int_equal(rechecked(&now), QUIC_FAIL_CERT_UNTRUSTED);
    gnutls_free(list.data);
    gnutls_free(list2.data);
}

/* One that came with a token may stay, unless a certificate is required now. */
static void recheck_of_a_peer_without_certificate(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    struct quic_tls_creds *strict = load(&hub);
    struct meeting m;

    hub.require_client_cert = false;
    edge.cert = edge.key = (struct quic_tls_blob){0};
    meet(&m, &hub, &edge, "hub.example");
    assert_int_equal(quic_lane_recheck(m.hub.lane), QUIC_FAIL_NONE);
    quic_endpoint_set_tls(m.hub.ep, strict);
    assert_int_equal(quic_lane_recheck(m.hub.lane), QUIC_FAIL_CERT_MISSING);
    part(&m);
    quic_tls_creds_unref(strict);
}

static void an_edge_rechecks_its_hub(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    struct meeting m;

    meet(&m, &hub, &edge, "hub.example");
    assert_int_equal(quic_lane_recheck(m.edge.lane), QUIC_FAIL_NONE);
    part(&m);
}

/* The edge learns by the TLS alert why it was thrown out, and need not try again. */
static void rejected_while_connected(void **state)
{
    static const struct {
        enum quic_fail why, told;
    } v[] = {{QUIC_FAIL_CERT_REVOKED, QUIC_FAIL_REJECTED_REVOKED},
             {QUIC_FAIL_CERT_EXPIRED, QUIC_FAIL_REJECTED_EXPIRED},
             {QUIC_FAIL_CLIENT_UNKNOWN, QUIC_FAIL_REJECTED},
             {QUIC_FAIL_CERT_UNTRUSTED, QUIC_FAIL_REJECTED},
             {QUIC_FAIL_CERT_MISSING, QUIC_FAIL_REJECTED}};
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);

    for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
        struct meeting m;

        meet(&m, &hub, &edge, "hub.example");
        quic_lane_reject(m.hub.lane, v[i].why);
        quic_lane_close(m.hub.lane, 0x100, "too late: the first call counts");
        run(&m);
        assert_int_equal(m.hub.downs, 1);
        assert_int_equal(m.hub.why.fail, v[i].why);
        assert_int_equal(m.edge.downs, 1);
        assert_int_equal(m.edge.why.fail, v[i].told);
        assert_true(quic_fail_permanent(m.edge.why.fail));
        part(&m);
    }
}

/* The next connection is judged by the new credentials, and shows the new certificate. */
static void new_connections_meet_new_credentials(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    gnutls_datum_t list = cert_crl(&ca, &edge1, -1, 30);
    struct quic_tls_creds *next;
    struct quic_path *path;
    struct meeting m;

    hub.crl = pem(&list);
    next = load(&hub);
    hub.crl = (struct quic_tls_blob){0};
    meet(&m, &hub, &edge, "hub.example");
    quic_endpoint_set_tls(m.hub.ep, next);
    path = quic_path_new(m.edge.ep, &meeting_ops, &m.edge);
    assert_int_equal(quic_path_open_lane(path, m.now_ns, &m.edge.addr, &m.hub.addr, 0, NULL), 0);
    run(&m);
    assert_int_equal(m.hub.refused, 1);
    assert_int_equal(m.hub.why.fail, QUIC_FAIL_CERT_REVOKED);
    assert_int_equal(m.hub.ups, 1);
    assert_int_equal(m.hub.downs, 0); /* the first one has lived on */
    part(&m);
    quic_tls_creds_unref(next);
    gnutls_free(list.data);
}

/* --- the clock ------------------------------------------------------------------------- */

static int64_t moved_s;

static int64_t moved_clock(void)
{
    return (int64_t)time(NULL) + moved_s;
}

static enum quic_fail hub_says(void)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    struct meeting m;
    enum quic_fail why;

    hub.require_client_cert = true;
    meet(&m, &hub, &edge, "hub.example");
    why = m.edge.why.fail;
    part(&m);
    return why;
}

static void the_clock_decides_what_is_valid(void **state)
{
    quic_tls_set_clock(moved_clock);
    moved_s = 0;
    assert_int_equal(hub_says(), QUIC_FAIL_NONE);
    moved_s = 31 * 86400;
    assert_int_equal(hub_says(), QUIC_FAIL_CERT_EXPIRED);
    moved_s = -2 * 86400;
    assert_int_equal(hub_says(), QUIC_FAIL_CERT_EXPIRED);
    moved_s = 0;
    assert_int_equal(hub_says(), QUIC_FAIL_NONE);
}

static void expiry_is_found_while_connected(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files(&edge1);
    struct meeting m;

    meet(&m, &hub, &edge, "hub.example");
    quic_tls_set_clock(moved_clock);
    moved_s = 31 * 86400;
    assert_int_equal(quic_lane_recheck(m.hub.lane), QUIC_FAIL_CERT_EXPIRED);
    moved_s = 0;
    assert_int_equal(quic_lane_recheck(m.hub.lane), QUIC_FAIL_NONE);
    part(&m);
}

/* --- what a certificate says ----------------------------------------------------------- */

static void about_certificates(void **state)
{
    struct quic_tls_files hub = hub_files();
    struct quic_tls_creds *creds = load(&hub), *none;
    struct quic_tls_cert_info info;
    char serial[3];

    assert_int_equal(quic_tls_creds_info(creds, &info), 0);
    snprintf(serial, sizeof(serial), "%02x", server.serial[3]);
    assert_string_equal(info.subject, "hub");
    assert_string_equal(info.issuer, "ca");
    assert_string_equal(info.serial, serial);
    assert_int_equal(info.n_names, 2);
    assert_string_equal(info.names[0], "hub.example");
    assert_string_equal(info.names[1], "192.0.2.1");
    assert_in_range(info.not_before_s, time(NULL) - 86500, time(NULL) - 86300);
    assert_in_range(info.not_after_s, time(NULL) + 30 * 86400 - 100, time(NULL) + 30 * 86400 + 100);
    assert_int_equal(quic_tls_creds_ca_info(creds, &info), 0);
    assert_string_equal(info.subject, "ca");
    assert_int_equal(info.n_names, 0);
    assert_int_equal(quic_tls_cert_info(edge1.cert_pem.data, edge1.cert_pem.size, &info), 0);
    assert_string_equal(info.subject, "edge1");
    info.subject[0] = 'X';
    assert_int_equal(quic_tls_cert_info("no certificate", 14, &info), -EINVAL);
    assert_int_equal(info.subject[0], 'X');
    none = load(&(struct quic_tls_files){0});
    assert_int_equal(quic_tls_creds_info(none, &info), -ENOENT);
    assert_int_equal(quic_tls_creds_ca_info(none, &info), -ENOENT);
    quic_tls_creds_unref(none);
    quic_tls_creds_unref(creds);
}

/* --- certificates ---------------------------------------------------------------------- */

static int make_certificates(void **state)
{
    static const unsigned char ip[] = {192, 0, 2, 1};
    struct cert_spec s = {.days_from = -1, .days_to = 30};

    if (!mkdtemp(dir))
        return -1;
    s.name = "ca";
    cert_make(&false_ca, dir, &s);
    cert_make(&ca, dir, &s);
    s.name = "other-ca";
    cert_make(&other_ca, dir, &s);
    s.issuer = &ca;
    s.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
    s.name = "edge1";
    cert_make(&edge1, dir, &s);
    s.name = "edge2";
    cert_make(&edge2, dir, &s);
    s.name = "stranger";
    cert_make(&stranger, dir, &s);
    s.purpose = GNUTLS_KP_TLS_WWW_SERVER;
    s.dns = "hub.example";
    s.ip4 = ip;
    s.name = "hub";
    cert_make(&server, dir, &s);
    return 0;
}

static int remove_certificates(void **state)
{
    struct cert *all[] = {&ca, &other_ca, &false_ca, &server, &edge1, &edge2, &stranger};

    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        cert_done(all[i]);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_revoked_client_is_refused),
        cmocka_unit_test(a_list_out_of_date_counts),
        cmocka_unit_test(several_lists_of_one_authority),
        cmocka_unit_test(a_list_of_somebody_else),
        cmocka_unit_test(no_list_is_never_due),
        cmocka_unit_test(recheck_finds_what_has_changed),
        cmocka_unit_test(recheck_of_a_peer_without_certificate),
        cmocka_unit_test(an_edge_rechecks_its_hub),
        cmocka_unit_test(rejected_while_connected),
        cmocka_unit_test(new_connections_meet_new_credentials),
        cmocka_unit_test(the_clock_decides_what_is_valid),
        cmocka_unit_test(expiry_is_found_while_connected),
        cmocka_unit_test(about_certificates),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
