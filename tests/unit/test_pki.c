/* The authority in a directory: what it issues, renews and revokes. */
#include "pki_world.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

/* --- what is made ---------------------------------------------------------------------- */

static void test_init(void **state)
{
    struct world *w = *state;
    bool made = true, new = true;
    struct crl_table crl = {0};
    _cleanup_text_ struct file_text text = {0};

    world_init(w);
    assert_int_equal(pki_dir_mode(w->pki.dir, "ca.key"), 0600);
    assert_int_equal(pki_dir_mode(w->pki.dir, "ca.crt"), 0644);
    OK(file_read(world_path(w, "crl.pem"), &text, &w->e));
    OK(crl_read(&text, &crl, &w->e));
    assert_int_equal(crl.n, 0);
    assert_true(crl.next_update > w->pki.now_s + 3649LL * PKI_DAY_S);
    assert_true(crl.this_update <= w->pki.now_s);
    crl_done(&crl);
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_false(made);
    assert_false(new);
}

static void test_init_completes(void **state)
{
    struct world *w = *state;
    _cleanup_text_ struct file_text key = {0}, key2 = {0};
    bool made = false, new = true;

    world_init(w);
    OK(file_read(world_path(w, "ca.key"), &key, &w->e));
    unlink(world_path(w, "crl.pem"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_true(made);
    assert_false(new);
    assert_int_equal(pki_dir_mode(w->pki.dir, "crl.pem"), 0644);
    /* a key alone becomes an authority; a certificate alone cannot */
    unlink(world_path(w, "ca.crt"));
    unlink(world_path(w, "crl.pem"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    OK(file_read(world_path(w, "ca.key"), &key2, &w->e));
    assert_string_equal(key.data, key2.data);
    unlink(world_path(w, "ca.key"));
    assert_int_equal(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e), -ENOENT);
    assert_non_null(strstr(w->e.text, "ca.key"));
}

static void test_foreign_authority(void **state)
{
    struct world *w = *state;
    struct cert_request request = {.kind = PKI_KIND_CLIENT,
                                   .name = "no-ca",
                                   .not_before = w->pki.now_s - 10,
                                   .not_after = w->pki.now_s + PKI_DAY_S};
    _cleanup_text_ struct file_text key = {0}, cert = {0};
    bool made, new;

    OK(file_make_dir(w->pki.dir, 0755, &w->e));
    OK(cert_key_make(2048, &key, &w->e));
    OK(cert_make(&request, &key, NULL, &cert, &w->e));
    OK(file_write(w->pki.dir, "ca.key", 0600, &key, &w->e));
    OK(file_write(w->pki.dir, "ca.crt", 0644, &cert, &w->e));
    assert_int_equal(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e), -EINVAL);
    assert_non_null(strstr(w->e.text, "not a CA"));
    request.kind = PKI_KIND_CA;
    request.name = "Company CA";
    OK(cert_make(&request, &key, NULL, &cert, &w->e));
    OK(file_write(w->pki.dir, "ca.crt", 0644, &cert, &w->e));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_true(made);
    assert_false(new);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    assert_string_equal(world_info(w, PKI_KIND_CLIENT, "edge1").issuer, "Company CA");
    /* no certificate outlives its authority */
    assert_int_equal(world_info(w, PKI_KIND_CLIENT, "edge1").not_after, request.not_after);
}

static void test_issue(void **state)
{
    struct world *w = *state;
    const char *const sans[] = {"hub.example", "2001:db8::1", "203.0.113.10"};
    struct pki_issue_opts opts = {
        .kind = PKI_KIND_SERVER, .name = "203.0.113.10", .sans = sans, .n_sans = 3};
    _cleanup_text_ struct file_text cert = {0};
    struct cert_info server, client;

    world_init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    server = world_info(w, PKI_KIND_SERVER, "203.0.113.10");
    client = world_info(w, PKI_KIND_CLIENT, "edge1");
    assert_int_equal(server.kind, PKI_KIND_SERVER);
    assert_int_equal(client.kind, PKI_KIND_CLIENT);
    assert_string_equal(server.sans, "IP:203.0.113.10 DNS:hub.example IP:2001:db8::1");
    assert_string_equal(client.name, "edge1");
    assert_string_equal(client.algorithm, "ECDSA 256");
    assert_int_equal(strlen(client.serial), 34); /* an octet that is not random, and 128 bits */
    assert_string_not_equal(client.serial, server.serial);
    assert_true(client.not_before <= w->pki.now_s - 3600);
    assert_int_equal(client.not_after, w->pki.now_s + 825LL * PKI_DAY_S);
    assert_int_equal(world_verify(w, PKI_KIND_SERVER, "203.0.113.10"), 0);
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    assert_int_equal(pki_dir_mode(w->pki.dir, "client/edge1/key.pem"), 0600);
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "203.0.113.10", PKI_CERT_FILE, &cert, &w->e));
    assert_true(cert_is_for_host(&cert, "hub.example"));
    assert_true(cert_is_for_host(&cert, "2001:db8::1"));
    assert_false(cert_is_for_host(&cert, "other.example"));
}

