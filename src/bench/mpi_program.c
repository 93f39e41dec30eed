/* Times collectives of an MPI as `dionode bench comm` times its own: the same numbers written into the same
 * batches of buffers, the same barrier before each sample, the slowest rank's time.
 *
 *     mpirun -np N program SAMPLES WARMUP DIRTY ROOT CHECK REDOP TYPE OP:BYTES:OUT...
 *
 * OUT is 1 for a call out of place. Prints the library's name, then a line a row: the median time of one call
 * or message in seconds, 0 for a collective that MPI lacks, and the share of it that computing hides (of
 * begin-...). A wrong result ends it with status 1. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH_MAX = 64, BATCH_BYTES = 32 << 10, WINDOW = 64, TESTS = 8 };

static int n_samples, n_warmup, dirty, root, check, rank, n_ranks, is_average;
static MPI_Op redop;
static MPI_Datatype type; /* MPI_DATATYPE_NULL: one that MPI lacks */

typedef struct call {
    const char *op;
    void *buffer, *to; /* to: out of place */
    int out;           /* of place */
    size_t count;
    double compute_s, computed_s; /* between begin and wait: asked for, and what it took */
    int *counts, *offsets;        /* of slices, [n_ranks] */
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

static double compute(double seconds)
{
    double begin_s = now_s(), end_s = begin_s;
    volatile double x = begin_s;
    while (end_s - begin_s < seconds) {
        double y = x;
        for (int i = 0; i < 32; i++)
            y = 0.5 * y + 1;
        x = y;
        end_s = now_s();
    }
    return end_s - begin_s;
}

static int compute_and_wait(call *c, MPI_Request *request)
{
    for (int i = 0, done; c->compute_s > 0 && i < TESTS; i++) {
        c->computed_s += compute(c->compute_s / TESTS);
        MPI_Test(request, &done, MPI_STATUS_IGNORE);
    }
    return MPI_Wait(request, MPI_STATUS_IGNORE);
}

static int ping_pong(const call *c)
{
    int n = (int)c->count;
    if (rank == 0)
        MPI_Send(c->buffer, n, c->type, 1, 1, MPI_COMM_WORLD);
    if (rank <= 1)
        MPI_Recv(c->to, n, c->type, 1 - rank, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return rank == 1 ? MPI_Send(c->buffer, n, c->type, 0, 1, MPI_COMM_WORLD) : 0;
}

static int window(const call *c)
{
    MPI_Request requests[WINDOW];
    int n = (int)c->count, word = 0;
    if (rank > 1)
        return 0;
    for (int i = 0; i < WINDOW; i++)
        if (rank == 0)
            MPI_Isend(c->buffer, n, c->type, 1, 1, MPI_COMM_WORLD, &requests[i]);
        else
            MPI_Irecv(c->to, n, c->type, 0, 1, MPI_COMM_WORLD, &requests[i]);
    MPI_Waitall(WINDOW, requests, MPI_STATUSES_IGNORE);
    return rank == 1 ? MPI_Send(&word, 1, MPI_INT, 0, 2, MPI_COMM_WORLD)
                     : MPI_Recv(&word, 1, MPI_INT, 1, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

/* MPI has no broadcast between two buffers: the root copies. */
static int broadcast(const call *c)
{
    int element;
    MPI_Type_size(c->type, &element);
    if (c->out && rank == root)
        memcpy(c->to, c->buffer, c->count * (size_t)element);
    return MPI_Bcast(c->out ? c->to : c->buffer, (int)c->count, c->type, root, MPI_COMM_WORLD);
}

static int run(call *c)
{
    MPI_Request request;
    int n = (int)c->count, element;
    const void *from = c->out ? c->buffer : MPI_IN_PLACE;
    char *to = c->out ? c->to : c->buffer;
    MPI_Type_size(c->type, &element);
    if (is(c, "barrier"))
        return MPI_Barrier(MPI_COMM_WORLD);
    if (is(c, "latency"))
        return ping_pong(c);
    if (is(c, "bandwidth"))
        return window(c);
    if (is(c, "broadcast"))
        return broadcast(c);
    if (is(c, "reduce"))
        return MPI_Reduce(rank == root ? from : c->buffer, rank == root ? to : NULL, n, c->type, redop, root,
                          MPI_COMM_WORLD);
    if (is(c, "reduce-scatter"))
        return MPI_Reduce_scatter(from, to + (c->out ? (size_t)c->offsets[rank] * (size_t)element : 0),
                                  c->counts, c->type, redop, MPI_COMM_WORLD);
    if (is(c, "all-gather"))
        return MPI_Allgatherv(c->out ? (char *)c->buffer + (size_t)c->offsets[rank] * (size_t)element
                                     : MPI_IN_PLACE,
                              c->counts[rank], c->type, to, c->counts, c->offsets, c->type, MPI_COMM_WORLD);
    if (is(c, "all-to-all"))
        return MPI_Alltoall(c->buffer, n / n_ranks, c->type, c->to, n / n_ranks, c->type, MPI_COMM_WORLD);
    if (is(c, "begin-reduce-scatter")) {
        MPI_Ireduce_scatter(from, to, c->counts, c->type, redop, MPI_COMM_WORLD, &request);
        return compute_and_wait(c, &request);
    }
    if (is(c, "begin-all-reduce")) {
        MPI_Iallreduce(from, to, n, c->type, redop, MPI_COMM_WORLD, &request);
        return compute_and_wait(c, &request);
    }
    return MPI_Allreduce(from, to, n, c->type, redop, MPI_COMM_WORLD);
}

static int known(const call *c)
{
    static const char *const ops[] = {
        "barrier",           "broadcast", "reduce",     "reduce-scatter", "all-reduce",
        "all-reduce-shared", "scalars",   "all-gather", "all-to-all",     "begin-reduce-scatter",
        "begin-all-reduce",  "latency",   "bandwidth"};
    int found = 0;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        found = found || is(c, ops[i]);
    return found;
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

/* Only sums of float by an all-reduce, and float messages: enough to know that the measured calls did their
 * work. */
static int wrong(const call *c, uint64_t round)
{
    int n_wrong = 0, message = is(c, "latency") || is(c, "bandwidth"),
        sum = is(c, "all-reduce") || is(c, "begin-all-reduce");
    const float *result = c->out ? c->to : c->buffer;
    if (c->type != MPI_FLOAT || !(message ? rank == 1 : sum && redop == MPI_SUM && !is_average))
        return 0;
    for (size_t i = 0; i < c->count; i++) {
        int expected = 0;
        for (int by = 0; by < (message ? 1 : n_ranks); by++)
            expected += brought(by, round, i);
        n_wrong += result[i] != (float)expected;
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
    for (int i = 0; i < batch; i++) {
        seconds -= calls[i].computed_s;
        calls[i].computed_s = 0;
    }
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

/* On rank 0: the median over samples of the slowest rank's time for one of n_parts calls or messages. */
static double median_of_samples(call *calls, int batch, int n_parts)
{
    double *mine = reserve((size_t)n_samples * sizeof *mine),
           *slowest = reserve((size_t)n_samples * sizeof *mine);
    for (int i = 0; i < n_warmup; i++)
        sample(calls, batch, (uint64_t)i, dirty);
    for (int i = 0; i < n_samples; i++)
        mine[i] = sample(calls, batch, (uint64_t)(n_warmup + i), dirty) / n_parts;
    MPI_Reduce(mine, slowest, n_samples, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    qsort(slowest, (size_t)n_samples, sizeof *slowest, ascending);
    double median = slowest[(n_samples * 50 + 99) / 100 - 1];
    free(mine);
    free(slowest);
    return median;
}

static double measure(const char *op, size_t bytes, int out, double *overlap)
{
    call c = {.op = op, .out = out, .type = strcmp(op, "scalars") == 0 ? MPI_DOUBLE : type};
    *overlap = 0;
    size_t stride = (bytes + 127) / 128 * 128, fit = stride ? BATCH_BYTES / stride : BATCH_MAX;
    int n_messages = is(&c, "latency") ? 2 : is(&c, "bandwidth") ? WINDOW : 1, element;
    int batch = fit > BATCH_MAX ? BATCH_MAX : (int)fit;
    batch = batch > n_messages ? batch / n_messages : 1;
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
    if (out)
        memset(region + stride * (size_t)batch, 0, stride * (size_t)batch);
    int n_parts = batch * n_messages;
    double median = median_of_samples(calls, batch, n_parts);
    if (strncmp(op, "begin-", strlen("begin-")) == 0) {
        double alone_s = median;
        MPI_Bcast(&alone_s, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        for (int i = 0; i < batch; i++)
            calls[i].compute_s = alone_s;
        double left_s = median_of_samples(calls, batch, n_parts);
        *overlap = left_s < alone_s ? 1 - left_s / alone_s : 0;
    }
    if (check) {
        sample(calls, batch, 1000003, 1);
        if (wrong(&calls[0], 1000003))
            MPI_Abort(MPI_COMM_WORLD, 1);
    }
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
        char *end;
        size_t bytes = strtoull(colon + 1, &end, 10);
        double overlap, seconds = measure(argv[i], bytes, atoi(end + 1), &overlap);
        if (rank == 0)
            printf("%.10g %.4g\n", seconds, overlap);
    }
    MPI_Finalize();
    return 0;
}
