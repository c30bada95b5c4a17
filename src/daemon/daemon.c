#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/cipher.h"
#include "daemon/instance.h"

enum { POOL_SMALL = 16384, POOL_LARGE = 256 };
#define MINUTE_NS (60 * NS_PER_S)

/* --- time ------------------------------------------------------------------------------ */

static void on_timer(struct loop_timer *timer)
{
    struct instance *inst = timer->user;

    if (inst->edge)
        edge_timeout(inst->edge, loop_now_ns(inst->loop));
    else
        hub_timeout(inst->hub, loop_now_ns(inst->loop));
    instance_pump(inst);
}

static void on_pump(struct loop_deferred *deferred)
{
    struct instance *inst = deferred->user;

    rxturn_end(&inst->rx);
    coalesce_flush(&inst->coalesce); /* what came early may have been delivered just now */
    instance_pump(inst);
}

/* --- what is done once a minute -------------------------------------------------------- */

static bool has_peer(const struct instance *inst)
{
    return inst->edge ? edge_state(inst->edge) == EDGE_UP : hub_peers(inst->hub) > 0;
}

/* Pages that are not needed for now; they read as zeros when they are again. */
static void give_away(void *pages, size_t len)
{
    madvise(pages, len, MADV_DONTNEED);
}

static void on_minute(struct loop_timer *timer)
{
    struct instance *inst = timer->user;

    wallclock_tick(&inst->wallclock, inst->helper, loop_now_ns(inst->loop), has_peer(inst));
    pkt_pool_trim(inst->pool, give_away);
    loop_timer_set(inst->loop, timer, loop_now_ns(inst->loop) + MINUTE_NS);
}

/* --- watchdog: the loop turns, so the service manager need not restart us ---------------- */

static void on_watchdog(struct loop_timer *timer)
{
    struct instance *inst = timer->user;

    helper_notify(inst->helper, HELPER_NOTIFY_WATCHDOG);
    loop_timer_set(inst->loop, timer,
                   loop_now_ns(inst->loop) + helper_watchdog_ns(inst->helper) / 2);
}

static void start_watchdog(struct instance *inst)
{
    inst->watchdog = (struct loop_timer){.cb = on_watchdog, .user = inst};
    if (helper_watchdog_ns(inst->helper))
        on_watchdog(&inst->watchdog);
}

/* --- kernel events --------------------------------------------------------------------- */

/* An address outside the tunnel may have come or gone. */
static bool changes_outside(const struct instance *inst, const struct netlink_event *ev)
{
    bool addr = ev->type == NETLINK_EVENT_ADDR || ev->type == NETLINK_EVENT_ADDR_GONE;

    return ev->type == NETLINK_EVENT_RESYNC ||
           (addr && (!inst->tun || ev->addr.index != tun_ifindex(inst->tun)));
}

static void on_netlink_event(void *user, const struct netlink_event *ev)
{
    struct instance *inst = user;

    upkeep_on_event(inst, ev);
    if (changes_outside(inst, ev))
        instance_recheck_assigned(inst);
    if (ev->type != NETLINK_EVENT_ROUTE_GONE && ev->type != NETLINK_EVENT_RULE_GONE)
        instance_follow_addresses(inst);
}

static void on_monitor(struct loop_io *io, uint32_t events)
{
    struct instance *inst = io->user;
    int rv = netlink_monitor_dispatch(inst->monitor, on_netlink_event, inst);

    if (rv < 0) {
        log_error("netlink: %s", strerror(-rv));
        loop_stop(inst->loop, EXIT_CODE_INTERNAL);
    }
    loop_defer(inst->loop, &inst->pump);
}

/* --- start and stop -------------------------------------------------------------------- */

static void on_stop_signal(struct loop_signal *sig, int signo)
{
    struct instance *inst = sig->user;
    bool was_up = has_peer(inst);

    if (inst->stopping)
        return;
    inst->stopping = true;
    helper_notify(inst->helper, HELPER_NOTIFY_STOPPING);
    log_info("tunnel: stopping: %s", strsignal(signo));
    if (inst->edge)
        edge_shutdown(inst->edge, loop_now_ns(inst->loop));
    else
        hub_shutdown(inst->hub, loop_now_ns(inst->loop));
    instance_flush(inst);
    wallclock_tick(&inst->wallclock, inst->helper, loop_now_ns(inst->loop), was_up);
    loop_stop(inst->loop, EXIT_CODE_OK);
}

