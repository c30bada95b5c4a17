/* The configuration of the hub that an authority serves, on the machine that has both. */
#ifndef CLI_HUBFILE_H
#define CLI_HUBFILE_H

#include "config/config.h"
#include "pki/store.h"

struct hub_file {
    bool present; /* it is here, readable, without errors, and of a server */
    char path[FILE_PATH_MAX];
    struct file_text text;
    struct tunnel_config config;
};

/* Look for it where mpquic init has remembered that it is. */
void hub_file_load(const struct pki *p, struct hub_file *ret);
void hub_file_done(struct hub_file *h);

#endif
