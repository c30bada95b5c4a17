/* Configurations as text, for the tests of src/config. */
#ifndef TESTS_CONFIG_TEXT_H
#define TESTS_CONFIG_TEXT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

static const char *const client_lines[] = {
    "role: client",
    "bind_ip: if:enp7s3",
    "remote_addr: 203.0.113.10",
    "remote_port: 45001",
    "tun_name: mpq1",
    "tun_cidr: 10.200.1.1/30",
    "tls_cert_file: /etc/mpquic/tls/edge.crt",
    "tls_key_file: /etc/mpquic/tls/edge.key",
    "tls_ca_file: /etc/mpquic/tls/ca.crt",
    NULL,
};

static const char *const server_lines[] = {
    "role: server",
    "remote_port: 45001",
    "tun_name: mpq1",
    "tun_cidr: 10.200.1.2/30",
    "tls_cert_file: /etc/mpquic/tls/server.crt",
    "tls_key_file: /etc/mpquic/tls/server.key",
    "tls_ca_file: /etc/mpquic/tls/ca.crt",
    NULL,
};

/* Is the key of line among the space-separated keys? */
static inline bool text_names_key(const char *keys, const char *line)
{
    size_t n = strcspn(line, ":");

    for (const char *k = keys; *k; k += strspn(k, " ")) {
        size_t m = strcspn(k, " ");

        if (m == n && !strncmp(k, line, n))
            return true;
        k += m;
    }
    return false;
}

/* first, then the lines of a valid file but for those of the keys in without; paths that first
 * lists are said to be of no use unless it says so. To be freed. */
static inline char *text_make(const char *const *lines, const char *first, const char *without)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    fputs(first, f);
    for (; *lines; lines++)
        if (!text_names_key(without, *lines))
            fprintf(f, "%s\n", *lines);
    if (strstr(first, "multipath_paths:") && !strstr(first, "multipath_enabled:") &&
        !text_names_key(without, "multipath_enabled"))
        fputs("multipath_enabled: false\n", f);
    fclose(f);
    return text;
}

/* The report on a text, as `mpquic check f` prints it. To be freed. */
static inline char *text_report(const char *text, size_t len, struct tunnel_config *ret, int *err)
{
    struct config_report report = {0};
    char *out = NULL;
    size_t out_len;
    FILE *f = open_memstream(&out, &out_len);

    *err = config_parse(text, len, ret, &report);
    config_report_write(&report, "f", f);
    fclose(f);
    config_report_done(&report);
    return out;
}

#endif
