#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "masque/early.h"

static void add(struct early *e, int64_t stream, uint8_t mark)
{
    uint8_t data[3] = {mark, mark, mark};

    assert_int_equal(early_add(e, stream, data, sizeof(data)), 0);
}

/* Take one and check its mark; 0: there must be none. */
static void expect(struct early_packet *p, uint8_t mark)
{
    if (!mark) {
        assert_null(p);
        return;
    }
    assert_non_null(p);
    assert_int_equal(p->len, 3);
    assert_int_equal(p->data[0], mark);
    assert_int_equal(p->data[2], mark);
    free(p);
}

static void streams_are_kept_apart_in_order(void **state)
{
    struct early e = {0};

    add(&e, 0, 1);
    add(&e, 4, 2);
    add(&e, 0, 3);
    add(&e, 8, 4);
    add(&e, 4, 5);
    assert_int_equal(e.n, 5);
    assert_int_equal(e.bytes, 15);
    expect(early_take(&e, 4), 2);
    expect(early_take(&e, 4), 5);
    expect(early_take(&e, 4), 0);
    add(&e, 12, 6); /* behind the last one, which was taken */
    expect(early_take(&e, 0), 1);
    expect(early_take_any(&e), 3);
    expect(early_take_any(&e), 4);
    expect(early_take_any(&e), 6);
    expect(early_take_any(&e), 0);
    assert_int_equal(e.n, 0);
    assert_int_equal(e.bytes, 0);
    add(&e, 0, 7); /* usable again */
    expect(early_take(&e, 0), 7);
}

static void packets_are_bounded(void **state)
{
    struct early e = {0};
    struct early_packet *p;
    uint8_t byte = 0;

    for (unsigned i = 0; i < EARLY_PACKETS_MAX; i++)
        assert_int_equal(early_add(&e, 0, &byte, 1), 0);
    assert_int_equal(early_add(&e, 0, &byte, 1), -ENOSPC);
    assert_int_equal(early_add(&e, 0, NULL, 0), -ENOSPC);
    while ((p = early_take_any(&e)))
        free(p);
}

static void bytes_are_bounded(void **state)
{
    static uint8_t data[EARLY_BYTES_MAX + 1];
    struct early e = {0};

    assert_int_equal(early_add(&e, 0, data, EARLY_BYTES_MAX + 1), -ENOSPC);
    assert_int_equal(early_add(&e, 0, data, EARLY_BYTES_MAX - 1), 0);
    assert_int_equal(early_add(&e, 0, data, 2), -ENOSPC);
    assert_int_equal(early_add(&e, 0, data, 1), 0);
    assert_int_equal(early_add(&e, 0, NULL, 0), 0); /* an empty one takes no bytes */
    free(early_take_any(&e));
    assert_int_equal(early_add(&e, 0, data, 2), 0);
    free(early_take_any(&e));
    free(early_take_any(&e));
    free(early_take_any(&e));
    assert_null(early_take_any(&e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_kept_apart_in_order),
        cmocka_unit_test(packets_are_bounded),
        cmocka_unit_test(bytes_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
