/*
 * FedPepTAO's choice of layers (Che et al., arXiv 2310.15080; of its authors' code, which was read): the outputs of a frozen block for a
 * batch of texts, flattened over positions, padding and all, have a matrix K [B,B] of cosines, and the block's score is, with its
 * eigenvalues e_j,
 *
 *     sum_j ln(e_j + c) + 1 / (e_j + c),  c = 1e-5,      which is ln det(K + c I) + trace (K + c I)^-1
 *
 * averaged over clients by their texts. Prompts go to the blocks of the highest scores: so many as are asked for, or as the loss's curvature
 * says (train/prompt_share.h). As in that code the last block has none, and so 0: it comes last. This project's choice: a client's batch is of
 * its first texts.
 */
#include "train/prompt_layers.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Beside the diagonal of K, against eigenvalues of 0. */
#define RIDGE 1e-5

/* K + RIDGE I becomes its Cholesky factor L: the determinant is the product of L_ii squared, and the inverse's trace the sum of squares of
 * L^-1, whose columns are made one after another. */
double dn_prompt_score(double *k, size_t B)
{
    double score = 0, column[DN_PROMPT_TEXTS], scale[DN_PROMPT_TEXTS];
    for (size_t i = 0; i < B; i++)
        scale[i] = k[i * B + i] > 0 ? 1 / sqrt(k[i * B + i]) : 0;
    for (size_t i = 0; i < B; i++)
        for (size_t j = 0; j < B; j++)
            k[i * B + j] = i == j ? 1 + RIDGE : k[i * B + j] * scale[i] * scale[j];
    for (size_t i = 0; i < B; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = k[i * B + j];
            for (size_t l = 0; l < j; l++)
                sum -= k[i * B + l] * k[j * B + l];
            k[i * B + j] = j == i ? sqrt(fmax(sum, RIDGE / 2)) : sum / k[j * B + j]; /* RIDGE at least, but for rounding */
        }
        score += 2 * log(k[i * B + i]);
    }
    for (size_t j = 0; j < B; j++)
        for (size_t i = j; i < B; i++) {
            double sum = i == j;
            for (size_t l = j; l < i; l++)
                sum -= k[i * B + l] * column[l];
            column[i] = sum / k[i * B + i];
            score += column[i] * column[i];
        }
    return score;
}

uint64_t dn_prompt_left_out(const double *scores, size_t L, double share)
{
    size_t n = dn_max((size_t)lround(share * (double)L), 1);
    uint64_t left_out = UINT64_MAX >> (64 - L);
    for (; n > 0; n--) {
        size_t best = SIZE_MAX;
        for (size_t l = 0; l < L; l++)
            if ((left_out >> l & 1) && (best == SIZE_MAX || scores[l] > scores[best]))
                best = l;
        left_out &= ~(UINT64_C(1) << best);
    }
    return left_out;
}

/* scores [L] of rows [B], a micro-batch. outputs [B*T,C], products [B,B]: room. */
static dn_status score_batch(dn_finetune_run *t, const uint32_t *rows, size_t B, dn_real *outputs, double *products, double *scores)
{
    dn_model *model = t->model.instance.model;
    size_t T, C = t->model.plan.spec.C, L = t->model.plan.spec.L;
    dn_labelled_batch(&t->texts, rows, B, t->inputs, t->targets, &T);
    dn_model_set_length(model, T);
    DN_TRY(dn_model_classify(model, t->inputs, t->targets, B, t->scores, NULL));
    for (size_t l = 0; l + 1 < L; l++) {
        dn_download(t->model.stream, outputs, dn_model_output(model, l + 1), B * T * C);
        DN_TRY(dn_stream_sync(t->model.stream));
        for (size_t i = 0; i < B; i++)
            for (size_t j = 0; j <= i; j++) {
                double sum = 0;
                for (size_t c = 0; c < T * C; c++)
                    sum += (double)outputs[i * T * C + c] * (double)outputs[j * T * C + c];
                products[i * B + j] = products[j * B + i] = sum;
            }
        scores[l] = dn_prompt_score(products, B);
    }
    return DN_OK;
}

/* each [n_clients, L]: this worker's clients' scores, of all others 0. */
static dn_status score_clients(dn_finetune_run *t, double *each, dn_real *outputs, double *products)
{
    size_t L = t->model.plan.spec.L, most = dn_min(t->model.plan.micro_batch, DN_PROMPT_TEXTS);
    uint32_t rows[DN_PROMPT_TEXTS];
    if (!t->partition) { /* all workers the same, as a mesh may need all for a pass */
        size_t n = 0;
        for (uint32_t row = 0; n < dn_min(most, t->n_train); row++)
            if (!dn_labels_held_out(row))
                rows[n++] = row;
        return score_batch(t, rows, n, outputs, products, each);
    }
    for (int client = t->rank; client < t->n_clients; client += t->n_workers) {
        size_t n = dn_min(most, dn_partition_rows(t->partition, client));
        for (size_t i = 0; i < n; i++)
            rows[i] = t->by_client[dn_partition_row(t->partition, client, i)];
        DN_TRY(score_batch(t, rows, n, outputs, products, each + (size_t)client * L));
    }
    return t->comm ? dn_comm_all_reduce_scalars(t->comm, each, (size_t)t->n_clients * L, DN_SUM) : DN_OK;
}

static void tell(const double *scores, size_t L, uint64_t left_out)
{
    char text[DN_PROMPT_BLOCKS * 24] = "";
    size_t at = 0;
    for (size_t l = 0; l < L; l++)
        if (!(left_out >> l & 1))
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%zu (%.6g)", at ? ", " : "", l, scores[l]);
    dn_log(DN_LOG_INFO, "prompts in blocks %s of %zu, by their scores", text, L);
}

dn_status dn_prompt_choose(dn_finetune_run *t, double share_of_blocks, uint64_t *left_out)
{
    const dn_spec *spec = &t->model.plan.spec;
    if (spec->L > DN_PROMPT_BLOCKS)
        return dn_fail(DN_ERR_CONFIG, "--prompt-layers: of %zu blocks; up to %d can be chosen from", spec->L, DN_PROMPT_BLOCKS);
    size_t L = spec->L, n = t->partition ? (size_t)t->n_clients : 1, most = dn_min(t->model.plan.micro_batch, DN_PROMPT_TEXTS);
    double *each = calloc(n * L + L + most * most, sizeof *each), *scores = each + n * L;
    dn_real *outputs = calloc(dn_size_mul(most * spec->T, spec->C), sizeof *outputs);
    dn_status status = each && outputs ? score_clients(t, each, outputs, scores + L) : dn_fail(DN_ERR_MEMORY, "no memory for outputs of a batch");
    for (size_t client = 0; client < n && status == DN_OK; client++) {
        double share = t->partition ? (double)dn_partition_rows(t->partition, (int)client) / (double)t->n_train : 1;
        for (size_t l = 0; l < L; l++)
            scores[l] += share * each[client * L + l];
    }
    if (status == DN_OK) {
        *left_out = dn_prompt_left_out(scores, L, share_of_blocks);
        tell(scores, L, *left_out);
    }
    free(each);
    free(outputs);
    return status;
}
