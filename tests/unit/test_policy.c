/* What an operator allows: copies of it, and looking things up in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "peer/policy.h"

static void an_id_as_text(void **state)
{
    struct hub_peer_id id = {.name = "edge", .instance = "cr5"};
    char buf[HUB_ID_STR_MAX];

    assert_string_equal(hub_peer_id_str(&id, buf), "edge/cr5");
    id.instance[0] = 0;
    assert_string_equal(hub_peer_id_str(&id, buf), "edge");
    memset(id.name, 'n', sizeof(id.name) - 1);
    memset(id.instance, 'i', sizeof(id.instance) - 1);
    assert_int_equal(strlen(hub_peer_id_str(&id, buf)), HUB_ID_STR_MAX - 1);
}

static void a_copy_is_its_own(void **state)
{
    struct hub_token token = {"alice", "secret"};
    struct hub_rule rule = {.name = "edge"};
    struct ip_prefix pool[2], behind;
    struct hub_policy p = {.multi = true,
                           .max_peers = 7,
                           .pool = pool,
                           .n_pool = 2,
                           .rules = &rule,
                           .n_rules = 1,
                           .peer_prefixes = &behind,
                           .n_peer_prefixes = 1,
                           .tokens = &token,
                           .n_tokens = 1};
    struct hub_policy *c;

    assert_int_equal(ip_prefix_parse("10.0.0.0/24", &pool[0]), 0);
    assert_int_equal(ip_prefix_parse("fd00::/64", &pool[1]), 0);
    assert_int_equal(ip_prefix_parse("172.16.0.0/12", &behind), 0);
    c = policy_copy(&p);
    memset(&token, 0, sizeof(token));
    memset(&rule, 0, sizeof(rule));
    memset(pool, 0, sizeof(pool));
    memset(&behind, 0, sizeof(behind));
    assert_true(c->multi);
    assert_int_equal(c->max_peers, 7);
    assert_int_equal(c->pool[1].len, 64);
    assert_int_equal(c->peer_prefixes[0].len, 12);
    assert_string_equal(c->rules[0].name, "edge");
    assert_string_equal(c->tokens[0].token, "secret");
    policy_free(c);
    p = (struct hub_policy){.multi = false};
    c = policy_copy(&p);
    assert_null(c->pool);
    assert_null(c->tokens);
    policy_free(c);
    policy_free(NULL);
}

static void the_rule_of_the_instance_goes_first(void **state)
{
    static const struct hub_rule rules[] = {
        {.name = "edge"},
        {.name = "edge", .instance = "cr5"},
        {.name = "other", .instance = "bk5"},
        {.name = "edge"}, /* never reached */
    };
    const struct hub_policy p = {.rules = rules, .n_rules = ARRAY_LEN(rules)};
    static const struct {
        struct hub_peer_id id;
        int rule;
    } cases[] = {
        {{"edge", "cr5"}, 1}, {{"edge", "df5"}, 0},   {{"edge", ""}, 0}, {{"other", "bk5"}, 2},
        {{"other", ""}, -1},  {{"other", "cr5"}, -1}, {{"edg", ""}, -1}, {{"", ""}, -1},
    };

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        assert_ptr_equal(policy_rule(&p, &cases[i].id),
                         cases[i].rule < 0 ? NULL : &rules[cases[i].rule]);
}

static void only_the_whole_token_counts(void **state)
{
    static const struct hub_token tokens[] = {{"a", "correct horse"}, {"b", "battery"}, {"c", ""}};
    const struct hub_policy p = {.tokens = tokens, .n_tokens = ARRAY_LEN(tokens)};
    static const char *const wrong[] = {
        "", "c", "correct", "correct horse ", "battery\n", "batterybattery"};

    assert_ptr_equal(policy_token(&p, "correct horse"), &tokens[0]);
    assert_ptr_equal(policy_token(&p, "battery"), &tokens[1]);
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        assert_null(policy_token(&p, wrong[i]));
}

static void how_many(void **state)
{
    struct hub_policy p = {.max_peers = 50};

    assert_int_equal(policy_max_peers(&p), 1);
    p.multi = true;
    assert_int_equal(policy_max_peers(&p), 50);
    p.max_peers = 0;
    assert_int_equal(policy_max_peers(&p), HUB_PEERS_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_as_text),
        cmocka_unit_test(a_copy_is_its_own),
        cmocka_unit_test(the_rule_of_the_instance_goes_first),
        cmocka_unit_test(only_the_whole_token_counts),
        cmocka_unit_test(how_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
