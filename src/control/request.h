/* What may be asked over the control socket of an instance. One request a connection: one JSON
 * object on one line, {"cmd":"status"}, answered by one JSON object and the end of the connection.
 *
 *      status   src/status/status.h, everything
 *      peers    the same, the peers only
 *      reload   src/status/reload.h
 *
 * A request that is not understood, or not allowed, is answered with {"error":"TEXT"}. */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <stddef.h>

enum control_cmd { CONTROL_STATUS, CONTROL_PEERS, CONTROL_RELOAD, CONTROL_CMD_COUNT };

enum { CONTROL_REQUEST_MAX = 256 /* bytes, newline included */ };

struct control_request {
    enum control_cmd cmd;
};

const char *control_cmd_name(enum control_cmd cmd);

/* Read one line without its newline. Returns 0, or -EINVAL and *ret_err says what is wrong with
 * it. */
int control_request_parse(const char *line, size_t len, struct control_request *ret,
                          const char **ret_err);

/* {"error":"TEXT"}; free it; NULL when out of memory. */
char *control_error(const char *text);

#endif
