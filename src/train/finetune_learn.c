/* Labels by gradients: steps over batches of texts, or clients', on a mesh, and what they gave. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "train/clients.h"
#include "train/finetune.h"

#include <inttypes.h>
#include <math.h>

/* Micro-batches of rows [n], `rounds` of them, of which the last may be empty; *loss: sum. */
static dn_status pass(dn_finetune_run *t, const uint32_t *rows, size_t n, size_t rounds, double scale, double *loss)
{
    dn_instance *instance = &t->model.instance;
    instance->stream->kernels->fill(instance->stream, instance->grads, t->model.plan.gradient_bytes / sizeof(dn_real), 0);
    *loss = 0;
    for (size_t at = 0, B, T; rounds > 0; rounds--, at += B) {
        B = dn_min(n - at, t->model.plan.micro_batch);
        dn_labelled_batch(&t->texts, rows + at, B, t->inputs, t->targets, &T);
        dn_model_set_length(instance->model, T);
        DN_TRY(dn_model_train(instance->model, t->inputs, t->targets, B, scale, loss));
    }
    return DN_OK;
}

dn_status dn_finetune_gradient(dn_finetune_run *t, const uint32_t *rows, size_t n, double *loss)
{
    size_t micro_batch = t->model.plan.micro_batch;
    return pass(t, rows, n, (n + micro_batch - 1) / micro_batch, 1 / (double)n, loss);
}

/* A sum over the workers of numbers that ranks of tp have alike. */
static dn_status add_up(dn_finetune_run *t, double *numbers, size_t n)
{
    for (size_t i = 0; i < n && t->model.mesh->at[DN_TP] != 0; i++)
        numbers[i] = 0;
    return dn_comm_all_reduce_scalars(t->model.comm, numbers, n, DN_SUM);
}

dn_status dn_finetune_pass_on(dn_finetune_run *t)
{
    double stop = t->comm && dn_comm_stop_requested(t->comm) != 0;
    if (t->comm)
        DN_TRY(dn_comm_all_reduce_scalars(t->comm, &stop, 1, DN_MAX));
    return stop > 0 ? DN_FINETUNE_STOPPED : DN_OK;
}

/* Gradients of the mean loss over rows [n], this worker's part, and *loss, that mean. */
static dn_status gradient(dn_finetune_run *t, const uint32_t *rows, size_t n, double *loss)
{
    const dn_plan *plan = &t->model.plan;
    dn_range own = dn_plan_rows(plan, n, t->model.mesh->at);
    DN_TRY(pass(t, rows + own.first, dn_range_size(own), dn_plan_rounds(plan, n), plan->n_dealt / (double)n, loss));
    DN_TRY(add_up(t, loss, 1));
    *loss /= (double)n;
    return DN_OK;
}

/* Step number `step` of batches that go through the texts in an order of each epoch. */
static dn_status train_step(dn_finetune_run *t, uint64_t step)
{
    const dn_plan *plan = &t->model.plan;
    size_t batch = dn_min((size_t)plan->config.batch_size, t->n_train), n_batches = (t->n_train + batch - 1) / batch;
    size_t first = (size_t)(step % n_batches) * batch, n = dn_min(t->n_train - first, batch);
    uint64_t n_steps = (uint64_t)plan->config.num_iterations;
    double loss;
    dn_step_report report;
    if (first == 0) {
        dn_labelled_rows(&t->texts, false, t->rows);
        dn_labelled_shuffle(&t->texts, t->rows, t->n_train, batch, (uint64_t)plan->config.seed, step / n_batches);
    }
    DN_TRY(dn_finetune_pass_on(t));
    DN_TRY(gradient(t, t->rows + first, n, &loss));
    const dn_step_params params = {.step = step,
                                   .lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, step, n_steps),
                                   .decay = dn_schedule_factor(&plan->decay_schedule, step, n_steps)};
    DN_TRY(dn_instance_step(&t->model.instance, &params, loss, &report));
    if (t->progress)
        t->progress(step + 1, n_steps, loss, t->context);
    if (isfinite(loss) && !report.skipped)
        return DN_OK;
    return dn_fail(DN_ERR_NUMERIC, "step %" PRIu64 ": the loss or its gradient is not finite; lower lr", step + 1);
}

/* ---- what it gave ---- */

/* Of rows [n], a micro-batch: how many have their class's score highest, of equal ones the first; and the sum of
 * -log softmax(scores)[class]. */
static void judge_scores(const dn_finetune_run *t, const uint32_t *rows, size_t n, double *right, double *loss)
{
    size_t K = t->labels.n_classes;
    for (size_t b = 0; b < n; b++) {
        const dn_real *scores = t->scores + b * K;
        size_t class = (size_t)t->labels.rows[rows[b]].class, best = 0;
        double sum = 0;
        for (size_t k = 1; k < K; k++)
            best = scores[k] > scores[best] ? k : best;
        for (size_t k = 0; k < K; k++)
            sum += exp((double)scores[k] - (double)scores[best]);
        *right += best == class;
        *loss += log(sum) + (double)scores[best] - (double)scores[class];
    }
}

/* The share of held-out texts told right, and their mean loss; of the replicas' mean, where they differ. */
static dn_status judge(dn_finetune_run *t, dn_finetuned *out)
{
    const dn_plan *plan = &t->model.plan;
    dn_instance *instance = &t->model.instance;
    dn_range own = dn_plan_rows(plan, t->n_test, t->model.mesh->at);
    double sums[2] = {0};
    size_t at = own.first;
    if (dn_strategy_apart(instance->strategy))
        DN_TRY(dn_instance_enter_consensus(instance));
    for (size_t rounds = dn_plan_rounds(plan, t->n_test), B, T; rounds > 0; rounds--, at += B) {
        const uint32_t *rows = t->rows + t->n_train + at;
        B = dn_min(own.end - at, plan->micro_batch);
        dn_labelled_batch(&t->texts, rows, B, t->inputs, t->targets, &T);
        dn_model_set_length(instance->model, T);
        DN_TRY(dn_model_classify(instance->model, t->inputs, t->targets, B, t->scores, NULL));
        judge_scores(t, rows, B, &sums[0], &sums[1]);
    }
    DN_TRY(add_up(t, sums, 2));
    out->accuracy = sums[0] / (double)t->n_test;
    out->loss = sums[1] / (double)t->n_test;
    return isfinite(out->loss) ? DN_OK : dn_fail(DN_ERR_NUMERIC, "the loss of held-out texts is not finite; lower lr");
}

dn_status dn_finetune_learn(dn_finetune_run *t, dn_finetuned *out)
{
    const dn_plan *plan = &t->model.plan;
    out->n_trained = plan->n_trained_elements;
    out->bytes = plan->n_trained_elements * sizeof(dn_real);
    out->memory = plan->arena_bytes + plan->private_bytes;
    double started = dn_clock_s();
    if (plan->strategy->clients)
        DN_TRY(dn_finetune_clients(t, (uint64_t)plan->config.num_iterations, out));
    for (uint64_t step = 0; step < (uint64_t)plan->config.num_iterations && !plan->strategy->clients; step++)
        DN_TRY(train_step(t, step));
    out->seconds = dn_clock_s() - started;
    return judge(t, out);
}
