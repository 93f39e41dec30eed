#include "train/report.h"

#include "base/fail.h"
#include "base/printable.h"
#include "base/size.h"
#include "comm/world.h"
#include "dionode/blas.h"
#include "dionode/topo.h"
#include "optim/named_group.h"
#include "shard/layout.h"
#include "verify/traffic_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANY_STEPS = 500 };

/* Bytes of this rank's gradients that have copies on other ranks: what a full all-reduce of them takes. */
static double uncompressed_bytes(const dn_run *run)
{
    size_t bytes = 0;
    for (size_t i = 0; i < run->plan.n_trained; i++) {
        const dn_param *p = &run->instance.trained[i];
        if (dn_axes_without(run->plan.mesh, dn_tensor_axes(&p->tensor)))
            bytes += dn_param_size(p) * sizeof(dn_real);
    }
    return (double)bytes;
}

/* The rule and options of each named group. */
static void report_groups(const dn_run *run, FILE *out)
{
    const dn_optim_config *o = &run->plan.optim;
    for (size_t k = 0; o->n_named_groups > 0 && k <= o->n_named_groups; k++)
        for (int kind = 0; kind < DN_PARAM_N_KINDS; kind++) {
            size_t n = 0, elements = 0;
            dn_optim_config own = *o;
            const dn_param *some = NULL;
            for (size_t i = 0; i < run->plan.n_trained; i++) {
                const dn_param *param = &run->instance.trained[i];
                if ((int)param->kind != kind || dn_named_group_of(o, param) != k)
                    continue;
                some = param;
                own = dn_param_config(o, param);
                n++;
                elements += param->tensor.rows * param->tensor.cols;
            }
            if (n == 0)
                continue;
            static const char *const kinds[] = {"hidden matrices", "embedding", "head", "vectors"};
            const dn_rule_info *rule = &dn_param_rule(&own, some)->info;
            char numbers[32], fraction[32] = "";
            if (dn_rule_takes(rule, "ortho_fraction"))
                snprintf(fraction, sizeof fraction, ", fraction %g", own.rank_fraction);
            fprintf(out, "group     %-20s %-15s %3zu, %s numbers: %s, lr x %g, weight decay %g%s\n",
                    k < o->n_named_groups ? o->named_groups[k].match : "(the rest)", kinds[kind], n,
                    dn_human((double)elements, "", numbers, sizeof numbers), rule->name,
                    own.groups[kind].lr_scale, own.groups[kind].weight_decay, fraction);
        }
}

/* Layers of each stage, and how long it takes. */
static void report_stages(const dn_plan *plan, FILE *out)
{
    const int *mesh = plan->mesh;
    size_t M = dn_plan_rounds(plan, (size_t)plan->config.batch_size);
    double sum = 0;
    fprintf(out, "mesh      dp %d x pp %d x fs %d x tp %d; layers", mesh[DN_DP], mesh[DN_PP], mesh[DN_FS], mesh[DN_TP]);
    for (int s = 0; s < mesh[DN_PP]; s++) {
        size_t first = s > 0 ? plan->cut[s - 1] : 0;
        fprintf(out, "%s %zu", s > 0 ? "," : "", plan->cut[s] - first);
        sum += plan->stage_share[s];
    }
    /* In passes of the slowest stage, forward and back, of which the way back is two thirds. */
    double others = mesh[DN_PP] - 1, passes = (double)M + (plan->flows ? 2 * others / 3 : others);
    fprintf(out, " a stage, the slowest %.2f of the mean; %.0f%% of the time idle with %zu micro-batch%s\n", mesh[DN_PP] / sum,
            100 * (1 - sum / mesh[DN_PP] * (double)M / passes), M, M == 1 ? "" : "es");
    if (plan->flows)
        fprintf(out, "pipeline  asynchronous: gradients of weights up to %zu updates old\n", dn_plan_stage_stashed(plan, 0));
    if (strcmp(plan->config.channel, "dense") == 0)
        return;
    fprintf(out, "channels  %s: of a position's %zu numbers", plan->config.channel, plan->spec.C);
    for (int s = 0; s + 1 < mesh[DN_PP]; s++)
        fprintf(out, "%s %zu", s > 0 ? "," : "", plan->kept[s] > 0 ? plan->kept[s] : plan->spec.C);
    fprintf(out, " go on to the next stage\n");
}

