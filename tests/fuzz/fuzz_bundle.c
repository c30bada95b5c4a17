/* Any bytes as a bundle, as an authority's index, and as certificates and lists: they are read or
 * refused with one printable line; what is read means the same after printing, and holds no name
 * that could lead out of a directory. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pki/bundle.h"
#include "pki/cert.h"

static void check_names(const struct bundle *b)
{
    if (!bundle_name_ok(b->name) || strchr(b->name, '/') || *b->name == '.' ||
        strpbrk(b->hub, "\"\\/ \n") || strpbrk(b->server_name, "\"\\/ \n") ||
        strpbrk(b->tunnel, "\"\\/ \n:#") || !*b->tunnel || !b->port)
        abort();
}

static void fuzz_bundle(const char *data, size_t size)
{
    struct bundle b = {0}, back = {0};
    struct file_text text = {0};
    struct pki_error e;

    if (bundle_parse(data, size, &b, &e)) {
        if (b.ca.data || b.cert.data || b.key.data)
            abort();
        return;
    }
    check_names(&b);
    if (bundle_print(&b, &text, &e))
        abort();
    if (!bundle_parse(text.data, text.len, &back, &e) &&
        (strcmp(b.name, back.name) || strcmp(b.hub, back.hub) || b.port != back.port ||
         b.n_route != back.n_route || memcmp(b.route, back.route, sizeof(b.route))))
        abort();
    bundle_check(&b, &e);
    bundle_done(&b);
    bundle_done(&back);
    file_text_done(&text);
}

static void fuzz_index(const char *data, size_t size)
{
    struct index_table t = {0}, back = {0};
    struct file_text text = {0};
    struct pki_error e;

    if (index_parse(data, size, &t, &e))
        return;
    if (index_print(&t, &text, &e) || index_parse(text.data, text.len, &back, &e) || back.n != t.n)
        abort();
    index_done(&t);
    index_done(&back);
    file_text_done(&text);
}

static void fuzz_pem(const char *data, size_t size)
{
    struct file_text text = {0};
    struct crl_table crl = {0};
    struct cert_info info;
    struct pki_error e;

    if (file_text_set(&text, data, size, &e))
        return;
    if (!cert_read(&text, &info, &e))
        for (const char *s = info.sans; *s; s++)
            if (*s < ' ' || *s > '~')
                abort();
    if (!crl_read(&text, &crl, &e))
        crl_done(&crl);
    file_text_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    switch (data[0]) {
    case 'i':
        fuzz_index((const char *)data + 1, size - 1);
        break;
    case 'p':
        fuzz_pem((const char *)data + 1, size - 1);
        break;
    default: /* a bundle begins with its own letter */
        fuzz_bundle((const char *)data, size);
    }
    return 0;
}
