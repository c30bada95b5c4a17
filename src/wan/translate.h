/* Translation 1:1, of addresses and of prefixes, and forwarded ports: what holds now, and the part
 * of our table of nftables that does it. Pure. */
#ifndef WAN_TRANSLATE_H
#define WAN_TRANSLATE_H

#include <stdio.h>

#include "wan/state.h"

/* Is nothing of that family to leave by the link untranslated? */
bool translate_is_on(const struct gateway_config *c, unsigned link, enum wan_family family);

/* The outside of entry i of nat, as long as its inside. false: there is none now, because no
 * prefix, or one that is too small, is delegated to its link. */
bool translate_outside(const struct gateway_config *c, const struct wan_facts *f, unsigned i,
                       struct ip_prefix *ret);

/* What of its delegated prefix keeps a link from carrying IPv6: WAN_REASON_UP: nothing. */
enum wan_reason translate_fault(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link);

/* What an address becomes on the link, in a flow from inside; family 0: no entry of nat has it. */
struct ip_addr translate_source(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link, const struct ip_addr *inside);

/* What an address becomes in a flow that comes in by the link; *ret_map (may be NULL) is the
 * entry of nat. family 0: none has it. */
struct ip_addr translate_target(const struct gateway_config *c, const struct wan_facts *f,
                                unsigned link, const struct ip_addr *outside, unsigned *ret_map);

/* The same with forwarded ports, in the order of nftables. own: the address is this machine's;
 * protocol, port (0: not known): that the flow is to. *port becomes that where it leads. */
struct ip_addr translate_inbound(const struct gateway_config *c, const struct wan_facts *f,
                                 unsigned link, const struct ip_addr *outside, bool own,
                                 uint8_t protocol, uint16_t *port);

/* The chain that translates what comes in; nothing when there is nothing to translate. */
void translate_write_in(FILE *out, const struct gateway_config *c, const struct wan_facts *f);

/* The rules of a chain that translates what goes out. */
void translate_write_out(FILE *out, const struct gateway_config *c, const struct wan_facts *f);

/* The rules that let in by the link, to an interface with a policy, what may come in. */
void translate_write_accepts(FILE *out, const struct gateway_config *c, unsigned link,
                             const char *ingress);

/* The rules of a chain that comes after all translation, of whomever: they drop what is to be
 * translated, and is not. write_ingresses: the set of interfaces that have a policy. */
typedef void translate_ingresses_fn(FILE *out, const struct gateway_config *c);
void translate_write_last(FILE *out, const struct gateway_config *c, const struct wan_facts *f,
                          translate_ingresses_fn *write_ingresses);

#endif
