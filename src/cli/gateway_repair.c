/* Seeing that something comes in force that is not: by the gateway that runs, or here. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/confirm.h"

#define SETTLE_NS (5 * NS_PER_S)

enum { LOOK_MS = 100 };

/* Wait for a signal of a change, or until a look is due anyhow. */
static void wait_change(struct gateway *g)
{
    struct pollfd p[GATEWAY_SIGNALS];

    for (unsigned i = 0; i < GATEWAY_SIGNALS; i++)
        p[i] = (struct pollfd){.fd = gateway_signal_fd(g, i), .events = POLLIN};
    poll(p, GATEWAY_SIGNALS, LOOK_MS);
    for (unsigned i = 0; i < GATEWAY_SIGNALS; i++)
        if (p[i].revents)
            gateway_signal_take(g, i);
}

enum exit_code gatewaycli_settle(const struct cli_verb *verb, struct gateway *g)
{
    uint64_t end_ns = clock_mono_ns() + SETTLE_NS;

    for (;;) {
        enum exit_code code = gatewaycli_look(verb, g);

        if (code != EXIT_CODE_OK || !gateway_plan(g)->n)
            return code;
        if (clock_mono_ns() > end_ns)
            break;
        wait_change(g);
    }
    fprintf(stderr,
            "mpquic %s: the gateway that runs has not put this in force: does it use another "
            "configuration? See its log, and mpquic gateway plan\n",
            verb->name);
    return EXIT_CODE_NOT_UP;
}

static void note_error(void *user, const struct wan_op *op, int error)
{
    const struct cli_verb *verb = user;
    char text[GATEWAY_TEXT_MAX];

    if (error && !wan_op_may_fail(op, error))
        fprintf(stderr, "mpquic %s: %s: %s\n", verb->name, gateway_op_str(op, text),
                strerror(-error));
}

enum exit_code gatewaycli_realign(const struct cli_verb *verb, struct gateway *g, int lock)
{
    int rv;

    if (lock < 0)
        return gatewaycli_settle(verb, g);
    rv = gateway_apply(g, false, note_error, (void *)(uintptr_t)verb);
    if (rv)
        fprintf(stderr, "mpquic %s: not in force as a whole: %s\n", verb->name, strerror(-rv));
    return rv ? EXIT_CODE_NOT_UP : EXIT_CODE_OK;
}

/* Is it what is on trial, or confirmed? Another one is for apply, which can take it back. */
static bool is_confirmed(const struct gatewaycli *v)
{
    struct gateway_config *c = calloc(1, sizeof(*c));
    enum confirm_source source = CONFIRM_SOURCE_NONE;
    _cleanup_free_ char *text = NULL;
    char dir[PLACE_PATH_MAX];
    int rv = c ? gatewaycli_state_dir(dir, sizeof(dir)) : -ENOMEM;

    if (!rv)
        rv = confirm_choose(dir, true, c, &source, &text);
    free(c);
    return !rv && text && !strcmp(text, v->text);
}

static enum exit_code refuse(const struct cli_verb *verb, const char *what)
{
    fprintf(stderr, "mpquic %s: %s: mpquic gateway apply\n", verb->name, what);
    return EXIT_CODE_NOT_UP;
}

enum exit_code gatewaycli_repair(const struct cli_verb *verb, const struct gatewaycli *v,
                                 struct gateway *g)
{
    pid_t pid = 0;
    _cleanup_close_ int lock = gatewaycli_lock_wait(&pid);
    int rv = lock < 0 && lock != -EAGAIN ? lock : lock < 0 ? gateway_poke(g) : 0;

    if (rv) {
        fprintf(stderr, "mpquic %s: %s\n", verb->name, strerror(-rv));
        return EXIT_CODE_START;
    }
    if (lock >= 0 && !gateway_mirror(g)->ours.n_rules && !gateway_mirror(g)->ours.n_routes)
        return refuse(verb, "nothing is in force that could be repaired");
    if (lock >= 0 && !is_confirmed(v))
        return refuse(verb, "FILE is not what is confirmed, and that alone is repaired");
    return gatewaycli_realign(verb, g, lock);
}
