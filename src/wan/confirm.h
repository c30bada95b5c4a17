/* Which configuration holds: the confirmed one, which is what a machine boots with, and the one on
 * trial, which goes unless it is confirmed in time. All of it is in files of the state directory:
 * who finds it there, after whatever crash, goes on from it.
 *
 *      gateway.confirmed   the confirmed text; empty: nothing is to be in force
 *      gateway.trial       a head (who, until when) and the text on trial
 *      gateway.answer      what became of putting that in force, from the gateway that runs
 *
 * A trial is over when its time is, and when the machine was booted since. What is there then is
 * still to be taken back, and the file goes when that is done: a return that is interrupted is
 * found and done again. */
#ifndef WAN_CONFIRM_H
#define WAN_CONFIRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/gateway.h"

enum {
    CONFIRM_ID_MAX = 17,
    CONFIRM_BOOT_MAX = 48,
    CONFIRM_TEXT_MAX = 256,
    CONFIRM_SECONDS_MAX = 24 * 3600
};

struct confirm_trial {
    char id[CONFIRM_ID_MAX];         /* differs from that of every other trial */
    char boot[CONFIRM_BOOT_MAX];     /* of the kernel (boot_id) */
    uint64_t deadline_ns;            /* as of clock_mono_ns(), in that boot */
    bool asks;                       /* for a confirmation; else being in force confirms it */
    char link[CONFIG_PATH_NAME_MAX]; /* that is disabled for it, and enabled when it ends; "": none
                                      */
    char *text; /* the configuration, of len bytes, with a zero behind; owned */
    size_t len;
};

/* Release what it owns, and clear it. Allowed on a zeroed struct. */
void confirm_trial_done(struct confirm_trial *t);

/* The file of a trial and back. Pure. 0, -ENOMEM; -EBADMSG: it is none. */
int confirm_trial_format(const struct confirm_trial *t, char **ret, size_t *ret_len);
int confirm_trial_parse(const char *file, size_t len, struct confirm_trial *ret);

/* Is it over, in that boot at that time? Pure. */
bool confirm_trial_is_over(const struct confirm_trial *t, const char *boot, uint64_t now_ns);

/* The same now. */
bool confirm_is_over_now(const struct confirm_trial *t);

/* The trial on disk, to be released with confirm_trial_done(). 0; -ENOENT: there is none; -EBADMSG:
 * it cannot be understood, and counts as one that is over; other -errno. */
int confirm_trial_load(const char *dir, struct confirm_trial *ret);

/* Begin one that lasts so many seconds; link: as above, NULL: none. *ret as above. 0; -EBUSY:
 * another one is on disk; -errno. */
int confirm_trial_begin(const char *dir, const char *text, unsigned seconds, bool asks,
                        const char *link, struct confirm_trial *ret);

/* An id as trials have one. 0 or -EIO. */
int confirm_new_id(char ret[static CONFIRM_ID_MAX]);

/* Make what is on trial the confirmed one. 0; -ENOENT: nothing is on trial; -ETIME: it is over;
 * -errno. */
int confirm_trial_accept(const char *dir);

/* Let the trial be over now. 0; -ENOENT; -errno. */
int confirm_trial_reject(const char *dir);

/* Everything of the trial of that id (NULL: of any) has been taken back: remove it. 0 or -errno. */
int confirm_trial_end(const char *dir, const char *id);

/* The confirmed text, to be freed. 0; -ENOENT: nothing was ever confirmed; -errno. */
int confirm_load(const char *dir, char **ret, size_t *ret_len);
int confirm_save(const char *dir, const char *text);

/* Can this program go back to it? Also when nothing was ever confirmed. */
bool confirm_is_understood(const char *dir);

/* Forget the confirmed text and the trial. 0 or -errno. */
int confirm_forget(const char *dir);

/* What the gateway that runs says of a trial that it was to put in force: error 0, or -errno and a
 * text. confirm_answer(): 0; -ENOENT: it has not answered for that trial yet; -errno. */
int confirm_tell(const char *dir, const char *id, int error, const char *text);
int confirm_answer(const char *dir, const char *id, int *ret_error,
                   char ret_text[static CONFIRM_TEXT_MAX]);

/* What is to be in force, and where that comes from. */
enum confirm_source {
    CONFIRM_SOURCE_NONE,      /* nothing is known: *ret is as it was */
    CONFIRM_SOURCE_NOTHING,   /* it is known that nothing is to be in force */
    CONFIRM_SOURCE_CONFIRMED, /* the confirmed one */
    CONFIRM_SOURCE_TRIAL      /* the one on trial, which is not over */
};

/* trial: count one on trial, too. A text that this program does not understand counts as none.
 * Where there is none, or nothing, *ret_text (which may be NULL; to be freed) is NULL. Returns 0
 * or -errno: it cannot be known. */
int confirm_choose(const char *dir, bool trial, struct gateway_config *ret,
                   enum confirm_source *ret_source, char **ret_text);

#endif
