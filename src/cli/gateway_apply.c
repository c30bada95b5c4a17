/* Putting a configuration in force from the command line: at once, or through the gateway that
 * runs, for good or on trial. The order is what makes a cut anywhere harmless: what is to be given
 * back is on the disk before it is taken away, and a trial is, and is watched, before anything
 * changes. */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "cli/gateway_watch.h"
#include "wan/networkd.h"
#include "wan/settle.h"

enum { HAND_OVER_SECONDS = 30 };

#define ANSWER_WAIT_NS (20 * NS_PER_S)
#define POLL_NS (20 * NS_PER_MS)

struct apply {
    const struct cli_verb *verb;
    struct gatewaycli v;
    char dir[PLACE_PATH_MAX];
    struct gateway *g;
    struct gatewaycli_told told;
    int lock;     /* -1: a gateway runs, and does it */
    pid_t daemon; /* that gateway */
    struct takeover taken;
    struct networkd networkd;
    struct confirm_trial trial;
    char id[CONFIRM_ID_MAX]; /* of the trial, or in its place */
};

static void say(const struct apply *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(const struct apply *a, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "mpquic %s: ", a->verb->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static struct settle settle_of(struct apply *a)
{
    return (struct settle){a->g, a->dir, NULL, gatewaycli_note, gatewaycli_note_foreign, &a->told};
}

static void nap(void)
{
    static const struct timespec t = {0, POLL_NS};

    nanosleep(&t, NULL);
}

/* --- who does it ----------------------------------------------------------------------- */

/* The lock, or the gateway that runs. */
static enum exit_code find_doer(struct apply *a)
{
    pid_t holder = 0;
    int rv = gatewaycli_state_dir(a->dir, sizeof(a->dir));

    if (rv) {
        say(a, "no directory of state: %s", gatewaycli_strerror(-rv));
        return EXIT_CODE_START;
    }
    a->lock = gatewaycli_lock_wait(&holder);
    a->daemon = a->lock == -EAGAIN ? gatewaycli_daemon() : 0;
    if (a->lock >= 0 || a->daemon > 0)
        return EXIT_CODE_OK;
    if (a->lock == -EAGAIN)
        say(a, "another one is at work (process %d): try again", (int)holder);
    else
        say(a, "cannot lock the gateway: %s", gatewaycli_strerror(-a->lock));
    return EXIT_CODE_START;
}

/* --- a trial that is there ------------------------------------------------------------- */

/* What was taken over for it stays away, as what is taken over for good. */
static int drop_trial(struct apply *a)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(a->dir, &t);

    if (!rv)
        rv = takeover_confirm(a->dir, t.id);
    if (!rv || rv == -EBADMSG)
        rv = confirm_trial_end(a->dir, NULL);
    confirm_trial_done(&t);
    return rv;
}

/* Take back what is over; whoever runs does that himself. */
static enum exit_code end_old_trial(struct apply *a)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(a->dir, &t);
    bool over = rv == -EBADMSG || (!rv && confirm_is_over_now(&t));
    uint64_t left_ns = t.deadline_ns - MIN(clock_mono_ns(), t.deadline_ns);
    struct settle s = settle_of(a);

    confirm_trial_done(&t);
    if (rv == -ENOENT)
        return EXIT_CODE_OK;
    if (over && a->lock >= 0) {
        rv = settle_return(&s);
        if (rv == -EBADMSG && !a->v.confirm_s)
            rv = drop_trial(a); /* what is confirmed is broken, and will be this one */
        if (!rv) {
            gateway_set_config(a->g, a->v.config);
            return EXIT_CODE_OK;
        }
        say(a, "what was on trial before cannot be taken back: %s",
            rv == -EBADMSG ? "what is confirmed cannot be understood; apply without --confirm "
                             "replaces it"
                           : strerror(-rv));
    } else if (rv && !over) {
        say(a, "what is on trial cannot be read: %s", strerror(-rv));
    } else if (over) {
        say(a, "what was on trial before is being taken back: try again");
    } else {
        say(a,
            "another configuration is on trial for %llu s more: mpquic gateway confirm, or "
            "mpquic gateway confirm --reject",
            left_ns / NS_PER_S);
    }
    return EXIT_CODE_START;
}

