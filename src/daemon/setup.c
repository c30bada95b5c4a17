/* What an instance makes once: credentials and the TUN interface. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/instance.h"

enum { TOKEN_FILE_MAX = 64 * 1024, TUN_MTU_MIN = 1280, TUN_ADDRESSES_MAX = 64 };

/* --- tokens ---------------------------------------------------------------------------- */

static char *read_text_file(const char *file)
{
    char *text = calloc(1, TOKEN_FILE_MAX + 1);
    FILE *f = fopen(file, "re");

    if (f && text && fread(text, 1, TOKEN_FILE_MAX, f) == 0 && ferror(f)) {
        free(text);
        text = NULL;
    }
    if (!f || !text)
        log_error("%s: cannot read the token file: %m", file);
    if (f)
        fclose(f);
    else
        free(text);
    return f ? text : NULL;
}

static enum exit_code load_client_token(struct instance *inst)
{
    _cleanup_free_ char *text = read_text_file(inst->config->token_file);
    size_t n;

    if (!text)
        return EXIT_CODE_CONFIG;
    n = strcspn(text, " \t\r\n");
    if (!n || n >= sizeof(inst->token)) {
        log_error("%s: the first word must be a token of 1 to %zu characters",
                  inst->config->token_file, sizeof(inst->token) - 1);
        return EXIT_CODE_CONFIG;
    }
    memcpy(inst->token, text, n);
    explicit_bzero(text, TOKEN_FILE_MAX);
    return EXIT_CODE_OK;
}

/* Lines "NAME TOKEN"; empty ones and those that begin with # are skipped. */
static enum exit_code load_server_tokens(struct instance *inst)
{
    const char *file = inst->config->tokens_file;
    _cleanup_free_ char *text = read_text_file(file);
    char *save = NULL, *line;
    unsigned number = 0;

    inst->tokens = calloc(HUB_TOKENS_MAX, sizeof(*inst->tokens));
    if (!text || !inst->tokens)
        return EXIT_CODE_CONFIG;
    for (char *at = text; (line = strsep(&at, "\n"));) {
        struct hub_token *t = &inst->tokens[inst->n_tokens];
        char *name = strtok_r(line, " \t\r", &save), *token;

        number++;
        if (!name || *name == '#')
            continue;
        token = strtok_r(NULL, " \t\r", &save);
        if (!token || strlen(name) >= sizeof(t->name) || strlen(token) >= sizeof(t->token) ||
            inst->n_tokens == HUB_TOKENS_MAX) {
            log_error("%s:%u: not a line \"NAME TOKEN\", or more than %d of them", file, number,
                      HUB_TOKENS_MAX);
            return EXIT_CODE_CONFIG;
        }
        snprintf(t->name, sizeof(t->name), "%s", name);
        snprintf(t->token, sizeof(t->token), "%s", token);
        inst->n_tokens++;
    }
    explicit_bzero(text, TOKEN_FILE_MAX);
    if (!inst->n_tokens) {
        log_error("%s: no token in the file", file);
        return EXIT_CODE_CONFIG;
    }
    return EXIT_CODE_OK;
}

/* --- TLS ------------------------------------------------------------------------------- */

enum { PEM_FILE_MAX = 1024 * 1024 };

/* The PEM texts that a configuration names, in memory. */
struct tls_texts {
    char *cert, *key, *ca, *crl;
};

static void cleanup_texts(struct tls_texts *t)
{
    if (t->key)
        explicit_bzero(t->key, strlen(t->key));
    free(t->cert);
    free(t->key);
    free(t->ca);
    free(t->crl);
}

static int read_pem(FILE *f, char **ret)
{
    char *text = calloc(1, PEM_FILE_MAX + 1);
    size_t n = text ? fread(text, 1, PEM_FILE_MAX + 1, f) : 0;

    if (!text || n > PEM_FILE_MAX || ferror(f)) {
        free(text);
        return text ? -EFBIG : -ENOMEM;
    }
    text[n] = 0;
    *ret = text;
    return 0;
}

