/*
 * Ten steps of each rule in C, which optimizer.py repeats from Python: prints the name of the rule and the
 * bits of all weights. Alone, or as a worker of `dionode launch`.
 */
#include <dionode/optim.h>

#include <stdio.h>
#include <string.h>

enum { ROWS = 24, COLS = 16, STEPS = 10 };

/* The k-th set of numbers: multiples of 2^-24 from -1/2 to 1/2, exact in a float. */
static float number(unsigned k, unsigned i)
{
    unsigned h = (k * 7919 + i + 1) * 2654435761u;
    h = (h ^ (h >> 15)) * 2246822519u;
    return (float)(h >> 8) / (1 << 24) - 0.5f;
}

static float weight[ROWS * COLS + COLS], grad[ROWS * COLS + COLS];

static dn_status step_all(dn_comm *comm, const char *rule)
{
    dn_optim_config config = dn_optim_defaults();
    const dn_optim_tensor tensors[] = {{.tensor = {.name = "0", .rows = ROWS, .cols = COLS},
                                        .kind = DN_PARAM_MATRIX,
                                        .weight = weight,
                                        .grad = grad},
                                       {.tensor = {.name = "1", .rows = COLS, .cols = 1},
                                        .kind = DN_PARAM_VECTOR,
                                        .weight = weight + ROWS * COLS,
                                        .grad = grad + ROWS * COLS}};
    const int n_ranks = dn_comm_size(comm), size[DN_N_AXES] = {n_ranks, 1, 1};
    const unsigned n = sizeof weight / sizeof *weight, rank = (unsigned)dn_comm_rank(comm);
    dn_mesh *mesh = NULL;
    dn_optim *optim = NULL;
    dn_optim_report report;
    config.matrix_rule = rule;
    for (unsigned i = 0; i < n; i++)
        weight[i] = number(0, i);
    dn_status status = dn_mesh_create(comm, size, &mesh);
    if (status == DN_OK)
        status = dn_optim_create(&config, tensors, 2, n_ranks > 1 ? mesh : NULL, 1, &optim);
    for (unsigned step = 0; status == DN_OK && step < STEPS; step++) {
        for (unsigned i = 0; i < n; i++)
            grad[i] = number(1 + step * (unsigned)n_ranks + rank, i);
        status = dn_optim_step(optim, step, 0.02 * (STEPS - (int)step), &report);
    }
    dn_optim_destroy(&optim);
    dn_mesh_destroy(&mesh);
    return status;
}

static void print(const char *rule)
{
    uint32_t bits[sizeof weight / sizeof *weight];
    memcpy(bits, weight, sizeof bits);
    printf("%s", rule);
    for (unsigned i = 0; i < sizeof bits / sizeof *bits; i++)
        printf(" %08x", (unsigned)bits[i]);
    printf("\n");
}

int main(void)
{
    dn_comm *comm;
    const dn_rule_info *rule;
    dn_status status = dn_comm_join(32 << 20, 60, &comm);
    for (size_t i = 0; status == DN_OK && (rule = dn_rule_at(i)); i++) {
        status = step_all(comm, rule->name);
        if (status == DN_OK && dn_comm_rank(comm) == 0)
            print(rule->name);
    }
    return dn_comm_leave(&comm, status);
}
