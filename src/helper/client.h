/* The data plane's end, as process.c makes it. */
#ifndef HELPER_CLIENT_H
#define HELPER_CLIENT_H

#include "helper/helper.h"

struct helper {
    int fd;       /* of the SOCK_SEQPACKET pair */
    int event_fd; /* read end of a pipe: a byte for each signal */
    const char *name;
    uint64_t watchdog_ns;
};

#endif
