/* An authority of a test's own, and what a test asks of it. */
#ifndef TESTS_UNIT_PKI_WORLD_H
#define TESTS_UNIT_PKI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "pki/store.h"
#include "pki_dir.h"

struct world {
    char root[64];
    struct pki pki;
    struct pki_error e;
};

#define OK(call)                                             \
    do {                                                     \
        int ok_rv = (call);                                  \
        if (ok_rv)                                           \
            fail_msg("%s: %d: %s", #call, ok_rv, w->e.text); \
    } while (0)

static inline int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    snprintf(w->root, sizeof(w->root), "/tmp/mpquic-pki-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->pki.dir, sizeof(w->pki.dir), "%s/pki", w->root);
    w->pki.now_s = time(NULL);
    *state = w;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    pki_dir_remove(w->root);
    free(w);
    return 0;
}

static inline void world_init(struct world *w)
{
    bool made, new;

    OK(pki_init(&w->pki, &(struct pki_init_opts){0}, &made, &new, &w->e));
    assert_true(made);
    assert_true(new);
}

static inline int world_issue(struct world *w, enum pki_kind kind, const char *name)
{
    return pki_issue(&w->pki, &(struct pki_issue_opts){.kind = kind, .name = name}, &w->e);
}

static inline struct cert_info world_info(struct world *w, enum pki_kind kind, const char *name)
{
    _cleanup_text_ struct file_text text = {0};
    struct cert_info info = {0};

    OK(pki_read(&w->pki, kind, name, PKI_CERT_FILE, &text, &w->e));
    OK(cert_read(&text, &info, &w->e));
    return info;
}

/* 0, -EKEYREVOKED, or another reason why a hub with our list would not take the certificate. */
static inline int world_verify(struct world *w, enum pki_kind kind, const char *name)
{
    _cleanup_text_ struct file_text cert = {0}, key = {0}, ca = {0}, crl = {0};
    char path[FILE_PATH_MAX];
    int rv;

    OK(file_path(path, w->pki.dir, "crl.pem", &w->e));
    OK(file_read(path, &crl, &w->e));
    OK(pki_read_ca(&w->pki, &ca, &w->e));
    OK(pki_read(&w->pki, kind, name, PKI_CERT_FILE, &cert, &w->e));
    OK(pki_read(&w->pki, kind, name, PKI_KEY_FILE, &key, &w->e));
    rv = cert_check_key(&cert, &key, &w->e);
    return rv ? rv : cert_check_chain(&cert, &ca, &crl, kind, &w->e);
}

static inline size_t world_list(struct world *w, struct index_table *t)
{
    OK(pki_list(&w->pki, t, &w->e));
    return t->n;
}

static inline const char *world_path(struct world *w, const char *name)
{
    static char path[FILE_PATH_MAX];

    OK(file_path(path, w->pki.dir, name, &w->e));
    return path;
}

#endif
