/* Answers of a hub with as many peers as a configuration may allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/server.h"
#include "daemon/answer.h"
#include "daemon/instance.h"

enum { PEERS = 30000 };

static void fill(struct status *s, unsigned n)
{
    status_init(s);
    status_set_text(s->role, sizeof(s->role), "server");
    assert_non_null(status_make_peers(s, n));
    s->n_peers_up = n;
    for (unsigned i = 0; i < n; i++) {
        char name[32];

        snprintf(name, sizeof(name), "peer%u", i);
        status_set_text(s->peers[i].name, sizeof(s->peers[i].name), name);
        /* the last ones take more room than the first */
        for (unsigned k = 0; k < i / (n / 8 + 1); k++)
            assert_int_equal(status_add_string(&s->peers[i].prefixes, "2001:db8:0:1234::/64"), 0);
        assert_non_null(status_make_paths(&s->peers[i].paths, &s->peers[i].n_paths, 1));
    }
}

static void check(unsigned n, bool peers_only, size_t max, bool fits)
{
    struct status s, back;
    char *text;

    fill(&s, n);
    text = answer_status(&s, peers_only, max);
    assert_non_null(text);
    assert_in_range(strlen(text), max / (fits ? 1000 : 2), max);
    assert_int_equal(s.n_peers, n);
    assert_int_equal(status_from_json(text, strlen(text), &back), 0);
    assert_int_equal(back.n_peers_up, n);
    if (fits)
        assert_int_equal(back.n_peers, n);
    else
        assert_in_range(back.n_peers, n / 8, n - 1);
    assert_string_equal(back.peers[0].name, "peer0");
    if (!peers_only)
        assert_int_equal(back.warnings.n, !fits);
    status_done(&back);
    status_done(&s);
    free(text);
}

static void many_peers_are_cut_short(void **state)
{
    check(PEERS, false, CONTROL_ANSWER_BYTES, false);
    check(PEERS, true, CONTROL_ANSWER_BYTES, false);
}

static void few_are_not(void **state)
{
    check(1000, false, CONTROL_ANSWER_BYTES, true);
    check(1000, true, CONTROL_ANSWER_BYTES, true);
}

static void a_hub_takes_every_peer_that_it_may_have_twice(void **state)
{
    struct tunnel_config c = {.role = CONFIG_ROLE_SERVER};

    for (c.max_peers = 1; c.max_peers <= 65536; c.max_peers *= 2)
        assert_true(instance_hub_lanes(&c) >= 2 * c.max_peers);
    c.max_peers = 1024;
    assert_int_equal(instance_hub_lanes(&c), 16384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_peers_are_cut_short),
        cmocka_unit_test(few_are_not),
        cmocka_unit_test(a_hub_takes_every_peer_that_it_may_have_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
