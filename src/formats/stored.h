/*
 * Writing weights in formats of other programs: which tensors a file has, and where each parameter lies in one. Common to
 * all formats; each has its own names (a dn_source of each parameter), headers and order.
 */
#ifndef FORMATS_STORED_H
#define FORMATS_STORED_H

#include "formats/hf.h"

/* A model whose weights are written; all borrowed. */
typedef struct dn_model_weights {
    const dn_spec *spec;
    const dn_param *params; /* [n] */
    size_t n;
    /* *values [rows, cols] = all of a parameter; until the next call. */
    dn_status (*get)(void *context, const dn_param *param, const dn_real **values);
    void *context;
} dn_model_weights;

/* Where a format keeps a parameter. */
typedef dn_source dn_source_fn(const dn_spec *spec, const dn_param *param);

/* A tensor of a file: the parameters that lie in it are those whose source has its name. */
typedef struct dn_stored {
    dn_source source; /* of the first of them */
    size_t n_dims, dims[2], n; /* outermost first; elements */
} dn_stored;

/** The tensors of a model, in the order of their first parameters, in out [model->n]; returns their number. */
size_t dn_stored_list(const dn_model_weights *model, dn_source_fn *where, dn_stored *out);

/** to [t->n elements of `type`] = a tensor, in which no parameter is missing. Errors: those of model->get. */
dn_status dn_stored_fill(const dn_model_weights *model, dn_source_fn *where, const dn_stored *t, dn_foreign_type type,
                         unsigned char *to) DN_MUST_USE;

#endif
