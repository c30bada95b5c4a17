/* Which address of a link is told, and how long a failure is waited after. */
#include "wan/ddns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "wan_site.h"

static struct gateway_config c;
static struct wan_facts f;

static void site(void)
{
    site_parse("ipv6: true\n"
               "links:\n  - {name: wan1, device: enp7s3}\n"
               "dns:\n"
               "  - {link: wan1, url: 'http://x/{address}'}\n"
               "  - {link: wan1, family: ipv6, url: 'http://x/{address}'}\n",
               &c);
    memset(&f, 0, sizeof(f));
    f.link[0] = site_link(1, "10.150.1.2/24");
    f.link[0].net[f.link[0].n_net++] = site_prefix("fe80::1/64");
    f.link[0].hop[WAN_V4] = (struct wan_hop){.known = true, .via = site_addr("10.150.1.1")};
    f.link[0].hop[WAN_V6] = (struct wan_hop){.known = true, .via = site_addr("fe80::2")};
}

static void the_first_address_that_others_can_reach(void **state)
{
    struct ip_addr four = site_addr("10.150.1.2"), six = site_addr("2001:db8::5"), a;

    site();
    a = ddns_address(&c, &f, &c.dns[0]);
    assert_true(ip_addr_equal(&a, &four));
    assert_int_equal(ddns_address(&c, &f, &c.dns[1]).family, 0); /* link-local only */
    f.link[0].net[f.link[0].n_net++] = site_prefix("2001:db8::5/64");
    f.link[0].net[f.link[0].n_net++] = site_prefix("2001:db8::6/64");
    a = ddns_address(&c, &f, &c.dns[1]);
    assert_true(ip_addr_equal(&a, &six));
}

static void none_while_the_link_cannot_be_used(void **state)
{
    site();
    f.link[0].carrier = false;
    assert_int_equal(ddns_address(&c, &f, &c.dns[0]).family, 0);
    site();
    f.link[0].health.disabled = true;
    assert_int_equal(ddns_address(&c, &f, &c.dns[0]).family, 0);
}

static void pauses_double_up_to_half_an_hour(void **state)
{
    assert_int_equal(ddns_pause_ns(1), 5 * NS_PER_S);
    assert_int_equal(ddns_pause_ns(2), 10 * NS_PER_S);
    assert_int_equal(ddns_pause_ns(9), 1280 * NS_PER_S);
    assert_int_equal(ddns_pause_ns(10), 1800 * NS_PER_S);
    assert_int_equal(ddns_pause_ns(1000000), 1800 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_address_that_others_can_reach),
        cmocka_unit_test(none_while_the_link_cannot_be_used),
        cmocka_unit_test(pauses_double_up_to_half_an_hour),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
