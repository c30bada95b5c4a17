/* Two endpoints back to back with real TLS: who is let in, who is not, and what each end says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "base/clock.h"
#include "base/util.h"
#include "certs.h"
#include "quic/quic.h"
#include "quic/tls.h"

#define START_NS (100 * NS_PER_S)

static char dir[] = "/tmp/test_quic_tls.XXXXXX";
static struct cert ca, other_ca, server, server_expired, server_young, server_weak, client,
    client_expired, client_other, nobody;

/* --- one end --------------------------------------------------------------------------- */

struct end {
    struct quic_endpoint *ep;
    struct quic_tls_creds *creds;
    struct drop_counters drops;
    struct net_addr addr;
    unsigned ups, downs, refused;
    struct quic_fail_info why;
    char peer_name[64];
};

static int on_up(struct quic_lane *lane)
{
    struct end *e = quic_path_user(quic_lane_path(lane));

    e->ups++;
    snprintf(e->peer_name, sizeof(e->peer_name), "%s", quic_lane_peer_name(lane));
    return 0;
}

static void on_down(struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct end *e = quic_path_user(quic_lane_path(lane));

    e->downs++;
    e->why = *why;
}

static int on_stream_pull(struct quic_lane *lane, int64_t *ret_stream, bool *ret_fin,
                          struct iovec *v, int n)
{
    *ret_stream = -1;
    return 0;
}

static struct pkt *on_dgram_pull(struct quic_lane *lane, size_t max)
{
    return NULL;
}

static const struct quic_path_ops ops = {
    .lane_up = on_up,
    .lane_down = on_down,
    .stream_pull = on_stream_pull,
    .dgram_pull = on_dgram_pull,
};

static int on_accept(void *user, struct quic_lane *lane, const struct quic_path_ops **ret_ops,
                     void **ret_user)
{
    *ret_ops = &ops;
    *ret_user = user;
    return 0;
}

static void on_refused(void *user, const struct quic_lane *lane, const struct quic_fail_info *why)
{
    struct end *e = user;

    e->refused++;
    e->why = *why;
}

static void end_init(struct end *e, struct pkt_pool *pool, const struct quic_tls_files *files,
                     const char *server_name)
{
    struct ip_addr ip = {.family = 4, .b = {192, 0, 2, files->server ? 1 : 2}};
    struct quic_endpoint_opts o = {
        .server = files->server,
        .tls = &quic_tls_gnutls,
        .server_name = server_name,
        .pool = pool,
        .drops = &e->drops,
        .random = quic_random_system,
        .accept = on_accept,
        .refused = on_refused,
        .accept_user = e,
    };
    char err[256] = "";

    memset(e, 0, sizeof(*e));
    e->addr = net_addr_make(&ip, 443);
    if (quic_tls_creds_load(files, &e->creds, err, sizeof(err)))
        fail_msg("%s", err);
    o.tls_ctx = e->creds;
    assert_int_equal(quic_endpoint_new(&o, &e->ep), 0);
}

static void end_done(struct end *e)
{
    quic_endpoint_free(e->ep);
    quic_tls_creds_free(e->creds);
}

/* --- the wire between ------------------------------------------------------------------ */

struct meeting {
    struct pkt_pool *pool;
    struct end hub, edge;
    uint64_t now_ns;
};

static bool carry(struct meeting *m, struct end *from, struct end *to)
{
    static struct quic_tx tx;
    bool any = false;

    while (quic_endpoint_tx(from->ep, m->now_ns, &tx)) {
        any = true;
        for (size_t at = 0; at < tx.len; at += tx.seg_size) {
            struct quic_rx rx = {.local = to->addr,
                                 .remote = from->addr,
                                 .data = tx.buf + at,
                                 .len = MIN(tx.seg_size, tx.len - at)};

            quic_endpoint_rx(to->ep, m->now_ns, &rx);
        }
    }
    return any;
}

