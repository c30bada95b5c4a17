#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/gateway_look.h"

/* Is policy i meant: by its interface, its link, its number from 1, or "all"? */
static bool is_meant(const struct gateway_config *c, unsigned i, const char *word)
{
    char *end;
    long n = strtol(word, &end, 10);

    return !strcmp(word, "all") || !strcmp(word, c->policies[i].ingress) ||
           !strcmp(word, c->policies[i].pin) || (!*end && end != word && n == (long)i + 1);
}

static enum exit_code check_one(const struct gateway *g, const struct gateway_world *w,
                                const struct gateway_policy *p, struct findings *ret)
{
    struct gateway_member m[GATEWAY_MEMBERS_MAX];
    unsigned n = gateway_policy_members(gateway_config(g), p, m);

    gateway_look_ingress(w, p, ret);
    gateway_look_differences(g, p, ret);
    for (unsigned i = 0; i < n; i++)
        gateway_look_link(g, m[i].link, ret);
    gateway_look_way(w, p, ret);
    return findings_worst(ret) == FINDING_FAILED ? EXIT_CODE_NOT_UP : EXIT_CODE_OK;
}

/* What is told of one: {"lan", "pin", "level", "findings"}. */
static json_t *one_json(const struct gateway_policy *p, const struct findings *f)
{
    return json_pack("{s:s, s:s?, s:s, s:o}", "lan", p->ingress, "pin", *p->pin ? p->pin : NULL,
                     "level", finding_level_name(findings_worst(f)), "findings", findings_json(f));
}

static enum exit_code check(const struct gateway *g, const struct gatewaycli *v, const char *word)
{
    const struct gateway_config *c = gateway_config(g);
    json_t *all = v->json ? json_array() : NULL;
    enum exit_code code = EXIT_CODE_OK;
    struct gateway_world w;
    int rv = gateway_world_read(g, &w);

    for (unsigned i = 0; i < c->n_policies && !rv; i++) {
        const struct gateway_policy *p = &c->policies[i];
        struct findings f = {0};

        if (!is_meant(c, i, word))
            continue;
        if (check_one(g, &w, p, &f) != EXIT_CODE_OK)
            code = EXIT_CODE_NOT_UP;
        if (v->json) {
            json_array_append_new(all, one_json(p, &f));
        } else {
            printf("%s -> %s: %s\n", p->ingress, *p->pin ? p->pin : "its links",
                   finding_level_name(findings_worst(&f)));
            findings_write(&f, v->all, stdout);
        }
        findings_done(&f);
    }
    gateway_world_done(&w);
    if (rv) {
        json_decref(all);
        fprintf(stderr, "mpquic gateway lan: cannot read the kernel: %s\n", strerror(-rv));
        return EXIT_CODE_START;
    }
    if (v->json && gatewaycli_print_json(all) != EXIT_CODE_OK)
        return EXIT_CODE_INTERNAL;
    return code;
}

static bool is_any_meant(const struct gateway_config *c, const char *word)
{
    for (unsigned i = 0; i < c->n_policies; i++)
        if (is_meant(c, i, word))
            return true;
    return false;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_lan, argc, argv, &v, stderr);
    struct gateway *g;
    bool fix;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.n_args != 2 || (strcmp(v.args[0], "check") != 0 && strcmp(v.args[0], "fix") != 0))
        return cli_usage_error(&cli_gateway_lan, "check or fix is needed, and a LAN or all");
    if (!is_any_meant(v.config, v.args[1]))
        return cli_usage_error(&cli_gateway_lan, "%s has no policy of '%s'", v.file, v.args[1]);
    fix = !strcmp(v.args[0], "fix");
    g = gatewaycli_open(&cli_gateway_lan, v.config);
    code = g ? gatewaycli_look(&cli_gateway_lan, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK && fix)
        code = gatewaycli_repair(&cli_gateway_lan, &v, g);
    if (code == EXIT_CODE_OK || (fix && code == EXIT_CODE_NOT_UP))
        code = check(g, &v, v.args[1]);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'a', "all", NULL, "Print what is right, too.", false},
    {'j', "json", NULL, "Print JSON.", false},
    {0},
};

const struct cli_verb cli_gateway_lan = {
    .name = "gateway lan",
    .summary = "check that a LAN goes to its link, or put that right",
    .args = "check|fix LAN|all",
    .text =
        "Looks at all that leads what comes from LAN to its link: the interface, the rules, the "
        "routes of the link's table, nftables, settings of the kernel, the state of the link, and "
        "where a packet to the Internet would go, by the configuration and by the kernel. LAN is "
        "an interface with a policy, the link that it is pinned to, or the number of the policy "
        "from 1.\n\n"
        "fix first puts in force what is not, and then checks. It is the gateway itself that does "
        "so, the one that runs or, without one, this verb; and as everything hangs together it is "
        "not for one LAN only. What a cable or a provider lacks cannot be put right. The exit "
        "status is 0 when nothing has failed, else 4.",
    .options = options,
    .run = run,
};
