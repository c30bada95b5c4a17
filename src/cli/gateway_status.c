#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/place.h"
#include "base/util.h"
#include "cli/gateway.h"
#include "wan/balance.h"
#include "wan/confirm.h"

/* Does the policy lead anywhere, in that family? */
static bool is_open(const struct gateway *g, const struct gateway_policy *p, enum wan_family f)
{
    const struct gateway_config *c = gateway_config(g);
    struct balance_choice choice;
    int pin = gateway_config_link(c, p->pin);

    if (!gateway_is_steered(c, p->ingress))
        return pin >= 0 && gatewaycli_state(g, (unsigned)pin).reason[f] == WAN_REASON_UP;
    balance_choose(c, &gateway_mirror(g)->facts, p, f, &choice);
    return choice.n;
}

/* What is on trial. */
struct trial {
    bool on, over; /* over: it is being taken back, or waits for that */
    uint64_t left_s;
    char link[CONFIG_PATH_NAME_MAX]; /* that is disabled for it */
};

static struct trial read_trial(void)
{
    struct confirm_trial t = {0};
    struct trial ret = {0};
    char dir[PLACE_PATH_MAX];
    int rv = gatewaycli_state_dir(dir, sizeof(dir));

    if (!rv)
        rv = confirm_trial_load(dir, &t);
    ret.on = !rv || rv == -EBADMSG;
    ret.over = rv || confirm_is_over_now(&t);
    if (!ret.over)
        ret.left_s = (t.deadline_ns - MIN(t.deadline_ns, clock_mono_ns())) / NS_PER_S;
    memcpy(ret.link, t.link, sizeof(ret.link));
    confirm_trial_done(&t);
    return ret;
}

/* --- text ------------------------------------------------------------------------------ */

static void print_trial(void)
{
    struct trial t = read_trial();

    if (t.on && t.over)
        printf("on trial: it is over, and being taken back\n");
    else if (t.on)
        printf("on trial for %llu s more%s%s%s: mpquic gateway confirm keeps it, mpquic gateway "
               "confirm --reject goes back\n",
               (unsigned long long)t.left_s, *t.link ? ", with " : "", t.link,
               *t.link ? " disabled" : "");
}

static void print_links(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    char text[GATEWAYCLI_STATE_MAX];

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];

        printf("link %s: %s %s", l->name, gatewaycli_types[l->type], l->device);
        if (l->table)
            printf(" table %u", l->table);
        for (enum wan_family f = 0; f < (c->ipv6 ? WAN_FAMILIES : WAN_V6); f++)
            printf("  %s %s", gatewaycli_families[f], gatewaycli_state_str(g, i, f, text));
        printf("\n");
    }
}

/* Which links get the new flows of a policy that has a choice. */
static void print_shares(const struct gateway *g, const struct gateway_policy *p)
{
    const struct gateway_config *c = gateway_config(g);
    struct balance_choice choice;
    char text[BALANCE_TEXT_MAX];

    for (enum wan_family f = 0; f < (c->ipv6 ? WAN_FAMILIES : WAN_V6); f++) {
        balance_choose(c, &gateway_mirror(g)->facts, p, f, &choice);
        printf("%s %s %s", f ? ";" : ":", gatewaycli_families[f], balance_str(c, &choice, text));
    }
    printf("\n");
}

static void print_policies(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    char name[GATEWAY_POLICY_NAME_MAX];

    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];

        if (!*p->pin) {
            printf("policy %s", gateway_policy_name(c, i, name));
            print_shares(g, p);
            continue;
        }
        printf("policy %s -> %s:", p->ingress, p->pin);
        for (enum wan_family f = 0; f < WAN_FAMILIES; f++)
            printf("%s %s %s", f ? "," : "", gatewaycli_families[f],
                   is_open(g, p, f) ? "open" : "closed");
        printf("\n");
    }
}

static void print_text(const struct gateway *g, const struct gatewaycli *v, pid_t pid)
{
    unsigned n = gateway_plan(g)->n;

    if (pid > 0)
        printf("gateway: running (process %d)\n", (int)pid);
    else
        printf("gateway: not running\n");
    if (n)
        printf("not in force: %u differences; mpquic gateway plan%s%s tells them\n", n,
               v->is_kept ? "" : " -c ", v->is_kept ? "" : v->file);
    else
        printf("in force\n");
    print_trial();
    print_links(g);
    print_policies(g);
    gatewaycli_write_conflicts(g, stdout, v->file);
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_t *links_json(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    json_t *all = json_array();

    for (unsigned i = 0; i < c->n_links; i++) {
        const struct gateway_link *l = &c->links[i];

        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "name", l->name,
                                             "type", gatewaycli_types[l->type], "device", l->device,
                                             "table", (json_int_t)l->table, "ipv4",
                                             gatewaycli_state_json(g, i, WAN_V4), "ipv6",
                                             gatewaycli_state_json(g, i, WAN_V6)));
    }
    return all;
}

