/*
 * The engine of reductions: reads a range from every source, chunk by chunk, combines it in order in a buffer
 * that stays in the first-level cache, and writes the result wherever it belongs.
 *
 * Targets are sources too, as a rule: their lines were just read, so writing them costs no further read, and
 * stores past the caches lose (docs/collectives.md).
 */
#include "comm/group.h"

#include <assert.h>
#include <string.h>

void dn_fold_init(dn_fold *fold, dn_comm *comm, const dn_job *job, size_t n)
{
    fold->comm = comm;
    fold->job = job;
    fold->n = n;
    fold->op = job->op;
    fold->n_averaged = comm->size;
    fold->n_sources = fold->n_targets = 0;
}

void dn_fold_from(dn_fold *fold, int member, const char *source)
{
    fold->sources[fold->n_sources++] = source;
    dn_comm_count_moved(fold->comm, fold->job->kind, member, fold->n * dn_type_bytes(fold->job->type));
}

void dn_fold_to(dn_fold *fold, int member, char *target)
{
    fold->targets[fold->n_targets++] = target;
    dn_comm_count_moved(fold->comm, fold->job->kind, member, fold->n * dn_type_bytes(fold->job->type));
}

void dn_fold_run(const dn_fold *fold)
{
    const dn_job *job = fold->job;
    size_t size = dn_type_bytes(job->type);
    dn_reduce_fn *reduce = fold->comm->kernels->reduce[job->type][fold->op];
    _Alignas(64) char chunk[DN_CHUNK * 8];
    const void *sources[DN_MAX_RANKS];
    assert(fold->n_sources > 0);
    for (size_t first = 0; first < fold->n; first += DN_CHUNK) {
        size_t n = fold->n - first < DN_CHUNK ? fold->n - first : DN_CHUNK;
        for (int i = 0; i < fold->n_sources; i++)
            sources[i] = fold->sources[i] + first * size;
        reduce(chunk, sources, fold->n_sources, n, fold->n_averaged);
        for (int i = 0; i < fold->n_targets; i++)
            memcpy(fold->targets[i] + first * size, chunk, n * size);
    }
}
