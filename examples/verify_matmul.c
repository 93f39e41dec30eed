/*
 * A matrix product of one's own, y = x W^T, sharded over a mesh: dp deals out the rows of x, fs the columns
 * of x and W (whose products are summed), tp the rows of W. No size divides evenly. Is it what one rank
 * computes?
 *
 *     cc verify_matmul.c -o verify_matmul $(pkg-config --cflags --libs dionode)
 *     dionode launch -n 8 ./verify_matmul          every mesh of up to 8 ranks: exit status 0
 *     dionode launch -n 8 ./verify_matmul --bug    with a bug that people make: exit status 9
 */
#include <dionode/verify.h>

#include <stdio.h>
#include <string.h>

enum { BATCH = 13, IN = 7, OUT = 10, MAX_RANKS = 8 };

/* Any element of the whole matrices: no rank needs more than its part. */
static dn_real x_at(size_t row, size_t col)
{
    return (dn_real)((row * 31 + col * 17) % 23) / 23 - (dn_real)0.5;
}

static dn_real w_at(size_t row, size_t col)
{
    return (dn_real)((row * 13 + col * 29) % 19) / 19 - (dn_real)0.5;
}

/* This rank's part of y, from its columns of x and W. */
static void multiply(dn_block y, dn_range rows_of_x, dn_range columns, size_t first_of_w, dn_real *out)
{
    for (size_t i = 0; i < y.rows; i++) {
        for (size_t j = 0; j < y.cols; j++) {
            dn_real sum = 0;
            for (size_t k = 0; k < columns.end - columns.first; k++)
                sum += x_at(rows_of_x.first + i, columns.first + k) * w_at(y.col0 + j, first_of_w + k);
            out[i * y.cols + j] = sum;
        }
    }
}

static dn_status forward(dn_verify *v, const dn_mesh *mesh, void *context)
{
    const bool *bug = context;
    const dn_verify_tensor whole = {
        .line = "forward",
        .tensor = {"y", BATCH, OUT, DN_REAL, .row_sharding = {DN_DP, 1}, .col_sharding = {DN_TP, 1}},
        .replicated = DN_AXIS(DN_FS)};
    dn_block block = dn_tensor_block(&whole.tensor, mesh->size, mesh->at);
    dn_range rows = {block.row0, block.row0 + block.rows};
    dn_range sums = dn_shard_range(IN, 1, mesh->size[DN_FS], mesh->at[DN_FS]);
    size_t count = block.rows * block.cols, first_of_w = sums.first;
    if (*bug) /* right only where parts are even: 7 columns over 2 ranks are 4 and 3 */
        first_of_w = (size_t)mesh->at[DN_FS] * (IN / (size_t)mesh->size[DN_FS]);

    void *y;
    dn_comm *fs = dn_mesh_comm(mesh, DN_AXIS(DN_FS));
    dn_status status = dn_comm_alloc(mesh->all, BATCH * OUT * sizeof(dn_real), &y);
    if (status != DN_OK)
        return status;
    multiply(block, rows, sums, first_of_w, y);
    status = dn_comm_all_reduce(fs, y, count, DN_REAL, DN_SUM, DN_TRAFFIC_ACTIVATIONS);
    if (status == DN_OK)
        status = dn_verify_block(v, &whole, block, y);
    if (status == DN_OK)
        status = dn_verify_same(v, "replicas", "y", fs, y, count * sizeof(dn_real));
    return status;
}

static void print_notice(void *context, dn_log_level level, const char *line)
{
    (void)context, (void)level;
    fprintf(stderr, "verify_matmul: %s\n", line);
}

int main(int argc, char **argv)
{
    dn_comm *comm;
    dn_verify_report *report = NULL;
    bool bug = argc > 1 && strcmp(argv[1], "--bug") == 0;
    dn_verify_options options = dn_verify_defaults();
    options.heap_bytes = options.reference_bytes = 4096;
    dn_log_set(print_notice, NULL);
    dn_status status = dn_comm_join(dn_verify_heap_bytes(&options, MAX_RANKS), 10, &comm);
    if (status == DN_OK)
        status = dn_verify_run(comm, &options, forward, &bug, &report);
    if (status == DN_OK && dn_comm_rank(comm) == 0) { /* one tells; who left with an error would end all */
        dn_verify_print(report, stdout);
        status = dn_verify_status(report);
    }
    dn_verify_report_destroy(&report);
    return dn_comm_leave(&comm, status);
}
