/* The other end of the control socket: for the command line. Blocks. */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/place.h"
#include "control/request.h"

enum { CONTROL_ANSWER_MAX = 64 << 20, CONTROL_INSTANCES_MAX = 4096 };

/* Ask the instance called name. Returns 0 and the answer, to be freed, with a NUL behind its len
 * bytes. -ENOENT: it has no socket; -ECONNREFUSED: the socket is there, nobody listens: the
 * instance is dead; -EACCES: we may not; -ETIMEDOUT: no answer in that time; -EPROTO: the
 * connection ended before its answer; -EFBIG; -EINVAL: no such name can be; -ENAMETOOLONG; -ENOMEM;
 * other -errno. */
int control_ask(const char *name, enum control_cmd cmd, uint64_t timeout_ns, char **ret,
                size_t *ret_len);

/* The text of an answer that is {"error":"TEXT"}, in buf; returns NULL when it is none. */
const char *control_answer_error(const char *answer, size_t len, char *buf, size_t size);

/* The instances that have a socket in the run directory, in the order of their names. Returns their
 * number (*ret is to be freed), 0 also when there is no such directory, or -errno. */
int control_instances(char (**ret)[PLACE_NAME_MAX]);

#endif
