#include "daemon/cipher.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

/* Let go of the code of one loaded object, if it holds the address: pages that are the file's,
 * unchanged, and come back when they are needed. */
static int give_back(struct dl_phdr_info *object, size_t size, void *user)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), address = (uintptr_t)user;
    bool holds = false;

    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        uintptr_t begin = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;

        holds |= object->dlpi_phdr[i].p_type == PT_LOAD && address >= begin &&
                 address - begin < object->dlpi_phdr[i].p_memsz;
    }
    for (unsigned i = 0; i < object->dlpi_phnum && holds; i++) {
        const ElfW(Phdr) *p = &object->dlpi_phdr[i];
        uintptr_t begin = (object->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t end = (object->dlpi_addr + p->p_vaddr + p->p_memsz) & ~(page - 1);

        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && end > begin)
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return holds;
}

const struct aead_backend *cipher_choose(void)
{
    const char *wish = getenv("MPQUIC_AEAD"), *why = "";
    const struct aead_backend *aead;
    int rv = aead_choose(wish, &aead, &why);

    /* A wish that cannot be granted is no reason to stay down. */
    if (rv && wish && *wish) {
        log_error("aead: MPQUIC_AEAD=%s: %s", wish, rv == -ENOENT ? "not built in" : why);
        rv = aead_choose(NULL, &aead, &why);
    }
    /* A library that tests itself has touched all of its code, which is megabytes. */
    for (const struct aead_backend *const *b = aead_backends; *b; b++)
        if ((*b)->code)
            dl_iterate_phdr(give_back, (void *)(*b)->code);
    if (rv)
        return NULL;
    log_info("aead: %s%s%s", aead->name, *why ? "; a faster one does not work here: " : "", why);
    return aead;
}
