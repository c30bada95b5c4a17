#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/gateway_schema.h"
#include "config/input.h"
#include "config/nearest.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/tree.h"
#include "config/value.h"

/* From the tree to the struct: every key of a map is looked up in the schema, its value read by
 * its type into the field that the schema names. What cannot be read is reported and leaves the
 * default, and reading goes on. The rules between keys come last (check.c). */

struct reader {
    struct config_report *report;
    struct tunnel_config config;
    struct check_input in;
    bool role_known;
    struct peer_places *peer; /* of the entry of peers that is being read */
    int err;                  /* -ENOMEM */
};

/* ---- keys ---- */

/* A key that the schema does not know: the nearest one, or where it would belong. */
static void report_unknown_key(struct reader *r, const struct config_section *s,
                               const struct yaml_value *key)
{
    static const struct config_section *const all[] = {&config_schema, &config_path_schema,
                                                       &config_peer_schema};
    bool text_ok = strlen(key->text) == key->len;
    struct nearest near = {.word = key->text};
    char quote[REPORT_QUOTE_MAX], hint[128] = "the keys are listed in mpquic.yaml(5)";

    for (unsigned i = 0; i < s->n_keys; i++)
        nearest_offer(&near, s->keys[i].name);
    for (size_t i = 0; text_ok && i < ARRAY_LEN(all); i++) {
        if ((near.best && near.distance != NEAREST_PART) || !config_key_find(all[i], key->text))
            continue;
        near.best = NULL;
        if (all[i]->where)
            snprintf(hint, sizeof(hint), "it belongs into an entry of %s", all[i]->where);
        else
            snprintf(hint, sizeof(hint), "it belongs to the instance, not to a %s", s->what);
        break;
    }
    if (s == &config_schema && text_ok && config_key_find(&gateway_schema, key->text))
        snprintf(hint, sizeof(hint), "it is of the gateway: mpquic gateway check -c FILE");
    else if (near.best)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", near.best);
    report_add(r->report, true, key->at, hint, "unknown key '%s'",
               report_quote(key->text, key->len, quote));
}

/* A key of the other role has no effect. Where it would seem to guard something, that is an
 * error. Returns true when the key is to be passed over. */
static bool refuse_role(struct reader *r, const struct config_key *k, const struct yaml_value *key)
{
    bool server = r->config.role == CONFIG_ROLE_SERVER;
    const char *hint = "remove it";

    if (!r->role_known || k->roles & (1u << r->config.role))
        return false;
    if (k == &config_schema.keys[CONFIG_KEY_TOKEN_FILE])
        hint = "a server reads the tokens that it accepts from tokens_file";
    else if (k == &config_schema.keys[CONFIG_KEY_TOKENS_FILE])
        hint = "a client reads its token from token_file";
    if (k->role_strict)
        report_add(r->report, true, key->at, hint, "%s is for %s only", k->name,
                   server ? "clients" : "servers");
    else
        report_add(r->report, false, key->at, hint, "%s has no effect on a %s", k->name,
                   config_role_name(r->config.role));
    return true;
}

/* ---- values ---- */

static bool read_entry(struct reader *r, const struct config_key *list, const struct yaml_value *v,
                       unsigned index, void *entry);

