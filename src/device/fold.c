/*
 * The engine of reductions: reads a range from every source, chunk by chunk, combines it in order in a buffer
 * that stays in the first-level cache, and writes the result wherever it belongs.
 *
 * Targets are sources too, as a rule: their lines were just read, so writing them costs no further read, and
 * stores past the caches lose (docs/collectives.md).
 */
#include "device/fold.h"

#include "device/reduce.h"

#include <assert.h>
#include <string.h>

void dn_fold_on_host(const dn_fold *fold)
{
    size_t size = dn_type_bytes(fold->type);
    dn_reduce_fn *reduce = dn_reducers_best()->reduce[fold->type][fold->op];
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
