/* The authority in a directory: what it issues, renews and revokes, and that nothing is ever half
 * done: disk full, the process killed at each of its system calls, two writers at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "pki/store.h"
#include "pki_dir.h"

struct world {
    char root[64];
    struct pki pki;
    struct pki_error e;
};

#define OK(call)                                             \
    do {                                                     \
        int ok_rv = (call);                                  \
        if (ok_rv)                                           \
            fail_msg("%s: %d: %s", #call, ok_rv, w->e.text); \
    } while (0)

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    snprintf(w->root, sizeof(w->root), "/tmp/mpquic-pki-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->pki.dir, sizeof(w->pki.dir), "%s/pki", w->root);
    w->pki.now_s = time(NULL);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    pki_dir_remove(w->root);
    free(w);
    return 0;
}

static void init(struct world *w)
{
    bool made, new;

    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_true(made);
    assert_true(new);
}

static int issue(struct world *w, enum pki_kind kind, const char *name)
{
    return pki_issue(&w->pki, &(struct pki_issue_opts){.kind = kind, .name = name}, &w->e);
}

static struct cert_info info_of(struct world *w, enum pki_kind kind, const char *name)
{
    _cleanup_text_ struct file_text text = {0};
    struct cert_info info = {0};

    OK(pki_read(&w->pki, kind, name, PKI_CERT_FILE, &text, &w->e));
    OK(cert_read(&text, &info, &w->e));
    return info;
}

/* 0, -EKEYREVOKED, or another reason why a hub with our list would not take the certificate. */
static int verify(struct world *w, enum pki_kind kind, const char *name)
{
    _cleanup_text_ struct file_text cert = {0}, key = {0}, ca = {0}, crl = {0};
    char path[FILE_PATH_MAX];
    int rv;

    OK(file_path(path, w->pki.dir, "crl.pem", &w->e));
    OK(file_read(path, &crl, &w->e));
    OK(pki_read_ca(&w->pki, &ca, &w->e));
    OK(pki_read(&w->pki, kind, name, PKI_CERT_FILE, &cert, &w->e));
    OK(pki_read(&w->pki, kind, name, PKI_KEY_FILE, &key, &w->e));
    rv = cert_check_key(&cert, &key, &w->e);
    return rv ? rv : cert_check_chain(&cert, &ca, &crl, kind, &w->e);
}

static size_t list(struct world *w, struct index_table *t)
{
    OK(pki_list(&w->pki, t, &w->e));
    return t->n;
}

static const char *path_in(struct world *w, const char *name)
{
    static char path[FILE_PATH_MAX];

    OK(file_path(path, w->pki.dir, name, &w->e));
    return path;
}

/* --- what is made ---------------------------------------------------------------------- */

