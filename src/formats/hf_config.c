#include "formats/hf.h"

#include "base/fail.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool dn_hf_knows(const dn_spec *spec)
{
    return spec->architecture->hf != NULL;
}

/* ---- reading ---- */

typedef struct reader {
    const json_t *json;
    const char *path;
    const dn_hf_family *family;
} reader;

/* NULL: absent, or null. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static dn_status refuse(const reader *r, const char *key, const json_t *value, const char *why)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    dn_status status = dn_fail(DN_ERR_CONFIG, "%s: %s %.200s: %s", r->path, key, text ? text : "is missing", why);
    free(text);
    return status;
}

/* 0 if it is absent. */
static dn_status size_key(const reader *r, const char *key, bool needed, int64_t *out)
{
    const json_t *value = value_of(r->json, key);
    *out = 0;
    if (!value && !needed)
        return DN_OK;
    *out = json_integer_value(value);
    return *out > 0 ? DN_OK : refuse(r, key, value, "a number of 1 or more belongs here");
}

static dn_status real_key(const reader *r, const json_t *object, const char *key, double *out)
{
    const json_t *value = value_of(object, key);
    if (!value)
        return DN_OK;
    *out = json_number_value(value);
    return *out > 0 ? DN_OK : refuse(r, key, value, "a number above 0 belongs here");
}

static dn_status flag_key(const reader *r, const char *key, bool absent, bool *out)
{
    const json_t *value = value_of(r->json, key);
    *out = value ? json_is_true(value) : absent;
    return !value || json_is_boolean(value) ? DN_OK : refuse(r, key, value, "true or false belongs here");
}

/* Keys that make another model than the families are, unless they say what they say here. */
static dn_status refuse_others(const reader *r)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"quantization_config", "quantized weights are not held"},
        {"clip_qkv", "clipped q, k and v are not held"},
        {"num_local_experts", "mixtures of experts are not held"},
        {"num_experts", "mixtures of experts are not held"},
        {"attn_logit_softcapping", "soft caps are not held"},
        {"final_logit_softcapping", "soft caps are not held"},
    };
    static const struct {
        const char *key;
        bool held;
        const char *why;
    } flags[] = {
        {"alibi", false, "positions by distance are not held"},
        {"scale_attn_weights", true, "unscaled scores are not held"},
        {"scale_attn_by_inverse_layer_idx", false, "scores scaled by layer are not held"},
        {"add_cross_attention", false, "encoders are not held"},
        {"is_encoder_decoder", false, "encoders are not held"},
    };
    bool value;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (value_of(r->json, refused[i].key))
            return refuse(r, refused[i].key, value_of(r->json, refused[i].key), refused[i].why);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        DN_TRY(flag_key(r, flags[i].key, flags[i].held, &value));
        if (value != flags[i].held)
            return refuse(r, flags[i].key, value_of(r->json, flags[i].key), flags[i].why);
    }
    return DN_OK;
}

static dn_status read_sizes(const reader *r, dn_config *c)
{
    const dn_hf_family *f = r->family;
    DN_TRY(size_key(r, "vocab_size", true, &c->vocab_size));
    DN_TRY(size_key(r, f->dim, true, &c->model_dim));
    DN_TRY(size_key(r, f->layers, true, &c->n_layer));
    DN_TRY(size_key(r, f->heads, true, &c->n_head));
    DN_TRY(size_key(r, f->hidden, !f->hidden_is_4C, &c->mlp_dim));
    DN_TRY(size_key(r, f->positions, true, &c->max_positions));
    c->norm_eps = f->default_eps;
    DN_TRY(real_key(r, r->json, f->eps, &c->norm_eps));
    if (!f->grouped)
        return DN_OK;
    DN_TRY(size_key(r, "num_key_value_heads", false, &c->n_kv_head));
    return size_key(r, "head_dim", false, &c->head_dim);
}

