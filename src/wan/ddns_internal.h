/* Between the process that decides and those that tell. Nobody outside this folder uses it. */
#ifndef WAN_DDNS_INTERNAL_H
#define WAN_DDNS_INTERNAL_H

#include "wan/ddns.h"
#include "wan/dnsupdate.h"

enum { DDNS_TEXT_MAX = 160, DDNS_SECONDS_MAX = 30 };

/* One telling. */
struct ddns_task {
    const struct gateway_dns *dns;
    const char *device;
    struct ip_addr address;
    struct dnsupdate_key key; /* of a name */
    int sock;                 /* of a name: bound and connected; else -1 */
    int input;                /* of a URL: what curl reads; else -1 */
};

/* What is not the child's to do: the key, the socket, the text for curl. Returns 0 or -errno with
 * what was tried in *ret_what; ddns_task_done() in every case. */
int ddns_task_prepare(struct ddns_task *t, const char **ret_what);
void ddns_task_done(struct ddns_task *t);

/* In a new process, whose standard error becomes the descriptor out: do it, say there what is
 * wrong, and end with 0 when it has worked. */
struct sandbox_user;
void ddns_child_run(const struct ddns_task *t, const struct sandbox_user *user, int parent, int out)
    __attribute__((noreturn));

#endif
