/* Requests to the privileged helper: any bytes in any order. Whatever they are, the effects are
 * those that the configuration allows, and no descriptor is lost. */
#include <stdlib.h>

#include "../unit/helper_fakes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* Written out, independent of the policy under test. */
static const char *const hub_routes[] = {"172.16.1.0/30", "fd16:0:0:1::/64", "172.17.0.0/16", NULL};
static const char *const edge_routes[] = {"198.51.100.0/24", NULL};
static const char *const hub_addrs[] = {"10.200.1.2/30", "fd00:200:1::2/126", NULL};

static bool is_among(const char *const *list, const struct ip_prefix *p)
{
    for (; *list; list++) {
        struct ip_prefix want, have = *p;

        check(!ip_prefix_parse(*list, &want));
        if (ip_prefix_equal(&want, &have))
            return true;
    }
    return false;
}

static bool is_socket_allowed(bool hub, const struct fakes *f)
{
    char text[NET_ADDR_STR_MAX];

    net_addr_str(&f->bind, text);
    if (hub)
        return !strcmp(text, "192.0.2.1:45001") && !*f->device;
    return !net_addr_port(&f->bind) && !strcmp(f->device, "wan1");
}

static bool are_routes_allowed(bool hub, const struct fakes *f)
{
    bool ok = f->n_routes <= HELPER_ROUTES_MAX;

    for (unsigned i = 0; i < f->n_routes && ok; i++) {
        const struct netlink_route *r = &f->routes[i];
        struct ip_prefix network = ip_prefix_network(&r->dst);

        ok = r->index == FAKE_IFINDEX && r->dst.len <= ip_addr_bits(&r->dst.addr);
        if (f->call == FAKE_ROUTES_ADD)
            ok = ok && r->metric == HELPER_ROUTE_METRIC && r->table == (hub ? 0 : 100) &&
                 is_among(hub ? hub_routes : edge_routes, &network);
    }
    return ok;
}

static bool is_effect_allowed(bool hub, const struct fakes *f)
{
    switch (f->call) {
    case FAKE_TUN_OPEN:
        return !strcmp(f->text, "mpq1");
    case FAKE_LINK_UP:
        return f->ifindex == FAKE_IFINDEX;
    case FAKE_LINK_MTU:
        return f->ifindex == FAKE_IFINDEX && f->value >= 1280 && f->value <= 65535;
    case FAKE_ADDR_ADD:
        return f->ifindex == FAKE_IFINDEX && (hub ? is_among(hub_addrs, &f->prefix)
                                                  : f->prefix.len == ip_addr_bits(&f->prefix.addr));
    case FAKE_ADDR_DEL:
        return f->ifindex == FAKE_IFINDEX && f->prefix.len <= ip_addr_bits(&f->prefix.addr);
    case FAKE_RESET_SECRET:
        return !strcmp(f->text, "mpq1");
    case FAKE_LINK_NAME:
        return f->ifindex == FAKE_IFINDEX && !strcmp(f->text, "mpq1");
    case FAKE_ROUTES_ADD:
    case FAKE_ROUTES_DEL:
        return are_routes_allowed(hub, f);
    case FAKE_RULE_ADD:
        return !hub && f->rule.kind < NETLINK_RULE_OTHER &&
               f->rule.priority == HELPER_RULE_PRIORITY + (uint32_t)f->rule.kind &&
               f->rule.table == (f->rule.kind == NETLINK_RULE_TABLE ? 100 : 0);
    case FAKE_UDP_OPEN:
        return is_socket_allowed(hub, f);
    case FAKE_FILE_OPEN:
    case FAKE_FILE_STAT:
    case FAKE_CONFIG_READ:
        return !strncmp(f->text, "/c/", 3);
    case FAKE_NOTIFY_STATUS:
        return strlen(f->text) < HELPER_TEXT_MAX && !strchr(f->text, '\n');
    case FAKE_NOTIFY:
        return f->value < HELPER_NOTIFY_COUNT;
    default:
        return true;
    }
}

static struct tunnel_config configs[2]; /* of the edge, of the hub */

/* The file of the configuration, read already: reading it is what another target does. */
static int read_known(void *user, const char *path, struct tunnel_config **ret)
{
    struct fakes *f = user;
    const char *text = f->config_text;
    const struct tunnel_config *known = &configs[text == fake_server_text];
    int fd;

    f->config_text = NULL;
    fd = fake_config_read(user, path, ret);
    f->config_text = text;
    if (fd < 0 || !text)
        return fd;
    *ret = malloc(sizeof(**ret));
    check(*ret);
    **ret = *known;
    if (known->n_peers) {
        (*ret)->peers = calloc(known->n_peers, sizeof(*known->peers));
        check((*ret)->peers);
        memcpy((*ret)->peers, known->peers, known->n_peers * sizeof(*known->peers));
    }
    return fd;
}

static void one_request(struct server *s, struct fakes *f, bool hub, const uint8_t *data,
                        size_t len)
{
    struct server_reply reply;
    int held;

    f->call = FAKE_NONE;
    server_handle(s, data, len, &reply);
    check(is_effect_allowed(hub, f));
    check(reply.answer.error <= 0);
    check(reply.fd < 0 || !reply.answer.error);
    check(!reply.close_fd || reply.fd >= 0);
    if (reply.close_fd)
        f->open--;
    held = s->tun_fd >= 0;
    check(f->open == held);
    check(s->n_assigned <= SERVER_ASSIGNED_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server_effects effects;
    struct helper_opts opts = {.file = "/c/file.yaml", .name = "mpq1"};
    struct fakes fakes = {0};
    struct server server;
    bool hub;

    if (!effects.close) {
        struct config_report report = {0};

        log_set_level(LOG_LEVEL_ERROR);
        check(!config_parse(fake_client_text, strlen(fake_client_text), &configs[0], &report));
        check(!config_parse(fake_server_text, strlen(fake_server_text), &configs[1], &report));
        config_report_done(&report);
        effects = fake_effects;
        effects.config_read = read_known;
    }
    if (!size)
        return 0;
    hub = data[0] & 1;
    fakes.ours = data[0] & 2;
    fakes.holds = data[0] & 4;
    fakes.error = data[0] & 8 ? -EIO : 0;
    fakes.config_text = data[0] & 16 ? (hub ? fake_server_text : fake_client_text) : NULL;
    opts.config = &configs[hub];
    server_init(&server, &opts, &effects, &fakes);
    server.refused_limit.next_ns = UINT64_MAX; /* no lines */
    server.save_failed = true;
    data++;
    size--;
    while (size) {
        /* A record that begins with 0xff is one byte too short, one behind 0xfe has the size of a
         * text, one behind 0xfd that of many routes. */
        bool other = *data == 0xfe || *data == 0xfd;
        size_t len = *data == 0xfe   ? sizeof(struct helper_text_request)
                     : *data == 0xfd ? sizeof(struct helper_routes_request)
                                     : sizeof(struct helper_request) - (*data == 0xff);

        data += other;
        size -= other;
        if (len > size)
            len = size;
        one_request(&server, &fakes, hub, data, len);
        data += len;
        size -= len;
    }
    server_done(&server);
    check(!fakes.open);
    return 0;
}
