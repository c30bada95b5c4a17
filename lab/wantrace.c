#include "lab/wantrace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

enum { TIME_MAX_S = 86400, WORDS_FIELDS = 3 };
static const uint64_t SECOND_NS = 1000000000;

/* One line cut at its blanks: time, direction, and the rest. */
struct line {
    const char *field[WORDS_FIELDS];
    size_t len[WORDS_FIELDS];
    unsigned n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* What is before a comment, without blanks around it. */
static struct line line_cut(const char *s, size_t len)
{
    const char *comment = memchr(s, '#', len);
    const char *end = comment ? comment : s + len;
    struct line l = {.n = 0};

    while (end > s && is_blank(end[-1]))
        end--;
    while (l.n < WORDS_FIELDS) {
        while (s < end && is_blank(*s))
            s++;
        if (s == end)
            break;
        l.field[l.n] = s;
        while (s < end && (l.n == WORDS_FIELDS - 1 || !is_blank(*s)))
            s++;
        l.len[l.n] = (size_t)(s - l.field[l.n]);
        l.n++;
    }
    return l;
}

static bool field_is(const struct line *l, unsigned i, const char *word)
{
    return l->len[i] == strlen(word) && memcmp(l->field[i], word, l->len[i]) == 0;
}

/* Room for one more step, in powers of two. */
static int reserve(struct wan_trace *t)
{
    struct wan_step *more;

    if (t->n == WAN_TRACE_STEPS_MAX)
        return -EINVAL;
    if (t->n & (t->n - 1))
        return 0;
    more = realloc(t->step, (t->n ? 2 * (size_t)t->n : 1) * sizeof(*more));
    if (!more)
        return -ENOMEM;
    t->step = more;
    return 0;
}

static bool is_playable(const struct wan_params *p)
{
    return p->rate_bps && wan_queue_limit(p) && !p->cut;
}

static bool last_is_playable(const struct wan_trace *t)
{
    const struct wan_step *s = t->n ? &t->step[t->n - 1] : NULL;

    return s && is_playable(&s->dir[WAN_UP]) && is_playable(&s->dir[WAN_DOWN]);
}

/* The step of that time: the last one, or a new one that begins as the last one is. */
static int step_at(struct wan_trace *t, uint64_t at_ns)
{
    int r;

    if (t->n && t->step[t->n - 1].at_ns == at_ns)
        return 0;
    if (t->n ? at_ns < t->step[t->n - 1].at_ns || !last_is_playable(t) : at_ns != 0)
        return -EINVAL;
    r = reserve(t);
    if (r < 0)
        return r;
    t->step[t->n] = t->n ? t->step[t->n - 1] : (struct wan_step){.at_ns = 0};
    t->step[t->n++].at_ns = at_ns;
    return 0;
}

static int take_words(struct wan_trace *t, const struct line *l, bool up, bool down)
{
    struct wan_step *s = &t->step[t->n - 1];
    char words[WAN_TRACE_WORDS_MAX + 1];
    const char *bad;

    if (l->len[2] > WAN_TRACE_WORDS_MAX)
        return -EINVAL;
    memcpy(words, l->field[2], l->len[2]);
    words[l->len[2]] = '\0';
    if (strlen(words) != l->len[2] || (up && wan_params_parse(&s->dir[WAN_UP], words, &bad) < 0) ||
        (down && wan_params_parse(&s->dir[WAN_DOWN], words, &bad) < 0))
        return -EINVAL;
    return 0;
}

static int take_line(struct wan_trace *t, const struct line *l)
{
    bool both = l->n == 3 && field_is(l, 1, "both");
    bool up = l->n == 3 && (both || field_is(l, 1, "up"));
    bool down = l->n == 3 && (both || field_is(l, 1, "down"));
    uint64_t at_ns;
    int r;

    if (t->period_ns || !wan_time_parse(l->field[0], l->len[0], &at_ns) ||
        at_ns > TIME_MAX_S * SECOND_NS)
        return -EINVAL;
    if (l->n == 2 && field_is(l, 1, "repeat")) {
        if (!last_is_playable(t) || at_ns <= t->step[t->n - 1].at_ns)
            return -EINVAL;
        t->period_ns = at_ns;
        return 0;
    }
    if (!up && !down)
        return -EINVAL;
    r = step_at(t, at_ns);
    return r < 0 ? r : take_words(t, l, up, down);
}

int wan_trace_parse(struct wan_trace *ret, const char *text, size_t len, unsigned *ret_line)
{
    struct wan_trace t = {.step = NULL};
    const char *end = text + len;
    unsigned number = 1;
    int r = 0;

    for (; text < end; number++) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const char *stop = nl ? nl : end;
        struct line l = line_cut(text, (size_t)(stop - text));

        r = l.n ? take_line(&t, &l) : 0;
        if (r < 0)
            break;
        text = nl ? nl + 1 : end;
    }
    if (r == 0 && !last_is_playable(&t))
        r = -EINVAL;
    if (r < 0) {
        wan_trace_done(&t);
        *ret_line = number;
        return r;
    }
    *ret = t;
    return 0;
}

/* Up to size bytes of a file: how many, or the negative errno. */
static ssize_t read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 1;

    if (fd < 0)
        return -errno;
    while (len < size && (n = read(fd, buf + len, size - len)) > 0)
        len += (size_t)n;
    if (n < 0)
        n = -errno;
    close(fd);
    return n < 0 ? n : (ssize_t)len;
}

int wan_trace_load(struct wan_trace *ret, const char *path, unsigned *ret_line)
{
    size_t size = WAN_TRACE_FILE_MAX + 1;
    char *text = calloc(1, size);
    ssize_t n;
    int r;

    *ret_line = 0;
    if (!text)
        return -ENOMEM;
    n = read_file(path, text, size);
    if (n > WAN_TRACE_FILE_MAX)
        r = -EFBIG;
    else
        r = n < 0 ? (int)n : wan_trace_parse(ret, text, (size_t)n, ret_line);
    free(text);
    return r;
}

void wan_trace_done(struct wan_trace *t)
{
    free(t->step);
    *t = (struct wan_trace){.step = NULL};
}

/* The last step that begins at or before that time of the trace. */
static unsigned step_before(const struct wan_trace *t, uint64_t at_ns)
{
    unsigned low = 0, high = t->n;

    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;

        if (t->step[middle].at_ns <= at_ns)
            low = middle;
        else
            high = middle;
    }
    return low;
}

unsigned wan_trace_step(const struct wan_trace *t, uint64_t elapsed_ns)
{
    return step_before(t, t->period_ns ? elapsed_ns % t->period_ns : elapsed_ns);
}

uint64_t wan_trace_next_ns(const struct wan_trace *t, uint64_t elapsed_ns)
{
    uint64_t into_ns = t->period_ns ? elapsed_ns % t->period_ns : elapsed_ns;
    unsigned next = step_before(t, into_ns) + 1;

    if (next < t->n)
        return elapsed_ns + (t->step[next].at_ns - into_ns);
    return t->period_ns ? elapsed_ns + (t->period_ns - into_ns) : UINT64_MAX;
}
