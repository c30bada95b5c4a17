/* Whatever arrives on the control socket is a request, or is refused with a text. */
#include <stdint.h>
#include <stdlib.h>

#include "control/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request req = {.cmd = CONTROL_CMD_COUNT};
    const char *err = NULL;
    int rv = control_request_parse((const char *)data, size, &req, &err);

    if (rv ? !err || req.cmd != CONTROL_CMD_COUNT : req.cmd >= CONTROL_CMD_COUNT)
        abort();
    return 0;
}
