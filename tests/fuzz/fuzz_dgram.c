/* Input: the payload of a QUIC DATAGRAM frame. A prefix that decodes must encode, not longer than
 * it was, to one that decodes to the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/dgram.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static enum dgram_error decode(const uint8_t *p, size_t len, uint64_t *stream, uint64_t *context,
                               size_t *prefix)
{
    size_t a, b;
    enum dgram_error e = dgram_get_stream(p, len, stream, &a);

    if (!e)
        e = dgram_get_context(p + a, len - a, context, &b);
    if (!e)
        *prefix = a + b;
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pkt_pool *pool;
    uint64_t stream, context, stream2, context2;
    size_t prefix, prefix2;
    struct pkt *pkt;

    if (!pool)
        pool = pkt_pool_new(1, 1);
    if (size > PKT_LARGE_MAX || decode(data, size, &stream, &context, &prefix))
        return 0;
    CHECK(prefix <= size && stream % 4 == 0);
    CHECK(dgram_prefix_len(stream, context) <= prefix);

    pkt = pkt_new(pool, size);
    pkt->len = (uint32_t)(size - prefix);
    memcpy(pkt->data, data + prefix, pkt->len);
    CHECK(dgram_push_prefix(pkt, stream, context) == 0);
    CHECK(decode(pkt->data, pkt->len, &stream2, &context2, &prefix2) == DGRAM_OK);
    CHECK(stream2 == stream && context2 == context);
    CHECK(prefix2 == dgram_prefix_len(stream, context) && pkt->len - prefix2 == size - prefix);
    CHECK(!memcmp(pkt->data + prefix2, data + prefix, size - prefix));
    pkt_free(pool, pkt);
    return 0;
}