/* There must be something to go back to. What is in force without having been confirmed is not
 * known as a configuration. */
static enum exit_code have_confirmed(struct apply *a)
{
    _cleanup_free_ char *text = NULL;
    const struct wan_objects *ours = &gateway_mirror(a->g)->ours;
    size_t len;
    int rv = confirm_load(a->dir, &text, &len);

    if (!confirm_is_understood(a->dir)) {
        say(a, "what is confirmed cannot be understood, so that there is nothing to go back to; "
               "apply without --confirm replaces it");
        return EXIT_CODE_START;
    }
    if (rv == -ENOENT && !ours->n_rules && !ours->n_routes && !ours->nft)
        rv = confirm_save(a->dir, "");
    else if (rv == -ENOENT) {
        say(a, "what is in force was never confirmed, so that there is nothing to go back to; %s",
            a->lock >= 0 ? "apply it without --confirm first"
                         : "mpquic gateway status tells what the one that runs is waiting for");
        return EXIT_CODE_START;
    }
    if (rv)
        say(a, "cannot read or write the confirmed configuration: %s", strerror(-rv));
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

/* --- what is in the way ---------------------------------------------------------------- */

static void write_remedies(const struct wan_objects *foreign)
{
    char text[FIB_TEXT_MAX], name[IFNAMSIZ];

    for (unsigned i = 0; i < foreign->n_rules; i++)
        fprintf(stderr, "  to remove it: ip -%u rule del%s\n", foreign->rules[i].family,
                fib_rule_str(&foreign->rules[i], text) + 2);
    for (unsigned i = 0; i < foreign->n_routes; i++) {
        const struct fib_route *r = &foreign->routes[i];

        if (!if_indextoname((unsigned)r->index, name))
            snprintf(name, sizeof(name), "?");
        fprintf(stderr, "  to remove it: ip -%u route del%s\n", r->dst.addr.family,
                fib_route_str(r, name, text) + 2);
    }
}

static enum exit_code check_conflicts(struct apply *a)
{
    const struct wan_mirror *m = gateway_mirror(a->g);
    int rv = networkd_read("", &a->networkd);

    if (!m->n_conflicts && (rv || !networkd_is_in_the_way(&a->networkd)))
        return EXIT_CODE_OK;
    if (!a->v.take_over) {
        gatewaycli_write_conflicts(a->g, stderr, a->v.file);
        write_remedies(&m->foreign);
        say(a, "nothing was changed; remove these, or have them taken over until mpquic gateway "
               "down: --take-over");
        return EXIT_CODE_CONFIG;
    }
    rv = takeover_find(gateway_netlink(a->g), &m->foreign, a->id, &a->taken);
    if (!rv && !a->taken.n && m->n_conflicts)
        rv = -EAGAIN; /* it has just gone */
    if (!rv)
        return EXIT_CODE_OK;
    gatewaycli_write_conflicts(a->g, stderr, a->v.file);
    say(a, "nothing was changed: these cannot be taken over: %s",
        rv == -E2BIG ? "one is too large to be kept" : strerror(-rv));
    return EXIT_CODE_CONFIG;
}

/* --- by ourselves ---------------------------------------------------------------------- */

/* What is in the way goes when all of ours is there: until then it leads where it led, and then
 * nothing is open that was not. */
static int apply_here(struct apply *a)
{
    struct settle s = settle_of(a);
    int rv = settle_try(&s, a->v.config);

    if (rv || !a->taken.n)
        return rv;
    rv = takeover_remove(gateway_netlink(a->g), &a->taken, gatewaycli_note_foreign, &a->told);
    return rv ? rv : gateway_apply(a->g, true, gatewaycli_note, &a->told);
}

static enum exit_code fail_here(struct apply *a, int error)
{
    struct settle s = settle_of(a);
    int rv;

