/* Giving up privileges: what the data plane may not do any more, and what the helper keeps. */
#ifndef HELPER_SANDBOX_H
#define HELPER_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/place.h"

/* Who the data plane is. */
struct sandbox_user {
    bool changes;    /* it is another user than the helper's, which is root */
    bool is_service; /* that user is PLACE_USER: it may own the TUN */
    uid_t uid;
    gid_t gid;
    bool has_group; /* there is a group PLACE_USER, which may use the control socket */
    gid_t group;
};

/* Look into the user database: PLACE_USER, or else nobody. Without root there is no other user to
 * become. Returns 0, -ENOENT when there is neither. */
int sandbox_user_find(struct sandbox_user *ret);

/* For the data plane: become that user, give up all capabilities and the ways to gain any, die
 * with the process parent, and enter the system call filter. Returns 0 or -errno with what was
 * tried in *ret_what. In a user namespace that has no other user it stays the one it is;
 * *ret_same_user tells. */
int sandbox_enter(const struct sandbox_user *user, pid_t parent, bool *ret_same_user,
                  const char **ret_what);

/* The same without the filter, for a process that becomes another program, which inherits all of it
 * but that no core file and no debugger may see it. */
int sandbox_become(const struct sandbox_user *user, pid_t parent, bool *ret_same_user,
                   const char **ret_what);

/* For the helper: keep CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE and CAP_DAC_READ_SEARCH, as
 * far as they are there, and nothing else, and enter its system call filter. data_plane is the
 * process that it may send signals to. Returns 0 or -errno. */
int sandbox_keep_helper(const struct sandbox_user *user, pid_t data_plane);

/* seccomp.c: the system call filters, allow-lists; all else is -EPERM. They return 0 or -errno. */
int sandbox_filter_data_plane(void);
int sandbox_filter_helper(pid_t data_plane);

#endif
