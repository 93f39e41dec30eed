/*
 * Checkpoints: one safetensors file a generation, dir/step_<8 digits>.safetensors, written aside (O_TMPFILE
 * where the file system has it, so that a killed writer leaves nothing), synced, renamed; the newest two are
 * kept.
 *
 * The header's __metadata__ carries the caller's strings and "xxh3": the XXH3-64 of all tensor bytes; a load
 * verifies sizes, bounds and that sum before it hands out anything. A damaged file is never loaded.
 */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_tensor {
    const char *name;
    size_t rows, cols;   /* shape in the file: [rows, cols] */
    const dn_real *data; /* dense, row-major; borrowed */
} dn_tensor;

typedef struct dn_meta {
    const char *key, *value;
} dn_meta;

/** Writes generation `step` and removes all but the newest two. tick (may be NULL) is called every few MiB.
 *  Checks free space first. Errors: DN_ERR_IO naming file and cause; the older generations then still stand
 * and nothing half-written is left. */
dn_status dn_checkpoint_write(const char *dir, uint64_t step, const dn_meta *meta, size_t n_meta,
                              const dn_tensor *tensors, size_t n_tensors, void (*tick)(void *),
                              void *context) DN_MUST_USE;

/** Path of the newest generation in dir, or of `dir` itself if that is a file. *found = false: there is none
 * (DN_OK). Errors: DN_ERR_IO. */
dn_status dn_checkpoint_latest(const char *dir, char *path, size_t bytes, bool *found) DN_MUST_USE;

typedef struct dn_checkpoint dn_checkpoint;

/** Maps and verifies a file. Errors: DN_ERR_CHECKPOINT: what is wrong (truncated, damaged: checksum, not
 * safetensors), and what to do (delete it to go on from the older generation). Owned by the caller. */
dn_status dn_checkpoint_open(const char *path, dn_checkpoint **out) DN_MUST_USE;
void dn_checkpoint_close(dn_checkpoint **checkpoint);

/** Metadata by key; NULL if absent. Borrowed from the checkpoint. */
const char *dn_checkpoint_meta(const dn_checkpoint *checkpoint, const char *key);

/** The tensor's numbers, dense, borrowed. dtype is dn_real's (F32, or F64 in the double build). Errors:
 *  DN_ERR_CHECKPOINT naming tensor, expected and found shape or dtype. */
dn_status dn_checkpoint_tensor(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                               const dn_real **data) DN_MUST_USE;

#endif