static void test_init(void **state)
{
    struct world *w = *state;
    bool made = true, new = true;
    struct crl_table crl = {0};
    _cleanup_text_ struct file_text text = {0};

    init(w);
    assert_int_equal(pki_dir_mode(w->pki.dir, "ca.key"), 0600);
    assert_int_equal(pki_dir_mode(w->pki.dir, "ca.crt"), 0644);
    OK(file_read(path_in(w, "crl.pem"), &text, &w->e));
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

    init(w);
    OK(file_read(path_in(w, "ca.key"), &key, &w->e));
    unlink(path_in(w, "crl.pem"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_true(made);
    assert_false(new);
    assert_int_equal(pki_dir_mode(w->pki.dir, "crl.pem"), 0644);
    /* a key alone becomes an authority; a certificate alone cannot */
    unlink(path_in(w, "ca.crt"));
    unlink(path_in(w, "crl.pem"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    OK(file_read(path_in(w, "ca.key"), &key2, &w->e));
    assert_string_equal(key.data, key2.data);
    unlink(path_in(w, "ca.key"));
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
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    assert_string_equal(info_of(w, PKI_KIND_CLIENT, "edge1").issuer, "Company CA");
    /* no certificate outlives its authority */
    assert_int_equal(info_of(w, PKI_KIND_CLIENT, "edge1").not_after, request.not_after);
}

static void test_issue(void **state)
{
    struct world *w = *state;
    const char *const sans[] = {"hub.example", "2001:db8::1", "203.0.113.10"};
    struct pki_issue_opts opts = {
        .kind = PKI_KIND_SERVER, .name = "203.0.113.10", .sans = sans, .n_sans = 3};
    _cleanup_text_ struct file_text cert = {0};
    struct cert_info server, client;

    init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    server = info_of(w, PKI_KIND_SERVER, "203.0.113.10");
    client = info_of(w, PKI_KIND_CLIENT, "edge1");
    assert_int_equal(server.kind, PKI_KIND_SERVER);
    assert_int_equal(client.kind, PKI_KIND_CLIENT);
    assert_string_equal(server.sans, "IP:203.0.113.10 DNS:hub.example IP:2001:db8::1");
    assert_string_equal(client.name, "edge1");
    assert_string_equal(client.algorithm, "ECDSA 256");
    assert_int_equal(strlen(client.serial), 34); /* an octet that is not random, and 128 bits */
    assert_string_not_equal(client.serial, server.serial);
    assert_true(client.not_before <= w->pki.now_s - 3600);
    assert_int_equal(client.not_after, w->pki.now_s + 825LL * PKI_DAY_S);
    assert_int_equal(verify(w, PKI_KIND_SERVER, "203.0.113.10"), 0);
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
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

    assert_int_equal(issue(w, PKI_KIND_CLIENT, "edge1"), -ENOENT);
    assert_non_null(strstr(w->e.text, "pki init"));
    init(w);
    memset(too_long, 'a', PKI_NAME_MAX);
    too_long[PKI_NAME_MAX] = 0;
    assert_int_equal(issue(w, PKI_KIND_CLIENT, too_long), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(issue(w, PKI_KIND_CLIENT, bad[i]), -EINVAL);
    opts.rsa_bits = 1024;
    assert_int_equal(pki_issue(&w->pki, &opts, &w->e), -EINVAL);
    assert_non_null(strstr(w->e.text, "1024"));
    opts = (struct pki_issue_opts){.kind = PKI_KIND_CLIENT, .name = "edge1", .days = 40000};
    assert_int_equal(pki_issue(&w->pki, &opts, &w->e), -EINVAL);
    assert_int_equal(list(w, &t), 1); /* the authority alone */
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(issue(w, PKI_KIND_CLIENT, "edge1"), -EEXIST);
    assert_int_equal(issue(w, PKI_KIND_SERVER, "edge1"), -EEXIST);
    assert_int_equal(list(w, &t), 2);
    index_done(&t);
    w->pki.now_s += 4000LL * PKI_DAY_S;
    assert_int_equal(issue(w, PKI_KIND_CLIENT, "late"), -EKEYEXPIRED);
}

static void test_rsa(void **state)
{
    struct world *w = *state;
    struct pki_issue_opts opts = {.kind = PKI_KIND_CLIENT, .name = "old", .rsa_bits = 2048};

    init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    assert_string_equal(info_of(w, PKI_KIND_CLIENT, "old").algorithm, "RSA 2048");
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "old"), 0);
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

    init(w);
    OK(pki_issue(&w->pki, &opts, &w->e));
    before = info_of(w, PKI_KIND_SERVER, "192.0.2.1");
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[0], &w->e));
    w->pki.now_s += 100 * PKI_DAY_S;
    OK(pki_renew(&w->pki, &(struct pki_renew_opts){.name = "192.0.2.1"}, &kind, &w->e));
    assert_int_equal(kind, PKI_KIND_SERVER);
    after = info_of(w, PKI_KIND_SERVER, "192.0.2.1");
    assert_string_equal(after.sans, before.sans);
    assert_string_not_equal(after.serial, before.serial);
    assert_int_equal(after.not_after, before.not_after + 100 * PKI_DAY_S);
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[1], &w->e));
    assert_string_equal(key[1].data, key[0].data);
    OK(pki_renew(&w->pki, &(struct pki_renew_opts){.name = "192.0.2.1", .new_key = true}, &kind,
                 &w->e));
    OK(pki_read(&w->pki, PKI_KIND_SERVER, "192.0.2.1", PKI_KEY_FILE, &key[2], &w->e));
    assert_string_not_equal(key[2].data, key[0].data);
    assert_int_equal(verify(w, PKI_KIND_SERVER, "192.0.2.1"), 0);
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

    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(issue(w, PKI_KIND_CLIENT, "edge2"));
    snprintf(old, sizeof(old), "%s", info_of(w, PKI_KIND_CLIENT, "edge1").serial);
    OK(pki_renew(&w->pki, &again, &kind, &w->e));
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    assert_int_equal(n, 2); /* the renewed one and the one before */
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge2"), 0);
    list(w, &t);
    assert_true(index_find_serial(&t, old)->revoked != 0);
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    assert_int_equal(n, 0);
    assert_int_equal(pki_revoke(&w->pki, "nobody", NULL, &n, &w->e), -ENOENT);
    /* what was revoked is not renewed with the key that may be in other hands */
    assert_int_equal(pki_renew(&w->pki, &again, &kind, &w->e), -EKEYREVOKED);
    again.new_key = true;
    OK(pki_renew(&w->pki, &again, &kind, &w->e));
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    /* by serial number, as people write it, of a certificate that nobody recorded */
    OK(pki_revoke(&w->pki, NULL, colons, &n, &w->e));
    assert_int_equal(n, 1);
    OK(pki_revoke(&w->pki, NULL, "abc", &n, &w->e));
    assert_int_equal(n, 0);
    assert_int_equal(pki_revoke(&w->pki, NULL, "xyz", &n, &w->e), -EINVAL);
    list(w, &t);
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
    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
    other = w->pki;
    w->pki.now_s -= 2 * (int64_t)PKI_DAY_S;
    assert_int_equal(issue(w, PKI_KIND_CLIENT, "edge2"), -EINVAL);
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
    assert_int_equal(issue(w, PKI_KIND_CLIENT, "edge2"), -EINVAL);
    assert_non_null(strstr(w->e.text, "not signed by this CA"));
}

