/* The SSH session of who changes this machine, and his way back to it. */
#include <stdio.h>
#include <unistd.h>

#include "cli/gateway.h"
#include "wan/sshguard.h"

enum exit_code gatewaycli_check_ssh(const struct cli_verb *verb, struct gateway *g,
                                    const struct gatewaycli_others *others, bool go_on,
                                    const char *remedy)
{
    const struct wan_objects *taken = others ? others->taken : NULL;
    const struct wan_objects *given = others ? others->given : NULL;
    char text[SSHGUARD_TEXT_MAX];
    struct ssh_session s;

    if (!ssh_session_find(getpid(), &s) || !sshguard_harms(g, &s, taken, given, "your", text))
        return EXIT_CODE_OK;
    if (go_on)
        fprintf(stderr, "mpquic %s: warning: %s\n", verb->name, text);
    else
        fprintf(stderr, "mpquic %s: nothing was changed: %s; %s\n", verb->name, text, remedy);
    return go_on ? EXIT_CODE_OK : EXIT_CODE_CONFIG;
}
