#include "pki/store.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { LOCK_WAIT_MS = 10000, PUBLIC = 0644, SECRET = 0600 };

/* The whole authority in memory, to work on it. */
struct authority {
    int lock;
    struct cert_issuer issuer;
    struct cert_info info;
    struct index_table index;
    struct crl_table crl;
};

static void authority_done(struct authority *a)
{
    cleanup_close(&a->lock);
    cert_issuer_done(&a->issuer);
    index_done(&a->index);
    crl_done(&a->crl);
}
#define _cleanup_authority_ __attribute__((cleanup(authority_done)))

/* Put the file's name in front of what was said about its content. */
static int in_file(struct pki_error *e, int rv, const struct pki *p, const char *name)
{
    struct pki_error inner = *e;

    return pki_error_set(e, rv, "%.150s/%s: %.300s", p->dir, name, inner.text);
}

/* --- files of the authority ------------------------------------------------------------ */

static int read_file(const struct pki *p, const char *name, struct file_text *ret,
                     struct pki_error *e)
{
    char path[FILE_PATH_MAX];
    int rv = file_path(path, p->dir, name, e);

    return rv ? rv : file_read(path, ret, e);
}

static bool have_file(const struct pki *p, const char *name)
{
    struct pki_error ignored;
    char path[FILE_PATH_MAX];

    return !file_path(path, p->dir, name, &ignored) && file_exists(path);
}

static int read_index(const struct pki *p, struct index_table *ret, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    int rv;

    if (!have_file(p, "index.txt"))
        return 0;
    rv = read_file(p, "index.txt", &text, e);
    if (rv)
        return rv;
    rv = index_parse(text.data, text.len, ret, e);
    return rv ? in_file(e, rv, p, "index.txt") : 0;
}

static int write_index(const struct pki *p, const struct index_table *t, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    int rv = index_print(t, &text, e);

    return rv ? rv : file_write(p->dir, "index.txt", PUBLIC, &text, e);
}

static int read_crl(const struct pki *p, const struct file_text *ca, struct crl_table *ret,
                    struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    int rv;

    if (!have_file(p, "crl.pem"))
        return 0;
    rv = read_file(p, "crl.pem", &text, e);
    if (rv)
        return rv;
    rv = crl_check_issuer(&text, ca, e);
    if (!rv)
        rv = crl_read(&text, ret, e);
    return rv ? in_file(e, rv, p, "crl.pem") : 0;
}

static int crl_add(struct crl_table *t, const char *serial, int64_t revoked, struct pki_error *e)
{
    struct crl_entry *v;

    if (crl_find(t, serial))
        return 0;
    v = realloc(t->v, (t->n + 1) * sizeof(*v));
    if (!v)
        return pki_error_set(e, -ENOMEM, "out of memory");
    t->v = v;
    snprintf(v[t->n].serial, sizeof(v[t->n].serial), "%s", serial);
    v[t->n++].revoked = revoked;
    return 0;
}

/* Sign the list anew, with all that the former list and the index say is revoked. */
static int write_crl(const struct pki *p, struct authority *a, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    int rv = 0;

    for (size_t i = 0; !rv && i < a->index.n; i++)
        if (a->index.v[i].revoked)
            rv = crl_add(&a->crl, a->index.v[i].serial, a->index.v[i].revoked, e);
    if (rv)
        return rv;
    a->crl.number++;
    a->crl.this_update = p->now_s - PKI_BACKDATE_S;
    a->crl.next_update = MAX(a->info.not_after, p->now_s + PKI_DAY_S);
    rv = crl_make(&a->crl, &a->issuer, &text, e);
    return rv ? rv : file_write(p->dir, "crl.pem", PUBLIC, &text, e);
}

static int read_issuer(const struct pki *p, struct authority *a, struct pki_error *e)
{
    int rv = read_file(p, "ca.crt", &a->issuer.cert, e);

    if (!rv)
        rv = read_file(p, "ca.key", &a->issuer.key, e);
    if (rv)
        return rv;
    rv = cert_check_issuer(&a->issuer, e);
    if (!rv)
        rv = cert_read(&a->issuer.cert, &a->info, e);
    return rv ? in_file(e, rv, p, "ca.crt") : 0;
}

