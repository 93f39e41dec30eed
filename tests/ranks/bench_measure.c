/* One row of the collectives' benchmark: its bytes, its times, and that a wrong result is counted. */
#include "bench/measure.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

#define MAX_BYTES 65536

static dn_bench_comm_options small(void)
{
    dn_bench_comm_options options = dn_bench_comm_defaults();
    options.max_bytes = MAX_BYTES;
    options.type = "float";
    options.n_samples = 3;
    options.n_warmup = 1;
    return options;
}

/* The first of this name; the next one, if it has the same, is out of place. */
static const dn_bench_op *find(const char *name)
{
    const dn_bench_op *op = dn_bench_ops;
    while (op->name && strcmp(op->name, name) != 0)
        op++;
    return op;
}

/* Runs body as 1 to 4 ranks, threads and processes. */
static void run_as_ranks(ranks_body *body, int least)
{
    dn_bench_comm_options options = small();
    for (int n_ranks = least; n_ranks <= 4; n_ranks++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind,
                               .n_ranks = n_ranks,
                               .arena_bytes =
                                   dn_bench_buffers_bytes(&options) + dn_bench_region_bytes(&options)};
            assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
        }
}

/* ---- sound results ---- */

static int measure_all(dn_comm *comm, void *argument)
{
    (void)argument;
    static const char *const redops[] = {"sum", "avg", "min", "max"};
    static const char *const types[] = {"float", "double", "bfloat16", "int32", "int64"};
    static const size_t sizes[] = {8, 96, 1000, MAX_BYTES};
    dn_bench_comm_options options = small();
    dn_bench_buffers buffers;
    options.root = dn_comm_size(comm) - 1;
    RANKS_CHECK(dn_bench_buffers_make(comm, &options, &buffers) == DN_OK);
    for (const dn_bench_op *op = dn_bench_ops; op->name; op++)
        for (int i = 0; i < 16 && dn_bench_selects(&options, op, dn_comm_size(comm), dn_comm_n_nodes(comm)); i++) {
            dn_bench_row row;
            options.type = types[i % 5];
            options.redop = redops[i / 4];
            size_t unit = dn_bench_unit(&options, op, dn_comm_size(comm));
            size_t bytes = unit ? sizes[i % 4] / unit * unit : 0;
            if (op->max_bytes && bytes > op->max_bytes)
                continue;
            RANKS_CHECK(dn_bench_measure(&buffers, op, &options, bytes, &row) == DN_OK);
            RANKS_CHECK(row.n_wrong == (unit ? 0 : -1));
            RANKS_CHECK(op->overlaps ? row.overlap >= 0 && row.overlap <= 1 : row.overlap == -1);
            RANKS_CHECK(row.bytes == bytes && (!unit || (row.count > 0) == (bytes > 0)));
            RANKS_CHECK(dn_comm_rank(comm) != 0 || (row.time_s.p50 >= 0 && row.time_s.p50 <= row.time_s.p99 &&
                                                    row.time_s.p99 <= row.time_s.max && row.time_s.max < 20));
        }
    dn_bench_buffers_close(&buffers);
    return 0;
}

static void no_collective_gives_a_wrong_value(void **state)
{
    (void)state;
    run_as_ranks(measure_all, 1);
}

/* ---- bytes ---- */

