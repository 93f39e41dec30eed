/* How long a process was kept from running, so that a test of time need not be wrong on a busy machine. */
#ifndef SUPPORT_DELAY_H
#define SUPPORT_DELAY_H

#include <stdio.h>
#include <sys/types.h>

/* Seconds in which the first thread of a process (0: this one) was ready to run and something else had the
 * processor, since its start, as the kernel counts them (schedstat; also of a zombie). 0 where it does not.
 * What an interrupt or the host of a virtual machine takes is not in it. */
static inline double delay_s(pid_t pid)
{
    char path[64] = "/proc/self/schedstat";
    unsigned long long ran, waited = 0;
    if (pid)
        snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    fclose(file);
    return 1e-9 * (double)waited;
}

#endif