/* Load one file, unless none is named. */
static int load_pem(const char *file, const char *what, char **text, struct quic_tls_blob *blob,
                    char *err, size_t len)
{
    FILE *f;
    int rv;

    if (!*file)
        return 0;
    f = fopen(file, "re");
    rv = f ? read_pem(f, text) : -errno;
    if (f)
        fclose(f);
    if (rv)
        snprintf(err, len, "%s: cannot read %s: %s", file, what, strerror(-rv));
    else
        *blob = (struct quic_tls_blob){.name = file, .data = *text, .len = strlen(*text)};
    return rv;
}

static int load_texts(const struct tunnel_config *c, struct tls_texts *t, struct quic_tls_files *f,
                      char *err, size_t len)
{
    int rv = load_pem(c->tls_cert_file, "certificate", &t->cert, &f->cert, err, len);

    if (!rv)
        rv = load_pem(c->tls_key_file, "private key", &t->key, &f->key, err, len);
    if (!rv)
        rv = load_pem(c->tls_ca_file, "CA certificate", &t->ca, &f->ca, err, len);
    return rv;
}

static int load_credentials(const struct tunnel_config *c, const char *const *allowed,
                            struct quic_tls_creds **ret, char *err, size_t len)
{
    __attribute__((cleanup(cleanup_texts))) struct tls_texts texts = {0};
    struct quic_tls_files files = {
        .server = c->role == CONFIG_ROLE_SERVER,
        .insecure_skip_verify = c->tls_insecure_skip_verify,
        .require_client_cert = !*c->tokens_file,
        .allowed_names = allowed,
    };
    int rv = load_texts(c, &texts, &files, err, len);

    return rv ? rv : quic_tls_creds_load(&files, ret, err, len);
}

int daemon_check_credentials(const struct tunnel_config *config, char *err, size_t len)
{
    struct quic_tls_creds *creds;
    int rv = load_credentials(config, NULL, &creds, err, len);

    if (!rv)
        quic_tls_creds_unref(creds);
    return rv;
}

enum exit_code instance_load_credentials(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    bool server = c->role == CONFIG_ROLE_SERVER;
    enum exit_code code = EXIT_CODE_OK;
    char err[512];

    if (server && !*c->tls_ca_file && !*c->tokens_file) {
        log_error("no client authentication configured: set tls_ca_file or tokens_file");
        return EXIT_CODE_NO_CLIENT_AUTH;
    }
    for (unsigned i = 0; i < c->n_allowed_clients; i++)
        inst->allowed[i] = c->allowed_clients[i];
    if (load_credentials(c, c->n_allowed_clients ? inst->allowed : NULL, &inst->creds, err,
                         sizeof(err))) {
        log_error("tls: %s", err);
        return EXIT_CODE_CONFIG;
    }
    if (c->tls_insecure_skip_verify)
        log_error("tls: the server's certificate is NOT verified (tls_insecure_skip_verify)");
    if (!server && *c->token_file)
        code = load_client_token(inst);
    if (server && *c->tokens_file)
        code = load_server_tokens(inst);
    return code;
}

/* --- TUN ------------------------------------------------------------------------------- */

static enum exit_code tun_error(const char *name, int rv)
{
    const char *what = strerror(-rv);

    if (rv == -EBUSY)
        what = "another process has it open: is this instance running already?";
    else if (rv == -EEXIST)
        what = "the name belongs to an interface that is not a TUN: choose another tun_name";
    else if (rv == -EPERM)
        what = "not permitted: run as root or with CAP_NET_ADMIN";
    else if (rv == -ENOENT || rv == -ENXIO)
        what = "the kernel has no TUN driver: modprobe tun";
    log_error("tun %s: %s", name, what);
    return EXIT_CODE_START;
}

static bool is_configured(const struct tunnel_config *c, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (ip_prefix_equal(&c->tun_addr[i], p))
            return true;
    return false;
}

