/* Input: header fields, each a byte that names it, a byte of length and the value. Whatever they
 * say, the status is one of those that the contract names; 200 only for a request that has all it
 * needs, and a bearer token lies inside its field. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "masque/request.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

static const char *const names[] = {":method",      ":protocol",      ":scheme",
                                    ":authority",   ":path",          "authorization",
                                    "content-type", "content-length", "capsule-protocol",
                                    "x-unknown",    ":patience",      ""};

static bool known_status(int status)
{
    static const int statuses[] = {200, 400, 403, 404, 405, 431, 501};

    for (unsigned i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i] == status)
            return true;
    return false;
}

static void check_strings(const struct masque_request *req)
{
    CHECK(memchr(req->method, 0, sizeof(req->method)));
    CHECK(memchr(req->protocol, 0, sizeof(req->protocol)));
    CHECK(memchr(req->scheme, 0, sizeof(req->scheme)));
    CHECK(memchr(req->authority, 0, sizeof(req->authority)));
    CHECK(memchr(req->path, 0, sizeof(req->path)));
    CHECK(memchr(req->authorization, 0, sizeof(req->authorization)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct masque_request req = {0};
    const char *token = NULL;
    int status;

    while (size >= 2) {
        const char *name = names[data[0] % ARRAY_LEN(names)];
        size_t len = MIN((size_t)data[1] * (data[0] & 0x80 ? 8 : 1), size - 2);

        masque_request_field(&req, name, strlen(name), data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
    check_strings(&req);
    status = masque_request_status(&req);
    CHECK(known_status(status));
    if (status == 200) {
        CHECK(!req.oversized && !req.has_content && *req.authority);
        CHECK(!strcmp(req.method, "CONNECT") && !strcmp(req.protocol, "connect-ip"));
        CHECK(!strncmp(req.path, MASQUE_PATH_PREFIX, strlen(MASQUE_PATH_PREFIX)));
    }
    if (masque_request_bearer(&req, &token))
        CHECK(token > req.authorization && *token &&
              token < req.authorization + sizeof(req.authorization));
    else
        CHECK(!token);
    return 0;
}
