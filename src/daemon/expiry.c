/* Certificates of peers end while their sessions last: the hub closes those when they do, and its
 * log tells ahead of it. Looked at again and again, because the clock may be set. And after a
 * reload some of them may be worth nothing any more. */
#include <stdio.h>

#include "daemon/instance.h"

#define LOOK_INTERVAL_NS (30 * NS_PER_S)
#define LINES_INTERVAL_NS (24 * 3600 * NS_PER_S)

enum { LINES_MAX = 16, RECHECKS_PER_TURN = 8 };

static void log_soon(const struct instance *inst, int64_t now_s)
{
    unsigned n = hub_peers(inst->hub), lines = 0;
    char who[HUB_ID_STR_MAX], text[STATUS_TEXT_MAX];
    struct hub_peer_info info;

    for (unsigned i = 0; i < n && lines < LINES_MAX; i++) {
        if (!hub_peer_info(inst->hub, i, &info) || !info.cert_until_s ||
            !status_expiry_str(now_s, info.cert_until_s, text))
            continue;
        log_info("peer %s: its certificate %s: it is closed then", hub_peer_id_str(&info.id, who),
                 text);
        lines++;
    }
}

static void look_in(struct instance *inst, uint64_t wait_ns)
{
    inst->expiry_ns = loop_now_ns(inst->loop) + wait_ns;
    loop_timer_set(inst->loop, &inst->expiry, inst->expiry_ns);
}

static void on_expiry(struct loop_timer *timer)
{
    struct instance *inst = timer->user;
    uint64_t now_ns = loop_now_ns(inst->loop), wait_ns = LOOK_INTERVAL_NS;
    int64_t now_s = wallclock_now_s(), next_s = hub_expire(inst->hub, now_ns, now_s);

    if (next_s - now_s < (int64_t)(wait_ns / NS_PER_S))
        wait_ns = (uint64_t)(next_s + 1 - now_s) * NS_PER_S;
    if (now_ns >= inst->expiry_lines_ns) {
        log_soon(inst, now_s);
        inst->expiry_lines_ns = now_ns + LINES_INTERVAL_NS;
    }
    look_in(inst, wait_ns);
    loop_defer(inst->loop, &inst->pump);
}

void instance_look_at_expiry(struct instance *inst)
{
    if (inst->expiry.cb && inst->expiry_ns > loop_now_ns(inst->loop) + NS_PER_S)
        look_in(inst, NS_PER_S);
}

/* After a reload, a few in each turn of the loop: packets go on meanwhile. */
static void on_recheck(struct loop_deferred *deferred)
{
    struct instance *inst = deferred->user;

    if (hub_recheck_next(inst->hub, loop_now_ns(inst->loop), RECHECKS_PER_TURN))
        loop_defer(inst->loop, deferred);
    loop_defer(inst->loop, &inst->pump);
}

void instance_watch_expiry(struct instance *inst)
{
    inst->recheck = (struct loop_deferred){.cb = on_recheck, .user = inst};
    inst->expiry = (struct loop_timer){.cb = on_expiry, .user = inst};
    if (inst->hub)
        look_in(inst, LOOK_INTERVAL_NS);
}
