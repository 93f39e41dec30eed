/**
 * The mesh: workers in a box of dp x fs x tp, a group for each set of its axes, and which part of a tensor is
 * whose.
 *
 *     dp  replicas: the same weights, other rows of the batch
 *     fs  fully sharded: each holds a part of the state and reads the rest; other rows of the batch
 *     tp  tensor parallel: each computes a part of every layer, on the same rows of the batch
 *
 * Rank in the group of all = (dp * fs_size + fs) * tp_size + tp. A placement puts neighbouring ranks close
 * together, so members of tp sit closest and those of dp furthest apart.
 */
#ifndef DIONODE_MESH_H
#define DIONODE_MESH_H

#include "dionode/comm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dn_axis { DN_DP, DN_FS, DN_TP, DN_N_AXES } dn_axis;

/* Sets of axes are bit masks. */
#define DN_AXIS(axis) (1u << (axis))
#define DN_ALL_AXES   (DN_AXIS(DN_N_AXES) - 1)

/* ---- parts ---- */

/* From first up to, not including, end. */
typedef struct dn_range {
    size_t first, end;
} dn_range;

/**
 * Part `index` of n things cut into `parts` parts, in whole units of `unit` >= 1 things (the last unit may be
 * short). Parts differ by one unit at most, larger ones first; a part may be empty.
 */
DN_API dn_range dn_shard_range(size_t n, size_t unit, int parts, int index);

/* A rectangle of a matrix. */
typedef struct dn_block {
    size_t row0, rows, col0, cols;
} dn_block;

/* ---- the mesh ---- */

/* For reading; made by dn_mesh_create or dn_mesh_replica. */
typedef struct dn_mesh {
    int size[DN_N_AXES];
    int at[DN_N_AXES];               /* coordinates of this rank */
    dn_comm *all;                    /* borrowed */
    dn_comm *comms[DN_ALL_AXES + 1]; /* by set of axes without those of size 1; NULL for other sets */
    dn_comm *root; /* borrowed: `all`, but of a replica the whole mesh's: its heap is where memory is taken */
} dn_mesh;

/**
 * Collective over `all`, whose size is the product of size[] (each >= 1). Takes dn_mesh_heap_bytes(size) of
 * its heap. Errors: DN_ERR_ARG sizes; DN_ERR_MEMORY; those of a barrier. Owned by the caller; `all` outlives
 * it.
 */
DN_API dn_status dn_mesh_create(dn_comm *all, const int size[DN_N_AXES], dn_mesh **out) DN_MUST_USE;
DN_API void dn_mesh_destroy(dn_mesh **mesh);

/** The mesh of this rank's replica: the ranks that hold one copy of the weights, fs x tp of them. Groups are the
 * whole mesh's, which outlives it; there is nothing to destroy. What is taken from its root's heap, by all ranks of
 * the whole mesh in the same order, is symmetric in both meshes. Not collective. */
DN_API dn_mesh dn_mesh_replica(const dn_mesh *mesh);

/** Symmetric heap that dn_mesh_create takes of `all`, in bytes; exact. */
DN_API size_t dn_mesh_heap_bytes(const int size[DN_N_AXES]);

/** The group of those ranks whose coordinates differ from this one's along the given axes only; members in
 * the order of their ranks in `all`. All axes: `all`; no axis: this rank alone. Axes of size 1 do not matter:
 * sets that differ by them are one group. Borrowed. */
DN_API dn_comm *dn_mesh_comm(const dn_mesh *mesh, unsigned axes);

/** Sizes from text as "dp=2,fs=2,tp=2", in any order; axes left out are 1. Errors: DN_ERR_CONFIG, size[] as
 * it was: anything else, a size below 1, an axis given twice, or a product above DN_MAX_RANKS. */
DN_API dn_status dn_mesh_parse(const char *text, int size[DN_N_AXES]) DN_MUST_USE;

/** Coordinates of a rank of `all`, and back. */
DN_API void dn_mesh_at(const int size[DN_N_AXES], int rank, int at[DN_N_AXES]);
DN_API int dn_mesh_rank(const int size[DN_N_AXES], const int at[DN_N_AXES]);

#ifdef __cplusplus
}
#endif

#endif
