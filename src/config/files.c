#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/readfile.h"
#include "base/util.h"
#include "config/report.h"
#include "config/schema.h"
#include "config/tokens.h"

/* The files that a configuration names. Whether a certificate is valid is for TLS to say; here
 * the everyday mistakes are caught: a missing file, one that cannot be read, the key where the
 * certificate belongs, a secret that everybody can read. */

/* As much as is read of a file when an instance starts. */
enum { READ_BYTES_MAX = 1024 * 1024 };

/* As much as a message holds of a path: its end. */
enum { PATH_TOLD_MAX = 60 };

static const struct {
    const char *marker; /* text that a file of this kind holds, or NULL */
    const char *what;
    enum config_key_id key;
    bool secret;
} files[] = {
    {"-----BEGIN CERTIFICATE-----", "certificate", CONFIG_KEY_TLS_CERT_FILE, false},
    {"PRIVATE KEY-----", "private key", CONFIG_KEY_TLS_KEY_FILE, true},
    {"-----BEGIN CERTIFICATE-----", "certificate", CONFIG_KEY_TLS_CA_FILE, false},
    {"-----BEGIN X509 CRL-----", "revocation list", CONFIG_KEY_TLS_CRL_FILE, false},
    {NULL, "token", CONFIG_KEY_TOKEN_FILE, true},
    {NULL, "token", CONFIG_KEY_TOKENS_FILE, true},
};

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", s[i]) || !s[i])
            return false;
    return true;
}

static void check_tokens(char *text, size_t len, size_t i, struct config_where at,
                         struct config_report *report)
{
    const char *name = config_schema.keys[files[i].key].name;

    if (strlen(text) != len)
        report_add(report, true, at, NULL, "%s: the file has NUL characters", name);
    else if (files[i].key == CONFIG_KEY_TOKEN_FILE)
        tokens_check_client(text, at, report);
    else if (tokens_check_server(text, at, report))
        report_add(report, true, at, NULL, "%s: cannot check the file: out of memory", name);
}

static void check_content(int fd, size_t i, const char *name, struct config_where at,
                          struct config_report *report)
{
    const char *marker = files[i].marker;
    char *text = NULL;
    size_t len = 0;
    int rv = readfile_text(fd, READ_BYTES_MAX, &text, &len);

    if (rv == -EFBIG)
        report_add(report, true, at, NULL, "%s: the file is larger than 1 MiB", name);
    else if (rv)
        report_add(report, true, at, NULL, "%s: cannot read the file: %s", name, strerror(-rv));
    else if (is_blank(text, len))
        report_add(report, true, at, NULL, "%s: the file is empty", name);
    else if (marker && !memmem(text, len, marker, strlen(marker)))
        report_add(report, true, at, "the file must be PEM: text between BEGIN and END lines",
                   "%s: the file holds no %s", name, files[i].what);
    else if (!marker)
        check_tokens(text, len, i, at, report);
    if (text)
        explicit_bzero(text, len); /* keys and tokens */
    free(text);
}

static void report_unreadable(const char *name, const char *path, int err, struct config_where at,
                              struct config_report *report)
{
    size_t len = strlen(path), cut = len < PATH_TOLD_MAX ? 0 : len - PATH_TOLD_MAX;
    char quoted[REPORT_QUOTE_MAX];

    report_add(report, true, at, NULL, "%s: cannot read %s%s: %s", name, cut ? "..." : "",
               report_quote(path + cut, len - cut, quoted),
               err == -EINVAL ? "not a regular file" : strerror(-err));
}

static void check_file(size_t i, int fd, const char *path, struct config_where at,
                       struct config_report *report)
{
    const char *name = config_schema.keys[files[i].key].name;
    struct stat st;
    char hint[64];

    if (fd < 0 || fstat(fd, &st)) {
        report_unreadable(name, path, fd < 0 ? fd : -errno, at, report);
        return;
    }
    if (files[i].secret && st.st_mode & 077) {
        snprintf(hint, sizeof(hint), "run chmod 0%o on it", st.st_mode & 0700);
        report_add(report, false, at, hint, "%s: others than its owner can use the file (mode 0%o)",
                   name, st.st_mode & 07777);
    }
    check_content(fd, i, name, at, report);
}

static int open_directly(void *user, unsigned key, const char *path)
{
    return readfile_open(path);
}

int config_check_files(const struct tunnel_config *c, struct config_report *report)
{
    return config_check_files_by(c, report, open_directly, NULL);
}

int config_check_files_by(const struct tunnel_config *c, struct config_report *report,
                          config_open_fn *open_file, void *user)
{
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        const char *path = (const char *)c + config_schema.keys[files[i].key].offset;

        if (*path) {
            _cleanup_close_ int fd = open_file(user, files[i].key, path);

            check_file(i, fd, path, report->where[files[i].key], report);
        }
    }
    return report->n_errors ? -EINVAL : 0;
}
