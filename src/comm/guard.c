#include "comm/guard.h"

#include "base/fail.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

/* Of the one that runs: the timer's thread may begin when its guard has just ended. */
static double limit_s;

static void expire(union sigval value)
{
    dn_log(DN_LOG_WARNING, "%s did not return within %g s: ranks of some node have not come so far, or cannot be reached",
           (const char *)value.sival_ptr, limit_s);
    _exit(dn_status_exit(DN_ERR_TIMEOUT));
}

void dn_guard_begin(dn_guard *guard, double seconds, const char *what)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = expire};
    event.sigev_value.sival_ptr = (void *)(uintptr_t)what;
    struct itimerspec end = {.it_value.tv_sec = (time_t)seconds};
    end.it_value.tv_nsec = (long)(1e9 * (seconds - (double)end.it_value.tv_sec)) + 1;
    limit_s = seconds;
    guard->runs = timer_create(CLOCK_MONOTONIC, &event, &guard->timer) == 0;
    if (guard->runs)
        timer_settime(guard->timer, 0, &end, NULL);
}

void dn_guard_end(dn_guard *guard)
{
    if (guard->runs)
        timer_delete(guard->timer);
    guard->runs = false;
}