/* What auto has chosen, and why. */
static void report_exchange_choice(const dn_plan *plan, FILE *out)
{
    static const char *const names[] = {"whole gradients", "low-rank factors"};
    const dn_exchange_choice *e = &plan->exchange;
    bool factors = plan->strategy->factors, other = dn_exchange_takes_factors(e) != factors;
    if (!(e->asked || e->kept) || e->factors_s == e->gradients_s)
        return;
    fprintf(out, "replicas  exchange %s%s%s: predicted %.4g s a step, with %s %.4g s (of workers of %.0f GFLOP/s)\n",
            names[factors], e->kept ? ", as the checkpoint says" : "", e->kept && other ? ", which would not be chosen now" : "",
            factors ? e->factors_s : e->gradients_s, names[!factors], factors ? e->gradients_s : e->factors_s,
            DN_EXCHANGE_FLOPS / 1e9);
}

static void report_clients(const dn_plan *plan, FILE *out)
{
    const dn_client_plan *p = &plan->clients;
    char steps[32] = "an epoch of its rows";
    if (p->n == 0)
        return;
    if (p->local_steps)
        snprintf(steps, sizeof steps, "%llu step%s", (unsigned long long)p->local_steps, dn_plural((long long)p->local_steps));
    fprintf(out, "clients   %d, of which %d train%s at a time, each %s; %s%d make%s a version\n", p->n, p->n_out, p->n_out == 1 ? "s" : "",
            steps, p->quorum < p->n_out ? "the first " : "", p->quorum, p->quorum == 1 ? "s" : "");
}

void dn_report_begin(dn_run *run)
{
    if (run->rank != 0)
        return;
    const dn_plan *plan = &run->plan;
    const dn_spec *s = &plan->spec;
    const int *mesh = plan->mesh;
    char text[32], heads[64] = "", pus[256], private[32], fma[32];
    if (s->architecture->attention && s->attention.NKV < s->attention.NH)
        snprintf(heads, sizeof heads, " %zu heads on %zu,", s->attention.NH, s->attention.NKV);
    else if (s->architecture->attention)
        snprintf(heads, sizeof heads, " %zu head%s,", s->attention.NH, dn_plural((long long)s->attention.NH));
    fprintf(
        stderr,
        "model     %s of %s parameters: %zu wide, %zu layer%s,%s vocabulary %zu, %zu tokens per sequence\n",
        s->architecture->name, dn_human((double)plan->n_elements, "", text, sizeof text), s->C, s->L,
        dn_plural((long long)s->L), heads, s->V, s->T);
    fprintf(stderr, "step      %lld sequence%s = %lld tokens; micro-batches of %zu sequence%s\n",
            (long long)plan->config.batch_size, dn_plural(plan->config.batch_size),
            (long long)plan->config.batch_size * plan->config.sequence_length, plan->micro_batch,
            dn_plural((long long)plan->micro_batch));
    fprintf(stderr, "memory    %s shared and %s private per worker\n",
            dn_human_size((double)plan->arena_bytes, text, sizeof text),
            dn_human_size((double)plan->private_bytes, private, sizeof private));
    dn_topo_bound_pus(pus, sizeof pus);
    fprintf(stderr, "workers   %d x %d thread%s (rank 0 on CPUs %s), %s", plan->n_workers, run->stream->n_threads,
            dn_plural(run->stream->n_threads), pus, dn_blas_describe());
    if (!isnan(run->limits.gemm))
        fprintf(stderr, ", GEMM peak %s, FMA limit %s", dn_human(run->limits.gemm, "FLOP/s", text, sizeof text),
                dn_human(run->limits.fma, "FLOP/s", fma, sizeof fma));
    fputc('\n', stderr);
    fprintf(stderr, "products  %s\n", dn_products_describe(run->stream));
    if (mesh[DN_PP] > 1)
        report_stages(plan, stderr);
    else if (mesh[DN_FS] > 1 || mesh[DN_TP] > 1)
        fprintf(stderr, "mesh      dp %d x fs %d x tp %d\n", mesh[DN_DP], mesh[DN_FS], mesh[DN_TP]);
    report_exchange_choice(plan, stderr);
    report_clients(plan, stderr);
    if (plan->n_trained_elements < plan->n_elements)
        fprintf(stderr, "trained   %s of these parameters, in %zu of %zu tensors%s\n",
                dn_human((double)plan->n_trained_elements, "", text, sizeof text), plan->n_trained, plan->n_params,
                mesh[DN_PP] > 1 ? " of this worker's stage" : "");
    report_groups(run, stderr);
    if (run->step > 0)
        fprintf(stderr, "resumed   after step %llu from %s\n", (unsigned long long)run->step,
                plan->config.checkpoint_dir);
    dn_progress_begin(&run->progress, stderr, run->step, dn_run_goal(run));
}

