/* What a person is told when something of src/pki fails: one line, with the remedy in it. */
#ifndef PKI_ERROR_H
#define PKI_ERROR_H

struct pki_error {
    char text[512];
};

/* Write the line and return rv, so that a function can end with it. */
int pki_error_set(struct pki_error *e, int rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
