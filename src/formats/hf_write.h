#ifndef FORMATS_HF_WRITE_H
#define FORMATS_HF_WRITE_H

#include "formats/hf.h"

/* *values [rows, cols] = all of a parameter; borrowed until the next call. */
typedef dn_status dn_hf_weights_fn(void *context, const dn_param *param, const dn_real **values);

/** Writes the weights of params [n] as `type` into an existing folder, as files of at most file_bytes (but for a larger
 * tensor), then config.json, without which nothing is a model: a folder that was left half-written has none. spec is of a
 * family (dn_hf_knows). Errors: DN_ERR_IO; DN_ERR_MEMORY; those of `weights`. */
dn_status dn_hf_write(const char *folder, const dn_spec *spec, const dn_param *params, size_t n, dn_foreign_type type,
                      size_t file_bytes, dn_hf_weights_fn *weights, void *context) DN_MUST_USE;

#endif