/* Not a number where a run is too short to measure limits. */
static dn_flop_limits shares_of_limits(dn_run *run, double tokens_per_s)
{
    if (isnan(run->limits.gemm))
        return run->limits;
    return dn_flop_shares(&run->limits, tokens_per_s * run->plan.flops_per_token);
}

/* Payload over one axis, of all kinds but control. */
static double exchanged_bytes(const dn_comm_stats *stats)
{
    double bytes = 0;
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        if (kind != DN_TRAFFIC_CONTROL)
            bytes += (double)stats->payload[kind];
    return bytes;
}

static double network_bytes(const dn_comm_stats *stats)
{
    double bytes = 0;
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        if (kind != DN_TRAFFIC_CONTROL)
            bytes += stats->cluster[kind];
    return bytes;
}

static double exchanged_hops(const dn_comm_stats *stats)
{
    double hops = 0;
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        if (kind != DN_TRAFFIC_CONTROL)
            hops += (double)stats->hops[kind];
    return hops;
}

/* The same over all axes, from the traffic model. */
static double modelled_bytes(const dn_run *run, bool whole, uint64_t step)
{
    const dn_plan *plan = &run->plan;
    const dn_instance *instance = &run->instance;
    dn_optim_config config = plan->optim;
    dn_traffic_model model = {0};
    double bytes = 0;
    config.compress = config.compress && !whole;
    const dn_strategy_case strategy = {plan->strategy, &plan->strategy_config, instance->optimizer, NULL};
    size_t n_stepped = whole ? plan->n_trained : dn_strategy_n_stepped(plan->strategy, plan->n_trained);
    dn_traffic_of_optimizer(&config, instance->trained, n_stepped, whole ? instance->mesh : &instance->optimizer_mesh,
                            instance->optimizer, step, &model);
    if (!whole)
        dn_traffic_of_strategy(&strategy, instance->trained, plan->n_trained, instance->mesh, step, &model);
    for (unsigned axes = 0; axes < DN_N_SETS; axes++)
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            if (kind != DN_TRAFFIC_CONTROL)
                bytes += (double)model.payload[axes][kind];
    return bytes;
}

/* The mean over the steps from one exchange of momenta to the next; of strategies that exchange now and then, over so many
 * that each of their exchanges comes often. */
