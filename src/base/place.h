/* Where the files of an instance are at run time: names and directories that the data plane, the
 * helper process and the command line must agree on. */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include <stddef.h>

enum {
    PLACE_NAME_MAX = 64,  /* an instance's name with its end */
    PLACE_PATH_MAX = 108, /* a socket's path with its end (sun_path) */
};

/* The group whose members may use the control sockets, and the user that the data plane runs as. */
#define PLACE_USER "mpquic"

/* The name of the instance that a configuration file describes: the file's name without directory
 * and ".yaml". Returns 0; -EINVAL when that is no name ("-", empty, too long, or with characters
 * other than letters, digits, '.', '_' and '-', or with a dot in front). */
int place_instance_name(const char *file, char ret[static PLACE_NAME_MAX]);

/* 0 or -EINVAL, as above, for a name that was given. */
int place_name_check(const char *name);

/* $MPQUIC_RUN_DIR, else the first of $RUNTIME_DIRECTORY, else /run/mpquic. Into buf; -ENAMETOOLONG
 * when it does not fit. */
int place_run_dir(char *buf, size_t len);

/* $MPQUIC_STATE_DIR, else the first of $STATE_DIRECTORY, else /var/lib/mpquic. */
int place_state_dir(char *buf, size_t len);

/* Where configurations are: $MPQUIC_CONF_DIR, else the first of $CONFIGURATION_DIRECTORY, else
 * /etc/mpquic. */
int place_conf_dir(char *buf, size_t len);

/* RUN-DIR/NAME.sock. */
int place_control_socket(const char *name, char ret[static PLACE_PATH_MAX]);

#endif
