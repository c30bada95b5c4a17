#include "wan/telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "control/request.h"
#include "status/status.h"

/* An answer holds for so long. */
#define FRESH_NS (3 * NS_PER_S)

enum { CHUNK = 16384, READS_MAX = 16 };

/* --- what is said ---------------------------------------------------------------------- */

static void best_rtt(const struct status_path *v, size_t n, uint64_t *best_us)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].lanes && v[i].quic.rtt_smoothed_us)
            *best_us = MIN(*best_us, v[i].quic.rtt_smoothed_us);
}

int telemetry_read(const char *text, size_t len, bool *ret_up, uint32_t *ret_rtt_us)
{
    uint64_t best_us = UINT32_MAX;
    struct status s;

    if (status_from_json(text, len, &s))
        return -EINVAL;
    *ret_up = !strcmp(s.role, "server") ? s.n_peers_up > 0 : status_is_up(&s);
    best_rtt(s.paths, s.n_paths, &best_us);
    for (size_t i = 0; i < s.n_peers; i++)
        best_rtt(s.peers[i].paths, s.peers[i].n_paths, &best_us);
    *ret_rtt_us = best_us < UINT32_MAX ? (uint32_t)best_us : 0;
    status_done(&s);
    return 0;
}

bool telemetry_is_up(const struct telemetry *t, uint64_t now_ns)
{
    return t->known && t->up && now_ns - t->told_ns < FRESH_NS;
}

/* --- asking ---------------------------------------------------------------------------- */

static void end(struct telemetry *t)
{
    if (t->io.fd >= 0) {
        loop_io_remove(t->loop, &t->io);
        close(t->io.fd);
    }
    t->io.fd = -1;
    t->len = 0;
}

static void tell(struct telemetry *t, bool up, uint32_t rtt_us)
{
    t->known = true;
    t->up = up;
    t->rtt_us = rtt_us;
    t->told_ns = loop_now_ns(t->loop);
}

static void take_answer(struct telemetry *t)
{
    uint32_t rtt_us = 0;
    bool up = false;

    /* Too many ask at the same time when it is empty: that says nothing. */
    if (t->len && telemetry_read(t->text, t->len, &up, &rtt_us))
        up = false;
    if (t->len)
        tell(t, up, rtt_us);
    end(t);
}

static bool make_room(struct telemetry *t)
{
    char *grown;

    if (t->room - t->len >= CHUNK)
        return true;
    if (t->room >= TELEMETRY_ANSWER_MAX)
        return false;
    grown = realloc(t->text, t->room * 2 + CHUNK);
    if (!grown)
        return false;
    t->text = grown;
    t->room = t->room * 2 + CHUNK;
    return true;
}

static void on_readable(struct loop_io *io, uint32_t events)
{
    struct telemetry *t = io->user;

    for (unsigned i = 0; i < READS_MAX; i++) {
        ssize_t n;

        if (!make_room(t)) {
            end(t);
            return;
        }
        n = recv(io->fd, t->text + t->len, t->room - t->len, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            take_answer(t);
            return;
        }
        t->len += (size_t)n;
    }
}

void telemetry_init(struct telemetry *t, struct loop *loop)
{
    t->loop = loop;
    t->io.fd = -1;
    t->io.cb = on_readable;
    t->io.user = t;
}

void telemetry_done(struct telemetry *t)
{
    end(t);
    free(t->text);
    t->text = NULL;
    t->room = 0;
}

void telemetry_ask(struct telemetry *t, int fd)
{
    char line[CONTROL_REQUEST_MAX];

    end(t);
    if (fd < 0) {
        tell(t, false, 0);
        return;
    }
    snprintf(line, sizeof(line), "{\"cmd\":\"%s\"}\n", control_cmd_name(CONTROL_STATUS));
    /* What fails here is shown by the answer. */
    (void)!send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (loop_io_add(t->loop, &t->io, fd, EPOLLIN)) {
        close(fd);
        t->io.fd = -1;
    }
}
