#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/schema.h"
#include "config_text.h"

#define CERT "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
#define KEY "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n"

/* A directory with the files of a client and of a server, all in order. */
struct fixture {
    char dir[64];
    struct tunnel_config client, server;
    struct config_report report;
};

static const char *const names[] = {"cert", "key", "ca", "token", "tokens", "fifo", NULL};

static void write_file(const char *path, const char *content, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(content, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char path[128];

    snprintf(f->dir, sizeof(f->dir), "/tmp/test-config-files-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        write_file(path, i == 1 ? KEY : i < 3 ? CERT : "a 123\n", i == 0 || i == 2 ? 0644 : 0600);
    }
    snprintf(f->client.tls_cert_file, CONFIG_PATH_MAX, "%s/cert", f->dir);
    snprintf(f->client.tls_key_file, CONFIG_PATH_MAX, "%s/key", f->dir);
    snprintf(f->client.tls_ca_file, CONFIG_PATH_MAX, "%s/ca", f->dir);
    f->server = f->client;
    snprintf(f->client.token_file, CONFIG_PATH_MAX, "%s/token", f->dir);
    snprintf(f->server.tokens_file, CONFIG_PATH_MAX, "%s/tokens", f->dir);
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
        f->report.where[i] = (struct config_where){i + 1, 2};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];

    for (const char *const *n = names; *n; n++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, *n);
        unlink(path);
    }
    rmdir(f->dir);
    config_report_done(&f->report);
    free(f);
    return 0;
}

/* One problem at the place of key, its text being want with the name of the key in front. */
static void expect_one(struct fixture *f, const struct tunnel_config *c, enum config_key_id key,
                       bool fatal, const char *want)
{
    char text[256];

    assert_int_equal(config_check_files(c, &f->report), fatal ? -EINVAL : 0);
    assert_int_equal(f->report.n, 1);
    assert_int_equal(f->report.v[0].fatal, fatal);
    assert_int_equal(f->report.v[0].line, key + 1);
    snprintf(text, sizeof(text), "%s: %s", config_schema.keys[key].name, want);
    assert_string_equal(f->report.v[0].text, text);
}

static void files_in_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config_check_files(&f->client, &f->report), 0);
    assert_int_equal(config_check_files(&f->server, &f->report), 0);
    assert_int_equal(f->report.n, 0);
}

static void a_missing_file(void **state)
{
    struct fixture *f = *state;

    unlink(f->client.tls_ca_file);
    expect_one(f, &f->client, CONFIG_KEY_TLS_CA_FILE, true,
               "cannot read the file: No such file or directory");
}

static void a_directory(void **state)
{
    struct fixture *f = *state;

    snprintf(f->client.token_file, CONFIG_PATH_MAX, "%s", f->dir);
    expect_one(f, &f->client, CONFIG_KEY_TOKEN_FILE, true, "not a regular file");
}

static void a_fifo_does_not_hold_the_check_up(void **state)
{
    struct fixture *f = *state;

    snprintf(f->server.tokens_file, CONFIG_PATH_MAX, "%s/fifo", f->dir);
    assert_int_equal(mkfifo(f->server.tokens_file, 0600), 0);
    expect_one(f, &f->server, CONFIG_KEY_TOKENS_FILE, true, "not a regular file");
}

static void the_key_where_the_certificate_belongs(void **state)
{
    struct fixture *f = *state;

    write_file(f->client.tls_cert_file, KEY, 0600);
    expect_one(f, &f->client, CONFIG_KEY_TLS_CERT_FILE, true, "the file holds no certificate");
}

static void the_certificate_where_the_key_belongs(void **state)
{
    struct fixture *f = *state;

    write_file(f->client.tls_key_file, CERT, 0600);
    expect_one(f, &f->client, CONFIG_KEY_TLS_KEY_FILE, true, "the file holds no private key");
}

static void an_empty_file(void **state)
{
    struct fixture *f = *state;

    write_file(f->client.token_file, " \n\n", 0600);
    expect_one(f, &f->client, CONFIG_KEY_TOKEN_FILE, true, "the file is empty");
}

static void a_key_that_others_may_read(void **state)
{
    struct fixture *f = *state;

    chmod(f->server.tls_key_file, 0640);
    expect_one(f, &f->server, CONFIG_KEY_TLS_KEY_FILE, false,
               "others than its owner can use the file (mode 0640)");
    assert_string_equal(f->report.v[0].hint, "run chmod 0600 on it");
}

static void tokens_that_others_may_read(void **state)
{
    struct fixture *f = *state;

    chmod(f->server.tokens_file, 0604);
    expect_one(f, &f->server, CONFIG_KEY_TOKENS_FILE, false,
               "others than its owner can use the file (mode 0604)");
}

static void problems_of_several_files_in_order(void **state)
{
    struct fixture *f = *state;

    unlink(f->client.token_file);
    unlink(f->client.tls_cert_file);
    assert_int_equal(config_check_files(&f->client, &f->report), -EINVAL);
    assert_int_equal(f->report.n, 2);
    assert_int_equal(f->report.v[0].line, CONFIG_KEY_TLS_CERT_FILE + 1);
    assert_int_equal(f->report.v[1].line, CONFIG_KEY_TOKEN_FILE + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fifo_does_not_hold_the_check_up, setup, teardown),
        cmocka_unit_test_setup_teardown(the_key_where_the_certificate_belongs, setup, teardown),
        cmocka_unit_test_setup_teardown(the_certificate_where_the_key_belongs, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_that_others_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_that_others_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(problems_of_several_files_in_order, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
