/*
 * GGUF, version 3 (ggml-org/ggml, docs/gguf.md): magic, version, counts; keys and values; of each tensor name, dimensions, the
 * innermost first, type and offset; then tensors, each at a multiple of 32 bytes. All numbers are little-endian.
 */
#include "formats/gguf.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "formats/write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 3, ALIGNMENT = 32 };

/* ---- keys and values ---- */

void dn_gguf_string(FILE *out, const char *text, size_t n)
{
    uint64_t length = n;
    fwrite(&length, sizeof length, 1, out);
    fwrite(text, 1, n, out);
}

static void begin_key(dn_gguf_keys *keys, const char *name, uint32_t type)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s.%s", keys->group, name);
    dn_gguf_string(keys->out, whole, strlen(whole));
    fwrite(&type, sizeof type, 1, keys->out);
    keys->n++;
}

void dn_gguf_u32(dn_gguf_keys *keys, const char *name, size_t value)
{
    uint32_t number = (uint32_t)value;
    begin_key(keys, name, DN_GGUF_U32);
    fwrite(&number, sizeof number, 1, keys->out);
}

void dn_gguf_f32(dn_gguf_keys *keys, const char *name, double value)
{
    float number = (float)value;
    begin_key(keys, name, DN_GGUF_F32);
    fwrite(&number, sizeof number, 1, keys->out);
}

void dn_gguf_bool(dn_gguf_keys *keys, const char *name, bool value)
{
    begin_key(keys, name, DN_GGUF_BOOL);
    fputc(value, keys->out);
}

void dn_gguf_text(dn_gguf_keys *keys, const char *name, const char *value)
{
    begin_key(keys, name, DN_GGUF_TEXT);
    dn_gguf_string(keys->out, value, strlen(value));
}

void dn_gguf_array(dn_gguf_keys *keys, const char *name, dn_gguf_value type, size_t n)
{
    uint32_t of = type;
    uint64_t length = n;
    begin_key(keys, name, DN_GGUF_ARRAY);
    fwrite(&of, sizeof of, 1, keys->out);
    fwrite(&length, sizeof length, 1, keys->out);
}

static void add_rotary(dn_gguf_keys *keys, const dn_attention_spec *a)
{
    dn_gguf_f32(keys, "rope.freq_base", a->theta);
    dn_gguf_u32(keys, "rope.dimension_count", a->rot);
    if (a->scaling != DN_ROPE_LINEAR)
        return;
    dn_gguf_text(keys, "rope.scaling.type", "linear");
    dn_gguf_f32(keys, "rope.scaling.factor", a->factor);
}

