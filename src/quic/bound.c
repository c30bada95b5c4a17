#include "quic/bound.h"

void bound_init(struct bound *b)
{
    *b = (struct bound){0};
}

void bound_done(struct bound *b)
{
}

bool bound_may_send(const struct bound *b, uint64_t now_ns)
{
    return true;
}

void bound_on_sent(struct bound *b, uint64_t now_ns, uint64_t number, size_t bytes)
{
}

void bound_on_acked(struct bound *b, uint64_t now_ns, uint64_t number)
{
}

void bound_on_lost(struct bound *b, uint64_t now_ns, uint64_t number)
{
}