static void on_hangup(struct loop_signal *sig, int signo)
{
    struct instance *inst = sig->user;

    struct reload_outcome out = {0};

    instance_log_telemetry(inst);
    instance_reload(inst, &out);
    reload_outcome_done(&out);
}

/* A server's outlives its key: whoever is connected when that is replaced learns at once of a
 * restart too. Where it cannot be kept, the key's is the same after a restart at least. */
static void fill_reset_secret(struct instance *inst, struct quic_endpoint_opts *o)
{
    int rv = o->server ? helper_reset_secret(inst->helper, o->reset_secret) : -ENOENT;

    if (!rv)
        return;
    quic_tls_reset_secret(inst->cred.tls, o->reset_secret);
    if (o->server)
        log_info("state: cannot keep the secret of stateless resets: %s: that of the private key "
                 "serves instead",
                 strerror(-rv));
}

static void fill_quic_opts(struct instance *inst, struct quic_endpoint_opts *o)
{
    const struct tunnel_config *c = inst->config;

    o->server = c->role == CONFIG_ROLE_SERVER;
    o->cc = c->congestion_control == CONFIG_CC_BBR ? QUIC_CC_BBR : QUIC_CC_CUBIC;
    o->tls = &quic_tls_gnutls;
    o->tls_ctx = inst->cred.tls;
    o->aead = inst->aead;
    o->server_name = *c->tls_server_name ? c->tls_server_name : c->remote_addr;
    o->pool = inst->pool;
    o->drops = &inst->drops;
    o->random = quic_random_system;
    fill_reset_secret(inst, o);
}

static int make_edge(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    struct edge_opts o = {.authority = inst->authority,
                          .token = *inst->cred.token ? inst->cred.token : NULL,
                          .instance = inst->instance_id,
                          .plain = !c->session_extension,
                          .lane_socket = instance_lane_socket,
                          .lane_socket_done = instance_lane_socket_done,
                          .min_lanes = c->lanes.min,
                          .max_lanes = c->lanes.max,
                          .events = &instance_edge_events,
                          .user = inst};

    snprintf(inst->authority, sizeof(inst->authority),
             strchr(c->remote_addr, ':') ? "[%s]:%u" : "%s:%u", c->remote_addr, c->remote_port);
    config_instance_id(c, inst->instance_id);
    fill_quic_opts(inst, &o.quic);
    o.n_paths = instance_path_opts(c, o.paths);
    if (o.n_paths)
        o.treatment = instance_treatment(c);
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        o.want[o.n_want++] = c->tun_addr[i];
    return edge_new(&o, &inst->edge);
}

static int make_hub(struct instance *inst)
{
    const struct tunnel_config *c = inst->config;
    struct hub_opts o = {
        .plain = !c->session_extension, .events = &instance_hub_events, .user = inst};
    struct hub_rule *rules =
        instance_hub_policy(c, inst->cred.tokens, inst->cred.n_tokens, &o.policy);
    int rv;

    if (!rules)
        return -ENOMEM;
    fill_quic_opts(inst, &o.quic);
    o.quic.max_lanes = instance_hub_lanes(c);
    for (unsigned i = 0; i < c->n_tun_addr; i++)
        o.own[o.n_own++] = c->tun_addr[i];
    rv = hub_new(&o, &inst->hub);
    free(rules);
    return rv;
}

static int open_netlink(struct instance *inst)
{
    int rv = netlink_open(&inst->netlink);

    if (!rv)
        rv = netlink_monitor_open(&inst->monitor);
    if (rv)
        return rv;
    inst->monitor_io = (struct loop_io){.cb = on_monitor, .user = inst};
    return loop_io_add(inst->loop, &inst->monitor_io, netlink_monitor_fd(inst->monitor), EPOLLIN);
}

/* The helper passes on the signals that it gets: the service manager knows only its process. */
static void on_helper(struct loop_io *io, uint32_t events)
{
    struct instance *inst = io->user;
    int signo = helper_event(inst->helper);

    if (signo < 0)
        loop_stop(inst->loop, EXIT_CODE_INTERNAL);
    else if (signo == SIGHUP)
        on_hangup(&inst->sighup, signo);
    else if (signo)
        on_stop_signal(&inst->sigterm, signo);
}

static int add_signals(struct instance *inst)
{
    inst->helper_io = (struct loop_io){.cb = on_helper, .user = inst};
    inst->sigterm = (struct loop_signal){.cb = on_stop_signal, .user = inst, .signo = SIGTERM};
    inst->sigint = (struct loop_signal){.cb = on_stop_signal, .user = inst, .signo = SIGINT};
    inst->sighup = (struct loop_signal){.cb = on_hangup, .user = inst, .signo = SIGHUP};
    return loop_io_add(inst->loop, &inst->helper_io, helper_event_fd(inst->helper), EPOLLIN) ||
           loop_signal_add(inst->loop, &inst->sigterm) ||
           loop_signal_add(inst->loop, &inst->sigint) || loop_signal_add(inst->loop, &inst->sighup);
}

