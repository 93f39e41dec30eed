/* Every collective on random numbers against a plain reference, bit for bit, for 1 to 8 ranks, with its
 * bytes. */
#include "base/random.h"
#include "support/ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX_RANKS 8
#define MAX_COUNT 5003

/* None, one, around a cache line of either precision, several slices, several chunks. */
static const size_t counts[] = {0, 1, 7, 16, 17, 33, 1000, MAX_COUNT};
#define N_COUNTS (sizeof counts / sizeof *counts)
static const dn_op ops[] = {DN_SUM, DN_AVG, DN_MIN, DN_MAX};
#define N_OPS (sizeof ops / sizeof *ops)

/* Normal numbers of every rank, drawn once, before there are ranks. A call uses them from element `call` on.
 */
static dn_real drawn[MAX_RANKS][MAX_COUNT + N_COUNTS * N_OPS];

static int draw_all(void **state)
{
    (void)state;
    for (int rank = 0; rank < MAX_RANKS; rank++)
        dn_random_normal(3, (uint64_t)rank, 0, sizeof *drawn / sizeof **drawn, 1.0, drawn[rank]);
    return 0;
}

/* What a rank brings to call number `call`. */
static const dn_real *brought(uint64_t call, int rank)
{
    return &drawn[rank][call];
}

static dn_real combined(dn_real a, dn_real b, dn_op op)
{
    switch (op) {
    case DN_MIN:
        return b < a ? b : a;
    case DN_MAX:
        return b > a ? b : a;
    default:
        return a + b;
    }
}

/* out [n]: the reduction in rank order, one element after the other. */
static void reference(uint64_t call, int n_ranks, size_t n, dn_op op, dn_real *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = brought(call, 0)[i];
        for (int rank = 1; rank < n_ranks; rank++)
            out[i] = combined(out[i], brought(call, rank)[i], op);
        if (op == DN_AVG)
            out[i] *= 1 / (dn_real)n_ranks;
    }
}

static bool equal(const dn_real *a, const dn_real *b, size_t n)
{
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

/* Lets ranks come in an order that changes from call to call. */
static void come_late(const dn_comm *comm, uint64_t call)
{
    if ((call + (uint64_t)dn_comm_rank(comm)) % 3 == 0)
        usleep(50);
}

static int check_bytes(dn_comm *comm, dn_traffic kind, size_t payload, size_t moved)
{
    dn_ledger ledger = dn_comm_ledger(comm, true);
    bool alone = dn_comm_size(comm) == 1;
    for (int k = 0; k < DN_N_TRAFFIC; k++) {
        bool counted = k == (int)kind && !alone;
        RANKS_CHECK(ledger.payload[k] == (counted ? payload : 0));
        RANKS_CHECK(ledger.moved[k] == (counted ? moved : 0));
    }
    return 0;
}

static size_t slice_bytes(const dn_comm *comm, size_t count, size_t *first, size_t *end)
{
    dn_comm_slice(comm, count, dn_comm_rank(comm), first, end);
    return (*end - *first) * sizeof(dn_real);
}

/* Calls a test body for every count and op. */
typedef int one_call(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op);

static int for_all_calls(dn_comm *comm, void *argument)
{
    one_call *const *body = argument;
    void *buffer;
    RANKS_CHECK(dn_comm_alloc(comm, MAX_COUNT * sizeof(dn_real), &buffer) == DN_OK);
    for (size_t c = 0; c < N_COUNTS; c++)
        for (size_t o = 0; o < N_OPS; o++) {
            uint64_t call = c * N_OPS + o;
            memcpy(buffer, brought(call, dn_comm_rank(comm)), counts[c] * sizeof(dn_real));
            come_late(comm, call);
            if ((*body)(comm, buffer, call, counts[c], ops[o]) != 0)
                return 1;
            RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        }
    return 0;
}

static void run_for_all_sizes(one_call *body)
{
    for (int n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = 1 << 20};
            assert_int_equal(ranks_run(&spec, for_all_calls, &body, NULL), 0);
        }
}

