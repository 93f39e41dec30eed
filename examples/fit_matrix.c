/*
 * Fits a matrix of one's own, y = W x, by Dion. Workers share the rows of the batch, each has its own copy of
 * W, and they exchange low-rank factors instead of gradients. Prints how the loss falls: with any number of
 * workers in the same way.
 *
 *     cc fit_matrix.c -o fit_matrix $(pkg-config --cflags --libs dionode)
 *     ./fit_matrix
 *     dionode launch -n 4 ./fit_matrix
 */
#include <dionode/blas.h>
#include <dionode/optim.h>

#include <stdio.h>
#include <string.h>

enum { OUT = 24, IN = 16, BATCH = 64, STEPS = 400 };

static dn_real w[OUT][IN], grad[OUT][IN];

/* Pseudo-random numbers from -1/2 to 1/2: of the matrix to be found (k = 0), and of the inputs. */
static dn_real number(unsigned k, unsigned i, unsigned j)
{
    unsigned h = (k * 7919 + i * 31 + j + 1) * 2654435761u;
    h = (h ^ (h >> 15)) * 2246822519u;
    return (dn_real)(h >> 8) / (1 << 24) - (dn_real)0.5;
}

/* Half the squared error of this worker's rows, and its gradient: both such that their mean over workers is
 * the mean over the batch. */
static double loss(int worker, int n_workers)
{
    double sum = 0, share = (double)n_workers / BATCH;
    memset(grad, 0, sizeof grad);
    for (unsigned b = (unsigned)worker; b < BATCH; b += (unsigned)n_workers) {
        for (unsigned i = 0; i < OUT; i++) {
            double off = 0;
            for (unsigned j = 0; j < IN; j++)
                off += (w[i][j] - number(0, i, j)) * number(1, b, j);
            for (unsigned j = 0; j < IN; j++)
                grad[i][j] += (dn_real)(share * off * number(1, b, j));
            sum += share * off * off / 2;
        }
    }
    return sum;
}

static dn_status fit(dn_comm *comm)
{
    const dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = OUT, .cols = IN},
                                    .kind = DN_PARAM_MATRIX,
                                    .weight = &w[0][0],
                                    .grad = &grad[0][0]};
    const dn_optim_config config = dn_optim_defaults();
    const int rank = dn_comm_rank(comm), n = dn_comm_size(comm), size[DN_N_AXES] = {n, 1, 1};
    dn_mesh *mesh = NULL;
    dn_optim *optim = NULL;
    dn_optim_report report;
    dn_status status = dn_mesh_create(comm, size, &mesh);
    if (status == DN_OK)
        status = dn_optim_create(&config, &tensor, 1, mesh, 1, &optim);
    for (int step = 0; status == DN_OK && step <= STEPS; step++) {
        double mean = loss(rank, n) / n;
        status = dn_comm_all_reduce_scalars(comm, &mean, 1, DN_SUM);
        if (status == DN_OK && rank == 0 && step % 40 == 0)
            printf("step %3d  loss %.6f\n", step, mean);
        if (status == DN_OK)
            status = dn_optim_step(optim, (uint64_t)step, 0.03 * (1 - (double)step / STEPS), &report);
    }
    dn_optim_destroy(&optim);
    dn_mesh_destroy(&mesh);
    return status;
}

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "fit_matrix: %s\n", line);
}

int main(int argc, char **argv)
{
    dn_comm *comm;
    (void)argc;
    dn_blas_tune(argv);
    dn_log_set(print_notice, NULL);
    dn_status status = dn_comm_join(16 << 20, 10, &comm);
    if (status == DN_OK)
        status = fit(comm);
    return dn_comm_leave(&comm, status);
}
