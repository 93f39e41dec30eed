/* The optimizer step of one rule on the hidden matrices of one model, on some mesh: time, and the limit that
 * the same threads reach in the same run. */
#ifndef STEP_MEASURE_H
#define STEP_MEASURE_H

#include "device/stream.h"
#include "dionode/mesh.h"
#include "optim/rule.h"
#include "shard/optimizer.h"
#include "strategy/engine.h"

enum { STEP_MAX_STEPS = 1000 };

/* The first layers of a GPT: all of them, or, as the step is linear in layers, as many as fit in memory. */
typedef struct step_model {
    const char *name;
    size_t dim, layers, all_layers;
} step_model;

typedef struct step_job {
    const step_model *model;
    const dn_rule *rule;
    double fraction;
    const dn_strategy *strategy; /* with its defaults; NULL: the optimizer alone */
    bool whole_gradients;        /* replicas exchange gradients, not factors */
    int n_steps;          /* at most STEP_MAX_STEPS */
} step_job;

typedef struct step_timing {
    double median, fastest, slowest; /* seconds */
    /* Of all workers together: flops a step and best flop/s of products, or bytes a step and triad's byte/s.
     */
    double work, limit, fma; /* fma: flop/s of the FMA limit; 0 where bytes are counted */
    double n_elements; /* of all matrices */
    int n_fallback;    /* matrices that took the chosen orthonormalization's fallback in the last step */
} step_timing;

/** How many tensors an element-wise rule reads: x, g and its states; 0: a rule whose work is counted in
 * flops. A step writes all but g, which it has read once before, for the norm that decides whether the step
 * is taken. */
int step_tensors(const dn_rule *rule);

/** Symmetric heap that a bed takes, in bytes. */
size_t step_bytes(const step_job *job, const int mesh[DN_N_AXES]);

/* The matrices of a model, on the heap of a mesh, and what steps on them. */
typedef struct step_bed {
    dn_mesh *mesh;
    dn_mesh own; /* the optimizer's */
    dn_param *params;
    size_t n_params, n_elements; /* of the whole model */
    dn_buf *noise;               /* twice as large as the largest gradient */
    dn_optim_config config;      /* borrowed by the strategy: the bed must not move */
    dn_optimizer *optimizer;
    dn_strategy_run *strategy; /* NULL: the job names none */
    size_t strategy_bytes;     /* of the heap, that it took */
} step_bed;

/** Collective. Weights are the beginning of the noise. To be cleared in any case. */
dn_status step_make(step_bed *bed, const step_job *job, dn_comm *all, const int mesh[DN_N_AXES], dn_stream *stream)
    DN_MUST_USE;
void step_clear(step_bed *bed);

/** Collective: all begin together, and the slowest ends a step. Writes gradients, then steps through the engine, or with the
 * optimizer alone. Of what `world` watches it is progress. */
dn_status step_once(step_bed *bed, dn_strategy_run *engine, dn_stream *stream, int step, dn_comm *world, double *seconds,
                    dn_step_report *report) DN_MUST_USE;

/** Collective over all, which keeps what was taken of its heap. Each step is progress in world. Errors:
 * DN_ERR_NUMERIC, a step that was not a plain one; of the group. */
dn_status step_measure(const step_job *job, dn_comm *all, const int mesh[DN_N_AXES], dn_stream *stream,
                       dn_comm *world, step_timing *timing) DN_MUST_USE;

#endif