bool pki_exists(const struct pki *p)
{
    return have_file(p, "ca.crt") && have_file(p, "ca.key");
}

/* Everything, with the lock held. Start from {.lock = -1}. */
static int authority_open(const struct pki *p, struct authority *a, struct pki_error *e)
{
    char until[PKI_TIME_STR_MAX];
    int rv;

    if (!pki_exists(p))
        return pki_error_set(e, -ENOENT, "%s: no certificate authority there: run mpquic pki init",
                             p->dir);
    a->lock = file_lock_dir(p->dir, LOCK_WAIT_MS, e);
    rv = a->lock < 0 ? a->lock : read_issuer(p, a, e);
    if (!rv)
        rv = read_index(p, &a->index, e);
    if (!rv)
        rv = read_crl(p, &a->issuer.cert, &a->crl, e);
    if (!rv && p->now_s < a->info.not_before)
        return pki_error_set(e, -EINVAL,
                             "this machine's clock says %s, and the authority was made later: set "
                             "the clock (timedatectl set-ntp true)",
                             pki_time_str(p->now_s, until));
    if (!rv && a->info.not_after <= p->now_s)
        return pki_error_set(
            e, -EKEYEXPIRED,
            "%s/ca.crt: the authority ended at %s (or the clock is wrong): make another one in "
            "another directory, with mpquic pki init --dir DIR",
            p->dir, pki_time_str(a->info.not_after, until));
    return rv;
}

/* --- init ------------------------------------------------------------------------------ */

static int64_t end_of(const struct pki *p, unsigned days, unsigned normal)
{
    return p->now_s + (int64_t)(days ? days : normal) * PKI_DAY_S;
}

static int check_days(unsigned days, struct pki_error *e)
{
    return days > PKI_DAYS_MAX
               ? pki_error_set(e, -EINVAL, "%u days are too many: %d at most", days, PKI_DAYS_MAX)
               : 0;
}

/* A new authority, or a certificate for a key that is there. The key is written first: it alone can
 * be completed. */
static int make_authority(const struct pki *p, const struct pki_init_opts *opts,
                          struct cert_issuer *ret, struct pki_error *e)
{
    struct cert_request request = {.kind = PKI_KIND_CA,
                                   .name = opts->name ? opts->name : "mpquic CA",
                                   .not_before = p->now_s - PKI_BACKDATE_S,
                                   .not_after = end_of(p, opts->days, PKI_CA_DAYS)};
    bool have_key = have_file(p, "ca.key");
    int rv = have_key ? read_file(p, "ca.key", &ret->key, e)
                      : cert_key_make(opts->rsa_bits, &ret->key, e);

    if (!rv)
        rv = cert_make(&request, &ret->key, NULL, &ret->cert, e);
    if (!rv)
        rv = cert_check_issuer(ret, e);
    if (rv)
        return have_key ? in_file(e, rv, p, "ca.key") : rv;
    if (!have_key)
        rv = file_write(p->dir, "ca.key", SECRET, &ret->key, e);
    return rv ? rv : file_write(p->dir, "ca.crt", PUBLIC, &ret->cert, e);
}

static int index_authority(const struct pki *p, struct authority *a, struct pki_error *e)
{
    struct index_entry entry = {
        .kind = PKI_KIND_CA, .not_before = a->info.not_before, .not_after = a->info.not_after};
    int rv;

    snprintf(entry.serial, sizeof(entry.serial), "%s", a->info.serial);
    snprintf(entry.name, sizeof(entry.name), "%s", a->info.name);
    for (char *s = entry.name; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("._:-", *s))
            *s = '_';
    if (!pki_name_ok(entry.name))
        snprintf(entry.name, sizeof(entry.name), "-");
    rv = index_add(&a->index, &entry, e);
    return rv ? rv : write_index(p, &a->index, e);
}

