/* The text of a configuration: what of YAML is taken, and how much of it. */
#include "config_expect.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/report.h"

static void all_problems_at_once_in_order(void **state)
{
    expect("role: client\n"
           "bind_ip: enp7s3\n"
           "remote_add: 1.2.3.4\n"
           "remote_port: 70000\n"
           "tun_name: mpq1\n"
           "tun_cidr: [10.200.1.0/30, 10.1.1.1/24]\n"
           "log_level: inf\n"
           "log_level: info\n"
           "tls_ca_file: &a /x\n"
           "tls_key_file: /k\n",
           "f:1:7: error: a client needs remote_addr; add for example 'remote_addr: "
           "203.0.113.10'\n"
           "f:2:10: error: bind_ip: 'enp7s3' is neither an address nor if:NAME; for the interface "
           "write if:enp7s3\n"
           "f:3:1: error: unknown key 'remote_add'; did you mean 'remote_addr'?\n"
           "f:4:14: error: remote_port: '70000' is out of range; write 1 to 65535\n"
           "f:6:12: error: tun_cidr: '10.200.1.0/30' is the network address; use an address "
           "between the first and the last of the network\n"
           "f:7:12: error: log_level: 'inf' is not one of the values; did you mean 'info'? Values: "
           "error, info or debug\n"
           "f:8:1: error: duplicate key 'log_level'; it stands in line 7 already\n"
           "f:9:14: error: anchors (&) are not supported; write the value itself\n"
           "f:10:15: error: tls_key_file without tls_cert_file; a certificate and its key go "
           "together\n");
}

static void what_is_refused_of_yaml(void **state)
{
    expect_client("log_level: !!str info\n", "",
                  "f:1:12: error: tags (!) are not supported; write the value itself\n");
    expect_client("multipath_paths: &p\n  - {name: a, bind_ip: 'if:a'}\n", "",
                  "f:1:18: error: anchors (&) are not supported; write the value itself\n");
    expect_client("log_level: *x\n", "",
                  "f:1:12: error: aliases (*) are not supported; write the value itself\n");
    expect_client("[a, b]: info\n", "",
                  "f:1:1: error: a key must be a plain name; write KEY: VALUE\n");
    expect_client("*x : info\n", "",
                  "f:1:1: error: aliases (*) are not supported; write the value itself\n");
    expect_client("log_level:\n", "",
                  "f:1:11: error: log_level has no value; write one, or remove the line\n");
    expect_client("log_level: ~\n", "",
                  "f:1:12: error: log_level has no value; write one, or remove the line\n");
    expect_client("log_level: {a: b}\n", "",
                  "f:1:12: error: log_level: a mapping where one value is expected\n");
    expect_client("log_level: \"in\\0fo\"\n", "",
                  "f:1:12: error: log_level: the value has a NUL character\n");
    expect_client("tun_cidr: []\n", "tun_cidr",
                  "f:1:11: error: tun_cidr: the list is empty; write an element, or remove the "
                  "key\n");
    expect_client("tun_cidr: [[10.200.1.1/30]]\n", "tun_cidr",
                  "f:1:12: error: tun_cidr: a list where one value is expected\n");
    expect("- role\n", "f:1:1: error: the file is not a mapping of keys; write one KEY: VALUE per "
                       "line\n");
    expect("just text\n", "f:1:1: error: the file is not a mapping of keys; write one KEY: VALUE "
                          "per line\n");
    expect("",
           "f:1:1: error: the file holds no configuration; see the example in mpquic.yaml(5)\n");
    expect("# nothing\n",
           "f:1:1: error: the file holds no configuration; see the example in mpquic.yaml(5)\n");
    expect("---\n---\nrole: client\n",
           "f:2:1: error: a second document starts here; one file per instance\n");
}

static void syntax_errors(void **state)
{
    expect("role: client\n\tbind_ip: x\n",
           "f:2:1: error: not valid YAML: found a tab character that violates indentation (while "
           "scanning a plain scalar, from line 1); indent with spaces, not with tabs\n");
    /* what stands before it is still looked at, and nothing is called missing */
    expect("role: client\nlog_level: x\nbind_ip: 'open\n",
           "f:2:12: error: log_level: 'x' is not one of the values; values: error, info or debug\n"
           "f:4:1: error: not valid YAML: found unexpected end of stream (while scanning a quoted "
           "scalar, from line 3)\n");
    expect("role: client\nbind_ip: \xff\n",
           "f:2:10: error: not valid YAML: invalid leading UTF-8 octet; the file must be text in "
           "UTF-8\n");
    expect_len("a: \0b\n", 6,
               "f:1:4: error: not valid YAML: control characters are not allowed; the file must be "
               "text in UTF-8\n");
}

static void depth_is_bounded(void **state)
{
    /* the root is the first level */
    expect("a: [[[[[[[x]]]]]]]\n",
           "f:1:1: error: unknown key 'a'; the keys are listed in mpquic.yaml(5)\n"
           "f:1:1: error: the role is missing; add 'role: client' or 'role: server'\n");
    expect("a: [[[[[[[[x]]]]]]]]\n",
           "f:1:1: error: unknown key 'a'; the keys are listed in mpquic.yaml(5)\n"
           "f:1:11: error: more than 8 levels of nesting\n");
}

static void the_number_of_values_is_bounded(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char text[65536 + 4096], *p = text;

    p += sprintf(p, "peer_prefixes: [");
    for (int i = 0; i < 32768; i++)
        p += sprintf(p, "x,");
    assert_int_equal(config_parse(text, strlen(text), &c, &report), -EINVAL);
    assert_string_equal(report.v[report.n - 1].text, "the file holds more than 32768 values");
    config_report_done(&report);
}

