#include "wan/settle.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

static void set_config(const struct settle *s, const struct gateway_config *c)
{
    if (s->set_config)
        s->set_config(s->user, c);
    else
        gateway_set_config(s->g, c);
}

int settle_try(const struct settle *s, const struct gateway_config *c)
{
    struct gateway_config *old = malloc(sizeof(*old));
    int rv;

    if (!old)
        return -ENOMEM;
    *old = *gateway_config(s->g);
    set_config(s, c);
    rv = gateway_apply(s->g, true, s->note, s->user);
    if (rv)
        set_config(s, old);
    free(old);
    return rv;
}

/* The confirmed configuration, or one that wants nothing. */
static int put_confirmed(const struct settle *s)
{
    _cleanup_free_ struct gateway_config *c = calloc(1, sizeof(*c));
    _cleanup_free_ char *text = NULL;
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    size_t len;
    int rv = c ? confirm_choose(s->dir, false, c, &source, NULL) : -ENOMEM;

    if (rv)
        return rv;
    if (source == CONFIRM_SOURCE_NONE && confirm_load(s->dir, &text, &len) != -ENOENT)
        return -EBADMSG;
    if (source == CONFIRM_SOURCE_NONE)
        *c = (struct gateway_config){.log_level = LOG_LEVEL_INFO};
    set_config(s, c);
    if (source == CONFIRM_SOURCE_CONFIRMED)
        return gateway_apply(s->g, false, s->note, s->user);
    return gateway_down(s->g, s->note, s->user);
}

/* A file that cannot be understood says of nothing what to give back, today nor tomorrow: it is
 * left for `gateway down` to complain about. */
static int give_back(const struct settle *s, const char *id)
{
    int rv = takeover_restore(s->dir, gateway_netlink(s->g), id, s->note_foreign, s->user);

    if (rv != -EBADMSG)
        return rv;
    s->note_foreign(s->user, false, TAKEOVER_FILE, rv);
    return 0;
}

int settle_return(const struct settle *s)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(s->dir, &t);
    const char *id = rv == -EBADMSG ? NULL : t.id;

    if (rv == -ENOENT)
        return 0;
    if (!rv && *t.link)
        rv = MIN(gateway_disable(s->g, t.link, false), 0);
    if (!rv || rv == -EBADMSG)
        rv = put_confirmed(s);
    if (!rv && id)
        rv = give_back(s, id);
    if (!rv)
        rv = confirm_trial_end(s->dir, id);
    confirm_trial_done(&t);
    return rv;
}
