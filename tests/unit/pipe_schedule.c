/* 1F1B: stages that each follow their list and wait for one another come to an end when the formula says, with as many
 * micro-batches in flight, and none is overwritten. */
#include "base/size.h"
#include "pipe/schedule.h"
#include "support/tests.h"

#include <string.h>

enum { STAGES = 8, BATCHES = 16, FORWARD = 2, BACKWARD = 5 /* time a micro-batch; no common measure that could hide one */ };

typedef struct stage {
    size_t done;       /* operations */
    size_t free_at;    /* time */
    size_t in_flight, most;
    size_t holds[BATCHES]; /* by slot: 1 + micro-batch, 0: empty */
} stage;

static void follow(size_t S, size_t M)
{
    stage stages[STAGES] = {{0}};
    size_t ended[2][STAGES][BATCHES], makespan = 0, left = 2 * S * M; /* [backward]: time; 0: not yet */
    memset(ended, 0, sizeof ended);
    for (bool any = true; any && left > 0;) {
        any = false;
        for (size_t s = 0; s < S; s++) {
            stage *now = &stages[s];
            if (now->done == 2 * M)
                continue;
            const dn_pipe_op op = dn_pipe_schedule(S, s, M, now->done);
            size_t m = op.micro_batch, *slot = &now->holds[m % dn_pipe_in_flight(S, s, M)];
            assert_true(m < M);
            bool waits = op.backward ? s + 1 < S : s > 0;
            size_t arrived = !waits ? 0 : op.backward ? ended[1][s + 1][m] : ended[0][s - 1][m];
            if (waits && arrived == 0)
                continue;
            assert_int_equal(ended[op.backward][s][m], 0);
            now->free_at = dn_max(now->free_at, arrived) + (op.backward ? BACKWARD : FORWARD);
            ended[op.backward][s][m] = now->free_at;
            makespan = dn_max(makespan, now->free_at);
            assert_int_equal(*slot, op.backward ? m + 1 : 0);
            *slot = op.backward ? 0 : m + 1;
            now->in_flight += op.backward ? -1ul : 1;
            now->most = dn_max(now->most, now->in_flight);
            now->done++;
            left--;
            any = true;
        }
    }
    assert_int_equal(left, 0); /* nobody waits for ever */
    assert_int_equal(makespan, (M + S - 1) * (FORWARD + BACKWARD));
    for (size_t s = 0; s < S; s++) {
        assert_int_equal(stages[s].most, dn_min(M, S - s));
        assert_int_equal(stages[s].most, dn_pipe_in_flight(S, s, M));
        assert_int_equal(stages[s].in_flight, 0);
    }
}

static void every_pipeline_ends_in_time_with_as_many_micro_batches_in_flight_as_it_has_slots(void **state)
{
    (void)state;
    for (size_t S = 1; S <= STAGES; S++)
        for (size_t M = 1; M <= BATCHES; M++)
            follow(S, M);
}

/* An endless order, cut into steps of M micro-batches: what a stage's updates have come to between forward and backward pass. */
static void grow_old(size_t S, size_t M)
{
    enum { STEPS = 10 };
    size_t total = M * STEPS, forward_at[BATCHES * STEPS];
    for (size_t s = 0; s < S; s++) {
        size_t updates = 0;
        for (size_t i = 0; i < 2 * total; i++) {
            const dn_pipe_op op = dn_pipe_schedule(S, s, total, i);
            size_t m = op.micro_batch;
            if (!op.backward) {
                forward_at[m] = updates;
                continue;
            }
            assert_int_equal(updates, m / M); /* its gradient is of the step that comes next */
            assert_int_equal(updates - forward_at[m], dn_min(updates, dn_pipe_staleness(S, s, M, m % M)));
            updates += (m + 1) % M == 0;
        }
        assert_int_equal(updates, STEPS);
        assert_int_equal(dn_pipe_staleness(S, s, 1, 0), S - 1 - s);
    }
}

static void weights_of_asynchronous_stages_are_as_old_as_there_are_stages_behind(void **state)
{
    (void)state;
    for (size_t S = 1; S <= STAGES; S++)
        for (size_t M = 1; M <= BATCHES; M++)
            grow_old(S, M);
}

TESTS(pipe_schedule)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_asynchronous_stages_are_as_old_as_there_are_stages_behind),
        cmocka_unit_test(every_pipeline_ends_in_time_with_as_many_micro_batches_in_flight_as_it_has_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
