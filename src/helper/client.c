/* Requests of the data plane: each is one exchange with the helper. */
#include "helper/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/readfile.h"
#include "base/sock.h"
#include "base/util.h"
#include "helper/message.h"

/* --- one exchange ---------------------------------------------------------------------- */

static int send_request(struct helper *h, const void *q, size_t len)
{
    ssize_t n;

    do
        n = send(h->fd, q, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : -EPIPE;
}

/* Take the answer; *ret_fd may be NULL for what opens nothing. */
static int exchange_end(struct helper *h, struct helper_answer *ret, int *ret_fd)
{
    int fd = -1, r = sock_receive_fd(h->fd, ret, sizeof(*ret), &fd, 0) ? -EPIPE : 0;

    if (!r)
        r = ret->error;
    if (!r && ret_fd && fd < 0)
        r = -EMFILE; /* the answer came without it: no room in our table */
    if (fd >= 0 && (r || !ret_fd)) {
        close(fd);
        fd = -1;
    }
    if (!r && ret_fd)
        *ret_fd = fd;
    return r;
}

static int ask(struct helper *h, const struct helper_request *q, struct helper_answer *ret,
               int *ret_fd)
{
    int r = send_request(h, q, sizeof(*q));

    return r ? r : exchange_end(h, ret, ret_fd);
}

static int ask_plain(struct helper *h, const struct helper_request *q)
{
    struct helper_answer a;

    return ask(h, q, &a, NULL);
}

/* --- events ---------------------------------------------------------------------------- */

const char *helper_name(const struct helper *h)
{
    return h->name;
}

uint64_t helper_watchdog_ns(const struct helper *h)
{
    return h->watchdog_ns;
}

int helper_event_fd(const struct helper *h)
{
    return h->event_fd;
}

int helper_event(struct helper *h)
{
    uint8_t signo;
    ssize_t n;

    do
        n = read(h->event_fd, &signo, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        return signo;
    return n < 0 && errno == EAGAIN ? 0 : -EPIPE;
}

/* --- TUN ------------------------------------------------------------------------------- */

int helper_tun_open(struct helper *h, struct drop_counters *drops, struct tun **ret)
{
    struct helper_request q = {.op = HELPER_OP_TUN_OPEN};
    struct helper_answer a;
    int fd = -1, r = ask(h, &q, &a, &fd);

    if (r)
        return r;
    r = tun_adopt(fd, &a.tun, drops, ret);
    if (r)
        close(fd);
    return r;
}

int helper_tun_up(struct helper *h)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_TUN_UP});
}

int helper_tun_mtu(struct helper *h, uint32_t mtu)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_TUN_MTU, .which = mtu});
}

int helper_tun_name(struct helper *h)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_TUN_NAME});
}

int helper_addr_add(struct helper *h, const struct ip_prefix *p)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_ADDR_ADD, .prefix = *p});
}

int helper_addr_del(struct helper *h, const struct ip_prefix *p)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_ADDR_DEL, .prefix = *p});
}

int helper_routes(struct helper *h, bool add, const struct netlink_route *v, unsigned n,
                  struct helper_routes_result *ret)
{
    struct helper_routes_request q = {.op = HELPER_OP_ROUTES, .flag = add, .n = n};
    struct helper_answer a;
    int r;

    if (n > HELPER_ROUTES_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++)
        q.v[i] = (struct helper_route){.dst = v[i].dst, .table = v[i].table, .metric = v[i].metric};
    r = send_request(h, &q, sizeof(q));
    if (!r)
        r = exchange_end(h, &a, NULL);
    if (!r)
        *ret = a.routes;
    return r;
}

int helper_rule_add(struct helper *h, const struct ip_addr *src, enum netlink_rule_kind kind)
{
    return ask_plain(
        h, &(struct helper_request){.op = HELPER_OP_RULE_ADD, .which = kind, .rule.src = *src});
}

int helper_rule_del(struct helper *h, const struct ip_addr *src, uint32_t priority)
{
    return ask_plain(h,
                     &(struct helper_request){.op = HELPER_OP_RULE_DEL, .rule = {*src, priority}});
}

/* --- UDP ------------------------------------------------------------------------------- */

