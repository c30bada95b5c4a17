#include "nft/carry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/util.h"

#define HOOK "\t\ttype filter hook prerouting priority mangle; policy accept;\n"

static void expect(const char *listing, const char *text, const char *commands)
{
    char *got = NULL;

    assert_int_equal(carry_commands("inet t", listing, text, &got), 0);
    assert_string_equal(got, commands);
    free(got);
}

static void what_is_the_same_stays(void **state)
{
    static const char table[] = "table inet t {\n"
                                "\tcounter n {\n\t}\n\n"
                                "\tset s {\n\t\ttype ipv4_addr\n\t\ttimeout 5m\n\t}\n\n"
                                "\tchain c {\n" HOOK "\t\tct mark vmap { 1 : goto a }\n\t}\n}\n";
    static const char rules[] = "table inet t {\n\tchain c {\n" HOOK "\t\tdrop\n\t}\n"
                                "\tset s {\n\t\ttype ipv4_addr\n\n\t\ttimeout 5m\n\t}\n"
                                "\tcounter n {\n\t}\n}\n";

    expect(table, table, "flush table inet t\n");
    expect(table, rules, "flush table inet t\n");
}

static void what_differs_goes(void **state)
{
    expect("table inet t {\n\tset s {\n\t\ttimeout 5m\n\t}\n\tset u {\n\t}\n"
           "\tchain c {\n" HOOK "\t}\n\tchain d {\n\t\tdrop\n\t}\n\tchain e {\n\t}\n}\n",
           "table inet t {\n\tset s {\n\t\ttimeout 6m\n\t}\n"
           "\tchain c {\n\t\tdrop\n\t}\n\tchain d {\n\t}\n}\n",
           "flush table inet t\ndelete chain inet t c\ndelete chain inet t e\n"
           "delete set inet t s\ndelete set inet t u\n");
}

/* Lines that are cut, or not of such a table at all. */
static void anything_is_read(void **state)
{
    static const char *const texts[] = {"",
                                        "table",
                                        "table inet t {",
                                        "{\n\tchain",
                                        "table inet t {\n\tchain c {",
                                        "table inet t {\n\tchain  {\n}"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
            char *got = NULL;

            assert_int_equal(carry_commands("inet t", texts[i], texts[j], &got), 0);
            free(got);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_stays),
        cmocka_unit_test(what_differs_goes),
        cmocka_unit_test(anything_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