static void test_renew_for_more_names(void **state)
{
    static const char *const more[] = {"203.0.113.10", "hub.example", "2001:db8::10"};
    struct world *w = *state;
    struct pki_renew_opts opts = {.name = "203.0.113.10", .sans = more, .n_sans = ARRAY_LEN(more)};
    enum pki_kind kind;

    init(w);
    OK(issue(w, PKI_KIND_SERVER, "203.0.113.10"));
    OK(pki_renew(&w->pki, &opts, &kind, &w->e));
    assert_string_equal(info_of(w, PKI_KIND_SERVER, "203.0.113.10").sans,
                        "IP:203.0.113.10 DNS:hub.example IP:2001:db8::10");
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    opts.name = "edge1";
    assert_int_equal(pki_renew(&w->pki, &opts, &kind, &w->e), -EINVAL);
}

static void test_revocation_survives_the_index(void **state)
{
    struct world *w = *state;
    struct index_table t = {0};
    bool made, new;
    unsigned n;

    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(issue(w, PKI_KIND_CLIENT, "edge2"));
    OK(pki_revoke(&w->pki, "edge1", NULL, &n, &w->e));
    unlink(path_in(w, "index.txt"));
    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    OK(issue(w, PKI_KIND_CLIENT, "edge3"));
    OK(pki_revoke(&w->pki, "edge3", NULL, &n, &w->e));
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
    assert_int_equal(list(w, &t), 3); /* the CA, edge3, and the forgotten one */
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
        skip();
    init(w);
    OK(issue(w, PKI_KIND_SERVER, "hub.example"));
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
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
             info_of(w, PKI_KIND_CLIENT, "edge1").serial);
    assert_int_equal(system(command), 0);
}

static void test_hub_address(void **state)
{
    struct world *w = *state;
    struct pki_hub hub = {"[2001:db8::1]:45010", ""}, back;

    init(w);
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

/* --- nothing half done ----------------------------------------------------------------- */

/* The authority works, and each name that the index knows has a pair of files that match and that
 * the index knows, or no files at all. */
static void assert_whole(struct world *w)
{
    struct index_table t = {0};

    list(w, &t);
    for (size_t i = 0; i < t.n; i++) {
        const struct index_entry *x = &t.v[i];
        char name[128];
        struct cert_info info;

        if (x->kind != PKI_KIND_CLIENT)
            continue;
        snprintf(name, sizeof(name), "client/%s/cert.pem", x->name);
        if (pki_dir_mode(w->pki.dir, name) < 0)
            continue;
        info = info_of(w, PKI_KIND_CLIENT, x->name);
        assert_non_null(index_find_serial(&t, info.serial));
        assert_true(verify(w, PKI_KIND_CLIENT, x->name) != -EINVAL);
        snprintf(name, sizeof(name), "client/%s/key.pem", x->name);
        assert_int_equal(pki_dir_mode(w->pki.dir, name), 0600);
    }
    index_done(&t);
}

/* One change, as a child process does it. */
enum change { CHANGE_ISSUE, CHANGE_RENEW, CHANGE_REVOKE, CHANGE_COUNT };

static int do_change(struct world *w, enum change change)
{
    struct pki_renew_opts again = {.name = "edge1", .new_key = true};
    enum pki_kind kind;
    unsigned n;

    switch (change) {
    case CHANGE_ISSUE:
        return issue(w, PKI_KIND_CLIENT, "edge2");
    case CHANGE_RENEW:
        return pki_renew(&w->pki, &again, &kind, &w->e);
    default:
        return pki_revoke(&w->pki, "edge1", NULL, &n, &w->e);
    }
}

static void test_file_too_large(void **state)
{
    struct world *w = *state;
    _cleanup_text_ struct file_text before = {0}, after = {0};

    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    OK(file_read(path_in(w, "index.txt"), &before, &w->e));
    for (int change = 0; change < CHANGE_COUNT; change++) {
        struct rlimit limit = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
        int rv;

        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        rv = do_change(w, change);
        limit.rlim_cur = RLIM_INFINITY;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rv, -EFBIG);
        OK(file_read(path_in(w, "index.txt"), &after, &w->e));
        assert_string_equal(before.data, after.data);
        assert_whole(w);
    }
    assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
}

