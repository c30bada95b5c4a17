#include "control/request.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static const char *const names[CONTROL_CMD_COUNT] = {"status", "peers", "reload"};

const char *control_cmd_name(enum control_cmd cmd)
{
    return (unsigned)cmd < CONTROL_CMD_COUNT ? names[cmd] : "?";
}

/* The object holds cmd and nothing else: what a later version asks for is not silently left out. */
static int read_object(const json_t *object, struct control_request *ret, const char **ret_err)
{
    const char *cmd = json_string_value(json_object_get(object, "cmd"));

    if (!cmd) {
        *ret_err = "the request is not an object with the text member 'cmd'";
        return -EINVAL;
    }
    if (json_object_size(object) != 1) {
        *ret_err = "the request has a member that this version does not know";
        return -EINVAL;
    }
    for (unsigned i = 0; i < CONTROL_CMD_COUNT; i++)
        if (!strcmp(cmd, names[i])) {
            ret->cmd = (enum control_cmd)i;
            return 0;
        }
    *ret_err = "unknown command; known are status, peers and reload";
    return -EINVAL;
}

int control_request_parse(const char *line, size_t len, struct control_request *ret,
                          const char **ret_err)
{
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    int rv;

    if (!object) {
        *ret_err = "the request is not JSON";
        return -EINVAL;
    }
    rv = read_object(object, ret, ret_err);
    json_decref(object);
    return rv;
}

char *control_error(const char *text)
{
    json_t *object = json_object();
    char *answer = NULL;

    if (object && !json_object_set_new(object, "error", json_string(text)))
        answer = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return answer;
}
