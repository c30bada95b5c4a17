/* One telling: what is prepared with privileges, and the process that does it without. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/readfile.h"
#include "base/util.h"
#include "helper/sandbox.h"
#include "wan/ddns_internal.h"

enum { KEY_FILE_MAX = 4096, TRIES = 3, TRY_MS = 2000, SPECIAL_FD = STDERR_FILENO + 1 };

#define CURL "/usr/bin/curl"

/* --- with privileges ------------------------------------------------------------------- */

static int read_key(const char *path, struct dnsupdate_key *ret)
{
    _cleanup_close_ int fd = readfile_open(path);
    struct stat st;
    char *text = NULL;
    size_t len;
    int rv = fd < 0 ? fd : fstat(fd, &st) ? -errno : 0;

    if (!rv && st.st_mode & 077)
        rv = -EACCES;
    if (!rv)
        rv = readfile_text(fd, KEY_FILE_MAX, &text, &len);
    if (rv)
        return rv;
    rv = dnsupdate_key_parse(text, ret);
    explicit_bzero(text, len);
    free(text);
    return rv;
}

/* To the server by the interface, from the address that is told. */
static int open_socket(const struct ddns_task *t, int *ret)
{
    struct net_addr from = net_addr_make(&t->address, 0);
    struct net_addr to = net_addr_make(&t->dns->server, t->dns->port);
    int fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    *ret = fd;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, t->device, (socklen_t)strlen(t->device) + 1) ||
        bind(fd, &from.sa, from.len) || connect(fd, &to.sa, to.len))
        return -errno;
    return 0;
}

/* The options of curl, as it reads them from a file: nothing of it is in its arguments. */
static int write_options(const struct ddns_task *t, FILE *out)
{
    static const char place[] = "{address}";
    const char *url = t->dns->url, *at;
    char text[IP_ADDR_STR_MAX];

    fprintf(out,
            "interface = \"if!%s\"\nipv%u\nsilent\nshow-error\nfail\ngloboff\nnoproxy = \"*\"\n"
            "proto = \"=http,https\"\nconnect-timeout = 10\nmax-time = %d\nmax-filesize = 65536\n"
            "output = \"/dev/null\"\nurl = \"",
            t->device, t->address.family, DDNS_SECONDS_MAX - 5);
    for (; (at = strstr(url, place)); url = at + strlen(place))
        fprintf(out, "%.*s%s", (int)(at - url), url, ip_addr_str(&t->address, text));
    fprintf(out, "%s\"\n", url);
    return ferror(out) ? -EIO : 0;
}

static int make_input(const struct ddns_task *t, int *ret)
{
    int fd = memfd_create("curl", MFD_CLOEXEC), copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    int rv = out ? write_options(t, out) : -errno;

    if (out && fclose(out) && !rv)
        rv = -errno;
    if (!out && copy >= 0)
        close(copy);
    if (!rv && lseek(fd, 0, SEEK_SET))
        rv = -errno;
    *ret = fd;
    return rv;
}

int ddns_task_prepare(struct ddns_task *t, const char **ret_what)
{
    int rv;

    t->sock = t->input = -1;
    if (*t->dns->url) {
        *ret_what = "write the options of curl";
        return make_input(t, &t->input);
    }
    *ret_what = "read the key, which nobody but its owner may read";
    rv = read_key(t->dns->key, &t->key);
    if (rv)
        return rv;
    *ret_what = "reach the server by the link";
    return open_socket(t, &t->sock);
}

void ddns_task_done(struct ddns_task *t)
{
    if (t->sock >= 0)
        close(t->sock);
    if (t->input >= 0)
        close(t->input);
    explicit_bzero(&t->key, sizeof(t->key));
}

/* --- without --------------------------------------------------------------------------- */

static void fail(const char *what, int err) __attribute__((noreturn));
static void fail(const char *what, int err)
{
    fprintf(stderr, "%s%s%s\n", what, err ? ": " : "", err ? strerror(err) : "");
    fflush(stderr);
    _exit(1);
}

