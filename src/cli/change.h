/* What mpquic join does to a machine, and taking it back: the files of an instance, its service,
 * its TUN. */
#ifndef CLI_CHANGE_H
#define CLI_CHANGE_H

#include "cli/service.h"
#include "pki/backup.h"
#include "pki/bundle.h"

/* Below the directory of the configurations: TLS/NAME/FILE. */
#define CHANGE_TLS_DIR "tls"
#define CHANGE_CA_FILE "ca.pem"
#define CHANGE_CERT_FILE "cert.pem"
#define CHANGE_KEY_FILE "key.pem"

struct change {
    const char *dir; /* of the configurations; borrowed */
    char tls[FILE_PATH_MAX];
    char name[BUNDLE_NAME_MAX + 1], file[BUNDLE_NAME_MAX + 8];
    char tun[16];
    bool wrote_keys, wrote_config;
    char old_keys[BACKUP_NAME_MAX], old_config[BACKUP_NAME_MAX]; /* copies; "" = there was none */
    bool had_tun;
    struct service_state service;
};

/* Look at what is there. dir must outlive x. Returns 0 or -errno. */
int change_begin(struct change *x, const char *dir, const char *name, const char *tun,
                 struct pki_error *e);

/* Write the key and the certificates of the bundle, and the configuration unless yaml is NULL. With
 * keep, what is replaced is copied first. Returns 0, or -errno when everything is as it was. */
int change_write(struct change *x, const struct bundle *b, const struct file_text *yaml, bool keep,
                 struct pki_error *e);

/* Remove the TUN of the instance that is replaced, which is stopped for it. */
void change_drop_tun(struct change *x, const char *old_tun);

/* Make the machine as it was before: stop the service, take back the files, remove the TUN. Returns
 * 0, or -errno with what could not be taken back. */
int change_undo(struct change *x, struct pki_error *e);

#endif
