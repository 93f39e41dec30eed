/* Times collectives of an MPI as `dionode bench comm` times its own: the same numbers written into the same
 * batches of buffers, the same barrier before each sample, the slowest rank's time.
 *
 *     mpirun -np N program SAMPLES WARMUP DIRTY ROOT CHECK REDOP TYPE OP:BYTES...
 *
 * Prints the library's name, then a line a row: the median time of one call in seconds, 0 for a collective
 * that MPI lacks. A wrong result ends it with status 1. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH_MAX = 64, BATCH_BYTES = 32 << 10 };

static int n_samples, n_warmup, dirty, root, check, rank, n_ranks, is_average;
static MPI_Op redop;
static MPI_Datatype type; /* MPI_DATATYPE_NULL: one that MPI lacks */

typedef struct call {
    const char *op;
    void *buffer, *to; /* to: of all-to-all */
    size_t count;
    int *counts, *offsets; /* of slices, [n_ranks] */
    MPI_Datatype type;
} call;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int is(const call *c, const char *op)
{
    return strcmp(c->op, op) == 0;
}

static int run(const call *c)
{
    int n = (int)c->count;
    if (is(c, "barrier"))
        return MPI_Barrier(MPI_COMM_WORLD);
    if (is(c, "broadcast"))
        return MPI_Bcast(c->buffer, n, c->type, root, MPI_COMM_WORLD);
    if (is(c, "reduce"))
        return MPI_Reduce(rank == root ? MPI_IN_PLACE : c->buffer, rank == root ? c->buffer : NULL, n,
                          c->type, redop, root, MPI_COMM_WORLD);
    if (is(c, "reduce-scatter"))
        return MPI_Reduce_scatter(MPI_IN_PLACE, c->buffer, c->counts, c->type, redop, MPI_COMM_WORLD);
    if (is(c, "all-gather"))
        return MPI_Allgatherv(MPI_IN_PLACE, 0, c->type, c->buffer, c->counts, c->offsets, c->type,
                              MPI_COMM_WORLD);
    if (is(c, "all-to-all"))
        return MPI_Alltoall(c->buffer, n / n_ranks, c->type, c->to, n / n_ranks, c->type, MPI_COMM_WORLD);
    return MPI_Allreduce(MPI_IN_PLACE, c->buffer, n, c->type, redop, MPI_COMM_WORLD);
}

static int known(const call *c)
{
    return is(c, "barrier") || is(c, "broadcast") || is(c, "reduce") || is(c, "reduce-scatter") ||
           is(c, "all-reduce") || is(c, "all-reduce-shared") || is(c, "scalars") || is(c, "all-gather") ||
           is(c, "all-to-all");
}

static int brought(int by, uint64_t round, size_t i)
{
    return (int)((5 * i + 17 * (uint64_t)by + 29 * round) % 128 + 1);
}

static void write_buffer(const call *c, uint64_t round)
{
    float *f = c->buffer;
    double *d = c->buffer;
    int32_t *i32 = c->buffer;
    int64_t *i64 = c->buffer;
    for (size_t i = 0; c->type == MPI_DOUBLE && i < c->count; i++)
        d[i] = brought(rank, round, i);
    for (size_t i = 0; c->type == MPI_FLOAT && i < c->count; i++)
        f[i] = (float)brought(rank, round, i);
    for (size_t i = 0; c->type == MPI_INT32_T && i < c->count; i++)
        i32[i] = brought(rank, round, i);
    for (size_t i = 0; c->type == MPI_INT64_T && i < c->count; i++)
        i64[i] = brought(rank, round, i);
}

/* Only sums of float by an all-reduce: enough to know that the measured calls did their work. */
static int wrong(const call *c, uint64_t round)
{
    int n_wrong = 0;
    if (!is(c, "all-reduce") || c->type != MPI_FLOAT || redop != MPI_SUM || is_average)
        return 0;
    for (size_t i = 0; i < c->count; i++) {
        int expected = 0;
        for (int by = 0; by < n_ranks; by++)
            expected += brought(by, round, i);
        n_wrong += ((float *)c->buffer)[i] != (float)expected;
    }
    return n_wrong;
}