/* Returns false when nothing came that is an answer. Ends the process with any that is. */
static bool wait_answer(int fd, uint16_t id, const struct ddns_task *t, const uint8_t *mac)
{
    uint64_t end = clock_mono_ns() + TRY_MS * NS_PER_MS, now;
    uint8_t buf[DNSUPDATE_MAX];

    while ((now = clock_mono_ns()) < end) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = STDERR_FILENO}};
        ssize_t n = poll(p, ARRAY_LEN(p), (int)((end - now) / NS_PER_MS) + 1) > 0
                        ? recv(fd, buf, sizeof(buf), 0)
                        : 0;
        int rv =
            n > 0 ? dnsupdate_read(buf, (size_t)n, id, &t->key, mac, clock_real_s()) : -EBADMSG;

        if (!rv)
            _exit(0);
        if (p[1].revents) /* nobody reads what it says any more */
            _exit(1);
        if (rv > 0) {
            fprintf(stderr, "the server says %s", dnsupdate_rcode_name(rv));
            fail("", 0);
        }
        if (rv == -EKEYREJECTED)
            fail("the answer is not signed with the key", 0);
    }
    return false;
}

static void update(const struct ddns_task *t, int fd) __attribute__((noreturn));
static void update(const struct ddns_task *t, int fd)
{
    const char *dot = strchr(t->dns->name, '.');
    struct dnsupdate u = {.zone = *t->dns->zone ? t->dns->zone
                                  : dot         ? dot + 1
                                                : "",
                          .name = t->dns->name,
                          .ttl_s = t->dns->ttl_s,
                          .address = t->address};
    uint8_t buf[DNSUPDATE_MAX], mac[DNSUPDATE_MAC_LEN];
    size_t len;
    int rv;

    if (getrandom(&u.id, sizeof(u.id), 0) != sizeof(u.id))
        fail("no random number", errno);
    rv = dnsupdate_write(&u, &t->key, clock_real_s(), buf, &len, mac);
    if (rv)
        fail("the update cannot be written", -rv);
    for (unsigned i = 0; i < TRIES; i++) {
        if (send(fd, buf, len, 0) < 0 && errno != ECONNREFUSED && errno != EAGAIN)
            fail("the update cannot be sent", errno);
        wait_answer(fd, u.id, t, mac);
    }
    fail("the server does not answer", 0);
}

static void fetch(int fd) __attribute__((noreturn));
static void fetch(int fd)
{
    static char name[] = "curl", quiet[] = "-q", config[] = "--config", input[] = "-";
    static char path[] = "PATH=/usr/bin:/bin", home[] = "HOME=/nonexistent", lang[] = "LC_ALL=C";
    char *const args[] = {name, quiet, config, input, NULL};
    char *const environment[] = {path, home, lang, NULL};

    if (dup2(fd, STDIN_FILENO) < 0)
        fail("standard input", errno);
    close(fd);
    execve(CURL, args, environment);
    fail(CURL, errno);
}

/* Descriptors beyond the standard ones are the special one, and no more. */
static int keep_descriptors(int special, int out)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
        dup2(out, STDERR_FILENO) < 0)
        return -errno;
    if (special != SPECIAL_FD && dup2(special, SPECIAL_FD) < 0)
        return -errno;
    return close_range(SPECIAL_FD + 1, ~0u, 0) ? -errno : 0;
}

void ddns_child_run(const struct ddns_task *t, const struct sandbox_user *user, int parent, int out)
{
    bool same_user = false, by_url = *t->dns->url;
    const char *what = "keep its descriptors";
    sigset_t none;
    int rv = keep_descriptors(by_url ? t->input : t->sock, out);

    prctl(PR_SET_NAME, "mpquic-dns");
    for (int i = 1; i < SIGRTMIN; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    alarm(DDNS_SECONDS_MAX);
    if (!rv && by_url)
        rv = sandbox_become(user, parent, &same_user, &what);
    else if (!rv)
        rv = sandbox_enter(user, parent, &same_user, &what);
    if (rv)
        fail(what, -rv);
    if (by_url)
        fetch(SPECIAL_FD);
    update(t, SPECIAL_FD);
}