static int init_locked(const struct pki *p, const struct pki_init_opts *opts, bool *ret_made,
                       bool *ret_new, struct authority *a, struct pki_error *e)
{
    bool new = !have_file(p, "ca.crt"), have_index = have_file(p, "index.txt");
    bool have_crl = have_file(p, "crl.pem");
    int rv;

    if (!new && !have_file(p, "ca.key"))
        return pki_error_set(e, -ENOENT,
                             "%s/ca.key: missing beside ca.crt: bring the key, or move ca.crt away",
                             p->dir);
    if (new &&have_crl)
        return pki_error_set(e, -EEXIST,
                             "%s/crl.pem: a revocation list without its authority: bring ca.crt "
                             "and ca.key, or move it away",
                             p->dir);
    rv = new ? make_authority(p, opts, &a->issuer, e) : 0;
    if (!rv)
        rv = read_issuer(p, a, e);
    if (!rv)
        rv = read_index(p, &a->index, e);
    if (!rv)
        rv = read_crl(p, &a->issuer.cert, &a->crl, e);
    if (!rv && !index_find_serial(&a->index, a->info.serial)) {
        have_index = false;
        rv = index_authority(p, a, e);
    }
    if (!rv && !have_crl)
        rv = write_crl(p, a, e);
    if (rv)
        return rv;
    *ret_new = new;
    *ret_made = new || !have_index || !have_crl;
    return 0;
}

int pki_init(const struct pki *p, const struct pki_init_opts *opts, bool *ret_made, bool *ret_new,
             struct pki_error *e)
{
    _cleanup_authority_ struct authority a = {.lock = -1};
    int rv = check_days(opts->days, e);

    if (!rv)
        rv = file_make_dir(p->dir, 0755, e);
    if (rv)
        return rv;
    a.lock = file_lock_dir(p->dir, LOCK_WAIT_MS, e);
    return a.lock < 0 ? a.lock : init_locked(p, opts, ret_made, ret_new, &a, e);
}

/* --- issue and renew ------------------------------------------------------------------- */

static const char *kind_dir(enum pki_kind kind)
{
    return kind == PKI_KIND_SERVER ? "server" : "client";
}

const struct index_entry *pki_newest(const struct index_table *t, const char *name,
                                     enum pki_kind kind)
{
    for (size_t i = t->n; i-- > 0;)
        if (t->v[i].kind != PKI_KIND_CA && !strcmp(t->v[i].name, name) &&
            (kind == PKI_KIND_COUNT || t->v[i].kind == kind))
            return &t->v[i];
    return NULL;
}

/* The directory of a name's files. */
static int path_of(const struct pki *p, enum pki_kind kind, const char *name, const char *file,
                   char ret[static FILE_PATH_MAX], struct pki_error *e)
{
    int n = snprintf(ret, FILE_PATH_MAX, "%s/%s/%s%s%s", p->dir, kind_dir(kind), name,
                     file ? "/" : "", file ? file : "");

    if (n >= FILE_PATH_MAX)
        return pki_error_set(e, -ENAMETOOLONG, "%s: the path is too long", name);
    return 0;
}

/* Certify the key, and put it all in place: the index first, so that whatever exists can be found
 * and revoked. */
static int certify(const struct pki *p, struct authority *a, struct cert_request *request,
                   const struct file_text *key, struct pki_error *e)
{
    _cleanup_text_ struct file_text cert = {0};
    struct file_item items[] = {{PKI_KEY_FILE, SECRET, key}, {PKI_CERT_FILE, PUBLIC, &cert}};
    struct index_entry entry = {.kind = request->kind};
    struct cert_info info;
    char dir[FILE_PATH_MAX];
    int rv;

    request->not_before = p->now_s - PKI_BACKDATE_S;
    request->not_after = MIN(request->not_after, a->info.not_after);
    rv = cert_make(request, key, &a->issuer, &cert, e);
    if (!rv)
        rv = cert_read(&cert, &info, e);
    if (!rv)
        rv = cert_check_chain(&cert, &a->issuer.cert, NULL, request->kind, e);
    if (!rv)
        rv = file_path(dir, p->dir, kind_dir(request->kind), e);
    if (!rv)
        rv = file_make_dir(dir, 0755, e);
    if (rv)
        return rv;
    snprintf(entry.serial, sizeof(entry.serial), "%s", info.serial);
    snprintf(entry.name, sizeof(entry.name), "%s", request->name);
    entry.not_before = info.not_before;
    entry.not_after = info.not_after;
    rv = index_add(&a->index, &entry, e);
    if (!rv)
        rv = write_index(p, &a->index, e);
    return rv ? rv : file_write_dir(dir, request->name, items, ARRAY_LEN(items), true, e);
}

