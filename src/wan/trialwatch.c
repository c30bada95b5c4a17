#include "wan/trialwatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define RETRY_NS (1 * NS_PER_S)

static void forget(struct trialwatch *w)
{
    *w->id = 0;
    w->goes_back = false;
    loop_timer_cancel(w->loop, &w->timer);
}

static void go_back(struct trialwatch *w)
{
    int rv;

    if (!w->goes_back)
        w->event(w->settle.user, "taken back");
    w->goes_back = true;
    rv = settle_return(&w->settle);
    if (rv) {
        log_error("gateway: what was on trial cannot be taken back: %s", strerror(-rv));
        loop_timer_set(w->loop, &w->timer, clock_mono_ns() + RETRY_NS);
    } else {
        log_info("gateway: not confirmed: back to %s", gateway_config(w->settle.g)->n_links
                                                           ? "the confirmed configuration"
                                                           : "nothing, as before");
        forget(w);
    }
    w->changed(w->settle.user);
}

/* Put what is on trial in force, and say why that fails. */
static int try_it(const struct trialwatch *w, const struct confirm_trial *t)
{
    _cleanup_free_ struct gateway_config *c = calloc(1, sizeof(*c));
    struct config_report report = {0};
    char text[CONFIRM_TEXT_MAX] = "";
    int rv = c ? gateway_config_parse(t->text, t->len, c, &report) : -ENOMEM;

    config_report_done(&report);
    if (!rv)
        rv = settle_try(&w->settle, c);
    if (!rv)
        return 0;
    snprintf(text, sizeof(text), "%s",
             rv == -EINVAL ? gateway_nft_error(w->settle.g) : strerror(-rv));
    text[strcspn(text, "\n")] = 0;
    confirm_tell(w->settle.dir, t->id, rv, text);
    return rv;
}

/* It is in force: wait for the confirmation, or take it for one. */
static void keep(struct trialwatch *w, const struct confirm_trial *t)
{
    uint64_t now = clock_mono_ns();
    int rv = t->asks ? 0 : confirm_trial_accept(w->settle.dir);

    if (rv)
        log_error("gateway: the configuration cannot be kept for the next boot: %s", strerror(-rv));
    if (!t->asks && !rv) {
        log_info("gateway: another configuration is in force");
        forget(w);
        return;
    }
    memcpy(w->id, t->id, sizeof(w->id));
    loop_timer_set(w->loop, &w->timer, t->deadline_ns);
    log_info("gateway: another configuration is on trial for %llu s",
             (t->deadline_ns - MIN(now, t->deadline_ns)) / NS_PER_S);
}

static void take(struct trialwatch *w, const struct confirm_trial *t)
{
    int rv;

    if (!strcmp(w->id, t->id)) {
        loop_timer_set(w->loop, &w->timer, t->deadline_ns);
        return;
    }
    if (t->asks)
        w->event(w->settle.user, "begun");
    rv = try_it(w, t);
    if (rv) {
        log_error("gateway: another configuration cannot be put in force: %s", strerror(-rv));
        confirm_trial_reject(w->settle.dir);
        go_back(w);
        return;
    }
    keep(w, t);
    confirm_tell(w->settle.dir, t->id, 0, "");
    w->changed(w->settle.user);
}

void trialwatch_look(struct trialwatch *w)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(w->settle.dir, &t);

    if (rv == -ENOENT && *w->id) {
        w->event(w->settle.user, "confirmed");
        log_info("gateway: the configuration is confirmed");
    }
    if (rv == -ENOENT)
        forget(w);
    else if (rv == -EBADMSG || (!rv && confirm_is_over_now(&t)))
        go_back(w);
    else if (!rv)
        take(w, &t);
    else
        log_error("gateway: cannot read what is on trial: %s", strerror(-rv));
    confirm_trial_done(&t);
}

static void on_timer(struct loop_timer *timer)
{
    trialwatch_look(timer->user);
}

void trialwatch_start(struct trialwatch *w)
{
    w->timer.cb = on_timer;
    w->timer.user = w;
    trialwatch_look(w);
}

bool trialwatch_is_on(const struct trialwatch *w)
{
    return *w->id;
}
