#include "daemon/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/readfile.h"
#include "base/util.h"

/* Where the texts come from, and where a complaint goes. */
struct source {
    struct helper *helper; /* NULL: read the files directly */
    bool staged;
    char *err;
    size_t err_len;
};

/* --- files ----------------------------------------------------------------------------- */

static int read_directly(const char *path, char **ret, size_t *len)
{
    _cleanup_close_ int fd = readfile_open(path);

    return fd < 0 ? fd : readfile_text(fd, HELPER_FILE_MAX, ret, len);
}

/* The text of a file into *ret, to be freed. */
static int load_text(const struct source *s, enum helper_file file, const char *path,
                     const char *what, char **ret, size_t *len)
{
    int r = s->helper ? helper_file_read(s->helper, file, s->staged, ret, len)
                      : read_directly(path, ret, len);

    if (!r && !*ret)
        r = -EIO; /* neither does that */
    if (r)
        snprintf(s->err, s->err_len, "%s: cannot read the %s: %s", path, what, strerror(-r));
    return r;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

/* --- tokens ---------------------------------------------------------------------------- */

static int parse_client_token(const char *text, const char *path, const struct source *s,
                              char token[static CREDENTIALS_TOKEN_MAX])
{
    size_t n = strcspn(text, " \t\r\n");

    if (!n || n >= CREDENTIALS_TOKEN_MAX) {
        snprintf(s->err, s->err_len, "%s: the first word must be a token of 1 to %d characters",
                 path, CREDENTIALS_TOKEN_MAX - 1);
        return -EINVAL;
    }
    memcpy(token, text, n);
    return 0;
}

static int load_client_token(const struct tunnel_config *c, const struct source *s,
                             struct credentials *cred)
{
    char *text = NULL;
    size_t len;
    int r = load_text(s, HELPER_FILE_TOKEN, c->token_file, "token file", &text, &len);

    if (!r)
        r = parse_client_token(text, c->token_file, s, cred->token);
    wipe(text);
    return r;
}

_Static_assert((int)HUB_TOKENS_MAX == (int)CONFIG_TOKENS_MAX, "what is checked is what is taken");

/* A line "NAME TOKEN" into t; 1 when it is empty or a comment. */
static int parse_token_line(char *line, struct hub_token *t)
{
    char *save = NULL, *name = strtok_r(line, " \t\r", &save), *token;

    if (!name || *name == '#')
        return 1;
    token = strtok_r(NULL, " \t\r", &save);
    if (!token || strlen(name) >= sizeof(t->name) || strlen(token) >= sizeof(t->token))
        return -EINVAL;
    snprintf(t->name, sizeof(t->name), "%s", name);
    snprintf(t->token, sizeof(t->token), "%s", token);
    return 0;
}

static int parse_server_tokens(char *text, const char *path, const struct source *s,
                               struct credentials *cred)
{
    unsigned number = 0;
    char *line;

    for (char *at = text; (line = strsep(&at, "\n"));) {
        struct hub_token t = {0};
        int r = parse_token_line(line, &t);

        number++;
        if (r < 0) {
            snprintf(s->err, s->err_len, "%s:%u: not a line \"NAME TOKEN\"", path, number);
            return -EINVAL;
        }
        if (!r && cred->n_tokens == cred->max_tokens) {
            snprintf(s->err, s->err_len, "%s:%u: more than %d tokens", path, number,
                     HUB_TOKENS_MAX);
            return -EINVAL;
        }
        if (!r)
            cred->tokens[cred->n_tokens++] = t;
    }
    if (cred->n_tokens)
        return 0;
    snprintf(s->err, s->err_len, "%s: no token in the file", path);
    return -EINVAL;
}

/* How many tokens may stand in a text. */
static unsigned room_for_tokens(const char *text)
{
    unsigned n = 1;

    for (; *text && n < HUB_TOKENS_MAX; text++)
        n += *text == '\n';
    return n;
}

static int load_server_tokens(const struct tunnel_config *c, const struct source *s,
                              struct credentials *cred)
{
    char *text = NULL;
    size_t len = 0;
    int r = load_text(s, HELPER_FILE_TOKENS, c->tokens_file, "token file", &text, &len);

    if (r)
        return r;
    cred->max_tokens = room_for_tokens(text);
    cred->tokens = calloc(cred->max_tokens, sizeof(*cred->tokens));
    r = cred->tokens ? parse_server_tokens(text, c->tokens_file, s, cred) : -ENOMEM;
    explicit_bzero(text, len);
    free(text);
    return r;
}

/* --- TLS ------------------------------------------------------------------------------- */

struct texts {
    char *cert, *key, *ca, *crl;
};

/* One PEM file, unless none is named. */
static int load_pem(const struct source *s, enum helper_file file, const char *path,
                    const char *what, char **text, struct quic_tls_blob *blob)
{
    size_t len = 0;
    int r = *path ? load_text(s, file, path, what, text, &len) : 0;

    if (*path && !r)
        *blob = (struct quic_tls_blob){.name = path, .data = *text, .len = len};
    return r;
}

static int load_texts(const struct tunnel_config *c, const struct source *s, struct texts *t,
                      struct quic_tls_files *f)
{
    int r = load_pem(s, HELPER_FILE_CERT, c->tls_cert_file, "certificate", &t->cert, &f->cert);

    if (!r)
        r = load_pem(s, HELPER_FILE_KEY, c->tls_key_file, "private key", &t->key, &f->key);
    if (!r)
        r = load_pem(s, HELPER_FILE_CA, c->tls_ca_file, "CA certificate", &t->ca, &f->ca);
    if (!r)
        r = load_pem(s, HELPER_FILE_CRL, c->tls_crl_file, "revocation list", &t->crl, &f->crl);
    return r;
}

static int load_tls(const struct tunnel_config *c, const struct source *s, struct credentials *cred)
{
    const char *allowed[CONFIG_CLIENTS_MAX + 1] = {0};
    struct texts t = {0};
    struct quic_tls_files files = {
        .server = c->role == CONFIG_ROLE_SERVER,
        .insecure_skip_verify = c->tls_insecure_skip_verify,
        .require_client_cert = !*c->tokens_file,
    };
    int r = load_texts(c, s, &t, &files);

    for (unsigned i = 0; i < c->n_allowed_clients; i++)
        allowed[i] = c->allowed_clients[i];
    if (c->n_allowed_clients)
        files.allowed_names = allowed;
    if (!r)
        r = quic_tls_creds_load(&files, &cred->tls, s->err, s->err_len);
    free(t.cert);
    wipe(t.key);
    free(t.ca);
    free(t.crl);
    return r;
}

/* --- all ------------------------------------------------------------------------------- */

int credentials_load(const struct tunnel_config *c, struct helper *h, bool staged,
                     struct credentials *ret, char *err, size_t len)
{
    struct source s = {.helper = h, .staged = staged, .err = err, .err_len = len};
    struct credentials cred = {0};
    bool server = c->role == CONFIG_ROLE_SERVER;
    int r;

    snprintf(err, len, "out of memory");
    r = load_tls(c, &s, &cred);
    if (!r && !server && *c->token_file)
        r = load_client_token(c, &s, &cred);
    if (!r && server && *c->tokens_file)
        r = load_server_tokens(c, &s, &cred);
    if (r) {
        credentials_done(&cred);
        return r;
    }
    *ret = cred;
    return 0;
}

void credentials_done(struct credentials *cred)
{
    quic_tls_creds_unref(cred->tls);
    if (cred->tokens)
        explicit_bzero(cred->tokens, cred->max_tokens * sizeof(*cred->tokens));
    free(cred->tokens);
    explicit_bzero(cred, sizeof(*cred));
}
