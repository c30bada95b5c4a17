#include <jansson.h>
#include <stdio.h>

#include "cli/gateway.h"

static const char *const kinds[WAN_OP_COUNT] = {
    [WAN_OP_RULE_ADD] = "rule",       [WAN_OP_RULE_DEL] = "rule",
    [WAN_OP_ROUTE_ADD] = "route",     [WAN_OP_ROUTE_DEL] = "route",
    [WAN_OP_ADDRESS_ADD] = "address", [WAN_OP_ADDRESS_DEL] = "address",
    [WAN_OP_NFT] = "nftables",        [WAN_OP_SETTING] = "setting",
};

static void print_text(const struct wan_plan *p)
{
    char text[GATEWAY_TEXT_MAX];

    for (unsigned i = 0; i < p->n; i++)
        printf("%s\n", gateway_op_str(&p->ops[i], text));
    if (!p->n)
        printf("nothing to do\n");
}

/* What becomes of it, as its text begins. */
static const char *change_of(char sign)
{
    return sign == '+' ? "add" : sign == '-' ? "remove" : "change";
}

/* {"change": "add", "kind": "rule", "family": "IPv4", "text": "priority 1001 ..."}: the text is as
 * people get it, without the words that have a member of their own. */
static json_t *op_json(const struct wan_op *op)
{
    char text[GATEWAY_TEXT_MAX];
    const char *t = gateway_op_str(op, text);
    json_t *o = json_pack("{s:s, s:s, s:s}", "change", change_of(*t), "kind", kinds[op->kind],
                          "text", t + 2);

    if (op->kind == WAN_OP_SETTING) {
        json_object_set_new(o, "name", json_string(op->setting.name));
        json_object_set_new(o, "value", json_integer(op->setting.value));
        json_object_set_new(
            o, "before", op->setting.before < 0 ? json_null() : json_integer(op->setting.before));
    } else if (op->kind == WAN_OP_RULE_ADD || op->kind == WAN_OP_RULE_DEL) {
        json_object_set_new(o, "priority", json_integer((json_int_t)op->rule->priority));
    } else if (op->kind == WAN_OP_ROUTE_ADD || op->kind == WAN_OP_ROUTE_DEL) {
        json_object_set_new(o, "table", json_integer((json_int_t)op->route->table));
    }
    return o;
}

static enum exit_code print_json(const struct gateway *g)
{
    const struct wan_mirror *m = gateway_mirror(g);
    const struct wan_plan *p = gateway_plan(g);
    json_t *ops = json_array(), *conflicts = json_array();

    for (unsigned i = 0; i < p->n; i++)
        json_array_append_new(ops, op_json(&p->ops[i]));
    for (unsigned i = 0; i < m->n_conflicts && i < WAN_CONFLICTS_MAX; i++)
        json_array_append_new(conflicts, json_string(m->conflict[i]));
    return gatewaycli_print_json(
        json_pack("{s:o, s:o}", "operations", ops, "conflicts", conflicts));
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_plan, argc, argv, &v, stderr);
    struct gateway *g;

    if (code != EXIT_CODE_OK)
        return (int)code;
    g = gatewaycli_open(&cli_gateway_plan, v.config);
    code = g ? gatewaycli_look(&cli_gateway_plan, g) : EXIT_CODE_START;
    if (code == EXIT_CODE_OK && v.json) {
        code = print_json(g);
    } else if (code == EXIT_CODE_OK) {
        gatewaycli_write_warnings(v.config, stderr, v.file);
        gatewaycli_write_conflicts(g, stderr, v.file);
        print_text(gateway_plan(g));
    }
    gateway_close(g);
    return (int)code;
}

static const struct cli_option options[] = {
    GATEWAYCLI_FILE_OR_CONFIRMED,
    {'j', "json", NULL, "Print JSON.", false},
    {0},
};

const struct cli_verb cli_gateway_plan = {
    .name = "gateway plan",
    .summary = "tell what mpquic gateway apply would do",
    .args = "",
    .text = "Prints what there is to add (+), to remove (-) and to change (~), in the order in "
            "which it would be done, and changes nothing.",
    .options = options,
    .run = run,
};
