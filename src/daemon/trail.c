#include "daemon/trail.h"

#include <string.h>

const struct path_step *trail_at(const struct path_trail *t, unsigned i)
{
    return i < TRAIL_STEPS && i < t->n ? &t->step[(t->n - 1 - i) % TRAIL_STEPS] : NULL;
}

unsigned trail_state(enum edge_state state, enum path_trouble trouble)
{
    if (state != EDGE_UP || trouble == TROUBLE_NONE)
        return state;
    return trouble == TROUBLE_SUSPECT ? TRAIL_SUSPECT : TRAIL_LOSSY;
}

const char *trail_state_name(unsigned state)
{
    if (state == TRAIL_SUSPECT)
        return "suspect";
    return state == TRAIL_LOSSY ? "lossy" : edge_state_name((enum edge_state)state);
}

void trail_add(struct path_trail *t, unsigned state, const char *why, int64_t now_s,
               uint64_t now_ns)
{
    const struct path_step *last = trail_at(t, 0);
    struct path_step *s = &t->step[t->n % TRAIL_STEPS];
    char text[STATUS_TEXT_MAX];

    status_set_text(text, sizeof(text), why);
    if (last && last->state == state && !strcmp(last->why, text))
        return;
    *s = (struct path_step){.state = state, .at_s = now_s, .at_ns = now_ns};
    memcpy(s->why, text, sizeof(text));
    t->n++;
}