static dn_status read_activation(const reader *r, dn_config *c)
{
    static const char *const names[][2] = {{"gelu_new", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"},
                                           {"gelu", "gelu"},          {"silu", "silu"},
                                           {"swish", "silu"}};
    const char *key = r->family->activation;
    if (r->family->gelu_means_tanh && value_of(r->json, "hidden_activation"))
        key = "hidden_activation";
    const json_t *value = value_of(r->json, key);
    const char *name = value ? json_string_value(value) : r->family->default_activation;
    if (r->family->gelu_means_tanh && name && strcmp(name, "gelu") == 0)
        name = "gelu_pytorch_tanh"; /* as the first files meant it */
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], name) == 0) {
            snprintf(c->activation, sizeof c->activation, "%s", names[i][1]);
            return DN_OK;
        }
    return refuse(r, key, value, "held are silu, gelu and gelu_new");
}

static dn_status read_flags(const reader *r, dn_config *c)
{
    const dn_hf_family *f = r->family;
    bool value;
    DN_TRY(flag_key(r, "tie_word_embeddings", f->tied, &value));
    snprintf(c->tie_embeddings, sizeof c->tie_embeddings, value ? "true" : "false");
    if (f->attention_bias && !f->biased)
        DN_TRY(flag_key(r, "attention_bias", false, &c->attention_bias));
    if (f->mlp_bias)
        DN_TRY(flag_key(r, "mlp_bias", false, &c->mlp_bias));
    if (f->parallel) {
        DN_TRY(flag_key(r, "use_parallel_residual", true, &value));
        snprintf(c->parallel_residual, sizeof c->parallel_residual, value ? "true" : "false");
    }
    if (!f->biased)
        return DN_OK;
    DN_TRY(flag_key(r, "attention_bias", true, &value));
    return value ? DN_OK : refuse(r, "attention_bias", value_of(r->json, "attention_bias"), "this model_type has biases here");
}

/* Whether all layers have a window, or none: `layer_types`, or else the older keys of qwen. */
static dn_status read_window(const reader *r, dn_config *c)
{
    enum { ABSENT_WINDOW = 4096, ABSENT_FROM = 28 }; /* what transformers takes where there is no key */
    const json_t *types = value_of(r->json, "layer_types"), *window = value_of(r->json, "sliding_window");
    const char *first = json_string_value(json_array_get(types, 0));
    bool used = r->family->window == DN_HF_WINDOW;
    if (r->family->window == DN_HF_WINDOW_IF_USED) {
        DN_TRY(flag_key(r, "use_sliding_window", false, &used));
        const json_t *key = value_of(r->json, "max_window_layers");
        const json_int_t from = types ? 0 : key ? json_integer_value(key) : ABSENT_FROM;
        if (used && from > 0 && from < c->n_layer)
            return refuse(r, "max_window_layers", key, "layers that differ are not held");
        used = used && from < c->n_layer;
    }
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, first) != 0 ||
            (strcmp(type, "full_attention") != 0 && strcmp(type, "sliding_attention") != 0))
            return refuse(r, "layer_types", types, "held are layers of full_attention, or all of sliding_attention");
    }
    if (first && used)
        used = strcmp(first, "sliding_attention") == 0;
    if (used && !json_object_get(r->json, "sliding_window"))
        c->attention_window = ABSENT_WINDOW;
    return used && window ? size_key(r, "sliding_window", false, &c->attention_window) : DN_OK;
}

/* "": no object of numbers and a type, or one such for each kind of layer. */
static const char *rope_type(const json_t *form)
{
    const json_t *kind = value_of(form, value_of(form, "rope_type") ? "rope_type" : "type");
    bool flat = !form || json_is_object(form);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)form, key, value)
        flat = flat && !json_is_object(value);
    return !flat || (kind && !json_is_string(kind)) ? "" : kind ? json_string_value(kind) : "default";
}

