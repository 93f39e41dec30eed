/* Common to decoder architectures (model/model.h): the list embedding, (attention, MLP) x L, head, in which
 * attention and MLP of one block are a unit. */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "model/model.h"

size_t dn_decoder_n_layers(const dn_spec *spec);
dn_layer_place dn_decoder_layer(const dn_spec *spec, size_t i);

/** Defaults of fields that are 0: NKV = NH, hd = C / NH, theta = 10000, mlp.F = F; and no lags. Errors:
 * DN_ERR_CONFIG naming the key, if the numbers of heads do not fit together. */
dn_status dn_decoder_complete(dn_spec *spec, size_t F) DN_MUST_USE;

#endif
