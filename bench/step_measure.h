/* The optimizer step of one rule on the hidden matrices of one model, on some mesh: time, and the limit that
 * the same threads reach in the same run. */
#ifndef STEP_MEASURE_H
#define STEP_MEASURE_H

#include "device/stream.h"
#include "dionode/mesh.h"
#include "optim/rule.h"

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
    bool whole_gradients; /* replicas exchange gradients, not factors */
    int n_steps;          /* at most STEP_MAX_STEPS */
} step_job;

typedef struct step_timing {
    double median, fastest, slowest; /* seconds */
    /* Of all workers together: flops a step and best flop/s of products, or bytes a step and triad's byte/s.
     */
    double work, limit;
    double n_elements; /* of all matrices */
    int n_fallback;    /* matrices that took the chosen orthonormalization's fallback in the last step */
} step_timing;

/** How many tensors an element-wise rule reads: x, g and its states; 0: a rule whose work is counted in
 * flops. A step writes all but g, which it has read once before, for the norm that decides whether the step
 * is taken. */
int step_tensors(const dn_rule *rule);

/** Symmetric heap that step_measure takes, in bytes. */
size_t step_bytes(const step_job *job, const int mesh[DN_N_AXES]);

/** Collective over all, which keeps what was taken of its heap. Each step is progress in world. Errors:
 * DN_ERR_NUMERIC, a step that was not a plain one; of the group. */
dn_status step_measure(const step_job *job, dn_comm *all, const int mesh[DN_N_AXES], dn_stream *stream,
                       dn_comm *world, step_timing *timing) DN_MUST_USE;

#endif