/* Two seconds of this world, in steps of a millisecond. */
static void run(struct meeting *m)
{
    for (int i = 0; i < 2000; i++, m->now_ns += NS_PER_MS) {
        struct end *both[] = {&m->hub, &m->edge};

        for (unsigned k = 0; k < 2; k++)
            if (quic_endpoint_deadline_ns(both[k]->ep) <= m->now_ns)
                quic_endpoint_timeout(both[k]->ep, m->now_ns);
        carry(m, &m->edge, &m->hub);
        carry(m, &m->hub, &m->edge);
    }
}

/* Let an edge of these credentials meet a hub of those, calling it by that name. */
static void meet(struct meeting *m, const struct quic_tls_files *hub,
                 const struct quic_tls_files *edge, const char *server_name)
{
    struct quic_path *path;

    m->pool = pkt_pool_new(16, 0);
    m->now_ns = START_NS;
    end_init(&m->hub, m->pool, hub, NULL);
    end_init(&m->edge, m->pool, edge, server_name);
    path = quic_path_new(m->edge.ep, &ops, &m->edge);
    assert_non_null(path);
    assert_int_equal(quic_path_open_lane(path, m->now_ns, &m->edge.addr, &m->hub.addr, 0, NULL), 0);
    run(m);
}

static void part(struct meeting *m)
{
    end_done(&m->hub);
    end_done(&m->edge);
    pkt_pool_free(m->pool);
}

static struct quic_tls_files hub_files(void)
{
    return (struct quic_tls_files){.server = true,
                                   .cert_file = server.cert_file,
                                   .key_file = server.key_file,
                                   .ca_file = ca.cert_file,
                                   .require_client_cert = true};
}

static struct quic_tls_files edge_files(void)
{
    return (struct quic_tls_files){
        .cert_file = client.cert_file, .key_file = client.key_file, .ca_file = ca.cert_file};
}

static void expect_up(const struct quic_tls_files *hub, const struct quic_tls_files *edge,
                      const char *server_name, const char *client_name)
{
    struct meeting m;

    meet(&m, hub, edge, server_name);
    assert_int_equal(m.hub.ups, 1);
    assert_int_equal(m.edge.ups, 1);
    assert_int_equal(m.hub.downs + m.edge.downs + m.hub.refused, 0);
    assert_string_equal(m.hub.peer_name, client_name);
    part(&m);
}

/* What the other end makes of the alert for that. */
static enum quic_fail told(enum quic_fail why)
{
    return why == QUIC_FAIL_CERT_EXPIRED ? QUIC_FAIL_REJECTED_EXPIRED : QUIC_FAIL_REJECTED;
}

/* The edge does not accept the hub: it never has a lane, and the hub is told by an alert. */
static void expect_edge_refuses(const struct quic_tls_files *hub, const struct quic_tls_files *edge,
                                const char *server_name, enum quic_fail why)
{
    struct meeting m;

    meet(&m, hub, edge, server_name);
    assert_int_equal(m.edge.ups, 0);
    assert_int_equal(m.hub.ups, 0);
    assert_int_equal(m.edge.downs, 1);
    assert_int_equal(m.edge.why.fail, why);
    assert_true(quic_fail_permanent(m.edge.why.fail));
    assert_int_equal(m.hub.refused, 1);
    assert_int_equal(m.hub.why.fail, told(why));
    part(&m);
}

/* The hub does not accept the edge, which in TLS 1.3 learns it after it thought to be done. */
static void expect_hub_refuses(const struct quic_tls_files *hub, const struct quic_tls_files *edge,
                               enum quic_fail why)
{
    struct meeting m;

    meet(&m, hub, edge, "hub.example");
    assert_int_equal(m.hub.ups, 0);
    assert_int_equal(m.hub.refused, 1);
    assert_int_equal(m.hub.why.fail, why);
    assert_int_equal(m.edge.downs, 1);
    assert_int_equal(m.edge.why.fail, told(why));
    assert_true(quic_fail_permanent(m.edge.why.fail));
    part(&m);
}

