/* The configuration of the hub that an authority serves, on the machine that has both. */
#ifndef CLI_HUBFILE_H
#define CLI_HUBFILE_H

#include <stdio.h>

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

/* Whether the hub can have this entry in peers, as far as its file is here. Returns 0, -EINVAL,
 * -EEXIST (the name has another entry already) or -ENOMEM. */
int hub_file_check_peer(const struct pki *p, const struct config_peer *peer, struct pki_error *e);

/* Put the entry into the file and have the running hub take it over. Where that cannot be done,
 * tell what is to be added. What was done, or is to do, goes to out. Returns 0 or as above, or
 * -errno. */
int hub_file_fix_peer(const struct pki *p, const struct config_peer *peer, FILE *out,
                      struct pki_error *e);

#endif