/* ---- all-reduce ---- */

static int all_reduce_once(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op)
{
    dn_real expected[MAX_COUNT];
    size_t first, end, P = (size_t)dn_comm_size(comm), mine = slice_bytes(comm, n, &first, &end);
    RANKS_CHECK(dn_comm_all_reduce(comm, buffer, n, op, DN_TRAFFIC_GRADIENT) == DN_OK);
    reference(call, (int)P, n, op, expected);
    RANKS_CHECK(equal(buffer, expected, n));
    return check_bytes(comm, DN_TRAFFIC_GRADIENT, n * sizeof(dn_real), 2 * P * mine);
}

static void all_reduce_gives_all_ranks_the_bits_of_the_sum_in_rank_order(void **state)
{
    (void)state;
    run_for_all_sizes(all_reduce_once);
}

/* ---- reduce-scatter ---- */

static int reduce_scatter_once(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op)
{
    dn_real expected[MAX_COUNT];
    const dn_real *before = brought(call, dn_comm_rank(comm));
    size_t first, end, P = (size_t)dn_comm_size(comm), mine = slice_bytes(comm, n, &first, &end);
    RANKS_CHECK(dn_comm_reduce_scatter(comm, buffer, n, op, DN_TRAFFIC_MOMENTUM) == DN_OK);
    reference(call, (int)P, n, op, expected);
    RANKS_CHECK(equal(buffer, before, first));
    RANKS_CHECK(equal(buffer + first, expected + first, end - first));
    RANKS_CHECK(equal(buffer + end, before + end, n - end));
    return check_bytes(comm, DN_TRAFFIC_MOMENTUM, n * sizeof(dn_real), (P + 1) * mine);
}

static void reduce_scatter_gives_each_rank_its_slice_and_leaves_the_rest(void **state)
{
    (void)state;
    run_for_all_sizes(reduce_scatter_once);
}

/* ---- reduce to owners ---- */

/* Cuts [0, n) into three items of uneven sizes (some may be empty), with owners that differ from call to
 * call. */
static size_t cut(const dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_reduce_item items[3])
{
    size_t cuts[] = {0, n / 5, n / 2, n};
    for (size_t i = 0; i < 3; i++)
        items[i] = (dn_reduce_item){.buffer = buffer + cuts[i],
                                    .count = cuts[i + 1] - cuts[i],
                                    .owner = (int)((call + i * i) % (uint64_t)dn_comm_size(comm))};
    return 3;
}

static int reduce_to_owners_once(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op)
{
    dn_real expected[MAX_COUNT];
    const dn_real *before = brought(call, dn_comm_rank(comm));
    dn_reduce_item items[3];
    size_t n_items = cut(comm, buffer, call, n, items), P = (size_t)dn_comm_size(comm), owned = 0;
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, items, n_items, op, DN_TRAFFIC_FACTORS) == DN_OK);
    reference(call, (int)P, n, op, expected);
    for (size_t i = 0; i < n_items; i++) {
        size_t first = (size_t)(items[i].buffer - buffer);
        bool mine = items[i].owner == dn_comm_rank(comm);
        RANKS_CHECK(equal(items[i].buffer, (mine ? expected : before) + first, items[i].count));
        owned += mine ? items[i].count * sizeof(dn_real) : 0;
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < n_items; i++) {
        const dn_real *result = dn_comm_peer(comm, items[i].buffer, items[i].owner);
        RANKS_CHECK(equal(result, expected + (items[i].buffer - buffer), items[i].count));
    }
    return check_bytes(comm, DN_TRAFFIC_FACTORS, n * sizeof(dn_real), (P + 1) * owned);
}

static void reduce_to_owners_gives_each_item_to_its_owner_for_all_to_read(void **state)
{
    (void)state;
    run_for_all_sizes(reduce_to_owners_once);
}

/* ---- broadcast ---- */