static int check_name(const char *name, struct pki_error *e)
{
    return pki_name_ok(name) ? 0
                             : pki_error_set(e, -EINVAL,
                                             "'%.80s' cannot be a name: take 1 to %d letters, "
                                             "digits, '.', '_', ':' and '-'",
                                             name, PKI_NAME_MAX - 1);
}

/* Names must say who is meant, so one certificate of a name is in use at a time. */
static int check_free(const struct pki *p, const struct authority *a, const char *name,
                      struct pki_error *e)
{
    const struct index_entry *old = pki_newest(&a->index, name, PKI_KIND_COUNT);
    char path[FILE_PATH_MAX], until[PKI_TIME_STR_MAX];
    int rv;

    if (!old || old->revoked || crl_find(&a->crl, old->serial) || old->not_after <= p->now_s)
        return 0;
    rv = path_of(p, old->kind, name, PKI_CERT_FILE, path, e);
    if (rv)
        return rv;
    if (!file_exists(path)) /* it was recorded, and then never came to be */
        return 0;
    return pki_error_set(e, -EEXIST,
                         "%s: has a %s certificate until %s already: use mpquic pki renew %s%s, or "
                         "revoke it first",
                         name, pki_kind_name(old->kind), pki_time_str(old->not_after, until), name,
                         old->kind == PKI_KIND_SERVER ? " (with --san for one more name)" : "");
}

int pki_issue(const struct pki *p, const struct pki_issue_opts *opts, struct pki_error *e)
{
    _cleanup_authority_ struct authority a = {.lock = -1};
    _cleanup_text_ struct file_text key = {0};
    struct cert_request request = {.kind = opts->kind,
                                   .name = opts->name,
                                   .sans = opts->sans,
                                   .n_sans = opts->n_sans,
                                   .not_after = end_of(p, opts->days, PKI_CERT_DAYS)};
    int rv = check_name(opts->name, e);

    if (!rv)
        rv = check_days(opts->days, e);
    if (!rv && opts->n_sans > CERT_SANS_MAX - 1)
        rv = pki_error_set(e, -EINVAL, "more than %d names in one certificate", CERT_SANS_MAX);
    if (!rv)
        rv = authority_open(p, &a, e);
    if (!rv)
        rv = check_free(p, &a, opts->name, e);
    if (!rv)
        rv = cert_key_make(opts->rsa_bits, &key, e);
    return rv ? rv : certify(p, &a, &request, &key, e);
}

/* The alternative names of a certificate as a list; text is changed and owned by the caller. */
static unsigned split_sans(char *text, const char *ret[static CERT_SANS_MAX])
{
    char *save = NULL;
    unsigned n = 0;

    for (char *s = strtok_r(text, " ", &save); s && n < CERT_SANS_MAX;
         s = strtok_r(NULL, " ", &save))
        ret[n++] = strchr(s, ':') + 1;
    return n;
}

/* More names for a certificate that is renewed. */
static int add_sans(const struct pki_renew_opts *opts, enum pki_kind kind,
                    const char *sans[static CERT_SANS_MAX], unsigned *n, struct pki_error *e)
{
    if (opts->n_sans && kind != PKI_KIND_SERVER)
        return pki_error_set(e, -EINVAL, "%s: only a hub's certificate is for more names",
                             opts->name);
    for (unsigned i = 0; i < opts->n_sans; i++) {
        bool there = false;

        for (unsigned k = 0; k < *n; k++)
            there |= !strcmp(sans[k], opts->sans[i]);
        if (there)
            continue;
        if (*n == CERT_SANS_MAX)
            return pki_error_set(e, -EINVAL, "more than %d names in one certificate",
                                 CERT_SANS_MAX);
        sans[(*n)++] = opts->sans[i];
    }
    return 0;
}

/* The key that a renewed certificate is for. */
static int renewal_key(const struct pki *p, const struct pki_renew_opts *opts, enum pki_kind kind,
                       const struct file_text *cert, struct file_text *ret, struct pki_error *e)
{
    int rv;

    if (opts->new_key)
        return cert_key_make(opts->rsa_bits, ret, e);
    rv = pki_read(p, kind, opts->name, PKI_KEY_FILE, ret, e);
    if (rv == -ENOENT)
        return pki_error_set(e, rv, "%s: its key is not here: add --new-key", opts->name);
    return rv ? rv : cert_check_key(cert, ret, e);
}

