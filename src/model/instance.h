/* Internals of a model, for model.c, memory.c, pass.c and tests of layers. */
#ifndef MODEL_INSTANCE_H
#define MODEL_INSTANCE_H

#include "model/model.h"

typedef struct dn_model_slot {
    dn_pass pass;
    dn_layer *layers;  /* [n_layers], with what they keep for this slot */
    dn_bytes *messages; /* of the channels, one after the other */
    bool forward_done; /* its micro-batch is ready for backward */
} dn_model_slot;

struct dn_model {
    dn_spec spec;
    void *memory; /* of passes and layers, one allocation; without symmetric memory */
    size_t memory_bytes;
    size_t n_slots, n_layers, n_units; /* units as a pass goes through them: the last is the head's */
    size_t lowest;      /* unit where the backward pass ends */
    size_t T;           /* positions of the sequences to come, at most spec.T */
    dn_complete_fn *complete; /* or NULL; see dn_model_on_complete */
    void *complete_context;
    bool has_head;      /* the last unit is a head, not a block of a stage that ends before it */
    dn_cache_row *rows; /* of the pass, with a cache; behind the layers */
    int32_t *labels;    /* [2,B]: rows with a class as their target, and these; behind the layers */
    dn_model_slot slots[]; /* [n_slots]; followed by their layers, and what these keep */
};

/* Positions of one sequence that a pass with a cache takes at most; it has room for one of each sequence, too. */
enum { DN_MODEL_CHUNK = DN_CACHE_SEQUENCES_MAX };

/** Layers of a model, or of its stage, with those that fine-tuning adds, and layer i of them. */
size_t dn_model_n_layers(const dn_spec *spec);
dn_layer_place dn_model_place(const dn_spec *spec, size_t i);
/** The first of them that passes run through, and its unit. */
size_t dn_model_first_run(const dn_spec *spec);

/** dn_model_lowest before there are parameters, or less where all are trained. */
size_t dn_model_lowest_of(const dn_spec *spec);

/** Bytes that a layer's cache takes for a position of one sequence. */
size_t dn_layer_cached_bytes(const dn_pass *pass, const dn_layer_ops *ops);

/** Runs the layers of a unit forward, or backward, on the micro-batch of the slot. The last unit has no
 * backward: see dn_layer_ops. */
dn_status dn_model_unit_forward(dn_model *model, size_t slot, size_t unit) DN_MUST_USE;
dn_status dn_model_unit_backward(dn_model *model, size_t slot, size_t unit) DN_MUST_USE;

#endif
