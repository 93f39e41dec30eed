/*
 * Checkpoints: one safetensors file a generation, dir/step_<8 digits>.safetensors, written aside (O_TMPFILE
 * where the file system has it, so that a killed writer leaves nothing), synced, renamed; so many of the newest
 * are kept. One generation can be marked as the best: dir/best.safetensors is a second name of its file, and
 * stays when the generation goes.
 *
 *     | header length, 8 bytes LE | header: JSON, padded with spaces to 64 bytes | tensors, dense, in order |
 *
 * The header's __metadata__ carries the caller's strings and, first of all, "xxh3": the XXH3-64 of the whole
 * file with these 16 digits as '0'. A load verifies sizes, bounds and that sum before it hands out anything:
 * a file in which one byte differs is never loaded.
 */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include "dionode/mesh.h"
#include "dionode/types.h"
#include "tensor/tensor.h"

typedef struct dn_meta {
    const char *key, *value;
} dn_meta;

typedef struct dn_checkpoint_draft dn_checkpoint_draft;

/**
 * Collective over comm. Writes generation `step`, replacing it if it exists, and keeps the newest `keep`
 * >= 1. All ranks pass the same step and tensors (DN_REAL, or DN_BF16 after all others) with all shards,
 * which tile each tensor. A barrier lies between writing these data and this call. Each rank writes the rows
 * it holds; ranks that share rows take turns. dir (created if missing), keep and meta are rank 0's, which
 * also creates, seals and renames the file.
 *
 * The oldest generations are removed first, so that there are never more than max(keep, 2) files; the newest
 * stays until the new one is complete. Generations after `step` belong to another history and are left alone.
 * Tensors are written whole, a few MiB at a time: the file does not depend on the sharding. Strings are
 * UTF-8; the metadata key "xxh3" is reserved. tick (may be NULL) is called every few MiB.
 *
 * A file of at most `room` bytes (rank 0's) is only drafted in memory, where the system lets it: the tensors may change
 * then, and *rest, on rank 0, is the draft, for dn_checkpoint_finish. Else *rest is NULL. With room 0 rest may be NULL.
 *
 * Errors: DN_ERR_IO naming file and cause, also for too little free space; DN_ERR_ARG shards that overlap or
 * leave a gap, or invalid UTF-8; DN_ERR_MEMORY. Older generations then still exist, and nothing half-written
 * is left.
 */
dn_status dn_checkpoint_write(dn_comm *comm, const char *dir, uint64_t step, size_t keep, const dn_meta *meta,
                              size_t n_meta, const dn_sharded_tensor *tensors, size_t n_tensors,
                              void (*tick)(void *), void *context, uint64_t room, dn_checkpoint_draft **rest) DN_MUST_USE;

/** Not collective, on any thread, before the next write into its folder: brings a draft to the disk, with the same
 * promises, and frees it. tick as above. Errors: DN_ERR_IO. */
dn_status dn_checkpoint_finish(dn_checkpoint_draft **draft, void (*tick)(void *), void *context) DN_MUST_USE;

/** Makes generation `step` the best: best.safetensors becomes a name of its file, at once or not at all. A file
 * system without hard links is a warning. Errors: DN_ERR_IO; DN_ERR_ARG dir is too long. */
dn_status dn_checkpoint_set_best(const char *dir, uint64_t step) DN_MUST_USE;

/** dir/best.safetensors, there or not. Errors: DN_ERR_ARG: does not fit. */
dn_status dn_checkpoint_best(const char *dir, char *path, size_t bytes) DN_MUST_USE;

/** *n = checkpoint files in dir; the best counts if it is no generation any more. No dir: 0. Errors: DN_ERR_IO,
 * DN_ERR_ARG. */
dn_status dn_checkpoint_count(const char *dir, size_t *n) DN_MUST_USE;

/** Removes what a killed writer left in dir of step_*.safetensors and best.safetensors. Best effort. */
void dn_checkpoint_clean(const char *dir);

/** Path of the newest generation in dir, or of `dir` itself if that is a file. *found = false: there is none,
 * or no dir (DN_OK). Errors: DN_ERR_IO; DN_ERR_ARG path does not fit `bytes`. */
dn_status dn_checkpoint_latest(const char *dir, char *path, size_t bytes, bool *found) DN_MUST_USE;

/** Collective: rank 0's newest generation in dir, where there is one, is then in dir of every node: copied where it is not there yet
 * byte for byte, as far as length and checksum say, and as one of the newest `keep`. dir is made if it is missing. On one node, or where
 * all see one folder, nothing is done. Errors: DN_ERR_IO; DN_ERR_ARG; DN_ERR_MEMORY; those of the communicator. */
dn_status dn_checkpoint_bring(dn_comm *comm, const char *dir, size_t keep) DN_MUST_USE;

typedef struct dn_checkpoint dn_checkpoint;

/** Verifies a file (reads it once, so that a failing disk is an error and not SIGBUS) and maps it. tick (may be
 * NULL; kept until the close) is called for every MiB that was read, here and in dn_checkpoint_block; what it returns,
 * if it is not DN_OK, ends the call. Errors: DN_ERR_CHECKPOINT: what is wrong (truncated, damaged: checksum, not ours) and, of a generation, what to do;
 * DN_ERR_IO. Owned by the caller. */
dn_status dn_checkpoint_open(const char *path, dn_status (*tick)(void *), void *context,
                             dn_checkpoint **out) DN_MUST_USE;
/** Reads the header alone: dn_checkpoint_meta and dn_checkpoint_has work, and nothing is known of the tensors'
 * numbers. Otherwise as dn_checkpoint_open. */
dn_status dn_checkpoint_peek(const char *path, dn_checkpoint **out) DN_MUST_USE;
/** Ends the life of everything borrowed from it. NULL is a no-op; sets *checkpoint to NULL. */
void dn_checkpoint_close(dn_checkpoint **checkpoint);

/** Metadata by key; NULL if absent. Borrowed from the checkpoint. */
const char *dn_checkpoint_meta(const dn_checkpoint *checkpoint, const char *key);

/** *step = metadata "step": how many steps a run had made. Errors: DN_ERR_CHECKPOINT: it names none, or is stored
 * under another step's name, where what is written next would not be the newest. */
dn_status dn_checkpoint_step(const dn_checkpoint *checkpoint, uint64_t *step) DN_MUST_USE;

/** Whether the file holds a tensor of that name. */
bool dn_checkpoint_has(const dn_checkpoint *checkpoint, const char *name);

/** The name of the tensor behind that one, in the order of the file (NULL: of the first); NULL: there is none. Borrowed. */
const char *dn_checkpoint_next(const dn_checkpoint *checkpoint, const char *name);

/** The tensor's numbers, dense, borrowed. dtype is dn_real's (F32, or F64 in the double build). Errors:
 *  DN_ERR_CHECKPOINT naming tensor, expected and found shape or dtype. */
dn_status dn_checkpoint_tensor(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                               const dn_real **data) DN_MUST_USE;

/** Copies a part of the tensor [rows, cols] to `to` [block.rows, block.cols], dense; BF16, too, which becomes
 * dn_real exactly. Errors: as
 * dn_checkpoint_tensor; DN_ERR_ARG a block beyond the tensor. */
dn_status dn_checkpoint_block(const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                              const dn_block *block, dn_real *to) DN_MUST_USE;

#endif
