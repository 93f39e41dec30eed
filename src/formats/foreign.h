/*
 * Weights in files that other programs wrote: safetensors of any order and alignment, one file or several with an index,
 * and llm.c's .bin. Files may come from anywhere: all is checked before a tensor is handed out.
 */
#ifndef FORMATS_FOREIGN_H
#define FORMATS_FOREIGN_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>

/* The last is read, and no weight is of it: buffers that files of others hold beside their weights may be. */
typedef enum dn_foreign_type { DN_FOREIGN_F32, DN_FOREIGN_F64, DN_FOREIGN_F16, DN_FOREIGN_BF16, DN_FOREIGN_BYTE } dn_foreign_type;

#define DN_FOREIGN_TYPE_NAMES "float32|float64|float16|bfloat16" /* in that order: those of weights */

typedef struct dn_foreign_tensor {
    char *name; /* owned */
    dn_foreign_type type;
    size_t n_dims, dims[4];
    const unsigned char *data; /* mapped, aligned to nothing */
    size_t n;                  /* elements */
    bool used;                 /* the reader's mark */
} dn_foreign_tensor;

typedef struct dn_foreign_map {
    void *at;
    size_t bytes;
} dn_foreign_map;

typedef struct dn_foreign {
    dn_foreign_tensor *tensors;
    size_t n, room;
    dn_foreign_map *maps; /* owned */
    size_t n_maps;
    bool rows_are_outputs; /* linear layers as [out,in] where the family's files have [in,out]: llm.c's */
} dn_foreign;

/** Opens the weights of a Hugging Face folder: model.safetensors, or the files of model.safetensors.index.json. *out is
 * to be closed also after an error. Errors: DN_ERR_IO; DN_ERR_DATA naming file and fault; DN_ERR_MEMORY. */
dn_status dn_foreign_open(const char *folder, dn_foreign *out) DN_MUST_USE;
void dn_foreign_close(dn_foreign *f);

/** NULL: there is none. */
dn_foreign_tensor *dn_foreign_find(const dn_foreign *f, const char *name);

/** Element i, rounded to dn_real. */
dn_real dn_foreign_element(const dn_foreign_tensor *t, size_t i);

size_t dn_foreign_type_size(dn_foreign_type type);

/** Stores x, rounded to nearest, ties to even, at `to`. */
void dn_foreign_store(dn_foreign_type type, double x, unsigned char *to);

/* ---- for readers of formats ---- */

/** Adds the tensors of a safetensors file to those of f. Errors: as dn_foreign_open. */
dn_status dn_foreign_add_file(dn_foreign *f, const char *path) DN_MUST_USE;

/** Maps a whole regular file; f unmaps it. Errors: DN_ERR_IO. */
dn_status dn_foreign_map_file(dn_foreign *f, const char *path, const unsigned char **at, size_t *bytes) DN_MUST_USE;

/** Adds a tensor of that name (copied), n_dims <= 4, its elements at data. Errors: DN_ERR_MEMORY. */
dn_status dn_foreign_add(dn_foreign *f, const char *name, dn_foreign_type type, size_t n_dims, const size_t *dims,
                         const unsigned char *data) DN_MUST_USE;

#endif