int helper_udp_open(struct helper *h, const struct udp_socket_opts *opts, struct udp_socket **ret)
{
    struct helper_request q = {.op = HELPER_OP_UDP_OPEN};
    size_t len = opts->device ? strlen(opts->device) : 0;
    struct helper_answer a;
    int fd = -1, r;

    if (len >= sizeof(q.udp.device))
        return -EINVAL;
    if (len)
        memcpy(q.udp.device, opts->device, len);
    q.udp.addr = net_addr_ip(&opts->bind);
    q.udp.port = net_addr_port(&opts->bind);
    r = ask(h, &q, &a, &fd);
    if (r)
        return r;
    r = udp_socket_adopt(fd, opts, ret);
    if (r)
        close(fd);
    return r;
}

/* --- files ----------------------------------------------------------------------------- */

/* Read all of fd and close it. */
static int slurp(int fd, char **ret, size_t *len)
{
    int r = readfile_text(fd, HELPER_FILE_MAX, ret, len);

    close(fd);
    return r;
}

int helper_file_open(struct helper *h, enum helper_file file, bool staged)
{
    struct helper_request q = {.op = HELPER_OP_FILE_OPEN, .which = file, .flag = staged};
    struct helper_answer a;
    int fd = -1, r = ask(h, &q, &a, &fd);

    return r ? r : fd;
}

int helper_file_read(struct helper *h, enum helper_file file, bool staged, char **ret, size_t *len)
{
    int fd = helper_file_open(h, file, staged);

    return fd < 0 ? fd : slurp(fd, ret, len);
}

int helper_file_stat(struct helper *h, enum helper_file file, bool staged, struct helper_stamp *ret)
{
    struct helper_request q = {.op = HELPER_OP_FILE_STAT, .which = file, .flag = staged};
    struct helper_answer a;
    int r = ask(h, &q, &a, NULL);

    if (!r)
        *ret = a.stamp;
    return r;
}

/* --- configuration --------------------------------------------------------------------- */

int helper_config_stage(struct helper *h, char **ret, size_t *len)
{
    struct helper_request q = {.op = HELPER_OP_CONFIG_STAGE};
    struct helper_answer a;
    int fd = -1, r = ask(h, &q, &a, &fd);

    return r ? r : slurp(fd, ret, len);
}

int helper_config_commit(struct helper *h, bool commit)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_CONFIG_COMMIT, .flag = commit});
}

/* --- the rest -------------------------------------------------------------------------- */

int helper_control_socket(struct helper *h)
{
    struct helper_request q = {.op = HELPER_OP_CONTROL_SOCKET};
    struct helper_answer a;
    int fd = -1, r = ask(h, &q, &a, &fd);

    return r ? r : fd;
}

int helper_control_look(struct helper *h)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_CONTROL_LOOK});
}

int helper_notify(struct helper *h, enum helper_notify what)
{
    return ask_plain(h, &(struct helper_request){.op = HELPER_OP_NOTIFY, .which = what});
}

int helper_tell(struct helper *h, enum helper_text what, const char *text)
{
    struct helper_text_request q = {.op = HELPER_OP_TEXT, .which = what};
    struct helper_answer a;
    int r;

    snprintf(q.text, sizeof(q.text), "%s", text);
    r = send_request(h, &q, sizeof(q));
    return r ? r : exchange_end(h, &a, NULL);
}

int helper_time_load(struct helper *h, int64_t *ret)
{
    struct helper_request q = {.op = HELPER_OP_TIME_LOAD};
    struct helper_answer a;
    int r = ask(h, &q, &a, NULL);

    if (!r)
        *ret = a.time_s;
    return r;
}

void helper_time_save(struct helper *h, int64_t now_s)
{
    ask_plain(h, &(struct helper_request){.op = HELPER_OP_TIME_SAVE, .time_s = now_s});
}

int helper_reset_secret(struct helper *h, uint8_t ret[static HELPER_SECRET_BYTES])
{
    struct helper_request q = {.op = HELPER_OP_RESET_SECRET};
    struct helper_answer a;
    int r = ask(h, &q, &a, NULL);

    if (!r)
        memcpy(ret, a.secret, sizeof(a.secret));
    explicit_bzero(a.secret, sizeof(a.secret));
    return r;
}
