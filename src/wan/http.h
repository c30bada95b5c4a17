/* As much HTTP/1.1 (RFC 9112) as it takes to ask for a resource and to read the status. Pure. */
#ifndef WAN_HTTP_H
#define WAN_HTTP_H

#include <stddef.h>

#include "config/gateway.h"

enum { HTTP_REQUEST_MAX = 768, HTTP_STATUS_LEN = 12 };

/* The request of a probe to a target. Returns its length, which is below HTTP_REQUEST_MAX. */
size_t http_request_write(const struct gateway_probe *conf, const struct ip_addr *target,
                          char buf[static HTTP_REQUEST_MAX]);

/* The status that an answer begins with: 100 to 599; 0: HTTP_STATUS_LEN bytes have not come yet;
 * -EINVAL: it is no answer of HTTP/1. */
int http_status_read(const char *data, size_t len);

#endif
