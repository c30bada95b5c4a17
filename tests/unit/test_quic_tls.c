/* Two endpoints back to back with real TLS: who is let in, who is not, and what each end says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include <ngtcp2/ngtcp2_crypto_gnutls.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "tls_meeting.h"

static char dir[] = "/tmp/test_quic_tls.XXXXXX";
static struct cert ca, other_ca, server, server_expired, server_young, server_weak, client,
    client_expired, client_other, nobody, long_name;

static struct quic_tls_files hub_files(void)
{
    return (struct quic_tls_files){.server = true,
                                   .cert = cert_of(&server),
                                   .key = key_of(&server),
                                   .ca = cert_of(&ca),
                                   .require_client_cert = true};
}

static struct quic_tls_files edge_files(void)
{
    return (struct quic_tls_files){
        .cert = cert_of(&client), .key = key_of(&client), .ca = cert_of(&ca)};
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
    return why == QUIC_FAIL_CERT_EXPIRED   ? QUIC_FAIL_REJECTED_EXPIRED
           : why == QUIC_FAIL_CERT_REVOKED ? QUIC_FAIL_REJECTED_REVOKED
                                           : QUIC_FAIL_REJECTED;
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

/* As long as a common name may be (RFC 5280, A.1), in characters of one byte and of three. */
static void names_of_64_characters(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    struct cert_spec s = {
        .issuer = &ca, .purpose = GNUTLS_KP_TLS_WWW_CLIENT, .days_from = -1, .days_to = 30};
    char name[3 * 64 + 1] = "";

    s.name = memset(name, 'x', 64);
    cert_make(&long_name, dir, &s);
    edge.cert = cert_of(&long_name);
    edge.key = key_of(&long_name);
    expect_up(&hub, &edge, "hub.example", name);
    cert_done(&long_name);

    for (unsigned i = 0; i < 64; i++)
        memcpy(name + 3 * i, "\xe2\x82\xac", 3);
    cert_make(&long_name, dir, &s);
    edge.cert = cert_of(&long_name);
    edge.key = key_of(&long_name);
    expect_up(&hub, &edge, "hub.example", name);
    cert_done(&long_name);
}

/* A hub that takes tokens asks for a certificate but does not insist. */
static void certificate_not_required(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    hub.require_client_cert = false;
    expect_up(&hub, &edge, "hub.example", "edge1");
    edge.cert = edge.key = (struct quic_tls_blob){0};
    expect_up(&hub, &edge, "hub.example", "");
    hub.ca = (struct quic_tls_blob){0};
    expect_up(&hub, &edge, "hub.example", "");
}

/* Only when asked to look away: any certificate of the hub will do. */
static void skip_verify(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.ca = cert_of(&other_ca);
    edge.insecure_skip_verify = true;
    expect_up(&hub, &edge, "another.example", "edge1");
    hub.cert = cert_of(&server_expired);
    hub.key = key_of(&server_expired);
    expect_up(&hub, &edge, "hub.example", "edge1");
}

/* --- refused by the edge --------------------------------------------------------------- */

static void hub_of_another_ca(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.ca = cert_of(&other_ca);
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_UNTRUSTED);
}

static void hub_expired_or_young(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    hub.cert = cert_of(&server_expired);
    hub.key = key_of(&server_expired);
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_EXPIRED);
    hub.cert = cert_of(&server_young);
    hub.key = key_of(&server_young);
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

    hub.cert = cert_of(&nobody); /* for clients, but with the hub's name */
    hub.key = key_of(&nobody);
    expect_edge_refuses(&hub, &edge, "hub.example", QUIC_FAIL_CERT_INVALID);
}

/* --- refused by the hub ---------------------------------------------------------------- */

static void edge_of_another_ca(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert = cert_of(&client_other);
    edge.key = key_of(&client_other);
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_UNTRUSTED);
    hub.require_client_cert = false; /* shown, it must be right */
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_UNTRUSTED);
}

static void edge_expired(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert = cert_of(&client_expired);
    edge.key = key_of(&client_expired);
    expect_hub_refuses(&hub, &edge, QUIC_FAIL_CERT_EXPIRED);
}

