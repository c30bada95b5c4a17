#include "helper/effects.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/clock.h"
#include "base/readfile.h"
#include "base/util.h"
#include "helper/last.h"

/* How long to wait for what a process that was killed a moment ago still holds. */
enum { BUSY_TRIES = 100, BUSY_PAUSE_MS = 10 };

static void busy_pause(void)
{
    struct timespec ts = {.tv_nsec = (long)(BUSY_PAUSE_MS * NS_PER_MS)};

    nanosleep(&ts, NULL);
}

/* --- TUN ------------------------------------------------------------------------------- */

static int fx_tun_open(void *user, const char *name, struct tun_info *ret)
{
    const struct effects *e = user;
    /* "nobody" is not one user but everybody who has no better one: it owns nothing. */
    struct tun_opts opts = {.persist = true,
                            .offload = true,
                            .set_owner = e->user->changes && e->user->is_service,
                            .owner = e->user->uid,
                            .group = e->user->gid};
    int fd = tun_fd_open(name, &opts, ret);

    for (int i = 0; i < BUSY_TRIES && fd == -EBUSY; i++) {
        busy_pause();
        fd = tun_fd_open(name, &opts, ret);
    }
    return fd;
}

static bool fx_tun_is_alive(void *user, int fd)
{
    return tun_fd_is_alive(fd);
}

static int fx_link_up(void *user, int ifindex)
{
    return netlink_link_set_up(((struct effects *)user)->netlink, ifindex, true);
}

static int fx_link_mtu(void *user, int ifindex, uint32_t mtu)
{
    return netlink_link_set_mtu(((struct effects *)user)->netlink, ifindex, mtu);
}

static int fx_link_name(void *user, int ifindex, const char *name)
{
    struct netlink *nl = ((struct effects *)user)->netlink;
    int r = netlink_link_set_name(nl, ifindex, name);

    if (r != -EBUSY || netlink_link_set_up(nl, ifindex, false))
        return r;
    r = netlink_link_set_name(nl, ifindex, name);
    netlink_link_set_up(nl, ifindex, true); /* one that is missed is seen by the caller */
    return r;
}

/* --- addresses and routes -------------------------------------------------------------- */

static int fx_addr_add(void *user, int ifindex, const struct ip_prefix *p)
{
    return netlink_addr_add(((struct effects *)user)->netlink, ifindex, p, NULL);
}

static int fx_addr_del(void *user, int ifindex, const struct ip_prefix *p)
{
    return netlink_addr_del(((struct effects *)user)->netlink, ifindex, p);
}

static int fx_addr_all(void *user, int ifindex, struct netlink_addr **ret)
{
    return netlink_addr_all(((struct effects *)user)->netlink, ifindex, ret);
}

static int fx_addr_is_ours(void *user, int ifindex, const struct ip_prefix *p)
{
    _cleanup_free_ struct netlink_addr *v = NULL;
    int n = netlink_addr_all(((struct effects *)user)->netlink, ifindex, &v);

    for (int i = 0; i < n; i++)
        if (v[i].ours && ip_prefix_equal(&v[i].prefix, p))
            return 1;
    return MIN(n, 0);
}

static int fx_routes(void *user, bool add, const struct netlink_route *v, unsigned n, int *ret_err)
{
    return netlink_route_batch(((struct effects *)user)->netlink, add, v, n, ret_err);
}

static int fx_rule_add(void *user, const struct netlink_rule *r)
{
    return netlink_rule_add(((struct effects *)user)->netlink, r);
}

static int fx_rule_del(void *user, const struct ip_addr *src, uint32_t priority)
{
    return netlink_rule_del(((struct effects *)user)->netlink, src, priority);
}

/* --- UDP ------------------------------------------------------------------------------- */

static int fx_device_holds(void *user, const char *device, const struct ip_addr *a)
{
    struct netlink *nl = ((struct effects *)user)->netlink;
    _cleanup_free_ struct netlink_addr *v = NULL;
    struct netlink_link link;
    int n = netlink_link_by_name(nl, device, &link);

    if (!n)
        n = netlink_addr_all(nl, link.index, &v);
    for (int i = 0; i < n; i++)
        if (ip_addr_equal(&v[i].prefix.addr, a))
            return 1;
    return MIN(n, 0);
}

static int fx_udp_open(void *user, const struct udp_socket_opts *opts)
{
    int fd = udp_fd_open(opts);

    if (!net_addr_port(&opts->bind))
        return fd;
    for (int i = 0; i < BUSY_TRIES && fd == -EADDRINUSE; i++) {
        busy_pause();
        fd = udp_fd_open(opts);
    }
    return fd;
}

/* --- control socket -------------------------------------------------------------------- */

static bool somebody_listens(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? 0 : connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
    bool yes = fd >= 0 && (!r || errno == EAGAIN);

    if (fd >= 0)
        close(fd);
    return yes;
}

/* Make room for the socket: a directory, and no socket file of a dead instance. */
static int clear_place(const struct sockaddr_un *addr)
{
    char dir[PLACE_PATH_MAX];
    struct stat st;
    int r = place_run_dir(dir, sizeof(dir));

    if (r)
        return r;
    if (mkdir(dir, 0755) && errno != EEXIST)
        return -errno;
    if (lstat(addr->sun_path, &st))
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    if (somebody_listens(addr))
        return -EADDRINUSE;
    return unlink(addr->sun_path) ? -errno : 0;
}

