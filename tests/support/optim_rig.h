/* A few parameters with an optimizer over them, for tests: by hand on one rank, or as one rank of a mesh. */
#ifndef SUPPORT_OPTIM_RIG_H
#define SUPPORT_OPTIM_RIG_H

#include "compute/kernels.h"
#include "shard/optimizer.h"
#include "verify/traffic_model.h"

#include <stdbool.h>

enum { RIG_MAX = 16, RIG_MAX_RANKS = 16 };

typedef struct rig_shape {
    dn_param_kind kind;
    size_t rows, cols;
} rig_shape;

/* How the mesh cuts a parameter: rows and columns along fs or tp; DN_N_AXES: not. Rows in units. */
typedef struct rig_cut {
    dn_axis rows, cols;
    size_t unit;
} rig_cut;

static inline dn_dim_sharding rig_sharding(dn_axis axis, size_t unit)
{
    return axis == DN_N_AXES ? (dn_dim_sharding){0} : (dn_dim_sharding){axis, unit};
}

/* Where a rig lives: a mesh of size[], and the cuts [n] of its parameters (NULL: none). Also into how many
 * matrices each is split (NULL: none is). */
typedef struct rig_mesh {
    int size[DN_N_AXES];
    const rig_cut *cuts;
    const size_t *splits;
} rig_mesh;

typedef struct optim_rig {
    dn_comm *comm;
    bool owns_comm;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_optim_config config;
    dn_param params[RIG_MAX];
    size_t n_params;
    dn_optimizer *optimizer;
    dn_step_report report; /* of the last step */
    uint64_t step;         /* steps taken */
} optim_rig;

/** Dion with AdamW, mu 0.95, fraction 1/4, eps 1e-8, no weight decay, compressed, cqr2, seed 7. */
dn_optim_config rig_config(void);
/** Symmetric heap that a rig takes on each rank of a mesh. */
size_t rig_heap_bytes(const dn_optim_config *config, const rig_shape *shapes, size_t n, const rig_mesh *mesh);
/** Weights and gradients 0, on the ranks of comm as a mesh; comm NULL: a group of one, owned. kernels as for
 * dn_stream_create. */
dn_status rig_create_on(optim_rig *rig, dn_comm *comm, const rig_mesh *mesh, const char *kernels,
                        const dn_optim_config *config, const rig_shape *shapes, size_t n);
/** As replicas. */
dn_status rig_create(optim_rig *rig, dn_comm *comm, const char *kernels, const dn_optim_config *config,
                     const rig_shape *shapes, size_t n);
void rig_destroy(optim_rig *rig);

/** Elements of this rank's block, in place: on the CPU a handle is an address. */
dn_real *rig_weight(const optim_rig *rig, size_t i);
dn_real *rig_grad(const optim_rig *rig, size_t i);
/** State "prefix.<name of parameter i>"; NULL if there is none. */
const dn_tensor *rig_state(const optim_rig *rig, const char *prefix, size_t i);
/** This rank's shard of it; of one in full precision, its numbers. */
dn_real *rig_state_data(const optim_rig *rig, const char *prefix, size_t i);
dn_shard rig_shard(const optim_rig *rig, size_t state);

/* A tensor put together from what all ranks hold of it. */
typedef struct rig_whole {
    size_t size;
    double *mean; /* [size] over the copies; owned */
    int n_copies; /* that hold each element; 0: not all elements have as many */
    bool equal;   /* all copies are the same bits */
} rig_whole;

/** Reads peers: they must not write meanwhile. */
rig_whole rig_whole_weight(const optim_rig *rig, size_t i);
rig_whole rig_whole_state(const optim_rig *rig, size_t state);

/** From the whole gradient: this rank's block. */
void rig_set_grad(optim_rig *rig, size_t i, const double *grad);
/** What the step to come must exchange, but for rounds; and what those of the last one did. */
dn_traffic_model rig_traffic(const optim_rig *rig);
void rig_add_rounds(const optim_rig *rig, dn_traffic_model *model);
/** With the weight decay as configured. */
dn_status rig_step(optim_rig *rig, double lr);

#endif
