/*
 * Fits a matrix of one's own, y = W x, by replicas that step alone: each worker has its own copy of W and its own rows, and
 * what they exchange, and when, a strategy says. Prints how the loss of their mean falls, and what a worker has sent for it.
 *
 *     cc fit_apart.c -o fit_apart $(pkg-config --cflags --libs dionode)
 *     dionode launch -n 4 ./fit_apart
 *     dionode launch -n 4 ./fit_apart streaming "sync_every=10 overlap=3 wire=fp4"
 */
#include <dionode/blas.h>
#include <dionode/strategy.h>

#include <stdio.h>
#include <string.h>

enum { OUT = 24, IN = 16, ROWS = 16, STEPS = 200 };

static dn_real w[OUT][IN], grad[OUT][IN];

/* Pseudo-random numbers from -1/2 to 1/2: of the matrix to be found (k = 0), and of the inputs. */
static dn_real number(unsigned k, unsigned i, unsigned j)
{
    unsigned h = (k * 7919 + i * 31 + j + 1) * 2654435761u;
    h = (h ^ (h >> 15)) * 2246822519u;
    return (dn_real)(h >> 8) / (1 << 24) - (dn_real)0.5;
}

/* Half the squared error of this worker's rows at x; g: its gradient, or NULL. */
static double loss(unsigned worker, dn_real x[OUT][IN], dn_real g[OUT][IN])
{
    double sum = 0;
    if (g)
        memset(g, 0, sizeof grad);
    for (unsigned b = worker * ROWS; b < (worker + 1) * ROWS; b++)
        for (unsigned i = 0; i < OUT; i++) {
            double off = 0;
            for (unsigned j = 0; j < IN; j++)
                off += (x[i][j] - number(0, i, j)) * number(1, b, j);
            for (unsigned j = 0; g && j < IN; j++)
                g[i][j] += (dn_real)(off * number(1, b, j) / ROWS);
            sum += off * off / 2 / ROWS;
        }
    return sum;
}

/* Of the replicas' mean, which stands in their gradients, over the rows of all. */
static dn_status tell(dn_comm *comm, dn_optim *optim, int step, double bytes)
{
    dn_status status = dn_optim_form_consensus(optim);
    double sum = status == DN_OK ? loss((unsigned)dn_comm_rank(comm), grad, NULL) : 0;
    if (status == DN_OK)
        status = dn_comm_all_reduce_scalars(comm, &sum, 1, DN_SUM);
    if (status == DN_OK && dn_comm_rank(comm) == 0)
        printf("step %3d  loss %.6f  %.0f bytes\n", step, sum / dn_comm_size(comm), bytes);
    return status;
}

/* Bytes since the last call; what islands exchange they count themselves. */
static double sent(dn_comm *comm, const dn_optim *optim)
{
    dn_comm *const all[] = {comm, dn_optim_island_comm(optim), dn_optim_across_comm(optim)};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        const dn_comm_stats stats = all[i] ? dn_comm_get_stats(all[i], true) : (dn_comm_stats){0};
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            sum += kind == DN_TRAFFIC_CONTROL ? 0 : (double)stats.payload[kind];
    }
    return sum;
}

static dn_status fit(dn_comm *comm, const dn_strategy_settings *how)
{
    const dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = OUT, .cols = IN},
                                    .kind = DN_PARAM_MATRIX,
                                    .weight = &w[0][0],
                                    .grad = &grad[0][0]};
    const int size[DN_N_AXES] = {dn_comm_size(comm), 1, 1};
    dn_optim_config config = dn_optim_defaults();
    dn_mesh *mesh = NULL;
    dn_optim *optim = NULL;
    dn_optim_report report;
    double bytes = 0;
    config.matrix_rule = "muon";
    dn_status status = dn_mesh_create(comm, size, &mesh);
    if (status == DN_OK)
        status = dn_optim_create_with_strategy(how, &config, &tensor, 1, mesh, 1, &optim);
    for (int step = 0; status == DN_OK && step <= STEPS; step++) {
        if (step % 20 == 0)
            status = tell(comm, optim, step, bytes);
        sent(comm, optim); /* the mean that is told of is not what training needs */
        loss((unsigned)dn_comm_rank(comm), w, grad);
        if (status == DN_OK)
            status = dn_optim_step(optim, (uint64_t)step, 0.03 * (1 - (double)step / STEPS), &report);
        bytes += sent(comm, optim);
    }
    dn_optim_destroy(&optim);
    dn_mesh_destroy(&mesh);
    return status;
}

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "fit_apart: %s\n", line);
}

int main(int argc, char **argv)
{
    const dn_strategy_settings how = {.name = argc > 1 ? argv[1] : "diloco",
                                      .options = argc > 2 ? argv[2] : argc > 1 ? NULL : "sync_every=10",
                                      .n_steps = STEPS + 1};
    dn_comm *comm;
    dn_blas_tune(argv);
    dn_log_set(print_notice, NULL);
    dn_status status = dn_comm_join(16 << 20, 10, &comm);
    if (status == DN_OK)
        status = fit(comm, &how);
    return dn_comm_leave(&comm, status);
}