/* [{"link": "att", "percent": 50.0}] */
static json_t *shares_json(const struct gateway *g, const struct gateway_policy *p,
                           enum wan_family f)
{
    const struct gateway_config *c = gateway_config(g);
    json_t *all = json_array();
    struct balance_choice choice;

    balance_choose(c, &gateway_mirror(g)->facts, p, f, &choice);
    for (unsigned i = 0; i < choice.n; i++)
        json_array_append_new(all, json_pack("{s:s, s:f}", "link", c->links[choice.v[i].link].name,
                                             "percent", 100.0 * choice.v[i].weight / choice.total));
    return all;
}

static json_t *policies_json(const struct gateway *g)
{
    const struct gateway_config *c = gateway_config(g);
    char name[GATEWAY_POLICY_NAME_MAX];
    json_t *all = json_array();

    for (unsigned i = 0; i < c->n_policies; i++) {
        const struct gateway_policy *p = &c->policies[i];

        json_array_append_new(
            all,
            json_pack("{s:s, s:s, s:s?, s:I, s:b, s:b, s:o, s:o}", "name",
                      gateway_policy_name(c, i, name), "ingress", p->ingress, "pin",
                      *p->pin ? p->pin : NULL, "priority", (json_int_t)p->priority, "ipv4_open",
                      is_open(g, p, WAN_V4), "ipv6_open", is_open(g, p, WAN_V6), "ipv4_shares",
                      shares_json(g, p, WAN_V4), "ipv6_shares", shares_json(g, p, WAN_V6)));
    }
    return all;
}

/* {"seconds_left": 42, "disables": "wan4"}; null: nothing is on trial. */
static json_t *trial_json(void)
{
    struct trial t = read_trial();

    if (!t.on)
        return json_null();
    return json_pack("{s:I, s:s?}", "seconds_left", (json_int_t)t.left_s, "disables",
                     *t.link ? t.link : NULL);
}

static json_t *conflicts_json(const struct gateway *g)
{
    const struct wan_mirror *m = gateway_mirror(g);
    json_t *all = json_array();

    for (unsigned i = 0; i < MIN(m->n_conflicts, (unsigned)WAN_CONFLICTS_MAX); i++)
        json_array_append_new(all, json_string(m->conflict[i]));
    return all;
}

static enum exit_code print_json(const struct gateway *g, pid_t pid)
{
    unsigned n = gateway_plan(g)->n;
    json_t *all = json_pack("{s:b, s:i, s:b, s:i, s:o, s:o, s:o, s:o}", "running", pid > 0,
                            "process", (int)MAX(pid, 0), "in_force", !n, "differences", (int)n,
                            "trial", trial_json(), "links", links_json(g), "policies",
                            policies_json(g), "conflicts", conflicts_json(g));

    return gatewaycli_print_json(all);
}

/* --- the verb -------------------------------------------------------------------------- */

static enum exit_code tell(const struct gateway *g, const struct gatewaycli *v)
{
    pid_t pid = gatewaycli_holder();
    enum exit_code code = EXIT_CODE_OK;

    if (v->json)
        code = print_json(g, pid);
    else
        print_text(g, v, pid);
    if (code != EXIT_CODE_OK)
        return code;
    if (gateway_plan(g)->n)
        return EXIT_CODE_NOT_UP;
    return pid > 0 ? EXIT_CODE_OK : EXIT_CODE_NOT_RUNNING;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_status, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_status, v.config);
    code = g ? gatewaycli_look(&cli_gateway_status, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = tell(g, &v);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {.letter = 'j', .name = "json", .text = "Print JSON instead of text."},
    {0},
};

const struct cli_verb cli_gateway_status = {
    .name = "gateway status",
    .summary = "tell whether a configuration is in force",
    .args = "",
    .text =
        "Looks at the kernel itself, so it is right whether the gateway runs or not. Prints "
        "whether it runs, whether everything that FILE wants is there, what is on trial and how "
        "long yet, and the state of each link and policy. Exits with 4 when something differs, "
        "otherwise with 3 when the "
        "gateway does not run.",
    .options = options,
    .run = run,
};
