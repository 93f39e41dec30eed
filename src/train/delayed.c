#include "train/delayed.h"

#include "base/fail.h"
#include "base/size.h"
#include "pipe/schedule.h"

#include <stdlib.h>
#include <string.h>

dn_status dn_delayed_open(dn_delayed *d, dn_instance *instance, const dn_plan *stages)
{
    const dn_plan *plan = instance->plan;
    *d = (dn_delayed){.instance = instance, .stages = *stages, .n_versions = 1 + dn_plan_stage_stashed(stages, 0)};
    d->versions = calloc(d->n_versions, plan->parameter_bytes);
    d->sum = malloc(plan->gradient_bytes);
    d->rows = calloc((size_t)plan->config.batch_size, sizeof *d->rows);
    return d->versions && d->sum && d->rows ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu versions of the weights", d->n_versions);
}

void dn_delayed_close(dn_delayed *d)
{
    free(d->versions);
    free(d->sum);
    free(d->rows);
    *d = (dn_delayed){0};
}

static dn_real *version(const dn_delayed *d, uint64_t made)
{
    return d->versions + made % d->n_versions * (d->instance->plan->parameter_bytes / sizeof(dn_real));
}

/* The weights of each stage become those that it goes forward with in micro-batch m; of SIZE_MAX, the newest. */
static dn_status put_together(const dn_delayed *d, size_t m)
{
    const dn_instance *instance = d->instance;
    const dn_plan *stages = &d->stages;
    int n_stages = stages->mesh[DN_PP];
    size_t M = dn_plan_rounds(stages, (size_t)stages->config.batch_size);
    for (int s = 0; s < n_stages; s++) {
        const dn_spec spec = dn_plan_stage_spec(stages, s);
        size_t first = dn_model_first_param(&spec), age = dn_pipe_staleness((size_t)n_stages, (size_t)s, M, m);
        const dn_real *weights = version(d, d->made - dn_min(d->made, age));
        for (size_t i = dn_model_n_borrowed(&spec); i < dn_model_n_params(&spec); i++) {
            const dn_param *p = &instance->params[first + i];
            size_t at = (size_t)((const char *)p->weight - (const char *)instance->values) / sizeof(dn_real);
            dn_upload(instance->stream, p->weight, weights + at, dn_param_size(p));
        }
    }
    return dn_stream_sync(instance->stream);
}

/* Rows of micro-batch m of the ranks of a stage that are in this rank's replica, or in any where there is one. */
static size_t list_rows(const dn_delayed *d, uint64_t first, size_t m)
{
    const dn_plan *stages = &d->stages;
    size_t n = 0;
    for (int rank = 0; rank < stages->n_dealt; rank++) {
        const int at[DN_N_AXES] = {rank / stages->mesh[DN_FS], rank % stages->mesh[DN_FS]};
        const dn_range own = dn_plan_rows(stages, (size_t)stages->config.batch_size, at);
        bool here = d->instance->plan->n_dealt == 1 || at[DN_DP] == d->instance->mesh->at[DN_DP];
        size_t end = dn_min(own.first + (m + 1) * stages->micro_batch, own.end);
        for (size_t row = own.first + m * stages->micro_batch; here && row < end; row++)
            d->rows[n++] = first + row;
    }
    return n;
}

typedef struct selection {
    const uint64_t *rows;
    dn_rows_fn *read;
    void *context;
} selection;

static dn_status read_selected(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const selection *s = context;
    return s->read(s->context, s->rows[row], inputs, targets);
}

dn_status dn_delayed_gradient(dn_delayed *d, dn_rows_fn *rows, void *context, uint64_t first, size_t counted, double *loss_sum)
{
    dn_instance *instance = d->instance;
    dn_stream *s = instance->stream;
    const dn_plan *plan = instance->plan;
    size_t n = plan->gradient_bytes / sizeof(dn_real), M = dn_plan_rounds(&d->stages, (size_t)plan->config.batch_size);
    selection selected = {d->rows, rows, context};
    *loss_sum = 0;
    memset(d->sum, 0, plan->gradient_bytes);
    dn_download(s, version(d, d->made), instance->values, plan->parameter_bytes / sizeof(dn_real));
    DN_TRY(dn_stream_sync(s));
    dn_real *one = malloc(plan->gradient_bytes);
    dn_status status = one ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a gradient");
    for (size_t m = 0; m < M && status == DN_OK; m++) {
        double loss = 0;
        size_t n_rows = list_rows(d, first, m);
        status = put_together(d, m);
        if (status == DN_OK)
            status = dn_instance_gradient_alone(instance, read_selected, &selected, 0, n_rows, counted, &loss);
        dn_download(s, one, instance->grads, n);
        if (status == DN_OK)
            status = dn_stream_sync(s);
        for (size_t i = 0; i < n && status == DN_OK; i++)
            d->sum[i] += one[i] * (dn_real)plan->n_dealt;
        *loss_sum += loss;
    }
    free(one);
    DN_TRY(status);
    dn_upload(s, instance->grads, d->sum, n);
    DN_TRY(put_together(d, SIZE_MAX));
    d->made++;
    return DN_OK;
}
