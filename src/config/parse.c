#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/check.h"
#include "config/nearest.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/tree.h"
#include "config/value.h"

/* From the tree to the struct: every key of a map is looked up in the schema, its value read by
 * its type into the field that the schema names. What cannot be read is reported and leaves the
 * default, and reading goes on. The rules between keys come last (check.c). */

enum { FILE_MAX_BYTES = 1 << 20 };

struct reader {
    struct config_report *report;
    struct tunnel_config config;
    struct check_input in;
    bool role_known;
};

/* ---- keys ---- */

/* A key that the schema does not know: the nearest one, or where it would belong. */
static void report_unknown_key(struct reader *r, const struct config_section *s,
                               const struct yaml_value *key)
{
    bool top = s == &config_schema;
    const struct config_section *other = top ? &config_path_schema : &config_schema;
    struct nearest near = {.word = key->text};
    char quote[REPORT_QUOTE_MAX], hint[128] = "the keys are listed in mpquic.yaml(5)";

    for (unsigned i = 0; i < s->n_keys; i++)
        nearest_offer(&near, s->keys[i].name);
    if (near.best)
        snprintf(hint, sizeof(hint), "did you mean '%s'?", near.best);
    else if (strlen(key->text) == key->len && config_key_find(other, key->text))
        snprintf(hint, sizeof(hint), "%s",
                 top ? "it belongs into an entry of multipath_paths"
                     : "it belongs to the instance, not to a path");
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

static bool read_scalar(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                        void *field)
{
    struct value_error err;

    if (v->bad)
        return false;
    if (v->kind != YAML_KIND_SCALAR) {
        report_add(r->report, true, v->at, NULL, "%s: %s where one value is expected", k->name,
                   v->kind == YAML_KIND_LIST ? "a list" : "a mapping");
        return false;
    }
    if (yaml_value_is_null(v)) {
        report_add(r->report, true, v->at, "write one, or remove the line", "%s has no value",
                   k->name);
        return false;
    }
    if (strlen(v->text) != v->len) {
        report_add(r->report, true, v->at, NULL, "%s: the value has a NUL character", k->name);
        return false;
    }
    if (value_read(k, v->text, field, &err))
        return true;
    report_add(r->report, true, v->at, err.hint, "%s: %s", k->name, err.text);
    return false;
}

static bool read_path_entry(struct reader *r, const struct yaml_value *v, unsigned index);

/* One element of a list, into place i. */
static bool read_element(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                         unsigned i, void *object)
{
    char *field = (char *)object + k->offset + i * k->size;

    if (k->type == CONFIG_TYPE_SECTION)
        return read_path_entry(r, v, i);
    if (k == &config_schema.keys[CONFIG_KEY_PEER_PREFIXES])
        r->in.peer_prefix_at[i] = v->at;
    if (k == &config_schema.keys[CONFIG_KEY_ALLOWED_CLIENTS])
        r->in.allowed_client_at[i] = v->at;
    return read_scalar(r, k, v, field);
}

/* A list; a single value stands for a list of one. Elements that cannot be read take no place
 * in the struct. */
static bool read_list(struct reader *r, const struct config_key *k, const struct yaml_value *v,
                      void *object)
{
    const struct yaml_value *e = v->kind == YAML_KIND_LIST ? v->child : v;
    unsigned n = 0, seen = 0;
    bool ok = true;

    if (v->bad)
        return false;
    if (!e) {
        report_add(r->report, true, v->at, "write an element, or remove the key",
                   "%s: the list is empty", k->name);
        return false;
    }
    for (; e; e = v->kind == YAML_KIND_LIST ? e->next : NULL) {
        if (seen++ == k->list_max) {
            report_add(r->report, true, e->at, NULL, "%s: more than %u elements", k->name,
                       k->list_max);
            ok = false;
            break;
        }
        if (read_element(r, k, e, n, object))
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
                         : read_scalar(r, k, v, (char *)object + k->offset);
        place->state = ok ? KEY_GOOD : KEY_BAD;
    }
}

/* One entry of multipath_paths. It takes its place even when some of its values are bad, so
 * that the rules can look at the rest. */
static bool read_path_entry(struct reader *r, const struct yaml_value *v, unsigned index)
{
    if (v->bad)
        return false;
    if (v->kind != YAML_KIND_MAP) {
        report_add(r->report, true, v->at, "write '- name: wan1' and its other keys below",
                   "a path must be a mapping of keys");
        return false;
    }
    config_defaults(&config_path_schema, &r->config.paths[index], sizeof(r->config.paths[index]));
    r->in.path_at[index] = v->at;
    read_map(r, &config_path_schema, v, &r->config.paths[index], r->in.paths[index]);
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
    const struct config_where start = {1, 1};

    if (!tree->root || (tree->root->kind == YAML_KIND_SCALAR && yaml_value_is_null(tree->root))) {
        if (tree->complete)
            report_add(r->report, true, start, "see the example in mpquic.yaml(5)",
                       "the file holds no configuration");
        return;
    }
    if (tree->root->kind != YAML_KIND_MAP) {
        if (!tree->root->bad)
            report_add(r->report, true, tree->root->at, "write one KEY: VALUE per line",
                       "the file is not a mapping of keys");
        return;
    }
    find_role(r, tree->root);
    read_map(r, &config_schema, tree->root, &r->config, r->in.keys);
    if (!tree->complete)
        return; /* what seems to be missing may stand behind the syntax error */
    if (r->role_known)
        check_rules(&r->in, r->report);
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
    if (err)
        return err;
    if (report->n_errors)
        return -EINVAL;
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++)
        if (r->in.keys[i].state == KEY_GOOD)
            report->where[i] = r->in.keys[i].at;
    *ret = r->config;
    return 0;
}

/* Read all that is left of fd into buf, at most size bytes. Returns the number, or -errno; -EFBIG
 * when there is more. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;
    char more;

    for (;;) {
        ssize_t n = len < size ? read(fd, buf + len, size - len) : read(fd, &more, 1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return (ssize_t)len;
        if (len == size)
            return -EFBIG;
        len += (size_t)n;
    }
}

/* The same of a file by its name. */
static ssize_t read_file(const char *file, char *buf, size_t size)
{
    _cleanup_close_ int fd =
        strcmp(file, "-") ? open(file, O_RDONLY | O_CLOEXEC) : fcntl(0, F_DUPFD_CLOEXEC, 3);

    return fd < 0 ? -errno : read_all(fd, buf, size);
}

int config_load(const char *file, struct tunnel_config *ret, struct config_report *report)
{
    char *text = malloc(FILE_MAX_BYTES);
    ssize_t n = text ? read_file(file, text, FILE_MAX_BYTES) : -ENOMEM;
    int err = (int)n;

    if (n >= 0)
        err = config_parse(text, (size_t)n, ret, report);
    else
        report_add(report, true, (struct config_where){0},
                   n == -EFBIG ? "a configuration has at most 1 MiB" : NULL, "cannot read: %s",
                   strerror(-err));
    free(text);
    return err;
}