/* A file system that is full, with 0, 1, 2 ... blocks left. */
static void full_disk(struct world *w)
{
    char fill[FILE_PATH_MAX];
    int left = 0, rv;

    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    snprintf(fill, sizeof(fill), "%s/fill", w->root);
    do {
        static const char block[4096];
        int fd = open(fill, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int blocks = 0;

        assert_true(fd >= 0);
        while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
            blocks++;
        assert_int_equal(errno, ENOSPC);
        assert_int_equal(ftruncate(fd, (off_t)MAX(blocks - left, 0) * 4096), 0);
        close(fd);
        rv = do_change(w, CHANGE_RENEW);
        assert_true(!rv || rv == -ENOSPC);
        assert_whole(w);
        assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
        left++;
    } while (rv && left < 32);
    assert_int_equal(rv, 0);
    assert_true(left > 2); /* it was full indeed */
}

static void test_full_disk(void **state)
{
    struct world *w = *state;
    int status;
    pid_t pid;

    if (geteuid() != 0)
        skip();
    pid = fork();
    if (!pid) {
        /* assertions that fail jump back here in the child alone: it must not go on */
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
            mount("tmpfs", w->root, "tmpfs", 0, "size=128k"))
            _exit(77);
        full_disk(w);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Let a child do the change and kill it at its nth system call. Returns false when it had ended
 * before. */
static bool killed_at(struct world *w, enum change change, int nth)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
            _exit(77);
        raise(SIGSTOP);
        _exit(do_change(w, change) ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; WIFSTOPPED(status) && i < nth; i++) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    if (WIFEXITED(status)) {
        if (WEXITSTATUS(status) == 77)
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return true;
}

/* Whatever the moment at which a change is cut off, what is there is whole, and the next change
 * works. */
static void killed_everywhere(struct world *w, enum change change)
{
    int nth = 1;

    init(w);
    OK(issue(w, PKI_KIND_CLIENT, "edge1"));
    for (; killed_at(w, change, nth); nth++) {
        assert_whole(w);
        if (change == CHANGE_RENEW)
            assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), 0);
        if (change == CHANGE_ISSUE && pki_dir_mode(w->pki.dir, "client/edge2/cert.pem") >= 0) {
            unsigned n;

            OK(pki_revoke(&w->pki, "edge2", NULL, &n, &w->e)); /* make room for the next one */
        }
        if (change == CHANGE_REVOKE && verify(w, PKI_KIND_CLIENT, "edge1") == -EKEYREVOKED)
            OK(do_change(w, CHANGE_RENEW));
    }
    assert_true(nth > 20);
    assert_whole(w);
    if (change == CHANGE_REVOKE)
        assert_int_equal(verify(w, PKI_KIND_CLIENT, "edge1"), -EKEYREVOKED);
}

static void test_killed_while_issuing(void **state)
{
    killed_everywhere(*state, CHANGE_ISSUE);
}

static void test_killed_while_renewing(void **state)
{
    killed_everywhere(*state, CHANGE_RENEW);
}

static void test_killed_while_revoking(void **state)
{
    killed_everywhere(*state, CHANGE_REVOKE);
}

static void test_two_writers(void **state)
{
    enum { WRITERS = 4, EACH = 5 };
    struct world *w = *state;
    struct index_table t = {0};
    pid_t pid[WRITERS];

    init(w);
    for (int i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        for (int k = 0; !pid[i] && k < EACH; k++) {
            char name[32];

            snprintf(name, sizeof(name), "edge%d-%d", i, k);
            if (issue(w, PKI_KIND_CLIENT, name))
                _exit(1);
        }
        if (!pid[i])
            _exit(0);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;

        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(list(w, &t), 1 + WRITERS * EACH);
    index_done(&t);
    assert_whole(w);
}

static void test_lock(void **state)
{
    struct world *w = *state;
    int held, other;

    init(w);
    held = file_lock_dir(w->pki.dir, 0, &w->e);
    assert_true(held >= 0);
    other = file_lock_dir(w->pki.dir, 40, &w->e);
    assert_int_equal(other, -EBUSY);
    close(held);
    other = file_lock_dir(w->pki.dir, 0, &w->e);
    assert_true(other >= 0);
    close(other);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
        T(test_file_too_large),
        T(test_full_disk),
        T(test_killed_while_issuing),
        T(test_killed_while_renewing),
        T(test_killed_while_revoking),
        T(test_two_writers),
        T(test_lock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