static double mean_bytes(const dn_run *run, bool whole)
{
    const dn_plan *plan = &run->plan;
    double every = (double)plan->optim.momentum_sync_every, plain = modelled_bytes(run, whole, 0), sum = 0;
    if (whole || plan->strategy->family == DN_ON_WHOLE_MESH)
        return every > 1 ? plain + (modelled_bytes(run, whole, (uint64_t)every - 1) - plain) / every : plain;
    uint64_t n = dn_min((size_t)plan->config.num_iterations, MANY_STEPS);
    for (uint64_t step = 0; step < n; step++)
        sum += modelled_bytes(run, whole, step);
    return sum / (double)n;
}

/* After the first step, as the traffic of passes and orthonormalization is measured; the rest is modelled. */
static void report_exchange(dn_run *run, double bytes)
{
    char now[32], full[32];
    double step = bytes - modelled_bytes(run, false, run->step - 1) + mean_bytes(run, false),
           whole = step - mean_bytes(run, false) + mean_bytes(run, true);
    if (run->plan.n_workers == 1)
        return;
    dn_human(step, "B", now, sizeof now);
    if (run->plan.mesh[DN_DP] == 1 || whole == step)
        dn_progress_line(&run->progress, "exchange  %s per step and worker on average", now);
    else
        dn_progress_line(&run->progress,
                         "exchange  %s per step and worker on average; with full gradients %s, %.3g times as much", now,
                         dn_human(whole, "B", full, sizeof full), whole / step);
}

static double step_bytes(const dn_step_result *r)
{
    return exchanged_bytes(&r->stats[DN_DP]) + exchanged_bytes(&r->stats[DN_FS]) +
           exchanged_bytes(&r->stats[DN_TP]) + exchanged_bytes(&r->stats[DN_PP]);
}

