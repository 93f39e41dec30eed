/* Common to decoder architectures (model/model.h): the list embedding, (attention, MLP) x L, head, in which
 * attention and MLP of one block are a unit. */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "model/model.h"

size_t dn_decoder_n_layers(const dn_spec *spec);
dn_layer_place dn_decoder_layer(const dn_spec *spec, size_t i);

/* Fields of their rows. */
#define DN_DECODER .attention = true, .n_layers = dn_decoder_n_layers, .layer = dn_decoder_layer

/** Defaults of fields that are 0: NKV = NH, hd = C / NH, theta = 10000, all of a head turned, mlp.F = F, act, tied, one
 * layer behind the other; and no lags. Errors: DN_ERR_CONFIG naming the key, if sizes do not fit together. */
dn_status dn_decoder_complete(dn_spec *spec, size_t F, dn_activation act, bool tied) DN_MUST_USE;

/** As Llama's: its names, RMS norms with gains and this eps, positions that turn as usual, a gated MLP of a third of 8C
 * hidden columns, as many weights as two matrices of 4C, up to a multiple of 8. */
dn_status dn_decoder_complete_llama(dn_spec *spec, double eps, dn_activation act, bool tied) DN_MUST_USE;

/* Llama's names, those of all architectures that came behind it. */
extern const dn_names dn_decoder_names;

#endif