static int compare_bytes(dn_comm *comm, void *argument)
{
    (void)argument;
    const double P = dn_comm_size(comm), S = MAX_BYTES;
    const struct {
        const char *op;
        double moved, copied; /* out of place: what each brings is read and written first */
    } expected[] = {{"broadcast", 2 * (P - 1) * S, 2 * S}, /* each of the others reads and writes S */
                    {"reduce", (P + 1) * S, 2 * P * S},    /* the root reads all and writes one */
                    {"reduce-scatter", (P + 1) * S, 2 * P * S},
                    {"all-reduce", 2 * P * S, 2 * P * S},
                    {"all-gather", 2 * (P - 1) * S, 2 * S}};
    dn_bench_comm_options options = small();
    dn_bench_buffers buffers;
    RANKS_CHECK(dn_bench_buffers_make(comm, &options, &buffers) == DN_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        dn_bench_row row;
        RANKS_CHECK(dn_bench_measure(&buffers, find(expected[i].op), &options, MAX_BYTES, &row) == DN_OK);
        RANKS_CHECK(row.bytes_moved == expected[i].moved);
        RANKS_CHECK(dn_bench_measure(&buffers, find(expected[i].op) + 1, &options, MAX_BYTES, &row) == DN_OK);
        RANKS_CHECK(row.bytes_moved == expected[i].moved + expected[i].copied);
    }
    dn_bench_row row;
    RANKS_CHECK(dn_bench_measure(&buffers, find("latency"), &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(row.bytes_moved == 2 * S); /* one way: the receiver reads and writes */
    RANKS_CHECK(dn_bench_measure(&buffers, find("bandwidth"), &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(row.bytes_moved == 2 * S + 2 * 4.0 / 64); /* and the word at the end of a window */
    dn_bench_buffers_close(&buffers);
    return 0;
}

static void bytes_moved_are_those_of_the_algorithm(void **state)
{
    (void)state;
    run_as_ranks(compare_bytes, 2);
}

/* ---- planted faults ---- */

/* An all-reduce that leaves two wrong elements on the last rank. */
static dn_status run_faulty(dn_bench_call *call)
{
    float *buffer = call->buffer;
    dn_status status =
        dn_comm_all_reduce(call->comm, buffer, call->count, DN_F32, call->redop, DN_TRAFFIC_GRADIENT);
    if (status == DN_OK && dn_comm_rank(call->comm) == dn_comm_size(call->comm) - 1) {
        buffer[1] += 1;
        buffer[call->count - 1] -= 1;
    }
    return status;
}

/* One that does nothing: every element is wrong, for no rank brings only zeros. */
static dn_status run_nothing(dn_bench_call *call)
{
    (void)call;
    return DN_OK;
}

/* An all-reduce out of place that loses its input. */
static dn_status run_overwriting(dn_bench_call *call)
{
    memset(call->to, 0, call->count * sizeof(float));
    call->result = call->to;
    return dn_comm_all_reduce(call->comm, call->buffer, call->count, DN_F32, call->redop,
                              DN_TRAFFIC_GRADIENT);
}

static int count_planted(dn_comm *comm, void *argument)
{
    (void)argument;
    dn_bench_comm_options options = small();
    dn_bench_buffers buffers;
    dn_bench_row row;
    RANKS_CHECK(dn_bench_buffers_make(comm, &options, &buffers) == DN_OK);
    for (int average = 0; average <= 1; average++) {
        dn_bench_op faulty = *find("all-reduce"), nothing = *find("all-reduce");
        faulty.run = run_faulty;
        nothing.run = run_nothing;
        options.redop = average ? "avg" : "sum";
        RANKS_CHECK(dn_bench_measure(&buffers, &faulty, &options, MAX_BYTES, &row) == DN_OK);
        RANKS_CHECK(row.n_wrong == 2);
        options.redop = "sum";
        RANKS_CHECK(dn_bench_measure(&buffers, &nothing, &options, MAX_BYTES, &row) == DN_OK);
        RANKS_CHECK(row.n_wrong == (double)(MAX_BYTES / sizeof(float)) * dn_comm_size(comm));
    }
    const double n = MAX_BYTES / sizeof(float);
    dn_bench_op overwriting = *(find("all-reduce") + 1), silent = *find("latency"),
                one_way = *find("bandwidth");
    overwriting.run = run_overwriting;
    overwriting.place = DN_BENCH_TWO_BUFFERS;
    silent.run = one_way.run = run_nothing;
    RANKS_CHECK(dn_bench_measure(&buffers, &overwriting, &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(row.n_wrong == 2 * n * dn_comm_size(comm)); /* no result, and no input */
    RANKS_CHECK(dn_bench_measure(&buffers, &silent, &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(row.n_wrong == 2 * n);
    RANKS_CHECK(dn_bench_measure(&buffers, &one_way, &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(row.n_wrong == n);
    dn_bench_buffers_close(&buffers);
    return 0;
}

/* ---- computing between begin and finish ---- */

/* with[0] and with[1] count the calls that had nothing to compute, and those that had some. */
static dn_status run_computing(dn_bench_call *call)
{
    static _Thread_local int with[2];
    with[call->compute_s > 0]++;
    call->result = with;
    return dn_comm_barrier(call->comm);
}

static int compute_beside(dn_comm *comm, void *argument)
{
    (void)argument;
    dn_bench_comm_options options = small();
    dn_bench_buffers buffers;
    dn_bench_row row;
    dn_bench_op computing = *find("begin-all-reduce");
    const int *with;
    dn_bench_call call = {.comm = comm};
    computing.run = run_computing;
    options.check = false;
    RANKS_CHECK(dn_bench_buffers_make(comm, &options, &buffers) == DN_OK);
    RANKS_CHECK(dn_bench_measure(&buffers, &computing, &options, MAX_BYTES, &row) == DN_OK);
    RANKS_CHECK(run_computing(&call) == DN_OK);
    with = call.result;
    RANKS_CHECK(with[0] == options.n_warmup + options.n_samples + 1); /* the call above is the last */
    RANKS_CHECK(with[1] == options.n_warmup + options.n_samples + 1); /* the sample that is inspected */
    dn_bench_buffers_close(&buffers);
    return 0;
}

static void all_ranks_compute_in_a_second_series(void **state)
{
    (void)state;
    run_as_ranks(compute_beside, 2);
}

static void planted_wrong_values_are_counted(void **state)
{
    (void)state;
    run_as_ranks(count_planted, 2);
}

TESTS(bench_measure)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_collective_gives_a_wrong_value),
        cmocka_unit_test(bytes_moved_are_those_of_the_algorithm),
        cmocka_unit_test(planted_wrong_values_are_counted),
        cmocka_unit_test(all_ranks_compute_in_a_second_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