int pki_renew(const struct pki *p, const struct pki_renew_opts *opts, enum pki_kind *ret_kind,
              struct pki_error *e)
{
    _cleanup_authority_ struct authority a = {.lock = -1};
    _cleanup_text_ struct file_text key = {0}, cert = {0};
    struct cert_request request = {.name = opts->name,
                                   .not_after = end_of(p, opts->days, PKI_CERT_DAYS)};
    const char *sans[CERT_SANS_MAX];
    const struct index_entry *old;
    struct cert_info info;
    int rv = check_name(opts->name, e);

    if (!rv)
        rv = check_days(opts->days, e);
    if (!rv)
        rv = authority_open(p, &a, e);
    if (rv)
        return rv;
    old = pki_newest(&a.index, opts->name, PKI_KIND_COUNT);
    if (!old)
        return pki_error_set(e, -ENOENT, "%s: no such certificate: mpquic pki show lists them",
                             opts->name);
    if ((old->revoked || crl_find(&a.crl, old->serial)) && !opts->new_key)
        return pki_error_set(e, -EKEYREVOKED,
                             "%s: was revoked, so its key may be in other hands: add --new-key",
                             opts->name);
    request.kind = old->kind;
    rv = pki_read(p, old->kind, opts->name, PKI_CERT_FILE, &cert, e);
    if (!rv)
        rv = cert_read(&cert, &info, e);
    if (!rv)
        rv = renewal_key(p, opts, request.kind, &cert, &key, e);
    if (rv)
        return rv;
    request.n_sans = split_sans(info.sans, sans);
    request.sans = sans;
    rv = add_sans(opts, request.kind, sans, &request.n_sans, e);
    if (rv)
        return rv;
    rv = certify(p, &a, &request, &key, e);
    if (!rv)
        *ret_kind = request.kind;
    return rv;
}

/* --- revoke ---------------------------------------------------------------------------- */

static bool is_meant(const struct pki *p, const struct index_entry *x, const char *name,
                     const char *serial)
{
    if (serial)
        return !strcmp(x->serial, serial);
    return x->kind != PKI_KIND_CA && !strcmp(x->name, name) && x->not_after > p->now_s;
}

/* Mark them in the index; a serial number that is not there gets a line. */
static int mark(const struct pki *p, struct authority *a, const char *name, const char *serial,
                unsigned *ret_n, struct pki_error *e)
{
    unsigned found = 0, n = 0;

    for (size_t i = 0; i < a->index.n; i++) {
        struct index_entry *x = &a->index.v[i];

        if (!is_meant(p, x, name, serial))
            continue;
        found++;
        if (x->revoked)
            continue;
        x->revoked = crl_find(&a->crl, x->serial);
        n += !x->revoked;
        if (!x->revoked)
            x->revoked = p->now_s;
    }
    if (!found && serial) {
        struct index_entry entry = {.kind = PKI_KIND_OTHER, .name = "-", .revoked = p->now_s};

        snprintf(entry.serial, sizeof(entry.serial), "%s", serial);
        n = !crl_find(&a->crl, serial);
        *ret_n = n;
        return n ? index_add(&a->index, &entry, e) : 0;
    }
    *ret_n = n;
    return found ? 0
                 : pki_error_set(e, -ENOENT,
                                 "%s: no certificate of that name that has not ended: mpquic pki "
                                 "show lists them",
                                 name);
}

int pki_revoke(const struct pki *p, const char *name, const char *serial, unsigned *ret_n,
               struct pki_error *e)
{
    _cleanup_authority_ struct authority a = {.lock = -1};
    char number[PKI_SERIAL_STR_MAX];
    unsigned n = 0;
    int rv = serial ? 0 : check_name(name, e);

