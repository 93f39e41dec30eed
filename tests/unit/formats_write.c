/* Files for other programs, read here by a reader of their format that is this file's own: GGUF, and llm.c's model file. What
 * those programs make of them: tests/oracle/gguf_files.py. */
#include "formats/write.h"
#include "support/model.h"
#include "support/scratch.h"
#include "support/tests.h"
#include "text/tokenizer.h"
#include "train/plan.h"

#include <math.h>

/* ---- models whose weights are known ---- */

typedef struct written {
    dn_plan plan;
    dn_param *params;
    size_t *unit_of;
    dn_real *values;
    const dn_foreign *file; /* whose weights they are; NULL: numbers made up */
} written;

/* Whole numbers that all types hold. */
static double number(size_t param, size_t i)
{
    return (double)((param * 131 + i * 7) % 255) - 127;
}

static dn_status get(void *context, const dn_param *param, const dn_real **values)
{
    written *w = context;
    size_t n = param->tensor.rows * param->tensor.cols;
    w->values = realloc(w->values, n * sizeof *w->values);
    if (w->file)
        dn_hf_read_block(w->file, &w->plan.spec, param, w->values);
    for (size_t i = 0; !w->file && i < n; i++)
        w->values[i] = (dn_real)number((size_t)(param - w->params), i);
    *values = w->values;
    return DN_OK;
}

static written plan_of(const dn_config *config)
{
    written w = {0};
    dn_arena weights = {0}, grads = {0};
    must(dn_plan_make(config, 1, &w.plan));
    w.params = calloc(w.plan.n_params, sizeof *w.params);
    w.unit_of = calloc(w.plan.n_params, sizeof *w.unit_of);
    dn_model_layout(&w.plan.spec, w.plan.mesh, model_mesh_at, &weights, &grads, w.params, w.unit_of);
    return w;
}

static dn_model_weights weights_of(written *w)
{
    return (dn_model_weights){&w->plan.spec, w->params, w->plan.n_params, get, w};
}

static void forget(written *w)
{
    free(w->params);
    free(w->unit_of);
    free(w->values);
}

static size_t read_file(const char *path, unsigned char **bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    size_t n = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(n + 1);
    assert_int_equal(fread(*bytes, 1, n, file), n);
    fclose(file);
    return n;
}

/* ---- a reader of GGUF ---- */

typedef struct text {
    const char *at;
    uint64_t n;
} text;

typedef struct value {
    text name;
    uint32_t type, of; /* of: an array's */
    uint64_t n;
    const unsigned char *at;
} value;

typedef struct tensor {
    text name;
    uint32_t n_dims, type;
    uint64_t dims[4], offset;
} tensor;

typedef struct gguf {
    unsigned char *bytes;
    const unsigned char *at, *data;
    size_t n_bytes;
    uint64_t n_values, n_tensors;
    value values[64];
    tensor tensors[64];
} gguf;

static uint64_t take(gguf *f, size_t bytes)
{
    uint64_t x = 0;
    assert_true(f->at + bytes <= f->bytes + f->n_bytes);
    memcpy(&x, f->at, bytes);
    f->at += bytes;
    return x;
}

static text take_text(gguf *f)
{
    uint64_t n = take(f, 8);
    text t = {(const char *)f->at, n};
    assert_true(n <= (size_t)(f->bytes + f->n_bytes - f->at));
    f->at += n;
    return t;
}

static void pass_over(gguf *f, uint32_t type)
{
    static const size_t sizes[] = {[4] = 4, [5] = 4, [6] = 4, [7] = 1};
    if (type == 8)
        take_text(f);
    else
        assert_true(type >= 4 && type <= 7 && take(f, sizes[type]) + 1 > 0);
}

