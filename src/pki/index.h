/* The list of issued certificates: a text file that people can read too, a line each:
 *
 *      SERIAL KIND NAME NOT-BEFORE NOT-AFTER REVOKED
 *      01a3...9f client edge1 2026-01-02T03:04:05Z 2028-04-06T03:04:05Z -
 *
 * SERIAL is hexadecimal, times are UTC, REVOKED is a time or "-". Empty lines and lines that begin
 * with # are skipped. Pure: text in memory to a table and back.
 */
#ifndef PKI_INDEX_H
#define PKI_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pki/error.h"
#include "pki/file.h"

enum {
    PKI_NAME_MAX = 64,               /* with the terminating zero: what a common name can hold */
    PKI_SERIAL_STR_MAX = 2 * 20 + 1, /* RFC 5280, 4.1.2.2: at most 20 octets */
    PKI_TIME_STR_MAX = 24,
    PKI_INDEX_MAX = 100000
};

enum pki_kind { PKI_KIND_CA, PKI_KIND_SERVER, PKI_KIND_CLIENT, PKI_KIND_OTHER, PKI_KIND_COUNT };

const char *pki_kind_name(enum pki_kind kind);

struct index_entry {
    char serial[PKI_SERIAL_STR_MAX]; /* lower case, no leading zero octets but the last */
    enum pki_kind kind;
    char name[PKI_NAME_MAX];
    int64_t not_before, not_after; /* seconds since 1970; 0 = not known */
    int64_t revoked;               /* 0 = not */
};

/* Start from {0}; index_done() frees. In the order of the file. */
struct index_table {
    struct index_entry *v;
    size_t n, room;
};

void index_done(struct index_table *t);

/* Read the text. Returns 0, or -EINVAL with the line that is wrong, -E2BIG beyond PKI_INDEX_MAX
 * lines, -ENOMEM. The table is empty after a failure. */
int index_parse(const char *text, size_t len, struct index_table *ret, struct pki_error *e);

/* The whole file. Returns 0 or -ENOMEM. */
int index_print(const struct index_table *t, struct file_text *ret, struct pki_error *e);

/* Append a copy. Returns 0, -E2BIG or -ENOMEM. */
int index_add(struct index_table *t, const struct index_entry *entry, struct pki_error *e);

/* The entry of a serial number, or NULL. */
struct index_entry *index_find_serial(struct index_table *t, const char *serial);

/* Whether name can be the name of a certificate, and of a directory: 1 to 63 of letters, digits
 * and "._:-", the first neither "." nor "-". */
bool pki_name_ok(const char *name);

/* Bring a serial number as people write it (upper case, colons, 0x, leading zeros) into the shape
 * of index_entry.serial. Returns 0 or -EINVAL. */
int pki_serial_parse(const char *text, char ret[static PKI_SERIAL_STR_MAX]);

/* "2026-01-02T03:04:05Z"; "-" for 0. Returns buf. */
const char *pki_time_str(int64_t t, char buf[static PKI_TIME_STR_MAX]);

/* The reverse. Returns 0 or -EINVAL. */
int pki_time_parse(const char *text, int64_t *ret);

#endif