/* Where the positions of a list's elements are kept, or NULL. */
static struct config_where *element_places(struct reader *r, const struct config_key *k)
{
    const struct {
        const struct config_key *key;
        struct config_where *at;
    } lists[] = {
        {&config_schema.keys[CONFIG_KEY_PEER_PREFIXES], r->in.peer_prefix_at},
        {&config_schema.keys[CONFIG_KEY_ALLOWED_CLIENTS], r->in.allowed_client_at},
        {&config_schema.keys[CONFIG_KEY_ROUTES], r->in.route_at},
        {&config_schema.keys[CONFIG_KEY_TUN_NETWORK], r->in.tun_network_at},
        {&config_schema.keys[CONFIG_KEY_ADDRESS_POOL], r->in.pool_at},
        {&config_peer_schema.keys[CONFIG_PEER_KEY_ADDRESSES], r->peer ? r->peer->addr_at : NULL},
        {&config_peer_schema.keys[CONFIG_PEER_KEY_PREFIXES], r->peer ? r->peer->prefix_at : NULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (lists[i].key == k)
            return lists[i].at;
    return NULL;
}

/* One element of a list, into place i, where field is. */
static bool read_element(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                         unsigned i, void *field)
{
    struct config_where *at = element_places(r, k);

    if (k->type == CONFIG_TYPE_SECTION)
        return read_entry(r, k, v, i, field);
    if (at)
        at[i] = v->at;
    return input_read_scalar(k, v, field, r->report);
}

/* Where the elements of a list go. Those of a list on the heap are made here, n of them, and
 * the places of peers with them. NULL when memory is short. */
static char *list_elements(struct reader *r, const struct config_key *k, unsigned n, void *object)
{
    char *first = (char *)object + k->offset;
    void *made;

    if (!k->list_heap)
        return first;
    made = calloc(n, k->size);
    r->in.peers = calloc(n, sizeof(*r->in.peers));
    memcpy(first, &made, sizeof(made));
    if (made && r->in.peers)
        return made;
    r->err = -ENOMEM;
    return NULL;
}

/* A list; a single value stands for a list of one. Elements that cannot be read take no place
 * in the struct. */
static bool read_list(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                      void *object)
{
    const struct yaml_value *e = v->kind == YAML_KIND_LIST ? v->child : v;
    unsigned n = 0, seen = 0;
    bool ok = true;
    char *first;

    if (v->bad)
        return false;
    if (k->zero_word && v->kind == YAML_KIND_SCALAR && !strcmp(v->text, k->zero_word))
        return true;
    if (!e) {
        report_add(r->report, true, v->at, "write an element, or remove the key",
                   "%s: the list is empty", k->name);
        return false;
    }
    first = list_elements(r, k, v->kind == YAML_KIND_LIST ? (unsigned)MIN(v->n, k->list_max) : 1,
                          object);
    if (!first)
        return false;
    for (; e; e = v->kind == YAML_KIND_LIST ? e->next : NULL) {
        if (seen++ == k->list_max) {
            report_add(r->report, true, e->at, NULL, "%s: more than %u elements", k->name,
                       k->list_max);
            ok = false;
            break;
        }
        if (read_element(r, k, e, n, first + n * k->size))
            n++;
        else
            ok = false;
    }
    memcpy((char *)object + k->count_offset, &n, sizeof(n));
    return ok;
}

static struct config_where first_position(const struct yaml_value *v)
{
    return v->kind == YAML_KIND_LIST && v->child ? v->child->at : v->at;
}

/* Every key of a map into the object; places[] learns what became of each. */
static void read_map(struct reader *r, const struct config_section *s, const struct yaml_value *map,
                     void *object, struct key_place *places)
{
    for (const struct yaml_value *key = map->child, *v; key && key->next; key = v->next) {
        const struct config_key *k;
        struct key_place *place;
        bool ok;

        v = key->next;
        if (key->bad || key->kind != YAML_KIND_SCALAR)
            continue;
        k = strlen(key->text) == key->len ? config_key_find(s, key->text) : NULL;
        if (!k) {
            report_unknown_key(r, s, key);
            continue;
        }
        place = &places[k - s->keys];
        place->at = first_position(v);
        if (s == &config_schema && refuse_role(r, k, key)) {
            place->state = KEY_IGNORED;
            continue;
        }
        ok = k->list_max ? read_list(r, k, v, object)
                         : input_read_scalar(k, v, (char *)object + k->offset, r->report);
        place->state = ok ? KEY_GOOD : KEY_BAD;
    }
}

/* One entry of a list of mappings. It takes its place even when some of its values are bad, so
 * that the rules can look at the rest. */
static bool read_entry(struct reader *r, const struct config_key *list, const struct yaml_value *v,
                       unsigned index, void *entry)
{
    const struct config_section *s = list->section;
    char hint[128];

    if (v->bad)
        return false;
    if (v->kind != YAML_KIND_MAP) {
        snprintf(hint, sizeof(hint), "write '- %s: %s' and its other keys below", s->keys[0].name,
                 s->keys[0].example);
        report_add(r->report, true, v->at, hint, "a %s must be a mapping of keys", s->what);
        return false;
    }
    config_defaults(s, entry, list->size);
    if (s == &config_path_schema) {
        r->in.path_at[index] = v->at;
        read_map(r, s, v, entry, r->in.paths[index]);
    } else {
        r->peer = &r->in.peers[index];
        r->peer->at = v->at;
        read_map(r, s, v, entry, r->peer->keys);
        r->peer = NULL;
    }
    return true;
}

/* ---- the whole ---- */

/* The role decides which keys mean something, so it is looked up first, quietly: a bad one is
 * reported when its turn comes. */
static void find_role(struct reader *r, const struct yaml_value *map)
{
    const struct config_key *k = &config_schema.keys[CONFIG_KEY_ROLE];
    struct value_error err;

    for (const struct yaml_value *key = map->child; key && key->next; key = key->next->next) {
        const struct yaml_value *v = key->next;

        if (!key->bad && key->kind == YAML_KIND_SCALAR && !strcmp(key->text, k->name) && !v->bad &&
            v->kind == YAML_KIND_SCALAR && strlen(v->text) == v->len)
            r->role_known = value_read(k, v->text, &r->config.role, &err);
    }
}

static void read_tree(struct reader *r, const struct yaml_tree *tree)
{
    const struct yaml_value *root = input_root(tree, "mpquic.yaml(5)", r->report);
    const struct config_where start = {1, 1};

    if (!root)
        return;
    find_role(r, root);
    read_map(r, &config_schema, root, &r->config, r->in.keys);
    if (!tree->complete)
        return; /* what seems to be missing may stand behind the syntax error */
    if (r->role_known && !r->err)
        r->err = check_rules(&r->in, r->report);
    else if (r->in.keys[CONFIG_KEY_ROLE].state == KEY_ABSENT)
        report_add(r->report, true, start, "add 'role: client' or 'role: server'",
                   "the role is missing");
}

int config_parse(const char *text, size_t len, struct tunnel_config *ret,
                 struct config_report *report)
{
    _cleanup_free_ struct reader *r = calloc(1, sizeof(*r));
    struct yaml_tree tree;
    int err;

    if (!r)
        return -ENOMEM;
    r->report = report;
    r->in.config = &r->config;
    config_defaults(&config_schema, &r->config, sizeof(r->config));
    err = yaml_tree_parse(text, len, &tree, report);
    if (!err)
        read_tree(r, &tree);
    yaml_tree_done(&tree);
    free(r->in.peers);
    if (!err)
        err = r->err ? r->err : report->n_errors ? -EINVAL : 0;
    if (err) {
        config_done(&r->config);
        return err;
    }
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
        if (r->in.keys[i].state == KEY_GOOD)
            report->where[i] = r->in.keys[i].at;
    *ret = r->config;
    return 0;
}

void config_report_unreadable(struct config_report *report, int err)
{
    const struct config_where nowhere = {0};

    if (err == -EINVAL)
        report_add(report, true, nowhere, "give a plain file, or '-' for what comes from a pipe",
                   "cannot read: not a regular file");
    else if (err == -EFBIG)
        report_add(report, true, nowhere, "a configuration has at most 1 MiB",
                   "cannot read: the file is too large");
    else
        report_add(report, true, nowhere, NULL, "cannot read: %s", strerror(-err));
}

int config_load(const char *file, struct tunnel_config *ret, struct config_report *report)
{
    _cleanup_free_ char *text = NULL;
    size_t len;
    int err = input_read_text(file, &text, &len);

    if (!err)
        return config_parse(text, len, ret, report);
    config_report_unreadable(report, err);
    return err;
}
