/*
 * A deadline for calls into other libraries, which may wait for ever for processes that do not come: nobody can be made to return from
 * one, so the process is ended, and with it, by its launcher, the job.
 */
#ifndef COMM_GUARD_H
#define COMM_GUARD_H

#include <stdbool.h>
#include <time.h>

typedef struct dn_guard {
    timer_t timer;
    bool runs;
} dn_guard;

/** If dn_guard_end is not called within so many seconds, logs `what` did not return, and ends this process with the exit status of
 * DN_ERR_TIMEOUT. One at a time in a process. what: a string that stays. */
void dn_guard_begin(dn_guard *guard, double seconds, const char *what);
void dn_guard_end(dn_guard *guard);

#endif
