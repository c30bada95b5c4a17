/* What the gateway that runs has to do with a trial: whoever wants one writes it to disk and sends
 * SIGUSR1; the gateway puts it in force, answers (confirm_tell()), and takes it back when its time
 * is over. Confirming it needs nobody's help: then it is gone from the disk. */
#ifndef WAN_TRIALWATCH_H
#define WAN_TRIALWATCH_H

#include "loop/loop.h"
#include "wan/settle.h"

struct trialwatch {
    struct settle settle;
    struct loop *loop;
    void (*changed)(void *user); /* another configuration holds; user as of settle */
    /* What is going to happen with a trial: "begun", "confirmed", "taken back". */
    void (*event)(void *user, const char *what);
    /* its own */
    struct loop_timer timer;
    char id[CONFIRM_ID_MAX]; /* of what is on trial; "": nothing is */
    bool goes_back;          /* it is over, and being taken back */
};

/* Set settle, loop, changed and event before. */
void trialwatch_start(struct trialwatch *w);

/* Look at the disk: at the start, and whenever somebody says so. */
void trialwatch_look(struct trialwatch *w);

/* Is something on trial? */
bool trialwatch_is_on(const struct trialwatch *w);

#endif
