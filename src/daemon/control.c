/* The control socket of an instance: what was seen that status tells, and answers. */
#include "daemon/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/answer.h"
#include "daemon/instance.h"

/* --- the service manager --------------------------------------------------------------- */

#define TELL_PAUSE_NS NS_PER_S

static void on_tell(struct loop_timer *timer)
{
    struct instance *inst = timer->user;
    struct instance_history *h = &inst->history;
    char text[HELPER_TEXT_MAX];
    unsigned n = inst->hub ? hub_peers(inst->hub) : 0;
    const char *waiting_for = inst->paths[0]->waiting_for;

    if (inst->stopping)
        return;
    if (inst->hub && !*waiting_for)
        snprintf(text, sizeof(text), "listening, %u peer%s up", n, n == 1 ? "" : "s");
    else if ((inst->hub || h->state == EDGE_IDLE) && *waiting_for)
        snprintf(text, sizeof(text), "waiting: %s", waiting_for);
    else
        snprintf(text, sizeof(text), "%s%s%.200s", edge_state_name(h->state), *h->why ? ": " : "",
                 h->why);
    if (strcmp(text, h->told) != 0)
        helper_tell(inst->helper, HELPER_TEXT_STATUS, text);
    memcpy(h->told, text, sizeof(text));
}

void instance_tell_manager(struct instance *inst)
{
    struct loop_timer *t = &inst->history.tell;

    if (t->cb && !loop_timer_is_set(t))
        loop_timer_set(inst->loop, t, loop_now_ns(inst->loop) + TELL_PAUSE_NS);
}

/* --- what is remembered ---------------------------------------------------------------- */

void instance_note_error(struct instance *inst, const char *text)
{
    struct instance_history *h = &inst->history;

    status_set_text(h->error, sizeof(h->error), text);
    h->error_s = clock_real_s();
    h->error_ns = loop_now_ns(inst->loop);
}

void instance_error_mended(struct instance *inst, const char *beginning)
{
    struct instance_history *h = &inst->history;

    if (strncmp(h->error, beginning, strlen(beginning)) != 0)
        return;
    h->error[0] = 0;
    h->error_s = 0;
}

static void on_logged_error(void *user, const char *text)
{
    instance_note_error(user, text);
}

void instance_history_start(struct instance *inst)
{
    inst->history.started_s = clock_real_s();
    inst->history.started_ns = inst->history.state_ns = loop_now_ns(inst->loop);
    inst->history.down_ns = inst->history.started_ns;
    inst->history.tell = (struct loop_timer){.cb = on_tell, .user = inst};
    log_set_error_hook(on_logged_error, inst);
}

void instance_history_stop(struct instance *inst)
{
    log_set_error_hook(NULL, NULL);
}

void instance_note_state(struct instance *inst, enum edge_state state, const char *why)
{
    struct instance_history *h = &inst->history;

    if (state == EDGE_CONNECTING)
        h->begun++;
    else if (state == EDGE_UP)
        h->completed++;
    else if (h->state == EDGE_CONNECTING && state != EDGE_IDLE)
        h->failed++;
    if (state == EDGE_PAUSE || state == EDGE_FAILED)
        instance_note_error(inst, why);
    if (state != h->state)
        h->state_ns = loop_now_ns(inst->loop);
    if (h->state == EDGE_UP && state != EDGE_UP)
        h->down_ns = loop_now_ns(inst->loop);
    h->state = state;
    status_set_text(h->why, sizeof(h->why), why);
    instance_tell_manager(inst);
}

/* --- answers --------------------------------------------------------------------------- */

static char *answer(struct instance *inst, bool peers_only)
{
    struct status s;
    char *text = NULL;

    status_init(&s);
    if (!instance_snapshot(inst, &s))
        text = answer_status(&s, peers_only, CONTROL_ANSWER_BYTES);
    status_done(&s);
    return text;
}

static char *answer_reload(struct instance *inst)
{
    struct reload_outcome out = {0};
    char *text;

    instance_reload(inst, &out);
    text = reload_outcome_json(&out);
    reload_outcome_done(&out);
    return text;
}

static char *on_request(void *user, const struct control_request *req)
{
    switch (req->cmd) {
    case CONTROL_STATUS:
        return answer(user, false);
    case CONTROL_PEERS:
        return answer(user, true);
    case CONTROL_RELOAD:
        return answer_reload(user);
    default:
        return control_error("unknown command");
    }
}

/* --- life ------------------------------------------------------------------------------ */

static int open_socket(struct instance *inst)
{
    struct control_server_opts o = {.loop = inst->loop,
                                    .fd = helper_control_socket(inst->helper),
                                    .group = getegid(),
                                    .answer = on_request,
                                    .user = inst};

    return o.fd < 0 ? o.fd : control_server_new(&o, &inst->control);
}

/* The service manager hears of it once there is everything: TUN and control socket. */
static void tell_ready(struct instance *inst)
{
    if (!inst->history.ready)
        helper_notify(inst->helper, HELPER_NOTIFY_READY);
    inst->history.ready = true;
}

static void say_none(struct instance *inst, int rv)
{
    if (!inst->history.no_socket)
        log_error("control: no socket for %s, so status and reload will not work: %s: tried again "
                  "every few seconds",
                  helper_name(inst->helper), strerror(-rv));
    inst->history.no_socket = true;
}

enum exit_code instance_control_open(struct instance *inst)
{
    int rv = open_socket(inst);

    if (rv == -EADDRINUSE) {
        log_error("control: an instance called %s is running already", helper_name(inst->helper));
        return EXIT_CODE_START;
    }
    if (rv)
        say_none(inst, rv);
    return EXIT_CODE_OK;
}

void instance_control_look(struct instance *inst)
{
    int rv = inst->control ? helper_control_look(inst->helper) : -ENOENT;

    if (!rv) {
        tell_ready(inst);
        return;
    }
    instance_control_close(inst);
    rv = open_socket(inst);
    if (rv) {
        say_none(inst, rv);
        return;
    }
    log_info("control: the socket of %s was not there: made anew", helper_name(inst->helper));
    inst->history.no_socket = false;
    instance_error_mended(inst, "control: ");
    tell_ready(inst);
}

void instance_control_close(struct instance *inst)
{
    control_server_free(inst->control);
    inst->control = NULL;
}