static int bind_private(int fd, const struct sockaddr_un *addr, const struct sandbox_user *user)
{
    mode_t before = umask(0177);
    int r = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;

    umask(before);
    if (r)
        return r;
    if (user->has_group && chown(addr->sun_path, (uid_t)-1, user->group) && errno != EPERM)
        return -errno;
    return chmod(addr->sun_path, 0660) || listen(fd, 16) ? -errno : 0;
}

/* The file of the socket that was made is there. */
static bool is_there(const struct effects *e)
{
    struct stat st;

    return *e->socket_path && !lstat(e->socket_path, &st) && st.st_dev == e->socket_dev &&
           st.st_ino == e->socket_ino;
}

static int fx_control_look(void *user)
{
    return is_there(user) ? 0 : -ENOENT;
}

static int fx_control_socket(void *user, const char *name)
{
    struct effects *e = user;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char path[PLACE_PATH_MAX];
    int fd, r = place_control_socket(name, path);
    struct stat st;

    if (r)
        return r;
    memcpy(addr.sun_path, path, sizeof(addr.sun_path));
    if (!is_there(e))
        r = clear_place(&addr);
    else if (unlink(path)) /* our own, asked for again */
        r = -errno;
    if (r)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    r = bind_private(fd, &addr, e->user);
    if (!r && lstat(path, &st))
        r = -errno;
    if (r) {
        close(fd);
        return r;
    }
    memcpy(e->socket_path, path, sizeof(path));
    e->socket_dev = st.st_dev;
    e->socket_ino = st.st_ino;
    last_end_forget(name);
    return fd;
}

/* --- files, time, service manager ------------------------------------------------------ */

static int fx_file_open(void *user, const char *path)
{
    return readfile_open(path);
}

static int fx_file_stat(void *user, const char *path, struct helper_stamp *ret)
{
    return files_stat(path, ret);
}

static int fx_config_read(void *user, const char *path, struct tunnel_config **ret)
{
    return files_config_read(path, ret);
}

static int fx_time_load(void *user, const char *name, int64_t *ret)
{
    return files_time_load(name, ret);
}

static int fx_time_save(void *user, const char *name, int64_t now_s)
{
    return files_time_save(name, now_s);
}

static int fx_reset_secret(void *user, const char *name, uint8_t ret[static HELPER_SECRET_BYTES])
{
    return files_reset_secret(name, ret);
}

static int fx_notify(void *user, enum helper_notify what)
{
#if HAVE_SYSTEMD
    int r = 0;

    switch (what) {
    case HELPER_NOTIFY_READY:
        r = sd_notify(0, "READY=1");
        break;
    case HELPER_NOTIFY_WATCHDOG:
        r = sd_notify(0, "WATCHDOG=1");
        break;
    case HELPER_NOTIFY_RELOADING:
        r = sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                       (unsigned long long)(clock_mono_ns() / NS_PER_US));
        break;
    case HELPER_NOTIFY_STOPPING:
        r = sd_notify(0, "STOPPING=1");
        break;
    default:
        break;
    }
    return MIN(r, 0);
#else
    return 0;
#endif
}

static int fx_notify_status(void *user, const char *text)
{
#if HAVE_SYSTEMD
    int r = sd_notifyf(0, "STATUS=%s", text);

    return MIN(r, 0);
#else
    return 0;
#endif
}

static void fx_close(void *user, int fd)
{
    close(fd);
}

static uint64_t fx_now_ns(void *user)
{
    return clock_mono_ns();
}

static int64_t fx_real_s(void *user)
{
    return clock_real_s();
}

const struct server_effects effects_real = {
    .tun_open = fx_tun_open,
    .tun_is_alive = fx_tun_is_alive,
    .link_up = fx_link_up,
    .link_mtu = fx_link_mtu,
    .link_name = fx_link_name,
    .addr_add = fx_addr_add,
    .addr_del = fx_addr_del,
    .addr_is_ours = fx_addr_is_ours,
    .addr_all = fx_addr_all,
    .routes = fx_routes,
    .rule_add = fx_rule_add,
    .rule_del = fx_rule_del,
    .device_holds = fx_device_holds,
    .udp_open = fx_udp_open,
    .file_open = fx_file_open,
    .file_stat = fx_file_stat,
    .config_read = fx_config_read,
    .control_socket = fx_control_socket,
    .control_look = fx_control_look,
    .notify = fx_notify,
    .notify_status = fx_notify_status,
    .time_load = fx_time_load,
    .time_save = fx_time_save,
    .reset_secret = fx_reset_secret,
    .close = fx_close,
    .now_ns = fx_now_ns,
    .real_s = fx_real_s,
};

int effects_init(struct effects *e, const struct sandbox_user *user)
{
    *e = (struct effects){.user = user};
    return netlink_open(&e->netlink);
}

void effects_done(struct effects *e)
{
    if (is_there(e))
        unlink(e->socket_path);
    netlink_close(e->netlink);
}
