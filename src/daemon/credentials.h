/* What the files that a configuration names say about who we are and who may come in: certificate,
 * key, authorities, revocation lists, tokens. */
#ifndef DAEMON_CREDENTIALS_H
#define DAEMON_CREDENTIALS_H

#include <stdbool.h>

#include "config/config.h"
#include "helper/helper.h"
#include "peer/hub.h"
#include "quic/tls.h"

enum { CREDENTIALS_TOKEN_MAX = 256 };

struct credentials {
    struct quic_tls_creds *tls;        /* one reference */
    char token[CREDENTIALS_TOKEN_MAX]; /* client; "" when none is configured */
    struct hub_token *tokens;          /* server; owned */
    unsigned n_tokens, max_tokens;
};

/* Read and check everything that c names, through the helper (staged: as its staged configuration
 * names it), or directly when h is NULL. Returns 0; -errno with one line in err that says which
 * file is wrong and why, and *ret untouched. */
int credentials_load(const struct tunnel_config *c, struct helper *h, bool staged,
                     struct credentials *ret, char *err, size_t len);

/* Wipe and release. Accepts {0}. */
void credentials_done(struct credentials *cred);

#endif
