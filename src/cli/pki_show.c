#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/exitcode.h"
#include "base/util.h"
#include "cli/pki.h"

/* One certificate as it is shown: from the index, with what its file says when it is here. */
struct view {
    struct index_entry entry;
    struct cert_info info; /* serial "" when the file is not here */
    char file[FILE_PATH_MAX];
};

static const char *state_of(const struct index_entry *x, int64_t now_s)
{
    if (x->revoked)
        return "revoked";
    if (!x->not_after)
        return "unknown";
    if (x->not_after <= now_s)
        return "expired";
    return x->not_before > now_s ? "not yet valid" : "valid";
}

/* Whole days until the end; negative when it has passed. */
static long long days_left(const struct index_entry *x, int64_t now_s)
{
    return (long long)((x->not_after - now_s) / PKI_DAY_S);
}

/* --- JSON ------------------------------------------------------------------------------ */

static json_t *json_time(int64_t t)
{
    char buf[PKI_TIME_STR_MAX];

    return t ? json_string(pki_time_str(t, buf)) : json_null();
}

static json_t *json_view(const struct view *v, int64_t now_s)
{
    const struct index_entry *x = &v->entry;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "name", x->name, "kind",
                          pki_kind_name(x->kind), "state", state_of(x, now_s), "serial", x->serial,
                          "not_before", json_time(x->not_before), "not_after",
                          json_time(x->not_after), "revoked", json_time(x->revoked), "days_left",
                          x->not_after ? json_integer(days_left(x, now_s)) : json_null());

    if (o && *v->info.serial) {
        json_object_set_new(o, "file", json_string(v->file));
        json_object_set_new(o, "issuer", json_string(v->info.issuer));
        json_object_set_new(o, "names", json_string(v->info.sans));
        json_object_set_new(o, "key", json_string(v->info.algorithm));
        json_object_set_new(o, "sha256", json_string(v->info.fingerprint));
    }
    return o;
}

