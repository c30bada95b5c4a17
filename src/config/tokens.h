/* The files of bearer tokens: what is wrong with their text. */
#ifndef CONFIG_TOKENS_H
#define CONFIG_TOKENS_H

#include <stddef.h>

#include "config/config.h"

/* The text of a tokens_file: lines "NAME TOKEN". Problems are added at `at`, each with its line. A
 * token that two names have, and one that no client can send, are errors, and more than
 * CONFIG_TOKENS_MAX; one that is easily guessed and a name with several tokens are warnings. No
 * token is ever quoted. The text is changed. Returns 0 or -ENOMEM. */
int tokens_check_server(char *text, struct config_where at, struct config_report *report);

/* The text of a token_file: its first word is the token. */
void tokens_check_client(const char *text, struct config_where at, struct config_report *report);

#endif
