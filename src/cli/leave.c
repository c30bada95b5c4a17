/* Undoing mpquic join: what it wrote is moved aside, what it started is stopped. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/pki.h"
#include "cli/service.h"
#include "control/client.h"
#include "helper/ensure.h"
#include "pki/backup.h"
#include "pki/cert.h"

enum { LOCK_WAIT_MS = 10000 };
#define ASK_TIMEOUT_NS (2 * NS_PER_S)
#define LAN_UNIT "/etc/systemd/system/lan-to-tunnel@.service"

struct leave {
    const char *name, *config_dir;
    bool yes;
    char dir[FILE_PATH_MAX], tls[FILE_PATH_MAX];   /* of configurations, of keys */
    char file[CONFIG_NAME_MAX + 8];                /* in dir */
    char path[FILE_PATH_MAX], keys[FILE_PATH_MAX]; /* what join wrote */
    bool has_keys;                                 /* they are there, and its own */
    char identity[PKI_NAME_MAX], tun[16];
};

/* --- looking --------------------------------------------------------------------------- */

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return !strncmp(path, dir, n) && path[n] == '/' && !strchr(path + n + 1, '/');
}

static void find_identity(struct leave *l, const char *cert_file)
{
    _cleanup_text_ struct file_text text = {0};
    struct pki_error ignored;
    struct cert_info info;

    if (!file_read(cert_file, &text, &ignored) && !cert_read(&text, &info, &ignored))
        snprintf(l->identity, sizeof(l->identity), "%s", info.name);
}

static int find_paths(struct leave *l, struct pki_error *e)
{
    int rv = service_full_dir(l->config_dir ? l->config_dir : SERVICE_CONFIG_DIR, l->dir, e);

    if (!rv && !bundle_name_ok(l->name))
        rv = pki_error_set(e, -EINVAL, "'%.80s' cannot be the name of an instance", l->name);
    if (rv)
        return rv;
    snprintf(l->file, sizeof(l->file), "%s.yaml", l->name);
    rv = file_path(l->path, l->dir, l->file, e);
    if (!rv)
        rv = file_path(l->tls, l->dir, CHANGE_TLS_DIR, e);
    return rv ? rv : file_path(l->keys, l->tls, l->name, e);
}

/* What is there, and whether it is what join made. */
static int look(struct leave *l, struct pki_error *e)
{
    struct config_report report = {0};
    struct tunnel_config c;
    int rv = find_paths(l, e);

    if (rv)
        return rv;
    if (!file_exists(l->path))
        return pki_error_set(e, -ENOENT, "%s is not there: mpquic status lists the instances",
                             l->path);
    rv = config_load(l->path, &c, &report);
    config_report_done(&report);
    if (rv)
        return pki_error_set(e, rv, "%s cannot be read, or has errors: mpquic check %s tells which",
                             l->path, l->path);
    l->has_keys =
        is_in(c.tls_key_file, l->keys) && is_in(c.tls_cert_file, l->keys) && file_exists(l->keys);
    if (l->has_keys)
        find_identity(l, c.tls_cert_file);
    snprintf(l->tun, sizeof(l->tun), "%s", c.tun_name);
    if (c.role != CONFIG_ROLE_CLIENT || !l->has_keys)
        rv = pki_error_set(e, -EINVAL,
                           "%s is %s: stop it with systemctl disable --now mpquic@%s, and remove "
                           "its files yourself",
                           l->path,
                           c.role == CONFIG_ROLE_CLIENT ? "not what mpquic join made" : "a hub's",
                           l->name);
    config_done(&c);
    return rv;
}

/* --- asking ---------------------------------------------------------------------------- */

static void show(const struct leave *l)
{
    if (service_manager_runs(l->dir))
        printf("stop mpquic@%s, and do not start it at boot any more\n", l->name);
    if (ensure_tun_exists(l->tun))
        printf("remove the interface %s, with its addresses and routes\n", l->tun);
    printf("remove %s\nremove %s, its key and certificates\n", l->path, l->keys);
    printf("the files are kept where they are, with .~1~ behind the name, or the next number\n");
}

static bool confirmed(void)
{
    char answer[16] = "";

    printf("do it? [y/N] ");
    fflush(stdout);
    if (!fgets(answer, sizeof(answer), stdin))
        return false;
    answer[strcspn(answer, "\n")] = 0;
    return !strcasecmp(answer, "y") || !strcasecmp(answer, "yes");
}