/* --- accepted -------------------------------------------------------------------------- */

static void good_certificates(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    const char *allowed[] = {"edge9", "edge1", NULL};

    expect_up(&hub, &edge, "hub.example", "edge1");
    expect_up(&hub, &edge, "192.0.2.1", "edge1"); /* an address in the certificate */
    hub.allowed_names = allowed;
    expect_up(&hub, &edge, "hub.example", "edge1");
}

/* A hub that takes tokens asks for a certificate but does not insist. */
static void certificate_not_required(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    hub.require_client_cert = false;
    expect_up(&hub, &edge, "hub.example", "edge1");
    edge.cert_file = edge.key_file = NULL;
    expect_up(&hub, &edge, "hub.example", "");
    hub.ca_file = NULL;
    expect_up(&hub, &edge, "hub.example", "");
}

/* Only when asked to look away: any certificate of the hub will do. */
static void skip_verify(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.ca_file = other_ca.cert_file;
    edge.insecure_skip_verify = true;
    expect_up(&hub, &edge, "another.example", "edge1");
    hub.cert_file = server_expired.cert_file;
    hub.key_file = server_expired.key_file;
    expect_up(&hub, &edge, "hub.example", "edge1");
}

/* --- refused by the edge --------------------------------------------------------------- */

static void hub_of_another_ca(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.ca_file = other_ca.cert_file;
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_UNTRUSTED);
}

static void hub_expired_or_young(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    hub.cert_file = server_expired.cert_file;
    hub.key_file = server_expired.key_file;
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_EXPIRED);
    hub.cert_file = server_young.cert_file;
    hub.key_file = server_young.key_file;
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_EXPIRED);
}

static void hub_of_another_name(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    expect_edge_refuses(&hub, &edge, "another.example", QUIC_FAIL_CERT_NAME);
    expect_edge_refuses(&hub, &edge, "192.0.2.9", QUIC_FAIL_CERT_NAME);
}

/* A client's certificate cannot stand in for the hub's, nor a key that is too small. */
static void hub_with_a_wrong_kind_of_certificate(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    hub.cert_file = nobody.cert_file; /* for clients, but with the hub's name */
    hub.key_file = nobody.key_file;
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_INVALID);
}

/* --- refused by the hub ---------------------------------------------------------------- */

static void edge_of_another_ca(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert_file = client_other.cert_file;
    edge.key_file = client_other.key_file;
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_UNTRUSTED);
    hub.require_client_cert = false; /* shown, it must be right */
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_UNTRUSTED);
}

static void edge_expired(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert_file = client_expired.cert_file;
    edge.key_file = client_expired.key_file;
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_EXPIRED);
}

static void edge_without_certificate(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert_file = edge.key_file = NULL;
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_MISSING);
}

static void edge_not_on_the_list(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    const char *allowed[] = {"edge9", "edge11", "edg", NULL};

    hub.allowed_names = allowed;
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CLIENT_UNKNOWN);
}

/* --- loading --------------------------------------------------------------------------- */

static void leaks_are_not_ours(bool begin)
{
#ifdef __SANITIZE_ADDRESS__
    if (begin)
        __lsan_disable();
    else
        __lsan_enable();
#endif
}

static void expect_load(const struct quic_tls_files *f, int rv, const char *names)
{
    struct quic_tls_creds *creds = NULL;
    char err[256] = "";

    assert_int_equal(quic_tls_creds_load(f, &creds, err, sizeof(err)), rv);
    assert_null(creds);
    assert_non_null(strstr(err, names)); /* the line names the file */
}

