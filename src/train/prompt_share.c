/*
 * How many layers FedPepTAO gives prompts (Che et al., arXiv 2310.15080; of its authors' code, which was read): as much of all as of the
 * spectrum of the loss's Hessian lies above its bulk near 0. When a few versions of prompts in all layers are trained, a client makes
 * 50 steps of Lanczos from a vector of random signs on the Hessian of a batch's loss, by what is trained; eigenvalues and weights of that
 * are the spectrum, a little blurred, and where the share above t is flat in t it is the share of layers. The mean of the clients' is the
 * run's. Then all begins anew.
 *
 * This project's choices: a product with the Hessian is a central difference of gradients; what a normal distribution has above t is
 * integrated, not added up in 10,000 cells; all clients take part, and count by their texts;
 * the versions before are made by the run's own strategy, where theirs are plain means.
 */
#include "train/prompt_share.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "linalg/lanczos.h"
#include "strategy/strategy.h"
#include "train/clients.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a share of a spectrum ---- */

static double above(double t, const double *nodes, const double *weights, size_t n, double deviation)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += weights[i] * erfc((t - nodes[i]) / (deviation * sqrt(2))) / 2;
    return sum;
}

double dn_prompt_share(const double *nodes, const double *weights, size_t n)
{
    double least = nodes[0], most = nodes[0];
    for (size_t i = 1; i < n; i++) {
        least = fmin(least, nodes[i]);
        most = fmax(most, nodes[i]);
    }
    double deviation = sqrt(1e-5 * fmax(1, most - least)), at_0 = above(0, nodes, weights, n, deviation);
    for (double step = 0.1;; step /= 2) { /* in steps that are short enough all changes are small */
        double last = at_0;
        int n_flat = 0;
        for (double t = step; last >= at_0 / 2; t += step) {
            double share = above(t, nodes, weights, n, deviation);
            n_flat = fabs(share - last) < 0.005 ? n_flat + 1 : 0;
            last = share;
            if (n_flat == 3 && share >= at_0 / 2)
                return share;
        }
    }
}

/* ---- the spectrum of a client's Hessian ---- */

typedef struct hessian {
    dn_finetune_run *run;
    const uint32_t *rows; /* [n_rows] */
    size_t n_rows, n;     /* numbers that are trained */
    dn_real *weights;     /* [n] where it is taken */
    dn_real *room;        /* [n] */
    double reach;         /* of differences */
} hessian;

/* All that is trained, one after the other, in host memory, from the model or to it. */
static dn_status transfer(const hessian *h, dn_real *numbers, bool gradient, bool to_model)
{
    const dn_instance *instance = &h->run->model.instance;
    for (size_t i = 0; i < instance->plan->n_trained; i++) {
        const dn_param *p = &instance->trained[i];
        dn_buf *x = gradient ? p->grad : p->weight;
        if (to_model)
            dn_upload(instance->stream, x, numbers, dn_param_size(p));
        else
            dn_download(instance->stream, numbers, x, dn_param_size(p));
        numbers += dn_param_size(p);
    }
    return dn_stream_sync(instance->stream);
}

/* sum += (gradient at weights + by * direction) / (2 by) */
static dn_status add_gradient(const hessian *h, const double *direction, double by, double *sum)
{
    double loss;
    for (size_t i = 0; i < h->n; i++)
        h->room[i] = (dn_real)((double)h->weights[i] + by * direction[i]);
    DN_TRY(transfer(h, h->room, false, true));
    DN_TRY(dn_finetune_gradient(h->run, h->rows, h->n_rows, &loss));
    DN_TRY(transfer(h, h->room, true, false));
    for (size_t i = 0; i < h->n; i++)
        sum[i] += (double)h->room[i] / (2 * by);
    return DN_OK;
}

static dn_status product(void *context, const double *in, double *out)
{
    const hessian *h = context;
    if (h->run->comm && dn_comm_stop_requested(h->run->comm))
        return DN_FINETUNE_STOPPED;
    memset(out, 0, h->n * sizeof *out);
    DN_TRY(add_gradient(h, in, h->reach, out));
    return add_gradient(h, in, -h->reach, out);
}