static void test_refusals(void **state)
{
    struct world *w = *state;
    struct pki_issue_opts opts = {.kind = PKI_KIND_CLIENT, .name = "edge1"};
    static const char *const bad[] = {"",    ".",    "..",       "a/b",    "-x",
                                      "a b", "a\nb", "\xc3\xa4", "../../x"};
    char too_long[PKI_NAME_MAX + 1];
    struct index_table t = {0};

    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, "edge1"), -ENOENT);
    assert_non_null(strstr(w->e.text, "pki init"));
    world_init(w);
    memset(too_long, 'a', PKI_NAME_MAX);
    too_long[PKI_NAME_MAX] = 0;
    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, too_long), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(world_issue(w, PKI_KIND_CLIENT, bad[i]), -EINVAL);
    opts.rsa_bits = 1024;
    assert_int_equal(pki_issue(&w->pki, &opts, &w->e), -EINVAL);
    assert_non_null(strstr(w->e.text, "1024"));
    opts = (struct pki_issue_opts){.kind = PKI_KIND_CLIENT, .name = "edge1", .days = 40000};
    assert_int_equal(pki_issue(&w->pki, &opts, &w->e), -EINVAL);
    assert_int_equal(world_list(w, &t), 1); /* the authority alone */
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, "edge1"), -EEXIST);
    assert_int_equal(world_issue(w, PKI_KIND_SERVER, "edge1"), -EEXIST);
    assert_int_equal(world_list(w, &t), 2);
    index_done(&t);
    w->pki.now_s += 4000LL * PKI_DAY_S;
    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, "late"), -EKEYEXPIRED);
}

static void test_rsa(void **state)
{
    struct world *w = *state;
    struct pki_issue_opts opts = {.kind = PKI_KIND_CLIENT, .name = "old", .rsa_bits = 2048};

    world_init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    assert_string_equal(world_info(w, PKI_KIND_CLIENT, "old").algorithm, "RSA 2048");
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "old"), 0);
}

static void test_renew(void **state)
{
    struct world *w = *state;
    const char *const sans[] = {"hub.example"};
    struct pki_issue_opts opts = {
        .kind = PKI_KIND_SERVER, .name = "192.0.2.1", .sans = sans, .n_sans = 1};
    struct file_text key[3] = {0};
    struct cert_info before, after;
    enum pki_kind kind;

    world_init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    before = world_info(w, PKI_KIND_SERVER, "192.0.2.1");
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[0], &w->e));
    w->pki.now_s += 100 * PKI_DAY_S;
    OK(pki_renew(&w->pki, &(struct pki_renew_opts){.name = "192.0.2.1"}, &kind, &w->e));
    assert_int_equal(kind, PKI_KIND_SERVER);
    after = world_info(w, PKI_KIND_SERVER, "192.0.2.1");
    assert_string_equal(after.sans, before.sans);
    assert_string_not_equal(after.serial, before.serial);
    assert_int_equal(after.not_after, before.not_after + 100 * PKI_DAY_S);
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[1], &w->e));
    assert_string_equal(key[1].data, key[0].data);
    OK(pki_renew(&w->pki, &(struct pki_renew_opts){.name = "192.0.2.1", .new_key = true}, &kind,
                 &w->e));
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[2], &w->e));
    assert_string_not_equal(key[2].data, key[0].data);
    assert_int_equal(world_verify(w, PKI_KIND_SERVER, "192.0.2.1"), 0);
    assert_int_equal(pki_dir_mode(w->pki.dir, "server/192.0.2.1/key.pem"), 0600);
    assert_int_equal(pki_renew(&w->pki, &(struct pki_renew_opts){.name = "nobody"}, &kind, &w->e),
                     -ENOENT);
    for (int i = 0; i < 3; i++)
        file_text_done(&key[i]);
}