static void add_sizes(dn_gguf_keys *keys, const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    dn_gguf_u32(keys, "vocab_size", spec->V);
    dn_gguf_u32(keys, "context_length", spec->max_positions);
    dn_gguf_u32(keys, "embedding_length", spec->C);
    dn_gguf_u32(keys, "block_count", spec->L);
    dn_gguf_u32(keys, "feed_forward_length", spec->mlp.F);
    dn_gguf_u32(keys, "attention.head_count", a->NH);
    dn_gguf_u32(keys, "attention.head_count_kv", a->NKV);
    dn_gguf_f32(keys, spec->norm.center ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", spec->norm.eps);
    if (a->rot == 0)
        return;
    dn_gguf_u32(keys, "attention.key_length", a->hd);
    dn_gguf_u32(keys, "attention.value_length", a->hd);
    add_rotary(keys, a);
    if (spec->architecture->gguf->parallel)
        dn_gguf_bool(keys, "use_parallel_residual", spec->parallel == DN_YES);
}

/* ---- tensors ---- */

static const char *const names[][2] = {{"model.embed_tokens", "token_embd"},
                                       {"model.embed_positions", "position_embd"},
                                       {"model.norm", "output_norm"},
                                       {"lm_head", "output"},
                                       {"input_layernorm", "attn_norm"},
                                       {"self_attn.o_proj", "attn_output"},
                                       {"self_attn.q_norm", "attn_q_norm"},
                                       {"self_attn.k_norm", "attn_k_norm"},
                                       {"post_attention_layernorm", "ffn_norm"},
                                       {"mlp.gate_proj", "ffn_gate"},
                                       {"mlp.up_proj", "ffn_up"},
                                       {"mlp.down_proj", "ffn_down"},
                                       {"self_attn.q_proj", "attn_q"}, /* the last three: where they are not stacked */
                                       {"self_attn.k_proj", "attn_k"},
                                       {"self_attn.v_proj", "attn_v"}};
enum { N_NAMES = sizeof names / sizeof *names };

static const dn_hf_tensors apart = {.block = "blk.", .names = names, .n = N_NAMES},
                           stacked = {.block = "blk.", .names = names, .n = N_NAMES - 3, .qkv = "attn_qkv"};

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

/* Gains are stored as they multiply. */
static dn_source where(const dn_spec *spec, const dn_param *param)
{
    const dn_gguf_family *f = spec->architecture->gguf;
    const char *name = param->tensor.name;
    dn_source s = dn_source_of(f->stacked ? &stacked : &apart, spec, param);
    s.head = f->interleaved && (has(name, ".q_proj.") || has(name, ".k_proj.")) ? spec->attention.hd : 0;
    s.offset = has(name, "norm.weight") ? spec->norm.offset : 0;
    return s;
}

typedef struct writer {
    const dn_model_weights *model;
    dn_foreign_type type;
    dn_stored *tensors; /* [n] */
    size_t n;
    size_t n_factors; /* of rope_freqs.weight, the last tensor; 0: there is none */
} writer;

static dn_foreign_type type_of(const writer *w, const dn_stored *t)
{
    return t->n_dims == 1 ? DN_FOREIGN_F32 : w->type;
}

static size_t bytes_of(const writer *w, const dn_stored *t)
{
    return t->n * dn_foreign_type_size(type_of(w, t));
}

static size_t padding(size_t bytes)
{
    return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
}

/* What the header says of a tensor at *offset of the data. */
static void describe(FILE *out, const char *name, size_t n_dims, const size_t *dims, dn_foreign_type type, size_t bytes,
                     uint64_t *offset)
{
    static const uint32_t types[] = {[DN_FOREIGN_F32] = 0, [DN_FOREIGN_F16] = 1, [DN_FOREIGN_BF16] = 30};
    uint32_t n = (uint32_t)n_dims;
    dn_gguf_string(out, name, strlen(name));
    fwrite(&n, sizeof n, 1, out);
    for (size_t i = n_dims; i-- > 0;)
        fwrite(&(uint64_t){dims[i]}, sizeof(uint64_t), 1, out);
    fwrite(&types[type], sizeof *types, 1, out);
    fwrite(offset, sizeof *offset, 1, out);
    *offset += bytes + padding(bytes);
}

static void describe_all(const writer *w, FILE *out)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < w->n; i++) {
        const dn_stored *t = &w->tensors[i];
        describe(out, t->source.name, t->n_dims, t->dims, type_of(w, t), bytes_of(w, t), &offset);
    }
    if (w->n_factors)
        describe(out, "rope_freqs.weight", 1, &w->n_factors, DN_FOREIGN_F32, w->n_factors * sizeof(float), &offset);
}

static dn_status append(dn_atomic_file *f, const void *data, size_t bytes)
{
    static const char zeros[ALIGNMENT];
    DN_TRY(dn_atomic_file_append(f, data, bytes));
    return dn_atomic_file_append(f, zeros, padding(bytes));
}

/* What frequencies are divided by (llama3 scaling). */
static dn_status append_factors(const writer *w, dn_atomic_file *f)
{
    const dn_attention_spec *a = &w->model->spec->attention;
    float *factors = malloc((w->n_factors + 1) * sizeof *factors);
    if (!factors)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu rotary factors", w->n_factors);
    for (size_t i = 0; i < w->n_factors; i++)
        factors[i] = (float)(pow(a->theta, -2.0 * (double)i / (double)a->rot) / dn_rotary_frequency(a, i));
    dn_status status = append(f, factors, w->n_factors * sizeof *factors);
    free(factors);
    return status;
}

