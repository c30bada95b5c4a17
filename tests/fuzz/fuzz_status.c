/* An answer from a control socket is read, or refused; what is read can be written and rendered,
 * and written again it is the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status/status.h"

static void render(const struct status *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        abort();
    status_write_text(s, f);
    status_write_peers(s, f);
    fclose(f);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 && text[i] != '\n')
            abort();
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct status s, back;
    char *first, *second;

    if (status_from_json((const char *)data, size, &s))
        return 0;
    render(&s);
    first = status_json(&s, 0);
    if (!first || status_from_json(first, strlen(first), &back))
        abort();
    second = status_json(&back, 0);
    if (!second || strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    status_done(&s);
    status_done(&back);
    return 0;
}
