/*
 * Everything that ranks do to each other's memory, with ranks as threads, for the thread sanitizer. Data is
 * read and written plainly: only the library's own synchronization orders it, and where that is missing or
 * too weak, the sanitizer says so. Values are checked as well, but the other tests do that better.
 */
#include "support/ranks.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 20, SMALL = 200, LARGE = 20000, PARCELS = 40000 };

/* The last to come is another rank in each round; on two cores that alone mixes the order well. */
static void come_late(const dn_comm *comm, int round)
{
    if ((round + dn_comm_rank(comm)) % 4 == 0)
        usleep(50);
}

static int meet(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, sizeof(int), &memory) == DN_OK);
    for (int round = 0; round < 10 * ROUNDS; round++) {
        *(int *)memory = round;
        come_late(comm, round);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        for (int rank = 0; rank < dn_comm_size(comm); rank++)
            RANKS_CHECK(*(int *)dn_comm_peer(comm, memory, rank) == round);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

/* Back to back, nothing between: in the line, in one meeting, in place, in parts. */
static int reduce(dn_comm *comm, void *argument)
{
    static const size_t counts[] = {3, SMALL, LARGE, 3, 3, SMALL, SMALL, SMALL};
    void *memory;
    float *private = calloc(PARCELS, sizeof *private);
    RANKS_CHECK(dn_comm_alloc(comm, LARGE * sizeof(float), &memory) == DN_OK);
    for (int round = 0; round < ROUNDS; round++)
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            float *x = memory;
            for (size_t i = 0; i < counts[k]; i++)
                x[i] = (float)(round + dn_comm_rank(comm));
            come_late(comm, round + (int)k);
            RANKS_CHECK(dn_comm_all_reduce(comm, x, counts[k], DN_F32, DN_MAX, DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK(x[counts[k] - 1] == (float)(round + dn_comm_size(comm) - 1));
            if (k == 0)
                RANKS_CHECK(dn_comm_all_reduce(comm, private, PARCELS, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL) ==
                            DN_OK);
        }
    free(private);
    return 0;
}

static int begin_and_finish(dn_comm *comm, void *argument)
{
    enum { N = 3 };
    void *memory[N];
    uint64_t number[N];
    for (int i = 0; i < N; i++)
        RANKS_CHECK(dn_comm_alloc(comm, SMALL * sizeof(int32_t), &memory[i]) == DN_OK);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        for (int i = 0; i < N; i++) {
            for (int j = 0; j < SMALL; j++)
                ((int32_t *)memory[i])[j] = round + i;
            RANKS_CHECK(dn_comm_begin_all_reduce(comm, memory[i], SMALL, DN_I32, DN_MIN, DN_TRAFFIC_CONTROL,
                                                 &number[i]) == DN_OK);
        }
        /* In odd rounds whoever is last finds all begun without waiting; the others wait. */
        if (round % 2 && dn_comm_rank(comm) == dn_comm_size(comm) - 1) {
            usleep(2000);
            RANKS_CHECK(dn_comm_advance(comm) == DN_OK);
        }
        for (int i = 0; i < N; i++) {
            RANKS_CHECK(dn_comm_finish(comm, number[i]) == DN_OK);
            RANKS_CHECK(((int32_t *)memory[i])[SMALL - 1] == round + i);
        }
    }
    return 0;
}

/* Rank 0 sends bursts, so that rank 1 finds several messages at one look; then the other way round. */
static int send(dn_comm *comm, void *argument)
{
    enum { BURST = 5 };
    void *memory;
    double *private = calloc(PARCELS, sizeof *private);
    RANKS_CHECK(dn_comm_alloc(comm, SMALL * sizeof(double), &memory) == DN_OK);
    for (int round = 0; round < 5 * ROUNDS; round++) {
        bool sends = dn_comm_rank(comm) == round % 2;
        if (!sends)
            usleep(round % 3 ? 200 : 0);
        for (int i = 0; i < BURST; i++) {
            double *x = i == 1 ? memory : private;
            size_t n = i == 0 ? 1 : i == BURST - 1 && round % 10 == 0 ? PARCELS : SMALL;
            x[n - 1] = round + i;
            dn_status status = sends ? dn_comm_send(comm, x, n, DN_F64, 1 - round % 2, DN_TRAFFIC_CONTROL)
                                     : dn_comm_receive(comm, x, n, DN_F64, round % 2, DN_TRAFFIC_CONTROL);
            RANKS_CHECK(status == DN_OK && x[n - 1] == round + i);
        }
    }
    free(private);
    return 0;
}

static int split(dn_comm *comm, void *argument)
{
    dn_comm *child;
    void *memory;
    RANKS_CHECK(dn_comm_split(comm, dn_comm_rank(comm) % 2, 0, 1 << 20, &child) == DN_OK);
    int failed = meet(child, NULL) || reduce(child, NULL);
    RANKS_CHECK(!failed && dn_comm_alloc(child, 128, &memory) == DN_OK);
    dn_comm_destroy(&child);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

/* Reduced to owners and gathered from them with nothing between; owners write again after the next meeting.
 */
static int own(dn_comm *comm, void *argument)
{
    enum { N = 4 };
    void *memory;
    dn_owned items[N];
    int me = dn_comm_rank(comm), P = dn_comm_size(comm);
    RANKS_CHECK(dn_comm_alloc(comm, N * SMALL * sizeof(int32_t), &memory) == DN_OK);
    int32_t *x = memory;
    for (int i = 0; i < N; i++)
        items[i] = (dn_owned){x + i * SMALL, SMALL, i % P};
    for (int round = 0; round < 5 * ROUNDS; round++) {
        for (int i = 0; i < N * SMALL; i++)
            x[i] = round + me;
        come_late(comm, round);
        RANKS_CHECK(dn_comm_reduce_to_owners(comm, items, N, DN_I32, DN_MAX, DN_TRAFFIC_FACTORS) == DN_OK);
        RANKS_CHECK(dn_comm_gather_from_owners(comm, items, N, DN_I32, DN_TRAFFIC_BASIS) == DN_OK);
        RANKS_CHECK(x[0] == round + P - 1 && x[N * SMALL - 1] == round + P - 1);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

/* Other groups each time, over the memory of the ones before. */
static int rebuild(dn_comm *comm, void *argument)
{
    const size_t start = dn_comm_heap_mark(comm);
    for (int round = 0; round < ROUNDS; round++) {
        void *memory;
        dn_comm *child;
        size_t bytes = round % 2 ? 1 << 20 : 128; /* every other time over all of the group before */
        RANKS_CHECK(dn_comm_alloc(comm, bytes, &memory) == DN_OK);
        memset(memory, round, bytes);
        RANKS_CHECK(dn_comm_split(comm, dn_comm_rank(comm) % (1 + round % 3), 0, 1 << 16, &child) == DN_OK);
        come_late(comm, round);
        int failed = begin_and_finish(child, NULL);
        dn_comm_destroy(&child);
        RANKS_CHECK(!failed && dn_comm_heap_release(comm, start) == DN_OK);
    }
    return 0;
}

/* Rank 1 fails the world. Rank 0 learns of it while it waits; 2 and 3 ask, so often that the story may be
 * half told, and so seldom that it is told. */
static int fail(dn_comm *comm, void *argument)
{
    dn_failure failure = {.status = DN_ERR_DATA, .rank = 1, .message = "as it must"};
    if (dn_comm_rank(comm) == 1) {
        usleep(500);
        dn_world_abort(dn_comm_world(comm), &failure);
        return 0;
    }
    if (dn_comm_rank(comm) == 0)
        RANKS_CHECK(dn_comm_barrier(comm) == DN_ERR_PEER);
    do {
        if (dn_comm_rank(comm) == 3)
            usleep(2000);
        failure = dn_world_failure(dn_comm_world(comm));
    } while (failure.status == DN_OK);
    RANKS_CHECK(failure.rank == 1 && strcmp(failure.message, "as it must") == 0);
    return 0;
}

static int run_part(const char *name, ranks_body *body, int n_ranks)
{
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = n_ranks, .arena_bytes = 4 << 20, .deadline_s = 10};
    int n_failed = ranks_run(&spec, body, NULL, NULL);
    if (n_failed)
        fprintf(stderr, "%s with %d ranks failed\n", name, n_ranks);
    return n_failed;
}

int main(void)
{
    static const struct {
        const char *name;
        ranks_body *body;
        int n_ranks;
    } parts[] = {{"meet", meet, 2},
                 {"meet", meet, 4},
                 {"reduce", reduce, 2},
                 {"reduce", reduce, 3},
                 {"begin and finish", begin_and_finish, 2},
                 {"begin and finish", begin_and_finish, 3},
                 {"send", send, 2},
                 {"split", split, 4},
                 {"own", own, 2},
                 {"own", own, 3},
                 {"rebuild", rebuild, 4}};
    int n_failed = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        n_failed += run_part(parts[i].name, parts[i].body, parts[i].n_ranks);
    for (int i = 0; i < 50; i++)
        n_failed += run_part("fail", fail, 4);
    return n_failed != 0;
}
