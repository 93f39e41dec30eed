/*
 * Collectives on private buffers, which peers cannot read, in steps: each member copies what fits to its
 * stage, but for what it needs itself, a barrier, and each reads what it needs from the others' stages. Three
 * stages are used in turn, so that one barrier per step suffices (internal.h).
 *
 * In reductions a stage holds a segment of every member's chunk, so that all members reduce in every step:
 *
 *     stage of one member:  | segment of chunk 0 | segment of chunk 1 | ... |     segment = stage / members
 */
#include "comm/internal.h"

#include "base/fail.h"
#include "base/size.h"

static dn_status copy(dn_comm *comm, const dn_job *job, void *to, int at, const void *from, size_t bytes)
{
    if (bytes == 0)
        return DN_OK;
    DN_TRY(dn_comm_copy(comm, to, from, bytes));
    dn_comm_count_moved(comm, job->kind, at, bytes);         /* in the stage of `at` */
    dn_comm_count_moved(comm, job->kind, comm->rank, bytes); /* in the own buffer */
    return DN_OK;
}

/* Bytes of a stage for each member, in whole cache lines. */
static size_t segment_bytes(const dn_comm *comm)
{
    return DN_STAGE_BYTES / (size_t)comm->size / 64 * 64;
}

/* Segment number `step` of the member's chunk: its place in the buffer, and its size, in bytes. */
static void find_segment(const dn_comm *comm, const dn_job *job, int member, size_t step, size_t segment,
                         size_t *at, size_t *bytes)
{
    size_t first, end, size = dn_type_bytes(job->type);
    dn_comm_chunk_bounds(comm, job->count, job->type, member, &first, &end);
    *at = dn_min(first * size + step * segment, end * size);
    *bytes = dn_min(segment, end * size - *at);
}

/* Chunk 0 is a longest one. */
static size_t count_steps(const dn_comm *comm, const dn_job *job, size_t segment)
{
    size_t first, end;
    dn_comm_chunk_bounds(comm, job->count, job->type, 0, &first, &end);
    size_t bytes = (end - first) * dn_type_bytes(job->type);
    return bytes / segment + (bytes % segment != 0);
}

/* ---- reductions ---- */

static dn_status write_segments(dn_comm *comm, const dn_job *job, size_t step)
{
    size_t at, bytes, segment = segment_bytes(comm);
    char *stage = dn_stage(comm, comm->rank, 1);
    for (int i = 1; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        find_segment(comm, job, member, step, segment, &at, &bytes);
        DN_TRY(copy(comm, job, stage + (size_t)member * segment, comm->rank, job->buffer + at, bytes));
    }
    return DN_OK;
}

/* Reduces the own segment of the last barrier's stages, to its place in the own stage or in the buffer. */
static dn_status reduce_segment(dn_comm *comm, const dn_job *job, size_t step, bool to_stage)
{
    dn_job_fold fold;
    size_t at, bytes, segment = segment_bytes(comm), offset = (size_t)comm->rank * segment;
    find_segment(comm, job, comm->rank, step, segment, &at, &bytes);
    if (bytes == 0)
        return DN_OK;
    dn_fold_init(&fold, comm, job, bytes / dn_type_bytes(job->type));
    for (int member = 0; member < comm->size; member++)
        dn_fold_from(&fold, member, member == comm->rank ? job->buffer + at : dn_stage(comm, member, 0) + offset);
    dn_fold_to(&fold, comm->rank, to_stage ? dn_stage(comm, comm->rank, 0) + offset : job->buffer + at);
    return dn_fold_run(&fold);
}

/* Takes the results of the step before the last from their owners' stages. */
static dn_status take_results(dn_comm *comm, const dn_job *job, size_t step)
{
    size_t at, bytes, segment = segment_bytes(comm);
    if (job->root >= 0 && job->root != comm->rank)
        return DN_OK;
    for (int i = 0; i < comm->size; i++) {
        int member = (comm->rank + i) % comm->size;
        find_segment(comm, job, member, step, segment, &at, &bytes);
        DN_TRY(copy(comm, job, job->buffer + at, member,
                    dn_stage(comm, member, -1) + (size_t)member * segment, bytes));
    }
    return DN_OK;
}

