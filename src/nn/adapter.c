#include "nn/adapter.h"

#include "nn/linear.h"

#include <stdio.h>
#include <string.h>

static bool has(const dn_spec *spec, dn_role role)
{
    return spec->lora.rank > 0 && (spec->lora.roles >> role & 1);
}

static size_t count(const dn_spec *spec, dn_role first, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += has(spec, (dn_role)(first + i));
    return found;
}

/* "q_proj.weight" -> "q_proj.lora_A.weight" */
static void name_part(dn_param *part, const dn_param *matrix, const char *what)
{
    size_t n = strlen(matrix->tensor.name) - strlen(".weight");
    memcpy(part->tensor.name, matrix->tensor.name, n);
    snprintf(part->tensor.name + n, DN_PARAM_NAME_MAX - n, ".%s.weight", what);
}

size_t dn_adapter_describe(const dn_spec *spec, dn_param *params, size_t at, dn_role first, size_t n)
{
    for (size_t i = 0; params && i < n; i++) {
        const dn_param *matrix = &params[i];
        const dn_tensor *w = &matrix->tensor;
        dn_param *a = &params[at + 2 * count(spec, first, i)], *b = a + 1;
        bool rows = w->row_sharding.axis == DN_TP;
        if (!has(spec, (dn_role)(first + i)))
            continue;
        name_part(a, matrix, "lora_A");
        name_part(b, matrix, "lora_B");
        dn_layer_param(a, DN_PARAM_MATRIX, spec->lora.rank, w->cols, rows ? DN_TP_NONE : DN_TP_COLUMNS, w->col_sharding.unit);
        dn_layer_param(b, DN_PARAM_MATRIX, w->rows, spec->lora.rank, rows ? DN_TP_ROWS : DN_TP_NONE, w->row_sharding.unit);
    }
    return 2 * count(spec, first, n);
}

bool dn_param_of_adapter(const dn_param *param)
{
    return strstr(param->tensor.name, ".lora_A.") || dn_adapter_is_b(param);
}

bool dn_adapter_is_b(const dn_param *param)
{
    return strstr(param->tensor.name, ".lora_B.") != NULL;
}

/* An adapter's weights, as this rank has them. */
typedef struct adapter {
    const dn_weight *a, *b;
    double a_scale, b_scale; /* of their gradients: of what all ranks of tp have, each makes a part of a sum that is averaged */
} adapter;

static adapter find(const dn_pass *pass, const dn_layer *layer, const dn_adapters *of, dn_role role)
{
    size_t at = of->at + 2 * count(pass->spec, of->first, (size_t)(role - of->first));
    bool columns = role == DN_ROLE_O || role == DN_ROLE_DOWN; /* of the matrix are cut */
    double parts = pass->tp_size;
    return (adapter){dn_layer_weight(pass, layer, at), dn_layer_weight(pass, layer, at + 1), columns ? 1 : parts,
                     columns ? parts : 1};
}

/* pass->low [N,rank] = scale x A^T. */
static void lower(dn_pass *pass, const adapter *m, const dn_buf *x)
{
    size_t N = pass->B * pass->T;
    dn_linear_forward(pass->stream, pass->low, x, m->a, N);
    pass->stream->kernels->scale(pass->stream, pass->low, pass->spec->lora.scale, pass->low, N * pass->spec->lora.rank);
}

void dn_adapter_forward(dn_pass *pass, const dn_layer *layer, const dn_adapters *of, dn_role role, const dn_buf *x, dn_buf *y,
                        size_t ld)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, r = pass->spec->lora.rank;
    if (!has(pass->spec, role))
        return;
    const adapter m = find(pass, layer, of, role);
    lower(pass, &m, x);
    for (size_t i = 0; i < m.b->n_blocks; i++) {
        const dn_weight_block *b = &m.b->blocks[i];
        s->kernels->gemm(s, DN_N, DN_T, N, b->block.rows, b->block.cols, 1, dn_at(pass->low, b->block.col0), r, b->weight,
                         b->block.cols, 1, dn_at(y, b->block.row0), ld);
    }
}

/* dlow [N,rank] = scale dy B; dB += dy^T low; dA += dlow^T x; dx += dlow A. */
void dn_adapter_backward(dn_pass *pass, const dn_layer *layer, const dn_adapters *of, dn_role role, dn_buf *dx, const dn_buf *x,
                         const dn_buf *dy, size_t ld)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, r = pass->spec->lora.rank;
    double scale = pass->spec->lora.scale;
    if (!has(pass->spec, role))
        return;
    const adapter m = find(pass, layer, of, role);
    dn_buf *low = pass->low, *dlow = dn_at(pass->low, pass->room * r);
    lower(pass, &m, x);
    s->kernels->fill(s, dlow, N * r, 0);
    for (size_t i = 0; i < m.b->n_blocks; i++) {
        const dn_weight_block *b = &m.b->blocks[i];
        const dn_buf *dy_part = dn_at(dy, b->block.row0);
        if (b->grad)
            s->kernels->gemm(s, DN_T, DN_N, b->block.rows, b->block.cols, N, m.b_scale, dy_part, ld,
                             dn_at(low, b->block.col0), r, 1, b->grad, b->block.cols);
        s->kernels->gemm(s, DN_N, DN_N, N, b->block.cols, b->block.rows, scale, dy_part, ld, b->weight, b->block.cols, 1,
                         dn_at(dlow, b->block.col0), r);
    }
    for (size_t i = 0; i < m.a->n_blocks; i++) {
        const dn_weight_block *a = &m.a->blocks[i];
        const dn_buf *part = dn_at(dlow, a->block.row0);
        if (a->grad)
            s->kernels->gemm(s, DN_T, DN_N, a->block.rows, a->block.cols, N, m.a_scale, part, r, dn_at(x, a->block.col0),
                             m.a->cols, 1, a->grad, a->block.cols);
        s->kernels->gemm(s, DN_N, DN_N, N, a->block.cols, a->block.rows, 1, part, r, a->weight, a->block.cols, 1,
                         dn_at(dx, a->block.col0), m.a->cols);
    }
}

double dn_adapter_flops(const dn_spec *spec, dn_role role, size_t out, size_t in)
{
    return has(spec, role) ? 6 * (double)spec->lora.rank * ((double)out + (double)in) : 0;
}