    if (serial && pki_serial_parse(serial, number))
        return pki_error_set(e, -EINVAL, "'%.80s' is not a serial number", serial);
    if (!rv)
        rv = authority_open(p, &a, e);
    if (!rv && serial && !strcmp(number, a.info.serial))
        rv = pki_error_set(e, -EINVAL,
                           "that is the authority itself: give every edge and the hub "
                           "certificates of another one instead");
    if (!rv)
        rv = mark(p, &a, name, serial ? number : NULL, &n, e);
    if (!rv && n)
        rv = write_crl(p, &a, e);
    if (!rv && n)
        rv = write_index(p, &a.index, e);
    if (!rv)
        *ret_n = n;
    return rv;
}

/* --- looking --------------------------------------------------------------------------- */

int pki_list(const struct pki *p, struct index_table *ret, struct pki_error *e)
{
    _cleanup_text_ struct file_text ca = {0};
    struct index_table t = {0};
    struct crl_table crl = {0};
    int rv;

    if (!have_file(p, "ca.crt"))
        return pki_error_set(e, -ENOENT, "%s: no certificate authority there: run mpquic pki init",
                             p->dir);
    rv = pki_read_ca(p, &ca, e);
    if (!rv)
        rv = read_index(p, &t, e);
    if (!rv)
        rv = read_crl(p, &ca, &crl, e);
    for (size_t i = 0; !rv && i < crl.n; i++) {
        struct index_entry *x = index_find_serial(&t, crl.v[i].serial);
        struct index_entry other = {
            .kind = PKI_KIND_OTHER, .name = "-", .revoked = crl.v[i].revoked};

        snprintf(other.serial, sizeof(other.serial), "%s", crl.v[i].serial);
        if (x)
            x->revoked = crl.v[i].revoked;
        else
            rv = index_add(&t, &other, e);
    }
    crl_done(&crl);
    if (rv) {
        index_done(&t);
        return rv;
    }
    index_done(ret);
    *ret = t;
    return 0;
}

int pki_read(const struct pki *p, enum pki_kind kind, const char *name, const char *file,
             struct file_text *ret, struct pki_error *e)
{
    char path[FILE_PATH_MAX];
    int rv = path_of(p, kind, name, file, path, e);

    return rv ? rv : file_read(path, ret, e);
}

int pki_read_ca(const struct pki *p, struct file_text *ret, struct pki_error *e)
{
    return read_file(p, "ca.crt", ret, e);
}

int pki_write_hub(const struct pki *p, const struct pki_hub *hub, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    _cleanup_close_ int lock = file_lock_dir(p->dir, LOCK_WAIT_MS, e);
    char lines[sizeof(*hub) + 2];
    int rv = lock < 0 ? lock : 0;

    snprintf(lines, sizeof(lines), *hub->config ? "%s\n%s\n" : "%s\n", hub->address, hub->config);
    if (!rv)
        rv = file_text_set(&text, lines, strlen(lines), e);
    return rv ? rv : file_write(p->dir, "hub.txt", PUBLIC, &text, e);
}

/* The next line of a text, without what ends it. Returns false when it does not fit. */
static bool take_line(const char **at, char *ret, size_t size)
{
    size_t n = strcspn(*at, "\r\n");

    if (n >= size)
        return false;
    memcpy(ret, *at, n);
    ret[n] = 0;
    *at += n + strspn(*at + n, "\r\n");
    return true;
}

int pki_read_hub(const struct pki *p, struct pki_hub *ret, struct pki_error *e)
{
    _cleanup_text_ struct file_text text = {0};
    struct pki_hub hub;
    const char *at;
    int rv;

    if (!have_file(p, "hub.txt"))
        return pki_error_set(e, -ENOENT, "%s/hub.txt: not there", p->dir);
    rv = read_file(p, "hub.txt", &text, e);
    if (rv)
        return rv;
    at = text.data;
    if (!take_line(&at, hub.address, sizeof(hub.address)) || !*hub.address ||
        hub.address[strcspn(hub.address, " \t")])
        return pki_error_set(e, -EINVAL, "%s/hub.txt: not ADDRESS:PORT", p->dir);
    if (!take_line(&at, hub.config, sizeof(hub.config)) || (*hub.config && *hub.config != '/'))
        return pki_error_set(e, -EINVAL, "%s/hub.txt: not the path of a configuration", p->dir);
    *ret = hub;
    return 0;
}
