#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* Descriptors 0 to 2 that were closed must not become a socket or the TUN, into which messages
 * would then be written; a reader of the log that goes away must not end a tunnel. */
static void secure_stdio(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    secure_stdio();
    return cli_main(argc, argv);
}
