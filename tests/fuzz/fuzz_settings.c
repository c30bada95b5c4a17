/* Input: a byte that says how to cut, then the bytes of a control stream. The answer must not
 * depend on the cuts, nor on what other streams carry in between. */
#include <stdint.h>
#include <stdlib.h>

#include "base/util.h"
#include "masque/settings.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum { CONTROL = 3, OTHER = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings_tap whole = {0}, bytes = {0}, cut = {0};
    size_t step;

    if (!size)
        return 0;
    step = 1 + data[0] % 16;
    data++;
    size--;
    settings_tap_data(&whole, CONTROL, data, size);
    for (size_t i = 0; i < size; i++)
        settings_tap_data(&bytes, CONTROL, data + i, 1);
    for (size_t i = 0; i < size; i += step) {
        settings_tap_data(&cut, OTHER, (const uint8_t *)"\x02\x3f", 1 + i % 2);
        settings_tap_data(&cut, CONTROL, data + i, MIN(step, size - i));
    }
    CHECK(whole.connect_protocol == bytes.connect_protocol && whole.done == bytes.done);
    CHECK(whole.connect_protocol == cut.connect_protocol && whole.done == cut.done);
    CHECK(!whole.connect_protocol || size >= 5);
    return 0;
}