static dn_status append_tensors(const writer *w, dn_atomic_file *f)
{
    for (size_t i = 0; i < w->n; i++) {
        const dn_stored *t = &w->tensors[i];
        unsigned char *bytes = malloc(bytes_of(w, t) + 1);
        dn_status status = bytes ? dn_stored_fill(w->model, where, t, type_of(w, t), bytes)
                                 : dn_fail(DN_ERR_MEMORY, "no memory for %s", t->source.name);
        if (status == DN_OK)
            status = append(f, bytes, bytes_of(w, t));
        free(bytes);
        DN_TRY(status);
    }
    return w->n_factors ? append_factors(w, f) : DN_OK;
}

/* ---- the file ---- */

static dn_status print_keys(const writer *w, const dn_tokenizer *tokenizer, FILE *out, uint64_t *n)
{
    static const uint32_t types[] = {[DN_FOREIGN_F32] = 0, [DN_FOREIGN_F16] = 1, [DN_FOREIGN_BF16] = 32};
    const dn_spec *spec = w->model->spec;
    dn_gguf_keys keys = {.out = out, .group = "general"};
    dn_gguf_text(&keys, "architecture", spec->architecture->gguf->name);
    dn_gguf_u32(&keys, "file_type", types[w->type]);
    keys.group = spec->architecture->gguf->name;
    add_sizes(&keys, spec);
    keys.group = "tokenizer.ggml";
    dn_status status = dn_gguf_vocabulary(&keys, tokenizer, spec->V);
    *n = keys.n;
    return status;
}

/* All before the tensors, [*bytes] of *text, which the caller frees. */
static dn_status make_header(const writer *w, const dn_tokenizer *tokenizer, char **text, size_t *bytes)
{
    FILE *out = open_memstream(text, bytes);
    struct {
        char magic[4];
        uint32_t version;
        uint64_t n_tensors, n_keys;
    } first = {{'G', 'G', 'U', 'F'}, VERSION, w->n + (w->n_factors > 0), 0};
    if (!out)
        return dn_fail(DN_ERR_MEMORY, "no memory for a header");
    fwrite(&first, sizeof first, 1, out);
    dn_status status = print_keys(w, tokenizer, out, &first.n_keys);
    describe_all(w, out);
    for (size_t n = padding((size_t)ftello(out)); n > 0; n--)
        fputc(0, out);
    bool failed = ferror(out);
    if (fclose(out) != 0 || failed || !*text)
        return status != DN_OK ? status : dn_fail(DN_ERR_MEMORY, "no memory for a header");
    memcpy(*text, &first, sizeof first);
    return status;
}

static dn_status write_file(const writer *w, const char *path, const dn_tokenizer *tokenizer)
{
    char *header = NULL;
    size_t bytes = 0;
    dn_atomic_file f = {0};
    dn_status status = make_header(w, tokenizer, &header, &bytes);
    if (status == DN_OK)
        status = dn_atomic_file_open(path, 0, &f);
    if (status == DN_OK)
        status = dn_atomic_file_append(&f, header, bytes);
    free(header);
    if (status == DN_OK)
        status = append_tensors(w, &f);
    return dn_atomic_file_end(&f, status);
}

dn_status dn_gguf_write(const char *path, const dn_model_weights *model, dn_foreign_type type, const dn_tokenizer *tokenizer)
{
    const dn_attention_spec *a = &model->spec->attention;
    writer w = {.model = model, .type = type, .n_factors = a->scaling == DN_ROPE_LLAMA3 ? a->rot / 2 : 0};
    w.tensors = calloc(model->n, sizeof *w.tensors);
    if (!w.tensors)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", model->n);
    w.n = dn_stored_list(model, where, w.tensors);
    dn_status status = write_file(&w, path, tokenizer);
    free(w.tensors);
    return status;
}