static gguf open_gguf(const char *path)
{
    gguf f = {0};
    f.n_bytes = read_file(path, &f.bytes);
    f.at = f.bytes;
    assert_memory_equal(f.at, "GGUF", 4);
    f.at += 4;
    assert_int_equal(take(&f, 4), 3);
    f.n_tensors = take(&f, 8);
    f.n_values = take(&f, 8);
    assert_true(f.n_tensors <= 64 && f.n_values <= 64);
    for (size_t i = 0; i < f.n_values; i++) {
        value *v = &f.values[i];
        v->name = take_text(&f);
        v->type = (uint32_t)take(&f, 4);
        v->of = v->type == 9 ? (uint32_t)take(&f, 4) : v->type;
        v->n = v->type == 9 ? take(&f, 8) : 1;
        v->at = f.at;
        for (size_t k = 0; k < v->n; k++)
            pass_over(&f, v->of);
    }
    for (size_t i = 0; i < f.n_tensors; i++) {
        tensor *t = &f.tensors[i];
        t->name = take_text(&f);
        t->n_dims = (uint32_t)take(&f, 4);
        assert_in_range(t->n_dims, 1, 4);
        for (size_t k = 0; k < t->n_dims; k++)
            t->dims[k] = take(&f, 8);
        t->type = (uint32_t)take(&f, 4);
        t->offset = take(&f, 8);
    }
    f.data = f.bytes + (size_t)(f.at - f.bytes + 31) / 32 * 32;
    return f;
}

static bool is(text t, const char *name)
{
    return t.n == strlen(name) && memcmp(t.at, name, t.n) == 0;
}

static const value *value_of(const gguf *f, const char *name)
{
    for (size_t i = 0; i < f->n_values; i++)
        if (is(f->values[i].name, name))
            return &f->values[i];
    return NULL;
}

static void expect_u32(const gguf *f, const char *name, size_t wanted)
{
    const value *v = value_of(f, name);
    uint32_t x = 0;
    if (!v || v->type != 4 || (memcpy(&x, v->at, 4), x != wanted))
        fail_msg("%s is %s of type %u, %u; wanted %zu", name, v ? "there" : "missing", v ? v->type : 0, x, wanted);
}

static void expect_f32(const gguf *f, const char *name, double wanted)
{
    const value *v = value_of(f, name);
    float x = 0;
    if (!v || v->type != 6 || (memcpy(&x, v->at, 4), x != (float)wanted))
        fail_msg("%s is %g; wanted %g", name, (double)x, wanted);
}

static bool has_text(const gguf *f, const char *name, const char *wanted)
{
    const value *v = value_of(f, name);
    return v && v->type == 8 && is((text){(const char *)v->at + 8, strlen(wanted)}, wanted) && v->at[0] == strlen(wanted);
}

/* Element k of an array of texts. */
static text text_at(const gguf *f, const char *name, size_t k)
{
    const value *v = value_of(f, name);
    gguf at = *f;
    text t = {0};
    assert_true(v && v->type == 9 && v->of == 8 && k < v->n);
    at.at = v->at;
    for (size_t i = 0; i <= k; i++)
        t = take_text(&at);
    return t;
}

static const tensor *tensor_of(const gguf *f, const char *name)
{
    for (size_t i = 0; i < f->n_tensors; i++)
        if (is(f->tensors[i].name, name))
            return &f->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static double element(const gguf *f, const tensor *t, size_t i)
{
    const unsigned char *at = f->data + t->offset;
    float x;
    uint16_t half;
    uint32_t bits;
    memcpy(&half, at + 2 * i, 2);
    switch (t->type) {
    case 0: memcpy(&x, at + 4 * i, 4); return (double)x;
    case 1: /* no number here is subnormal */
        return half & 0x7fff ? ldexp(1024 + (half & 1023), (half >> 10 & 31) - 25) * (half >> 15 ? -1 : 1) : 0;
    default:
        assert_int_equal(t->type, 30);
        bits = (uint32_t)half << 16;
        memcpy(&x, &bits, 4);
        return (double)x;
    }
}

/* Tensors follow one another to the end of the file, each from a multiple of 32 on; returns their elements. */
static size_t check_places(const gguf *f)
{
    size_t next = 0, total = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        const tensor *t = &f->tensors[i];
        size_t n = 1;
        for (size_t k = 0; k < t->n_dims; k++)
            n *= t->dims[k];
        assert_int_equal(t->offset, next);
        next = (t->offset + n * (t->type == 0 ? 4 : 2) + 31) / 32 * 32;
        total += n;
    }
    assert_int_equal(f->data + next - f->bytes, f->n_bytes);
    return total;
}

