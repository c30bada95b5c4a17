#include "wan/confirm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/readfile.h"
#include "base/util.h"
#include "wan/statefile.h"

#define CONFIRMED "gateway.confirmed"
#define TRIAL "gateway.trial"
#define ANSWER "gateway.answer"
#define LOCK "gateway.state.lock"
#define HEAD "mpquic gateway trial 1\n"

/* --- a trial as text ------------------------------------------------------------------- */

void confirm_trial_done(struct confirm_trial *t)
{
    free(t->text);
    *t = (struct confirm_trial){0};
}

int confirm_trial_format(const struct confirm_trial *t, char **ret, size_t *ret_len)
{
    char head[sizeof(HEAD) + CONFIRM_ID_MAX + CONFIRM_BOOT_MAX + CONFIG_PATH_NAME_MAX + 64];
    int n =
        snprintf(head, sizeof(head), HEAD "id %s\nboot %s\nuntil %" PRIu64 "\nasks %d\n%s%s%s\n",
                 t->id, t->boot, t->deadline_ns, t->asks, *t->link ? "disables " : "", t->link,
                 *t->link ? "\n" : "");
    char *file = malloc((size_t)n + t->len + 1);

    if (!file)
        return -ENOMEM;
    memcpy(file, head, (size_t)n);
    memcpy(file + n, t->text, t->len);
    file[(size_t)n + t->len] = 0;
    *ret = file;
    *ret_len = (size_t)n + t->len;
    return 0;
}

/* What may follow the rest of the head. */
static bool parse_link(const char *line, char ret[static CONFIG_PATH_NAME_MAX])
{
    int end = 0;

    return !*line || (sscanf(line, "disables %15[^ \n]\n%n", ret, &end) == 1 && end && !line[end]);
}

int confirm_trial_parse(const char *file, size_t len, struct confirm_trial *ret)
{
    struct confirm_trial t = {0};
    const char *body = memmem(file, len, "\n\n", 2);
    char head[256];
    int end = 0, asks = 0;

    if (!body || (size_t)(body - file) + 2 > sizeof(head))
        return -EBADMSG;
    snprintf(head, sizeof(head), "%.*s\n", (int)(body - file), file);
    if (strncmp(head, HEAD, strlen(HEAD)) != 0 ||
        sscanf(head + strlen(HEAD),
               "id %16[0-9a-f]\nboot %47[0-9a-zA-Z-]\nuntil %" SCNu64 "\nasks %d\n%n", t.id, t.boot,
               &t.deadline_ns, &asks, &end) != 4 ||
        !end || !parse_link(head + strlen(HEAD) + (size_t)end, t.link))
        return -EBADMSG;
    body += 2;
    t.asks = asks;
    t.len = len - (size_t)(body - file);
    t.text = malloc(t.len + 1);
    if (!t.text)
        return -ENOMEM;
    memcpy(t.text, body, t.len);
    t.text[t.len] = 0;
    *ret = t;
    return 0;
}

bool confirm_trial_is_over(const struct confirm_trial *t, const char *boot, uint64_t now_ns)
{
    return strcmp(t->boot, boot) != 0 || now_ns >= t->deadline_ns;
}

/* --- this machine ---------------------------------------------------------------------- */

static int read_boot(char ret[static CONFIRM_BOOT_MAX])
{
    _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, CONFIRM_BOOT_MAX - 1);

    if (n <= 0)
        return n ? -errno : -ENODATA;
    ret[n] = 0;
    ret[strcspn(ret, "\n")] = 0;
    return 0;
}

bool confirm_is_over_now(const struct confirm_trial *t)
{
    char boot[CONFIRM_BOOT_MAX];

    return read_boot(boot) || confirm_trial_is_over(t, boot, clock_mono_ns());
}

/* Who reads and then writes holds this meanwhile; it is held for no longer than the disk takes. */
static int lock_files(const char *dir)
{
    char path[STATEFILE_PATH_MAX];
    int rv = statefile_path(path, dir, LOCK), fd;

    if (rv)
        return rv;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    while (flock(fd, LOCK_EX))
        if (errno != EINTR) {
            rv = -errno;
            close(fd);
            return rv;
        }
    return fd;
}

