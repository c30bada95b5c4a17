/* With which options the bundle of an edge was made, so that a later one carries them too. In the
 * directory options of the authority, a file of the edge's name: lines "OPTION: VALUE". */
#ifndef CLI_REMEMBER_H
#define CLI_REMEMBER_H

#include "cli/pki.h"

/* Fill the options that were not given from what is remembered; they borrow from *text, which is to
 * be kept as long as they are used. Returns how many were taken, or -errno. */
int remember_load(const struct pki *p, const char *name, struct cli_bundle_opts *opts,
                  struct file_text *text, struct pki_error *e);

/* Remember them. Returns 0 or -errno. */
int remember_save(const struct pki *p, const char *name, const struct cli_bundle_opts *opts,
                  struct pki_error *e);

#endif