/* ---- what is written ---- */

enum { V = 50, C = 24, L = 2, NH = 4, NKV = 2, HD = 6, F = 40, T = 16 };

static dn_config sizes_of(const char *architecture)
{
    dn_config c;
    dn_config_init(&c);
    snprintf(c.architecture, sizeof c.architecture, "%s", architecture);
    c.vocab_size = V;
    c.model_dim = C;
    c.n_layer = L;
    c.n_head = NH;
    c.sequence_length = T;
    c.mlp_dim = F;
    return c;
}

static gguf write_gguf(written *w, dn_foreign_type type, const dn_tokenizer *tokenizer)
{
    scratch dir;
    char path[400];
    assert_true(scratch_make(&dir));
    snprintf(path, sizeof path, "%s/model.gguf", dir.dir);
    const dn_model_weights from = weights_of(w);
    must(dn_gguf_write(path, &from, type, tokenizer));
    gguf f = open_gguf(path);
    scratch_remove(&dir);
    return f;
}

/* The tensor holds, from row `first` on, rows of the parameter, row r where `row` puts it; `more` is added. */
static void expect_tensor(const gguf *f, const written *w, const char *name, const char *ours, uint32_t type, size_t rows,
                          size_t first, size_t (*row)(size_t r), double more)
{
    const tensor *t = tensor_of(f, name);
    size_t p = 0;
    while (p < w->plan.n_params && strcmp(w->params[p].tensor.name, ours) != 0)
        p++;
    assert_true(p < w->plan.n_params);
    const dn_param *param = &w->params[p];
    size_t cols = param->tensor.cols;
    bool shape = param->kind == DN_PARAM_VECTOR ? t->n_dims == 1 && t->dims[0] == rows
                                                : t->n_dims == 2 && t->dims[0] == cols && t->dims[1] == rows;
    if (!shape || t->type != type)
        fail_msg("%s is of %u dimensions, %zu x %zu, type %u", name, t->n_dims, (size_t)t->dims[0], (size_t)t->dims[1], t->type);
    for (size_t r = 0; r < param->tensor.rows; r++)
        for (size_t c = 0; c < cols; c++) {
            double is = element(f, t, (first + row(r)) * cols + c), wanted = number(p, r * cols + c) + more;
            if (is != wanted)
                fail_msg("%s [%zu,%zu] is %g, wanted %g, of %s", name, r, c, is, wanted, ours);
        }
}

static size_t same(size_t r)
{
    return r;
}

/* Of a head's rows 0 1 2 | 3 4 5 the first, fourth, second ... stand together. */
static size_t in_turns(size_t r)
{
    static const size_t to[HD] = {0, 2, 4, 1, 3, 5};
    return r / HD * HD + to[r % HD];
}

