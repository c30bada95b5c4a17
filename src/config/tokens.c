#include "config/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/report.h"

/* TOKEN_BYTES is what a request can carry; a token of 16 characters that chance has chosen has
 * some 95 bits, one that a person has chosen far fewer. */
enum { TOKEN_SHORT = 16, TOKEN_BYTES = 255 };

#define BLANK " \t\r"
#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"

static const char make_one[] = "make one with: openssl rand -base64 24";

struct line {
    const char *name, *token;
    unsigned number;
};

/* A bearer token is made of these characters, with "=" at its end only (RFC 6750, 2.1). */
static bool can_be_sent(const char *token)
{
    size_t n = strspn(token, TOKEN_CHARS);

    return n && !token[n + strspn(token + n, "=")];
}

/* Problems of a single token. where stands in front of each: "tokens_file: line 3". Returns false
 * when it cannot be used. */
static bool check_token(const char *token, const char *where, struct config_where at,
                        struct config_report *report)
{
    size_t len = strlen(token);

    if (len > TOKEN_BYTES) {
        report_add(report, true, at, make_one, "%s: the token has more than %d characters", where,
                   TOKEN_BYTES);
        return false;
    }
    if (!can_be_sent(token)) {
        report_add(
            report, true, at, make_one,
            "%s: the token has characters other than letters, digits and - . _ ~ + / =", where);
        return false;
    }
    if (len < TOKEN_SHORT)
        report_add(report, false, at, make_one,
                   "%s: the token has only %zu character%s and can be guessed", where, len,
                   len == 1 ? "" : "s");
    return true;
}

/* Take one line apart. Returns false when there is nothing in it, or nothing to be used. */
static bool read_line(char *text, struct line *l, struct config_where at,
                      struct config_report *report)
{
    char where[32], *save = NULL, *name = strtok_r(text, BLANK, &save);

    if (!name || *name == '#')
        return false;
    snprintf(where, sizeof(where), "tokens_file: line %u", l->number);
    l->name = name;
    l->token = strtok_r(NULL, BLANK, &save);
    if (!l->token) {
        report_add(report, true, at, "write NAME TOKEN", "%s: a token is missing behind the name",
                   where);
        return false;
    }
    if (strlen(name) >= CONFIG_NAME_MAX) {
        report_add(report, true, at, NULL, "%s: the name has more than %d characters", where,
                   CONFIG_NAME_MAX - 1);
        return false;
    }
    if (strtok_r(NULL, BLANK, &save))
        report_add(report, false, at, "remove it", "%s: what stands behind the token is not used",
                   where);
    return check_token(l->token, where, at, report);
}

static int token_cmp(const void *pa, const void *pb)
{
    const struct line *a = pa, *b = pb;
    int d = strcmp(a->token, b->token);

    return d ? d : a->number < b->number ? -1 : a->number > b->number;
}

static int name_cmp(const void *pa, const void *pb)
{
    const struct line *a = pa, *b = pb;
    int d = strcmp(a->name, b->name);

    return d ? d : a->number < b->number ? -1 : a->number > b->number;
}

static void check_twice(struct line *v, size_t n, struct config_where at,
                        struct config_report *report)
{
    char quote[REPORT_QUOTE_MAX];

    qsort(v, n, sizeof(*v), token_cmp);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(v[i].token, v[i - 1].token))
            report_add(report, true, at, "give each name a token of its own",
                       "tokens_file: line %u: this token stands in line %u already", v[i].number,
                       v[i - 1].number);
    qsort(v, n, sizeof(*v), name_cmp);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(v[i].name, v[i - 1].name) && strcmp(v[i].token, v[i - 1].token) != 0)
            report_add(report, false, at,
                       "both are accepted; remove the old one when it is not used any more",
                       "tokens_file: line %u: '%s' has another token in line %u", v[i].number,
                       report_quote(v[i].name, strlen(v[i].name), quote), v[i - 1].number);
}

int tokens_check_server(char *text, struct config_where at, struct config_report *report)
{
    size_t n = 0, max = 1, errors = report->n_errors;
    unsigned number = 0;
    struct line *v;
    char *line;

    for (const char *s = text; *s; s++)
        max += *s == '\n';
    v = calloc(max, sizeof(*v));
    if (!v)
        return -ENOMEM;
    while ((line = strsep(&text, "\n"))) {
        v[n].number = ++number;
        n += read_line(line, &v[n], at, report);
    }
    if (!n && report->n_errors == errors)
        report_add(report, true, at, "write one line NAME TOKEN for each client",
                   "tokens_file: the file holds no token");
    if (n > CONFIG_TOKENS_MAX)
        report_add(report, true, at, "run another server for the rest",
                   "tokens_file: more than %d tokens", CONFIG_TOKENS_MAX);
    check_twice(v, n, at, report);
    free(v);
    return 0;
}

void tokens_check_client(const char *text, struct config_where at, struct config_report *report)
{
    size_t n = strcspn(text, BLANK "\n");
    char *token = strndup(text, n);

    if (!token)
        return;
    if (!n)
        report_add(report, true, at, "the token is the first word of the first line",
                   "token_file: the file does not begin with a token");
    else if (check_token(token, "token_file", at, report) && text[n + strspn(text + n, BLANK "\n")])
        report_add(report, false, at, "write the token alone",
                   "token_file: the first word is taken for the token, but there is more in the "
                   "file");
    explicit_bzero(token, n);
    free(token);
}
