/* How one table of nftables becomes another in one transaction without losing what its rules have
 * learnt: named counters, and sets whose elements come from packets, stay as they are when the new
 * text has them unchanged. Pure, on text as nft(8) lists it without elements and counts. */
#ifndef NFT_CARRY_H
#define NFT_CARRY_H

/* The commands that go before `text` ("table FAMILY NAME { ... }", and more) when the kernel has
 * `listing` of that table (`table`: "FAMILY NAME"): all rules go, and chains, sets, maps and
 * counters that text does not have, or has otherwise. To be freed. 0 or -ENOMEM. */
int carry_commands(const char *table, const char *listing, const char *text, char **ret);

#endif
