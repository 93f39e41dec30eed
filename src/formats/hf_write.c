/* Writing a Hugging Face folder: config.json, and the weights in one file or several with an index; and PEFT's of an adapter. */
#include "formats/write.h"

#include "base/fail.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    dn_atomic_files *to;
    const char *stem; /* of files of tensors */
    const dn_model_weights *model;
    dn_source_fn *where;
    dn_foreign_type type;
    dn_stored *tensors; /* [n] */
    size_t *file_of;    /* [n] */
    size_t n, n_files;
} writer;

static size_t bytes_of(const writer *w, size_t tensor)
{
    return w->tensors[tensor].n * dn_foreign_type_size(w->type);
}

static void deal_to_files(writer *w, size_t file_bytes)
{
    size_t in_file = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (in_file > 0 && in_file + bytes_of(w, i) > file_bytes) {
            w->n_files++;
            in_file = 0;
        }
        in_file += bytes_of(w, i);
        w->file_of[i] = w->n_files;
    }
    w->n_files++;
}

static void name_file(const writer *w, size_t file, char *name, size_t bytes)
{
    if (w->n_files == 1)
        snprintf(name, bytes, "%s.safetensors", w->stem);
    else
        snprintf(name, bytes, "%s-%05zu-of-%05zu.safetensors", w->stem, file + 1, w->n_files);
}

/* The header of a file, padded so that tensors begin at a multiple of 8; NULL: no memory. The caller frees it. */
static char *header_of(const writer *w, size_t file)
{
    static const char *const types[] = {"F32", "F64", "F16", "BF16"};
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    size_t at = 0;
    for (size_t i = 0; i < w->n; i++) {
        const dn_stored *t = &w->tensors[i];
        json_t *shape = json_array();
        if (w->file_of[i] != file) {
            json_decref(shape);
            continue;
        }
        for (size_t k = 0; k < t->n_dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[k]));
        json_object_set_new(header, t->source.name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", types[w->type], "shape", shape, "data_offsets",
                                      (json_int_t)at, (json_int_t)(at + bytes_of(w, i))));
        at += bytes_of(w, i);
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

static dn_status append_tensors(const writer *w, size_t file, dn_atomic_file *f)
{
    for (size_t i = 0; i < w->n; i++) {
        const dn_stored *t = &w->tensors[i];
        if (w->file_of[i] != file)
            continue;
        unsigned char *bytes = malloc(bytes_of(w, i) + 1);
        dn_status status = bytes ? dn_stored_fill(w->model, w->where, t, w->type, bytes)
                                 : dn_fail(DN_ERR_MEMORY, "no memory for %s", t->source.name);
        if (status == DN_OK)
            status = dn_atomic_file_append(f, bytes, bytes_of(w, i));
        free(bytes);
        DN_TRY(status);
    }
    return DN_OK;
}

static dn_status write_file(const writer *w, size_t file)
{
    char name[64], *header = header_of(w, file);
    unsigned char length[8];
    dn_atomic_file *f;
    name_file(w, file, name, sizeof name);
    if (!header)
        return dn_fail(DN_ERR_MEMORY, "no memory for the header of %s", name);
    size_t n = strlen(header), bytes = sizeof length + n;
    for (size_t i = 0; i < w->n; i++)
        bytes += w->file_of[i] == file ? bytes_of(w, i) : 0;
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)(n >> 8 * i);
    dn_status status = dn_atomic_files_begin(w->to, name, bytes, &f);
    if (status == DN_OK)
        status = dn_atomic_file_append(f, length, sizeof length);
    if (status == DN_OK)
        status = dn_atomic_file_append(f, header, n);
    free(header);
    return status == DN_OK ? append_tensors(w, file, f) : status;
}

/* Takes the text over; NULL: there was no memory. */
static dn_status write_text(const writer *w, const char *name, char *text)
{
    dn_status status =
        text ? dn_atomic_files_print(w->to, name, text) : dn_fail(DN_ERR_MEMORY, "no memory for %s", name);
    free(text);
    return status;
}

static dn_status write_index(const writer *w)
{
    json_t *map = json_object();
    json_int_t total = 0;
    for (size_t i = 0; i < w->n; i++) {
        char name[64];
        name_file(w, w->file_of[i], name, sizeof name);
        json_object_set_new(map, w->tensors[i].source.name, json_string(name));
        total += (json_int_t)bytes_of(w, i);
    }
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", total, "weight_map", map);
    char *text = json_dumps(index, JSON_INDENT(2));
    json_decref(index);
    return write_text(w, "model.safetensors.index.json", text);
}

static dn_status write_tensors(writer *w, size_t file_bytes)
{
    w->tensors = calloc(w->model->n, sizeof *w->tensors);
    w->file_of = calloc(w->model->n, sizeof *w->file_of);
    if (!w->tensors || !w->file_of)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", w->model->n);
    w->n = dn_stored_list(w->model, w->where, w->tensors);
    deal_to_files(w, file_bytes);
    for (size_t file = 0; file < w->n_files; file++)
        DN_TRY(write_file(w, file));
    return w->n_files > 1 ? write_index(w) : DN_OK;
}

/* Weights, and beside them the text `config` under its name; takes config over. */
static dn_status write_folder(writer *w, size_t file_bytes, const char *name, char *config)
{
    dn_status status = write_tensors(w, file_bytes);
    if (status == DN_OK)
        status = write_text(w, name, config);
    else
        free(config);
    free(w->tensors);
    free(w->file_of);
    return status;
}

dn_status dn_hf_write(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                      size_t file_bytes)
{
    writer w = {.to = to, .stem = "model", .model = model, .where = dn_hf_source, .type = type};
    return write_folder(&w, file_bytes, "config.json", dn_hf_write_config(model->spec, type));
}

/* ---- adapters ---- */

static dn_source peft_source(const dn_spec *spec, const dn_param *param)
{
    dn_source source = dn_hf_source(spec, param);
    char name[sizeof source.name];
    snprintf(name, sizeof name, "base_model.model.%.230s", source.name);
    memcpy(source.name, name, sizeof name);
    return source;
}

/* adapter_config.json; NULL: no memory. */
static char *peft_config(const dn_spec *spec, const char *base)
{
    const dn_names *n = spec->names;
    const char *const names[DN_N_ROLES] = {n->q, n->k, n->v, n->o, n->gate, n->up, n->down};
    json_t *modules = json_array();
    for (int role = 0; role < DN_N_ROLES; role++)
        if ((spec->lora.roles >> role & 1) && names[role])
            json_array_append_new(modules, json_string(strrchr(names[role], '.') + 1));
    json_t *config = json_pack("{s:s, s:s, s:s?, s:I, s:f, s:o, s:f, s:s, s:b, s:b, s:b, s:b}", "peft_type", "LORA", "task_type",
                               "CAUSAL_LM", "base_model_name_or_path", base, "r", (json_int_t)spec->lora.rank, "lora_alpha",
                               spec->lora.scale * (double)spec->lora.rank, "target_modules", modules, "lora_dropout", 0.0,
                               "bias", "none", "fan_in_fan_out", 0, "inference_mode", 1, "use_rslora", 0, "use_dora", 0);
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(config);
    return text;
}

dn_status dn_peft_write(dn_atomic_files *to, const dn_model_weights *adapters, dn_foreign_type type,
                        const char *base)
{
    writer w = {.to = to, .stem = "adapter_model", .model = adapters, .where = peft_source, .type = type};
    return write_folder(&w, SIZE_MAX, "adapter_config.json", peft_config(adapters->spec, base));
}
