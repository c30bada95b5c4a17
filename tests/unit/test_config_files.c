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
#define TOKEN "4nRzq8Xv0Yt2mKfWc1sLbA7pHdUeJg5o"
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
        write_file(path,
                   i == 1   ? KEY
                   : i < 3  ? CERT
                   : i == 3 ? TOKEN "\n"
                            : "a " TOKEN "\n",
                   i == 0 || i == 2 ? 0644 : 0600);
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
    char text[CONFIG_PATH_MAX + 64];

    unlink(f->client.tls_ca_file);
    snprintf(text, sizeof(text), "cannot read %s: No such file or directory",
             f->client.tls_ca_file);
    expect_one(f, &f->client, CONFIG_KEY_TLS_CA_FILE, true, text);
}

static void a_directory(void **state)
{
    struct fixture *f = *state;
    char text[CONFIG_PATH_MAX + 64];

    snprintf(f->client.token_file, CONFIG_PATH_MAX, "%s", f->dir);
    snprintf(text, sizeof(text), "cannot read %s: not a regular file", f->dir);
    expect_one(f, &f->client, CONFIG_KEY_TOKEN_FILE, true, text);
}

static void a_fifo_does_not_hold_the_check_up(void **state)
{
    struct fixture *f = *state;
    char text[CONFIG_PATH_MAX + 64];

    snprintf(f->server.tokens_file, CONFIG_PATH_MAX, "%s/fifo", f->dir);
    assert_int_equal(mkfifo(f->server.tokens_file, 0600), 0);
    snprintf(text, sizeof(text), "cannot read %s: not a regular file", f->server.tokens_file);
    expect_one(f, &f->server, CONFIG_KEY_TOKENS_FILE, true, text);
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

/* ---- what token files hold ---- */

/* The problems of a text in the place of file, a line each: "E: TEXT; HINT" or "W: ...". */
static void expect_problems(struct fixture *f, const struct tunnel_config *c, const char *file,
                            const char *text, const char *want)
{
    char got[2048] = "";
    size_t n = 0;

    write_file(file, text, 0600);
    config_report_done(&f->report);
    config_check_files(c, &f->report);
    for (size_t i = 0; i < f->report.n; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%c: %s\n",
                              f->report.v[i].fatal ? 'E' : 'W', f->report.v[i].text);
    assert_string_equal(got, want);
}

static void tokens_of_a_server(void **state)
{
    struct fixture *f = *state;
    const char *file = f->server.tokens_file;
    char text[1024];

    expect_problems(f, &f->server, file, "# a\n\n \t\r\n  edge1 \t" TOKEN "\r\nb " TOKEN "=", "");
    expect_problems(f, &f->server, file, "# nobody\n", "E: tokens_file: the file holds no token\n");
    expect_problems(f, &f->server, file, "\na\nb " TOKEN " x\n",
                    "E: tokens_file: line 2: a token is missing behind the name\n"
                    "W: tokens_file: line 3: what stands behind the token is not used\n");
    expect_problems(f, &f->server, file, "a 123456789012345\nb 1234567890123456\n",
                    "W: tokens_file: line 1: the token has only 15 characters and can be "
                    "guessed\n");
    expect_problems(f, &f->server, file, "a 1234567890=23456\nb \"" TOKEN "\"\nc =\n",
                    "E: tokens_file: line 1: the token has characters other than letters, digits "
                    "and - . _ ~ + / =\n"
                    "E: tokens_file: line 2: the token has characters other than letters, digits "
                    "and - . _ ~ + / =\n"
                    "E: tokens_file: line 3: the token has characters other than letters, digits "
                    "and - . _ ~ + / =\n");
    snprintf(text, sizeof(text), "a %0255d\nb %0256d\n%064d " TOKEN "\n", 1, 1, 1);
    expect_problems(f, &f->server, file, text,
                    "E: tokens_file: line 2: the token has more than 255 characters\n"
                    "E: tokens_file: line 3: the name has more than 63 characters\n");
}

static void tokens_that_stand_twice(void **state)
{
    struct fixture *f = *state;

    expect_problems(f, &f->server, f->server.tokens_file,
                    "a " TOKEN "\nb " TOKEN "2\n\nc " TOKEN "\na " TOKEN "3\nb " TOKEN "2\n",
                    "E: tokens_file: line 4: this token stands in line 1 already\n"
                    "E: tokens_file: line 6: this token stands in line 2 already\n"
                    "W: tokens_file: line 5: 'a' has another token in line 1\n");
}

static void as_many_tokens_as_peers(void **state)
{
    enum { LINE = 15 };
    struct fixture *f = *state;
    char *text = malloc((CONFIG_TOKENS_MAX + 1) * LINE + 1);

    assert_non_null(text);
    for (int i = 0; i <= CONFIG_TOKENS_MAX; i++)
        snprintf(text + i * LINE, LINE + 1, "%05x %08x\n", i, i);
    write_file(f->server.tokens_file, text, 0600);
    assert_int_equal(config_check_files(&f->server, &f->report), -EINVAL);
    assert_int_equal(f->report.n_errors, 1);
    text[CONFIG_TOKENS_MAX * LINE] = 0;
    write_file(f->server.tokens_file, text, 0600);
    config_report_done(&f->report);
    assert_int_equal(config_check_files(&f->server, &f->report), 0);
    free(text);
}

static void the_token_of_a_client(void **state)
{
    struct fixture *f = *state;
    const char *file = f->client.token_file;

    expect_problems(f, &f->client, file, TOKEN, "");
    expect_problems(f, &f->client, file, TOKEN "\r\n\n", "");
    expect_problems(f, &f->client, file, "\n" TOKEN "\n",
                    "E: token_file: the file does not begin with a token\n");
    expect_problems(f, &f->client, file, "secret\n",
                    "W: token_file: the token has only 6 characters and can be guessed\n");
    expect_problems(f, &f->client, file, "edge1 " TOKEN "\n",
                    "W: token_file: the token has only 5 characters and can be guessed\n"
                    "W: token_file: the first word is taken for the token, but there is more in "
                    "the file\n");
}

/* No message shows a token. */
static void tokens_are_not_quoted(void **state)
{
    struct fixture *f = *state;

    write_file(f->server.tokens_file,
               "a " TOKEN "\nb " TOKEN "\nc " TOKEN "!\nd short\n" TOKEN "\n", 0600);
    config_check_files(&f->server, &f->report);
    assert_int_equal(f->report.n, 4);
    for (size_t i = 0; i < f->report.n; i++) {
        assert_null(strstr(f->report.v[i].text, TOKEN));
        assert_null(strstr(f->report.v[i].text, "short"));
    }
}

static void bytes_that_are_no_text(void **state)
{
    struct fixture *f = *state;
    FILE *out = fopen(f->server.tokens_file, "w");

    fwrite("a\0b", 1, 3, out);
    fclose(out);
    expect_one(f, &f->server, CONFIG_KEY_TOKENS_FILE, true, "the file has NUL characters");
}

static void a_file_without_end(void **state)
{
    struct fixture *f = *state;
    FILE *out = fopen(f->server.tokens_file, "w");

    for (int i = 0; i <= 1024 * 1024; i++)
        fputc('#', out);
    fclose(out);
    expect_one(f, &f->server, CONFIG_KEY_TOKENS_FILE, true, "the file is larger than 1 MiB");
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
        cmocka_unit_test_setup_teardown(tokens_of_a_server, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_that_stand_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(as_many_tokens_as_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_token_of_a_client, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_are_not_quoted, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_text, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_without_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