/* transformers 5 has `rope_parameters`; older files `rope_theta` beside `rope_scaling`, and neox names of its own. */
static dn_status read_rotary(const reader *r, dn_config *c)
{
    const json_t *form = value_of(r->json, "rope_parameters"), *old = value_of(r->json, "rope_scaling");
    const char *where = form ? "rope_parameters" : "rope_scaling";
    double factor = 0, low = 0, high = 0, original = (double)c->max_positions;
    form = form ? form : old;
    c->rope_theta = 10000;
    DN_TRY(real_key(r, r->json, "rotary_emb_base", &c->rope_theta));
    DN_TRY(real_key(r, r->json, "rope_theta", &c->rope_theta));
    DN_TRY(real_key(r, form, "rope_theta", &c->rope_theta));
    c->rotary_fraction = r->family->rotary;
    DN_TRY(real_key(r, r->json, "rotary_pct", &c->rotary_fraction));
    DN_TRY(real_key(r, r->json, "partial_rotary_factor", &c->rotary_fraction));
    DN_TRY(real_key(r, form, "partial_rotary_factor", &c->rotary_fraction));
    int64_t head = c->head_dim ? c->head_dim : c->model_dim / c->n_head;
    if (c->rotary_fraction > 1 || (int64_t)((double)head * c->rotary_fraction) % 2 != 0)
        return dn_fail(DN_ERR_CONFIG, "%s: partial_rotary_factor %g of heads of %lld is no even number", r->path,
                       c->rotary_fraction, (long long)head);
    const char *type = rope_type(form);
    *c->rope_scaling = 0;
    if (strcmp(type, "default") == 0)
        return DN_OK;
    DN_TRY(real_key(r, form, "factor", &factor));
    DN_TRY(real_key(r, form, "low_freq_factor", &low));
    DN_TRY(real_key(r, form, "high_freq_factor", &high));
    DN_TRY(real_key(r, form, "original_max_position_embeddings", &original));
    if (strcmp(type, "linear") == 0 && factor > 0)
        snprintf(c->rope_scaling, sizeof c->rope_scaling, "linear:%.17g", factor);
    else if (strcmp(type, "llama3") == 0 && factor > 0 && low > 0 && high > low)
        snprintf(c->rope_scaling, sizeof c->rope_scaling, "llama3:%.17g,%.17g,%.17g,%.0f", factor, low, high, original);
    else
        return refuse(r, where, form, "held are rope_type default, linear and llama3, with their factors");
    return DN_OK;
}

static dn_status refuse_type(const reader *r, const json_t *type)
{
    char held[512] = "held are";
    const dn_architecture *architecture;
    for (size_t i = 0; (architecture = dn_architecture_at(i)); i++)
        if (architecture->hf)
            snprintf(held + strlen(held), sizeof held - strlen(held), " %s", architecture->name);
    return refuse(r, "model_type", type, held);
}

static dn_status read_all(reader *r, dn_config *c)
{
    const json_t *type = value_of(r->json, "model_type");
    const dn_architecture *architecture = dn_architecture_find(json_string_value(type));
    if (!architecture || !architecture->hf)
        return refuse_type(r, type);
    r->family = architecture->hf;
    snprintf(c->architecture, sizeof c->architecture, "%s", architecture->name);
    DN_TRY(refuse_others(r));
    DN_TRY(read_sizes(r, c));
    DN_TRY(read_activation(r, c));
    DN_TRY(read_flags(r, c));
    if (r->family->rotary == 0)
        return DN_OK;
    DN_TRY(read_window(r, c));
    return read_rotary(r, c);
}

dn_status dn_hf_parse_config(const char *text, size_t bytes, const char *path, dn_config *config)
{
    char why[DN_JSON_WHY];
    json_t *json = dn_json_object(text, bytes, why);
    reader r = {json, path, NULL};
    dn_status status = json ? read_all(&r, config) : dn_fail(DN_ERR_CONFIG, "%s: %s", path, why);
    json_decref(json);
    return status;
}

dn_status dn_hf_read_config(const char *path, dn_config *config)
{
    char name[4096];
    const unsigned char *text;
    size_t bytes;
    struct stat st;
    dn_foreign file = {0};
    snprintf(name, sizeof name, "%s%s", path, stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? "/config.json" : "");
    dn_status status = dn_foreign_map_file(&file, name, &text, &bytes);
    if (status == DN_OK)
        status = dn_hf_parse_config((const char *)text, bytes, name, config);
    dn_foreign_close(&file);
    return status;
}

