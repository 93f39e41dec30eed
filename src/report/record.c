#include "report/record.h"

#include "base/fail.h"
#include "report/series.h"

#include <math.h>
#include <stdlib.h>

const char *const dn_record_bytes[DN_RECORD_AXES] = {
    [DN_DP] = "bytes_dp", [DN_FS] = "bytes_fs", [DN_TP] = "bytes_tp", [DN_PP] = "bytes_pp"};
const char *const dn_record_axes[DN_RECORD_AXES] = {
    [DN_DP] = "dp: replicas", [DN_FS] = "fs: fully sharded", [DN_TP] = "tp: tensor parallel", [DN_PP] = "pp: stages"};

static double value(const double *column, size_t i)
{
    return column ? column[i] : NAN;
}

dn_status dn_record_read(const char *path, dn_record *out)
{
    dn_series s;
    *out = (dn_record){0};
    DN_TRY(dn_series_read(path, &s));
    dn_record_step *steps = calloc(s.n + 1, sizeof *steps);
    if (!steps) {
        dn_series_free(&s);
        return dn_fail(DN_ERR_MEMORY, "%s: no memory for %zu lines", path, s.n);
    }
    const double *step = dn_series_column(&s, "step"), *loss = dn_series_column(&s, "loss"),
                 *val_loss = dn_series_column(&s, "val_loss"), *step_s = dn_series_column(&s, "step_s"),
                 *optimizer_s = dn_series_column(&s, "optimizer_s"),
                 *tokens_per_s = dn_series_column(&s, "tokens_per_s"),
                 *state_bytes = dn_series_column(&s, "state_bytes"), *memory_bytes = dn_series_column(&s, "memory_bytes");
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (step[i] == 0) /* the validation before the first step */
            continue;
        steps[n] = (dn_record_step){.step = (uint64_t)step[i],
                                    .loss = value(loss, i),
                                    .val_loss = value(val_loss, i),
                                    .step_s = value(step_s, i),
                                    .optimizer_s = value(optimizer_s, i),
                                    .tokens_per_s = value(tokens_per_s, i),
                                    .state_bytes = value(state_bytes, i),
                                    .memory_bytes = value(memory_bytes, i),
                                    .cluster_bytes = value(dn_series_column(&s, "cluster_bytes_dp"), i),
                                    .hops = value(dn_series_column(&s, "hops_dp"), i),
                                    .link_s = value(dn_series_column(&s, "link_s"), i),
                                    .wait_s = value(dn_series_column(&s, "wait_dp_s"), i),
                                    .delay = value(dn_series_column(&s, "delay"), i),
                                    .client_bytes_down = value(dn_series_column(&s, "client_bytes_down"), i),
                                    .client_bytes_up = value(dn_series_column(&s, "client_bytes_up"), i),
                                    .virtual_s = value(dn_series_column(&s, "virtual_s"), i),
                                    .overlap_s = value(dn_series_column(&s, "overlap_s"), i),
                                    .overlap_bytes = value(dn_series_column(&s, "overlap_bytes"), i)};
        for (int axis = 0; axis < DN_RECORD_AXES; axis++)
            steps[n].bytes[axis] = value(dn_series_column(&s, dn_record_bytes[axis]), i);
        if (isnan(steps[n].bytes[DN_PP])) /* there is a number where there are stages */
            steps[n].bytes[DN_PP] = 0;
        n++;
    }
    *out = (dn_record){n, steps, s.gaps};
    dn_series_free(&s);
    return DN_OK;
}

void dn_record_free(dn_record *record)
{
    free(record->steps);
    *record = (dn_record){0};
}

double dn_record_val_loss(const dn_record *record, uint64_t step)
{
    size_t first = 0, end = record->n;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (record->steps[middle].step < step)
            first = middle + 1;
        else
            end = middle;
    }
    return first < record->n && record->steps[first].step == step ? record->steps[first].val_loss : NAN;
}