/* --- the trial ------------------------------------------------------------------------- */

int confirm_trial_load(const char *dir, struct confirm_trial *ret)
{
    _cleanup_free_ char *file = NULL;
    size_t len;
    int rv = statefile_read(dir, TRIAL, &file, &len);

    if (rv == -EFBIG)
        return -EBADMSG; /* it is not of ours */
    return rv ? rv : confirm_trial_parse(file, len, ret);
}

static int save_trial(const char *dir, const struct confirm_trial *t)
{
    char *file = NULL;
    size_t len = 0;
    int rv = confirm_trial_format(t, &file, &len);

    if (!rv)
        rv = statefile_write(dir, TRIAL, file, len);
    free(file);
    return rv;
}

int confirm_new_id(char ret[static CONFIRM_ID_MAX])
{
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return -EIO;
    snprintf(ret, CONFIRM_ID_MAX, "%016" PRIx64, random);
    return 0;
}

static int make_trial(const char *text, unsigned seconds, bool asks, const char *link,
                      struct confirm_trial *ret)
{
    int rv = read_boot(ret->boot);

    if (!rv && link && snprintf(ret->link, sizeof(ret->link), "%s", link) >= (int)sizeof(ret->link))
        rv = -ENAMETOOLONG;
    if (!rv)
        rv = confirm_new_id(ret->id);
    if (rv)
        return rv;
    ret->deadline_ns = clock_mono_ns() + seconds * NS_PER_S;
    ret->asks = asks;
    ret->text = strdup(text);
    ret->len = strlen(text);
    return ret->text ? 0 : -ENOMEM;
}

int confirm_trial_begin(const char *dir, const char *text, unsigned seconds, bool asks,
                        const char *link, struct confirm_trial *ret)
{
    _cleanup_close_ int lock = lock_files(dir);
    struct confirm_trial t = {0};
    int rv = lock < 0 ? lock : confirm_trial_load(dir, &t);

    confirm_trial_done(&t);
    if (rv != -ENOENT)
        return !rv || rv == -EBADMSG ? -EBUSY : rv;
    rv = make_trial(text, seconds, asks, link, &t);
    if (!rv)
        rv = save_trial(dir, &t);
    if (rv) {
        confirm_trial_done(&t);
        return rv;
    }
    *ret = t;
    return 0;
}

/* Confirmed first: cut between both the trial that is left is of what is confirmed. */
int confirm_trial_accept(const char *dir)
{
    _cleanup_close_ int lock = lock_files(dir);
    struct confirm_trial t = {0};
    int rv = lock < 0 ? lock : confirm_trial_load(dir, &t);

    if (rv == -EBADMSG || (!rv && confirm_is_over_now(&t)))
        rv = -ETIME;
    if (!rv)
        rv = statefile_write(dir, CONFIRMED, t.text, t.len);
    if (!rv)
        rv = statefile_remove(dir, TRIAL);
    confirm_trial_done(&t);
    return rv;
}

int confirm_trial_reject(const char *dir)
{
    _cleanup_close_ int lock = lock_files(dir);
    struct confirm_trial t = {0};
    int rv = lock < 0 ? lock : confirm_trial_load(dir, &t);

    if (rv == -EBADMSG)
        return 0;
    t.deadline_ns = 0;
    if (!rv)
        rv = save_trial(dir, &t);
    confirm_trial_done(&t);
    return rv;
}

int confirm_trial_end(const char *dir, const char *id)
{
    _cleanup_close_ int lock = lock_files(dir);
    struct confirm_trial t = {0};
    int rv = lock < 0 ? lock : confirm_trial_load(dir, &t);

    if (rv == -ENOENT || (!rv && id && strcmp(id, t.id) != 0))
        rv = 0;
    else if (!rv || rv == -EBADMSG)
        rv = statefile_remove(dir, TRIAL);
    confirm_trial_done(&t);
    return rv;
}

/* --- the confirmed text ---------------------------------------------------------------- */

int confirm_load(const char *dir, char **ret, size_t *ret_len)
{
    return statefile_read(dir, CONFIRMED, ret, ret_len);
}

