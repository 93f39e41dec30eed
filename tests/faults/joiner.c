/*
 * A program for launchers of every kind: joins and meets the others step after step.
 *
 *     joiner STEPS [DEATHS [DEADLINE [HEAP]]]
 *
 * Writes "ready RANK PID" after the first meeting and "out RANK STATUS" at the end. STEPS 0: until it is
 * asked to stop. In the first DEATHS lives of the run (DIONODE_RESTART) rank 1 kills itself in step 3.
 * DEADLINE: 2 s. HEAP: 65,536 bytes.
 */
#include "dionode/comm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "joiner: %s\n", line);
}

static dn_status meet(dn_comm *comm, long n_steps, bool dies)
{
    double stop = 0;
    for (long step = 1; !stop && (n_steps == 0 || step <= n_steps); step++) {
        dn_comm_tick(comm, (uint64_t)step, "meeting");
        if (dies && dn_comm_rank(comm) == 1 && step == 3)
            raise(SIGKILL);
        stop = dn_comm_stop_requested(comm);
        dn_status status = dn_comm_all_reduce_scalars(comm, &stop, 1, DN_MAX);
        if (status != DN_OK)
            return status;
        if (step == 1)
            printf("ready %d %d\n", dn_comm_rank(comm), (int)getpid());
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return DN_OK;
}

int main(int argc, char **argv)
{
    dn_comm *comm;
    setvbuf(stdout, NULL, _IOLBF, 0);
    dn_log_set(print_notice, NULL);
    const char *life = getenv("DIONODE_RESTART");
    bool dies = argc > 2 && (life ? atoi(life) : 0) < atoi(argv[2]);
    dn_status status = dn_comm_join(argc > 4 ? (size_t)atol(argv[4]) : 1 << 16, argc > 3 ? atof(argv[3]) : 2, &comm);
    if (status == DN_OK) {
        status = meet(comm, argc > 1 ? atol(argv[1]) : 0, dies);
        printf("out %d %d\n", dn_comm_rank(comm), status);
    }
    return dn_comm_leave(&comm, status);
}