static enum exit_code out_of(const char *what)
{
    log_error("tunnel: cannot start: %s", what);
    return EXIT_CODE_INTERNAL;
}

static void start_clock(struct instance *inst)
{
    struct quic_tls_cert_info own;
    bool has = !quic_tls_creds_info(inst->cred.tls, &own);

    wallclock_start(&inst->wallclock, inst->helper, has ? &own : NULL);
}

static enum exit_code setup(struct instance *inst)
{
    enum exit_code code;
    int rv;

    inst->loop = loop_new();
    inst->pool = pkt_pool_new(POOL_SMALL, POOL_LARGE);
    inst->tx = malloc(sizeof(*inst->tx));
    inst->udp_buffers = udp_buffers_new();
    if (!inst->loop || !inst->pool || !inst->tx || !inst->udp_buffers || instance_make_paths(inst))
        return out_of("out of memory");
    instance_history_start(inst);
    instance_files_note(inst);
    code = instance_load_credentials(inst);
    if (code)
        return code;
    start_clock(inst);
    rv = open_netlink(inst);
    if (rv)
        return out_of(strerror(-rv));
    if (add_signals(inst))
        return out_of("signals");
    code = instance_setup_tun(inst);
    if (code)
        return code;
    inst->timer = (struct loop_timer){.cb = on_timer, .user = inst};
    inst->minute = (struct loop_timer){.cb = on_minute, .user = inst};
    inst->pump = (struct loop_deferred){.cb = on_pump, .user = inst};
    rv = inst->config->role == CONFIG_ROLE_CLIENT ? make_edge(inst) : make_hub(inst);
    if (rv)
        return out_of(strerror(-rv));
    if (inst->edge)
        instance_begin_paths(inst);
    if (inst->hub)
        code = instance_open_listeners(inst);
    if (code == EXIT_CODE_OK)
        code = instance_control_open(inst);
    if (code)
        return code;
    instance_files_watch(inst);
    instance_watch_expiry(inst);
    start_watchdog(inst);
    instance_control_look(inst);
    instance_tell_manager(inst);
    loop_timer_set(inst->loop, &inst->minute, loop_now_ns(inst->loop) + MINUTE_NS);
    instance_apply_telemetry(inst);
    return EXIT_CODE_OK;
}

/* The tunnel stack first, because its packets belong to the pool; the TUN stays, so that routes
 * to it stay and nothing leaves by another way while no tunnel runs. */
static void teardown(struct instance *inst)
{
    instance_history_stop(inst);
    instance_control_close(inst);
    edge_free(inst->edge);
    hub_free(inst->hub);
    instance_free_paths(inst);
    udp_buffers_free(inst->udp_buffers);
    routes_stop(inst);
    tun_close(inst->tun);
    netlink_monitor_close(inst->monitor);
    netlink_close(inst->netlink);
    pkt_pool_free(inst->pool);
    loop_free(inst->loop);
    credentials_done(&inst->cred);
    free(inst->tx);
    instance_reload_done(inst);
}

struct start {
    const struct tunnel_config *config;
    const char *file;
    const struct aead_backend *aead;
};

static enum exit_code run_data_plane(struct helper *h, void *user)
{
    const struct start *start = user;
    struct instance inst = {
        .config = start->config, .file = start->file, .helper = h, .aead = start->aead};
    enum exit_code code = setup(&inst);

    if (code == EXIT_CODE_OK) {
        int rv = loop_run(inst.loop);

        code = rv < 0 ? out_of(strerror(-rv)) : (enum exit_code)rv;
        instance_log_telemetry(&inst);
    }
    if (code != EXIT_CODE_OK)
        helper_tell(h, HELPER_TEXT_END, inst.history.error);
    teardown(&inst);
    return code;
}

enum exit_code daemon_run(struct tunnel_config *config, const char *file, const char *name)
{
    struct helper_opts opts = {.config = config, .file = file, .name = name};
    struct start start = {.config = config, .file = file};

    log_set_level(config->log_level);
    start.aead = cipher_choose(); /* before the sandbox */
    if (!start.aead)
        return out_of("no cipher passes its self-test");
    return helper_run(&opts, run_data_plane, &start);
}
