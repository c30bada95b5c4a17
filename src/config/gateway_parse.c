#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/gateway_schema.h"
#include "config/input.h"
#include "config/nearest.h"
#include "config/report.h"

/* From the tree to the struct, as parse.c does it for tunnels: what cannot be read is reported and
 * leaves the default, and reading goes on. The rules between keys come last (gateway_check.c). */

struct reader {
    struct config_report *report;
    struct gateway_config config;
    struct gateway_input in;
};

static void report_unknown_key(struct reader *r, const struct config_section *s,
                               const struct yaml_value *key)
{
    static const struct config_section *const all[] = {
        &gateway_schema,        &gateway_link_schema, &gateway_probe_schema,
        &gateway_policy_schema, &gateway_map_schema,  &gateway_port_forward_schema,
        &gateway_route_schema,  &gateway_way_schema,  &gateway_dns_schema};
    char quote[REPORT_QUOTE_MAX], hint[128] = "the keys are listed in mpquic-gateway.yaml(5)";
    struct nearest near = {.word = key->text};

    for (unsigned i = 0; i < s->n_keys; i++)
        nearest_offer(&near, s->keys[i].name);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if ((near.best && near.distance != NEAREST_PART) || !config_key_find(all[i], key->text))
            continue;
        near.best = NULL;
        snprintf(hint, sizeof(hint),
                 all[i]->where ? "it belongs into an entry of %s" : "it belongs to the %s itself",
                 all[i]->where ? all[i]->where : all[i]->what);
    }
    if (s == &gateway_schema && config_key_find(&config_schema, key->text))
        snprintf(hint, sizeof(hint), "it is of a tunnel: mpquic check FILE");
    else if (near.best)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", near.best);
    report_add(r->report, true, key->at, hint, "unknown key '%s'",
               report_quote(key->text, key->len, quote));
}

static bool read_entry(struct reader *r, const struct config_key *list, const struct yaml_value *v,
                       unsigned i, void *entry);

/* A list; a single value stands for a list of one. Elements that cannot be read take no place in
 * the struct. element: where the positions of those that do go, or NULL. */
static bool read_list(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                      void *object, struct config_where *element)
{
    const struct yaml_value *e = v->kind == YAML_KIND_LIST ? v->child : v;
    char *first = (char *)object + k->offset;
    unsigned n = 0, seen = 0;
    bool ok = true, good;

    if (v->bad)
        return false;
    if (!e || (k->type == CONFIG_TYPE_SECTION && v->kind != YAML_KIND_LIST)) {
        report_add(r->report, true, v->at, "write an element in each line, as in '- ...'",
                   e ? "%s: not a list" : "%s: the list is empty", k->name);
        return false;
    }
    for (; e; e = v->kind == YAML_KIND_LIST ? e->next : NULL) {
        if (seen++ == k->list_max) {
            report_add(r->report, true, e->at, NULL, "%s: more than %u elements", k->name,
                       k->list_max);
            ok = false;
            break;
        }
        good = k->type == CONFIG_TYPE_SECTION
                   ? read_entry(r, k, e, n, first + n * k->size)
                   : input_read_scalar(k, e, first + n * k->size, r->report);
        if (good && element)
            element[n] = e->at;
        n += good;
        ok &= good;
    }
    memcpy((char *)object + k->count_offset, &n, sizeof(n));
    return ok;
}

/* Every key of a map into the object; at[] learns where each stands. Returns false when something
 * could not be read. */
static bool read_map(struct reader *r, const struct config_section *s, const struct yaml_value *map,
                     void *object, struct config_where *at,
                     struct config_where (*element)[GATEWAY_PREFIXES_MAX])
{
    bool ok = true;

    for (const struct yaml_value *key = map->child, *v; key && key->next; key = v->next) {
        const struct config_key *k;
        bool good;

        v = key->next;
        if (key->bad || key->kind != YAML_KIND_SCALAR) {
            ok = false;
            continue;
        }
        k = strlen(key->text) == key->len ? config_key_find(s, key->text) : NULL;
        if (!k) {
            report_unknown_key(r, s, key);
            ok = false;
            continue;
        }
        at[k - s->keys] = v->kind == YAML_KIND_LIST && v->child ? v->child->at : v->at;
        good = k->list_max ? read_list(r, k, v, object, element ? element[k - s->keys] : NULL)
                           : input_read_scalar(k, v, (char *)object + k->offset, r->report);
        ok &= good;
    }
    return ok;
}

