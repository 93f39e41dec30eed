/* What decoders have in common: embedding, (attention, MLP) x L, head; attention and MLP of one block are a
 * unit. For rows of architectures (model/model.h). */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "model/model.h"

size_t dn_decoder_n_layers(const dn_spec *spec);
dn_layer_place dn_decoder_layer(const dn_spec *spec, size_t i);

/** What was left 0: NKV = NH, hd = C / NH, theta = 10000, the MLP's F; and no lags. Errors: DN_ERR_CONFIG naming
 * the key: heads that do not go together. */
dn_status dn_decoder_complete(dn_spec *spec, size_t F) DN_MUST_USE;

#endif
