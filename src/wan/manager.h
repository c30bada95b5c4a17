/* What the service manager is told, and asks for, if there is one (sd_notify(3)). Without one, or
 * built without libsystemd, nothing happens. */
#ifndef WAN_MANAGER_H
#define WAN_MANAGER_H

#include <stdint.h>

void manager_ready(void);     /* in force, or as far as it can be */
void manager_reloading(void); /* ends with manager_ready() */
void manager_stopping(void);
void manager_alive(void);

/* One line for people, as systemctl status shows it. */
void manager_status(const char *text);

/* How often manager_alive() is wanted at least; 0: it is not. */
uint64_t manager_watchdog_ns(void);

#endif