static void report_missing(struct reader *r, const struct config_section *s,
                           const struct config_where *at, struct config_where whole)
{
    char hint[128];

    for (unsigned i = 0; i < s->n_keys; i++) {
        if (!s->keys[i].required || at[i].line)
            continue;
        snprintf(hint, sizeof(hint), "add '%s: %s'", s->keys[i].name, s->keys[i].example);
        report_add(r->report, true, whole, hint, "%s is missing", s->keys[i].name);
    }
}

/* Where the places go of the i-th entry of a list. */
static struct gateway_places *places_of(struct reader *r, const struct config_section *s,
                                        unsigned i)
{
    struct gateway_places *first = s == &gateway_link_schema           ? r->in.link
                                   : s == &gateway_probe_schema        ? r->in.probe
                                   : s == &gateway_map_schema          ? r->in.map
                                   : s == &gateway_port_forward_schema ? r->in.port_forward
                                   : s == &gateway_route_schema        ? r->in.route
                                   : s == &gateway_dns_schema          ? r->in.dns
                                                                       : r->in.policy;

    return &first[i];
}

/* One link, probe, policy ... It takes its place even when some of its values are bad, so that the
 * rules can look at the others. */
static bool read_entry(struct reader *r, const struct config_key *list, const struct yaml_value *v,
                       unsigned i, void *entry)
{
    const struct config_section *s = list->section;
    struct gateway_places way = {0}; /* within a policy, whose places have where each begins */
    struct gateway_places *p = s == &gateway_way_schema ? &way : places_of(r, s, i);

    if (v->bad)
        return false;
    if (v->kind != YAML_KIND_MAP) {
        report_add(r->report, true, v->at, NULL, "a %s must be a mapping of keys", s->what);
        return false;
    }
    config_defaults(s, entry, list->size);
    p->at = v->at;
    p->bad = !read_map(r, s, v, entry, p->key, p->element);
    report_missing(r, s, p->key, v->at);
    if (s == &gateway_probe_schema)
        gateway_probe_complete(entry);
    return true;
}

static void read_tree(struct reader *r, const struct yaml_tree *tree)
{
    const struct yaml_value *root = input_root(tree, "mpquic-gateway.yaml(5)", r->report);
    const struct config_where start = {1, 1};

    if (!root)
        return;
    read_map(r, &gateway_schema, root, &r->config, r->in.key, NULL);
    if (!tree->complete)
        return; /* what seems to be missing may stand behind the syntax error */
    report_missing(r, &gateway_schema, r->in.key, start);
    gateway_check_rules(&r->in, r->report);
}

int gateway_config_parse(const char *text, size_t len, struct gateway_config *ret,
                         struct config_report *report)
{
    _cleanup_free_ struct reader *r = calloc(1, sizeof(*r));
    struct yaml_tree tree;
    int err;

    if (!r)
        return -ENOMEM;
    r->report = report;
    r->in.config = &r->config;
    config_defaults(&gateway_schema, &r->config, sizeof(r->config));
    err = yaml_tree_parse(text, len, &tree, report);
    if (!err)
        read_tree(r, &tree);
    yaml_tree_done(&tree);
    if (!err && report->n_errors)
        err = -EINVAL;
    if (!err)
        *ret = r->config;
    return err;
}

int gateway_config_load_text(const char *file, struct gateway_config *ret,
                             struct config_report *report, char **ret_text)
{
    size_t len;
    int err = input_read_text(file, ret_text, &len);

    if (!err)
        return gateway_config_parse(*ret_text, len, ret, report);
    *ret_text = NULL;
    config_report_unreadable(report, err);
    return err;
}

int gateway_config_load(const char *file, struct gateway_config *ret, struct config_report *report)
{
    _cleanup_free_ char *text = NULL;

    return gateway_config_load_text(file, ret, report, &text);
}
