/* Parameters in the files of Hugging Face's families (model/hf_family.h). Most have the names that they have here; others
 * stack q, k and v in one tensor. */
#include "formats/hf.h"

#include "base/fail.h"

#include <stdio.h>
#include <string.h>

/* What follows `begin` in a name, a dot; NULL: it begins otherwise. */
static const char *behind(const char *name, const char *begin)
{
    size_t n = strlen(begin);
    return strncmp(name, begin, n) == 0 && name[n] == '.' ? name + n : NULL;
}

/* Theirs for our name, without block; *third of a stack of q, k and v, or -1; *what = .weight or .bias. */
static const char *their_name(const dn_hf_tensors *t, const char *ours, int *third, const char **what)
{
    static const char *const stacked[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
    *third = -1;
    for (size_t i = 0; i < t->n; i++)
        if ((*what = behind(ours, t->names[i][0])))
            return t->names[i][1];
    for (int i = 0; i < 3; i++)
        if ((*what = behind(ours, stacked[i]))) {
            *third = i;
            return t->qkv;
        }
    *what = "";
    return ours; /* which no file has */
}

size_t dn_source_row(const dn_source *source, size_t r)
{
    size_t head = source->head, of_head = head ? r % head : 0;
    if (head)
        r = r - of_head + of_head % (head / 2) * 2 + of_head / (head / 2);
    return source->first + r / source->run * source->stride + r % source->run;
}

dn_source dn_source_of(const dn_hf_tensors *t, const dn_spec *spec, const dn_param *param)
{
    dn_source s = {.run = param->tensor.rows, .rows = param->tensor.rows};
    const char *what;
    unsigned long block;
    int end = 0, third;
    snprintf(s.name, sizeof s.name, "%s", param->tensor.name);
    if (!t)
        return s;
    bool in_block = sscanf(param->tensor.name, "model.layers.%lu.%n", &block, &end) == 1 && end > 0;
    const char *there = their_name(t, param->tensor.name + (in_block ? end : 0), &third, &what);
    if (in_block)
        snprintf(s.name, sizeof s.name, "%s%lu.%s%s", t->block, block, there, what);
    else
        snprintf(s.name, sizeof s.name, "%s%s", there, what);
    s.transposed = t->transposed && param->kind == DN_PARAM_MATRIX;
    if (third < 0)
        return s;
    s.rows = 3 * param->tensor.rows;
    s.run = t->by_head ? spec->attention.hd : param->tensor.rows;
    s.stride = 3 * s.run;
    s.first = (size_t)third * s.run;
    return s;
}

dn_source dn_hf_source(const dn_spec *spec, const dn_param *param)
{
    return dn_source_of(spec->architecture->hf->tensors, spec, param);
}

/* With the family's prefix, or without. */
static dn_foreign_tensor *find(const dn_foreign *f, const char *name)
{
    static const char *const prefixes[] = {"model.", "transformer.", "gpt_neox."};
    dn_foreign_tensor *t = dn_foreign_find(f, name);
    for (size_t i = 0; !t && i < 3; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            t = dn_foreign_find(f, name + strlen(prefixes[i]));
    return t;
}

static bool is_transposed(const dn_foreign *f, const dn_source *s)
{
    return s->transposed && !f->rows_are_outputs;
}

/* Dimensions of a tensor as the file has it; returns how many. */
static size_t shape_of(const dn_foreign *f, const dn_source *s, const dn_param *param, size_t dims[2])
{
    bool turned = is_transposed(f, s);
    dims[0] = turned ? param->tensor.cols : s->rows;
    dims[1] = turned ? s->rows : param->tensor.cols;
    return param->kind == DN_PARAM_VECTOR ? 1 : 2;
}

/* As [2, 3]. */
static void show_shape(const size_t *dims, size_t n_dims, char *text, size_t room)
{
    size_t n = (size_t)snprintf(text, room, "[");
    for (size_t i = 0; i < n_dims && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%zu", i ? ", " : "", dims[i]);
    if (n < room)
        snprintf(text + n, room - n, "]");
}

static dn_status check_shape(const dn_foreign *f, const dn_foreign_tensor *t, const dn_source *s, const dn_param *param,
                             const char *path)
{
    char is[128], needed[64];
    size_t dims[2], n_dims = shape_of(f, s, param, dims);
    if (t->n_dims == n_dims && memcmp(t->dims, dims, n_dims * sizeof *dims) == 0)
        return DN_OK;
    show_shape(t->dims, t->n_dims, is, sizeof is);
    show_shape(dims, n_dims, needed, sizeof needed);
    return dn_fail(DN_ERR_DATA, "%s: tensor %s is %s, the model needs %s", path, t->name, is, needed);
}

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), m = strlen(with);
    return n >= m && strcmp(name + n - m, with) == 0;
}

/* Buffers that old files hold, which follow from the configuration. */
static bool means_nothing(const dn_foreign_tensor *t)
{
    static const char *const names[] = {".attn.bias", ".attn.masked_bias", ".attention.masked_bias",
                                        ".rotary_emb.inv_freq"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ends(t->name, names[i]))
            return true;
    return ends(t->name, ".attention.bias") && t->n_dims == 4;
}

/* A tied head may be there once more. */
static bool repeats_embedding(const dn_foreign *f, const dn_spec *spec, const dn_foreign_tensor *t, const dn_param *params)
{
    dn_source embedding = dn_hf_source(spec, &params[0]);
    const dn_foreign_tensor *e = find(f, embedding.name);
    return spec->tied == DN_YES && (ends(t->name, "lm_head.weight") || ends(t->name, "embed_out.weight")) &&
           t->type == e->type && t->n == e->n && memcmp(t->data, e->data, t->n * dn_foreign_type_size(t->type)) == 0;
}

dn_status dn_hf_check(dn_foreign *f, const dn_spec *spec, const dn_param *params, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++) {
        const dn_source s = dn_hf_source(spec, &params[i]);
        dn_foreign_tensor *t = find(f, s.name);
        if (!t)
            return dn_fail(DN_ERR_DATA, "%s: tensor %s is missing", path, s.name);
        DN_TRY(check_shape(f, t, &s, &params[i], path));
        if (t->type == DN_FOREIGN_BYTE)
            return dn_fail(DN_ERR_DATA, "%s: tensor %s is of BOOL or U8: weights of F32, F64, F16 and BF16 can be read", path, s.name);
        t->used = true;
    }
    for (size_t i = 0; i < f->n; i++)
        if (!f->tensors[i].used && !means_nothing(&f->tensors[i]) && !repeats_embedding(f, spec, &f->tensors[i], params))
            return dn_fail(DN_ERR_DATA, "%s: tensor %s is left over: the model that config.json describes has none%s", path,
                           f->tensors[i].name,
                           spec->tied == DN_YES ? " (a head that is tied must equal the embedding)" : "");
    return DN_OK;
}

void dn_hf_read_block(const dn_foreign *f, const dn_spec *spec, const dn_param *param, dn_real *to)
{
    const dn_source s = dn_hf_source(spec, param);
    const dn_foreign_tensor *t = find(f, s.name);
    const dn_block *b = &param->block;
    bool turned = is_transposed(f, &s);
    for (size_t r = b->row0; r < b->row0 + b->rows; r++) {
        size_t row = dn_source_row(&s, r);
        for (size_t c = b->col0; c < b->col0 + b->cols; c++)
            *to++ = dn_foreign_element(t, turned ? c * s.rows + row : row * param->tensor.cols + c);
    }
}