static dn_status write_metrics(dn_run *run, const dn_step_result *r, double tokens_per_s, double val_loss)
{
    double payload[DN_N_TRAFFIC] = {0}, moved = 0, network = 0, early = 0;
    dn_flop_limits shares = shares_of_limits(run, tokens_per_s);
    bool apart = run->plan.strategy->family != DN_ON_WHOLE_MESH; /* others exchange nothing of the kind */
    bool clients = run->instance.clients != NULL, staged = run->plan.mesh[DN_PP] > 1;
    bool islands = dn_strategy_comm(run->instance.strategy, DN_SCOPE_ACROSS) != NULL;
    for (int axis = 0; axis < DN_N_AXES; axis++)
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
            payload[kind] += (double)r->stats[axis].payload[kind];
            moved += (double)r->stats[axis].moved[kind];
            network += (double)r->stats[axis].network[kind];
            early += (double)r->stats[axis].early[kind];
        }
    const dn_metric metrics[] = {
        {"loss", r->loss},
        {"val_loss", val_loss},
        {"lr", r->step_params.lr},
        {"weight_decay", run->plan.optim.groups[DN_PARAM_MATRIX].weight_decay * r->step_params.decay},
        {"grad_norm", r->report.grad_norm},
        {"clip", r->report.clip},
        {"step_s", r->seconds},
        {"optimizer_s", r->optimizer_s},
        {"tokens_per_s", tokens_per_s},
        {"peak_share", shares.gemm},
        {"fma_share", shares.fma},
        {"bytes_dp", exchanged_bytes(&r->stats[DN_DP])},
        {"bytes_fs", exchanged_bytes(&r->stats[DN_FS])},
        {"bytes_tp", exchanged_bytes(&r->stats[DN_TP])},
        {"cluster_bytes_dp", network_bytes(&r->stats[DN_DP])},
        {"cluster_bytes_fs", network_bytes(&r->stats[DN_FS])},
        {"cluster_bytes_tp", network_bytes(&r->stats[DN_TP])},
        {"hops_dp", exchanged_hops(&r->stats[DN_DP])},
        {"hops_fs", exchanged_hops(&r->stats[DN_FS])},
        {"hops_tp", exchanged_hops(&r->stats[DN_TP])},
        {"bytes_pp", staged ? exchanged_bytes(&r->stats[DN_PP]) : NAN},
        {"cluster_bytes_pp", staged ? network_bytes(&r->stats[DN_PP]) : NAN},
        {"hops_pp", staged ? exchanged_hops(&r->stats[DN_PP]) : NAN},
        {"wait_pp_s", staged ? r->wait_s : NAN},
        {"staleness", run->plan.flows ? r->staleness : NAN},
        {"delay", (double)dn_strategy_delay(run->plan.strategy, &run->plan.strategy_config)},
        {"bytes_across", islands ? exchanged_bytes(&r->across) : NAN},
        {"cluster_bytes_across", islands ? network_bytes(&r->across) : NAN},
        {"hops_across", islands ? exchanged_hops(&r->across) : NAN},
        {"link_s", run->plan.link_dp.bytes_per_s > 0 || run->plan.link_across.bytes_per_s > 0 || *run->plan.config.link_pp
                       ? r->link_s
                       : NAN},
        {"wait_dp_s", clients ? NAN : r->wait_dp_s},
        {"bytes_factors", payload[DN_TRAFFIC_FACTORS]},
        {"bytes_basis", payload[DN_TRAFFIC_BASIS]},
        {"bytes_orth", payload[DN_TRAFFIC_ORTH]},
        {"bytes_gradients", payload[DN_TRAFFIC_GRADIENT]},
        {"bytes_weights", payload[DN_TRAFFIC_WEIGHTS]},
        {"bytes_activations", payload[DN_TRAFFIC_ACTIVATIONS]},
        {"bytes_momentum", payload[DN_TRAFFIC_MOMENTUM]},
        {"bytes_delta", apart ? payload[DN_TRAFFIC_DELTA] : NAN},
        {"bytes_probe", apart ? payload[DN_TRAFFIC_PROBE] : NAN},
        {"bytes_control", payload[DN_TRAFFIC_CONTROL]},
        {"bytes_uncompressed", uncompressed_bytes(run)},
        {"bytes_moved", moved},
        {"bytes_network", dn_comm_n_nodes(run->comm) > 1 ? network : NAN},
        {"bytes_network_early", dn_comm_n_nodes(run->comm) > 1 ? early : NAN},
        {"overlap_s", dn_comm_n_nodes(run->comm) > 1 ? r->report.overlap_s : NAN},
        {"overlap_bytes", dn_comm_n_nodes(run->comm) > 1 ? r->report.overlap_bytes : NAN},
        {"state_bytes", run->state_bytes},
        {"memory_bytes", (double)run->plan.n_workers * ((double)run->plan.arena_bytes + (double)run->plan.private_bytes)},
        {"clients", clients ? r->clients.n : NAN},
        {"clients_failed", clients ? r->clients.n_failed : NAN},
        {"client_bytes_down", clients ? r->clients.bytes_down : NAN},
        {"client_bytes_up", clients ? r->clients.bytes_up : NAN},
        {"client_delay", clients ? r->clients.delay : NAN},
        {"virtual_s", clients ? r->clients.virtual_s : NAN},
        {"skipped", r->report.skipped},
        {"zero_matrices", r->report.n_zero},
        {"orth_fallbacks", r->report.n_fallback},
        {"weights_hash", r->hash},
    };
    const size_t n = sizeof metrics / sizeof *metrics;
    DN_TRY(dn_metrics_write(run->metrics, run->step, metrics, n));
    return run->tensorboard ? dn_tensorboard_write(run->tensorboard, run->step, metrics, n) : DN_OK;
}

static void show_validation(dn_run *run, double val_loss)
{
    dn_progress_line(&run->progress, "step %llu: validation loss %.4f", (unsigned long long)run->step,
                     val_loss);
}