static void at_most_200_problems_are_kept(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char text[8192], *p = text;

    for (int i = 0; i < 300; i++)
        p += sprintf(p, "k%d: 1\n", i);
    assert_int_equal(config_parse(text, strlen(text), &c, &report), -EINVAL);
    assert_int_equal(report.n, CONFIG_PROBLEMS_MAX);
    assert_int_equal(report.n_errors, 301); /* and the missing role */
    for (size_t i = 1; i < report.n; i++)
        assert_true(report.v[i].line >= report.v[i - 1].line);
    config_report_done(&report);
    assert_null(report.v);
}

static void positions_of_values(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;
    char *text = text_make(client_lines, "\n", "");

    assert_int_equal(config_parse(text, strlen(text), &c, &report), 0);
    assert_int_equal(report.where[0].line, 2); /* the role */
    assert_int_equal(report.where[0].column, 7);
    config_report_done(&report);
    free(text);
}

/* What some editors put in front counts neither as text nor as columns. */
static void a_byte_order_mark(void **state)
{
    static const char bom[] = "\xef\xbb\xbf";
    char first[64];

    snprintf(first, sizeof(first), "%srole: client\n", bom);
    expect_client(first, "role", "");
    snprintf(first, sizeof(first), "%srole: clinet\n", bom);
    expect_client(first, "role",
                  "f:1:7: error: role: 'clinet' is not one of the values; did you mean 'client'? "
                  "Values: client or server\n");
    expect_len(bom, 3,
               "f:1:1: error: the file holds no configuration; see the example in "
               "mpquic.yaml(5)\n");
}

/* Of each pair of lines the second is named, wherever they stand; many cost no more than few. */
static void thousands_of_keys(void **state)
{
    enum { PAIRS = 8000 };
    struct config_report report = {0};
    struct tunnel_config c;
    char *text = malloc(32 * 2 * PAIRS), *p = text;

    for (int twice = 0; twice < 2; twice++)
        for (int i = 0; i < PAIRS; i++)
            p += sprintf(p, "k%d: 1\n", i);
    assert_int_equal(config_parse(text, (size_t)(p - text), &c, &report), -EINVAL);
    assert_int_equal(report.n_errors, 2 * PAIRS + 1); /* unknown, or twice; and the missing role */
    config_report_done(&report);
    p = text;
    p += sprintf(p, "multipath_paths:\n");
    for (int i = 0; i < 3; i++)
        p += sprintf(p, "  - name: p%d\n    bind_ip: if:w%d\n", i, i);
    sprintf(p, "    name: p9\n");
    expect_client(text, "", "f:8:5: error: duplicate key 'name'; it stands in line 6 already\n");
    free(text);
}

static void quoting(void **state)
{
    char buf[REPORT_QUOTE_MAX], text[128];

    assert_string_equal(report_quote("plain", 5, buf), "plain");
    assert_string_equal(report_quote("a\0b", 3, buf), "a\\x00b");
    assert_string_equal(report_quote("\xc3\xa9\\", 3, buf), "\\xc3\\xa9\\x5c");
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, len % 2 ? 'x' : '\n', sizeof(text));
        report_quote(text, len, buf);
        assert_true(strlen(buf) < REPORT_QUOTE_MAX);
        assert_true(strlen(buf) == len * (len % 2 ? 1 : 4) || strstr(buf, "..."));
    }
}

static void expect_unreadable(const char *file, int rv, const char *text)
{
    struct config_report report = {0};
    struct tunnel_config c;

    assert_int_equal(config_load(file, &c, &report), rv);
    assert_int_equal(report.n, 1);
    assert_string_equal(report.v[0].text, text);
    config_report_done(&report);
}

/* Nobody waits for what never ends, or never comes. */
static void what_is_no_plain_file(void **state)
{
    char dir[] = "/tmp/mpquic-config-XXXXXX", path[64];
    int fd;

    assert_non_null(mkdtemp(dir));
    expect_unreadable(dir, -EINVAL, "cannot read: not a regular file");
    expect_unreadable("/dev/zero", -EINVAL, "cannot read: not a regular file");
    snprintf(path, sizeof(path), "%s/f", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_unreadable(path, -EINVAL, "cannot read: not a regular file");
    unlink(path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    close(fd);
    expect_unreadable(path, -EFBIG, "cannot read: the file is too large");
    unlink(path);
    rmdir(dir);
}

static void an_unreadable_file_is_one_problem(void **state)
{
    struct config_report report = {0};
    struct tunnel_config c;

    assert_int_equal(config_load("/nonexistent/1.yaml", &c, &report), -ENOENT);
    assert_int_equal(report.n, 1);
    assert_int_equal(report.v[0].line, 0);
    assert_string_equal(report.v[0].text, "cannot read: No such file or directory");
    config_report_done(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_problems_at_once_in_order),
        cmocka_unit_test(what_is_refused_of_yaml),
        cmocka_unit_test(syntax_errors),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(the_number_of_values_is_bounded),
        cmocka_unit_test(at_most_200_problems_are_kept),
        cmocka_unit_test(positions_of_values),
        cmocka_unit_test(a_byte_order_mark),
        cmocka_unit_test(thousands_of_keys),
        cmocka_unit_test(quoting),
        cmocka_unit_test(what_is_no_plain_file),
        cmocka_unit_test(an_unreadable_file_is_one_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
