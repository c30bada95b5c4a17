#include "wire/dgram.h"

#include "wire/varint.h"

#include <errno.h>

#define QUARTER_STREAM_MAX ((UINT64_C(1) << 60) - 1)

static const char *const error_names[DGRAM_ERROR_COUNT] = {
#define X(sym, name) [sym] = name,
    DGRAM_ERRORS(X)
#undef X
};

const char *dgram_error_name(enum dgram_error e)
{
    return (unsigned)e < DGRAM_ERROR_COUNT ? error_names[e] : "?";
}

size_t dgram_prefix_len(uint64_t stream_id, uint64_t context_id)
{
    size_t context_len = varint_len(context_id);

    if (stream_id % 4 || stream_id / 4 > QUARTER_STREAM_MAX || !context_len)
        return 0;
    return varint_len(stream_id / 4) + context_len;
}

size_t dgram_prefix_put(uint8_t *p, size_t cap, uint64_t stream_id, uint64_t context_id)
{
    size_t len = dgram_prefix_len(stream_id, context_id), n;

    if (!len || len > cap)
        return 0;
    n = varint_put(p, cap, stream_id / 4);
    return n + varint_put(p + n, cap - n, context_id);
}

int dgram_push_prefix(struct pkt *pkt, uint64_t stream_id, uint64_t context_id)
{
    size_t len = dgram_prefix_len(stream_id, context_id);

    if (!len || pkt->gso != PKT_GSO_NONE || pkt->csum_start)
        return -EINVAL;
    if (len > pkt_headroom(pkt))
        return -ENOSPC;
    pkt->data -= len;
    pkt->len += (uint32_t)len;
    dgram_prefix_put(pkt->data, len, stream_id, context_id);
    return 0;
}

enum dgram_error dgram_get_stream(const uint8_t *p, size_t len, uint64_t *ret_stream_id,
                                  size_t *ret_len)
{
    uint64_t quarter;
    size_t n = varint_get(p, len, &quarter);

    if (!n)
        return DGRAM_STREAM_SHORT;
    if (quarter > QUARTER_STREAM_MAX)
        return DGRAM_STREAM_RANGE;
    *ret_stream_id = quarter * 4;
    *ret_len = n;
    return DGRAM_OK;
}

enum dgram_error dgram_get_context(const uint8_t *p, size_t len, uint64_t *ret_context_id,
                                   size_t *ret_len)
{
    uint64_t context_id;
    size_t n = varint_get(p, len, &context_id);

    if (!n)
        return DGRAM_CONTEXT_SHORT;
    *ret_context_id = context_id;
    *ret_len = n;
    return DGRAM_OK;
}
