#include "helper/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/util.h"

int __nss_configure_lookup(const char *db, const char *service_line);

int sandbox_user_find(struct sandbox_user *ret)
{
    struct sandbox_user u = {.uid = geteuid(), .gid = getegid()};
    struct group *group = getgrnam(PLACE_USER);
    struct passwd *who;

    u.has_group = group != NULL;
    if (group)
        u.group = group->gr_gid;
    if (u.uid == 0) {
        who = getpwnam(PLACE_USER);
        u.is_service = who != NULL;
        if (!who)
            who = getpwnam("nobody");
        if (!who || !who->pw_uid)
            return -ENOENT;
        u.changes = true;
        u.uid = who->pw_uid;
        u.gid = who->pw_gid;
    }
    *ret = u;
    return 0;
}

/* --- the data plane -------------------------------------------------------------------- */

/* In a user namespace with few users the kernel knows no such user (EINVAL), or forbids to change
 * groups (EPERM). */
static bool is_user_namespace(void)
{
    FILE *f = fopen("/proc/self/uid_map", "re");
    unsigned long inside = 0, outside = 0, count = 0;
    bool all = f && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3 && !inside &&
               !outside && count == 4294967295ul;

    if (f)
        fclose(f);
    return !all;
}

static int change_user(const struct sandbox_user *u, bool *ret_same_user)
{
    if (!u->changes)
        return 0;
    if (setgroups(0, NULL) || setresgid(u->gid, u->gid, u->gid) ||
        setresuid(u->uid, u->uid, u->uid)) {
        int err = errno;

        if ((err != EINVAL && err != EPERM) || !is_user_namespace())
            return -err;
        *ret_same_user = true;
        return 0;
    }
    /* Not to be undone. */
    return setresuid(0, 0, 0) == 0 || getuid() != u->uid || getgid() != u->gid ? -EPERM : 0;
}

/* The bounding set needs CAP_SETPCAP; without it there is nothing to bound. */
static int drop_bounding(void)
{
    capng_clear(CAPNG_SELECT_BOTH);
    if (!prctl(PR_CAPBSET_READ, CAP_SETPCAP, 0, 0, 0))
        return 0;
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EPERM)
            return -errno;
    return 0;
}

static int drop_capabilities(void)
{
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_apply(CAPNG_SELECT_CAPS))
        return -EPERM;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (capng_get_caps_process())
        return -EPERM;
    return capng_have_capabilities(CAPNG_SELECT_CAPS) > CAPNG_NONE ? -EPERM : 0;
}

/* Die with the helper; and hold secrets that no core file and no debugger may see. Changing the
 * user resets both settings, so this comes after it. */
static int tie_to(pid_t parent)
{
    struct rlimit none = {0};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        return -errno;
    if (getppid() != parent)
        return -ESRCH;
#ifdef __SANITIZE_ADDRESS__
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak check traces its own process */
#else
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return -errno;
#endif
    return setrlimit(RLIMIT_CORE, &none) ? -errno : 0;
}

int sandbox_become(const struct sandbox_user *user, pid_t parent, bool *ret_same_user,
                   const char **ret_what)
{
    int r;

    /* Names are looked up by what the C library has built in: other services are libraries that
     * would have to be loaded and may talk to anybody. */
    __nss_configure_lookup("hosts", "files dns");
    *ret_what = "drop the capability bounding set";
    r = drop_bounding();
    if (!r) {
        *ret_what = "become an unprivileged user";
        r = change_user(user, ret_same_user);
    }
    if (!r) {
        *ret_what = "give up capabilities";
        r = drop_capabilities();
    }
    if (!r) {
        *ret_what = "tie the data plane to the helper";
        r = tie_to(parent);
    }
    if (!r) {
        *ret_what = "forbid new privileges";
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
    }
    return r;
}

int sandbox_enter(const struct sandbox_user *user, pid_t parent, bool *ret_same_user,
                  const char **ret_what)
{
    int r = sandbox_become(user, parent, ret_same_user, ret_what);

    if (!r) {
        *ret_what = "filter system calls";
        r = sandbox_filter_data_plane();
    }
    return r;
}

/* --- the helper ------------------------------------------------------------------------ */

static const unsigned kept[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE,
                                CAP_DAC_READ_SEARCH};

int sandbox_keep_helper(const struct sandbox_user *user, pid_t data_plane)
{
    bool have[ARRAY_LEN(kept)];

    /* Member of the group that may use the control socket: so it can be given to it without
     * CAP_CHOWN. A user namespace may forbid it, and then has no such group. */
    if (user->changes && setgroups(user->has_group, &user->group) && !is_user_namespace())
        return -errno;
    if (capng_get_caps_process())
        return -EPERM;
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
    capng_clear(CAPNG_SELECT_ALL);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (have[i])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
    if (capng_apply(CAPNG_SELECT_BOTH) && capng_apply(CAPNG_SELECT_CAPS))
        return -EPERM;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : sandbox_filter_helper(data_plane);
}