    if (a->v.confirm_s) {
        rv = confirm_trial_reject(a->dir);
        if (!rv)
            rv = settle_return(&s);
    } else {
        rv = takeover_restore(a->dir, gateway_netlink(a->g), a->id, gatewaycli_note_foreign,
                              &a->told);
    }
    say(a, "%s; what was done is %s", strerror(-error),
        rv ? "not taken back as a whole" : "taken back");
    return EXIT_CODE_START;
}

/* --- by the gateway that runs ---------------------------------------------------------- */

/* Wait for what it says of the trial. */
static int wait_answer(const struct apply *a, char text[static CONFIRM_TEXT_MAX])
{
    uint64_t until_ns = clock_mono_ns() + ANSWER_WAIT_NS;
    int error = 0, rv;

    while ((rv = confirm_answer(a->dir, a->trial.id, &error, text)) == -ENOENT &&
           !kill(a->daemon, 0) && clock_mono_ns() < until_ns)
        nap();
    if (rv == -ENOENT)
        snprintf(text, CONFIRM_TEXT_MAX, "the gateway that runs (process %d) does not answer",
                 (int)a->daemon);
    else if (rv)
        snprintf(text, CONFIRM_TEXT_MAX, "no answer can be read: %s", strerror(-rv));
    return rv ? rv : error;
}

static enum exit_code apply_there(struct apply *a)
{
    char text[CONFIRM_TEXT_MAX] = "", op[GATEWAY_TEXT_MAX];
    const struct wan_plan *p = gateway_plan(a->g);
    int rv = kill(a->daemon, SIGUSR1) ? -errno : wait_answer(a, text);

    if (rv) {
        confirm_trial_reject(a->dir);
        kill(a->daemon, SIGUSR1);
        say(a, "%s; it is taken back", *text ? text : strerror(-rv));
        return EXIT_CODE_START;
    }
    for (unsigned i = 0; i < p->n; i++)
        printf("%s\n", gateway_op_str(&p->ops[i], op));
    rv = takeover_remove(gateway_netlink(a->g), &a->taken, gatewaycli_note_foreign, &a->told);
    if (rv) {
        say(a, "not everything that is in the way could be taken away: %s", strerror(-rv));
        return EXIT_CODE_START;
    }
    return EXIT_CODE_OK;
}

/* --- the whole ------------------------------------------------------------------------- */

/* It heeds that only when it starts, which is not for us to have it do: its links may go down. */
static int hold_networkd(struct apply *a)
{
    int rv = networkd_is_in_the_way(&a->networkd) ? networkd_hold("") : 0;

    if (!rv && networkd_is_in_the_way(&a->networkd))
        printf("+ " NETWORKD_DROP_IN ": to heed it: systemctl restart systemd-networkd\n");
    return rv;
}

/* Everything that has to be on the disk, and the watcher, before anything changes. */
static enum exit_code prepare(struct apply *a)
{
    bool trial = a->v.confirm_s || a->lock < 0;
    int rv = 0;

    if (trial)
        rv = confirm_trial_begin(a->dir, a->v.text,
                                 a->v.confirm_s ? a->v.confirm_s : HAND_OVER_SECONDS,
                                 a->v.confirm_s != 0, NULL, &a->trial);
    if (!rv && trial)
        memcpy(a->id, a->trial.id, sizeof(a->id));
    for (unsigned i = 0; i < a->taken.n; i++)
        memcpy(a->taken.items[i].id, a->id, sizeof(a->id));
    if (!rv)
        rv = takeover_keep(a->dir, &a->taken);
    if (!rv && a->v.take_over)
        rv = hold_networkd(a);
    if (!rv && a->v.confirm_s)
        rv = gatewaywatch_start(a->dir, &a->trial);
    if (!rv)
        return EXIT_CODE_OK;
    if (*a->trial.id)
        confirm_trial_end(a->dir, a->trial.id);
    say(a, "nothing was changed: %s", strerror(-rv));
    return EXIT_CODE_START;
}

static enum exit_code keep(struct apply *a)
{
    int rv = 0;

