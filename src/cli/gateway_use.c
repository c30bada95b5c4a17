#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/gateway.h"
#include "wan/confine.h"

enum { CANNOT_RUN = 126, NOT_FOUND = 127, BY_SIGNAL = 128 }; /* as of a shell */

static volatile sig_atomic_t child;

static void pass_on(int signo)
{
    if (child > 0)
        kill((pid_t)child, signo);
}

/* The terminal sends SIGINT and SIGQUIT to the command itself; the others are passed on. */
static void set_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, pass = {.sa_handler = pass_on};

    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
}

static void run_command(const struct confine *c, char **command)
{
    int rv = confine_enter(c);

    if (rv) {
        fprintf(stderr, "mpquic gateway use: cannot bind the command: %s\n", strerror(-rv));
        _exit(EXIT_CODE_START);
    }
    execvp(*command, command);
    rv = errno;
    fprintf(stderr, "mpquic gateway use: %s: %s\n", *command, strerror(rv));
    _exit(rv == ENOENT ? NOT_FOUND : CANNOT_RUN);
}

/* Returns the exit status of the command. */
static int wait_command(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return EXIT_CODE_INTERNAL;
    return WIFSIGNALED(status) ? BY_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

static int use(struct confine *c, char **command)
{
    pid_t pid;
    int code;

    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        fprintf(stderr, "mpquic gateway use: %s\n", strerror(errno));
        code = EXIT_CODE_START;
    } else {
        if (!pid)
            run_command(c, command);
        child = pid;
        set_signals();
        code = wait_command(pid);
    }
    if (confine_close(c) == -EBUSY)
        fprintf(stderr, "mpquic gateway use: processes that the command has left run on, bound\n");
    return code;
}

static int begin(const char *device, struct confine **ret)
{
    int rv = confine_open(device, ret);

    if (rv == -EOPNOTSUPP)
        fprintf(stderr, "mpquic gateway use: this kernel cannot bind a command to an interface: "
                        "cgroup v2 with BPF is missing\n");
    else if (rv == -ENODEV)
        fprintf(stderr, "mpquic gateway use: there is no interface %s\n", device);
    else if (rv)
        fprintf(stderr, "mpquic gateway use: cannot bind a command to %s: %s%s\n", device,
                strerror(-rv), rv == -EPERM || rv == -EACCES ? "; this needs root" : "");
    return rv;
}

static int run(int argc, char **argv)
{
    __attribute__((cleanup(gatewaycli_done))) struct gatewaycli v = {0};
    enum exit_code code = gatewaycli_begin(&cli_gateway_use, argc, argv, &v, stderr);
    struct confine *c = NULL;
    char **command;
    int link;

    if (code != EXIT_CODE_OK)
        return (int)code;
    command = v.args + (v.n_args > 1 && !strcmp(v.args[1], "--") ? 2 : 1);
    if (v.n_args < 2 || !*command)
        return cli_usage_error(&cli_gateway_use, "a link and a command are needed");
    link = gateway_config_link(v.config, v.args[0]);
    if (link < 0)
        return cli_usage_error(&cli_gateway_use, "%s has no link '%s'", v.file, v.args[0]);
    if (begin(v.config->links[link].device, &c))
        return EXIT_CODE_START;
    return use(c, command);
}

static const struct cli_option options[] = {GATEWAYCLI_FILE_OR_CONFIRMED, {0}};

const struct cli_verb cli_gateway_use = {
    .name = "gateway use",
    .summary = "run a command whose traffic leaves by one link",
    .args = "LINK [--] COMMAND [ARGUMENT ...]",
    .text =
        "Runs COMMAND, to see what a link does whatever the rest of the machine does: every socket "
        "that it or its children make is bound to the interface of LINK, IPv4 and IPv6, and goes "
        "by no other. The link may be down, unhealthy or disabled. A connection to a loopback "
        "address is let through, so that names are found by a local resolver; that itself asks "
        "by the machine's own ways. The kernel finds the way of such a socket by the routes of the "
        "table main that go by the interface; where there is none, IPv4 takes the destination for "
        "one on the interface itself, which is right for a tunnel.\n\n"
        "The exit status is that of COMMAND, 128 and the signal's number when one ended it, 127 "
        "when it was not found.",
    .options = options,
    .runs_command = true,
    .run = run,
};
