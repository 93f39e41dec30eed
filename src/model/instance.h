/* A model from inside. For model.c and tests of layers. */
#ifndef MODEL_INSTANCE_H
#define MODEL_INSTANCE_H

#include "model/model.h"

struct dn_model {
    dn_spec spec;
    dn_pass pass;
    void *memory; /* what pass and layers hold, one allocation; but for what is exchanged */
    size_t memory_bytes;
    size_t n_layers, n_units;
    dn_layer layers[]; /* [n_layers]; what they keep lies behind them */
};

/** The layers of a unit, all the way down and all the way back, with the pass's micro-batch in its place. */
dn_status dn_model_unit_forward(dn_model *model, size_t unit) DN_MUST_USE;
dn_status dn_model_unit_backward(dn_model *model, size_t unit) DN_MUST_USE;

#endif
