/* Which library protects the packets of this process. */
#ifndef DAEMON_CIPHER_H
#define DAEMON_CIPHER_H

#include "quic/aead.h"

/* The fastest that works here, or what MPQUIC_AEAD names when that works. Writes to the log which
 * it is. NULL: none passes its self-test. To be called once, before the process forks. */
const struct aead_backend *cipher_choose(void);

#endif
