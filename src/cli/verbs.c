#include <stddef.h>

#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = {
    &cli_tunnel,  &cli_init,    &cli_join,  &cli_leave,  &cli_check, &cli_print,
    &cli_status,  &cli_peers,   &cli_paths, &cli_reload, &cli_pki,   &cli_tun,
    &cli_gateway, &cli_version, &cli_help,  NULL,
};