static void print_json(json_t *o)
{
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

/* --- text ------------------------------------------------------------------------------ */

static void print_row(const struct index_entry *x, int64_t now_s)
{
    char until[PKI_TIME_STR_MAX], days[24] = "-";

    if (x->not_after)
        snprintf(days, sizeof(days), "%lld", days_left(x, now_s));
    printf("%-20s %-7s %-13s %6s  %-20s  %s\n", x->name, pki_kind_name(x->kind), state_of(x, now_s),
           days, pki_time_str(x->not_after, until), x->serial);
}

static void print_view(const struct view *v, int64_t now_s)
{
    const struct index_entry *x = &v->entry;
    char buf[PKI_TIME_STR_MAX];

    printf("name:       %s\nkind:       %s\nstate:      %s\nserial:     %s\n", x->name,
           pki_kind_name(x->kind), state_of(x, now_s), x->serial);
    printf("not before: %s\n", pki_time_str(x->not_before, buf));
    printf("not after:  %s", pki_time_str(x->not_after, buf));
    if (x->not_after)
        printf(" (%lld days left)", days_left(x, now_s));
    putchar('\n');
    if (x->revoked)
        printf("revoked:    %s\n", pki_time_str(x->revoked, buf));
    if (!*v->info.serial)
        return;
    if (*v->info.sans)
        printf("names:      %s\n", v->info.sans);
    printf("issuer:     %s\nkey:        %s\nsha256:     %s\nfile:       %s\n", v->info.issuer,
           v->info.algorithm, v->info.fingerprint, v->file);
}

/* --- what is shown --------------------------------------------------------------------- */

/* Fill in what the certificate's file says, when the file is of this serial number. */
static void look_at_file(const struct pki *p, struct view *v)
{
    _cleanup_text_ struct file_text text = {0};
    const struct index_entry *x = &v->entry;
    struct pki_error ignored;
    struct cert_info info;
    int n;

    if (x->kind == PKI_KIND_CA)
        n = snprintf(v->file, sizeof(v->file), "%s/ca.crt", p->dir);
    else
        n = snprintf(v->file, sizeof(v->file), "%s/%s/%s/%s", p->dir, pki_kind_name(x->kind),
                     x->name, PKI_CERT_FILE);
    if (n < (int)sizeof(v->file) && !file_read(v->file, &text, &ignored) &&
        !cert_read(&text, &info, &ignored) && !strcmp(info.serial, x->serial))
        v->info = info;
}

static int show_list(const struct pki *p, bool json, struct pki_error *e)
{
    struct index_table t = {0};
    json_t *list = json_array();
    int rv = pki_list(p, &t, e);

    if (!rv && !json)
        printf("%-20s %-7s %-13s %6s  %-20s  %s\n", "NAME", "KIND", "STATE", "DAYS", "UNTIL",
               "SERIAL");
    for (size_t i = 0; !rv && i < t.n; i++) {
        struct view v = {.entry = t.v[i]};

        if (!json) {
            print_row(&t.v[i], p->now_s);
            continue;
        }
        look_at_file(p, &v);
        json_array_append_new(list, json_view(&v, p->now_s));
    }
    if (!rv && json)
        print_json(list);
    else
        json_decref(list);
    index_done(&t);
    return rv;
}

static int show_name(const struct pki *p, const char *name, bool json, struct pki_error *e)
{
    struct index_table t = {0};
    json_t *list = json_array();
    unsigned n = 0;
    int rv = pki_list(p, &t, e);

    for (size_t i = t.n; !rv && i-- > 0;) { /* the newest first */
        struct view v = {.entry = t.v[i]};

        if (strcmp(v.entry.name, name) != 0)
            continue;
        look_at_file(p, &v);
        if (json)
            json_array_append_new(list, json_view(&v, p->now_s));
        else
            printf("%s", n ? "\n" : "");
        if (!json)
            print_view(&v, p->now_s);
        n++;
    }
    if (!rv && !n)
        rv = pki_error_set(e, -ENOENT, "%s: no such certificate, and no such file", name);
    if (!rv && json)
        print_json(list);
    else
        json_decref(list);
    index_done(&t);
    return rv;
}

/* A certificate anywhere; when it is one of this authority, with its state. */
static int show_file(const struct pki *p, const char *path, bool json, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0}, ca = {0};
    struct index_table t = {0};
    struct pki_error ignored;
    struct view v = {0};
    int rv = file_read(path, &text, e);

    if (!rv)
        rv = cert_read(&text, &v.info, e);
    if (rv)
        return rv;
    snprintf(v.file, sizeof(v.file), "%s", path);
    v.entry.kind = v.info.kind;
    v.entry.not_before = v.info.not_before;
    v.entry.not_after = v.info.not_after;
    memcpy(v.entry.name, v.info.name, sizeof(v.entry.name));
    memcpy(v.entry.serial, v.info.serial, sizeof(v.entry.serial));
    if (!pki_list(p, &t, &ignored) && !pki_read_ca(p, &ca, &ignored) &&
        !cert_check_chain(&text, &ca, NULL, PKI_KIND_OTHER, &ignored)) {
        const struct index_entry *x = index_find_serial(&t, v.info.serial);

        v.entry.revoked = x ? x->revoked : 0;
    }
    index_done(&t);
    if (json)
        print_json(json_view(&v, p->now_s));
    else
        print_view(&v, p->now_s);
    return 0;
}

static int run(int argc, char **argv)
{
    const char *dir = NULL, *what;
    struct pki_error e;
    bool json = false;
    struct pki p;
    int c, rv;

    while ((c = cli_getopt(&cli_pki_show, argc, argv)) != -1) {
        if (c == '?')
            return EXIT_CODE_USAGE;
        if (c == 'd')
            dir = optarg;
        json |= c == 'j';
    }
    if (argc - optind > 1)
        return cli_usage_error(&cli_pki_show, "one name or file at a time");
    what = argv[optind];
    rv = cli_pki_at(dir, &p, &e);
    if (!rv && !what)
        rv = show_list(&p, json, &e);
    else if (!rv && (strchr(what, '/') || !strcmp(what, "ca.crt") || strstr(what, ".pem")))
        rv = show_file(&p, what, json, &e);
    else if (!rv)
        rv = show_name(&p, what, json, &e);
    return rv ? cli_failed(&cli_pki_show, &e) : EXIT_CODE_OK;
}

static const struct cli_option options[] = {
    {'d', "dir", "DIR", "The authority's directory, as of pki init."},
    {'j', "json", NULL, "Write JSON."},
    {0},
};

const struct cli_verb cli_pki_show = {
    .name = "pki show",
    .summary = "list certificates, or show one",
    .args = "[NAME|FILE]",
    .text =
        "Without an argument lists what the authority has issued: name, kind, state, days left, "
        "end and serial number. With a NAME shows all certificates of that name, the newest "
        "first; with a FILE (a word with a slash or \".pem\" in it) the certificate in it.",
    .options = options,
    .run = run,
};
