#include "formats/stored.h"

#include "base/fail.h"

#include <string.h>

size_t dn_stored_list(const dn_model_weights *model, dn_source_fn *where, dn_stored *out)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n; i++) {
        const dn_param *param = &model->params[i];
        dn_stored t = {.source = where(model->spec, param), .n_dims = param->kind == DN_PARAM_VECTOR ? 1 : 2};
        size_t rows = t.source.rows, cols = param->tensor.cols;
        if (t.source.first > 0) /* behind another part of it */
            continue;
        t.dims[0] = t.source.transposed ? cols : rows;
        t.dims[1] = t.source.transposed ? rows : cols;
        t.n = rows * cols;
        out[n++] = t;
    }
    return n;
}

/* What one parameter has of a tensor. */
static void place(const dn_source *s, const dn_param *param, const dn_real *values, dn_foreign_type type, unsigned char *to)
{
    size_t cols = param->tensor.cols, size = dn_foreign_type_size(type);
    for (size_t r = 0; r < param->tensor.rows; r++) {
        size_t row = dn_source_row(s, r);
        for (size_t c = 0; c < cols; c++) {
            size_t at = s->transposed ? c * s->rows + row : row * cols + c;
            dn_foreign_store(type, (double)values[r * cols + c] + s->offset, to + at * size);
        }
    }
}

dn_status dn_stored_fill(const dn_model_weights *model, dn_source_fn *where, const dn_stored *t, dn_foreign_type type,
                         unsigned char *to)
{
    for (size_t i = 0; i < model->n; i++) {
        const dn_source s = where(model->spec, &model->params[i]);
        const dn_real *values;
        if (strcmp(s.name, t->source.name) != 0)
            continue;
        DN_TRY(model->get(model->context, &model->params[i], &values));
        place(&s, &model->params[i], values, type, to);
    }
    return DN_OK;
}
