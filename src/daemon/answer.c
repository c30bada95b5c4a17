#include "daemon/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static char *encode(const struct status *s, bool peers_only)
{
    return peers_only ? status_peers_json(s, 0) : status_json(s, 0);
}

/* One peer may take more than another: what was too long is tried with less than would fit on
 * average, and again. */
static char *encode_some(struct status *s, bool peers_only, size_t max, size_t len)
{
    char *text = NULL;

    do {
        s->n_peers =
            MIN(s->n_peers - 1, (size_t)((double)s->n_peers * (double)max / (double)len * 0.9));
        free(text);
        text = encode(s, peers_only);
        len = text ? strlen(text) : 0;
    } while (len > max && s->n_peers);
    return text;
}

char *answer_status(struct status *s, bool peers_only, size_t max)
{
    char *text = encode(s, peers_only), line[STATUS_TEXT_MAX];
    size_t len = text ? strlen(text) : 0, all = s->n_peers;

    if (len <= max || !all)
        return text;
    free(text);
    snprintf(line, sizeof(line), "only some of the %zu peers are listed: all would be %zu MiB", all,
             len >> 20);
    if (status_add_string(&s->warnings, line))
        return NULL;
    text = encode_some(s, peers_only, max, len + sizeof(line));
    s->n_peers = all; /* they are all to be freed */
    return text;
}
