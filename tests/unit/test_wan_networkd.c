#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pki_dir.h"
#include "wan/networkd.h"

static char root[64];

static int setup(void **state)
{
    snprintf(root, sizeof(root), "/tmp/mpquic-networkd-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
    pki_dir_remove(root);
    return 0;
}

/* A file below the root, with its directories. */
static void put(const char *path, const char *text)
{
    char command[512];
    FILE *f;

    snprintf(command, sizeof(command), "mkdir -p \"$(dirname %s%s)\"", root, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof(command), "%s%s", root, path);
    f = fopen(command, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct networkd get(void)
{
    struct networkd n;

    assert_int_equal(networkd_read(root, &n), 0);
    return n;
}

static void one_file(void **state)
{
    static const struct {
        const char *text;
        bool said, routes, rules;
    } cases[] = {
        {"", false, true, true},
        {"[Network]\nManageForeignRoutes=no\n", true, false, true},
        {" [Network] \n ManageForeignRoutes = FALSE \nManageForeignRoutingPolicyRules=0\n", true,
         false, false},
        {"[DHCPv4]\nManageForeignRoutes=no\n", false, true, true},
        {"[Network]\n#ManageForeignRoutes=no\n;ManageForeignRoutes=no\n", false, true, true},
        {"[Network]\nManageForeignRoutes=no\nManageForeignRoutes=yes\n", true, true, true},
        {"[Network]\nManageForeignRoutes\nManageForeignRoutesX=no\n=", false, true, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct networkd n = {.deletes_routes = true, .deletes_rules = true};

        assert_int_equal(networkd_parse(cases[i].text, &n), cases[i].said);
        assert_int_equal(n.deletes_routes, cases[i].routes);
        assert_int_equal(n.deletes_rules, cases[i].rules);
    }
}

static void the_last_file_holds(void **state)
{
    struct networkd n = get();

    assert_false(n.runs);
    assert_true(n.deletes_routes && n.deletes_rules);
    assert_false(networkd_is_in_the_way(&n));
    put("/run/systemd/netif/state", "");
    n = get();
    assert_true(networkd_is_in_the_way(&n));
    put("/usr/lib/systemd/networkd.conf.d/20-mpquic.conf",
        "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n");
    n = get();
    assert_false(networkd_is_in_the_way(&n));
    put("/etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=yes\n");
    n = get();
    assert_false(networkd_is_in_the_way(&n)); /* drop-ins come behind it */
    put("/run/systemd/networkd.conf.d/30-other.conf", "[Network]\nManageForeignRoutes=yes\n");
    n = get();
    assert_true(n.deletes_routes);
    assert_false(n.deletes_rules);
    assert_non_null(strstr(n.said, "30-other.conf"));
    put("/etc/systemd/networkd.conf.d/30-other.conf", "");
    put("/etc/systemd/networkd.conf.d/40-not-one.txt", "[Network]\nManageForeignRoutes=yes\n");
    n = get();
    assert_false(networkd_is_in_the_way(&n));
    put("/etc/systemd/networkd.conf.d/20-mpquic.conf", ""); /* in the place of the package's */
    n = get();
    assert_true(networkd_is_in_the_way(&n));
    assert_int_equal(networkd_hold(root), 0);
    n = get();
    assert_false(networkd_is_in_the_way(&n));
    assert_non_null(strstr(n.said, NETWORKD_DROP_IN));
    assert_int_equal(networkd_release(root), 1);
    assert_int_equal(networkd_release(root), 0);
    n = get();
    assert_true(networkd_is_in_the_way(&n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file),
        cmocka_unit_test_setup_teardown(the_last_file_holds, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