/* ---- writing ---- */

static void set(json_t *json, const char *key, json_t *value)
{
    if (json_object_set_new(json, key, value) != 0)
        json_object_set_new(json, "", NULL); /* no memory: json_dumps has none either */
}

static void set_size(json_t *json, const char *key, size_t value)
{
    set(json, key, json_integer((json_int_t)value));
}

/* Both forms, so that old readers find theirs. */
static void write_rotary(json_t *json, const dn_hf_family *f, const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    static const char *const types[] = {"default", "linear", "llama3"};
    json_t *form = json_pack("{s:s}", "rope_type", types[a->scaling]);
    if (a->scaling != DN_ROPE_PLAIN)
        set(form, "factor", json_real(a->factor));
    if (a->scaling == DN_ROPE_LLAMA3) {
        set(form, "low_freq_factor", json_real(a->low));
        set(form, "high_freq_factor", json_real(a->high));
        set_size(form, "original_max_position_embeddings", a->original_T);
    }
    set(json, "rope_scaling", a->scaling == DN_ROPE_PLAIN ? json_null() : json_deep_copy(form));
    set(json, "rope_theta", json_real(a->theta));
    set(form, "rope_theta", json_real(a->theta));
    if (f->rotary < 1) {
        set(json, "rotary_pct", json_real(a->rotary));
        set(json, "rotary_emb_base", json_real(a->theta));
        set(form, "partial_rotary_factor", json_real(a->rotary));
    }
    set(json, "rope_parameters", form);
}

static void write_attention(json_t *json, const dn_hf_family *f, const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    if (f->grouped) {
        set_size(json, "num_key_value_heads", a->NKV);
        set_size(json, "head_dim", a->hd);
    }
    if (f->attention_bias)
        set(json, "attention_bias", json_boolean(a->o_bias));
    if (f->mlp_bias)
        set(json, "mlp_bias", json_boolean(spec->mlp.bias));
    if (f->parallel)
        set(json, "use_parallel_residual", json_boolean(spec->parallel == DN_YES));
    if (f->window != DN_HF_NO_WINDOW)
        set(json, "sliding_window", a->window ? json_integer((json_int_t)a->window) : json_null());
    if (f->window == DN_HF_WINDOW_IF_USED) {
        set(json, "use_sliding_window", json_boolean(a->window > 0));
        set_size(json, "max_window_layers", a->window > 0 ? 0 : spec->L);
    }
    write_rotary(json, f, spec);
}

char *dn_hf_write_config(const dn_spec *spec, dn_foreign_type type)
{
    static const char *const types[] = {"float32", "float64", "float16", "bfloat16"};
    static const char *const activations[] = {"", "relu2", "silu", "gelu_new", "gelu"};
    const dn_hf_family *f = spec->architecture->hf;
    json_t *json = f ? json_pack("{s:s, s:[s], s:s, s:s}", "model_type", spec->architecture->name, "architectures", f->class_name,
                                 "torch_dtype", types[type], "dtype", types[type])
                     : NULL;
    if (!json)
        return NULL;
    const char *activation = activations[spec->mlp.act];
    set_size(json, "vocab_size", spec->V);
    set_size(json, f->dim, spec->C);
    set_size(json, f->layers, spec->L);
    set_size(json, f->heads, spec->attention.NH);
    set_size(json, f->hidden, spec->mlp.F);
    set_size(json, f->positions, spec->max_positions);
    set(json, f->eps, json_real(spec->norm.eps));
    set(json, f->activation, json_string(f->gelu_means_tanh && spec->mlp.act == DN_GELU_TANH ? "gelu_pytorch_tanh" : activation));
    set(json, "tie_word_embeddings", json_boolean(spec->tied == DN_YES));
    if (f->rotary > 0)
        write_attention(json, f, spec);
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    return text;
}
