/* What an operator allows: copies of it, and looking things up in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "peer/policy.h"

static const struct siphash_key key = {{1, 2}};

static void an_id_as_text(void **state)
{
    struct hub_peer_id id = {.name = "edge", .instance = "cr5"};
    char buf[HUB_ID_STR_MAX];

    assert_string_equal(hub_peer_id_str(&id, buf), "edge/cr5");
    id.instance[0] = 0;
    assert_string_equal(hub_peer_id_str(&id, buf), "edge");
    id = (struct hub_peer_id){.name = "edge/cr5"};
    assert_string_equal(hub_peer_id_str(&id, buf), "edge\\x2fcr5");
    id = (struct hub_peer_id){.name = "a\\x2f \n", .instance = "i"};
    assert_string_equal(hub_peer_id_str(&id, buf), "a\\x5cx2f \\x0a/i");
    memset(id.name, '/', sizeof(id.name) - 1);
    memset(id.instance, 'i', sizeof(id.instance) - 1);
    assert_int_equal(strlen(hub_peer_id_str(&id, buf)), 4 * (HUB_NAME_MAX - 1) + HUB_INSTANCE_MAX);
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
    c = policy_copy(&p, &key);
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
    c = policy_copy(&p, &key);
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
    struct hub_policy *c = policy_copy(&p, &key);

    assert_ptr_equal(policy_token(c, "correct horse"), &c->tokens[0]);
    assert_ptr_equal(policy_token(c, "battery"), &c->tokens[1]);
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        assert_null(policy_token(c, wrong[i]));
    policy_free(c);
}

/* As many as can be, each found as itself; and another policy under the same key knows those that
 * it has too. */
static void many_tokens(void **state)
{
    struct hub_token *tokens = calloc(HUB_TOKENS_MAX, sizeof(*tokens));
    struct hub_policy p = {.tokens = tokens, .n_tokens = HUB_TOKENS_MAX}, *all, *half;
    char text[HUB_TOKEN_MAX];

    assert_non_null(tokens);
    for (unsigned i = 0; i < HUB_TOKENS_MAX; i++) {
        snprintf(tokens[i].name, sizeof(tokens[i].name), "edge%u", i);
        snprintf(tokens[i].token, sizeof(tokens[i].token), "%u-%u", i * 2654435761u, i);
    }
    all = policy_copy(&p, &key);
    p.n_tokens /= 2;
    half = policy_copy(&p, &key);
    assert_non_null(all);
    assert_non_null(half);
    for (unsigned i = 0; i < HUB_TOKENS_MAX; i++) {
        uint64_t digest = policy_token_digest(all, tokens[i].token);

        assert_ptr_equal(policy_token(all, tokens[i].token), &all->tokens[i]);
        assert_true(policy_has_token(all, tokens[i].name, digest));
        assert_false(policy_has_token(all, "another", digest));
        assert_int_equal(policy_has_token(half, tokens[i].name, digest), i < p.n_tokens);
        snprintf(text, sizeof(text), "%s0", tokens[i].token);
        assert_null(policy_token(all, text));
    }
    policy_free(all);
    policy_free(half);
    free(tokens);
}

/* A token that stands there twice is that of the later name. */
static void the_later_of_two_counts(void **state)
{
    static const struct hub_token tokens[] = {{"a", "one"}, {"b", "two"}, {"c", "one"}};
    const struct hub_policy p = {.tokens = tokens, .n_tokens = ARRAY_LEN(tokens)};
    struct hub_policy *c = policy_copy(&p, &key);

    assert_string_equal(policy_token(c, "one")->name, "c");
    assert_true(policy_has_token(c, "a", policy_token_digest(c, "one")));
    policy_free(c);
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
        cmocka_unit_test(many_tokens),
        cmocka_unit_test(the_later_of_two_counts),
        cmocka_unit_test(how_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
