/* What a hub answers to a request, from its header fields alone. */
#ifndef MASQUE_REQUEST_H
#define MASQUE_REQUEST_H

#include "masque/masque.h"

/* The path of full IP proxying: the default template of RFC 9484, 3, with both variables the
 * wildcard "*", which simple expansion (RFC 6570, 3.2.2) percent-encodes. */
#define MASQUE_PATH_PREFIX "/.well-known/masque/ip/"
#define MASQUE_PATH_ANY MASQUE_PATH_PREFIX "%2A/%2A/"

/* Take a header field into *req. Names that do not matter are ignored. */
void masque_request_field(struct masque_request *req, const char *name, size_t name_len,
                          const uint8_t *value, size_t value_len);

/* The name of the field by which an edge tells instances with one identity apart: 1 to 32 of
 * A-Z a-z 0-9 . _ - */
#define MASQUE_INSTANCE_FIELD "mpquic-instance"

/* The fields of the session extension (doc/protocol.md, "Joining"). */
#define MASQUE_SESSION_FIELD "mpquic-session"
#define MASQUE_PATH_FIELD "mpquic-path"
#define MASQUE_LANE_FIELD "mpquic-lane"
#define MASQUE_LANES_FIELD "mpquic-lanes"
#define MASQUE_PATH_NAME_FIELD "mpquic-path-name"

enum { MASQUE_SESSION_VALUE_MAX = 40 }; /* with the final 0 */

/* The value of MASQUE_SESSION_FIELD: "VERSION, :BASE64:" of n bytes, 8 or 16 (a list of RFC 8941:
 * an integer and a byte sequence). */
void masque_session_print(char buf[MASQUE_SESSION_VALUE_MAX], unsigned version, const uint8_t *id,
                          size_t n);

/* Read it. False when it is anything else, or the version is 0 or above 255. */
bool masque_session_parse(const uint8_t *value, size_t len, unsigned *ret_version, uint8_t *ret_id,
                          size_t n);

/* 200: a CONNECT-IP request for everything, to be decided by the layer above. Otherwise the
 * status to answer with: 400 malformed (RFC 9484, 4.4 and 4.6; content fields: RFC 9297, 3.2;
 * our own fields), 403 a scope (target or protocol) that this hub does not offer, 404 no such
 * resource, 405 a method that the resource does not have, 431 a field too long, 501 not implemented
 * (CONNECT without or with another :protocol; RFC 9220, 3). */
int masque_request_status(const struct masque_request *req);

/* Whether the authorization field holds a bearer token (RFC 6750, 2.1); only then *ret is set, and
 * points into *req. */
bool masque_request_bearer(const struct masque_request *req, const char **ret);

#endif
