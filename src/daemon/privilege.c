#include "daemon/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>

static const unsigned kept[] = {CAP_NET_ADMIN, CAP_NET_RAW};

int privilege_drop(void)
{
    int have[2];

    if (capng_get_caps_process())
        return -EPERM;
    for (int i = 0; i < 2; i++)
        have[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
    capng_clear(CAPNG_SELECT_ALL);
    for (int i = 0; i < 2; i++)
        if (have[i])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
    /* The bounding set needs CAP_SETPCAP; without it there is nothing to bound. */
    if (capng_apply(CAPNG_SELECT_BOTH) && capng_apply(CAPNG_SELECT_CAPS))
        return -EPERM;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}