static void test_revoke(void **state)
{
    struct world *w = *state;
    struct pki_renew_opts again = {.name = "edge1"};
    char old[PKI_SERIAL_STR_MAX], colons[64] = "0x0A:bC";
    struct index_table t = {0};
    enum pki_kind kind;
    unsigned n = 0;

    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(world_issue(w, PKI_KIND_CLIENT, "edge2"));
    snprintf(old, sizeof(old), "%s", world_info(w, PKI_KIND_CLIENT, "edge1").serial);
    OK(pki_renew(&w->pki, &again, &kind, &w->e));
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    assert_int_equal(n, 2); /* the renewed one and the one before */
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge2"), 0);
    world_list(w, &t);
    assert_true(index_find_serial(&t, old)->revoked != 0);
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    assert_int_equal(n, 0);
    assert_int_equal(pki_revoke(&w->pki, "nobody", NULL, &n, &w->e), -ENOENT);
    /* what was revoked is not renewed with the key that may be in other hands */
    assert_int_equal(pki_renew(&w->pki, &again, &kind, &w->e), -EKEYREVOKED);
    again.new_key = true;
    OK(pki_renew(&w->pki, &again, &kind, &w->e));
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    /* by serial number, as people write it, of a certificate that nobody recorded */
    OK(pki_revoke(&w->pki, NULL, colons, &n, &w->e));
    assert_int_equal(n, 1);
    OK(pki_revoke(&w->pki, NULL, "abc", &n, &w->e));
    assert_int_equal(n, 0);
    assert_int_equal(pki_revoke(&w->pki, NULL, "xyz", &n, &w->e), -EINVAL);
    world_list(w, &t);
    assert_int_equal(pki_revoke(&w->pki, NULL, t.v[0].serial, &n, &w->e), -EINVAL); /* the CA */
    index_done(&t);
}

/* The list is never made from the index alone. */
/* A list from the future is no forged one: it is the clock that is wrong. */
static void test_clock_behind(void **state)
{
    struct world *w = *state;
    struct pki other;

    w->pki.now_s += 2 * (int64_t)PKI_DAY_S;
    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    other = w->pki;
    w->pki.now_s -= 2 * (int64_t)PKI_DAY_S;
    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, "edge2"), -EINVAL);
    assert_non_null(strstr(w->e.text, "set the clock"));

    /* that of another authority is refused at any time */
    w->pki.now_s = other.now_s;
    snprintf(other.dir, sizeof(other.dir), "%s/other", w->root);
    {
        _cleanup_text_ struct file_text crl = {0};
        char path[FILE_PATH_MAX];
        bool made, new;

        OK(pki_init(&other, &(struct pki_init_opts){.name = "mpquic CA"}, &made, &new, &w->e));
        OK(file_path(path, other.dir, "crl.pem", &w->e));
        OK(file_read(path, &crl, &w->e));
        OK(file_write(w->pki.dir, "crl.pem", 0644, &crl, &w->e));
    }
    assert_int_equal(world_issue(w, PKI_KIND_CLIENT, "edge2"), -EINVAL);
    assert_non_null(strstr(w->e.text, "not signed by this CA"));
}

