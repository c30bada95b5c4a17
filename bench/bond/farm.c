#include "bench/bond/farm.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What processes have in common but the units. */
struct shared {
    atomic_uint next;
};

static void *share(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

struct unit *farm_units(unsigned n)
{
    return share(n * sizeof(struct unit));
}

/* One process: takes the next unit until there is none, and says each that it has done. */
static void work(struct unit *units, unsigned n, const struct unit_opts *o, struct shared *shared,
                 int say)
{
    for (unsigned i; (i = atomic_fetch_add(&shared->next, 1)) < n;) {
        unit_run(&units[i], o);
        if (write(say, &i, sizeof(i)) != sizeof(i))
            _exit(EXIT_FAILURE);
    }
    _exit(EXIT_SUCCESS);
}

static int start(struct unit *units, unsigned n, const struct unit_opts *o, unsigned processes,
                 struct shared *shared, const int ends[2])
{
    fflush(NULL);
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();

        if (pid < 0)
            return -errno;
        if (pid)
            continue;
        close(ends[0]);
        work(units, n, o, shared, ends[1]);
    }
    return 0;
}

/* Until no process can say anything any more. */
static unsigned tell_all(const struct unit *units, unsigned n, int hear, bool *done,
                         void (*tell)(void *user, const struct unit *u), void *user)
{
    unsigned told = 0, i;

    while (read(hear, &i, sizeof(i)) == sizeof(i)) {
        done[i] = true;
        for (; told < n && done[told]; told++)
            tell(user, &units[told]);
    }
    return told;
}

static int run_processes(struct unit *units, unsigned n, const struct unit_opts *o,
                         unsigned processes, void (*tell)(void *user, const struct unit *u),
                         void *user)
{
    struct shared *shared = share(sizeof(*shared));
    bool *done = calloc(n, sizeof(*done));
    unsigned told = 0;
    int r, ends[2];

    if (!shared || !done || pipe(ends) < 0) {
        free(done);
        return -ENOMEM;
    }
    r = start(units, n, o, processes, shared, ends);
    close(ends[1]);
    told = tell_all(units, n, ends[0], done, tell, user);
    close(ends[0]);
    while (wait(NULL) > 0) {
    }
    free(done);
    munmap(shared, sizeof(*shared));
    return r < 0 ? r : told == n ? 0 : -ECHILD;
}

int farm_run(struct unit *units, unsigned n, const struct unit_opts *o, unsigned processes,
             void (*tell)(void *user, const struct unit *u), void *user)
{
    if (n && processes > 1)
        return run_processes(units, n, o, processes, tell, user);
    for (unsigned i = 0; i < n; i++) {
        unit_run(&units[i], o);
        tell(user, &units[i]);
    }
    return 0;
}
