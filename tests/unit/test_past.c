/* Who was there and is gone: each once, the last ones. */
#include "peer/past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct hub_absent_info gone(const char *name, const char *instance, uint64_t gone_ns)
{
    struct hub_absent_info info = {.gone_ns = gone_ns};

    snprintf(info.id.name, sizeof(info.id.name), "%s", name);
    snprintf(info.id.instance, sizeof(info.id.instance), "%s", instance);
    return info;
}

static void add(struct past *p, const char *name, const char *instance, uint64_t gone_ns)
{
    struct hub_absent_info info = gone(name, instance, gone_ns);

    past_add(p, &info);
}

static const struct hub_absent_info *find(const struct past *p, const char *name)
{
    for (unsigned i = 0; i < p->n; i++)
        if (!strcmp(p->v[i].id.name, name))
            return &p->v[i];
    return NULL;
}

static void each_is_known_once_until_it_returns(void **state)
{
    struct past p = {0};

    add(&p, "a", "x", 1);
    add(&p, "a", "y", 2);
    add(&p, "b", "", 3);
    add(&p, "a", "x", 4);
    assert_int_equal(p.n, 3);
    past_remove(&p, &(struct hub_peer_id){.name = "a", .instance = "y"});
    past_remove(&p, &(struct hub_peer_id){.name = "a", .instance = "z"});
    assert_int_equal(p.n, 2);
    assert_int_equal(find(&p, "a")->gone_ns, 4);
    assert_int_equal(find(&p, "b")->gone_ns, 3);
    past_remove(&p, &(struct hub_peer_id){.name = "a", .instance = "x"});
    past_remove(&p, &(struct hub_peer_id){.name = "b"});
    assert_int_equal(p.n, 0);
    past_done(&p);
}

static void the_one_gone_longest_is_forgotten(void **state)
{
    struct past p = {0};
    char name[16];

    for (unsigned i = 0; i < PAST_MAX + 10; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        add(&p, name, "", 100 + i);
    }
    assert_int_equal(p.n, PAST_MAX);
    assert_null(find(&p, "p0"));
    assert_null(find(&p, "p9"));
    assert_non_null(find(&p, "p10"));
    assert_non_null(find(&p, name));
    past_done(&p);
    past_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_known_once_until_it_returns),
        cmocka_unit_test(the_one_gone_longest_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
