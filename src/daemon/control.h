/* What an instance remembers for status, and its control socket. Nobody outside this folder uses
 * it. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <stdint.h>

#include "base/exitcode.h"
#include "control/server.h"
#include "helper/helper.h"
#include "peer/edge.h"
#include "status/reload.h"
#include "status/status.h"
#include "wire/capsule.h"

struct instance;

/* What the parts do not know themselves. */
struct instance_history {
    int64_t started_s;
    uint64_t started_ns;
    enum edge_state state; /* client */
    uint64_t state_ns;     /* since when */
    uint64_t down_ns;      /* client: since when the tunnel is not up */
    char why[STATUS_TEXT_MAX];
    struct capsule_addrs assigned;     /* client: by the hub */
    uint64_t begun, completed, failed; /* client: connections */
    size_t packet_max;                 /* the path carries packets of this size; 0: not known */
    char error[STATUS_TEXT_MAX];       /* the last one */
    int64_t error_s;                   /* 0: none yet */
    uint64_t error_ns;
    struct loop_timer tell;     /* the service manager is told soon */
    char told[HELPER_TEXT_MAX]; /* what it was told */
    bool ready;                 /* it was told that everything is there */
    bool no_socket;             /* there is a line about it */
};

/* The files that the configuration names, and what they looked like when they were read. */
struct instance_files {
    struct helper_stamp loaded[HELPER_FILE_COUNT];  /* or found to be broken */
    struct helper_stamp changed[HELPER_FILE_COUNT]; /* on their way: read once they rest */
    struct loop_timer timer;
};

/* control.c. Errors that are logged are remembered from instance_history_start() on. */
void instance_history_start(struct instance *inst);
void instance_history_stop(struct instance *inst);
void instance_note_error(struct instance *inst, const char *text);

/* What was wrong is mended: forget the last error if it begins so. */
void instance_error_mended(struct instance *inst, const char *beginning);
void instance_note_state(struct instance *inst, enum edge_state state, const char *why);

/* What the instance does has changed: let the service manager know, at most once a second. */
void instance_tell_manager(struct instance *inst);

/* A socket that cannot be had is logged and done without for now; EXIT_CODE_START when another
 * process has it. Before the loop is freed. */
enum exit_code instance_control_open(struct instance *inst);

/* To be called when all is set up, and every few seconds then: a socket that is not there, or whose
 * file somebody has removed, is made. The service manager is told READY once there is one. */
void instance_control_look(struct instance *inst);
void instance_control_close(struct instance *inst);

/* snapshot.c: everything that is known now, into *ret. Returns 0 or -ENOMEM; the caller calls
 * status_done() in any case. */
int instance_snapshot(struct instance *inst, struct status *ret);

/* reload.c: read the configuration and its files anew and put them in force, or change nothing.
 * *out says what came of it, and so does the log. */
void instance_reload(struct instance *inst, struct reload_outcome *out);

/* Look at the files now (before they are read) and then, once the loop runs, every few seconds:
 * what was replaced is taken. */
void instance_files_note(struct instance *inst);
void instance_files_watch(struct instance *inst);

/* Free a configuration that a reload has put in place. */
void instance_reload_done(struct instance *inst);

#endif