/* The interface outlives the process, and with it what an earlier configuration put on it. Only
 * addresses that we made ourselves are taken away. */
static void remove_stale_addresses(struct instance *inst)
{
    struct netlink_addr v[TUN_ADDRESSES_MAX];
    int n = netlink_addr_list(inst->netlink, tun_ifindex(inst->tun), v, TUN_ADDRESSES_MAX);
    char buf[IP_PREFIX_STR_MAX];

    for (int i = 0; i < MIN(n, TUN_ADDRESSES_MAX); i++) {
        if (!v[i].ours || is_configured(inst->config, &v[i].prefix))
            continue;
        if (!netlink_addr_del(inst->netlink, tun_ifindex(inst->tun), &v[i].prefix))
            log_info("tun %s: removed %s: no longer in tun_cidr", inst->config->tun_name,
                     ip_prefix_str(&v[i].prefix, buf));
    }
}

static int add_addresses(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    char buf[IP_PREFIX_STR_MAX];

    for (unsigned i = 0; i < c->n_tun_addr; i++) {
        int rv = netlink_addr_add(inst->netlink, tun_ifindex(inst->tun), &c->tun_addr[i], NULL);

        if (rv) {
            log_error("tun %s: cannot add %s: %s", c->tun_name, ip_prefix_str(&c->tun_addr[i], buf),
                      strerror(-rv));
            return rv;
        }
    }
    return 0;
}

enum exit_code instance_setup_tun(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    struct tun_opts opts = {.persist = true, .drops = &inst->drops};
    int rv = tun_open(c->tun_name, &opts, &inst->tun);

    if (rv)
        return tun_error(c->tun_name, rv);
    inst->tun_mtu = c->mtu ? c->mtu : TUN_MTU_MIN;
    rv = netlink_link_set_mtu(inst->netlink, tun_ifindex(inst->tun), inst->tun_mtu);
    if (!rv)
        rv = netlink_link_set_up(inst->netlink, tun_ifindex(inst->tun), true);
    if (rv) {
        log_error("tun %s: cannot set up: %s", c->tun_name, strerror(-rv));
        return EXIT_CODE_START;
    }
    remove_stale_addresses(inst);
    if (add_addresses(inst))
        return EXIT_CODE_START;
    log_info("tun %s: %s, mtu %u%s", c->tun_name, tun_was_created(inst->tun) ? "created" : "found",
             inst->tun_mtu, c->mtu ? "" : " until the path is known");
    return EXIT_CODE_OK;
}

static bool has_ipv6(const struct tunnel_config *c)
{
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        if (c->tun_addr[i].addr.family == 6)
            return true;
    return false;
}

/* Follow the path, unless the MTU is configured. IPv6 needs 1280 whatever the path carries. */
void instance_set_mtu(struct instance *inst, size_t packet_max)
{
    const struct tunnel_config *c = inst->config;
    uint32_t mtu = (uint32_t)packet_max;
    int rv;

    if (mtu < TUN_MTU_MIN) {
        log_error("path: carries packets of %u bytes only: IPv6 needs %d", mtu, TUN_MTU_MIN);
        if (has_ipv6(c))
            mtu = TUN_MTU_MIN;
    }
    if (c->mtu) {
        if (c->mtu > packet_max)
            log_info("tun %s: mtu %u is more than the path carries (%zu): larger packets are "
                     "fragmented or answered with packet-too-big",
                     c->tun_name, c->mtu, packet_max);
        return;
    }
    if (mtu == inst->tun_mtu)
        return;
    rv = netlink_link_set_mtu(inst->netlink, tun_ifindex(inst->tun), mtu);
    if (rv) {
        log_error("tun %s: cannot set mtu %u: %s", c->tun_name, mtu, strerror(-rv));
        return;
    }
    inst->tun_mtu = mtu;
    log_info("tun %s: mtu %u", c->tun_name, mtu);
}