static void show_step(dn_run *run, const dn_step_result *r, double tokens_per_s, double val_loss)
{
    char speed[32], bytes[32], text[160];
    if (r->report.skipped)
        dn_progress_line(&run->progress, "step %llu: %s; step skipped on all workers", (unsigned long long)run->step,
                         r->counted == 0      ? "no target of the batch counts"
                         : isfinite(r->loss) ? "a gradient was not finite"
                                             : "the loss was not finite");
    if (!isnan(val_loss))
        show_validation(run, val_loss);
    /* Averages since the last line, as single short steps vary tenfold. */
    run->shown_tokens += tokens_per_s * r->seconds;
    run->shown_s += r->seconds;
    run->shown_bytes += step_bytes(r);
    run->n_shown++;
    double rate = run->shown_tokens / run->shown_s;
    dn_flop_limits shares = shares_of_limits(run, rate);
    int n = snprintf(text, sizeof text, "loss %.4f  %s  %s/step", isnan(r->loss) ? NAN : r->loss, /* without a sign */
                     dn_human(rate, "tok/s", speed, sizeof speed),
                     dn_human(run->shown_bytes / (double)run->n_shown, "B", bytes, sizeof bytes));
    if (!isnan(shares.gemm))
        snprintf(text + n, sizeof text - (size_t)n, "  %.0f%% of GEMM peak  %.0f%% of FMA limit", 100 * shares.gemm,
                 100 * shares.fma);
    dn_progress_show(&run->progress, run->step, text);
    if (run->progress.shown == run->step) {
        run->shown_tokens = run->shown_s = run->shown_bytes = 0;
        run->n_shown = 0;
    }
}

dn_status dn_report_step(dn_run *run, double val_loss)
{
    if (run->reported)
        return DN_OK;
    run->reported = true;
    if (run->rank != 0)
        return DN_OK;
    const dn_step_result *result = &run->last;
    double tokens = result->tokens;
    if (!run->reported_exchange && !run->instance.clients && !result->report.skipped)
        report_exchange(run, step_bytes(result));
    run->reported_exchange = run->reported_exchange || !result->report.skipped;
    show_step(run, result, tokens / result->seconds, val_loss);
    dn_run_monitor_disk(run);
    return write_metrics(run, result, tokens / result->seconds, val_loss);
}

dn_status dn_report_validation(dn_run *run, double val_loss)
{
    if (run->rank != 0)
        return DN_OK;
    show_validation(run, val_loss);
    const dn_metric value = {"val_loss", val_loss};
    DN_TRY(dn_metrics_amend(run->metrics, run->step, &value));
    return run->tensorboard ? dn_tensorboard_write(run->tensorboard, run->step, &value, 1) : DN_OK;
}

void dn_report_saved(dn_run *run)
{
    if (run->rank == 0)
        dn_progress_line(&run->progress, "step %llu: saved, as requested by a signal",
                         (unsigned long long)run->saved_step);
}

void dn_report_end(dn_run *run)
{
    if (run->rank != 0)
        return;
    dn_progress_end(&run->progress);
    const dn_config *config = &run->plan.config;
    bool finished = run->step >= (uint64_t)config->num_iterations && run->n_skipped == 0;
    if (run->step == 0)
        fprintf(stderr, "stopped before the first step was complete: nothing to save\n");
    else
        fprintf(stderr, "%s after step %llu; metrics and checkpoints are in %s\n",
                finished ? "finished" : "stopped", (unsigned long long)dn_run_good_step(run),
                config->checkpoint_dir);
}

void dn_report_not_begun(const dn_run *run)
{
    if (run->rank == 0)
        fprintf(stderr, "stopped while initializing: no step was made, and %s is unchanged\n",
                run->plan.config.checkpoint_dir);
}

void dn_report_complete(const dn_run *run, const char *key)
{
    if (run->rank == 0)
        fprintf(stderr, "complete: %s holds a run of %llu steps, which is %s; increase it to continue\n",
                run->plan.config.checkpoint_dir, (unsigned long long)run->step, key);
}