static void edge_without_certificate(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();

    edge.cert = edge.key = (struct quic_tls_blob){0};
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

static void texts_that_do_not_load(void **state)
{
    static const char garbage[] = "-----BEGIN CERTIFICATE-----\nnothing of the kind\n";
    struct quic_tls_blob bad = {"garbage.pem", garbage, sizeof(garbage) - 1};
    struct quic_tls_files good = edge_files(), f;

    f = good;
    f.cert = cert_of(&server_weak);
    f.key = key_of(&server_weak);
    expect_load(&f, -EINVAL, "RSA key of 1024 bits");
    f = good;
    f.key = (struct quic_tls_blob){0};
    expect_load(&f, -EINVAL, "no private key");
    leaks_are_not_ours(true); /* GnuTLS 3.7 forgets a certificate that it does not take */
    f = good;
    f.cert = bad;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.ca = bad;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.crl = bad;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.key = bad;
    expect_load(&f, -EINVAL, "garbage.pem");
    f = good;
    f.key = key_of(&server);
    expect_load(&f, -EINVAL, ".crt");
    leaks_are_not_ours(false);
}

static void secret_of(const struct quic_tls_files *f, unsigned char ret[static 32])
{
    struct quic_tls_creds *creds;
    char err[256];

    assert_int_equal(quic_tls_creds_load(f, &creds, err, sizeof(err)), 0);
    quic_tls_reset_secret(creds, ret);
    quic_tls_creds_unref(creds);
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

/* --- no resumption --------------------------------------------------------------------- */

/* A client that would resume: GnuTLS as it comes, with tickets. */
struct resumer {
    ngtcp2_crypto_conn_ref ref;
    gnutls_session_t gnutls;
    gnutls_certificate_credentials_t cred;
};

static struct resumer resumer;
static const char *resumer_ciphers = "NORMAL";

static void *resumer_new(void *ctx, bool is_server, const char *name, ngtcp2_crypto_conn_ref *ref,
                         struct protect *protect)
{
    static const gnutls_datum_t alpn = {.data = (unsigned char *)"h3", .size = 2};
    struct resumer *r = &resumer;
    char priorities[160];

    r->ref = *ref;
    CERT_OK(gnutls_init(&r->gnutls, GNUTLS_CLIENT));
    snprintf(priorities, sizeof(priorities),
             "%s:-VERS-ALL:+VERS-TLS1.3:%%DISABLE_TLS13_COMPAT_MODE", resumer_ciphers);
    CERT_OK(gnutls_priority_set_direct(r->gnutls, priorities, NULL));
    CERT_OK(gnutls_certificate_allocate_credentials(&r->cred));
    CERT_OK(gnutls_certificate_set_x509_key_mem2(r->cred, &client.cert_pem, &client.key_pem,
                                                 GNUTLS_X509_FMT_PEM, NULL, 0));
    CERT_OK(gnutls_credentials_set(r->gnutls, GNUTLS_CRD_CERTIFICATE, r->cred));
    CERT_OK(gnutls_alpn_set_protocols(r->gnutls, &alpn, 1, 0));
    CERT_OK(ngtcp2_crypto_gnutls_configure_client_session(r->gnutls));
    gnutls_session_set_ptr(r->gnutls, &r->ref);
    return r;
}

/* It has its packets protected by ngtcp2's own helper, not by ours. */
static void resumer_callbacks(ngtcp2_callbacks *cb)
{
    cb->client_initial = ngtcp2_crypto_client_initial_cb;
    cb->recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb;
    cb->recv_retry = ngtcp2_crypto_recv_retry_cb;
    cb->encrypt = ngtcp2_crypto_encrypt_cb;
    cb->decrypt = ngtcp2_crypto_decrypt_cb;
    cb->hp_mask = ngtcp2_crypto_hp_mask_cb;
    cb->update_key = ngtcp2_crypto_update_key_cb;
    cb->delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb;
    cb->delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb;
    cb->version_negotiation = ngtcp2_crypto_version_negotiation_cb;
}

static void resumer_free(void *session)
{
}

static void *resumer_native(void *session)
{
    return ((struct resumer *)session)->gnutls;
}

/* Whoever would resume a session would come in without showing his certificate again, after it was
 * revoked. So nobody is given the means. */
static void no_tickets_for_those_who_ask(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    struct quic_tls_ops tls = quic_tls_gnutls;
    struct meeting m;

    tls.session_new = resumer_new;
    tls.session_free = resumer_free;
    tls.native = resumer_native;
    tls.callbacks = resumer_callbacks;
    meet_with(&m, &hub, &edge, "hub.example", &tls);
    assert_int_equal(m.hub.ups, 1);
    assert_int_equal(m.edge.ups, 1);
    assert_int_equal(m.hub.downs + m.edge.downs, 0);
    assert_false(gnutls_session_get_flags(resumer.gnutls) & GNUTLS_SFLAGS_SESSION_TICKET);
    part(&m);
    gnutls_deinit(resumer.gnutls);
    gnutls_certificate_free_credentials(resumer.cred);
}

/* --- ciphers --------------------------------------------------------------------------- */

static void talk_by(const struct aead_backend *aead, const char *ciphers,
                    gnutls_cipher_algorithm_t want)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    struct quic_tls_ops tls = quic_tls_gnutls;
    struct meeting m;

    tls.session_new = resumer_new;
    tls.session_free = resumer_free;
    tls.native = resumer_native;
    tls.callbacks = resumer_callbacks;
    resumer_ciphers = ciphers;
    meeting_aead = aead;
    meet_with(&m, &hub, &edge, "hub.example", &tls);
    assert_int_equal(gnutls_cipher_get(resumer.gnutls), want);
    assert_int_equal(m.hub.ups, 1);
    assert_int_equal(m.edge.ups, 1);
    assert_int_equal(m.hub.downs + m.edge.downs, 0);
    assert_int_equal(m.hub.drops.n[DROP_UNDECRYPTABLE], 0);
    part(&m);
    gnutls_deinit(resumer.gnutls);
    gnutls_certificate_free_credentials(resumer.cred);
    resumer_ciphers = "NORMAL";
    meeting_aead = NULL;
}

/* With a client whose packets somebody else protects. */
static void every_cipher_with_every_backend(void **state)
{
    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        if ((*b)->unusable())
            continue;
        talk_by(*b, "NORMAL:-CIPHER-ALL:+AES-128-GCM", GNUTLS_CIPHER_AES_128_GCM);
        talk_by(*b, "NORMAL:-CIPHER-ALL:+AES-256-GCM", GNUTLS_CIPHER_AES_256_GCM);
        talk_by(*b, "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305", GNUTLS_CIPHER_CHACHA20_POLY1305);
    }
}

