/* How a model is cut into stages, before anything runs. */
#include "base/fail.h"
#include "base/human.h"
#include "base/printable.h"
#include "dionode/train.h"
#include "tensor/axes.h"
#include "train/plan.h"

dn_status dn_train_print_stages(const dn_config *config, const int size[DN_N_AXES], FILE *out)
{
    const dn_config c = dn_plan_config_on(config, size);
    dn_plan whole;
    DN_TRY(dn_plan_make(&c, dn_axes_size(size, DN_ALL_AXES), &whole));
    int n = whole.mesh[DN_PP];
    size_t M = dn_plan_rounds(&whole, (size_t)c.batch_size);
    fprintf(out, "%d stage%s, %zu micro-batch%s a step; bytes of a worker\n\n", n, dn_plural(n), M, M == 1 ? "" : "es");
    fprintf(out, "stage     layers  parameters  of the slowest  link before  kept of it    weights  in flight  activations%s\n",
            whole.flows ? "  older weights" : "");
    for (int s = 0; s < n; s++) {
        dn_plan stage = whole;
        char layers[32], weights[32], activations[32], older[32], link[48] = "-", kept[48] = "-";
        const dn_link *before = s > 0 ? &whole.link_pp.of[s - 1] : NULL;
        DN_TRY(dn_plan_enter_stage(&stage, s));
        snprintf(layers, sizeof layers, "%zu-%zu", s > 0 ? whole.cut[s - 1] : 0, whole.cut[s] - 1);
        if (before && !*c.pp_link_times && before->bytes_per_s > 0)
            snprintf(link, sizeof link, "%gMbit:%gms", before->bytes_per_s * 8e-6, before->latency_s * 1e3);
        else if (before && *c.pp_link_times)
            snprintf(link, sizeof link, "%.3gms", 1e3 * whole.link_s[s - 1]);
        else if (before)
            snprintf(link, sizeof link, "shared");
        if (s > 0 && whole.kept[s - 1] > 0)
            snprintf(kept, sizeof kept, "%zu/%zu", whole.kept[s - 1], whole.spec.C);
        else if (s > 0)
            snprintf(kept, sizeof kept, "all");
        fprintf(out, "%5d %10s %11zu %14.0f%% %12s %11s %10s %10zu %12s", s, layers, stage.n_params, 100 * whole.stage_share[s], link, kept,
                dn_human((double)stage.parameter_bytes, "B", weights, sizeof weights), stage.n_slots,
                dn_human((double)stage.private_bytes, "B", activations, sizeof activations));
        if (whole.flows)
            fprintf(out, " %14s", dn_human((double)dn_plan_stage_stashed(&whole, s) * (double)stage.gradient_bytes, "B", older, sizeof older));
        fputc('\n', out);
    }
    return DN_OK;
}
