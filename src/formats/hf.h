/*
 * Hugging Face folders: config.json as keys of a configuration and back, and where a family's files keep each parameter.
 * A family is an architecture whose row says what its config.json and its tensors are called (model/hf_family.h).
 */
#ifndef FORMATS_HF_H
#define FORMATS_HF_H

#include "dionode/config.h"
#include "formats/foreign.h"
#include "model/model.h"

#include <stdint.h>

/** Sets the keys of the model in *config by a config.json, or the one in the folder `path`. Errors: DN_ERR_IO; DN_ERR_CONFIG naming the file and the
 * key that says what is not held here; DN_ERR_MEMORY. */
dn_status dn_hf_read_config(const char *path, dn_config *config) DN_MUST_USE;

/** The same of the JSON text of `bytes` bytes; path is for messages. */
dn_status dn_hf_parse_config(const char *text, size_t bytes, const char *path, dn_config *config) DN_MUST_USE;

enum { DN_HF_ENDS_MAX = 64 };

/* What a folder says of generating with its model. */
typedef struct dn_hf_generation {
    int32_t ends[DN_HF_ENDS_MAX]; /* [n_ends]: tokens that end a text */
    size_t n_ends;
    double repetition_penalty, temperature, top_p, min_p; /* NAN: nothing; temperature 0: the likeliest token */
    int32_t top_k;                                        /* -1: nothing */
} dn_hf_generation;

/** Sets *out by the JSON text of `bytes` bytes: tokens that end a text and, if `sampling`, how to draw; path is for messages.
 * Errors: DN_ERR_CONFIG naming the key. */
dn_status dn_hf_parse_generation(const char *text, size_t bytes, const char *path, bool sampling,
                                 dn_hf_generation *out) DN_MUST_USE;

/** Reads generation_config.json, if there is one; where that names no token, config.json may. Errors: DN_ERR_CONFIG naming
 * file and key; DN_ERR_IO. */
dn_status dn_hf_read_generation(const char *folder, dn_hf_generation *out) DN_MUST_USE;

/** config.json of a model whose weights are stored as `type`; the caller frees it. NULL without memory, or for an
 * architecture that no family is. */
char *dn_hf_write_config(const dn_spec *spec, dn_foreign_type type);

/** Whether an architecture is a family of Hugging Face's. */
bool dn_hf_knows(const dn_spec *spec);

/* Where a parameter lies: its row r is row first + r / run * stride + r mod run of the tensor, which has `rows` rows in
 * all and, if transposed, is stored as [columns, rows]. */
typedef struct dn_source {
    char name[256];
    size_t first, run, stride, rows;
    bool transposed;
    size_t head;   /* not 0: in runs of so many rows those of the first and the second half stand in turns (GGUF) */
    double offset; /* is added to what is stored (GGUF) */
} dn_source;

/** The row of the tensor in which row r of the parameter lies. */
size_t dn_source_row(const dn_source *source, size_t r);

/** Where the parameter lies by a family's table of names; NULL: under its own. */
dn_source dn_source_of(const dn_hf_tensors *names, const dn_spec *spec, const dn_param *param);

/** Where a family's files keep a parameter. */
dn_source dn_hf_source(const dn_spec *spec, const dn_param *param);

/** Checks that a file holds these parameters, in their shapes, and nothing else but buffers that mean nothing. Errors:
 * DN_ERR_DATA naming the tensor that is missing, of another shape, or left over; `path` is for messages. */
dn_status dn_hf_check(dn_foreign *f, const dn_spec *spec, const dn_param *params, size_t n, const char *path) DN_MUST_USE;

/** to [block] = this rank's block of a parameter of a file that was checked. */
void dn_hf_read_block(const dn_foreign *f, const dn_spec *spec, const dn_param *param, dn_real *to);

/** Opens llm.c's model file, of GPT-2: sets the keys of the model, and its tensors under the names that the Hugging Face's
 * files have. Version 3 is float, or, as it once was, bfloat16 with norms in float: its size tells. *out is to be closed
 * also after an error. Errors: DN_ERR_IO; DN_ERR_DATA; DN_ERR_MEMORY. */
dn_status dn_llmc_open(const char *path, dn_config *config, dn_foreign *out) DN_MUST_USE;

#endif