/* Long after the hub's TLS session is gone (settle) keys still change, whoever begins. */
static void keys_change_without_tls(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    struct meeting m;

    for (const struct aead_backend *const *b = aead_backends; *b; b++) {
        if ((*b)->unusable())
            continue;
        meeting_aead = *b;
        meet(&m, &hub, &edge, "hub.example");
        for (unsigned round = 0; round < 4; round++) {
            struct end *first = round % 2 ? &m.hub : &m.edge;
            int rv = -EAGAIN;

            /* until keepalives have confirmed the last change */
            for (unsigned i = 0; i < 60 && rv; i++) {
                assert_non_null(first->lane);
                rv = quic_lane_update_keys(first->lane);
                run(&m);
            }
            assert_int_equal(rv, 0);
        }
        assert_int_equal(m.hub.downs + m.edge.downs, 0);
        assert_int_equal(m.hub.drops.n[DROP_UNDECRYPTABLE], 0);
        assert_int_equal(m.edge.drops.n[DROP_UNDECRYPTABLE], 0);
        part(&m);
    }
    meeting_aead = NULL;
}

/* --- address validation ---------------------------------------------------------------- */

/* Eight from one address that will never go on, so that the next one meets a Retry. */
static void crowd_the_door(struct meeting *m, const struct quic_tls_files *edge)
{
    for (unsigned i = 0; i < 8; i++) {
        static struct quic_tx tx;
        struct end mute;
        struct quic_path *path;
        struct quic_rx rx = {.data = tx.buf};

        end_init(&mute, m->pool, edge, "hub.example", &quic_tls_gnutls);
        mute.addr.in.sin_port = (uint16_t)(100 + i);
        path = quic_path_new(mute.ep, &meeting_ops, &mute);
        assert_int_equal(quic_path_open_lane(path, m->now_ns, &mute.addr, &m->hub.addr, 0, NULL),
                         0);
        assert_true(quic_endpoint_tx(mute.ep, m->now_ns, &tx));
        rx.local = m->hub.addr;
        rx.remote = mute.addr;
        rx.len = tx.len;
        quic_endpoint_rx(m->hub.ep, m->now_ns, &rx);
        end_done(&mute);
    }
}

static void retry_with_real_tls(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    struct quic_endpoint_stats stats;
    struct quic_path *path;
    struct meeting m;

    meet(&m, &hub, &edge, "hub.example");
    crowd_the_door(&m, &edge);
    path = quic_path_new(m.edge.ep, &meeting_ops, &m.edge);
    assert_int_equal(quic_path_open_lane(path, m.now_ns, &m.edge.addr, &m.hub.addr, 0, NULL), 0);
    run(&m);
    quic_endpoint_stats(m.hub.ep, &stats);
    assert_int_equal(stats.retried, 1);
    assert_int_equal(m.hub.ups, 2);
    assert_int_equal(m.edge.ups, 2);
    assert_int_equal(m.edge.downs, 0);
    part(&m);
}

