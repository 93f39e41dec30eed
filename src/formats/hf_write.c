/* Writing a Hugging Face folder: config.json, and the weights in one file or several with an index. */
#include "formats/hf_write.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 4096 };

/* A tensor of a file: the parameters that lie in it are those whose source it is. */
typedef struct tensor {
    dn_source source; /* of the first of them */
    size_t n_dims, dims[2], bytes;
    size_t file;
} tensor;

typedef struct writer {
    const char *folder;
    const dn_spec *spec;
    const dn_param *params;
    size_t n_params;
    dn_foreign_type type;
    dn_hf_weights_fn *weights;
    void *context;
    tensor *tensors; /* [n] */
    size_t n, n_files;
} writer;

static void list_tensors(writer *w, size_t file_bytes)
{
    size_t in_file = 0;
    for (size_t i = 0; i < w->n_params; i++) {
        const dn_param *param = &w->params[i];
        tensor t = {.source = dn_hf_source(w->spec, param), .n_dims = param->kind == DN_PARAM_VECTOR ? 1 : 2};
        size_t rows = t.source.rows, cols = param->tensor.cols;
        if (t.source.first > 0) /* behind another part of it */
            continue;
        t.dims[0] = t.source.transposed ? cols : rows;
        t.dims[1] = t.source.transposed ? rows : cols;
        t.bytes = rows * cols * dn_foreign_type_size(w->type);
        if (in_file > 0 && in_file + t.bytes > file_bytes) {
            w->n_files++;
            in_file = 0;
        }
        in_file += t.bytes;
        t.file = w->n_files;
        w->tensors[w->n++] = t;
    }
    w->n_files++;
}

static void name_file(const writer *w, size_t file, char *name, size_t bytes)
{
    if (w->n_files == 1)
        snprintf(name, bytes, "model.safetensors");
    else
        snprintf(name, bytes, "model-%05zu-of-%05zu.safetensors", file + 1, w->n_files);
}

/* The header of a file, padded so that tensors begin at a multiple of 8; NULL: no memory. The caller frees it. */
static char *header_of(const writer *w, size_t file)
{
    static const char *const types[] = {"F32", "F64", "F16", "BF16"};
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    size_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const tensor *t = &w->tensors[i];
        json_t *shape = json_array();
        if (t->file != file) {
            json_decref(shape);
            continue;
        }
        for (size_t k = 0; k < t->n_dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[k]));
        json_object_set_new(header, t->source.name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[w->type], "shape", shape, "data_offsets",
                                      (json_int_t)at, (json_int_t)(at + t->bytes)));
        at += t->bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    size_t n = text ? strlen(text) : 0, padded = (n + 7) / 8 * 8;
    char *all = text ? realloc(text, padded + 1) : NULL;
    if (!all) {
        free(text);
        return NULL;
    }
    memset(all + n, ' ', padded - n);
    all[padded] = 0;
    return all;
}

/* Fills in what one parameter has of a tensor. */
static void place(const writer *w, const dn_source *s, const dn_param *param, const dn_real *values, unsigned char *to)
{
    size_t cols = param->tensor.cols, size = dn_foreign_type_size(w->type);
    for (size_t r = 0; r < param->tensor.rows; r++) {
        size_t row = s->first + r / s->run * s->stride + r % s->run;
        for (size_t c = 0; c < cols; c++) {
            size_t at = s->transposed ? c * s->rows + row : row * cols + c;
            dn_foreign_store(w->type, (double)values[r * cols + c], to + at * size);
        }
    }
}

static dn_status fill(const writer *w, const tensor *t, unsigned char *bytes)
{
    for (size_t i = 0; i < w->n_params; i++) {
        const dn_source s = dn_hf_source(w->spec, &w->params[i]);
        const dn_real *values;
        if (strcmp(s.name, t->source.name) != 0)
            continue;
        DN_TRY(w->weights(w->context, &w->params[i], &values));
        place(w, &s, &w->params[i], values, bytes);
    }
    return DN_OK;
}

static dn_status append_tensors(const writer *w, size_t file, dn_atomic_file *f)
{
    for (size_t i = 0; i < w->n; i++) {
        const tensor *t = &w->tensors[i];
        if (t->file != file)
            continue;
        unsigned char *bytes = malloc(t->bytes + 1);
        dn_status status = bytes ? fill(w, t, bytes) : dn_fail(DN_ERR_MEMORY, "no memory for %s", t->source.name);
        if (status == DN_OK)
            status = dn_atomic_file_append(f, bytes, t->bytes);
        free(bytes);
        DN_TRY(status);
    }
    return DN_OK;
}

static dn_status append_file(const writer *w, size_t file, dn_atomic_file *f)
{
    char *header = header_of(w, file);
    unsigned char length[8];
    if (!header)
        return dn_fail(DN_ERR_MEMORY, "no memory for the header of %s", f->path);
    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)(strlen(header) >> 8 * i);
    dn_status status = dn_atomic_file_append(f, length, sizeof length);
    if (status == DN_OK)
        status = dn_atomic_file_append(f, header, strlen(header));
    free(header);
    return status == DN_OK ? append_tensors(w, file, f) : status;
}

static dn_status write_file(const writer *w, size_t file)
{
    char name[64], path[PATH_ROOM];
    dn_atomic_file f = {0};
    name_file(w, file, name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    DN_TRY(dn_atomic_file_open(path, 0, &f));
    dn_status status = append_file(w, file, &f);
    if (status == DN_OK)
        status = dn_atomic_file_seal(&f, NULL, NULL);
    if (status == DN_OK)
        status = dn_atomic_file_publish(&f);
    dn_atomic_file_discard(&f);
    return status;
}

static void print_text(FILE *out, void *context)
{
    fprintf(out, "%s\n", (const char *)context);
}

static dn_status write_text(const writer *w, const char *name, char *text)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    dn_status status = text ? dn_atomic_file_print(path, print_text, text) : dn_fail(DN_ERR_MEMORY, "no memory for %s", path);
    free(text);
    return status;
}

static dn_status write_index(const writer *w)
{
    json_t *map = json_object();
    json_int_t total = 0;
    for (size_t i = 0; i < w->n; i++) {
        char name[64];
        name_file(w, w->tensors[i].file, name, sizeof name);
        json_object_set_new(map, w->tensors[i].source.name, json_string(name));
        total += (json_int_t)w->tensors[i].bytes;
    }
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", total, "weight_map", map);
    char *text = json_dumps(index, JSON_INDENT(2));
    json_decref(index);
    return write_text(w, "model.safetensors.index.json", text);
}

static dn_status write_all(writer *w, size_t file_bytes)
{
    w->tensors = calloc(w->n_params, sizeof *w->tensors);
    if (!w->tensors)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", w->n_params);
    list_tensors(w, file_bytes);
    for (size_t file = 0; file < w->n_files; file++)
        DN_TRY(write_file(w, file));
    if (w->n_files > 1)
        DN_TRY(write_index(w));
    return write_text(w, "config.json", dn_hf_write_config(w->spec, w->type));
}

dn_status dn_hf_write(const char *folder, const dn_spec *spec, const dn_param *params, size_t n, dn_foreign_type type,
                      size_t file_bytes, dn_hf_weights_fn *weights, void *context)
{
    writer w = {.folder = folder,
                .spec = spec,
                .params = params,
                .n_params = n,
                .type = type,
                .weights = weights,
                .context = context};
    dn_status status = write_all(&w, file_bytes);
    free(w.tensors);
    return status;
}
