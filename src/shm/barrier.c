#include "shm/barrier.h"

#include "base/fail.h"
#include "shm/control.h"
#include "shm/wait.h"

#include <assert.h>
#include <string.h>

void dn_barrier_init_world(dn_barrier *barrier, dn_world *world, int rank)
{
    *barrier = (dn_barrier){.world = world, .n_members = dn_world_size(world), .me = rank};
    for (int i = 0; i < barrier->n_members; i++) {
        barrier->ranks[i] = (int16_t)i;
        barrier->lines[i] = &world->control->slots[i].line;
    }
    /* An earlier group of this world may have met here; its own line is this rank's memory of how often. */
    barrier->sequence = atomic_load_explicit(&barrier->lines[rank]->sequence, memory_order_relaxed);
}

static dn_status wait_for_member(dn_barrier *b, int member)
{
    return dn_wait_reach(b->world, b->ranks[b->me], b->ranks[member], &b->lines[member]->sequence,
                         b->sequence);
}

static void post_own_line(dn_barrier *b, const double *values, size_t n)
{
    dn_line *line = b->lines[b->me];
    if (n > 0)
        memcpy(line->values, values, n * sizeof *values);
    dn_wait_post(b->world, b->ranks[b->me], &line->sequence, b->sequence);
}

static dn_status fail_mixed_calls(dn_barrier *b, const dn_call *mine, int member)
{
    const dn_call *theirs = &b->lines[member]->call;
    dn_failure failure = {.status = DN_ERR_ARG, .rank = b->ranks[member]};
    snprintf(failure.message, sizeof failure.message,
             "rank %d came to %.16s of %llu, rank %d to %.16s of %llu: all ranks must make the same calls",
             b->ranks[member], theirs->name, (unsigned long long)theirs->count, b->ranks[b->me], mine->name,
             (unsigned long long)mine->count);
    if (!dn_world_abort(b->world, &failure))
        return dn_control_fail_peer(b->world);
    return dn_fail(DN_ERR_ARG, "%s", failure.message);
}

static dn_status gather(dn_barrier *b, const dn_call *call, double *values, size_t n, dn_combine_fn *combine)
{
    for (int member = 1; member < b->n_members; member++) {
        DN_TRY(wait_for_member(b, member));
        if (memcmp(&b->lines[member]->call, call, sizeof *call) != 0)
            return fail_mixed_calls(b, call, member);
        if (n > 0)
            combine(values, b->lines[member]->values, n);
    }
    return DN_OK;
}

dn_status dn_barrier_meet(dn_barrier *b, const dn_call *call, double *values, size_t n,
                          dn_combine_fn *combine)
{
    assert(n <= DN_LINE_VALUES);
    b->sequence++;
    if (b->me == 0) {
        DN_TRY(gather(b, call, values, n, combine));
        post_own_line(b, values, n);
        return DN_OK;
    }
    b->lines[b->me]->call = *call;
    post_own_line(b, values, n);
    DN_TRY(wait_for_member(b, 0));
    if (n > 0)
        memcpy(values, b->lines[0]->values, n * sizeof *values);
    return DN_OK;
}