static int broadcast_once(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op)
{
    int root = (int)(call % (uint64_t)dn_comm_size(comm));
    bool is_root = dn_comm_rank(comm) == root;
    size_t bytes = n * sizeof(dn_real);
    RANKS_CHECK(dn_comm_broadcast(comm, buffer, bytes, root, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(equal(buffer, brought(call, root), n));
    return check_bytes(comm, DN_TRAFFIC_CONTROL, is_root ? bytes : 0, is_root ? 0 : 2 * bytes);
}

static void broadcast_gives_all_ranks_the_bytes_of_the_root(void **state)
{
    (void)state;
    run_for_all_sizes(broadcast_once);
}

/* ---- scalars ---- */

static double scalar(uint64_t call, int rank, size_t i)
{
    return dn_random_uniform(5, 100 * call + (uint64_t)rank, i) - 0.5;
}

static double expected_scalar(uint64_t call, int n_ranks, size_t i, dn_op op)
{
    double value = scalar(call, 0, i);
    for (int rank = 1; rank < n_ranks; rank++) {
        double next = scalar(call, rank, i);
        value = op == DN_MIN ? fmin(value, next) : op == DN_MAX ? fmax(value, next) : value + next;
    }
    return op == DN_AVG ? value / n_ranks : value;
}

static int scalars_once(dn_comm *comm, dn_real *buffer, uint64_t call, size_t n, dn_op op)
{
    double values[DN_COMM_SCALARS_MAX];
    size_t n_values = n < DN_COMM_SCALARS_MAX ? n : DN_COMM_SCALARS_MAX, bytes = n_values * sizeof *values;
    size_t P = (size_t)dn_comm_size(comm);
    for (size_t i = 0; i < n_values; i++)
        values[i] = scalar(call, dn_comm_rank(comm), i);
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, values, n_values, op) == DN_OK);
    for (size_t i = 0; i < n_values; i++)
        RANKS_CHECK(values[i] == expected_scalar(call, (int)P, i, op));
    return check_bytes(comm, DN_TRAFFIC_CONTROL, bytes, dn_comm_rank(comm) == 0 ? P * bytes : 2 * bytes);
}

static void scalars_ride_in_the_barrier_with_the_same_bits_for_all(void **state)
{
    (void)state;
    run_for_all_sizes(scalars_once);
}

/* ---- NaN ---- */

static int nan_from_each_rank_in_turn(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, 3 * sizeof(dn_real), &memory) == DN_OK);
    dn_real *x = memory;
    for (int from = 0; from < dn_comm_size(comm); from++)
        for (size_t o = 0; o < N_OPS; o++) {
            double s[2] = {1, from == dn_comm_rank(comm) ? NAN : 2};
            x[0] = x[2] = 1;
            x[1] = (dn_real)s[1];
            RANKS_CHECK(dn_comm_all_reduce(comm, x, 3, ops[o], DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK(dn_comm_all_reduce_scalars(comm, s, 2, ops[o]) == DN_OK);
            RANKS_CHECK(!isnan(x[0]) && isnan(x[1]) && !isnan(x[2]));
            RANKS_CHECK(!isnan(s[0]) && isnan(s[1]));
        }
    return 0;
}

static void nan_of_any_rank_goes_through_every_op(void **state)
{
    (void)state;
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 3, .arena_bytes = 4096};
    assert_int_equal(ranks_run(&spec, nan_from_each_rank_in_turn, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_gives_all_ranks_the_bits_of_the_sum_in_rank_order),
        cmocka_unit_test(reduce_scatter_gives_each_rank_its_slice_and_leaves_the_rest),
        cmocka_unit_test(reduce_to_owners_gives_each_item_to_its_owner_for_all_to_read),
        cmocka_unit_test(broadcast_gives_all_ranks_the_bytes_of_the_root),
        cmocka_unit_test(scalars_ride_in_the_barrier_with_the_same_bits_for_all),
        cmocka_unit_test(nan_of_any_rank_goes_through_every_op),
    };
    return cmocka_run_group_tests(tests, draw_all, NULL);
}
