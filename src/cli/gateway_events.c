/* What verbs do, in the log of events: one process, one cause, one trace. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/confirm.h"

static struct {
    struct eventlog log;
    enum eventlog_cause cause;
    const struct gateway *g;
} events;

/* A verb that begins with no configuration takes back what another one has made: its log is that
 * of the confirmed one, or of the one on trial, over or not. */
static void find_file(char ret[static CONFIG_PATH_MAX])
{
    struct gateway_config *c = calloc(1, sizeof(*c));
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    struct config_report report = {0};
    struct confirm_trial t = {0};
    char dir[PLACE_PATH_MAX];
    int rv = c ? gatewaycli_state_dir(dir, sizeof(dir)) : -ENOMEM;

    *ret = 0;
    if (!rv)
        rv = confirm_choose(dir, true, c, &source, NULL);
    if (!rv && source < CONFIRM_SOURCE_CONFIRMED && !confirm_trial_load(dir, &t))
        rv = gateway_config_parse(t.text, t.len, c, &report);
    if (!rv)
        snprintf(ret, CONFIG_PATH_MAX, "%s", c->event_log);
    config_report_done(&report);
    confirm_trial_done(&t);
    free(c);
}

/* It is opened when something is done. */
static void open_log(void)
{
    char file[CONFIG_PATH_MAX];

    if (*events.log.run)
        return;
    eventlog_init(&events.log, events.cause);
    snprintf(file, sizeof(file), "%s", gateway_config(events.g)->event_log);
    if (!*file)
        find_file(file);
    if (eventlog_open(&events.log, file))
        fprintf(stderr, "mpquic gateway: %s: events are not written\n", file);
}

static void watch(void *user, const struct wan_op *op, int error)
{
    const struct gateway *g = user;
    const char *why = op->kind == WAN_OP_NFT ? gateway_nft_error(g) : strerror(-error);
    char text[GATEWAY_TEXT_MAX];

    if (error && wan_op_may_fail(op, error))
        return;
    gateway_op_str(op, text);
    gatewaycli_write_event("change", "{s:s, s:b, s:s*}", "operation", text, "repair", 0, "error",
                           error ? why : NULL);
}

void gatewaycli_watch_events(struct gateway *g, enum eventlog_cause cause)
{
    events.cause = cause;
    events.g = g;
    gateway_set_watch(g, watch, g);
}

void gatewaycli_write_event(const char *event, const char *fmt, ...)
{
    va_list ap;

    if (!events.g)
        return;
    open_log();
    va_start(ap, fmt);
    eventlog_vwrite(&events.log, event, fmt, ap);
    va_end(ap);
}

void gatewaycli_forget_events(void)
{
    free(events.log.file);
    memset(&events, 0, sizeof(events));
}