static void test_renew_for_more_names(void **state)
{
    static const char *const more[] = {"203.0.113.10", "hub.example", "2001:db8::10"};
    struct world *w = *state;
    struct pki_renew_opts opts = {.name = "203.0.113.10", .sans = more, .n_sans = ARRAY_LEN(more)};
    enum pki_kind kind;

    world_init(w);
    OK(world_issue(w, PKI_KIND_SERVER, "203.0.113.10"));
    OK(pki_renew(&w->pki, &opts, &kind, &w->e));
    assert_string_equal(world_info(w, PKI_KIND_SERVER, "203.0.113.10").sans,
                        "IP:203.0.113.10 DNS:hub.example IP:2001:db8::10");
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    opts.name = "edge1";
    assert_int_equal(pki_renew(&w->pki, &opts, &kind, &w->e), -EINVAL);
}

static void test_revocation_survives_the_index(void **state)
{
    struct world *w = *state;
    struct index_table t = {0};
    bool made, new;
    unsigned n;

    world_init(w);
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(world_issue(w, PKI_KIND_CLIENT, "edge2"));
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    unlink(world_path(w, "index.txt"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    OK(world_issue(w, PKI_KIND_CLIENT, "edge3"));
    OK(pki_revoke(&w->pki, "edge3", NULL, &n, &w->e));
    assert_int_equal(world_verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
    assert_int_equal(world_list(w, &t), 3); /* the CA, edge3, and the forgotten one */
    assert_int_equal(t.v[2].kind, PKI_KIND_OTHER);
    index_done(&t);
}

/* As other programs see it. */
static void test_certtool(void **state)
{
    struct world *w = *state;
    char command[1024];
    unsigned n;

    if (system("certtool --version >/dev/null 2>&1") != 0)
        fail_msg("there is no certtool: install gnutls-bin");
    world_init(w);
    OK(world_issue(w, PKI_KIND_SERVER, "hub.example"));
    OK(world_issue(w, PKI_KIND_CLIENT, "edge1"));
    snprintf(command, sizeof(command),
             "cd %s && certtool --verify --verify-profile medium --load-ca-certificate ca.crt "
             "--load-crl crl.pem --infile client/edge1/cert.pem >/dev/null 2>&1 && "
             "certtool --verify --verify-profile medium --load-ca-certificate ca.crt "
             "--verify-hostname hub.example --verify-purpose 1.3.6.1.5.5.7.3.1 "
             "--infile server/hub.example/cert.pem >/dev/null 2>&1 && "
             "certtool --verify-crl --load-ca-certificate ca.crt --infile crl.pem >/dev/null 2>&1",
             w->pki.dir);
    assert_int_equal(system(command), 0);
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    snprintf(command, sizeof(command),
             "cd %s && certtool --crl-info --infile crl.pem | tr -d ' ' | grep -q %s", w->pki.dir,
             world_info(w, PKI_KIND_CLIENT, "edge1").serial);
    assert_int_equal(system(command), 0);
}

static void test_hub_address(void **state)
{
    struct world *w = *state;
    struct pki_hub hub = {"[2001:db8::1]:45010", ""}, back;

    world_init(w);
    assert_int_equal(pki_read_hub(&w->pki, &back, &w->e), -ENOENT);
    OK(pki_write_hub(&w->pki, &hub, &w->e));
    OK(pki_read_hub(&w->pki, &back, &w->e));
    assert_string_equal(back.address, hub.address);
    assert_string_equal(back.config, "");
    snprintf(hub.config, sizeof(hub.config), "/etc/mpquic/hub.yaml");
    OK(pki_write_hub(&w->pki, &hub, &w->e));
    OK(pki_read_hub(&w->pki, &back, &w->e));
    assert_string_equal(back.address, hub.address);
    assert_string_equal(back.config, "/etc/mpquic/hub.yaml");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        T(test_init),
        T(test_init_completes),
        T(test_foreign_authority),
        T(test_issue),
        T(test_refusals),
        T(test_rsa),
        T(test_renew),
        T(test_revoke),
        T(test_clock_behind),
        T(test_renew_for_more_names),
        T(test_revocation_survives_the_index),
        T(test_certtool),
        T(test_hub_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
