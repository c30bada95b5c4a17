/* Any bytes as the file of delegated prefixes: what is found in it is whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wan/delegation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct delegations d;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    delegations_parse(text, &d);
    if (d.n > DELEGATIONS_MAX)
        abort();
    for (unsigned i = 0; i < d.n; i++) {
        const struct delegation *found = delegations_find(&d, d.v[i].device, 0);

        if (found != &d.v[i] || found->prefix.addr.family != 6 || found->prefix.len > 128 ||
            found->until_s < 0 || !*found->device ||
            !memchr(found->device, 0, sizeof(found->device)))
            abort();
    }
    free(text);
    return 0;
}
