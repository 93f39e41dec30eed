/* A trained model alone in one process: what evaluation and sampling need of a checkpoint. */
#ifndef TRAIN_MODEL_H
#define TRAIN_MODEL_H

#include "dionode/config.h"
#include "nn/gpt.h"

typedef struct dn_model {
    dn_config config; /* as stored with the checkpoint, changed by assignments */
    dn_gpt_shape shape;
    dn_stream *stream;
    dn_param *params;
    void *weights;
    size_t weights_bytes;
    dn_comm *alone;
    dn_mesh *mesh;
    dn_weights *model_weights;
    size_t *unit_of;
    dn_gpt *gpt;
    uint64_t step;
} dn_model;

/** Loads the newest checkpoint of a run directory (or a checkpoint file), for micro-batches of B sequences,
 * using all usable processing units. assignments [n]: "key=value". On failure *model can (and must) still be
 * closed. Errors: DN_ERR_CHECKPOINT, DN_ERR_CONFIG, DN_ERR_MEMORY. */
dn_status dn_model_open(dn_model *model, const char *run, const char *const *assignments, size_t n,
                        size_t B) DN_MUST_USE;
void dn_model_close(dn_model *model);

#endif
