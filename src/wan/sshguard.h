/* Would what is about to be done cut an SSH session, or keep whoever has it from coming back? */
#ifndef WAN_SSHGUARD_H
#define WAN_SSHGUARD_H

#include "wan/gateway.h"
#include "wan/ssh.h"

enum { SSHGUARD_TEXT_MAX = 192 };

/* Does the plan of the last look, with these objects taken away from others and given back to them
 * (NULL: none), harm the session? If so *ret_text says how: "your session from 192.0.2.7 would be
 * cut: answers leave by wan0, and would by nothing", where whose is "your". What cannot be known
 * counts as harm. */
bool sshguard_harms(struct gateway *g, const struct ssh_session *s, const struct wan_objects *taken,
                    const struct wan_objects *given, const char *whose,
                    char ret_text[static SSHGUARD_TEXT_MAX]);

/* The same for all sessions with this machine: the first that is harmed. */
bool sshguard_harms_any(struct gateway *g, char ret_text[static SSHGUARD_TEXT_MAX]);

#endif
