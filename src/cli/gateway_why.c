#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/gateway_world.h"

enum { LINE_BYTES = 256, WORDS_MAX = 5 };

/* A question, and who asks. */
struct asked {
    struct why_packet p;
    const char *words[WORDS_MAX]; /* IFACE SRC DST PROTO PORT; NULL: not given */
};

static int parse_protocol(const char *s, uint8_t *ret)
{
    static const struct {
        const char *name;
        uint8_t number;
    } known[] = {{"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"icmpv6", 58}, {"sctp", 132}};
    char *end;
    long n;

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (!strcmp(s, known[i].name)) {
            *ret = known[i].number;
            return 0;
        }
    n = strtol(s, &end, 10);
    if (end == s || *end || n < 0 || n > 255)
        return -EINVAL;
    *ret = (uint8_t)n;
    return 0;
}

static int parse_port(const char *s, uint16_t *ret)
{
    char *end;
    long n = strtol(s, &end, 10);

    if (end == s || *end || n < 1 || n > 65535)
        return -EINVAL;
    *ret = (uint16_t)n;
    return 0;
}

/* Returns NULL, or what is wrong. */
static const char *parse(const struct why_world *w, struct asked *a)
{
    const char *in;
    struct why_packet *p = &a->p;

    if (ip_addr_parse(a->words[1], &p->src))
        return "the source is no address; an interface is named by --in";
    if (ip_addr_parse(a->words[2], &p->dst) || p->src.family != p->dst.family)
        return "the destination is no address of the source's family";
    if (a->words[3] && parse_protocol(a->words[3], &p->protocol))
        return "the protocol is icmp, icmpv6, tcp, udp, sctp, or a number";
    if (a->words[4] && parse_port(a->words[4], &p->port))
        return "the port is a number from 1 to 65535";
    in = a->words[0] ? a->words[0] : why_ingress(w, &p->src);
    if (!in && !why_is_own(w, &p->src) && !ip_addr_is_any(&p->src))
        return "no interface is near the source: say by --in where it comes in";
    if (in && strlen(in) >= sizeof(p->iif))
        return "that is no name of an interface";
    snprintf(p->iif, sizeof(p->iif), "%s", in ? in : "");
    return NULL;
}

/* --- telling --------------------------------------------------------------------------- */

static void write_answer(const struct gateway_world *w, const struct why_packet *p,
                         const struct why *y, const struct gateway_kernel_answer *k)
{
    why_write(&w->why, p, y, stdout);
    if (gateway_world_agrees(y, k))
        printf("  kernel    agrees: %s\n", k->text);
    else
        printf("  kernel    does otherwise now: %s; mpquic gateway plan tells what is not in "
               "force\n",
               k->text);
}

static json_t *kernel_json(const struct why *y, const struct gateway_kernel_answer *k)
{
    return json_pack("{s:s, s:s?, s:s, s:b}", "end", why_end_name(k->end), "device",
                     *k->device ? k->device : NULL, "text", k->text, "agrees",
                     gateway_world_agrees(y, k));
}

static json_t *answer_json(const struct gateway_world *w, const struct why_packet *p,
                           const struct why *y, const struct gateway_kernel_answer *k)
{
    const struct gateway_config *c = w->why.config;
    char src[IP_ADDR_STR_MAX], dst[IP_ADDR_STR_MAX], as[IP_ADDR_STR_MAX], text[FIB_TEXT_MAX];
    json_t *o = json_pack(
        "{s:s, s:s, s:s?, s:s, s:s?, s:s?, s:s?, s:s?, s:b, s:s?, s:s?, s:I, s:b, s:b, s:o}",
        "source", ip_addr_str(&p->src, src), "destination", ip_addr_str(&p->dst, dst), "in",
        *p->iif ? p->iif : NULL, "end", why_end_name(y->end), "device", y->device, "link",
        y->link >= 0 ? c->links[y->link].name : NULL, "policy",
        y->policy ? y->policy->ingress : NULL, "pin",
        y->policy && *y->policy->pin ? y->policy->pin : NULL, "translated", y->translated,
        "translated_to", y->as.family ? ip_addr_str(&y->as, as) : NULL, "firewall", y->firewall,
        "mark", (json_int_t)y->mark, "several", y->several, "rules_not_understood", y->passed_over,
        "kernel", kernel_json(y, k));

    json_object_set_new(o, "translated_destination",
                        y->to.family ? json_string(ip_addr_str(&y->to, as)) : json_null());
    if (y->rule)
        json_object_set_new(o, "rule", json_string(fib_rule_str(y->rule, text)));
    if (y->rule)
        json_object_set_new(o, "priority", json_integer((json_int_t)y->rule->priority));
    if (y->route)
        json_object_set_new(
            o, "route", json_string(fib_route_str(y->route, y->device ? y->device : "?", text)));
    if (y->route)
        json_object_set_new(o, "table", json_integer((json_int_t)y->route->table));
    return o;
}

/* --- asking ---------------------------------------------------------------------------- */

static enum exit_code answer(const struct gateway_world *w, const struct why_packet *p, bool json,
                             size_t indent)
{
    struct gateway_kernel_answer k;
    struct why y;
    char *text;
    json_t *o;

    why_explain(&w->why, p, &y);
    gateway_world_ask(w, p, &y, &k);
    if (!json) {
        write_answer(w, p, &y, &k);
        return gateway_world_agrees(&y, &k) ? EXIT_CODE_OK : EXIT_CODE_NOT_UP;
    }
    o = answer_json(w, p, &y, &k);
    text = o ? json_dumps(o, JSON_INDENT(indent)) : NULL;
    json_decref(o);
    if (!text)
        return EXIT_CODE_INTERNAL;
    printf("%s\n", text);
    free(text);
    return gateway_world_agrees(&y, &k) ? EXIT_CODE_OK : EXIT_CODE_NOT_UP;
}

/* A question a line: IFACE SRC DST [PROTO [PORT]], "-" for an interface that is to be found. */
static enum exit_code answer_lines(const struct gateway_world *w, bool json)
{
    enum exit_code worst = EXIT_CODE_OK;
    char line[LINE_BYTES];

    for (unsigned number = 1; fgets(line, sizeof(line), stdin); number++) {
        struct asked a = {0};
        const char *wrong = "IFACE SRC DST [PROTO [PORT]] is wanted";
        enum exit_code code;
        char *save = NULL;
        unsigned n = 0;

        for (char *s = strtok_r(line, " \t\n", &save); s && n < WORDS_MAX;
             s = strtok_r(NULL, " \t\n", &save))
            a.words[n++] = s;
        if (!n)
            continue;
        if (!strcmp(a.words[0], "-"))
            a.words[0] = NULL;
        if (n >= 3)
            wrong = parse(&w->why, &a);
        if (wrong) {
            fprintf(stderr, "mpquic gateway why: line %u: %s\n", number, wrong);
            return EXIT_CODE_USAGE;
        }
        code = answer(w, &a.p, json, 0);
        worst = code == EXIT_CODE_OK ? worst : code;
    }
    return worst;
}

static enum exit_code ask(const struct gateway *g, const struct gatewaycli *v)
{
    struct asked a = {.words = {v->in}};
    struct gateway_world w;
    enum exit_code code = EXIT_CODE_START;
    const char *wrong;
    int rv = gateway_world_read(g, &w);

    for (int i = 0; i < v->n_args && i + 1 < WORDS_MAX; i++)
        a.words[i + 1] = v->args[i];
    if (rv) {
        fprintf(stderr, "mpquic gateway why: cannot read the kernel: %s\n", strerror(-rv));
    } else if (v->batch) {
        code = answer_lines(&w, v->json);
    } else {
        wrong = parse(&w.why, &a);
        code = wrong ? (enum exit_code)cli_usage_error(&cli_gateway_why, "%s", wrong)
                     : answer(&w, &a.p, v->json, 2);
    }
    gateway_world_done(&w);
    return code;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_why, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    if (v.batch ? v.n_args != 0 : v.n_args < 2 || v.n_args > 4)
        return cli_usage_error(&cli_gateway_why, v.batch ? "--batch takes its questions from "
                                                           "standard input"
                                                         : "a source and a destination are needed");
    g = gatewaycli_open(&cli_gateway_why, v.config);
    code = g ? gatewaycli_look(&cli_gateway_why, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK)
        code = ask(g, &v);
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'i', "in", "IFACE",
     "The interface that the packet comes in by. Without it the one whose network SRC is in; an "
     "address of this machine: the machine itself sends it.",
     false},
    {'j', "json", NULL, "Print JSON.", false},
    {'b', "batch", NULL,
     "Take questions from standard input, IFACE SRC DST [PROTO [PORT]] a line, \"-\" for an "
     "interface that is to be found; with --json each answer is one line.",
     false},
    {0},
};

const struct cli_verb cli_gateway_why = {
    .name = "gateway why",
    .summary = "tell where a packet goes, and why",
    .args = "[SRC DST [PROTO [PORT]]]",
    .text =
        "Prints what becomes of the first packet of a flow: the policy of where it comes in, the "
        "rule and the route that decide, the link, what the firewall says, and the translation. "
        "It is reckoned from the configuration and the states of the links as they are now, so "
        "that it also tells what a configuration will do that is not in force. The last line "
        "compares with what the kernel answers. nftables of others and the kernel's checks of "
        "sources are not looked at. The exit status is 0 when the kernel agrees, else 4.",
    .options = options,
    .run = run,
};
