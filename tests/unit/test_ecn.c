#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "packet/ecn.h"
#include "packets.h"

static struct pkt_pool *pool;

static int setup(void **state)
{
    pool = pkt_pool_new(1, 0);
    return !pool;
}

static int teardown(void **state)
{
    pkt_pool_free(pool);
    return 0;
}

static struct pkt *packet(unsigned version)
{
    struct pkt *pkt = pkt_new(pool, 100);

    assert_non_null(pkt);
    pkt->len = 100;
    memset(pkt->data, 0xa5, 100);
    if (version == 4)
        put_ip4(pkt->data, 100, 17, 0);
    else
        put_ip6(pkt->data, 60, 17);
    return pkt;
}

/* The mark, and nothing but the mark, whatever the DSCP. */
static void ip4_keeps_its_checksum(void **state)
{
    for (unsigned dscp = 0; dscp < 64; dscp++)
        for (unsigned ecn = 0; ecn < 4; ecn++)
            for (unsigned id = 0; id < 65536; id += 4369) {
                struct pkt *pkt = packet(4);
                uint8_t was[100];

                pkt->data[1] = (uint8_t)(dscp << 2 | ecn);
                store_be16(pkt->data + 4, (uint16_t)id);
                store_be16(pkt->data + 10, 0);
                store_be16(pkt->data + 10, plain_csum(0, pkt->data, 20));
                memcpy(was, pkt->data, 100);
                assert_int_equal(ecn_mark_ce(pkt), ecn != ECN_NOT_ECT);
                if (ecn == ECN_NOT_ECT) {
                    assert_memory_equal(pkt->data, was, 100);
                } else {
                    assert_int_equal(pkt->data[1], dscp << 2 | ECN_CE);
                    assert_int_equal(plain_csum(0, pkt->data, 20), 0);
                    was[1] = pkt->data[1];
                    memcpy(was + 10, pkt->data + 10, 2);
                    assert_memory_equal(pkt->data, was, 100);
                }
                pkt_free(pool, pkt);
            }
}

static void ip6_traffic_class(void **state)
{
    for (unsigned dscp = 0; dscp < 64; dscp++)
        for (unsigned ecn = 0; ecn < 4; ecn++) {
            unsigned class = dscp << 2 | ecn;
            struct pkt *pkt = packet(6);
            uint8_t want[100];

            pkt->data[0] = (uint8_t)(0x60 | class >> 4);
            pkt->data[1] = (uint8_t)(class << 4 | 0xb); /* and a flow label */
            memcpy(want, pkt->data, 100);
            assert_int_equal(ecn_mark_ce(pkt), ecn != ECN_NOT_ECT);
            if (ecn != ECN_NOT_ECT)
                want[1] = (uint8_t)((class | ECN_CE) << 4 | 0xb);
            assert_memory_equal(pkt->data, want, 100);
            pkt_free(pool, pkt);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ip4_keeps_its_checksum, setup, teardown),
        cmocka_unit_test_setup_teardown(ip6_traffic_class, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
