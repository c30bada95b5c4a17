#include "nft/nftable.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nft/carry.h"

#include "base/sock.h"

#define TABLE NFTABLE_FAMILY " " NFTABLE_NAME

enum { ERROR_MAX = 512 };

struct nftable {
    struct nft_ctx *ctx;
    int fd;
    char error[ERROR_MAX];
};

static int signal_open(void)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
    int group = NFNLGRP_NFTABLES;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
        setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group))) {
        int err = errno;

        close(fd);
        return -err;
    }
    return fd;
}

int nftable_open(struct nftable **ret)
{
    struct nftable *t = calloc(1, sizeof(*t));
    int rv = -ENOMEM;

    if (!t)
        return rv;
    t->fd = -1;
    t->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (t->ctx && !nft_ctx_buffer_output(t->ctx) && !nft_ctx_buffer_error(t->ctx)) {
        nft_ctx_output_set_flags(t->ctx, NFT_CTX_OUTPUT_STATELESS | NFT_CTX_OUTPUT_TERSE);
        rv = t->fd = signal_open();
    }
    if (rv < 0) {
        nftable_close(t);
        return rv;
    }
    *ret = t;
    return 0;
}

void nftable_close(struct nftable *t)
{
    if (!t)
        return;
    if (t->ctx)
        nft_ctx_free(t->ctx);
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

/* Keep the first line of what the library says. */
static int run(struct nftable *t, const char *commands)
{
    const char *error;
    int rv = nft_run_cmd_from_buffer(t->ctx, commands);

    error = nft_ctx_get_error_buffer(t->ctx);
    if (!rv)
        return 0;
    snprintf(t->error, sizeof(t->error), "%.*s", (int)strcspn(error ? error : "", "\n"),
             error && *error ? error : "it does not say why");
    return -EINVAL;
}

int nftable_set(struct nftable *t, const char *text)
{
    char *had = NULL, *head = NULL, *all = NULL;
    int rv = nftable_list(t, &had);

    /* a comment of the table cannot be changed: only older versions made one */
    if (!rv && had && !strstr(had, "\n\tcomment \""))
        rv = carry_commands(TABLE, had, text, &head);
    else if (!rv && !(head = strdup("add table " TABLE "\ndelete table " TABLE "\n")))
        rv = -ENOMEM;
    if (!rv && asprintf(&all, "%s%s", head, text) < 0) {
        all = NULL;
        rv = -ENOMEM;
    }
    if (!rv)
        rv = run(t, all);
    free(all);
    free(head);
    free(had);
    return rv;
}

int nftable_remove(struct nftable *t)
{
    return run(t, "add table " TABLE "\ndelete table " TABLE "\n");
}

int nftable_list(struct nftable *t, char **ret)
{
    char *text = NULL;
    int rv = run(t, "list table " TABLE);

    if (rv && strstr(t->error, "No such file or directory")) {
        *ret = NULL;
        return 0;
    }
    if (rv)
        return rv;
    text = strdup(nft_ctx_get_output_buffer(t->ctx));
    if (!text)
        return -ENOMEM;
    *ret = text;
    return 0;
}

const char *nftable_error(const struct nftable *t)
{
    return t->error;
}

int nftable_fd(const struct nftable *t)
{
    return t->fd;
}

int nftable_take(struct nftable *t)
{
    return sock_drain(t->fd);
}
