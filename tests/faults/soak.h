/* What a worker of the soak tells, one record a write into a pipe. */
#ifndef FAULTS_SOAK_H
#define FAULTS_SOAK_H

#include <stdint.h>
#include <time.h>

#define N_BARRIERS 20 /* collectives a worker goes through */

typedef enum record_kind { DYING, OUT } record_kind;

typedef struct record {
    int32_t kind, rank;
    int32_t status;     /* OUT: of the last call; WRONG_RESULT where a finished call gave a wrong one */
    int32_t n_barriers; /* begun */
    int64_t n_points;   /* protocol points passed */
    int64_t at_ns;      /* monotonic clock */
    double delay_s;     /* in which it was kept from running (support/delay.h) */
} record;

#define WRONG_RESULT 99

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