static double sample(call *calls, int batch, uint64_t round, int write)
{
    for (int i = 0; write && i < batch; i++)
        write_buffer(&calls[i], round + (uint64_t)i);
    MPI_Barrier(MPI_COMM_WORLD);
    double start = now_s();
    for (int i = 0; i < batch; i++)
        run(&calls[i]);
    double seconds = now_s() - start;
    MPI_Barrier(MPI_COMM_WORLD);
    return seconds;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *reserve(size_t bytes)
{
    void *p = bytes ? malloc(bytes) : NULL;
    if (bytes && !p) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    return p;
}

/* Slices as equal as can be. */
static void cut(call *c)
{
    c->counts = reserve((size_t)n_ranks * sizeof *c->counts);
    c->offsets = reserve((size_t)n_ranks * sizeof *c->offsets);
    for (int i = 0; i < n_ranks; i++) {
        c->offsets[i] = (int)(c->count * (size_t)i / (size_t)n_ranks);
        c->counts[i] = (int)(c->count * ((size_t)i + 1) / (size_t)n_ranks) - c->offsets[i];
    }
}

static double measure(const char *op, size_t bytes)
{
    call c = {.op = op, .type = strcmp(op, "scalars") == 0 ? MPI_DOUBLE : type};
    size_t stride = (bytes + 127) / 128 * 128, fit = stride ? BATCH_BYTES / stride : BATCH_MAX;
    int batch = fit > BATCH_MAX ? BATCH_MAX : fit > 1 ? (int)fit : 1, element;
    if (!known(&c) || c.type == MPI_DATATYPE_NULL)
        return 0;
    MPI_Type_size(c.type, &element);
    c.count = is(&c, "barrier") ? 0 : bytes / (size_t)element;
    if (c.count > INT32_MAX)
        return 0;
    cut(&c);
    char *region = reserve(2 * stride * (size_t)batch);
    call calls[BATCH_MAX];
    for (int i = 0; i < batch; i++) {
        calls[i] = c;
        calls[i].buffer = region + stride * (size_t)i;
        calls[i].to = region + stride * (size_t)(batch + i);
        write_buffer(&calls[i], 0);
    }
    if (is(&c, "all-to-all"))
        memset(region + stride * (size_t)batch, 0, stride * (size_t)batch);
    double *mine = reserve((size_t)n_samples * sizeof *mine),
           *slowest = reserve((size_t)n_samples * sizeof *mine);
    for (int i = 0; i < n_warmup; i++)
        sample(calls, batch, (uint64_t)i, dirty);
    for (int i = 0; i < n_samples; i++)
        mine[i] = sample(calls, batch, (uint64_t)(n_warmup + i), dirty) / batch;
    MPI_Reduce(mine, slowest, n_samples, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (check) {
        sample(calls, batch, 1000003, 1);
        if (wrong(&calls[0], 1000003))
            MPI_Abort(MPI_COMM_WORLD, 1);
    }
    qsort(slowest, (size_t)n_samples, sizeof *slowest, ascending);
    double median = slowest[(n_samples * 50 + 99) / 100 - 1];
    free(mine);
    free(slowest);
    free(region);
    free(c.counts);
    free(c.offsets);
    return median;
}

int main(int argc, char **argv)
{
    char name[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    if (argc < 8)
        MPI_Abort(MPI_COMM_WORLD, 2);
    n_samples = atoi(argv[1]);
    n_warmup = atoi(argv[2]);
    dirty = atoi(argv[3]);
    root = atoi(argv[4]);
    check = atoi(argv[5]);
    is_average = strcmp(argv[6], "avg") == 0;
    redop = strcmp(argv[6], "min") == 0 ? MPI_MIN : strcmp(argv[6], "max") == 0 ? MPI_MAX : MPI_SUM;
    type = strcmp(argv[7], "float") == 0    ? MPI_FLOAT
           : strcmp(argv[7], "double") == 0 ? MPI_DOUBLE
           : strcmp(argv[7], "int32") == 0  ? MPI_INT32_T
           : strcmp(argv[7], "int64") == 0  ? MPI_INT64_T
                                            : MPI_DATATYPE_NULL;
    MPI_Get_library_version(name, &length);
    name[strcspn(name, ",\n")] = 0;
    if (rank == 0)
        printf("%s\n", name);
    for (int i = 8; i < argc; i++) {
        char *colon = strchr(argv[i], ':');
        *colon = 0;
        double seconds = measure(argv[i], strtoull(colon + 1, NULL, 10));
        if (rank == 0)
            printf("%.10g\n", seconds);
    }
    MPI_Finalize();
    return 0;
}
