/* What a case to verify (verify_case.c) consists of: verify_show.c, tensors that are compared; verify_step.c, a step of a mesh;
 * verify_clients.c, a version of clients. */
#ifndef TRAIN_VERIFY_TRIAL_H
#define TRAIN_VERIFY_TRIAL_H

#include "train/delayed.h"
#include "train/instance.h"
#include "train/verify_case.h"
#include "verify/plant.h"
#include "verify/traffic_model.h"

/* One run on one mesh. */
typedef struct dn_verify_trial {
    dn_verify_case *vcase; /* borrowed, as all but plan and instance */
    dn_verify *v;
    const dn_mesh *mesh;
    dn_plan plan;
    dn_instance instance;
    dn_real *copy; /* private: the largest block of a tensor */
    dn_buf *wide;  /* of the device, as large: a state of bfloat16 */
    size_t wide_bytes;
    dn_plant_tensor *planted;             /* for planted bugs: weights, then states by their roles */
    dn_delayed delayed;                   /* of the reference of one mesh whose stages do not wait */
    dn_comm_stats stats[DN_N_SETS];       /* of the step that is counted, by the communicator's axes */
    dn_traffic_model model;               /* of that step, computed before it, as ranks may change */
} dn_verify_trial;

/* A dn_rows_fn of a trial. Rows are consecutive chunks of one stream of random tokens. A target in four does not count, but with
 * clients, whose means are weighted by rows. */
dn_status dn_verify_trial_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets);

/* ---- verify_show.c: collective, as dn_verify_block is ---- */

/* "weights" of step 1, "weights, 20 steps" of a later one. */
const char *dn_verify_trial_line(const char *what, uint64_t step, char line[DN_VERIFY_LINE_MAX]);
/* A block of dn_real or bfloat16; if averaged, the mean over the ranks along these axes. */
dn_status dn_verify_trial_show(dn_verify_trial *trial, const dn_verify_tensor *tensor, unsigned averaged, dn_block block, dn_type stored,
                               const void *data) DN_MUST_USE;
dn_status dn_verify_trial_show_params(dn_verify_trial *trial, const char *what, bool gradients, uint64_t step) DN_MUST_USE;
/* A head that is the embedding: as the stage that has the head sees it. */
dn_status dn_verify_trial_show_tied(dn_verify_trial *trial, uint64_t step) DN_MUST_USE;
dn_status dn_verify_trial_show_states(dn_verify_trial *trial, uint64_t step) DN_MUST_USE;
/* But for older weights, which only stages have. */
size_t dn_verify_trial_n_states(const dn_verify_trial *trial);
/* What "dion.momentum.transformer.h.0..." is. */
const char *dn_verify_trial_kind_of_state(const char *name);

/* ---- verify_step.c ---- */

/* Collective: a step on random tokens, which shows loss, gradients, weights, states and traffic. */
dn_status dn_verify_trial_step(dn_verify_trial *trial, uint64_t step) DN_MUST_USE;

/* ---- verify_clients.c ---- */

/* Collective: to be called before the first version; the clients are the instance's. */
dn_status dn_verify_trial_open_clients(dn_verify_trial *trial) DN_MUST_USE;
/* Collective: a version, of which loss and weights are shown, and states where clients are compared with themselves. */
dn_status dn_verify_trial_version(dn_verify_trial *trial, uint64_t version) DN_MUST_USE;

#endif