static void llama_has_its_halves_in_turns_and_frequencies_as_factors(void **state)
{
    (void)state;
    static const dn_foreign_type types[] = {DN_FOREIGN_F32, DN_FOREIGN_F16, DN_FOREIGN_BF16};
    static const uint32_t numbers[] = {0, 1, 30}, files[] = {0, 1, 32};
    dn_config c = sizes_of("llama");
    c.n_kv_head = NKV;
    c.attention_bias = true;
    c.rope_theta = 5e5;
    strcpy(c.rope_scaling, "llama3:8,1,4,32");
    for (size_t k = 0; k < 3; k++) {
        written w = plan_of(&c);
        gguf f = write_gguf(&w, types[k], NULL);
        expect_tensor(&f, &w, "token_embd.weight", "model.embed_tokens.weight", numbers[k], V, 0, same, 0);
        expect_tensor(&f, &w, "output.weight", "lm_head.weight", numbers[k], V, 0, same, 0);
        expect_tensor(&f, &w, "output_norm.weight", "model.norm.weight", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.1.attn_norm.weight", "model.layers.1.input_layernorm.weight", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", numbers[k], C, 0, in_turns, 0);
        expect_tensor(&f, &w, "blk.1.attn_q.bias", "model.layers.1.self_attn.q_proj.bias", 0, C, 0, in_turns, 0);
        expect_tensor(&f, &w, "blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", numbers[k], NKV * HD, 0, in_turns, 0);
        expect_tensor(&f, &w, "blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight", numbers[k], NKV * HD, 0, same, 0);
        expect_tensor(&f, &w, "blk.0.attn_output.bias", "model.layers.0.self_attn.o_proj.bias", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight", numbers[k], F, 0, same, 0);
        expect_tensor(&f, &w, "blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight", numbers[k], F, 0, same, 0);
        expect_tensor(&f, &w, "blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight", numbers[k], C, 0, same, 0);
        assert_int_equal(check_places(&f), w.plan.n_elements + HD / 2);
        /* Turns in 32 positions: 5.09 of pair 0, above 4: as it is; 0.064 and 0.0008 of the others, below 1: an eighth. */
        const tensor *factors = tensor_of(&f, "rope_freqs.weight");
        assert_true(factors->n_dims == 1 && factors->dims[0] == 3 && factors->type == 0);
        for (size_t i = 0; i < 3; i++)
            assert_true(fabs(element(&f, factors, i) - (i ? 8 : 1)) < 1e-6);
        assert_true(has_text(&f, "general.architecture", "llama"));
        expect_u32(&f, "general.file_type", files[k]);
        expect_u32(&f, "llama.vocab_size", V);
        expect_u32(&f, "llama.context_length", T);
        expect_u32(&f, "llama.embedding_length", C);
        expect_u32(&f, "llama.block_count", L);
        expect_u32(&f, "llama.feed_forward_length", F);
        expect_u32(&f, "llama.attention.head_count", NH);
        expect_u32(&f, "llama.attention.head_count_kv", NKV);
        expect_u32(&f, "llama.attention.key_length", HD);
        expect_u32(&f, "llama.rope.dimension_count", HD);
        expect_f32(&f, "llama.rope.freq_base", 5e5);
        expect_f32(&f, "llama.attention.layer_norm_rms_epsilon", 1e-5);
        free(f.bytes);
        forget(&w);
    }
}

static void others_have_their_rows_as_they_are_and_q_k_and_v_in_one_tensor(void **state)
{
    (void)state;
    static const char *const stacked[][2] = {{"gpt2", "gpt2"}, {"gpt_neox", "gptneox"}};
    static const char *const apart[][2] = {{"qwen2", "qwen2"}, {"qwen3", "qwen3"}, {"gemma", "gemma"}};
    for (size_t i = 0; i < 2; i++) {
        dn_config c = sizes_of(stacked[i][0]);
        c.rotary_fraction = i == 0 ? NAN : 0.5;
        written w = plan_of(&c);
        gguf f = write_gguf(&w, DN_FOREIGN_F16, NULL);
        assert_true(has_text(&f, "general.architecture", stacked[i][1]));
        for (size_t k = 0; k < 3; k++) {
            char weight[64], bias[64];
            snprintf(weight, sizeof weight, "model.layers.1.self_attn.%c_proj.weight", "qkv"[k]);
            snprintf(bias, sizeof bias, "model.layers.1.self_attn.%c_proj.bias", "qkv"[k]);
            expect_tensor(&f, &w, "blk.1.attn_qkv.weight", weight, 1, 3 * C, k * C, same, 0);
            expect_tensor(&f, &w, "blk.1.attn_qkv.bias", bias, 0, 3 * C, k * C, same, 0);
        }
        expect_tensor(&f, &w, "blk.1.attn_norm.bias", "model.layers.1.input_layernorm.bias", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.1.ffn_down.weight", "model.layers.1.mlp.down_proj.weight", 1, C, 0, same, 0);
        if (i == 0)
            expect_tensor(&f, &w, "position_embd.weight", "model.embed_positions.weight", 1, T, 0, same, 0);
        else
            expect_u32(&f, "gptneox.rope.dimension_count", 2); /* an even number of a half of 6 */
        assert_int_equal(check_places(&f), w.plan.n_elements);
        free(f.bytes);
        forget(&w);
    }
    for (size_t i = 0; i < 3; i++) {
        dn_config c = sizes_of(apart[i][0]);
        c.n_kv_head = NKV;
        written w = plan_of(&c);
        gguf f = write_gguf(&w, DN_FOREIGN_F32, NULL);
        assert_true(has_text(&f, "general.architecture", apart[i][1]));
        expect_tensor(&f, &w, "blk.1.attn_q.weight", "model.layers.1.self_attn.q_proj.weight", 0, C, 0, same, 0);
        expect_tensor(&f, &w, "blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight", 0, NKV * HD, 0, same, 0);
        expect_tensor(&f, &w, "output_norm.weight", "model.norm.weight", 0, C, 0, same, i == 2); /* gemma's less 1 */
        expect_tensor(&f, &w, "blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight", 0, C, 0, same, i == 2);
        if (i == 0)
            expect_tensor(&f, &w, "blk.1.attn_k.bias", "model.layers.1.self_attn.k_proj.bias", 0, NKV * HD, 0, same, 0);
        if (i == 1)
            expect_tensor(&f, &w, "blk.1.attn_q_norm.weight", "model.layers.1.self_attn.q_norm.weight", 0, HD, 0, same, 0);
        assert_int_equal(check_places(&f), w.plan.n_elements);
        free(f.bytes);
        forget(&w);
    }
}

/* ---- tokenizers ---- */

/* A tokenizer.json of a few tokens: a split, a normalizer, merges as given. */
static dn_tokenizer *open_json(scratch *dir, const char *vocabulary, const char *merges, const char *rest)
{
    char all[4096];
    dn_tokenizer *t;
    snprintf(all, sizeof all,
             "{\"added_tokens\":[{\"id\":0,\"content\":\"<s>\",\"special\":true},{\"id\":1,\"content\":\"++\",\"special\":false}],"
             "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,\"++\":1,%s},\"merges\":[%s]%s",
             vocabulary, merges, rest);
    assert_true(scratch_write(dir, "tokenizer.json", all, strlen(all)));
    must(dn_tokenizer_open(scratch_path(dir, "tokenizer.json"), &t));
    return t;
}

#define BYTES   "\"a\":2,\"b\":3,\"\\u0120\":4,\"\\u00c3\":5,\"\\u010a\":6,\"ab\":7,\"\\u0120ab\":8"
#define LEVEL   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(pattern) "},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}," LEVEL "]}"
#define CL100K(digits) "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define GPT2 "},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define SMOL "},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"
#define TEMPLATE ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}]}"
#define MERGES "\"a b\",\"\\u0120 ab\""

static void expect_kinds(const gguf *f, const int32_t *kinds, size_t n)
{
    const value *v = value_of(f, "tokenizer.ggml.token_type");
    assert_true(v && v->of == 5 && v->n == V);
    for (size_t i = 0; i < V; i++) {
        int32_t is;
        memcpy(&is, v->at + 4 * i, 4);
        if (is != (i < n ? kinds[i] : 5))
            fail_msg("token %zu is of type %d", i, is);
    }
}

static void bytes_have_stand_ins_and_splits_have_names(void **state)
{
    (void)state;
    static const struct {
        const char *rest, *name;
    } cases[] = {{GPT2 "}", "gpt-2"},
                 {SPLIT(CL100K("{1,3}")) TEMPLATE "}", "llama-bpe"},
                 {SPLIT(CL100K("")) ",\"normalizer\":{\"type\":\"NFC\"}}", "qwen2"},
                 {SMOL "}", "smollm"}};
    static const char *const tokens[] = {"<s>", "++", "a", "b", "\xc4\xa0", "\xc3\x83", "\xc4\x8a", "ab", "\xc4\240ab", "[PAD9]"};
    static const int32_t kinds[] = {3, 4, 1, 1, 1, 1, 1, 1, 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_config c = sizes_of("llama");
        scratch dir;
        assert_true(scratch_make(&dir));
        written w = plan_of(&c);
        dn_tokenizer *t = open_json(&dir, BYTES, MERGES, cases[i].rest);
        gguf f = write_gguf(&w, DN_FOREIGN_F32, t);
        assert_true(has_text(&f, "tokenizer.ggml.model", "gpt2"));
        if (!has_text(&f, "tokenizer.ggml.pre", cases[i].name))
            fail_msg("%s is not called so", cases[i].name);
        assert_int_equal(value_of(&f, "tokenizer.ggml.tokens")->n, V);
        for (size_t k = 0; k < sizeof tokens / sizeof *tokens; k++)
            if (!is(text_at(&f, "tokenizer.ggml.tokens", k), tokens[k]))
                fail_msg("token %zu is not '%s'", k, tokens[k]);
        expect_kinds(&f, kinds, 9);
        assert_int_equal(value_of(&f, "tokenizer.ggml.merges")->n, 2);
        assert_true(is(text_at(&f, "tokenizer.ggml.merges", 0), "a b"));
        assert_true(is(text_at(&f, "tokenizer.ggml.merges", 1), "\xc4\xa0 ab"));
        assert_int_equal(value_of(&f, "tokenizer.ggml.add_bos_token")->at[0], i == 1);
        if (i == 1)
            expect_u32(&f, "tokenizer.ggml.bos_token_id", 0);
        assert_true(i == 1 || !value_of(&f, "tokenizer.ggml.bos_token_id"));
        free(f.bytes);
        dn_tokenizer_close(&t);
        forget(&w);
        scratch_remove(&dir);
    }
}

#define MARK "\\u2581"
#define CHARACTERS                                                                                               \
    "\"<unk>\":2,\"<0x0A>\":3,\"a\":4,\"b\":5,\"" MARK "\":6,\"ab\":7,\"" MARK "ab\":8,\"" MARK "a\":9"
#define OF_CHARACTERS                                                                                            \
    ",\"byte_fallback\":true,\"unk_token\":\"<unk>\"},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\"," \
    "\"prepend\":\"" MARK "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]}}"

static void characters_have_scores_in_the_order_of_merges(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<s>", "++", "<unk>", "<0x0A>", "a", "b", "\xe2\x96\x81", "ab", "\xe2\x96\x81" "ab", "\xe2\x96\x81" "a"};
    static const int32_t kinds[] = {3, 4, 2, 6, 1, 1, 1, 1, 1, 1};
    dn_config c = sizes_of("llama");
    scratch dir;
    assert_true(scratch_make(&dir));
    written w = plan_of(&c);
    dn_tokenizer *t = open_json(&dir, CHARACTERS, "\"a b\",\"" MARK " ab\",\"" MARK "a b\",\"" MARK " a\"", OF_CHARACTERS);
    gguf f = write_gguf(&w, DN_FOREIGN_F32, t);
    assert_true(has_text(&f, "tokenizer.ggml.model", "llama"));
    assert_int_equal(value_of(&f, "tokenizer.ggml.add_space_prefix")->at[0], 1);
    for (size_t k = 0; k < sizeof tokens / sizeof *tokens; k++)
        if (!is(text_at(&f, "tokenizer.ggml.tokens", k), tokens[k]))
            fail_msg("token %zu is not '%s'", k, tokens[k]);
    expect_kinds(&f, kinds, 10);
    expect_u32(&f, "tokenizer.ggml.unknown_token_id", 2);
    float scores[V];
    const value *v = value_of(&f, "tokenizer.ggml.scores");
    assert_true(v && v->of == 6 && v->n == V);
    memcpy(scores, v->at, sizeof scores);
    assert_true(scores[7] > scores[8] && scores[8] > scores[9] && scores[9] > scores[4] && scores[4] == scores[5]);
    free(f.bytes);
    dn_tokenizer_close(&t);
    forget(&w);
    scratch_remove(&dir);
}

static void a_tokenizer_that_would_split_otherwise_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *vocabulary, *merges, *rest, *said;
    } cases[] = {
        {BYTES, MERGES, SPLIT("\\\\p{L}+") "}", "way that has no name"},
        {BYTES, MERGES, GPT2 ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"y\"}}", "are changed"},
        {CHARACTERS, "\"a b\",\"" MARK " ab\",\"" MARK " a\"", OF_CHARACTERS, "3 of 4 pairs"},
        {CHARACTERS, "\"a b\",\"" MARK " ab\",\"" MARK " a\",\"" MARK "a b\"", OF_CHARACTERS, "1 out of order"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dn_config c = sizes_of("llama");
        scratch dir;
        char path[400];
        assert_true(scratch_make(&dir));
        written w = plan_of(&c);
        dn_tokenizer *t = open_json(&dir, cases[i].vocabulary, cases[i].merges, cases[i].rest);
        const dn_model_weights from = weights_of(&w);
        snprintf(path, sizeof path, "%s/model.gguf", dir.dir);
        assert_int_equal(dn_gguf_write(path, &from, DN_FOREIGN_F32, t), DN_ERR_DATA);
        if (!strstr(dn_error_message(), cases[i].said))
            fail_msg("'%s' lacks '%s'", dn_error_message(), cases[i].said);
        assert_int_equal(access(path, F_OK), -1);
        dn_tokenizer_close(&t);
        forget(&w);
        scratch_remove(&dir);
    }
}

static void a_model_of_bytes_has_a_vocabulary_of_bytes(void **state)
{
    (void)state;
    dn_config c = sizes_of("llama");
    c.vocab_size = 256;
    written w = plan_of(&c);
    gguf f = write_gguf(&w, DN_FOREIGN_F32, NULL);
    static const struct {
        size_t byte;
        const char *shown;
    } some[] = {{'a', "a"}, {' ', "\xc4\xa0"}, {'\n', "\xc4\x8a"}, {0, "\xc4\x80"}, {255, "\xc3\xbf"}, {173, "\xc5\x83"}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (!is(text_at(&f, "tokenizer.ggml.tokens", some[i].byte), some[i].shown))
            fail_msg("byte %zu is not '%s'", some[i].byte, some[i].shown);
    assert_int_equal(value_of(&f, "tokenizer.ggml.merges")->n, 0);
    free(f.bytes);
    forget(&w);
    c.vocab_size = 257;
    w = plan_of(&c);
    f = write_gguf(&w, DN_FOREIGN_F32, NULL);
    assert_true(has_text(&f, "tokenizer.ggml.model", "no_vocab") && !value_of(&f, "tokenizer.ggml.tokens"));
    free(f.bytes);
    forget(&w);
}

/* ---- llm.c's file ---- */

enum { ROWS = 128, WIDTH = 4, WORDS = 100, NORM = 5 * 2 * WIDTH, /* two layers: 4 norms and the last one, gain and bias */
       OTHERS = ROWS * WIDTH + T * WIDTH + 2 * (3 * WIDTH * WIDTH + 3 * WIDTH + WIDTH * WIDTH + WIDTH + 4 * WIDTH * WIDTH + 4 * WIDTH + 4 * WIDTH * WIDTH + WIDTH) };

/* What stands in a file is what is read of it and written: version 3 of float, version 5 of bfloat16; the version 3 of old, of
 * both, as the same numbers in float. */
static void llm_c_s_files_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (int layout = 0; layout < 3; layout++) {
        static unsigned char all[1024 + 4 * (OTHERS + NORM)];
        const int32_t words[] = {20240326, layout == 1 ? 5 : 3, T, WORDS, 2, 2, WIDTH, layout == 2 ? 0 : ROWS};
        size_t padded = layout == 2 ? WORDS : ROWS, others = OTHERS - (ROWS - padded) * WIDTH, n = 1024;
        memset(all, 0, sizeof all);
        memcpy(all, words, sizeof words);
        for (size_t i = 0; i < others + NORM; i++) {
            bool is_padding = i >= WORDS * WIDTH && i < padded * WIDTH;
            bool wide = layout == 0 || (layout == 2 && i >= others);
            float x = is_padding ? 0 : (float)i + 1.0F / 3;
            dn_foreign_store(wide ? DN_FOREIGN_F32 : DN_FOREIGN_BF16, (double)x, all + n);
            n += wide ? 4 : 2;
        }
        scratch dir;
        dn_foreign file;
        dn_config c;
        char path[400];
        unsigned char *back;
        assert_true(scratch_make(&dir));
        assert_true(scratch_write(&dir, "gpt2.bin", all, n));
        dn_config_init(&c);
        must(dn_llmc_open(scratch_path(&dir, "gpt2.bin"), &c, &file));
        c.sequence_length = 8;
        written w = plan_of(&c);
        w.file = &file;
        must(dn_hf_check(&file, &w.plan.spec, w.params, w.plan.n_params, "gpt2.bin"));
        snprintf(path, sizeof path, "%s/back.bin", dir.dir);
        const dn_model_weights from = weights_of(&w);
        must(dn_llmc_write(path, &from, layout == 1 ? DN_FOREIGN_BF16 : DN_FOREIGN_F32));
        size_t n_back = read_file(path, &back);
        if (layout < 2) {
            assert_int_equal(n_back, n);
            assert_memory_equal(back, all, n);
        } else {
            dn_foreign again;
            assert_int_equal(n_back, 1024 + 4 * (OTHERS + NORM));
            must(dn_llmc_open(path, &c, &again));
            for (size_t i = 0; i < file.n; i++) {
                const dn_foreign_tensor *a = &file.tensors[i], *b = dn_foreign_find(&again, a->name);
                assert_true(b && b->type == DN_FOREIGN_F32 && b->n == a->n);
                for (size_t k = 0; k < a->n; k++)
                    assert_true(dn_foreign_element(a, k) == dn_foreign_element(b, k));
            }
            dn_foreign_close(&again);
        }
        free(back);
        dn_foreign_close(&file);
        forget(&w);
        scratch_remove(&dir);
    }
}

TESTS(formats_write)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_has_its_halves_in_turns_and_frequencies_as_factors),
        cmocka_unit_test(others_have_their_rows_as_they_are_and_q_k_and_v_in_one_tensor),
        cmocka_unit_test(bytes_have_stand_ins_and_splits_have_names),
        cmocka_unit_test(characters_have_scores_in_the_order_of_merges),
        cmocka_unit_test(a_tokenizer_that_would_split_otherwise_is_refused),
        cmocka_unit_test(a_model_of_bytes_has_a_vocabulary_of_bytes),
        cmocka_unit_test(llm_c_s_files_come_back_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