/* A token that another process of this hub has made: the client is told at once, and may begin
 * anew instead of waiting. */
static void a_token_of_yesterday(void **state)
{
    struct quic_tls_files hub = hub_files(), edge = edge_files();
    static struct quic_tx tx;
    struct quic_path *path;
    struct meeting m;
    struct end old;

    meet(&m, &hub, &edge, "hub.example");
    crowd_the_door(&m, &edge);
    path = quic_path_new(m.edge.ep, &meeting_ops, &m.edge);
    assert_int_equal(quic_path_open_lane(path, m.now_ns, &m.edge.addr, &m.hub.addr, 0, NULL), 0);
    carry(&m, &m.edge, &m.hub);
    carry(&m, &m.hub, &m.edge); /* the Retry, among other things */
    old = m.hub;
    end_init(&m.hub, m.pool, &hub, NULL, &quic_tls_gnutls);
    while (quic_endpoint_tx(old.ep, m.now_ns, &tx))
        ;
    run(&m);
    assert_int_equal(m.hub.drops.n[DROP_BAD_TOKEN], 1);
    assert_int_equal(m.edge.ups, 1);
    assert_int_equal(m.edge.downs, 1);
    assert_int_equal(m.edge.why.fail, QUIC_FAIL_PEER);
    assert_int_equal(m.edge.why.code, 0xb); /* INVALID_TOKEN */
    assert_false(quic_fail_permanent(m.edge.why.fail));
    end_done(&old);
    part(&m);
}

/* --- who listens on the way ------------------------------------------------------------ */

/* First packets are protected by keys that everybody can compute (RFC 9001, 5.2). An alert in one
 * of them ends the attempt, as it must, but is no reason to give up. */
static void an_alert_that_anybody_can_write_is_not_final(void **state)
{
    static const unsigned alerts[] = {42, 44, 45, 48, 49, 116, 120};
    struct quic_tls_files edge = edge_files();

    for (unsigned i = 0; i < ARRAY_LEN(alerts); i++) {
        struct pkt_pool *pool = pkt_pool_new(16, 0);
        struct net_addr hub = net_addr_make(&(struct ip_addr){4, {192, 0, 2, 1}}, 443);
        ngtcp2_cid asked, asker;
        static struct quic_tx tx;
        ngtcp2_version_cid vc;
        struct quic_rx rx;
        struct end e;
        ngtcp2_ssize n;

        end_init(&e, pool, &edge, "hub.example", &quic_tls_gnutls);
        assert_int_equal(quic_path_open_lane(quic_path_new(e.ep, &meeting_ops, &e), START_NS,
                                             &e.addr, &hub, 0, NULL),
                         0);
        assert_true(quic_endpoint_tx(e.ep, START_NS, &tx));
        assert_int_equal(ngtcp2_pkt_decode_version_cid(&vc, tx.buf, tx.seg_size, 8), 0);
        ngtcp2_cid_init(&asked, vc.dcid, vc.dcidlen);
        ngtcp2_cid_init(&asker, vc.scid, vc.scidlen);
        n = ngtcp2_crypto_write_connection_close(tx.buf, sizeof(tx.buf), NGTCP2_PROTO_VER_V1,
                                                 &asker, &asked, NGTCP2_CRYPTO_ERROR | alerts[i],
                                                 NULL, 0);
        assert_true(n > 0);
        rx = (struct quic_rx){.local = e.addr, .remote = hub, .data = tx.buf, .len = (size_t)n};
        quic_endpoint_rx(e.ep, START_NS + NS_PER_MS, &rx);
        assert_int_equal(e.downs, 1);
        assert_int_equal(e.why.fail, QUIC_FAIL_TLS);
        assert_int_equal(e.why.code, 0x100 | alerts[i]);
        assert_false(quic_fail_permanent(e.why.fail));
        end_done(&e);
        pkt_pool_free(pool);
    }
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
        cmocka_unit_test(names_of_64_characters),
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
        cmocka_unit_test(texts_that_do_not_load),
        cmocka_unit_test(reset_secret_follows_the_key),
        cmocka_unit_test(no_tickets_for_those_who_ask),
        cmocka_unit_test(every_cipher_with_every_backend),
        cmocka_unit_test(keys_change_without_tls),
        cmocka_unit_test(retry_with_real_tls),
        cmocka_unit_test(a_token_of_yesterday),
        cmocka_unit_test(an_alert_that_anybody_can_write_is_not_final),
    };

    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
