/* A model from inside. For model.c and tests of layers. */
#ifndef MODEL_INSTANCE_H
#define MODEL_INSTANCE_H

#include "model/model.h"

typedef struct dn_model_slot {
    dn_pass pass;
    dn_layer *layers;  /* [n_layers], what they keep of this slot */
    bool forward_done; /* its micro-batch waits for its way back */
} dn_model_slot;

struct dn_model {
    dn_spec spec;
    void *memory; /* what passes and layers hold, one allocation; but for what is exchanged */
    size_t memory_bytes;
    size_t n_slots, n_layers, n_units;
    dn_model_slot slots[]; /* [n_slots]; their layers, and what these keep, lie behind them */
};

/** The layers of a unit, all the way down and all the way back, with the micro-batch of the slot. The last
 * unit has no way back: see dn_layer_ops. */
dn_status dn_model_unit_forward(dn_model *model, size_t slot, size_t unit) DN_MUST_USE;
dn_status dn_model_unit_backward(dn_model *model, size_t slot, size_t unit) DN_MUST_USE;

#endif
