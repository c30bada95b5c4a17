#include "pki/error.h"

#include <stdarg.h>
#include <stdio.h>

int pki_error_set(struct pki_error *e, int rv, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return rv;
}
