#include "wan/manager.h"

#include "base/clock.h"

#if HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

void manager_ready(void)
{
    sd_notify(0, "READY=1");
}

void manager_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)(clock_mono_ns() / NS_PER_US));
}

void manager_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void manager_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

void manager_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

uint64_t manager_watchdog_ns(void)
{
    uint64_t usec;

    return sd_watchdog_enabled(0, &usec) > 0 ? usec * NS_PER_US : 0;
}

#else

void manager_ready(void)
{
}

void manager_reloading(void)
{
}

void manager_stopping(void)
{
}

void manager_alive(void)
{
}

void manager_status(const char *text)
{
}

uint64_t manager_watchdog_ns(void)
{
    return 0;
}

#endif
