/* Test data that is written as hexadecimal digits. */
#ifndef TESTS_UNIT_HEX_H
#define TESTS_UNIT_HEX_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Returns the number of bytes. */
static inline size_t unhex(const char *hex, uint8_t *ret)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;

        sscanf(hex + 2 * i, "%2x", &v);
        ret[i] = (uint8_t)v;
    }
    return n;
}

#endif