static void files_that_do_not_load(void **state)
{
    struct quic_tls_files good = edge_files(), f;
    char missing[300], garbage[300];
    FILE *out;

    snprintf(missing, sizeof(missing), "%s/missing.pem", dir);
    snprintf(garbage, sizeof(garbage), "%s/garbage.pem", dir);
    out = fopen(garbage, "w");
    assert_non_null(out);
    fputs("-----BEGIN CERTIFICATE-----\nnothing of the kind\n", out);
    fclose(out);
    f = good;
    f.cert_file = missing;
    expect_load(&f, -ENOENT, "missing.pem");
    f = good;
    f.key_file = missing;
    expect_load(&f, -ENOENT, "missing.pem");
    f = good;
    f.ca_file = missing;
    expect_load(&f, -ENOENT, "missing.pem");
    f = good;
    f.cert_file = server_weak.cert_file;
    f.key_file = server_weak.key_file;
    expect_load(&f, -EINVAL, "RSA key of 1024 bits");
    leaks_are_not_ours(true); /* GnuTLS 3.7 forgets a certificate that it does not take */
    f = good;
    f.cert_file = garbage;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.ca_file = garbage;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.key_file = server.key_file;
    expect_load(&f, -EINVAL, ".crt");
    leaks_are_not_ours(false);
    remove(garbage);
}

static void secret_of(const struct quic_tls_files *f, unsigned char ret[static 32])
{
    struct quic_tls_creds *creds;
    char err[256];

    assert_int_equal(quic_tls_creds_load(f, &creds, err, sizeof(err)), 0);
    quic_tls_reset_secret(creds, ret);
    quic_tls_creds_free(creds);
}

static void reset_secret_follows_the_key(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    unsigned char a[32], b[32], c[32];

    secret_of(&hub, a);
    secret_of(&hub, b);
    secret_of(&edge, c);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

/* --- certificates ---------------------------------------------------------------------- */

static int make_certificates(void **state)
{
    static const unsigned char ip[] = {192, 0, 2, 1};
    struct cert_spec s = {.days_from = -1, .days_to = 30};

    if (!mkdtemp(dir))
        return -1;
    s.name = "ca";
    cert_make(&ca, dir, &s);
    s.name = "other-ca";
    cert_make(&other_ca, dir, &s);
    s.issuer = &ca;
    s.purpose = GNUTLS_KP_TLS_WWW_CLIENT;
    s.name = "edge1";
    cert_make(&client, dir, &s);
    s.name = "nobody";
    s.dns = "hub.example";
    cert_make(&nobody, dir, &s);
    s.dns = NULL;
    s.issuer = &other_ca;
    s.name = "edge1-other";
    cert_make(&client_other, dir, &s);
    s.issuer = &ca;
    s.name = "edge1-expired";
    s.days_from = -30;
    s.days_to = -1;
    cert_make(&client_expired, dir, &s);
    s.purpose = GNUTLS_KP_TLS_WWW_SERVER;
    s.dns = "hub.example";
    s.ip4 = ip;
    s.name = "hub-expired";
    cert_make(&server_expired, dir, &s);
    s.name = "hub-young";
    s.days_from = 1;
    s.days_to = 30;
    cert_make(&server_young, dir, &s);
    s.days_from = -1;
    s.name = "hub";
    cert_make(&server, dir, &s);
    s.name = "hub-weak";
    s.rsa_bits = 1024;
    cert_make(&server_weak, dir, &s);
    return 0;
}

static int remove_certificates(void **state)
{
    struct cert *all[] = {&ca,     &other_ca,       &server,       &server_expired, &server_young,
                          &client, &client_expired, &client_other, &nobody,         &server_weak};

    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        cert_done(all[i]);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_certificates),
        cmocka_unit_test(certificate_not_required),
        cmocka_unit_test(skip_verify),
        cmocka_unit_test(hub_of_another_ca),
        cmocka_unit_test(hub_expired_or_young),
        cmocka_unit_test(hub_of_another_name),
        cmocka_unit_test(hub_with_a_wrong_kind_of_certificate),
        cmocka_unit_test(edge_of_another_ca),
        cmocka_unit_test(edge_expired),
        cmocka_unit_test(edge_without_certificate),
        cmocka_unit_test(edge_not_on_the_list),
        cmocka_unit_test(files_that_do_not_load),
        cmocka_unit_test(reset_secret_follows_the_key),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
