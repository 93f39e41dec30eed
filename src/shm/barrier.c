#include "shm/barrier.h"

#include "base/fail.h"
#include "shm/control.h"
#include "shm/wait.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* ---- initialization ---- */

/* An earlier barrier may have used the same lines: the sequence continues from the rank's own. */
static void restore_sequence(dn_barrier *b)
{
    for (int i = 0; i < DN_N_LINES; i++) {
        uint64_t sequence = atomic_load_explicit(&b->lines[b->me][i].sequence, memory_order_relaxed);
        b->sequence = sequence > b->sequence ? sequence : b->sequence;
    }
    b->met = b->n_met = b->sequence;
}

void dn_barrier_init_world(dn_barrier *barrier, dn_world *world, int rank)
{
    *barrier = (dn_barrier){.world = world, .n_members = dn_world_size(world), .me = rank};
    for (int i = 0; i < barrier->n_members; i++) {
        barrier->ranks[i] = (int16_t)i;
        barrier->lines[i] = world->control->slots[i].lines;
    }
    restore_sequence(barrier);
}

void dn_barrier_init(dn_barrier *barrier, dn_world *world, int n_members, const int16_t *ranks,
                     dn_line *const *lines, int me)
{
    *barrier = (dn_barrier){.world = world, .n_members = n_members, .me = me};
    memcpy(barrier->ranks, ranks, (size_t)n_members * sizeof *ranks);
    memcpy(barrier->lines, lines, (size_t)n_members * sizeof *lines);
    restore_sequence(barrier);
}

/* ---- mismatched calls ---- */

static const char *const purposes[DN_N_PURPOSES] = {
    [DN_FOR_BARRIER] = "barrier",
    [DN_FOR_BROADCAST] = "broadcast",
    [DN_FOR_REDUCE] = "reduce",
    [DN_FOR_ALL_REDUCE] = "all-reduce",
    [DN_FOR_SHARED_ALL_REDUCE] = "shared all-reduce",
    [DN_FOR_REDUCE_SCATTER] = "reduce-scatter",
    [DN_FOR_REDUCE_TO_OWNERS] = "reduce to owners",
    [DN_FOR_ALL_GATHER] = "all-gather",
    [DN_FOR_GATHER_FROM_OWNERS] = "gather from owners",
    [DN_FOR_ALL_TO_ALL] = "all-to-all",
    [DN_FOR_SPLIT] = "split",
    [DN_FOR_RELEASE] = "release of the heap to a mark",
};

/* "all-reduce of 5"; in full: with all other fields. */
static void describe(const dn_call *call, bool in_full, char *text, size_t bytes)
{
    const char *purpose = call->purpose < DN_N_PURPOSES ? purposes[call->purpose] : "an unknown call";
    int n = snprintf(text, bytes, "%s of %" PRIu64, purpose, call->count);
    if (!in_full || (size_t)n >= bytes)
        return;
    n += snprintf(text + n, bytes - (size_t)n, " (type %d, op %d, phase %d, root %d, ", call->type, call->op,
                  call->phase, (int)call->root);
    if ((size_t)n >= bytes)
        return;
    if (call->place == DN_PLACE_PRIVATE)
        snprintf(text + n, bytes - (size_t)n, "private buffer)");
    else
        snprintf(text + n, bytes - (size_t)n, "buffer at %#" PRIx64 " of the heap)", call->place);
}

dn_status dn_barrier_fail_mismatch(const dn_barrier *b, int other, const dn_call *others, int member,
                                   const dn_call *call)
{
    dn_failure failure = {.status = DN_ERR_ARG, .rank = b->ranks[member]};
    char others_text[128], text[128];
    bool in_full = others->purpose == call->purpose && others->count == call->count;
    describe(others, in_full, others_text, sizeof others_text);
    describe(call, in_full, text, sizeof text);
    snprintf(failure.message, sizeof failure.message,
             "rank %d called %s, rank %d called %s: all ranks must make the same calls in the same order",
             b->ranks[member], text, b->ranks[other], others_text);
    if (!dn_world_abort(b->world, &failure))
        return dn_control_fail_peer(b->world);
    return dn_fail(DN_ERR_ARG, "%s", failure.message);
}

/* ---- calls ---- */

static void enter(dn_barrier *b, const dn_call *call, const void *payload, size_t bytes)
{
    assert(bytes <= DN_LINE_BYTES);
    uint64_t sequence = ++b->sequence;
    dn_line *own = &b->lines[b->me][sequence % DN_N_LINES];
    own->call = *call;
    if (bytes > 0)
        memcpy(own->payload, payload, bytes);
    dn_wait_post(b->world, b->ranks[b->me], &own->sequence, sequence);
    if (b->tell)
        b->tell(b->context, own);
}

static dn_status await(dn_barrier *b, int member)
{
    const dn_line *line = &b->lines[member][b->sequence % DN_N_LINES];
    return dn_wait_reach(b->world, b->ranks[b->me], b->ranks[member], &line->sequence, b->sequence);
}

/* `own` is this rank's: its line is on its way from other processors' caches, and would have to be waited for to be read. */
static dn_status compare(const dn_barrier *b, const dn_call *own, int other, int member)
{
    const dn_call *others = other == b->me ? own : &b->lines[other][b->sequence % DN_N_LINES].call;
    const dn_call *theirs = member == b->me ? own : &b->lines[member][b->sequence % DN_N_LINES].call;
    return memcmp(theirs, others, sizeof *theirs) == 0
               ? DN_OK
               : dn_barrier_fail_mismatch(b, other, others, member, theirs);
}

dn_status dn_barrier_wait(dn_barrier *b, const dn_call *call, const void *payload, size_t bytes)
{
    enter(b, call, payload, bytes);
    for (int i = 1; i < b->n_members; i++) /* not all at the same line at once */
        DN_TRY(await(b, (b->me + i) % b->n_members));
    /* All compare with member 0's call, so that all report the same difference. */
    for (int member = 1; member < b->n_members; member++)
        DN_TRY(compare(b, call, 0, member));
    b->met = b->sequence;
    b->n_met++;
    return DN_OK;
}

dn_status dn_barrier_pass(dn_barrier *b, const dn_call *call, const void *payload, size_t bytes, int awaited)
{
    if (b->sequence + 1 - b->met >= DN_N_LINES - 1)
        return dn_barrier_wait(b, call, payload, bytes);
    enter(b, call, payload, bytes);
    for (int i = 1; i < b->n_members; i++) {
        int member = (b->me + i) % b->n_members;
        if (awaited != member && awaited != DN_ALL_MEMBERS)
            continue;
        DN_TRY(await(b, member));
        DN_TRY(member > b->me ? compare(b, call, b->me, member) : compare(b, call, member, b->me)); /* told alike by both */
    }
    return DN_OK;
}