    if (a->v.confirm_s) {
        printf("in force for %u s on trial; to keep it: mpquic gateway confirm\n", a->v.confirm_s);
        return EXIT_CODE_OK;
    }
    if (a->lock >= 0)
        rv = confirm_save(a->dir, a->v.text);
    if (!rv)
        rv = takeover_confirm(a->dir, a->id);
    if (rv)
        say(a, "it is in force, but cannot be kept for the next boot: %s", strerror(-rv));
    else if (a->lock >= 0)
        say(a,
            "it is in force and confirmed, but no gateway runs that follows the links: systemctl "
            "start mpquic-gateway, or mpquic gateway run");
    return rv ? EXIT_CODE_START : EXIT_CODE_OK;
}

static enum exit_code check_all(struct apply *a)
{
    enum exit_code code = end_old_trial(a);
    struct gatewaycli_others others = {0};

    if (code == EXIT_CODE_OK)
        code = gatewaycli_look(a->verb, a->g);
    if (code == EXIT_CODE_OK && (a->v.confirm_s || a->lock < 0))
        code = have_confirmed(a);
    if (code == EXIT_CODE_OK)
        gatewaycli_write_warnings(a->v.config, stderr, a->v.file);
    if (code == EXIT_CODE_OK)
        code = check_conflicts(a);
    if (code != EXIT_CODE_OK)
        return code;
    if (a->v.take_over)
        others.taken = &gateway_mirror(a->g)->foreign;
    return gatewaycli_check_ssh(a->verb, a->g, &others, a->v.confirm_s || a->v.force,
                                "--confirm SECONDS goes back by itself, --force does it for good");
}

static enum exit_code apply(struct apply *a)
{
    enum exit_code code = check_all(a);
    int rv;

    if (code == EXIT_CODE_OK)
        code = prepare(a);
    if (code != EXIT_CODE_OK)
        return code;
    if (a->lock < 0) {
        code = apply_there(a);
    } else {
        rv = apply_here(a);
        code = rv ? fail_here(a, rv) : EXIT_CODE_OK;
    }
    return code == EXIT_CODE_OK ? keep(a) : code;
}

static int run(int argc, char **argv)
{
    struct apply a = {.verb = &cli_gateway_apply, .lock = -1};
    enum exit_code code = gatewaycli_begin(a.verb, argc, argv, &a.v, stderr);

    if (code == EXIT_CODE_OK)
        code = find_doer(&a);
    if (code == EXIT_CODE_OK && confirm_new_id(a.id))
        code = EXIT_CODE_INTERNAL;
    if (code == EXIT_CODE_OK) {
        a.g = gatewaycli_open(a.verb, a.v.config);
        a.told = (struct gatewaycli_told){a.verb, a.g};
        code = a.g ? apply(&a) : EXIT_CODE_START;
    }
    if (a.lock >= 0)
        close(a.lock);
    takeover_done(&a.taken);
    confirm_trial_done(&a.trial);
    gateway_close(a.g);
    gatewaycli_done(&a.v);
    return (int)code;
}

static const struct cli_option options[] = {
    {'c', NULL, "FILE", "The configuration of the gateway; see mpquic-gateway.yaml(5).", true},
    {.letter = 't',
     .name = "confirm",
     .arg = "SECONDS",
     .text = "Go back to the confirmed configuration unless mpquic gateway confirm comes within so "
             "many seconds."},
    {.letter = 'o',
     .name = "take-over",
     .text = "Take away the rules and routes of others that are in the way; mpquic gateway down "
             "gives them back."},
    {.letter = 'f',
     .name = "force",
     .text = "Do it even if that cuts the SSH session that it is called from."},
    {0},
};

const struct cli_verb cli_gateway_apply = {
    .name = "gateway apply",
    .summary = "put a configuration in force, and confirm it",
    .args = "",
    .text =
        "Makes what the configuration wants as the links are now, and prints each step. Where "
        "mpquic gateway run is at work it does that, and follows the links; otherwise nobody does. "
        "A step that fails takes back those before it. Where something of others is in the way, or "
        "the SSH session of the caller would be cut, nothing is changed.\n\n"
        "What is in force is confirmed then: mpquic gateway run and the next boot start from it, "
        "whatever becomes of FILE. With --confirm it is on trial: unless mpquic gateway confirm "
        "comes in time, what was confirmed before is in force again, also when the session is cut, "
        "the gateway is killed or the machine restarts meanwhile.",
    .options = options,
    .run = run,
};
