/**
 * The device mesh: ranks as a box dp x pp x fs x tp, and communicators along its axes.
 *
 *     dp  data parallel: replicas of the weights; each takes other rows of the batch
 *     pp  pipeline parallel: stages, each of which holds other layers and computes all rows of its replica. A stage is a mesh
 *         dp x fs x tp of its own (dn_mesh_stage)
 *     fs  fully sharded data parallel: each rank holds a shard of weights, gradients and optimizer states
 *     tp  tensor parallel: each rank computes a shard of every layer, on the same rows of the batch
 *
 * rank = ((dp * pp_size + pp) * fs_size + fs) * tp_size + tp. Neighbouring ranks are placed close together: those of tp
 * closest, those of dp furthest apart.
 */
#ifndef DIONODE_MESH_H
#define DIONODE_MESH_H

#include "dionode/comm.h"
#include "dionode/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Made by dn_mesh_create, dn_mesh_replica or dn_mesh_stage; read only. */
typedef struct dn_mesh {
    int size[DN_N_AXES];
    int at[DN_N_AXES];               /* coordinates of this rank */
    dn_comm *all;                    /* borrowed */
    dn_comm *comms[DN_ALL_AXES + 1]; /* by set of axes of size > 1; NULL for other sets: use dn_mesh_comm */
    dn_comm *root; /* borrowed: its heap is where memory is taken: `all`, or of a replica or stage the whole mesh's */
    dn_comm *stages; /* of one of several stages: this rank and those at its coordinates in the others, by stage; else NULL.
                        What the whole model decides, as a clip of its gradients, is agreed on along it, too. Borrowed */
} dn_mesh;

/**
 * Collective over `all`, whose size is the product of size[] (each >= 1). Takes dn_mesh_heap_bytes(size) of
 * its heap. Owned by the caller; `all` outlives it. Errors: DN_ERR_ARG sizes; DN_ERR_MEMORY; those of a
 * barrier.
 */
DN_API dn_status dn_mesh_create(dn_comm *all, const int size[DN_N_AXES], dn_mesh **out) DN_MUST_USE;
DN_API void dn_mesh_destroy(dn_mesh **mesh);

/** The mesh of this rank's replica alone: its fs x tp ranks. Not collective; nothing to destroy:
 * communicators are the whole mesh's, which outlives it. Memory of its root, allocated by all ranks of the
 * whole mesh in the same order, is symmetric in both meshes. */
DN_API dn_mesh dn_mesh_replica(const dn_mesh *mesh);

/** The mesh of this rank's stage: dp x fs x tp; the mesh itself where there is one stage. Otherwise as dn_mesh_replica, but
 * stages may allocate different amounts: after the first such allocation nothing is symmetric over the whole mesh. */
DN_API dn_mesh dn_mesh_stage(const dn_mesh *mesh);

/** How many such meshes there are in the whole one side by side, as replicas of it: 1, but for dn_mesh_replica's. */
DN_API int dn_mesh_n_alone(const dn_mesh *mesh);

/** Bytes of symmetric heap that dn_mesh_create takes; exact. */
DN_API size_t dn_mesh_heap_bytes(const int size[DN_N_AXES]);

/** The communicator along a set of axes: ranks whose coordinates differ from this one's along these axes
 * only, in the order of `all`. All axes: `all`; none: this rank alone. Axes of size 1 make no difference. NULL of pp
 * together with some others: there is none. Borrowed. */
DN_API dn_comm *dn_mesh_comm(const dn_mesh *mesh, unsigned axes);

/** Parses "dp=2,pp=2,fs=2,tp=2", in any order; axes left out are 1. Errors: DN_ERR_CONFIG a syntax error, a size
 * below 1, a repeated axis, or more than DN_MAX_RANKS ranks; size[] is unchanged. */
DN_API dn_status dn_mesh_parse(const char *text, int size[DN_N_AXES]) DN_MUST_USE;

/** Coordinates of a rank of `all`, and back. */
DN_API void dn_mesh_at(const int size[DN_N_AXES], int rank, int at[DN_N_AXES]);
DN_API int dn_mesh_rank(const int size[DN_N_AXES], const int at[DN_N_AXES]);

#ifdef __cplusplus
}
#endif

#endif