dn_status dn_staged_all_reduce(dn_comm *comm, dn_job *job)
{
    size_t n_steps = count_steps(comm, job, segment_bytes(comm));
    for (size_t step = 0; step < n_steps; step++) {
        DN_TRY(write_segments(comm, job, step));
        DN_TRY(dn_job_barrier(comm, job));
        DN_TRY(reduce_segment(comm, job, step, true));
        if (step > 0)
            DN_TRY(take_results(comm, job, step - 1));
    }
    DN_TRY(dn_job_barrier(comm, job));
    return take_results(comm, job, n_steps - 1);
}

dn_status dn_staged_reduce_scatter(dn_comm *comm, dn_job *job)
{
    size_t n_steps = count_steps(comm, job, segment_bytes(comm));
    for (size_t step = 0; step < n_steps; step++) {
        DN_TRY(write_segments(comm, job, step));
        DN_TRY(dn_job_barrier(comm, job));
        DN_TRY(reduce_segment(comm, job, step, false));
    }
    return n_steps ? DN_OK : dn_job_barrier(comm, job);
}

/* ---- copies ---- */

dn_status dn_staged_all_gather(dn_comm *comm, dn_job *job)
{
    size_t at, bytes, n_steps = count_steps(comm, job, DN_STAGE_BYTES);
    for (size_t step = 0; step < n_steps; step++) {
        find_segment(comm, job, comm->rank, step, DN_STAGE_BYTES, &at, &bytes);
        DN_TRY(copy(comm, job, dn_stage(comm, comm->rank, 1), comm->rank, job->buffer + at, bytes));
        DN_TRY(dn_job_barrier(comm, job));
        for (int i = 1; i < comm->size; i++) {
            int member = (comm->rank + i) % comm->size;
            find_segment(comm, job, member, step, DN_STAGE_BYTES, &at, &bytes);
            DN_TRY(copy(comm, job, job->buffer + at, member, dn_stage(comm, member, 0), bytes));
        }
    }
    return n_steps ? DN_OK : dn_job_barrier(comm, job);
}

dn_status dn_staged_all_to_all(dn_comm *comm, dn_job *job, char *to)
{
    size_t row = job->bytes / (size_t)comm->size, segment = segment_bytes(comm), at = 0;
    do {
        size_t bytes = dn_min(segment, row - at);
        for (int i = 0; i < comm->size; i++) {
            int member = (comm->rank + i) % comm->size;
            char *stage = dn_stage(comm, comm->rank, 1) + (size_t)member * segment;
            DN_TRY(copy(comm, job, i > 0 ? stage : to + (size_t)member * row + at, comm->rank,
                        job->buffer + (size_t)member * row + at, bytes));
        }
        DN_TRY(dn_job_barrier(comm, job));
        for (int i = 1; i < comm->size; i++) {
            int member = (comm->rank + i) % comm->size;
            DN_TRY(copy(comm, job, to + (size_t)member * row + at, member,
                        dn_stage(comm, member, 0) + (size_t)comm->rank * segment, bytes));
        }
        at += bytes;
    } while (at < row);
    return DN_OK;
}

dn_status dn_staged_broadcast(dn_comm *comm, dn_job *job)
{
    size_t at = 0, all = job->bytes;
    do {
        size_t bytes = dn_min(DN_STAGE_BYTES, all - at);
        if (comm->rank == job->root)
            DN_TRY(copy(comm, job, dn_stage(comm, comm->rank, 1), comm->rank, job->buffer + at, bytes));
        DN_TRY(dn_job_barrier(comm, job));
        if (comm->rank != job->root)
            DN_TRY(copy(comm, job, job->buffer + at, job->root, dn_stage(comm, job->root, 0), bytes));
        at += bytes;
    } while (at < all);
    return DN_OK;
}
