/*
 * llm.c's model files of GPT-2: 256 int32, of which the first are 20240326, version, T, V, L, NH, C, V padded; then all
 * tensors, each for all layers, linear layers as [out,in]. Version 5 is bfloat16, version 3 float; the version 3 of earlier
 * files is bfloat16 but for the norms, which follow at the end in float.
 */
#include "formats/write.h"

#include "base/atomic_file.h"
#include "base/fail.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC = 20240326, HEADER = 1024, PADDING = 128 }; /* rows of the vocabulary, as llm.c writes them */

typedef struct header {
    size_t version, T, V, L, NH, C, padded;
} header;

/* In the order of the file; rows and columns in units of C, columns 0: a vector. */
typedef struct tensor {
    const char *name; /* in a layer behind its number */
    size_t rows, cols;
    bool norm, in_layer;
} tensor;

static const tensor tensors[] = {
    {"wte.weight", 0, 1, false, false},          {"wpe.weight", 0, 1, false, false},
    {"ln_1.weight", 1, 0, true, true},           {"ln_1.bias", 1, 0, true, true},
    {"attn.c_attn.weight", 3, 1, false, true},   {"attn.c_attn.bias", 3, 0, false, true},
    {"attn.c_proj.weight", 1, 1, false, true},   {"attn.c_proj.bias", 1, 0, false, true},
    {"ln_2.weight", 1, 0, true, true},           {"ln_2.bias", 1, 0, true, true},
    {"mlp.c_fc.weight", 4, 1, false, true},      {"mlp.c_fc.bias", 4, 0, false, true},
    {"mlp.c_proj.weight", 1, 4, false, true},    {"mlp.c_proj.bias", 1, 0, false, true},
    {"ln_f.weight", 1, 0, true, false},          {"ln_f.bias", 1, 0, true, false},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

/* Rows as stored: the embedding's with padding. */
static size_t rows_of(const header *h, size_t i)
{
    return i == 0 ? h->padded : i == 1 ? h->T : tensors[i].rows * h->C;
}

static size_t elements_of(const header *h, size_t i)
{
    return rows_of(h, i) * (tensors[i].cols ? tensors[i].cols * h->C : 1);
}

/* norms: their elements alone, or all others. */
static size_t total_of(const header *h, bool norms)
{
    size_t n = 0;
    for (size_t i = 0; i < N_TENSORS; i++)
        if (tensors[i].norm == norms)
            n += elements_of(h, i) * (tensors[i].in_layer ? h->L : 1);
    return n;
}

/* Sizes are bounded so that no sum of products overflows. */
static dn_status read_header(const char *path, const unsigned char *file, size_t bytes, header *h)
{
    int32_t words[8];
    if (bytes < HEADER)
        return dn_fail(DN_ERR_DATA, "%s: shorter than the header of llm.c's model files", path);
    memcpy(words, file, sizeof words);
    if (words[0] != MAGIC || (words[1] != 3 && words[1] != 5))
        return dn_fail(DN_ERR_DATA, "%s: is no model file of llm.c, versions 3 or 5 (begins with %d, %d)", path, words[0],
                       words[1]);
    static const int32_t most[] = {0, 0, 1 << 20, 1 << 24, 1 << 10, 1 << 16, 1 << 16, 1 << 24};
    for (int i = 2; i < 7; i++)
        if (words[i] < 1 || words[i] > most[i])
            return dn_fail(DN_ERR_DATA, "%s: word %d of its header, %d, makes no sense", path, i, words[i]);
    *h = (header){(size_t)words[1], (size_t)words[2], (size_t)words[3], (size_t)words[4], (size_t)words[5], (size_t)words[6],
                  words[7] > 0 && words[7] <= most[7] ? (size_t)words[7] : (size_t)words[3]};
    if (h->padded < h->V)
        return dn_fail(DN_ERR_DATA, "%s: its padded vocabulary %zu is smaller than its vocabulary %zu", path, h->padded, h->V);
    return DN_OK;
}

static void name_of(size_t i, size_t layer, char *name, size_t bytes)
{
    if (tensors[i].in_layer)
        snprintf(name, bytes, "transformer.h.%zu.%s", layer, tensors[i].name);
    else
        snprintf(name, bytes, "transformer.%s", tensors[i].name);
}

/* One tensor of one layer, or the one outside; wte without its padding. */
static dn_status add(dn_foreign *f, const header *h, size_t i, size_t layer, dn_foreign_type type, const unsigned char *data)
{
    char name[128];
    const size_t dims[] = {i == 0 ? h->V : rows_of(h, i), tensors[i].cols * h->C};
    name_of(i, layer, name, sizeof name);
    return dn_foreign_add(f, name, type, tensors[i].cols ? 2 : 1, dims, data);
}

/* Those that are norms, or those that are not, or both, from *at on. */
static dn_status add_all(dn_foreign *f, const header *h, bool norms, bool others, dn_foreign_type type,
                         const unsigned char **at)
{
    for (size_t i = 0; i < N_TENSORS; i++)
        for (size_t layer = 0; layer < (tensors[i].in_layer ? h->L : 1) && (tensors[i].norm ? norms : others); layer++) {
            DN_TRY(add(f, h, i, layer, type, *at));
            *at += elements_of(h, i) * dn_foreign_type_size(type);
        }
    return DN_OK;
}

static dn_status add_tensors(dn_foreign *f, const header *h, const char *path, const unsigned char *at, size_t bytes)
{
    size_t norms = total_of(h, true), others = total_of(h, false);
    bool mixed = h->version == 3 && bytes == 2 * others + 4 * norms;
    dn_foreign_type type = h->version == 3 && !mixed ? DN_FOREIGN_F32 : DN_FOREIGN_BF16;
    if (!mixed && bytes != (norms + others) * dn_foreign_type_size(type))
        return dn_fail(DN_ERR_DATA, "%s: %zu bytes of weights are those of no layout of version %zu: damaged, or cut off", path,
                       bytes, h->version);
    DN_TRY(add_all(f, h, !mixed, true, type, &at));
    return mixed ? add_all(f, h, true, false, DN_FOREIGN_F32, &at) : DN_OK;
}

dn_status dn_llmc_open(const char *path, dn_config *config, dn_foreign *out)
{
    const unsigned char *file;
    size_t bytes;
    header h = {0};
    memset(out, 0, sizeof *out);
    DN_TRY(dn_foreign_map_file(out, path, &file, &bytes));
    DN_TRY(read_header(path, file, bytes, &h));
    out->rows_are_outputs = true;
    snprintf(config->architecture, sizeof config->architecture, "gpt2");
    config->vocab_size = (int64_t)h.V;
    config->model_dim = (int64_t)h.C;
    config->n_layer = (int64_t)h.L;
    config->n_head = (int64_t)h.NH;
    config->max_positions = (int64_t)h.T;
    return add_tensors(out, &h, path, file + HEADER, bytes - HEADER);
}

/* ---- writing ---- */

/* As in Hugging Face's files, but never transposed. */
static dn_source where(const dn_spec *spec, const dn_param *param)
{
    dn_source s = dn_hf_source(spec, param);
    s.transposed = false;
    return s;
}

static dn_status append(dn_atomic_file *f, const dn_model_weights *model, const header *h, size_t i, const dn_stored *t,
                        dn_foreign_type type)
{
    size_t bytes = elements_of(h, i) * dn_foreign_type_size(type);
    unsigned char *values = calloc(bytes, 1);
    dn_status status = values ? dn_stored_fill(model, where, t, type, values)
                              : dn_fail(DN_ERR_MEMORY, "no memory for %s", t->source.name);
    if (status == DN_OK)
        status = dn_atomic_file_append(f, values, bytes);
    free(values);
    return status;
}

static dn_status append_all(dn_atomic_file *f, const dn_model_weights *model, const header *h, const dn_stored *all, size_t n,
                            dn_foreign_type type)
{
    int32_t words[HEADER / 4] = {MAGIC,         (int32_t)h->version, (int32_t)h->T, (int32_t)h->V,
                                 (int32_t)h->L, (int32_t)h->NH,      (int32_t)h->C, (int32_t)h->padded};
    DN_TRY(dn_atomic_file_append(f, words, sizeof words));
    for (size_t i = 0; i < N_TENSORS; i++)
        for (size_t layer = 0; layer < (tensors[i].in_layer ? h->L : 1); layer++) {
            char name[128];
            size_t k = 0;
            name_of(i, layer, name, sizeof name);
            while (k < n && strcmp(all[k].source.name, name) != 0)
                k++;
            assert(k < n);
            DN_TRY(append(f, model, h, i, &all[k], type));
        }
    return DN_OK;
}

dn_status dn_llmc_write(const char *path, const dn_model_weights *model, dn_foreign_type type)
{
    const dn_spec *spec = model->spec;
    const header h = {.version = type == DN_FOREIGN_BF16 ? 5 : 3, .T = spec->max_positions, .V = spec->V, .L = spec->L,
                      .NH = spec->attention.NH, .C = spec->C, .padded = (spec->V + PADDING - 1) / PADDING * PADDING};
    dn_atomic_file f = {0};
    dn_stored *all = calloc(model->n, sizeof *all);
    if (!all)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", model->n);
    size_t n = dn_stored_list(model, where, all);
    dn_status status = dn_atomic_file_open(path, 0, &f);
    if (status == DN_OK)
        status = append_all(&f, model, &h, all, n, type);
    status = dn_atomic_file_end(&f, status);
    free(all);
    return status;
}