/* Of what is trained, as it is; closed by free(h->weights), also after an error. */
static dn_status open(hessian *h, dn_finetune_run *run)
{
    double norm = 0;
    *h = (hessian){.run = run, .n = run->model.plan.n_trained_elements};
    h->weights = calloc(2 * h->n, sizeof *h->weights);
    if (!h->weights)
        return dn_fail(DN_ERR_MEMORY, "no memory for a product with a Hessian of %zu numbers", h->n);
    h->room = h->weights + h->n;
    DN_TRY(transfer(h, h->weights, false, false));
    for (size_t i = 0; i < h->n; i++)
        norm += (double)h->weights[i] * (double)h->weights[i];
    h->reach = cbrt(DN_REAL_EPS) * (1 + sqrt(norm)); /* where rounding of gradients and curvature of theirs weigh alike */
    return DN_OK;
}

static dn_status spectrum(hessian *h, const uint32_t *rows, size_t n_rows, const double *start, double *nodes, double *weights, size_t *n)
{
    h->rows = rows;
    h->n_rows = n_rows;
    return dn_lanczos(h->n, dn_min(DN_SHARE_PRODUCTS, h->n), product, h, start, nodes, weights, n);
}

dn_status dn_prompt_spectrum(dn_finetune_run *run, const uint32_t *rows, size_t n_rows, const double *start, double *nodes, double *weights,
                             size_t *n_nodes)
{
    hessian h;
    dn_status status = open(&h, run);
    if (status == DN_OK)
        status = spectrum(&h, rows, n_rows, start, nodes, weights, n_nodes);
    free(h.weights);
    return status;
}

static dn_status share_of_client(hessian *h, int client, double *start, double *share)
{
    const dn_finetune_run *t = h->run;
    uint32_t rows[DN_SHARE_TEXTS];
    double nodes[DN_SHARE_PRODUCTS], weights[DN_SHARE_PRODUCTS];
    size_t n, n_rows = dn_min(DN_SHARE_TEXTS, dn_partition_rows(t->partition, client));
    for (size_t i = 0; i < n_rows; i++)
        rows[i] = t->by_client[dn_partition_row(t->partition, client, i)];
    uint64_t seed = dn_random_bits((uint64_t)t->config.seed, DN_STREAM_CURVATURE, (uint64_t)client);
    for (size_t i = 0; i < h->n; i++)
        start[i] = dn_random_bits(seed, 0, i) & 1 ? 1 : -1;
    dn_status status = spectrum(h, rows, n_rows, start, nodes, weights, &n);
    if (status == DN_ERR_NUMERIC)
        return dn_fail(status, "client %d: the loss has no finite curvature; lower lr, or say --prompt-layers SHARE", client);
    DN_TRY(status);
    *share = dn_prompt_share(nodes, weights, n);
    return DN_OK;
}

/* shares [n_clients]: of this worker's clients, of all others 0. */
static dn_status share_of_clients(dn_finetune_run *t, double *start, double *shares)
{
    hessian h;
    dn_status status = open(&h, t);
    for (int client = t->rank; client < t->n_clients && status == DN_OK; client += t->n_workers)
        status = share_of_client(&h, client, start, &shares[client]);
    free(h.weights);
    return status;
}

size_t dn_prompt_share_bytes(size_t n)
{
    size_t of_number = 2 * sizeof(dn_real) + (DN_SHARE_PRODUCTS + 2) * sizeof(double); /* weights, room; the basis, next, start */
    return dn_size_mul(n, of_number);
}

dn_status dn_prompt_measure_share(dn_finetune_run *t, double *share)
{
    size_t n = t->model.plan.n_trained_elements, n_clients = (size_t)t->n_clients;
    double *start = calloc(n + n_clients, sizeof *start), *shares = start + n;
    dn_status status = start ? share_of_clients(t, start, shares) : dn_fail(DN_ERR_MEMORY, "no memory for a vector of %zu numbers", n);
    if (status == DN_FINETUNE_STOPPED) /* on this worker alone */
        status = DN_OK;
    if (status == DN_OK)
        status = dn_finetune_pass_on(t);
    if (status == DN_OK && t->comm)
        status = dn_comm_all_reduce_scalars(t->comm, shares, n_clients, DN_SUM);
    *share = 0;
    for (size_t client = 0; client < n_clients && status == DN_OK; client++)
        *share += shares[client] * (double)dn_partition_rows(t->partition, (int)client) / (double)t->n_train;
    free(start);
    return status;
}