/* --- doing it -------------------------------------------------------------------------- */

/* Where no service manager has started it, only who did can stop it. */
static int stop(const struct leave *l, struct pki_error *e)
{
    const struct service_state off = {0};
    char *text;
    size_t len;
    int rv;

    if (service_manager_runs(l->dir)) {
        service_restore(l->dir, l->name, &off);
    } else if (!control_ask(l->name, CONTROL_STATUS, ASK_TIMEOUT_NS, &text, &len)) {
        free(text);
        return pki_error_set(e, -EBUSY, "%s is running: stop it first", l->name);
    }
    rv = ensure_no_tun(l->tun);
    if (rv)
        return pki_error_set(e, rv, "cannot remove the interface %s: %s", l->tun,
                             rv == -EBUSY ? "another process has it open" : strerror(-rv));
    return 0;
}

/* Both or none. */
static int move_aside(const struct leave *l, struct pki_error *e)
{
    char config[BACKUP_NAME_MAX], keys[BACKUP_NAME_MAX];
    _cleanup_close_ int lock = file_lock_dir(l->dir, LOCK_WAIT_MS, e);
    int rv = lock < 0 ? lock : backup_move(l->dir, l->file, config, e);
    struct pki_error ignored;

    if (rv)
        return rv;
    rv = backup_move(l->tls, l->name, keys, e);
    if (rv) {
        backup_restore_file(l->dir, l->file, config, &ignored);
        return rv;
    }
    printf("%s has left its hub; what was there is now %s/%s and %s/%s, which holds a private "
           "key\n",
           l->name, l->dir, config, l->tls, keys);
    return 0;
}

static void tell_rest(const struct leave *l)
{
    if (*l->identity)
        printf("next, on the hub: mpquic pki revoke %s, unless it is to come back\n", l->identity);
    if (!access(LAN_UNIT, F_OK))
        printf("lan-to-tunnel@ still leads its LAN into the tunnel: systemctl disable --now "
               "lan-to-tunnel@INTERFACE\n");
}

static enum exit_code leave(struct leave *l)
{
    struct pki_error e;

    if (look(l, &e))
        return cli_failed(&cli_leave, &e);
    if (!l->yes) {
        show(l);
        if (!isatty(STDIN_FILENO))
            return cli_usage_error(&cli_leave, "nobody is there to confirm it: add --yes");
        if (!confirmed()) {
            printf("nothing was changed\n");
            return EXIT_CODE_FILES;
        }
    }
    if (stop(l, &e) || move_aside(l, &e))
        return cli_failed(&cli_leave, &e);
    tell_rest(l);
    return EXIT_CODE_OK;
}

static int run(int argc, char **argv)
{
    struct leave l = {0};
    int c;

    while ((c = cli_getopt(&cli_leave, argc, argv)) != -1) {
        if (c == 'y')
            l.yes = true;
        else if (c == 'c')
            l.config_dir = optarg;
        else
            return EXIT_CODE_USAGE;
    }
    if (optind + 1 != argc)
        return cli_usage_error(&cli_leave, "exactly one instance is needed");
    l.name = argv[optind];
    return (int)leave(&l);
}

static const struct cli_option options[] = {
    {'y', "yes", NULL, "Do it without asking."},
    {'c', "config-dir", "DIR", "Where the configurations are; otherwise /etc/mpquic."},
    {0},
};

const struct cli_verb cli_leave = {
    .name = "leave",
    .summary = "undo join: stop an edge's tunnel and remove it",
    .args = "NAME",
    .text =
        "Takes back what mpquic join has done for the instance NAME: stops its service, now and at "
        "boot, removes its TUN interface with all addresses and routes, and moves "
        "/etc/mpquic/NAME.yaml and /etc/mpquic/tls/NAME aside: they stay with .~1~ behind their "
        "names, or the next number. It shows what it is about to do and asks, unless --yes "
        "is given.\n\n"
        "The hub still knows the edge: mpquic pki revoke there ends that. Rules that lead a LAN "
        "into the tunnel, as lan-to-tunnel@.service makes them, are not touched.",
    .options = options,
    .run = run,
};