int confirm_save(const char *dir, const char *text)
{
    _cleanup_free_ char *old = NULL;
    size_t len = strlen(text), old_len;

    if (!confirm_load(dir, &old, &old_len) && old_len == len && !memcmp(old, text, len))
        return 0;
    return statefile_write(dir, CONFIRMED, text, len);
}

int confirm_forget(const char *dir)
{
    _cleanup_close_ int lock = lock_files(dir);
    int rv = lock < 0 ? lock : statefile_remove(dir, TRIAL);

    if (!rv)
        rv = statefile_remove(dir, ANSWER);
    return rv ? rv : statefile_remove(dir, CONFIRMED);
}

/* --- the answer ------------------------------------------------------------------------ */

int confirm_tell(const char *dir, const char *id, int error, const char *text)
{
    char line[CONFIRM_TEXT_MAX + CONFIRM_ID_MAX + 16];
    int n = snprintf(line, sizeof(line), "%s %d %.*s\n", id, -error, CONFIRM_TEXT_MAX - 1, text);

    return statefile_write(dir, ANSWER, line, (size_t)MIN(n, (int)sizeof(line) - 1));
}

int confirm_answer(const char *dir, const char *id, int *ret_error,
                   char ret_text[static CONFIRM_TEXT_MAX])
{
    _cleanup_free_ char *line = NULL;
    char whose[CONFIRM_ID_MAX];
    size_t len;
    int rv = statefile_read(dir, ANSWER, &line, &len), error, at = 0;

    if (rv)
        return rv;
    if (sscanf(line, "%16s %d %n", whose, &error, &at) != 2 || !at || error < 0 ||
        strcmp(whose, id) != 0)
        return -ENOENT;
    snprintf(ret_text, CONFIRM_TEXT_MAX, "%.*s", (int)strcspn(line + at, "\n"), line + at);
    *ret_error = -error;
    return 0;
}

/* --- what holds ------------------------------------------------------------------------ */

static bool understand(const char *text, size_t len, struct gateway_config *ret)
{
    struct config_report report = {0};
    int rv = gateway_config_parse(text, len, ret, &report);

    config_report_done(&report);
    return !rv;
}

bool confirm_is_understood(const char *dir)
{
    struct gateway_config *c = calloc(1, sizeof(*c));
    _cleanup_free_ char *text = NULL;
    size_t len = 0;
    int rv = c ? confirm_load(dir, &text, &len) : -ENOMEM;
    bool understood = rv == -ENOENT || (!rv && (!len || understand(text, len, c)));

    free(c);
    return understood;
}

static int choose_trial(const char *dir, struct gateway_config *ret, char **ret_text)
{
    struct confirm_trial t = {0};
    int rv = confirm_trial_load(dir, &t);

    if (rv)
        return rv == -ENOENT || rv == -EBADMSG ? 0 : rv;
    if (!confirm_is_over_now(&t) && understand(t.text, t.len, ret)) {
        *ret_text = t.text;
        t.text = NULL;
        rv = 1;
    }
    confirm_trial_done(&t);
    return rv;
}

int confirm_choose(const char *dir, bool trial, struct gateway_config *ret,
                   enum confirm_source *ret_source, char **ret_text)
{
    char *text = NULL;
    enum confirm_source source = CONFIRM_SOURCE_TRIAL;
    size_t len;
    int rv = trial ? choose_trial(dir, ret, &text) : 0;

    if (!rv) {
        rv = confirm_load(dir, &text, &len);
        source = rv                           ? CONFIRM_SOURCE_NONE
                 : !len                       ? CONFIRM_SOURCE_NOTHING
                 : understand(text, len, ret) ? CONFIRM_SOURCE_CONFIRMED
                                              : CONFIRM_SOURCE_NONE;
    }
    if (rv < 0 && rv != -ENOENT) {
        free(text);
        return rv;
    }
    if (source == CONFIRM_SOURCE_NOTHING)
        *ret = (struct gateway_config){.log_level = LOG_LEVEL_INFO};
    *ret_source = source;
    if (!ret_text || source < CONFIRM_SOURCE_CONFIRMED) {
        free(text);
        text = NULL;
    }
    if (ret_text)
        *ret_text = text;
    return 0;
}
